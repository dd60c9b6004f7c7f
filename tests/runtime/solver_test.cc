// SPDX-License-Identifier: Apache-2.0
// The methods against optimality conditions, closed forms and each other; instances do not disturb one another.
#include "runtime/solver.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <set>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "runtime/reference.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

// Normal numbers, the same for a seed.
at::Tensor Normal(at::IntArrayRef sizes, std::uint64_t seed, at::ScalarType dtype = at::kDouble) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(sizes, g, at::TensorOptions(at::kDouble)).to(dtype);
}

at::Tensor Zeros(const Instances& f) {
  return at::zeros({f.batch(), f.size()}, at::TensorOptions(f.problem().dtype));
}

double Largest(const at::Tensor& t) { return t.abs().max().item<double>(); }

double Mean(const std::vector<std::int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), 0.0) / static_cast<double>(counts.size());
}

void ExpectSolved(const SolveSummary& s, std::string_view method = "") {
  for (std::size_t i = 0; i < s.status.size(); ++i) {
    EXPECT_EQ(s.status[i], SolveStatus::kSolved)
        << method << ": " << NameOf(s.status[i]) << " at instance " << i << ", residual "
        << s.residual[static_cast<std::int64_t>(i)].item<double>() << " after " << s.iterations[i];
  }
}

// Objective, residual and status are those of y.
void ExpectConsistent(const Instances& f, const SolveSummary& s, const SolveOptions& o) {
  const Instances::Point at = f(s.y);
  const at::Tensor residual = f.Residual(s.y, at.gradient);
  ASSERT_EQ(s.status.size(), static_cast<std::size_t>(f.batch()));
  ASSERT_EQ(s.iterations.size(), s.status.size());
  for (std::int64_t i = 0; i < f.batch(); ++i) {
    const SolveStatus status = s.status[static_cast<std::size_t>(i)];
    if (status == SolveStatus::kNotFinite) continue;
    const double value = at.value[i].item<double>(), r = s.residual[i].item<double>();
    EXPECT_NEAR(s.objective[i].item<double>(), value, 1e-12 * (1 + std::abs(value)));
    EXPECT_NEAR(r, residual[i].item<double>(), 1e-10);
    EXPECT_EQ(status == SolveStatus::kSolved, r <= o.tolerance);
  }
}

constexpr char kBox[] =
    "dim n = 20\n"
    "data B : real[n, n] ~ normal(0, 1)\n"
    "data Q : real[n, n] = B' * B / n + 0.1 * eye(n)\n"
    "context p : real[n] ~ normal(0, 1)\n"
    "variable y : real[n] in box(0, 1)\n"
    "minimize 0.5 * y' * Q * y + p' * y\n";

constexpr char kQuadratic[] =
    "dim n = 8\n"
    "context A : real[n, n] ~ normal(0, 1)\n"
    "context c : real[n] ~ normal(0, 1)\n"
    "variable y : real[n]\n"
    "minimize 0.5 * sumsq(A * y) + 0.05 * sumsq(y) + c' * y\n";

constexpr char kRosenbrock[] =
    "dim n = 4\n"
    "context a : real ~ uniform(0.5, 1.5)\n"
    "context b : real ~ uniform(10, 100)\n"
    "variable y : real[n]\n"
    "minimize (a - y[0])^2 + b * sum(i in 0..n - 1: (y[i + 1] - y[i]^2)^2)\n";

constexpr char kSimplex[] =
    "dim n = 6\n"
    "context w : real[n] ~ normal(0, 1)\n"
    "context x : real[n] ~ normal(0, 1)\n"
    "variable y : real[n] in simplex\n"
    "minimize sum(i in n: w[i] * (y[i] - x[i])^2)\n";

constexpr char kRayleigh[] =
    "dim n = 6\n"
    "context A : real[n, n] ~ normal(0, 1)\n"
    "variable y : real[n] in sphere\n"
    "minimize y' * A * y\n";

// log(y) is not finite for y <= 0; the minimum is at 1 / c, for a negative c there is none, and c = nan is nan.
constexpr char kLog[] =
    "context c : real ~ uniform(1, 2)\n"
    "variable y : real\n"
    "minimize c * y - log(y)\n";

Values QuadraticValues(std::int64_t batch) { return {{"A", Normal({batch, 8, 8}, 1)}, {"c", Normal({batch, 8}, 2)}}; }

Values RosenbrockValues(std::int64_t batch) {
  const at::Tensor t = at::arange(batch, at::TensorOptions(at::kDouble)) / static_cast<double>(batch);
  return {{"a", 0.5 + t}, {"b", 10 + 90 * (t * 7).frac()}};
}

TEST(Methods, TheTableIsComplete) {
  std::set<std::string_view> names;
  for (const MethodRow& m : Methods()) {
    EXPECT_EQ(FindMethod(m.name), &m);
    EXPECT_TRUE(names.insert(m.name).second);
  }
  EXPECT_EQ(names.size(), 10u);
  EXPECT_EQ(FindMethod("newtonian"), nullptr);
}

TEST(Solver, BoxQpMeetsItsOptimalityConditions) {
  const Problem p = MakeProblem(kBox);
  const at::Tensor linear = Normal({64, 20}, 3);
  const Instances f(p, {{"p", linear}}, 64);
  for (const std::string_view name : {"projected_gradient", "lbfgs"}) {
    const SolveSummary s = FindMethod(name)->run(f, at::full({64, 20}, 2.0, at::kDouble), {});
    ExpectSolved(s, name);
    ExpectConsistent(f, s, {});
    EXPECT_GE(s.y.min().item<double>(), 0);
    EXPECT_LE(s.y.max().item<double>(), 1);
    // The gradient Q y + p is zero inside, points outwards at the bounds.
    const at::Tensor gradient = s.y.matmul(p.shared.at("Q")) + linear;
    EXPECT_LT(Largest(s.y - (s.y - gradient).clamp(0, 1)), 1.1e-8);
    EXPECT_LT(Mean(s.iterations), 60);
  }
}

TEST(Solver, QuadraticsAgainstTheirClosedForm) {
  const Problem p = MakeProblem(kQuadratic);
  const Values x = QuadraticValues(64);
  const Instances f(p, x, 64);
  const at::Tensor hessian = x.at("A").transpose(1, 2).matmul(x.at("A")) + 0.1 * at::eye(8, at::kDouble);
  const at::Tensor exact = at::linalg_solve(hessian, x.at("c").neg());
  for (const std::string_view name : {"lbfgs", "projected_gradient", "riemannian_gradient"}) {
    const SolveSummary s = FindMethod(name)->run(f, Zeros(f), {.tolerance = 1e-10, .steps = 5000});
    ExpectSolved(s, name);
    EXPECT_LT(Largest(s.y - exact), 1e-7);
  }
}

TEST(Solver, RosenbrockFindsItsKnownMinimum) {
  const Problem p = MakeProblem(kRosenbrock);
  const Values x = RosenbrockValues(64);
  const Instances f(p, x, 64);
  const at::Tensor a = x.at("a"), exact = at::stack({a, a.pow(2), a.pow(4), a.pow(8)}, 1);
  const SolveSummary s = Lbfgs(f, Zeros(f), {});
  ExpectSolved(s);
  ExpectConsistent(f, s, {});
  EXPECT_LT(Largest(s.y - exact), 1e-5);
  EXPECT_LT(Mean(s.iterations), 80);
  std::printf("mean iterations: %.1f\n", Mean(s.iterations));
}

TEST(Solver, SimplexMeetsItsOptimalityConditions) {
  const Problem p = MakeProblem(kSimplex);
  const at::Tensor w = Normal({32, 6}, 4).abs() * 5 + 0.2, x = Normal({32, 6}, 5);
  const Instances f(p, {{"w", w}, {"x", x}}, 32);
  for (const std::string_view name : {"projected_gradient", "lbfgs"}) {
    const SolveSummary s = FindMethod(name)->run(f, Zeros(f), {.tolerance = 1e-9});
    ExpectSolved(s, name);
    EXPECT_GE(s.y.min().item<double>(), 0);
    EXPECT_LT(Largest(s.y.sum(1) - 1), 1e-12);
    // Where y > 0 the slope is the least one.
    const at::Tensor slope = 2 * w * (s.y - x), least = std::get<0>(slope.min(1, true));
    EXPECT_LT(Largest(at::where(s.y > 1e-7, slope - least, at::zeros_like(slope))), 1e-6);
  }
}

// A dual of optimal transport: constant along shifts, so that its Hessian is singular everywhere.
TEST(Solver, ShiftInvariantDualMeetsItsMarginals) {
  const Problem p = MakeProblem(
      "dim n = 10\n"
      "const e = 0.05\n"
      "context C : real[n, n] ~ uniform(0, 1)\n"
      "variable u : real[n]\n"
      "minimize e * sum(j in n: logsumexp(i in n: (u[i] - C[i, j]) / e)) / n - sum(u) / n\n");
  const at::Tensor cost = Normal({16, 10, 10}, 6).abs();
  const Instances f(p, {{"C", cost}}, 16);
  const SolveSummary s = Lbfgs(f, Zeros(f), {});
  ExpectSolved(s);
  const at::Tensor plan = ((s.y.unsqueeze(2) - cost) / 0.05).softmax(1) / 10;  // columns hold 1 / n by construction
  EXPECT_LT(Largest(plan.sum(2) - 0.1), 1.1e-8);
}

TEST(Solver, LogisticRegressionHasNoSlopeLeft) {
  const Problem p = MakeProblem(
      "dim m = 30\n"
      "dim k = 5\n"
      "context X : real[m, k] ~ normal(0, 1)\n"
      "context t : real[m] ~ normal(0, 1)\n"
      "variable y : real[k]\n"
      "minimize sum(i in m: softplus(t[i] * sum(j in k: X[i, j] * y[j]))) + 0.01 * sumsq(y)\n");
  const at::Tensor x = Normal({16, 30, 5}, 7), t = Normal({16, 30}, 8).sign();
  const Instances f(p, {{"X", x}, {"t", t}}, 16);
  const SolveSummary s = Lbfgs(f, Zeros(f), {});
  ExpectSolved(s);
  const at::Tensor margin = t * x.matmul(s.y.unsqueeze(2)).squeeze(2);
  const at::Tensor gradient = (x * (t * margin.sigmoid()).unsqueeze(2)).sum(1) + 0.02 * s.y;
  EXPECT_LT(Largest(gradient), 1.1e-8);
}

TEST(Solver, SphereReachesTheSmallestEigenvalue) {
  const Problem p = MakeProblem(kRayleigh);
  const at::Tensor a = Normal({32, 6, 6}, 9);
  const Instances f(p, {{"A", a}}, 32);
  const at::Tensor smallest = at::linalg_eigvalsh((a + a.transpose(1, 2)) / 2).select(1, 0);
  for (const std::string_view name : {"riemannian_gradient", "lbfgs", "projected_gradient"}) {
    const SolveSummary s = FindMethod(name)->run(f, Normal({32, 6}, 10), {.steps = 3000});
    ExpectSolved(s, name);
    ExpectConsistent(f, s, {});
    EXPECT_LT(Largest(s.y.norm(2, 1) - 1), 1e-12);
    EXPECT_LT(Largest(s.objective - smallest), 1e-10);
  }
}

TEST(Solver, AdamAndGradientReachABoxsMinimum) {
  const Problem p = MakeProblem(kBox);
  const Instances f(p, {{"p", Normal({8, 20}, 3)}}, 8);
  const at::Tensor best = ProjectedGradient(f, Zeros(f), {}).objective;
  const SolveSummary gradient = GradientDescent(f, Zeros(f), {.tolerance = 1e-7, .steps = 3000, .rate = 0.2});
  ExpectSolved(gradient);
  ExpectConsistent(f, gradient, {.tolerance = 1e-7});
  EXPECT_LT(Largest(gradient.objective - best), 1e-9);
  EXPECT_LT(Mean(gradient.iterations), 3000);
  const SolveSummary adam = Adam(f, Zeros(f), {.steps = 2000, .rate = 1e-2});
  ExpectConsistent(f, adam, {});
  EXPECT_LT(Largest(adam.objective - best), 1e-4);
  EXPECT_GE(adam.y.min().item<double>(), 0);
}

// The first step of Adam has the length of the rate in every entry.
TEST(Solver, AdamsFirstStepIsTheRate) {
  const Problem p = MakeProblem(kQuadratic);
  const Instances f(p, QuadraticValues(4), 4);
  const SolveSummary s = Adam(f, Zeros(f), {.steps = 1, .rate = 0.25});
  EXPECT_LT(Largest(s.y.abs() - 0.25), 1e-6);
  for (std::int64_t k : s.iterations) EXPECT_EQ(k, 1);
}

// The minimum of the mean over the draws is their mean; with one draw for all steps it would be that draw.
TEST(Solver, AdamTakesAFreshDrawAtEachStep) {
  const Problem p = MakeProblem(
      "context c : real ~ normal(0, 1)\n"
      "variable y : real\n"
      "random e : real ~ normal(0, 1)\n"
      "minimize (y - c - e)^2\n");
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(5);
  Values x{{"c", Normal({16}, 12)}};
  for (auto& [name, draw] : DrawRandoms(p, 16, g)) x[name] = draw;
  const Instances f(p, x, 16);
  const SolveOptions o{.steps = 4000, .rate = 3e-3, .seed = 8};
  const SolveSummary s = Adam(f, Zeros(f), o), again = Adam(f, Zeros(f), o);
  EXPECT_LT(Largest(s.y.squeeze(1) - x.at("c")), 0.3);
  EXPECT_EQ(Largest(s.y - again.y), 0);
  ExpectConsistent(f, s, o);
  for (std::int64_t k : s.iterations) EXPECT_EQ(k, 4000);
}

TEST(Solver, ABatchEqualsItsInstances) {
  struct Case {
    const char* text;
    Values values;
    std::int64_t n;
  };
  const std::int64_t batch = 12;
  const Case cases[] = {{kQuadratic, QuadraticValues(batch), 8},
                        {kBox, {{"p", Normal({batch, 20}, 3)}}, 20},
                        {kRayleigh, {{"A", Normal({batch, 6, 6}, 9)}}, 6}};
  for (const Case& c : cases) {
    const Problem p = MakeProblem(c.text);
    const at::Tensor start = Normal({batch, c.n}, 13);
    for (const Method method : {ProjectedGradient, Lbfgs, RiemannianGradient}) {
      const SolveOptions o{.tolerance = 1e-11, .steps = 5000};
      const SolveSummary all = method(Instances(p, c.values, batch), start, o);
      for (std::int64_t i = 0; i < batch; ++i) {
        Values one;
        for (const auto& [name, t] : c.values) one[name] = t.narrow(0, i, 1).contiguous();
        const SolveSummary s = method(Instances(p, one, 1), start.narrow(0, i, 1).contiguous(), o);
        EXPECT_LT(Largest(s.y[0] - all.y[i]), 1e-8) << c.text << i;
      }
    }
  }
}

// Large enough that rows are shared among threads.
TEST(Solver, ThreadsChangeNothing) {
  const Problem p = MakeProblem(kBox);
  const Instances f(p, {{"p", Normal({3000, 20}, 3)}}, 3000);
  const int threads = at::get_num_threads();
  for (const Method method : {ProjectedGradient, Lbfgs, RiemannianGradient}) {
    at::set_num_threads(1);
    const SolveSummary one = method(f, Zeros(f), {});
    at::set_num_threads(2);
    const SolveSummary two = method(f, Zeros(f), {});
    EXPECT_LT(Largest(one.y - two.y), 1e-7);
    ExpectSolved(two);
  }
  at::set_num_threads(threads);
}

TEST(Solver, NotFiniteInstancesDisturbNobody) {
  const Problem p = MakeProblem(kLog);
  const at::Tensor c = at::full({6}, 2.0, at::kDouble), start = at::full({6, 1}, 0.01, at::kDouble);
  c[1] = std::numeric_limits<double>::quiet_NaN();
  start[4][0] = -1;
  const at::Tensor before = start.clone();
  const Instances f(p, {{"c", c}}, 6);
  for (const Method method : {ProjectedGradient, Lbfgs, RiemannianGradient, Adam, GradientDescent}) {
    const SolveOptions o{.tolerance = 1e-6, .steps = 4000, .rate = 0.05};
    const SolveSummary s = method(f, start, o);
    for (std::size_t i : {0u, 2u, 3u, 5u}) {
      EXPECT_EQ(s.status[i], SolveStatus::kSolved);
      EXPECT_NEAR(s.y[static_cast<std::int64_t>(i)][0].item<double>(), 0.5, 1e-5);
    }
    EXPECT_EQ(s.status[1], SolveStatus::kNotFinite);
    EXPECT_EQ(s.status[4], SolveStatus::kNotFinite);
    EXPECT_EQ(s.iterations[4], 0);
    EXPECT_EQ(Largest(start - before), 0);
  }
}

// A long first step leads to where log is not finite: it is shortened, never taken.
TEST(Solver, TrialsThatAreNotFiniteAreNotTaken) {
  const Problem p = MakeProblem(kLog);
  const Instances f(p, {{"c", at::full({3}, 50.0, at::kDouble)}}, 3);
  const at::Tensor start = at::full({3, 1}, 1.0, at::kDouble);
  for (const MethodRow& m : Methods()) {
    if (m.quadratic || m.smooth) continue;
    const SolveOptions o{.steps = 3, .rate = 0.5};
    const SolveSummary s = m.run(f, start, o);
    ExpectConsistent(f, s, o);
    EXPECT_TRUE(at::isfinite(s.objective).all().item<bool>()) << m.name;
    EXPECT_GT(s.y.min().item<double>(), 0) << m.name;
    for (std::int64_t k : s.iterations) EXPECT_LE(k, o.steps) << m.name;
  }
}

TEST(Solver, AnEmptyBatchAndNoSteps) {
  const Problem p = MakeProblem(kBox);
  const Instances none(p, {{"p", at::zeros({0, 20}, at::kDouble)}}, 0);
  const Instances some(p, {{"p", Normal({3, 20}, 3)}}, 3);
  for (const MethodRow& m : Methods()) {
    if (m.quadratic || m.smooth) continue;
    const SolveSummary empty = m.run(none, Zeros(none), {});
    EXPECT_EQ(empty.y.sizes(), at::IntArrayRef({0, 20}));
    EXPECT_EQ(empty.objective.numel(), 0);
    EXPECT_TRUE(empty.status.empty());
    const SolveOptions o{.steps = 0};
    const SolveSummary still = m.run(some, at::full({3, 20}, 4.0, at::kDouble), o);
    ExpectConsistent(some, still, o);
    EXPECT_EQ(Largest(still.y - 1), 0) << m.name;
    EXPECT_EQ(still.status[0], SolveStatus::kStepLimit);
  }
}

// Single precision ends at its own accuracy: with a tolerance beyond it, by saying so and not by taking all steps.
TEST(Solver, SinglePrecision) {
  const Problem p = MakeProblem(kBox, at::kFloat);
  const Instances f(p, {{"p", Normal({16, 20}, 3, at::kFloat)}}, 16);
  for (const std::string_view name : {"projected_gradient", "lbfgs"}) {
    const SolveSummary s = FindMethod(name)->run(f, Zeros(f), {.tolerance = 2e-6});
    EXPECT_EQ(s.y.scalar_type(), at::kFloat);
    ExpectSolved(s, name);
    const SolveSummary beyond = FindMethod(name)->run(f, Zeros(f), {.tolerance = 1e-12});
    EXPECT_LT(Largest(beyond.residual), 5e-6);
    for (std::size_t i = 0; i < 16; ++i) {
      EXPECT_NE(beyond.status[i], SolveStatus::kStepLimit);
      EXPECT_LT(beyond.iterations[i], 400);
    }
  }
  const Problem r = MakeProblem(kRosenbrock, at::kFloat);
  Values x;
  for (auto& [name, t] : RosenbrockValues(16)) x[name] = t.to(at::kFloat);
  const Instances valley(r, x, 16);
  const SolveSummary s = Lbfgs(valley, Zeros(valley), {.tolerance = 1e-12});
  EXPECT_LT(Largest(s.y.select(1, 0) - x.at("a")), 1e-2);
}

// Beyond what a dense Hessian is for: a chain of double wells, whose Hessian is indefinite where some instances begin,
// whose least value is known, and an ill-conditioned convex problem.
TEST(Newton, ByConjugateGradientsWhereThereAreManyVariables) {
  const std::string start = "dim n = 1000\ncontext c : real ~ uniform(0.5, 1.5)\nvariable y : real[n]\n";
  const auto solved = [&](const std::string& text, const char* method) {
    const Problem p = MakeProblem(start + text + "solve zeros then " + method + "(tol = 1e-8)\n");
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{2});
    const ReferenceSummary s = SolveReference(p, Sample(p, 8, Split::kTest, g), 8);
    for (const SolveStatus status : s.status) EXPECT_EQ(status, SolveStatus::kSolved) << text << method;
    return s;
  };
  const ReferenceSummary wells = solved(
      "minimize sum(i in n: 0.25 * (y[i] - c)^4 - 0.5 * (y[i] - c)^2) + sum(i in n - 1: (y[i + 1] - y[i])^2)\n",
      "newton");
  EXPECT_LT((wells.objective + 250).abs().max().item<double>(), 1e-9);
  const std::string stiff =
      "minimize sum(i in n: exp(sin(7 * i) * y[i]) + 0.001 * y[i]^2)\n"
      "  + 1000 * sum(i in n - 1: (y[i + 1] - y[i] - c)^2)\n";
  const ReferenceSummary ours = solved(stiff, "newton");
  for (const std::int64_t n : ours.iterations) EXPECT_LT(n, 60);
  EXPECT_LT(ours.residual.max().item<double>(), 1e-8);
}

}  // namespace
}  // namespace amo::runtime
