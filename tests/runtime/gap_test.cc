// SPDX-License-Identifier: Apache-2.0
// Bounds of what an answer loses, by class of convex problem: none is below the true gap, and at solutions they are
// small.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "runtime/answer.h"
#include "runtime/gap.h"
#include "runtime/instances.h"
#include "runtime/reference.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

Values With(Values values, const Values& more) {
  for (const auto& [name, t] : more) values[name] = t;
  return values;
}

struct Family {
  const char* name;
  const char* text;
  double solved;  // the bound at solutions
};

// Data differ by seed, contexts by instance.
const Family kFamilies[] = {
    {"linear program",
     "data A : real[6, 5] ~ normal(0, 1)\ncontext c : real[5] ~ normal(0, 1)\ncontext u : real[6] ~ exponential(1)\n"
     "variable y : real[5] in box(-1, 2)\nminimize dot(c, y)\nsubject to\n  rows: A * y <= u\n",
     1e-6},
    {"linear program, bounded by its rows alone",
     "context c : real[4] ~ uniform(0.1, 1)\ncontext t : real ~ uniform(1, 2)\nvariable y : real[4]\n"
     "minimize dot(c, y)\nsubject to\n  low: y >= -1\n  total: sum(y) == t\n",
     1e-6},
    {"linear program, bounded by its objective",
     "context c : real[4] ~ uniform(0.1, 1)\nvariable y : real[4] in nonnegative\n"
     "minimize dot(c, y)\nsubject to\n  some: sum(y) >= 1\n",
     1e-6},
    {"quadratic program of low rank",
     "data R : real[2, 6] ~ normal(0, 1)\ndata E : real[1, 6] ~ normal(0, 1)\ncontext p : real[6] ~ normal(0, 1)\n"
     "variable y : real[6] in box(-1, 1)\nminimize 0.5 * sumsq(R * y) + dot(p, y)\n"
     "subject to\n  same: E * y == [0.1]\n",
     1e-6},
    {"lasso",
     "data A : real[4, 8] ~ normal(0, 1)\ncontext b : real[4] ~ normal(0, 1)\nvariable y : real[8]\n"
     "minimize 0.5 * sumsq(A * y - b) + 0.1 * norm1(y)\n",
     1e-6},
    {"simplex with costs of change",
     "data S : real[5, 5] ~ normal(0, 1)\ncontext mu : real[5] ~ normal(0, 1)\ncontext w0 : real[5] ~ dirichlet(1)\n"
     "variable w : real[5] in simplex\n"
     "minimize 0.5 * sumsq(S * w) - dot(mu, w) + 0.1 * sum(i in 5: abs(w[i] - w0[i]))\nsubject to\n  cap: w <= 0.6\n",
     1e-6},
    {"largest of affine values",
     "data A : real[6, 3] ~ normal(0, 1)\ncontext b : real[6] ~ normal(0, 1)\nvariable y : real[3] in box(-1, 1)\n"
     "minimize max(A * y + b)\n",
     1e-6},
    {"convex over rows",
     "data A : real[3, 4] ~ normal(0, 1)\ncontext c : real[4] ~ normal(0, 1)\ncontext u : real[3] ~ exponential(1)\n"
     "variable y : real[4] in box(-1, 1)\nminimize logsumexp(2 .* y) + dot(c, y)\nsubject to\n  rows: A * y <= u\n",
     1e-5},
    {"convex over a ball",
     "data A : real[7, 4] ~ normal(0, 1)\ncontext c : real[4] ~ normal(0, 1)\nvariable y : real[4] in ball(1.5)\n"
     "minimize sum(softplus(A * y)) + dot(c, y)\n",
     1e-5},
    {"norm over a ball",
     "data A : real[7, 4] ~ normal(0, 1)\ncontext b : real[7] ~ normal(0, 1)\nvariable y : real[4] in ball1(1)\n"
     "minimize norm2(A * y - b)\n",
     1e-5},
    {"semidefinite program",
     "context c : real[4, 4] ~ normal(0, 1)\nvariable Y : real[4, 4] in psd\n"
     "minimize sum(i in 4, j in 4: c[i, j] * Y[i, j])\nsubject to\n  unit: diag(Y) == 1\n",
     1e-3},
    {"nearest correlation",
     "context c : real[4, 4] ~ normal(0, 1)\nvariable Y : real[4, 4] in psd\n"
     "minimize 0.5 * sum(i in 4, j in 4: (Y[i, j] - c[i, j])^2)\nsubject to\n  unit: diag(Y) == 1\n",
     1e-6},
    {"second-order cone program",
     "data A : real[4, 3] ~ normal(0, 1)\ncontext c : real[3] ~ normal(0, 1)\ncontext r : real ~ uniform(1, 2)\n"
     "variable y : real[3] in box(-1, 1)\nminimize dot(c, y)\nsubject to\n"
     "  cone: concat([r], A * y) in second_order_cone\n",
     1e-4},
    {"convex rows",
     "context c : real[3] ~ normal(0, 1)\ncontext r : real ~ uniform(0.5, 2)\nvariable y : real[3]\n"
     "minimize dot(c, y) + exp(y[0])\nsubject to\n  round: sumsq(y) <= r\n  low: exp(y[1]) + y[2] <= 2\n"
     "  plane: sum(y) == 0.2\n",
     1e-4},
};

TEST(Gap, BoundsAreNeverBelowTheGap) {
  constexpr std::int64_t kBatch = 300;
  for (const Family& family : kFamilies) {
    const Problem p = MakeProblem(family.text);
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{7});
    const Values sample = Sample(p, kBatch, Split::kTest, g);
    const ReferenceSummary s = SolveReference(p, sample, kBatch);
    std::int64_t solved = 0;
    for (const SolveStatus status : s.status) solved += status == SolveStatus::kSolved;
    EXPECT_GE(solved, kBatch * 95 / 100) << family.name;
    const Instances instances(p, sample, kBatch);
    const at::Tensor best = instances.Join(s.variables);
    for (const double far : {1.0, 1e-3}) {
      const at::Tensor noise = at::randn(best.sizes(), g, best.options());
      const at::Tensor y = instances.Project(far == 1 ? 2 * noise : best + far * noise);
      const Certificate c = Certify(p, With(sample, instances.Split(y)), kBatch);
      ASSERT_TRUE(c.gap && c.objective) << family.name;
      const at::Tensor gap = *c.objective - s.objective;
      EXPECT_GE((*c.gap - gap).min().item<double>(), -1e-7) << family.name << " " << far;
      EXPECT_TRUE(at::isfinite(*c.gap).all().item<bool>()) << family.name << " " << far;
      if (far < 1) {  // in proportion to the distance at least
        EXPECT_LT(c.gap->median().item<double>(), 0.1) << family.name;
      }
    }
    const Certificate c = Certify(p, With(sample, s.variables), kBatch);
    EXPECT_LT(c.gap->median().item<double>(), family.solved) << family.name;
    EXPECT_GE((*c.gap - (*c.objective - s.objective)).min().item<double>(), 0) << family.name;
  }
}

TEST(Gap, NothingIsClaimedWithoutConvexity) {
  for (const std::string rest : {"variable y : real[3] in ball(1)\nminimize sum(sin(y + c))\n",
                                 "variable y : real[3] in sphere\nminimize dot(y, c)\n",
                                 "variable y : real[3] in box(-1, 1)\nminimize y[0] * y[1] + dot(y, c)\n",
                                 "variable y : real[3] in box(-1, 1)\nminimize dot(y, c)\n"
                                 "subject to\n  outside: sumsq(y) >= 1\n"}) {
    const std::string text = "context c : real[3] ~ normal(0, 1)\n" + rest;
    const Problem p = MakeProblem(text);
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{7});
    const Values sample = Sample(p, 20, Split::kTest, g);
    const Instances instances(p, sample, 20);
    const at::Tensor y = instances.Project(at::randn({20, 3}, g, at::TensorOptions(at::kDouble)));
    EXPECT_FALSE(Certify(p, With(sample, instances.Split(y)), 20).gap) << text;
  }
}

TEST(Gap, LevelsOfCertificates) {
  const Problem p = MakeProblem(kFamilies[0].text);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{7});
  const Values all = With(Sample(p, 5, Split::kTest, g), {{"y", at::zeros({5, 5}, at::TensorOptions(at::kDouble))}});
  const Certificate full = Certify(p, all, 5), some = Certify(p, all, 5, CertificateLevel::kViolations);
  EXPECT_TRUE(full.objective && full.residual && full.gap && full.violations.count("rows"));
  EXPECT_TRUE(some.objective && !some.residual && !some.gap && some.violations.count("rows"));
  EXPECT_EQ((*full.objective - *some.objective).abs().max().item<double>(), 0);
  const Certificate none = Certify(p, all, 5, CertificateLevel::kNone);
  EXPECT_TRUE(!none.objective && !none.residual && !none.gap && none.violations.empty());
}

// More instances than are taken at once: each has the bound that it has alone.
TEST(Gap, InParts) {
  const Problem p = MakeProblem(
      "context c : real[200] ~ normal(0, 1)\ncontext s : real ~ uniform(1, 2)\nvariable y : real[200] in ball(1)\n"
      "minimize s * sumsq(y) + dot(c, y)\n");
  constexpr std::int64_t kBatch = 230;
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{7});
  Values all = Sample(p, kBatch, Split::kTest, g);
  all["y"] = 0.05 * at::randn({kBatch, 200}, g, at::TensorOptions(at::kDouble));
  const Certificate whole = Certify(p, all, kBatch);
  ASSERT_TRUE(whole.gap);
  Values last;
  for (const auto& [name, t] : all) last[name] = t.narrow(0, kBatch - 30, 30);
  const Certificate part = Certify(p, last, 30);
  EXPECT_LT((whole.gap->narrow(0, kBatch - 30, 30) - *part.gap).abs().max().item<double>(), 1e-9);
}

// Unbounded below in some instances: what bounds there are is infinite for these.
TEST(Gap, WithoutABoundItIsInfinite) {
  const Problem p = MakeProblem(
      "context c : real ~ normal(0, 1)\nvariable y : real[2] in nonnegative\nminimize c * y[0] + y[1]\n");
  const at::Tensor c = at::tensor({1.0, -1.0}, at::TensorOptions(at::kDouble));
  const Certificate certificate =
      Certify(p, {{"c", c}, {"y", at::zeros({2, 2}, at::TensorOptions(at::kDouble))}}, 2);
  ASSERT_TRUE(certificate.gap);
  EXPECT_LT((*certificate.gap)[0].item<double>(), 1e-9);
  EXPECT_TRUE(std::isinf((*certificate.gap)[1].item<double>()));
}

TEST(Gap, RangesFollowFromRows) {
  const Problem p = MakeProblem("variable y : real[3] in nonnegative\nminimize sum(y)\n");
  Matrix A(2, 3);
  A << 1, 2, 0, 0, 1, -1;  // y0 + 2 y1 <= 4, y1 == y2
  Range range = RangesOf(p, {}, 1).of(0);
  range.lo.setZero();
  const double b[] = {-4, 0};
  Tighten(SparseRows(A, {0, 1}, 3), b, {}, 0, p.program, range);
  EXPECT_NEAR(range.hi[0], 4, 1e-9);
  EXPECT_NEAR(range.hi[1], 2, 1e-9);
  EXPECT_NEAR(range.hi[2], 2, 1e-9);
  EXPECT_NEAR(Diameter(range), 4, 1e-9);
}

}  // namespace
}  // namespace amo::runtime
