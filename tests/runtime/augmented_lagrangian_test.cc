// SPDX-License-Identifier: Apache-2.0
// Constraints that no projection keeps, against closed forms: `solve` meets them, and training leans towards them.
#include "runtime/augmented_lagrangian.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/predictor.h"
#include "runtime/reference.h"
#include "runtime/train.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

struct Solved {
  Values sample;
  ReferenceSummary summary;
};

Solved Solve(const Problem& p, std::int64_t n, bool expect_solved = true) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{5});
  Solved s{Sample(p, n, Split::kTest, g), {}};
  s.summary = SolveReference(p, s.sample, n);
  for (const SolveStatus status : s.summary.status) {
    if (expect_solved) {
      EXPECT_EQ(status, SolveStatus::kSolved) << NameOf(status);
    }
  }
  return s;
}

double Worst(const at::Tensor& t) { return t.abs().max().item<double>(); }

TEST(AugmentedLagrangian, AnAffineEquality) {
  const Problem p = MakeProblem(
      "dim n = 5\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n]\nminimize 0.5 * sumsq(y - x)\n"
      "subject to\n  total: sum(y) == 1\n");
  const Solved s = Solve(p, 40);
  const at::Tensor x = s.sample.at("x");
  EXPECT_LT(Worst(s.summary.variables.at("y") - (x - (x.sum({1}, true) - 1) / 5)), 1e-6);
}

TEST(AugmentedLagrangian, AHalfspaceWithinABox) {
  const Problem p = MakeProblem(
      "dim n = 3\ncontext x : real[n] ~ normal(0, 0.2)\nvariable y : real[n] in box(-10, 10)\n"
      "minimize 0.5 * sumsq(y - x)\nsubject to\n  lid: y[0] + 2 * y[1] <= 0.1\n");
  const Solved s = Solve(p, 40);
  const at::Tensor x = s.sample.at("x"), over = ((x.select(1, 0) + 2 * x.select(1, 1) - 0.1) / 5).clamp_min(0);
  at::Tensor expected = x.clone();
  expected.select(1, 0).sub_(over);
  expected.select(1, 1).sub_(2 * over);
  EXPECT_LT(Worst(s.summary.variables.at("y") - expected), 1e-6);
}

// Isotonic regression, by an indexed constraint, against the pool of adjacent violators.
TEST(AugmentedLagrangian, IndexedConstraints) {
  const Problem p = MakeProblem(
      "dim n = 6\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n]\nminimize 0.5 * sumsq(y - x)\n"
      "subject to\n  rising[i in 0..n - 1]: y[i] <= y[i + 1]\n");
  const Solved s = Solve(p, 25);
  for (std::int64_t b = 0; b < 25; ++b) {
    std::vector<std::pair<double, int>> blocks;
    for (int i = 0; i < 6; ++i) {
      blocks.push_back({s.sample.at("x")[b][i].item<double>(), 1});
      while (blocks.size() > 1 && blocks[blocks.size() - 2].first > blocks.back().first) {
        const auto [v, n] = blocks.back();
        blocks.pop_back();
        auto& [w, m] = blocks.back();
        w = (w * m + v * n) / (m + n), m += n;
      }
    }
    int i = 0;
    for (const auto& [v, n] : blocks)
      for (int k = 0; k < n; ++k, ++i) EXPECT_NEAR(s.summary.variables.at("y")[b][i].item<double>(), v, 1e-6);
  }
}

TEST(AugmentedLagrangian, AChainAndAMembership) {
  const Problem p = MakeProblem(
      "dim n = 3\ncontext x : real[n] ~ normal(0, 2)\nvariable y : real[n]\nminimize 0.5 * sumsq(y - x)\n"
      "subject to\n  inside: y - 0.5 in ball(1)\n  band: -0.1 <= sum(y) - 1.5 <= 0.1\n");
  const Solved s = Solve(p, 40);
  const at::Tensor y = s.summary.variables.at("y");
  EXPECT_LT((y - 0.5).norm(2, {1}, false).max().item<double>(), 1 + 1e-6);
  EXPECT_LT(Worst(y.sum({1}) - 1.5), 0.1 + 1e-6);
  for (const auto& [name, v] : Violations(
           p,
           [&] {
             Values all = s.sample;
             all["y"] = y;
             return all;
           }(),
           40))
    EXPECT_LT(Worst(v), 1e-6) << name;
}

TEST(AugmentedLagrangian, ANonconvexEquality) {
  const Problem p = MakeProblem(
      "context x : real[2] ~ normal(0, 1)\nvariable y : real[2]\nminimize sumsq(y - x)\nsubject to\n  circle: sumsq(y) "
      "== 1\n"
      "solve y = x then lbfgs\n");
  const Solved s = Solve(p, 30);
  const at::Tensor x = s.sample.at("x");
  EXPECT_LT(Worst(s.summary.variables.at("y") - x / x.norm(2, {1}, true)), 1e-5);
}

TEST(AugmentedLagrangian, TheImpossibleIsNotCalledSolved) {
  const Problem p = MakeProblem(
      "context x : real ~ normal(0, 1)\nvariable y : real\nminimize (y - x)^2\nsubject to\n  up: 2 * y >= 1\n  down: 3 "
      "* y <= -1\n");
  const Solved s = Solve(p, 5, false);
  for (const SolveStatus status : s.summary.status) EXPECT_NE(status, SolveStatus::kSolved);
}

TEST(AugmentedLagrangian, TrainingLeansTowardsTheConstraints) {
  const Problem p = MakeProblem(
      "dim n = 3\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n]\nminimize 0.5 * sumsq(y - x)\n"
      "subject to\n  total: sum(y) == 1\nmodel linear\n");
  TrainOptions o;
  o.settings.steps = 2000, o.settings.batch = 64, o.settings.rate = 1e-2;
  const TrainSummary t = Train(p, o);
  ASSERT_EQ(t.status, TrainStatus::kDone);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{6});
  Values all = Sample(p, 64, Split::kTest, g);
  for (const auto& [name, v] : t.state.best_learned) all[name] = v;
  for (const auto& [name, v] : RunModel(p, all, 64).answer) all[name] = v;
  EXPECT_LT(Violations(p, all, 64).at("total").mean().item<double>(), 0.05);
}

// What no projection and no correction keeps: multipliers bring training nearer to it than the penalty alone.
TEST(AugmentedLagrangian, InTraining) {
  const auto violation = [](const std::string& how) {
    const Problem p = MakeProblem(
        "context c : real[2] ~ uniform(1, 1.5)\nvariable y : real[2]\nminimize sumsq(y - 2 * c)\nsubject to\n"
        "  cap: 2 * abs(y[0]) + y[1]^2 <= 1\nmodel mlp(hidden = [16])\nloss objective\n"
        "train steps = 1000, batch = 64, rate = 5e-3" + how + "\n");
    EXPECT_FALSE(p.program.corrected);
    TrainOptions options;
    options.settings = *SettingsOf(p.program, {});
    const TrainSummary t = Train(p, options);
    EXPECT_EQ(t.status, TrainStatus::kDone) << t.message;
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{8});
    Values values = Sample(p, 256, Split::kTest, g);
    for (const auto& [name, w] : t.state.best_learned) values[name] = w;
    for (const auto& [name, y] : RunModel(p, values, 256).answer) values[name] = y;
    return Violations(p, values, 256).at("cap").mean().item<double>();
  };
  const double penalty = violation(""), lagrangian = violation(", constraints = lagrangian");
  EXPECT_GT(penalty, 0.015);
  EXPECT_LT(lagrangian, penalty / 2);
}

}  // namespace
}  // namespace amo::runtime
