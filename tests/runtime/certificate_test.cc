// SPDX-License-Identifier: Apache-2.0
// What answers leave with: bounds of the gap that are none too small, residuals that vanish at solutions alone, the
// reasons why there is no answer, and stages that are trusted as far as these go.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "runtime/answer.h"
#include "runtime/conflict.h"
#include "runtime/infeasible.h"
#include "runtime/instances.h"
#include "runtime/reference.h"
#include "runtime/trust.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

Values With(Values values, const Values& more) {
  for (const auto& [name, t] : more) values[name] = t;
  return values;
}

std::string Program(int n, int m, int e) {
  return "dim n = " + std::to_string(n) + "\ndim m = " + std::to_string(m) + "\ndim e = " + std::to_string(e) +
         "\ndata R : real[n, n] ~ normal(0, 1)\ndata A : real[m, n] ~ normal(0, 1)\ndata E : real[e, n] ~ normal(0, "
         "1)\n"
         "context p : real[n] ~ normal(0, 1)\ncontext z : real[n] ~ normal(0, 0.3)\ncontext u : real[m] ~ "
         "exponential(2)\n"
         "variable y : real[n] in box(-2, 2)\n"
         "minimize 0.5 * sumsq(R * y) + 0.05 * sumsq(y) + dot(p, y)\n"
         "subject to\n  rows: A * y <= A * clamp(z, -1, 1) + u\n  same: E * y == E * clamp(z, -1, 1)\n";
}

// 100,000 random convex instances: no bound is below the true gap, and at solutions it is nearly zero.
TEST(Certificate, GapBoundsAreNeverBelowTheGap) {
  std::int64_t checked = 0;
  for (int k = 0; k < 10; ++k) {
    const Problem p = MakeProblem(Program(2 + k, 3 + k, 1 + k / 3));
    constexpr std::int64_t kBatch = 5000;
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(k));
    const Values sample = Sample(p, kBatch, Split::kTest, g);
    const ReferenceSummary s = SolveReference(p, sample, kBatch);
    for (const SolveStatus status : s.status) ASSERT_EQ(status, SolveStatus::kSolved) << k;
    const Instances instances(p, sample, kBatch);
    const at::Tensor best = instances.Join(s.variables);
    for (const double far : {1.0, 0.0}) {  // any point that keeps the rows; then near the solution
      const at::Tensor noise = at::randn(best.sizes(), g, best.options());
      const at::Tensor y = instances.Project(far > 0 ? 2 * noise : best + 1e-4 * noise);
      const Certificate c = Certify(p, With(sample, instances.Split(y)), kBatch);
      ASSERT_TRUE(c.gap && c.objective && c.residual);
      const at::Tensor gap = *c.objective - s.objective;
      EXPECT_GE((*c.gap - gap).min().item<double>(), 0) << k << " " << far;
      EXPECT_TRUE(c.gap->isfinite().all().item<bool>());
      checked += kBatch;
    }
    const Certificate c = Certify(p, With(sample, s.variables), kBatch);
    EXPECT_LT(c.gap->max().item<double>(), 1e-7) << k;
    EXPECT_LT(c.residual->max().item<double>(), 1e-7) << k;
  }
  EXPECT_EQ(checked, 100000);
}

// Nonlinear constraints: the residual is small at solutions, and at other feasible points it is not.
TEST(Certificate, ResidualsUnderNonlinearConstraints) {
  const Problem p = MakeProblem(
      "context c : real[3] ~ normal(0, 1)\nvariable y : real[3]\nminimize dot(c, y) + exp(y[0])\n"
      "subject to\n  ball: sumsq(y) <= 1\n  plane: sum(y) == 0.2\n");
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{2});
  const Values sample = Sample(p, 50, Split::kTest, g);
  const ReferenceSummary s = SolveReference(p, sample, 50);
  const Certificate solved = Certify(p, With(sample, s.variables), 50);
  ASSERT_TRUE(solved.residual);
  EXPECT_LT(solved.residual->max().item<double>(), 1e-5);
  const Certificate other = Certify(p, With(sample, {{"y", at::full({50, 3}, 0.2 / 3, at::kDouble)}}), 50);
  EXPECT_GT(other.residual->min().item<double>(), 1e-3);
}

// Rows that follow from a planted contradiction, hidden among rows that hold for all points of interest: 1,000 times.
TEST(Infeasible, ThePlantedConflictIsFound) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal;
  const auto uniform = [&](int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(random); };
  for (int k = 0; k < 1000; ++k) {
    const int n = uniform(2, 8), planted = uniform(2, n), m = planted + uniform(0, 12);
    Matrix A(m, n);
    for (Eigen::Index i = 0; i < A.size(); ++i) A.data()[i] = normal(random);
    Vector b(m);
    for (int i = 0; i < m; ++i) b[i] = -1000 * A.row(i).norm();
    std::vector<int> order(static_cast<std::size_t>(m));
    for (int i = 0; i < m; ++i) order[static_cast<std::size_t>(i)] = i;
    std::shuffle(order.begin(), order.end(), random);
    std::vector<char> equal(static_cast<std::size_t>(m), 0);
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(n);
    double total = 0;
    for (int j = 0; j + 1 < planted; ++j) {
      const int i = order[static_cast<std::size_t>(j)];
      b[i] = normal(random), equal[static_cast<std::size_t>(i)] = uniform(0, 3) == 0;
      const double weight = 0.2 + std::abs(normal(random));
      sum += weight * A.row(i), total += weight * b[i];
    }
    const int last = order[static_cast<std::size_t>(planted - 1)];
    A.row(last) = -sum, b[last] = -total + 0.5;
    std::vector<std::int64_t> expected(order.begin(), order.begin() + planted);
    std::sort(expected.begin(), expected.end());
    const QpSolutions s =
        SolveQp(QpFactors(Matrix::Identity(n, n), A, equal), Matrix::Zero(1, n), b.transpose(), Matrix());
    ASSERT_EQ(s.status[0], QpStatus::kInfeasible) << k;
    EXPECT_EQ(MinimalConflict(A, b, equal, s.certificates.row(0).transpose()), expected) << k;
  }
}

TEST(Infeasible, ReasonsNameTheRows) {
  const Problem p = MakeProblem(
      "context t : real ~ normal(0, 1)\nvariable y : real[3] in box(0, 1)\nminimize sumsq(y)\n"
      "subject to\n  total: sum(y) == t\n  pair[i in 2]: y[i] + y[i + 1] <= 1\n");
  at::Tensor t = at::full({3}, 1.0, at::kDouble);
  t[1] = 2.5;
  const Values values = {{"t", t}};
  const ReferenceSummary s = SolveReference(p, values, 3);
  EXPECT_EQ(s.status[0], SolveStatus::kSolved);
  ASSERT_EQ(s.status[1], SolveStatus::kInfeasible);
  const std::vector<Reason> reasons = ReasonsOf(p, values, 3, s, 10);
  ASSERT_EQ(reasons.size(), 1u);
  EXPECT_EQ(reasons[0].instance, 1);
  // y0 + y1 <= 1 and y2 <= 1, or y1 + y2 <= 1 and y0 <= 1: with the total three rows, either way.
  EXPECT_EQ(reasons[0].parts.size(), 3u);
  EXPECT_EQ(std::count(reasons[0].parts.begin(), reasons[0].parts.end(), "total"), 1);
}

TEST(Infeasible, UnboundedProgramsSayAlongWhat) {
  const Problem p = MakeProblem(
      "context c : real ~ normal(0, 1)\nvariable y : real[2]\n"
      "minimize c * y[0]\nsubject to\n  same: y[0] == y[1]\n");
  const Values values = {{"c", at::full({1}, 1.0, at::kDouble)}};
  const ReferenceSummary s = SolveReference(p, values, 1);
  ASSERT_EQ(s.status[0], SolveStatus::kUnbounded);
  EXPECT_EQ(ToText(ReasonsOf(p, values, 1, s, 1)[0]), "instance 0 is unbounded along y[0] -1, y[1] -1");
}

// A model that predicts zeros: what its certificate does not bear out is solved, as far as the budget goes.
TEST(Trust, StagesAreTakenInTurn) {
  for (const char* objective : {"0.5 * sumsq(y - x)", "sum(exp(y) - x .* y) + 0.5 * sumsq(y)"}) {
    const Problem p = MakeProblem(std::string("dim n = 3\ncontext x : real[n] ~ normal(1, 1)\n"
                                              "variable y : real[n] in box(-1, 3)\nminimize ") +
                                  objective + "\nsubject to\n  total: sum(y) <= 2\nmodel zeros\n");
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{2});
    const Values sample = Sample(p, 40, Split::kTest, g);
    const Trusted t = PredictTrusted(p, sample, 40, {.tolerance = 1e-5});
    EXPECT_EQ(std::count(t.within.begin(), t.within.end(), 1), 40);
    EXPECT_GT(std::count(t.stage.begin(), t.stage.end(), TrustStage::kPredicted), -1);
    const std::vector<double> shortfall = Shortfall(Certify(p, With(sample, t.answer), 40), 40);
    for (const double s : shortfall) EXPECT_LE(s, 1e-5);
    const Trusted none = PredictTrusted(p, sample, 40, {.tolerance = 1e-5, .budget = 0});
    for (std::size_t i = 0; i < 40; ++i) {
      EXPECT_EQ(none.stage[i], TrustStage::kPredicted);
      EXPECT_EQ(none.within[i] != 0, Shortfall(none.certificate, 40)[i] <= 1e-5);
    }
    EXPECT_LT(std::count(none.within.begin(), none.within.end(), 1), 40);
  }
}

}  // namespace
}  // namespace amo::runtime
