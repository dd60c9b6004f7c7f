// SPDX-License-Identifier: Apache-2.0
// Stages that see to constraints and manifolds: `complete` and `correct` against the nearest point and the amounts by
// which constraints fail, steps along manifolds against their closed forms; families of networks against single ones.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>

#include "runtime/evaluate.h"
#include "runtime/instances.h"
#include "runtime/predictor.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kBatch = 6;

struct Drawn {
  Problem problem;
  Values values;  // contexts and what is learned
};

Drawn Draw(const std::string& text) {
  Drawn r{MakeProblem(text), {}};
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(5);
  r.values = Sample(r.problem, kBatch, Split::kTest, g);
  for (const auto& [name, t] : InitialLearned(r.problem, g)) r.values[name] = t;
  return r;
}

at::Tensor Answer(const Drawn& r, const std::string& name = "y") {
  return RunModel(r.problem, r.values, kBatch).answer.at(name);
}

double Far(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

const std::string kLinear =
    "dim n = 5\ndim k = 2\ndata A : real[k, n] ~ normal(0, 1)\ncontext x : real[k] ~ normal(0, 1)\n"
    "context p : real[n] ~ normal(0, 3)\nvariable y : real[n]\nminimize sumsq(y)\nsubject to\n  balance: A * y == x\n"
    "  most: y <= 1\nloss objective\n";

TEST(Complete, OfLinearEquationsIsTheNearestPoint) {
  Drawn r = Draw(kLinear + "model y = p then complete\n");
  const at::Tensor a = r.problem.shared.at("A"), x = r.values.at("x");
  const at::Tensor p = r.values.at("p").detach().clone().requires_grad_(true);
  r.values["p"] = p;
  const at::Tensor y = Answer(r);
  EXPECT_LT(Far(y.matmul(a.t()), x), 1e-12);
  const at::Tensor gap = p.matmul(a.t()) - x;
  const at::Tensor nearest = p - at::linalg_solve(a.matmul(a.t()), gap.t()).t().matmul(a);
  EXPECT_LT(Far(y, nearest), 1e-12);
  const at::Tensor along = at::randn_like(y);
  const at::Tensor ours = torch::autograd::grad({(y * along).sum()}, {p})[0];
  const at::Tensor theirs = torch::autograd::grad({(nearest * along).sum()}, {p})[0];
  EXPECT_LT(Far(ours, theirs), 1e-12);
}

TEST(Complete, TakesEquationsThatRepeatOthers) {
  const Drawn r = Draw("context p : real[3] ~ normal(0, 1)\nvariable y : real[3]\nminimize sumsq(y)\nsubject to\n"
                       "  a: sum(y) == 1\n  b: 2 * sum(y) == 2\nloss objective\nmodel y = p then complete\n");
  EXPECT_LT(Far(Answer(r).sum(1), at::ones({kBatch}, at::TensorOptions(at::kDouble))), 1e-12);
}

// On the curve y1 y2 = x the derivative is the projection onto its tangent.
TEST(Complete, OfNonlinearEquationsKeepsThem) {
  Drawn r = Draw(
      "context x : real ~ uniform(1, 2)\ncontext p : real[2] ~ uniform(1, 2)\nvariable y : real[2]\n"
      "minimize sumsq(y)\nsubject to\n  curve: y[0] * y[1] == x\nloss objective\nmodel y = p then complete\n");
  at::Tensor y = Answer(r);
  EXPECT_LT(Far(y.select(1, 0) * y.select(1, 1), r.values.at("x")), 1e-13);
  const at::Tensor p = y.detach().clone().requires_grad_(true);
  r.values["p"] = p;
  y = Answer(r);
  EXPECT_LT(Far(y, p), 1e-13);
  const at::Tensor along = at::randn_like(y), normal = p.detach().flip({1});
  const at::Tensor d = torch::autograd::grad({(y * along).sum()}, {p})[0];
  const at::Tensor share = (along * normal).sum(1, true) / (normal * normal).sum(1, true);
  EXPECT_LT(Far(d, along - share * normal), 1e-12);
}

TEST(Correct, DescendsOnInequalitiesAlongTheEquations) {
  const auto worst = [](const at::Tensor& y) { return (y - 1).clamp_min(0).pow(2).sum(1); };
  const Drawn before = Draw(kLinear + "model y = p then complete\n");
  const Drawn after =
      Draw(kLinear + "model y = p then complete then correct(steps = 200, rate = 0.1, momentum = 0.5)\n");
  const at::Tensor y = Answer(after);
  EXPECT_LT(Far(y.matmul(after.problem.shared.at("A").t()), after.values.at("x")), 1e-11);
  EXPECT_GT(worst(Answer(before)).max().item<double>(), 1);
  EXPECT_LT(worst(y).max().item<double>(), 0.01 * worst(Answer(before)).max().item<double>());
  // Two steps without equations, by hand: v <- m v + rate * 2 (y - 1)+.
  const Drawn two = Draw("context p : real[3] ~ normal(0, 3)\nvariable y : real[3]\nminimize sumsq(y)\nsubject to\n"
                         "  most: 2 * y <= 2\nloss objective\n"
                         "model y = p then correct(steps = 2, rate = 0.1, momentum = 0.5)\n");
  at::Tensor z = two.values.at("p"), v = at::zeros_like(z);
  for (int k = 0; k < 2; ++k) {
    v = 0.5 * v + 0.1 * 4 * (2 * z - 2).clamp_min(0);
    z = z - v;
  }
  EXPECT_LT(Far(Answer(two), z), 1e-12);
}

TEST(Riemannian, StepsOnTheSphereAndOnStiefel) {
  const Drawn s = Draw("context p : real[4] ~ normal(0, 1)\ncontext c : real[4] ~ normal(0, 1)\n"
                       "variable y : real[4] in sphere\nminimize dot(c, y)\nloss objective\n"
                       "model y = p then riemannian_gradient(steps = 1, rate = 0.3)\n");
  const at::Tensor c = s.values.at("c"), p = s.values.at("p") / s.values.at("p").norm(2, {1}, true);
  const at::Tensor moved = p - 0.3 * (c - (c * p).sum(1, true) * p);
  EXPECT_LT(Far(Answer(s), moved / moved.norm(2, {1}, true)), 1e-13);
  const Drawn q = Draw("context B : real[4, 4] ~ normal(0, 1)\nvariable y : real[4, 2] in stiefel\n"
                       "maximize trace(y' * (B + B') * y)\nloss objective\n"
                       "model y = [i in 4, j in 2: B[i, j]] then riemannian_gradient(steps = 300, rate = 0.05)\n");
  const at::Tensor y = Answer(q), b = q.values.at("B"), m = b + b.transpose(1, 2);
  EXPECT_LT(Far(y.transpose(1, 2).matmul(y), at::eye(2, y.options())), 1e-12);
  const at::Tensor best = std::get<0>(at::linalg_eigh(m)).narrow(1, 2, 2).sum(1);
  const at::Tensor reached = at::einsum("bij,bik,bkj->b", {y, m, y});
  EXPECT_LT(Far(reached, best), 1e-6);
}

// One step of length 1 from M in the metric of log|.|: of f = trace(S M) the gradient is S.
TEST(Riemannian, StepsAlongGeodesicsOfPositiveMatrices) {
  const Drawn r = Draw("context B : real[3, 3] ~ normal(0, 1)\ncontext S : real[3, 3] ~ normal(0, 1)\n"
                       "variable y : real[3, 3] in spd\nminimize trace((S + S') * y)\nloss objective\n"
                       "model y = B * B' + eye(3) then riemannian_gradient(steps = 1, rate = 0.2)\n");
  const at::Tensor b = r.values.at("B"), s = r.values.at("S") + r.values.at("S").transpose(1, 2);
  const at::Tensor m = b.matmul(b.transpose(1, 2)) + at::eye(3, b.options());
  const auto spectral = [](const at::Tensor& t, auto f) {
    const auto [values, vectors] = at::linalg_eigh(t);
    return vectors.matmul(f(values).unsqueeze(2) * vectors.transpose(1, 2));
  };
  const at::Tensor root = spectral(m, [](const at::Tensor& l) { return l.sqrt(); });
  const at::Tensor turned = -0.2 * root.matmul(s).matmul(root);
  const at::Tensor exponential = spectral(turned, [](const at::Tensor& l) { return l.exp(); });
  EXPECT_LT(Far(Answer(r), root.matmul(exponential).matmul(root)), 1e-10);
}

// Members of a family are networks of their own: by a number, by a binder, by the step of a scan.
TEST(Families, AreNetworksOfTheirOwn) {
  const std::string shared =
      "dim n = 3\ncontext c : real[n] ~ normal(0, 1)\nvariable y : real[n]\nminimize sumsq(y - c)\n";
  Drawn family = Draw("network f[i in 3](x : real[n]) -> real[n] = mlp(hidden = [4])\n" + shared +
                      "model y = f[1](c) + sum(i in 3: (i + 1) * f[i](c)) + last(scan(z = c, t in 3: f[t](z)))\n");
  Drawn single = Draw("network f(x : real[n]) -> real[n] = mlp(hidden = [4])\n"
                      "network g(x : real[n]) -> real[n] = mlp(hidden = [4])\n"
                      "network h(x : real[n]) -> real[n] = mlp(hidden = [4])\n" + shared +
                      "model y = g(c) + f(c) + 2 * g(c) + 3 * h(c) + h(g(f(c)))\n");
  for (int k = 0; k < 4; ++k) {
    const std::string array = "/" + std::to_string(k);
    const at::Tensor all = family.values.at("weight/f" + array);
    EXPECT_EQ(all.size(0), 3);
    single.values["weight/f" + array] = all.select(0, 0);
    single.values["weight/g" + array] = all.select(0, 1);
    single.values["weight/h" + array] = all.select(0, 2);
  }
  single.values["c"] = family.values.at("c");
  EXPECT_LT(Far(Answer(family), Answer(single)), 1e-12);
}

}  // namespace
}  // namespace amo::runtime
