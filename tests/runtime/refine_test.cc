// SPDX-License-Identifier: Apache-2.0
// Refinements that are formulas: each against the same steps by hand, fixed points against their closed forms, and
// every way in which derivatives pass the steps.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/evaluate.h"
#include "runtime/instances.h"
#include "runtime/predictor.h"
#include "runtime/reference.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kBatch = 7;

// 0.5 y'Qy - (w .* c)'y with a well-conditioned Q: its minimum is Q⁻¹ (w .* c).
std::string Quadratic(const std::string& model) {
  return "dim n = 4\ndata R : real[n, n] ~ normal(0, 0.4)\ndata Q : real[n, n] = R' * R + eye(n)\n"
         "context c : real[n] ~ normal(0, 1)\nparameter w : real[n] = 1\nvariable y : real[n]\n"
         "minimize 0.5 * quad(Q, y) - dot(w .* c, y)\nloss objective\nmodel " +
         model + "\n";
}

struct Drawn {
  Problem problem;
  Values values;  // contexts and what is learned
};

Drawn Draw(const std::string& text, std::uint64_t seed = 1) {
  Drawn r{MakeProblem(text), {}};
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(seed);
  r.values = Sample(r.problem, kBatch, Split::kTest, g);
  for (const auto& [name, t] : InitialLearned(r.problem, g)) r.values[name] = t;
  return r;
}

at::Tensor Answer(const Drawn& r) { return RunModel(r.problem, r.values, kBatch).answer.at("y"); }

double Far(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

struct Parts {
  at::Tensor q, c;
};
Parts PartsOf(const Drawn& r) { return {r.problem.shared.at("Q"), r.values.at("c")}; }

TEST(Refine, GradientStepsAreThoseByHand) {
  const Drawn r = Draw(Quadratic("zeros then gradient(steps = 6, rate = 0.1)"));
  const auto [q, c] = PartsOf(r);
  at::Tensor y = at::zeros_like(c);
  for (int k = 0; k < 6; ++k) y = y - 0.1 * (y.matmul(q) - c);
  EXPECT_LT(Far(Answer(r), y), 1e-13);
}

TEST(Refine, MomentumAndClipAreThoseByHand) {
  const Drawn r = Draw(Quadratic("zeros then momentum(steps = 6, rate = 0.1, decay = 0.5, clip = 0.7)"));
  const auto [q, c] = PartsOf(r);
  at::Tensor y = at::zeros_like(c), v = at::zeros_like(c);
  for (int k = 0; k < 6; ++k) {
    const at::Tensor g = y.matmul(q) - c;
    v = 0.5 * v + g * (0.7 / g.norm(2, {1}, true)).clamp_max(1);
    y = y - 0.1 * v;
  }
  EXPECT_LT(Far(Answer(r), y), 1e-12);
}

TEST(Refine, AdamIsThatByHand) {
  const Drawn r = Draw(Quadratic("zeros then adam(steps = 9, rate = 0.05)"));
  const auto [q, c] = PartsOf(r);
  at::Tensor y = at::zeros_like(c), m = y, v = y;
  for (int k = 1; k <= 9; ++k) {
    const at::Tensor g = y.matmul(q) - c;
    m = 0.9 * m + 0.1 * g, v = 0.999 * v + 0.001 * g * g;
    y = y - 0.05 * (m / (1 - std::pow(0.9, k))) / ((v / (1 - std::pow(0.999, k))).sqrt() + 1e-8);
  }
  EXPECT_LT(Far(Answer(r), y), 1e-10);
}

TEST(Refine, ARateMayBeLearned) {
  Drawn r = Draw(Quadratic("zeros then gradient(steps = 3, rate = learned(0.2))"));
  const auto [q, c] = PartsOf(r);
  at::Tensor rate = r.values.at("weight/model/0.rate").detach().clone().requires_grad_(true);
  EXPECT_DOUBLE_EQ(rate.item<double>(), 0.2);
  r.values["weight/model/0.rate"] = rate;
  at::Tensor y = at::zeros_like(c);
  for (int k = 0; k < 3; ++k) y = y - rate * (y.matmul(q) - c);
  const at::Tensor ours = torch::autograd::grad({Answer(r).sum()}, {rate})[0];
  const at::Tensor theirs = torch::autograd::grad({y.sum()}, {rate})[0];
  EXPECT_LT(Far(ours, theirs), 1e-12);
}

// A gradient by a name is the derivative: differences of the objective.
TEST(Refine, GradIsTheDerivative) {
  const Drawn r = Draw(
      "dim n = 3\ncontext c : real[n] ~ normal(0, 1)\nvariable y : real[n]\n"
      "minimize sum(i in n: exp(sin(y[i]) * c[i])) + log1p(sumsq(y - c)) + y[0] * y[1] * y[2]\n"
      "model y = grad(objective(y = 0.3 * c), c)\nloss objective\n");
  const at::Tensor c = r.values.at("c"), g = Answer(r);
  const auto value = [&](const at::Tensor& at) {
    Values v = r.values;
    v["c"] = at, v["y"] = 0.3 * at;
    return Objective(r.problem, v, kBatch);
  };
  for (int k = 0; k < 3; ++k) {
    at::Tensor up = c.clone(), down = c.clone();
    up.select(1, k) += 1e-6, down.select(1, k) -= 1e-6;
    EXPECT_LT(Far(g.select(1, k), (value(up) - value(down)) / 2e-6), 1e-7) << k;
  }
}

std::string Lasso(const std::string& stages) {
  return "dim m = 12\ndim n = 20\ndata A : real[m, n] ~ normal(0, 0.3)\ncontext b : real[m] ~ normal(0, 1)\n"
         "variable y : real[n]\nminimize 0.5 * sumsq(A * y - b) + 0.1 * norm1(y)\n" + stages;
}

// Proximal gradient is ISTA; accelerated it is FISTA (Beck, Teboulle 2009), and both come to what the QP solver finds.
TEST(Refine, ProximalGradientIsIsta) {
  const std::string rate = "rate = 0.08";
  const Drawn r = Draw(Lasso("model zeros then proximal_gradient(steps = 30, " + rate + ")\nloss objective\n"));
  const at::Tensor a = r.problem.shared.at("A"), b = r.values.at("b");
  const auto soft = [](const at::Tensor& y, double t) { return y.sign() * (y.abs() - t).clamp_min(0); };
  const auto step = [&](const at::Tensor& y) { return soft(y - 0.08 * (y.matmul(a.t()) - b).matmul(a), 0.008); };
  at::Tensor y = at::zeros({kBatch, 20}, at::kDouble);
  for (int k = 0; k < 30; ++k) y = step(y);
  EXPECT_LT(Far(Answer(r), y), 1e-12);

  const Drawn f =
      Draw(Lasso("model zeros then proximal_gradient(steps = 30, accelerate = true, " + rate + ")\nloss objective\n"));
  at::Tensor now = at::zeros({kBatch, 20}, at::kDouble), z = now;
  double t = 1;
  for (int k = 0; k < 30; ++k) {
    const at::Tensor next = step(z);
    const double longer = (1 + std::sqrt(1 + 4 * t * t)) / 2;
    z = next + (t - 1) / longer * (next - now);
    now = next, t = longer;
  }
  EXPECT_LT(Far(Answer(f), now), 1e-12);
}

TEST(Refine, ProximalGradientComesToTheSolution) {
  const Drawn qp = Draw(Lasso("solve zeros then qp(tol = 1e-9)\n"));
  const ReferenceSummary best = SolveReference(qp.problem, qp.values, kBatch);
  for (const char* accelerate : {"true", "false"}) {
    const std::string solve = "solve zeros then proximal_gradient(tol = 1e-10, steps = 20000, accelerate = ";
    const Drawn r = Draw(Lasso(solve + accelerate + ")\n"));
    const ReferenceSummary s = SolveReference(r.problem, r.values, kBatch);
    EXPECT_LT(Far(s.objective, best.objective), 1e-8) << accelerate;
  }
}

// The cross-entropy method, hard and differentiable, finds the minimum of a wavy bowl that descent misses.
TEST(Refine, CrossEntropyFindsTheDeepestValley) {
  for (const char* temperature : {"", ", temperature = 1"}) {
    const Drawn r = Draw(std::string("context c : real[2] ~ normal(0, 1)\nvariable y : real[2] in box(-6, 6)\n"
                                   "minimize 0.05 * sumsq(y - c) + sum(i in 2: 1 - cos(3 * (y[i] - c[i])))\n"
                                   "loss objective\nmodel zeros then cem(steps = 30, samples = 200, elites = 20, "
                                   "sigma = 3") + temperature + ")\n");
    EXPECT_LT(Far(Answer(r), r.values.at("c").clamp(-6, 6)), 0.05) << temperature;
  }
}

// Anderson's extrapolation ends at the fixed point, in fewer steps than iteration.
TEST(Refine, AndersonEndsAtTheFixedPoint) {
  const auto text = [](const char* method) {
    return std::string("dim n = 10\ndata R : real[n, n] ~ normal(0, 1)\ndata W : real[n, n] = 0.08 * (R + R')\n"
                       "context c : real[n] ~ normal(0, 1)\nvariable z : real[n]\nfind z == tanh(W * z + c)\n"
                       "loss residual\nmodel zeros then ") + method + "\n";
  };
  const auto residual = [&](const char* method) {
    const Drawn r = Draw(text(method));
    const at::Tensor z = RunModel(r.problem, r.values, kBatch).answer.at("z");
    return Far(z, (z.matmul(r.problem.shared.at("W").t()) + r.values.at("c")).tanh());
  };
  const double anderson = residual("anderson(steps = 25, memory = 5)");
  EXPECT_LT(anderson, 1e-8);
  EXPECT_LT(anderson, 1e-3 * residual("iterate(steps = 25)"));
  EXPECT_LT(residual("iterate(steps = 2000)"), 1e-9);
}

// A problem without an objective has a solver too, and what reports compare with it.
TEST(Refine, AFixedPointIsEvaluated) {
  const Problem p = MakeProblem(
      "dim n = 6\ndata R : real[n, n] ~ normal(0, 1)\ndata W : real[n, n] = 0.08 * (R + R')\n"
      "context c : real[n] ~ normal(0, 1)\nvariable z : real[n]\nfind z == tanh(W * z + c)\nloss residual\n"
      "solve zeros then anderson(memory = 5, steps = 60)\nmodel zeros then iterate(steps = 30)\n"
      "report far = expect(norm2(z - solved(z)))\n");
  EvaluateOptions o;
  o.instances = 20;
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{1});
  const Values learned = InitialLearned(p, g);
  const Evaluation e = Evaluate(p, learned, o);
  ASSERT_EQ(e.reports.size(), 1U);
  EXPECT_LT(e.reports[0].second.item<double>(), 1e-4);
  EXPECT_GT(e.reports[0].second.item<double>(), 0);
  EXPECT_LT(e.reference_residual.max, 1e-8);
}

// dL/dw of L = sum(v .* y*) with y* = Q⁻¹ (w .* c).
TEST(Refine, ImplicitDerivativesAreTheClosedForm) {
  for (const char* inner : {"cg", "anderson", "dense", "cg, steps = 40"}) {
    Drawn r = Draw(Quadratic(std::string("zeros then gradient(steps = 3000, rate = 0.1, gradient = implicit(") + inner +
                           "))"));
    const auto [q, c] = PartsOf(r);
    at::Tensor w = r.values.at("w").detach().clone().requires_grad_(true);
    r.values["w"] = w;
    const at::Tensor v = at::randn({kBatch, 4}, at::TensorOptions(at::kDouble));
    const at::Tensor ours = torch::autograd::grad({(Answer(r) * v).sum()}, {w})[0];
    const at::Tensor back = at::linalg_solve(q, v.t()).t();  // Q is symmetric
    EXPECT_LT(Far(ours, (back * c).sum(0)), 1e-6) << inner;
  }
}

// Under a set the map is projected: where a bound is active nothing passes.
TEST(Refine, ImplicitDerivativesKnowTheSet) {
  Drawn r = Draw("context c : real[3] ~ normal(0, 1)\nparameter w : real = 1\nvariable y : real[3] in box(-0.5, 0.5)\n"
               "minimize 0.5 * sumsq(y - w * c)\nloss objective\n"
               "model zeros then gradient(steps = 400, rate = 0.2, gradient = implicit(dense))\n");
  at::Tensor w = r.values.at("w").detach().clone().requires_grad_(true);
  r.values["w"] = w;
  const at::Tensor c = r.values.at("c");
  const at::Tensor ours = torch::autograd::grad({Answer(r).sum()}, {w})[0];
  EXPECT_LT(Far(ours, at::where(c.abs() < 0.5, c, at::zeros_like(c)).sum()), 1e-8);
}

// What arrives at w through the steps from y0 = w, by each of the ways.
TEST(Refine, PassagesLetThroughWhatTheySay) {
  const auto slope = [](const std::string& passage) {
    Drawn r = Draw("context c : real[2] ~ normal(0, 1)\nparameter w : real = 1\nvariable y : real[2]\n"
                 "minimize 0.25 * sum(i in 2: (y[i] - c[i])^4)\nloss objective\n"
                 "model y = [w, w] then gradient(steps = 4, rate = 0.1" + passage + ")\n");
    at::Tensor w = r.values.at("w").detach().clone().requires_grad_(true);
    r.values["w"] = w;
    const at::Tensor y = Answer(r);
    if (!y.requires_grad()) return std::pair<at::Tensor, at::Tensor>(at::Tensor(), r.values.at("c"));
    return std::pair<at::Tensor, at::Tensor>(torch::autograd::grad({y.sum()}, {w})[0], r.values.at("c"));
  };
  const auto by_hand = [](const at::Tensor& c, int recorded, bool first_order) {
    at::Tensor w = at::full({}, 1.0, at::kDouble).requires_grad_(true);
    at::Tensor y = w.expand_as(c);
    for (int k = 0; k < 4; ++k) {
      at::Tensor g = (y - c).pow(3);
      if (first_order) g = g.detach();
      y = y - 0.1 * g;
      if (k < 4 - recorded) y = y.detach();
    }
    return y.requires_grad() ? torch::autograd::grad({y.sum()}, {w}, {}, false, false, true)[0] : at::Tensor();
  };
  const auto [unrolled, c] = slope("");
  EXPECT_LT(Far(unrolled, by_hand(c, 4, false)), 1e-12);
  EXPECT_LT(Far(slope(", gradient = unroll").first, unrolled), 1e-15);
  EXPECT_LT(Far(slope(", gradient = first_order").first, by_hand(c, 4, true)), 1e-12);
  EXPECT_LT(Far(slope(", gradient = first_order").first, at::full({}, 2.0 * kBatch, at::kDouble)), 1e-12);
  EXPECT_LT(Far(slope(", gradient = straight_through").first, at::full({}, 2.0 * kBatch, at::kDouble)), 1e-12);
  EXPECT_LT(Far(slope(", gradient = truncated(4)").first, unrolled), 1e-15);
  EXPECT_FALSE(slope(", gradient = none").first.defined());
  EXPECT_FALSE(slope(", gradient = truncated(2)").first.defined());  // w stands before the last two steps
}

// With a rate, Newton's method and L-BFGS are formulas: on a quadratic one Newton step is the minimum, and as many steps
// as there are entries bring L-BFGS near; their derivatives are those of differences.
TEST(Refine, NewtonAndLbfgsAsFormulas) {
  for (const auto& [stage, far] : {std::pair{"newton(steps = 1, rate = 1)", 1e-7},
                                   std::pair{"newton(steps = 1, rate = 1, halvings = 0, damping = 0)", 1e-12},
                                   std::pair{"lbfgs(steps = 20, rate = 1)", 1e-6},
                                   std::pair{"lbfgs(steps = 20, gradient = unroll, memory = 3)", 1e-6}}) {
    const std::string model = std::string("zeros then ") + stage;
    const Drawn r = Draw(Quadratic(model));
    ASSERT_TRUE(r.problem.program.model.refinements[0].step) << model;
    const auto [q, c] = PartsOf(r);
    EXPECT_LT(Far(Answer(r), at::linalg_solve(q, c.unsqueeze(-1)).squeeze(-1)), far) << model;
  }
}

TEST(Refine, DerivativesPassNewtonAndLbfgs) {
  for (const char* steps : {"newton(steps = 3, rate = 0.7, halvings = 0)", "newton(steps = 2, gradient = unroll)",
                            "lbfgs(steps = 5, rate = 0.8, halvings = 0)",
                            "lbfgs(steps = 4, gradient = unroll, memory = 2)"}) {
    Drawn r = Draw("context c : real[3] ~ normal(0, 1)\nparameter w : real[3] = 0.3\nvariable y : real[3]\n"
                   "minimize sum(exp(0.5 .* y)) + 0.1 * sumsq(y) + 0.2 * y[0] * y[1] - dot(w .* c, y)\nloss objective\n"
                   "model y = [w[0], c[1], 1.0] then " + std::string(steps) + "\n");
    at::Tensor w = r.values.at("w").detach().clone().requires_grad_(true);
    r.values["w"] = w;
    const at::Tensor weights = at::randn({kBatch, 3}, at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{3}),
                                         at::TensorOptions(at::kDouble));
    const at::Tensor slope = torch::autograd::grad({(Answer(r) * weights).sum()}, {w})[0];
    const at::Tensor base = w.detach();
    for (std::int64_t k = 0; k < 3; ++k) {
      const double h = 1e-5;
      const auto at = [&](double by) {
        at::Tensor moved = base.clone();
        moved[k] += by;
        r.values["w"] = moved;
        return (Answer(r) * weights).sum().item<double>();
      };
      const double difference = (at(h) - at(-h)) / (2 * h);
      EXPECT_NEAR(slope[k].item<double>(), difference, 1e-5 * (1 + std::abs(difference))) << steps << " " << k;
    }
  }
}

// The gradient inside a step, and its Hessian, are constants: the start passes, (I - 0.5 H^-1 H) = 0.5.
TEST(Refine, FirstOrderNewton) {
  Drawn r = Draw("context c : real[2] ~ normal(0, 1)\nparameter w : real = 1\nvariable y : real[2]\n"
                 "minimize 0.5 * sumsq(y - c)\nloss objective\n"
                 "model y = [w, w] then newton(steps = 2, rate = 0.5, halvings = 0, damping = 0,\n"
                 "                             gradient = first_order)\n");
  at::Tensor w = r.values.at("w").detach().clone().requires_grad_(true);
  r.values["w"] = w;
  EXPECT_LT(Far(torch::autograd::grad({Answer(r).sum()}, {w})[0], at::full({}, 2.0 * kBatch, at::kDouble)), 1e-12);
}

// The derivative by the start, of the mean answer around it: of a linear step its slope, of a search between two valleys
// the density at the ridge.
TEST(Refine, PerturbedStarts) {
  const auto slope = [](const std::string& rest, double at, const std::string& stage) {
    Drawn r = Draw("context c : real ~ normal(0, 1)\nparameter w : real = 0\nvariable y : real\n" + rest +
                   "loss objective\nmodel y = w + 0 * c then " + stage + "\n");
    at::Tensor w = at::full({}, at, at::kDouble).requires_grad_(true);
    r.values["w"] = w;
    return torch::autograd::grad({Answer(r).mean()}, {w})[0].item<double>();
  };
  // y -> y - 0.1 * 2 y three times: 0.8^3.
  const std::string by = ", gradient = perturbed(0.2, 1500))";
  EXPECT_NEAR(slope("minimize y^2\n", 1, "gradient(steps = 3, rate = 0.1, gradient = perturbed(0.1, 4000))"), 0.512,
              0.02);
  // To -1 from the left of 0, to 1 from its right: 2 phi(0.1 / 0.2) / 0.2.
  const double density = std::exp(-0.125) / std::sqrt(2 * M_PI) / 0.2;
  EXPECT_NEAR(slope("minimize (y^2 - 1)^2\n", 0.1, "lbfgs(steps = 60" + by), 2 * density, 0.25);
  EXPECT_NEAR(slope("minimize (y^2 - 1)^2\n", 0.1, "gradient(steps = 60, rate = 0.1" + by), 2 * density, 0.25);
}

// Latents are refined by them, too.
TEST(Refine, LatentsAreSearchedByLbfgs) {
  const Drawn r = Draw("context c : real[2] ~ normal(0, 1)\nvariable y : real[2]\nminimize sumsq(y - c)\n"
                       "model y = [z[0] + z[1], z[0] - z[1]] over z : real[2] then lbfgs(steps = 15, rate = 1)\n");
  EXPECT_LT(Far(Answer(r), r.values.at("c")), 1e-5);
}

TEST(Refine, ASafeguardKeepsTheObjectiveFromRising) {
  const Drawn r = Draw(Quadratic("zeros then gradient(steps = 50, rate = 5, safeguard = true)"));
  Values at = r.values;
  at["y"] = at::zeros_like(r.values.at("c"));
  const at::Tensor before = Objective(r.problem, at, kBatch);
  at["y"] = Answer(r);
  EXPECT_TRUE((Objective(r.problem, at, kBatch) <= before).all().item<bool>());
  const Drawn without = Draw(Quadratic("zeros then gradient(steps = 50, rate = 5)"));
  at["y"] = Answer(without);
  EXPECT_TRUE((Objective(r.problem, at, kBatch) > before).any().item<bool>());
}

// A search over latents: the variable is their image, and the latents stay in their set.
TEST(Refine, LatentsAreSearchedInTheirSet) {
  const Drawn r = Draw("context c : real[2] ~ normal(0, 1)\nvariable y : real[2]\nminimize sumsq(y - c)\n"
                     "loss objective\nmodel y = [z[0] + z[1], z[0] - z[1]] over z : real[2] in box(-0.4, 0.4) then "
                     "gradient(steps = 60, rate = 0.2)\n");
  const at::Tensor c = r.values.at("c");
  const at::Tensor z0 = ((c.select(1, 0) + c.select(1, 1)) / 2).clamp(-0.4, 0.4);
  const at::Tensor z1 = ((c.select(1, 0) - c.select(1, 1)) / 2).clamp(-0.4, 0.4);
  EXPECT_LT(Far(Answer(r).select(1, 0), z0 + z1), 1e-10);
  EXPECT_LT(Far(Answer(r).select(1, 1), z0 - z1), 1e-10);
}

// Iterates of the file's own algorithm may fail linear constraints; its answer is the nearest point that keeps them.
TEST(Refine, OwnStepsGoTheirWay) {
  const Drawn r = Draw("context c : real[2] ~ normal(0, 1)\nvariable y : real[2]\nminimize sumsq(y - c)\n"
                       "subject to\n  total: sum(y) == 1\nupdate y = y + c\nloss objective\n"
                       "model zeros then iterate(steps = 3)\nreport way = expect(sum(y(step = 2)))\n");
  const at::Tensor c = r.values.at("c"), start = at::full({2}, 0.5, c.options());
  const at::Tensor y = start + 3 * c;
  EXPECT_LT(Far(Answer(r), y + (1 - y.sum(1, true)) / 2), 1e-12);
  RunOptions o;
  for (const compiler::Trace& t : r.problem.program.traces) o.traces.push_back(&t);
  ASSERT_EQ(o.traces.size(), 1u);
  const at::Tensor way = RunModel(r.problem, r.values, kBatch, o).traces.at(o.traces[0]->input);
  EXPECT_LT(Far(way, start + 2 * c), 1e-12);
}

// The file's own iteration, with a table entry for each step, whose last row is kept past the end.
TEST(Refine, UpdatesReadTheStep) {
  const auto run = [](int steps) {
    Drawn r = Draw("context c : real[2] ~ normal(0, 1)\nparameter a : real[3] = [i in 3: 0.5 ^ i]\n"
                 "variable y : real[2]\nminimize sumsq(y - c)\nupdate y = y + a[step] * (c - y) + step\nloss objective\n"
                 "model zeros then iterate(steps = " + std::to_string(steps) + ")\n");
    at::Tensor y = at::zeros_like(r.values.at("c"));
    for (int k = 0; k < steps; ++k) y = y + std::pow(0.5, std::min(k, 2)) * (r.values.at("c") - y) + k;
    return Far(Answer(r), y);
  };
  EXPECT_LT(run(3), 1e-12);
  EXPECT_LT(run(6), 1e-12);
}

// Linear dynamics and a quadratic cost: one step is the Riccati recursion, and ends at the optimum.
TEST(Ilqr, OneStepSolvesALinearQuadraticProblem) {
  const auto text = [](int m, const std::string& cost) {
    const std::string k = std::to_string(m);
    return "dim H = 6\ndata A : real[3, 3] ~ normal(0, 0.6)\ndata B : real[3, " + k + "] ~ normal(0, 1)\n" +
           "context x : real[3] ~ normal(0, 1)\nvariable y : real[H, " + k + "]\n" +
           "let z = scan(z = x, t in H: A * z + B * y[t] + 0.1 * t)\n" + cost + "\nmodel y = 0 * [t in H, i in " + k +
           ": x[0] + t] then ilqr(steps = 1)\nsolve zeros then qp\n";
  };
  for (const int m : {1, 2}) {
    for (const char* cost : {"minimize sum(t in H: sumsq(z[t + 1]) + 0.2 * sumsq(y[t]))",
                             "minimize sum(t in H: sumsq(z[t]) + 0.5 * z[t, 0] * y[t, 0] + sumsq(y[t])) + "
                             "4 * sumsq(last(z) - 1)"}) {
      const Drawn r = Draw(text(m, cost));
      const at::Tensor best = SolveReference(r.problem, r.values, kBatch).variables.at("y");
      EXPECT_LT(Far(Answer(r), best), 1e-6) << m << cost;
      EXPECT_GT(best.abs().max().item<double>(), 0.1);
    }
  }
}

// A pendulum that is pushed up: costs never rise, and the steps end where the gradient does; derivatives pass them.
TEST(Ilqr, EndsAtAStationaryPoint) {
  const auto text = [](const std::string& steps, const std::string& loss) {
    return "dim H = 15\ncontext th, om : real ~ uniform(-1, 1)\nvariable y : real[H]\nparameter w : real = 0.1\n"
           "let z = scan(z = [th, om], t in H: [z[0] + 0.1 * z[1], z[1] + 0.1 * (5 * sin(z[0]) + 3 * y[t])])\n"
           "minimize sum(t in H: 1 - cos(z[t + 1, 0]) + 0.1 * z[t + 1, 1]^2 + w * y[t]^2)\n"
           "model y = 0.3 * [t in H: th * w] then ilqr(steps = " + steps + ")\n" + loss;
  };
  at::Tensor before;
  for (const char* steps : {"0", "1", "3", "30"}) {
    const Drawn r = Draw(text(steps, "loss objective\n"));
    Values at = r.values;
    at["y"] = Answer(r);
    const at::Tensor cost = EvaluateOne(r.problem, *r.problem.program.objective, at, kBatch);
    if (before.defined()) EXPECT_LE((cost - before).max().item<double>(), 1e-12) << steps;
    before = cost;
    if (std::string(steps) != "30") continue;
    const at::Tensor y = at.at("y").detach().clone().requires_grad_(true);
    at["y"] = y;
    const at::Tensor total = EvaluateOne(r.problem, *r.problem.program.objective, at, kBatch).sum();
    EXPECT_LT(torch::autograd::grad({total}, {y})[0].abs().max().item<double>(), 1e-5);
  }
}

TEST(Ilqr, SaysWhatItNeeds) {
  const struct {
    const char *cost, *model, *expected;
  } kCases[] = {
      {"sumsq(y - x)", "zeros then", "`ilqr` over 3 times, and 0 such `scan`s"},
      {"mean(k in 3: last(scan(z = x[k], t in 3: z + y[t]))^2)", "zeros then", "over a `scan` under a binder"},
      {"sumsq(scan(z = x[0], t in 3: z + y[2 - t]))", "zeros then", "reads more of `y` than its own row"},
      {"sumsq(scan(z = x[0], t in 3: z + sum(y) + y[t]))", "zeros then", "reads more of `y` than its own row"},
      {"sumsq(scan(z = x[0], t in 3: z + y[t]))", "y = tanh(v) over v : real[3] then", "moves one variable"},
  };
  for (const auto& c : kCases) {
    lang::Diagnostics diagnostics;
    const lang::Program source = lang::LoadText(
        "test.amo", std::string("amo 1\nproblem p\ncontext x : real[3] ~ normal(0, 1)\nvariable y : real[3]\nminimize ") +
                        c.cost + "\nmodel " + c.model + " ilqr(steps = 2)\n", diagnostics);
    const lang::Problem chosen = lang::Choose(source, {}, diagnostics);
    compiler::Build(source, chosen, {}, diagnostics);
    std::string all;
    for (const lang::Diagnostic& d : diagnostics.all()) all += d.message;
    EXPECT_NE(all.find(c.expected), std::string::npos) << c.cost << all;
  }
}

}  // namespace
}  // namespace amo::runtime
