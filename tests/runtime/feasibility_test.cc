// SPDX-License-Identifier: Apache-2.0
// Instances without a feasible point, without an end, and what is in the way; training that leaves them out; starts
// that save iterations.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "runtime/feasibility.h"
#include "runtime/infeasible.h"
#include "runtime/reference.h"
#include "runtime/train.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

at::Tensor Reals(const std::vector<double>& values) { return at::tensor(values, at::TensorOptions(at::kDouble)); }

using Parts = std::vector<std::string>;

// Infeasible exactly where the radius is more than 1, and by which constraints.
void ExpectConflicts(const std::string& text, const Parts& parts) {
  const Problem p = MakeProblem(text);
  std::vector<double> radii;
  for (int k = 0; k < 200; ++k) radii.push_back(0.5 + 0.0075 * k);  // to 1.99; none is 1
  const auto batch = static_cast<std::int64_t>(radii.size());
  const Values values = {{"r", Reals(radii)}};
  const ReferenceSummary s = SolveReference(p, values, batch);
  const std::vector<Reason> reasons = ReasonsOf(p, values, batch, s, radii.size());
  std::size_t told = 0;
  for (std::size_t i = 0; i < radii.size(); ++i) {
    EXPECT_EQ(s.status[i], radii[i] > 1 ? SolveStatus::kInfeasible : SolveStatus::kSolved) << radii[i];
    if (radii[i] <= 1) continue;
    ASSERT_LT(told, reasons.size());
    EXPECT_EQ(reasons[told].instance, static_cast<std::int64_t>(i));
    EXPECT_EQ(reasons[told++].parts, parts) << radii[i];
  }
}

TEST(Feasibility, ConflictsOfSmoothConstraints) {
  ExpectConflicts(
      "context r : real\nvariable y : real[3]\nminimize sum(y)\nsubject to\n"
      "  disc: sumsq(y) <= 1\n  right: y[0] >= r\n  up: exp(y[1]) <= 5\n",
      {"disc", "right"});
}

TEST(Feasibility, ConflictsOfCones) {
  ExpectConflicts(
      "context r : real\nvariable y : real[3]\nminimize sum(y)\nsubject to\n"
      "  up: y[1] <= 5\n  cone: concat([1 + 0 * y[0]], y) in second_order_cone\n  right: y[0] >= r\n",
      {"cone", "right"});
  ExpectConflicts(
      "context r : real\nvariable y : real[2] in ball(1)\nminimize sumsq(y)\nsubject to\n"
      "  low: y[0] >= -3\n  right: y[0] >= r\n",
      {"right"});
}

TEST(Feasibility, ConflictsBesideKinksOfTheObjective) {
  ExpectConflicts(
      "context r : real\nvariable y : real[3]\nminimize sum(i in 3: abs(y[i] - r))\nsubject to\n"
      "  low: y[0] + y[1] >= r\n  high: y[0] + y[1] <= 1\n  fine: y[2] <= 4\n",
      {"low", "high"});
}

Parts DirectionOf(const std::string& text, double c) {
  const Problem p = MakeProblem(text);
  const Values values = {{"c", Reals({c})}};
  const ReferenceSummary s = SolveReference(p, values, 1);
  const std::vector<Reason> reasons = ReasonsOf(p, values, 1, s, 1);
  EXPECT_EQ(s.status[0] == SolveStatus::kUnbounded, reasons.size() == 1);
  return reasons.empty() ? Parts{} : reasons[0].parts;
}

TEST(Unbounded, DirectionsOfNonlinearObjectives) {
  const std::string start = "context c : real\nvariable y : real[2]\n";
  EXPECT_EQ(DirectionOf(start + "minimize y[0]^2 - c * y[1]\nsubject to\n  e: exp(y[0]) <= 3\n", 1), Parts{"y[1] +1"});
  const std::string form = start + "minimize c * y[0]^2 + 0.1 * y[1]^2 + y[0]\n";
  EXPECT_EQ(DirectionOf(form, -1), Parts{"y[0] -1"});
  EXPECT_EQ(DirectionOf(form, 1), Parts{});
  EXPECT_EQ(DirectionOf("context c : real\nvariable y : real[2] in nonnegative\nminimize -log(c + y[0]) + y[1]\n", 1),
            Parts{"y[0] +1"});
  // It falls for ever, and stays above 0.
  EXPECT_EQ(DirectionOf(start + "minimize exp(-c * y[0]) + y[1]^2\n", 1), Parts{});
}

TEST(Training, LeavesOutWhatIsInfeasible) {
  const std::string text =
      "context r : real ~ uniform(0, 2)\nvariable y : real[2]\nminimize sumsq(y) - y[0]\nsubject to\n"
      "  low: y[0] + y[1] >= r\n  high: y[0] + y[1] <= 1\nmodel mlp(hidden = [4])\nloss objective\n";
  const auto left_out = [&](const std::string& more, TrainStatus ends) {
    const Problem p = MakeProblem(text + "train steps = 5, batch = 64" + more);
    TrainOptions options;
    const Result<TrainSettings> settings = SettingsOf(p.program, {});
    EXPECT_TRUE(settings.ok());
    options.settings = *settings;
    const TrainSummary t = Train(p, options);
    EXPECT_EQ(t.status, ends) << t.message;
    return t.infeasible;
  };
  EXPECT_EQ(left_out("\n", TrainStatus::kDone), 0);
  EXPECT_EQ(left_out(", infeasible = keep\n", TrainStatus::kDone), 0);
  EXPECT_GT(left_out(", infeasible = skip\n", TrainStatus::kDone), 200);
  const Problem none = MakeProblem(
      "context r : real ~ uniform(2, 3)\nvariable y : real[2] in box(0, 1)\nminimize sumsq(y)\nsubject to\n"
      "  low: y[0] + 0 * y[1] >= r\nmodel mlp(hidden = [4])\nloss objective\ntrain steps = 5, infeasible = skip\n");
  TrainOptions options;
  options.settings = *SettingsOf(none.program, {});
  EXPECT_EQ(Train(none, options).status, TrainStatus::kInfeasible);
}

// From the solutions of slightly other instances and their multipliers, methods with multipliers need fewer iterations
// than from anywhere, and come to the same optimum.
TEST(Starts, PrimalAndDualOnesSaveIterations) {
  const std::string quadratic =
      "dim n = 12\ndata R : real[n, n] ~ normal(0, 1)\ndata A : real[8, n] ~ normal(0, 1)\n"
      "context q : real[n] ~ normal(0, 1)\nvariable y : real[n] in box(-1, 1)\n"
      "minimize 0.5 * sumsq(R * y) + 0.1 * sumsq(y) + 4 * dot(q, y)\nsubject to\n  rows: A * y <= 0.5\n";
  const std::string nonlinear =
      "context q : real[4] ~ normal(0, 1)\nvariable y : real[4]\nminimize sumsq(y - 2 * q) + exp(y[0])\nsubject to\n"
      "  ball: sumsq(y) <= 1\n  plane: sum(y) == 0.2\n  low: y >= -0.4\n";
  for (const std::string& text : {quadratic, nonlinear}) {
    const Problem p = MakeProblem(text);
    constexpr std::int64_t kBatch = 200;
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{4});
    Values before = Sample(p, kBatch, Split::kTest, g), now = before;
    now["q"] = before.at("q") * 1.001;
    const ReferenceSummary known = SolveReference(p, before, kBatch), cold = SolveReference(p, now, kBatch);
    ReferenceOptions dual;
    dual.multipliers = known.multipliers;
    const ReferenceSummary primal = SolveReference(p, now, kBatch, {}, &known.variables);
    const ReferenceSummary both = SolveReference(p, now, kBatch, dual, &known.variables);
    const auto total = [](const ReferenceSummary& s) {
      return std::accumulate(s.iterations.begin(), s.iterations.end(), std::int64_t{0});
    };
    EXPECT_LT(2 * total(primal), total(cold)) << text;
    EXPECT_LT(2 * total(both), total(cold)) << text;
    for (const ReferenceSummary* s : {&primal, &both}) {
      EXPECT_TRUE(std::all_of(s->status.begin(), s->status.end(), [](auto t) { return t == SolveStatus::kSolved; }));
      EXPECT_LT((s->objective - cold.objective).abs().max().item<double>(), 1e-6);
    }
  }
}

}  // namespace
}  // namespace amo::runtime
