// SPDX-License-Identifier: Apache-2.0
// The interior point method on problems with known optima, and where there is none.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>

#include "runtime/model.h"
#include "runtime/open.h"
#include "runtime/reference.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

double Worst(const at::Tensor& t) { return t.numel() ? t.abs().max().item<double>() : 0; }

Values With(Values values, const Values& more) {
  for (const auto& [name, t] : more) values[name] = t;
  return values;
}

class HockSchittkowski : public testing::TestWithParam<std::pair<int, double>> {};

TEST_P(HockSchittkowski, EveryInstanceEndsAtTheKnownOptimum) {
  const auto& [number, optimum] = GetParam();
  ProgramChoice choice;
  choice.file = "examples/hock_schittkowski/hs" + std::to_string(number) + ".amo";
  Opened opened;
  ASSERT_EQ(Open(choice, Stage::kData, opened), OpenStatus::kOk);
  const Result<Problem> p = ProblemOf(opened);
  ASSERT_TRUE(p.ok());
  constexpr std::int64_t kBatch = 100;
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{3});
  const Values sample = Sample(*p, kBatch, Split::kTest, g);
  const ReferenceSummary s = SolveReference(*p, sample, kBatch);
  EXPECT_EQ(ReferenceName(*p), "interior_point");
  for (std::int64_t i = 0; i < kBatch; ++i) {
    EXPECT_EQ(s.status[static_cast<std::size_t>(i)], SolveStatus::kSolved) << i;
    const double value = (s.objective[i] / sample.at("w")[i]).item<double>();
    EXPECT_NEAR(value, optimum, 1e-6 * (1 + std::abs(optimum))) << i;
  }
  for (const auto& [name, v] : Violations(*p, With(sample, s.variables), kBatch)) EXPECT_LT(Worst(v), 1e-7) << name;
}

INSTANTIATE_TEST_SUITE_P(Ten, HockSchittkowski,
                         testing::Values(std::pair{7, -1.7320508076}, std::pair{10, -1.0}, std::pair{11, -8.498464223},
                                         std::pair{12, -30.0}, std::pair{40, -0.25}, std::pair{43, -44.0},
                                         std::pair{71, 17.0140173}, std::pair{80, 0.0539498478},
                                         std::pair{100, 680.6300573}, std::pair{113, 24.3062091}));

// A batch in which instances fail differently: each has its own verdict.
TEST(InteriorPoint, EachInstanceFailsForItself) {
  const Problem p = MakeProblem(
      "context r : real ~ uniform(1, 2)\ncontext c : real ~ uniform(1, 2)\nvariable y : real[2]\n"
      "minimize c * (y[0] - 1)^2 + y[1]^2 + exp(y[0])\nsubject to\n  disc: sumsq(y) <= r\n"
      "solve zeros then interior_point\n");
  const at::Tensor r = at::full({4}, 0.5, at::kDouble), c = at::full({4}, 2.0, at::kDouble);
  r[1] = NAN, r[2] = -1;
  const ReferenceSummary s = SolveReference(p, {{"r", r}, {"c", c}}, 4);
  EXPECT_EQ(s.status[0], SolveStatus::kSolved);
  EXPECT_EQ(s.status[1], SolveStatus::kNotFinite);
  EXPECT_NE(s.status[2], SolveStatus::kSolved);
  EXPECT_EQ(s.status[3], SolveStatus::kSolved);
  EXPECT_EQ(Worst(s.variables.at("y")[0] - s.variables.at("y")[3]), 0);
  EXPECT_GT(s.multipliers[0].min().item<double>(), -1e-12);
}

// Without rows it is Newton's method: Rosenbrock's valley in few steps, whatever the sign of the curvature at the
// start.
TEST(InteriorPoint, NewtonWithoutRows) {
  const Problem p = MakeProblem(
      "context a : real ~ uniform(0.5, 1.5)\nvariable y : real[2]\n"
      "minimize (a - y[0])^2 + 100 * (y[1] - y[0]^2)^2\nsolve y = [-1.2, 1] then newton(tol = 1e-10)\n");
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{3});
  const Values sample = Sample(p, 50, Split::kTest, g);
  const ReferenceSummary s = SolveReference(p, sample, 50);
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(s.status[i], SolveStatus::kSolved) << i;
    EXPECT_LT(s.iterations[i], 60);
  }
  const at::Tensor a = sample.at("a");
  EXPECT_LT(Worst(s.variables.at("y") - at::stack({a, a * a}, 1)), 1e-8);
}

// Many variables: derivatives come in a few compressed products, and a chain needs a handful of colours.
TEST(InteriorPoint, AChainOfManyVariables) {
  const Problem p = MakeProblem(
      "dim n = 60\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n] in box(-2, 2)\n"
      "minimize sum(i in n: (y[i] - x[i])^4 + y[i]^2)\nsubject to\n"
      "  smooth[i in 0..n - 1]: (y[i + 1] - y[i])^2 <= 0.04\n  mean: sum(y) == 1\n");
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{4});
  const Values sample = Sample(p, 12, Split::kTest, g);
  const ReferenceSummary s = SolveReference(p, sample, 12);
  EXPECT_EQ(ReferenceName(p), "interior_point");
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(s.status[i], SolveStatus::kSolved) << i;
  for (const auto& [name, v] : Violations(p, With(sample, s.variables), 12)) EXPECT_LT(Worst(v), 1e-6) << name;
}

// A kink has no second derivative: said when the file is compiled.
TEST(InteriorPoint, KinksAreRefused) {
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::LoadText(
      "test.amo",
      "amo 1\nproblem p\nvariable y : real[2]\nminimize sum(abs(y))\nsubject to\n  disc: sumsq(y - 1) <= 1\n"
      "solve zeros then interior_point\n",
      diagnostics);
  compiler::Build(source, lang::Choose(source, {}, diagnostics), {}, diagnostics);
  EXPECT_TRUE(diagnostics.has_errors());
}

}  // namespace
}  // namespace amo::runtime
