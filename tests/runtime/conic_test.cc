// SPDX-License-Identifier: Apache-2.0
// Sets and linear constraints kept at once: nearest points by the variational inequality, their derivatives by
// differences, second-order cone and semidefinite programs against closed forms; what is chosen for it.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>

#include "runtime/reference.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kBatch = 24;

struct Drawn {
  Problem problem;
  Values values;
};

Drawn Draw(const std::string& text, std::int64_t batch = kBatch) {
  Drawn r{MakeProblem(text), {}};
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(3);
  r.values = Sample(r.problem, batch, Split::kTest, g);
  return r;
}

at::Tensor Normal(std::vector<std::int64_t> sizes, double scale, std::uint64_t seed) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(seed);
  return scale * at::randn(sizes, g, at::TensorOptions(at::kDouble));
}

at::Tensor Nearest(const Drawn& r, const at::Tensor& y) {
  Values now{{"y", y}};
  ProjectVariables(r.problem, r.values, y.size(0), now);
  return now.at("y");
}

double Largest(const at::Tensor& t) { return t.max().item<double>(); }

// <v - Pv, Pz - Pv> <= 0, P(Pv) = Pv, and the derivative along a direction is the difference quotient.
void ExpectNearest(const Drawn& r, const std::vector<std::int64_t>& shape, double scale) {
  std::vector<std::int64_t> sizes{kBatch};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(7);
  const auto draw = [&](double s) { return s * at::randn(sizes, g, at::TensorOptions(at::kDouble)); };
  const at::Tensor v = draw(scale), p = Nearest(r, v), q = Nearest(r, draw(scale));
  EXPECT_LT(Largest(((v - p) * (q - p)).flatten(1).sum(1)), 1e-8 * (1 + scale));
  EXPECT_LT(Largest((Nearest(r, p) - p).abs()), 1e-7);
  const at::Tensor leaf = v.clone().requires_grad_(true), weight = draw(1), along = draw(1);
  const at::Tensor slope = torch::autograd::grad({(Nearest(r, leaf) * weight).sum()}, {leaf})[0];
  const double h = 1e-5;
  const at::Tensor up = Nearest(r, v + h * along), down = Nearest(r, v - h * along);
  const at::Tensor difference = ((up - down) * weight).flatten(1).sum(1) / (2 * h);
  const at::Tensor bend = ((up - 2 * p + down) * weight).flatten(1).sum(1).abs() / h;
  const at::Tensor product = (slope * along).flatten(1).sum(1);
  const at::Tensor smooth = bend.lt(1e-3);  // no kink between
  EXPECT_GT(smooth.sum().item<std::int64_t>(), kBatch / 2);
  EXPECT_LT(Largest(((difference - product).abs() / (1 + product.abs())).where(smooth, at::zeros_like(product))), 2e-5);
}

const std::string kCorrelation =
    "dim n = 5\ncontext c : real[n, n] ~ normal(0, 1)\nvariable y : real[n, n] in psd\nminimize sumsq(y - c)\n"
    "subject to\n  diagonal[i in n]: y[i, i] == 1\n";

TEST(Conic, CorrelationMatrices) {
  const Drawn r = Draw(kCorrelation);
  ASSERT_TRUE(r.problem.program.conic);
  EXPECT_EQ(r.problem.program.projected, std::vector<std::string>{"diagonal"});
  const at::Tensor p = Nearest(r, Normal({kBatch, 5, 5}, 3, 1));
  EXPECT_LT(Largest((p.diagonal(0, 1, 2) - 1).abs()), 1e-12);
  EXPECT_GT(at::linalg_eigvalsh(p).min().item<double>(), -1e-12);
  ExpectNearest(r, {5, 5}, 1);
}

const std::string kCones =
    "dim n = 4\ndim m = 3\ndata A : real[m, n] ~ uniform(0, 1)\ndata P : real[m, n, n] ~ normal(0, 0.3)\n"
    "context c : real[n] ~ normal(0, 1)\ncontext t : real[m] ~ uniform(1, 2)\nvariable y : real[n] in box(-1, 2)\n"
    "minimize dot(c, y)\nsubject to\n  rows[i in m]: concat([t[i] - dot(A[i], y)], P[i] * y) in second_order_cone\n"
    "  total: sum(y) == 0.5\n  pair: y[0] - y[1] <= 0.3\n";

at::Tensor ConeGap(const Drawn& r, const at::Tensor& y) {
  const at::Tensor use = at::matmul(y, r.problem.shared.at("A").t());
  const at::Tensor spread = at::matmul(r.problem.shared.at("P").unsqueeze(0), y.unsqueeze(1).unsqueeze(3)).squeeze(3);
  return spread.norm(2, {2}) + use - r.values.at("t");
}

TEST(Conic, RowsInSecondOrderCones) {
  const Drawn r = Draw(kCones);
  ASSERT_TRUE(r.problem.program.conic);
  std::uint64_t seed = 10;
  for (const double scale : {1.0, 30.0, 3000.0, 1.0, 30.0, 3000.0}) {
    const at::Tensor y = Nearest(r, Normal({kBatch, 4}, scale, ++seed));
    EXPECT_LT(Largest(ConeGap(r, y)), 1e-9 * (1 + scale)) << scale;
    EXPECT_LT(Largest((y.sum(1) - 0.5).abs()), 1e-9 * (1 + scale)) << scale;
    EXPECT_LT(Largest(y.select(1, 0) - y.select(1, 1)), 0.3 + 1e-9 * (1 + scale)) << scale;
    EXPECT_LE(Largest(y), 2);
  }
  ExpectNearest(r, {4}, 1);
}

TEST(Conic, SolvesAConeProgram) {
  const Drawn r = Draw(kCones);
  const ReferenceSummary s = SolveReference(r.problem, r.values, kBatch);
  for (const SolveStatus status : s.status) EXPECT_EQ(status, SolveStatus::kSolved);
  EXPECT_LT(Largest(ConeGap(r, s.variables.at("y"))), 1e-8);
  // No feasible point is lower.
  const at::Tensor c = r.values.at("c"), reached = (c * s.variables.at("y")).sum(1);
  for (int k = 0; k < 5; ++k) {
    const at::Tensor other = Nearest(r, Normal({kBatch, 4}, 3, 100 + static_cast<std::uint64_t>(k)));
    EXPECT_LT(Largest(reached - (c * other).sum(1)), 1e-6);
  }
}

// The ball as a cone: c'y is least at -c / |c|.
TEST(Conic, HasTheClosedFormOnABall) {
  const Drawn r = Draw("context c : real[3] ~ normal(0, 1)\nvariable y : real[3]\nminimize dot(c, y)\nsubject to\n"
                       "  ball: concat([1], y) in second_order_cone\n");
  ASSERT_TRUE(r.problem.program.conic);
  const ReferenceSummary s = SolveReference(r.problem, r.values, kBatch);
  const at::Tensor c = r.values.at("c");
  EXPECT_LT(Largest((s.variables.at("y") + c / c.norm(2, {1}, true)).abs()), 1e-6);
}

// The least eigenvalue as a semidefinite program: min <C, Y>, trace Y = 1, Y psd.
TEST(Conic, LeastEigenvalueBySemidefiniteProgramming) {
  const Drawn r = Draw("dim n = 4\nhidden B : real[n, n] ~ normal(0, 1)\ncontext C : real[n, n] = B + B'\n"
                       "variable y : real[n, n] in psd\nminimize sum(C .* y)\nsubject to\n  one: trace(y) == 1\n");
  ASSERT_TRUE(r.problem.program.conic);
  const ReferenceSummary s = SolveReference(r.problem, r.values, kBatch);
  const at::Tensor least = at::linalg_eigvalsh(r.values.at("C")).select(1, 0);
  EXPECT_LT(Largest((s.objective - least).abs()), 1e-6);
}

// No correlation is 2: sets hold, the constraints show by how much they fail, and nothing is called solved.
TEST(Conic, SaysWhereNoPointKeepsTheConstraints) {
  const Drawn r = Draw(kCorrelation + "  bad: y[0, 1] >= 2\n", 3);
  const ReferenceSummary s = SolveReference(r.problem, r.values, 3, {.steps = 2});
  for (const SolveStatus status : s.status) EXPECT_NE(status, SolveStatus::kSolved);
  EXPECT_GT(at::linalg_eigvalsh(s.variables.at("y")).min().item<double>(), -1e-9);
}

TEST(Conic, IsNotForPolyhedraNorForWhatIsHidden) {
  EXPECT_FALSE(Draw("variable y : real[3] in simplex\nminimize sumsq(y)\nsubject to\n  a: y[0] + y[1] == 0.5\n")
                   .problem.program.conic);
  EXPECT_FALSE(Draw("hidden h : real ~ uniform(0, 1)\nvariable y : real[3] in ball(1)\nminimize sumsq(y)\nsubject to\n"
                    "  a: y[0] == h\n").problem.program.conic);
  EXPECT_FALSE(Draw("variable y : real[3] in ball(1)\nminimize sumsq(y)\nsubject to\n  a: y[0] * y[1] == 0.1\n")
                   .problem.program.conic);
}

}  // namespace
}  // namespace amo::runtime
