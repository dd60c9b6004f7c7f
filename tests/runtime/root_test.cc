// SPDX-License-Identifier: Apache-2.0
// Equations: `find` is solved without an objective, and says where there is no root.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "compiler/classify.h"
#include "runtime/answer.h"
#include "runtime/reference.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

const at::TensorOptions kDouble(at::kDouble);

std::int64_t Solved(const ReferenceSummary& s) {
  return std::count(s.status.begin(), s.status.end(), SolveStatus::kSolved);
}

TEST(Root, EquationsAreSolved) {
  const Problem p = MakeProblem("context a : real ~ uniform(1, 2)\nvariable y : real\nfind y^3 + y == a\n");
  EXPECT_EQ(compiler::ProblemClass(p.program), "root");
  ASSERT_TRUE(CanSolve(p));
  EXPECT_EQ(ReferenceName(p), "newton");
  const at::Tensor a = at::linspace(-5, 5, 101, kDouble);
  const ReferenceSummary s = SolveReference(p, {{"a", a}}, 101);
  EXPECT_EQ(Solved(s), 101);
  const at::Tensor& y = s.variables.at("y");
  EXPECT_LT((y * y * y + y - a).abs().max().item<double>(), 1e-8);
  const Certificate c = Certify(p, {{"a", a}, {"y", y}}, 101);
  ASSERT_TRUE(c.residual && !c.objective);
  EXPECT_LT(c.residual->max().item<double>(), 1e-8);
  const Certificate off = Certify(p, {{"a", a}, {"y", y + 1}}, 101);
  EXPECT_GT(off.residual->min().item<double>(), 1);
}

TEST(Root, FixedPointsAreSolved) {
  const Problem p = MakeProblem("context a : real ~ uniform(1, 2)\nvariable y : real\nfind y == cos(a * y)\n");
  EXPECT_EQ(compiler::ProblemClass(p.program), "fixed point");
  const at::Tensor a = at::linspace(0, 1.2, 50, kDouble);
  const ReferenceSummary s = SolveReference(p, {{"a", a}}, 50);
  EXPECT_EQ(Solved(s), 50);
  EXPECT_LT((s.variables.at("y") - at::cos(a * s.variables.at("y"))).abs().max().item<double>(), 1e-8);
}

// By the methods that the file writes, with the start that it gives.
TEST(Root, WrittenMethods) {
  for (const char* solve : {"solve y = 1 then newton(tol = 1e-12)", "solve y = 1 then lbfgs(tol = 1e-10)",
                            "solve y = 1 then anderson(memory = 3, steps = 200, tol = 1e-12)"}) {
    const Problem p = MakeProblem("context a : real ~ uniform(1, 2)\nvariable y : real\nfind y == cos(a * y)\n" +
                                  std::string(solve) + "\n");
    const at::Tensor a = at::linspace(0, 1.2, 20, kDouble);
    const ReferenceSummary s = SolveReference(p, {{"a", a}}, 20);
    EXPECT_EQ(Solved(s), 20) << solve;
    EXPECT_LT((s.variables.at("y") - at::cos(a * s.variables.at("y"))).abs().max().item<double>(), 1e-7) << solve;
  }
}

TEST(Root, WhereThereIsNoneNothingIsCalledSolved) {
  const Problem p = MakeProblem(
      "data A : real[3, 3] = [[2, 1, 0], [1, 3, 1], [0, 1, 2]]\ncontext b : real[3] ~ normal(0, 1)\n"
      "variable y : real[3] in nonnegative\nfind A * y == b\n");
  EXPECT_EQ(compiler::ProblemClass(p.program), "root of linear equations");
  // A (1, 1, 1) has a root in the set, its negative does not; others go on.
  const at::Tensor b = at::tensor({3.0, 5.0, 3.0, -3.0, -5.0, -3.0, 2.0, 1.0, 0.0}, kDouble).view({3, 3});
  const ReferenceSummary s = SolveReference(p, {{"b", b}}, 3);
  EXPECT_EQ(s.status[0], SolveStatus::kSolved);
  EXPECT_EQ(s.status[1], SolveStatus::kStalled);
  EXPECT_EQ(s.status[2], SolveStatus::kSolved);
  const Problem square = MakeProblem("context a : real ~ normal(0, 1)\nvariable y : real\nfind y^2 == a\n");
  const ReferenceSummary none = SolveReference(square, {{"a", at::tensor({4.0, -1.0}, kDouble)}}, 2);
  EXPECT_NE(none.status[1], SolveStatus::kSolved);
}

TEST(Root, ProblemsWithoutObjectiveAndEquationAreNot) {
  EXPECT_FALSE(CanSolve(MakeProblem("context a : real ~ normal(0, 1)\nvariable y : real\nloss (y - a)^2\n")));
}

}  // namespace
}  // namespace amo::runtime
