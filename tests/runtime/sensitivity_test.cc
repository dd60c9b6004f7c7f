// SPDX-License-Identifier: Apache-2.0
// Derivatives of solutions against differences of solutions, and degenerate instances that have to be told.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/instances.h"
#include "runtime/model.h"
#include "runtime/open.h"
#include "runtime/reference.h"
#include "runtime/sensitivity.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

Values With(Values values, const Values& more) {
  for (const auto& [name, t] : more) values[name] = t;
  return values;
}

ReferenceOptions Sharp() {
  ReferenceOptions options;
  options.tolerance = 1e-11;
  return options;
}

at::Tensor SolveFlat(const Problem& p, const Values& sample, std::int64_t batch) {
  return Instances(p, sample, batch).Join(SolveReference(p, sample, batch, Sharp()).variables);
}

// The largest error of trusted derivatives against central differences, relative to 1 + their size, and how many are
// trusted.
std::pair<double, std::int64_t> AgainstDifferences(const Problem& p, std::int64_t batch) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{5});
  const Values sample = Sample(p, batch, Split::kTest, g);
  const ReferenceSummary solved = SolveReference(p, sample, batch, Sharp());
  const Sensitivity s = SensitivityOf(p, With(sample, solved.variables), batch);
  std::int64_t trusted = 0;
  double worst = 0;
  for (const auto& [name, derivative] : s.derivatives) {
    for (std::int64_t k = 0; k < derivative.size(2); ++k) {
      constexpr double kStep = 1e-4;
      Values up = sample, down = sample;
      up[name] = sample.at(name).clone(), down[name] = sample.at(name).clone();
      up[name].view({batch, -1}).select(1, k).add_(kStep), down[name].view({batch, -1}).select(1, k).sub_(kStep);
      const at::Tensor difference = (SolveFlat(p, up, batch) - SolveFlat(p, down, batch)) / (2 * kStep);
      const at::Tensor error =
          ((difference - derivative.select(2, k)).abs() / (1 + difference.abs())).amax(1).contiguous();
      trusted = 0;
      for (std::int64_t i = 0; i < batch; ++i) {
        // Steps of a difference have to stay on one side of a change of the active rows.
        if (s.trust[static_cast<std::size_t>(i)] != DerivativeTrust::kTrusted || s.margin[i].item<double>() < 1e-2)
          continue;
        ++trusted, worst = std::max(worst, error[i].item<double>());
      }
    }
  }
  return {worst, trusted};
}

class HockSchittkowski : public testing::TestWithParam<int> {};

TEST_P(HockSchittkowski, DerivativesAreThoseOfDifferences) {
  ProgramChoice choice;
  choice.file = "examples/hock_schittkowski/hs" + std::to_string(GetParam()) + ".amo";
  Opened opened;
  ASSERT_EQ(Open(choice, Stage::kData, opened), OpenStatus::kOk);
  const Result<Problem> p = ProblemOf(opened);
  ASSERT_TRUE(p.ok());
  ASSERT_EQ(NoSensitivity(*p), "");
  const auto [worst, trusted] = AgainstDifferences(*p, 20);
  EXPECT_LT(worst, 1e-6);
  EXPECT_GE(trusted, 15);
}

INSTANTIATE_TEST_SUITE_P(Ten, HockSchittkowski, testing::Values(7, 10, 11, 12, 40, 43, 71, 80, 100, 113));

TEST(Sensitivity, OfQuadraticPrograms) {
  const Problem p = MakeProblem(
      "dim n = 6\ndata R : real[n, n] ~ normal(0, 1)\ndata A : real[3, n] ~ normal(0, 1)\n"
      "context q : real[n] ~ normal(0, 1)\ncontext b : real[3] ~ uniform(0, 1)\nvariable y : real[n] in box(-1, 1)\n"
      "minimize 0.5 * sumsq(R * y) + 0.1 * sumsq(y) + dot(q, y)\n"
      "subject to\n  rows: A * y <= b\n  same: sum(y) == b[0]\n");
  const auto [worst, trusted] = AgainstDifferences(p, 50);
  EXPECT_LT(worst, 1e-6);
  EXPECT_GE(trusted, 30);
}

std::vector<DerivativeTrust> TrustOf(const std::string& text, double c) {
  const Problem p = MakeProblem(text);
  const Values sample = {{"c", at::full({1}, c, at::TensorOptions(at::kDouble))}};
  const ReferenceSummary s = SolveReference(p, sample, 1, Sharp());
  return SensitivityOf(p, With(sample, s.variables), 1).trust;
}

TEST(Sensitivity, DegenerateInstancesAreTold) {
  const std::string start = "context c : real ~ uniform(0, 1)\nvariable y : real[2]\n";
  const auto one = [](DerivativeTrust t) { return std::vector{t}; };
  const std::string kink = start + "minimize sumsq(y) - 2 * c * y[0]\nsubject to\n  half: y[0] <= 0.5\n";
  EXPECT_EQ(TrustOf(kink, 0.4), one(DerivativeTrust::kTrusted));
  EXPECT_EQ(TrustOf(kink, 0.6), one(DerivativeTrust::kTrusted));
  EXPECT_EQ(TrustOf(kink, 0.5), one(DerivativeTrust::kWeaklyActive));
  const std::string twice =
      start + "minimize sumsq(y) - 4 * y[0]\nsubject to\n"
              "  one: y[0] + y[1] <= c\n  two: 2 * y[0] + 2 * y[1] <= 2 * c\n";
  EXPECT_EQ(TrustOf(twice, 0.5), one(DerivativeTrust::kDependent));
  const std::string flat = start + "minimize (y[0] + y[1] - c)^2\nsubject to\n  low: y >= -9\n  high: y <= 9\n";
  EXPECT_EQ(TrustOf(flat, 0.5), one(DerivativeTrust::kFlat));
  const std::string curved =
      start + "minimize exp(y[0]) + sumsq(y) - c * y[1]\nsubject to\n  disc: sumsq(y) <= 0.01\n";
  EXPECT_EQ(TrustOf(curved, 0.5), one(DerivativeTrust::kTrusted));
}

TEST(Sensitivity, WhereThereIsNone) {
  const auto why = [](const std::string& rest) {
    return NoSensitivity(MakeProblem("context c : real ~ normal(0, 1)\nvariable y : real[3]" + rest));
  };
  EXPECT_EQ(why(" in ball(1)\nminimize c * sum(y)\n"), "a set is not given by smooth rows");
  EXPECT_EQ(why("\nminimize sum(abs(y - c))\n"), "the objective or a constraint has kinks");
}

}  // namespace
}  // namespace amo::runtime
