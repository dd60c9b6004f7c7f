// SPDX-License-Identifier: Apache-2.0
// Problems as quadratic programs: which are, what their matrices are, kinks as variables, the projection onto all rows
// and its derivative, sets that are rows.
#include "runtime/quadratic.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/answer.h"
#include "runtime/correct.h"
#include "runtime/instances.h"
#include "runtime/predictor.h"
#include "runtime/reference.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

struct Solved {
  Values sample;
  ReferenceSummary summary;
};

Solved Solve(const Problem& p, std::int64_t n) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{5});
  Solved s{Sample(p, n, Split::kTest, g), {}};
  s.summary = SolveReference(p, s.sample, n);
  for (const SolveStatus status : s.summary.status) EXPECT_EQ(status, SolveStatus::kSolved) << NameOf(status);
  return s;
}

double Worst(const at::Tensor& t) { return t.abs().max().item<double>(); }

Values With(Values values, const Values& more) {
  for (const auto& [name, t] : more) values[name] = t;
  return values;
}

TEST(Quadratic, WhichProblemsAre) {
  const auto is = [](const std::string& text) { return IsQuadraticProgram(MakeProblem(text)); };
  const std::string head = "dim n = 3\ncontext x : real[n] ~ normal(0, 1)\n";
  EXPECT_TRUE(is(head + "variable y : real[n] in simplex\nminimize sumsq(y - x)\n"));
  EXPECT_TRUE(is(head + "variable y : real[n] in box(0, x)\nminimize dot(x, y)\nsubject to\n  c: sum(y) <= 1\n"));
  EXPECT_FALSE(is(head + "variable y : real[n] in ball(1)\nminimize sumsq(y - x)\n"));
  EXPECT_FALSE(is(head + "variable y : real[n] in sphere\nminimize dot(x, y)\n"));
  EXPECT_FALSE(is(head + "variable y : real[n]\nminimize sumsq(y)\nsubject to\n  c: sumsq(y) <= 1\n"));
  EXPECT_FALSE(is(head + "variable y : real[n]\nminimize sum(exp(y))\n"));
}

// Matrices that differ between instances: each has factors of its own.
TEST(Quadratic, MatricesOfEachInstance) {
  const Problem p = MakeProblem(
      "dim n = 4\ncontext B : real[n, n] ~ normal(0, 1)\ncontext a : real[n] ~ normal(0, 1)\n"
      "variable y : real[n]\nminimize 0.5 * sumsq(B * y) + 0.5 * sumsq(y) + sum(y)\nsubject to\n  plane: dot(a, y) == "
      "1\n");
  const Solved s = Solve(p, 20);
  const at::Tensor B = s.sample.at("B"), a = s.sample.at("a"), y = s.summary.variables.at("y");
  const at::Tensor g = B.transpose(1, 2).matmul(B.matmul(y.unsqueeze(2))).squeeze(2) + y + 1;
  EXPECT_LT(Worst((a * y).sum(1) - 1), 1e-10);
  const at::Tensor multiplier = (g * a).sum(1, true) / (a * a).sum(1, true);
  EXPECT_LT(Worst(g - multiplier * a), 1e-8);
  EXPECT_LT(Worst(s.summary.multipliers + multiplier), 1e-8);
}

TEST(Quadratic, AbsoluteValuesAreSolvedExactly) {
  const Problem p = MakeProblem(
      "dim n = 6\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n]\n"
      "minimize 0.5 * sumsq(y - x) + 0.4 * norm1(y)\n");
  ASSERT_NE(LiftedOf(p), nullptr);
  const Solved s = Solve(p, 50);
  const at::Tensor x = s.sample.at("x"), y = s.summary.variables.at("y");
  EXPECT_LT(Worst(y - x.sign() * (x.abs() - 0.4).clamp_min(0)), 1e-7);
  const Certificate c = Certify(p, With(s.sample, s.summary.variables), 50);
  EXPECT_LT(Worst(*c.residual), 1e-6);
  const Certificate other = Certify(p, With(s.sample, {{"y", x}}), 50);
  EXPECT_GT(other.residual->min().item<double>(), 0.1);
}

TEST(Quadratic, MaximaAreSolvedExactly) {
  const Problem p = MakeProblem(
      "dim n = 5\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n] in box(-1, 1)\n"
      "minimize max(y - x) + sum(max(x - y, 0)) + max(y[0], 2 * y[1])\n");
  ASSERT_NE(LiftedOf(p), nullptr);
  const Solved s = Solve(p, 30);
  // No point of a cloud around it is better: the objective is convex.
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{6});
  const Instances f(p, s.sample, 30);
  const at::Tensor best = f.Value(f.Join(s.summary.variables));
  for (int k = 0; k < 200; ++k) {
    const at::Tensor y = f.Project(f.Join(s.summary.variables) + 0.1 * at::randn({30, 5}, g, best.options()));
    EXPECT_GT((f.Value(y) - best).min().item<double>(), -1e-7);
  }
}

// A kink that points down is no convex program, and is not solved as if it were one.
TEST(Quadratic, ConcaveKinksAreNotLifted) {
  const Problem p = MakeProblem(
      "context x : real[2] ~ normal(0, 1)\nvariable y : real[2] in box(-1, 1)\nminimize sumsq(y - x) - 3 * norm1(y)\n");
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{5});
  const Values sample = Sample(p, 20, Split::kTest, g);
  const ReferenceSummary s = SolveReference(p, sample, 20);
  const at::Tensor y = s.variables.at("y");
  EXPECT_LE(Worst(y), 1 + 1e-12);
  const Instances f(p, sample, 20);
  EXPECT_LT(Worst(f.Value(f.Join(s.variables)) - s.objective), 1e-12);
}

TEST(Quadratic, ProjectionsOntoRowsAndTheirDerivatives) {
  const Problem p = MakeProblem(
      "dim n = 6\ndata A : real[3, n] ~ normal(0, 1)\ncontext x : real[n] ~ normal(0, 1)\n"
      "variable y : real[n] in box(-0.8, 0.9)\nminimize sum(exp(y) + sin(x .* y))\n"
      "subject to\n  rows: A * y <= 0.3\n  total: sum(y) == 0.5\n");
  EXPECT_EQ(p.program.projected, (std::vector<std::string>{"rows", "total"}));
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{8});
  const at::Tensor v = at::randn({40, 6}, g, at::TensorOptions(at::kDouble)), w = at::randn_like(v);
  const Values values = {{"x", at::randn_like(v)}};
  const Instances f(p, values, 40);
  const at::Tensor y = f.Project(v);
  const Certificate c = Certify(p, With(values, f.Split(y)), 40);
  for (const auto& [name, amounts] : c.violations) EXPECT_LT(Worst(amounts), 1e-12) << name;
  EXPECT_LT(Worst(f.Project(y) - y), 1e-12);
  const at::Tensor z = f.Project(at::randn_like(v));
  EXPECT_LT(((v - y) * (z - y)).sum(1).max().item<double>(), 1e-12);
  // Against central differences, where the active rows do not change in between.
  const at::Tensor leaf = v.detach().clone().requires_grad_(true);
  const at::AutoGradMode record(true);
  const at::Tensor slope = torch::autograd::grad({(f.Project(leaf) * w).sum()}, {leaf})[0];
  constexpr double kStep = 1e-6;
  std::int64_t smooth = 0;
  for (std::int64_t j = 0; j < 6; ++j) {
    at::Tensor up = v.clone(), down = v.clone();
    up.select(1, j).add_(kStep), down.select(1, j).sub_(kStep);
    const at::Tensor right = ((f.Project(up) - y) * w).sum(1) / kStep,
                     left = ((y - f.Project(down)) * w).sum(1) / kStep;
    const at::Tensor difference = ((right + left) / 2 - slope.select(1, j)).abs();
    for (std::int64_t i = 0; i < 40; ++i) {
      if (std::abs((right[i] - left[i]).item<double>()) > 1e-6) continue;
      EXPECT_LT(difference[i].item<double>(), 1e-6) << i << " " << j;
      ++smooth;
    }
  }
  EXPECT_GT(smooth, 200);
}

// Predictions are moved onto nonlinear constraints, also from afar; at points that keep them the derivative is that of
// the projection onto their tangent.
TEST(Correct, NonlinearConstraintsAreReached) {
  const Problem p = MakeProblem(
      "dim n = 4\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n] in box(-2, 2)\nminimize sumsq(y - x)\n"
      "subject to\n  shell: sumsq(y) == 1\n  saddle: y[0] * y[1] <= 0.1 + 0.05 * y[2]\n  plane: sum(y) <= 1.2\n"
      "model y = 5 * x\n");
  EXPECT_TRUE(p.program.corrected);
  EXPECT_EQ(p.program.projected, std::vector<std::string>{"plane"});
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{8});
  const Values sample = Sample(p, 60, Split::kTest, g);
  const Values answer = RunModel(p, sample, 60).answer;
  const Certificate c = Certify(p, With(sample, answer), 60);
  for (const auto& [name, amounts] : c.violations) EXPECT_LT(Worst(amounts), 1e-9) << name;
  const at::Tensor at = answer.at("y"), w = at::randn_like(at);
  const at::AutoGradMode record(true);
  const at::Tensor leaf = at.detach().clone().requires_grad_(true);
  const at::Tensor slope = torch::autograd::grad({(Correct(p, sample, leaf) * w).sum()}, {leaf})[0];
  constexpr double kStep = 1e-6;
  std::int64_t smooth = 0;
  for (std::int64_t j = 0; j < 4; ++j) {
    at::Tensor up = at.clone(), down = at.clone();
    up.select(1, j).add_(kStep), down.select(1, j).sub_(kStep);
    const at::Tensor right = ((Correct(p, sample, up) - at) * w).sum(1) / kStep;
    const at::Tensor left = ((at - Correct(p, sample, down)) * w).sum(1) / kStep;
    for (std::int64_t i = 0; i < 60; ++i) {
      if (std::abs((right[i] - left[i]).item<double>()) > 1e-4) continue;  // a row becomes active there
      EXPECT_NEAR(((right[i] + left[i]) / 2).item<double>(), slope[i][j].item<double>(), 1e-4) << i << " " << j;
      ++smooth;
    }
  }
  EXPECT_GT(smooth, 150);
}

TEST(Quadratic, SetsThatAreRows) {
  const Problem p = MakeProblem(
      "dim n = 4\ncontext C : real[n, n] ~ normal(0, 1)\nvariable Y : real[n, n] in birkhoff\n"
      "minimize sum(C .* Y) + 0.5 * sumsq(Y)\n");
  const Solved s = Solve(p, 20);
  const at::Tensor Y = s.summary.variables.at("Y");
  EXPECT_GT(Y.min().item<double>(), -1e-9);
  EXPECT_LT(Worst(Y.sum(1) - 1), 1e-9);
  EXPECT_LT(Worst(Y.sum(2) - 1), 1e-9);
  const Problem q = MakeProblem(
      "dim n = 4\ndata A : real[2, n] ~ normal(0, 1)\ncontext x : real[n] ~ normal(0, 1)\n"
      "variable y : real[n] in polyhedron(A, 0.1)\nvariable z : real[n] in affine(A, [0.5, 1])\n"
      "minimize sumsq(y - x) + sumsq(z - x)\n");
  const Solved t = Solve(q, 20);
  const at::Tensor A = q.shared.at("A");
  EXPECT_LT(t.summary.variables.at("y").matmul(A.t()).max().item<double>(), 0.1 + 1e-9);
  EXPECT_LT(Worst(t.summary.variables.at("z").matmul(A.t()).select(1, 1) - 1), 1e-9);
}

}  // namespace
}  // namespace amo::runtime
