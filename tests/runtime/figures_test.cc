// SPDX-License-Identifier: Apache-2.0
// The figures of Amos, Tutorial on amortized optimization (2202.00665), as programs with known answers. Main example:
// the script of the figure misses a parenthesis, which the formula here has.
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "runtime/evaluate.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

// The reports of a program in which nothing is learned.
std::map<std::string, double> Reports(const std::string& text, std::int64_t instances = 200) {
  const Problem p = MakeProblem(text);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{1});
  EvaluateOptions o;
  o.instances = instances;
  std::map<std::string, double> reports;
  for (const auto& [name, value] : Evaluate(p, InitialLearned(p, g), o).reports) reports[name] = value.item<double>();
  return reports;
}

// y*(x) = sin x + x (1 + 0.1 cos x), where f is sigmoid(0); the model that the figure shows is the worse one.
TEST(Figures, MainExample) {
  const auto r = Reports(R"(
context x : real ~ uniform(-5, 5)
variable y : real in box(-10, 10)
let best = sin(x) + x * (1 + 0.1 * cos(x))
minimize sigmoid((y - best)^2 / 80)
solve zeros then projected_gradient(steps = 2000)
model y = -0.5 * best - 0.23 * x * min(x, 0)
report far = expect(abs(solved(y) - best))
report least = expect(objective(y = solved(y)))
report shown = expect(objective)
report by_hand = expect(sigmoid((1.5 * best + 0.23 * x * min(x, 0))^2 / 80))
)");
  EXPECT_LT(r.at("far"), 1e-4);
  EXPECT_NEAR(r.at("least"), 0.5, 1e-9);
  EXPECT_NEAR(r.at("shown"), r.at("by_hand"), 1e-9);
  EXPECT_GT(r.at("shown"), 0.52);
}

// Smoothing by sigma damps the cosine by exp(-sigma^2 / 2): 0.607, 0.325, 0.044.
TEST(Figures, SmoothedLossDampsTheCosine) {
  for (const double sigma : {1.0, 1.5, 2.5}) {
    const auto r = Reports("const sigma = " + std::to_string(sigma) + R"(
context t : real ~ uniform(-4 * pi, 2 * pi)
variable y : real
minimize mean(i in 20000, e : real ~ normal(0, sigma): cos(y + e) + 0.2 * abs(y + e - pi / 2))
model y = t
let m = (y - pi / 2) / sigma
let bowl = 0.2 * sigma * (m * erf(m / sqrt(2)) + sqrt(2 / pi) * exp(-m^2 / 2))
report far = expect(abs(objective - (exp(-sigma^2 / 2) * cos(y) + bowl)))
report damped = expect((objective - bowl) * cos(y)) / expect(cos(y)^2)
)", 100);
    EXPECT_LT(r.at("far"), 0.02) << sigma;  // the deviation of a mean over 20,000 draws is 0.006 at most
    EXPECT_NEAR(r.at("damped"), std::exp(-sigma * sigma / 2), 0.01) << sigma;
  }
}

// Smoothed by 2.5 all starts come to one minimum, by 1 they do not.
TEST(Figures, SmoothingMergesTheMinima) {
  const auto spread = [](const std::string& sigma) {
    const auto r = Reports("const sigma = " + sigma + R"(
context t : real ~ uniform(-4 * pi, 2 * pi)
variable y : real in box(-4 * pi, 2 * pi)
let m = (y - pi / 2) / sigma
minimize exp(-sigma^2 / 2) * cos(y) + 0.2 * sigma * (m * erf(m / sqrt(2)) + sqrt(2 / pi) * exp(-m^2 / 2))
model y = t then projected_gradient(steps = 1000)
report middle = expect(y)
report spread = sqrt(expect(y^2) - expect(y)^2)
)");
    return r.at("spread");
  };
  EXPECT_LT(spread("2.5"), 1e-3);
  EXPECT_GT(spread("1"), 1);
}

// Points on a circle around the optimum have one regression loss, and objectives between sigmoid(0.3 r^2 / 10) and
// sigmoid(1.7 r^2 / 10).
TEST(Figures, LossComparison) {
  const auto r = Reports(R"(
context a : real ~ uniform(0, 2 * pi)
variable y : real[2]
minimize sigmoid((y[0]^2 + y[1]^2 + 1.4 * y[0] * y[1]) / 10)
solve zeros then lbfgs
model y = [3 * cos(a), 3 * sin(a)]
report regression = expect(sumsq(y - solved(y)))
report deviation = sqrt(expect(sumsq(y - solved(y))^2) - expect(sumsq(y - solved(y)))^2)
report far = expect(abs(objective - sigmoid(9 * (1 + 0.7 * sin(2 * a)) / 10)))
report spread = sqrt(expect(objective^2) - expect(objective)^2)
)");
  EXPECT_NEAR(r.at("regression"), 9, 1e-9);
  EXPECT_LT(r.at("deviation"), 1e-6);
  EXPECT_LT(r.at("far"), 1e-12);
  EXPECT_GT(r.at("spread"), 0.05);
}

// Of all densities with mean 0 and variance 1 the normal one has the greatest entropy: (1/2) log(2 pi) + 1/2.
TEST(Figures, MaximumEntropy) {
  const auto r = Reports(R"(
dim N = 1000
data xs : real[N] = [i in N: -5 + 10 * i / (N - 1)]
variable phi : real[3]
let w = softmax([i in N: phi[1] * sin(phi[2] * xs[i]) - (xs[i] - phi[0])^2 / 2])
let mu = dot(w, xs)
let sd = sqrt(sum(i in N: w[i] * (xs[i] - mu)^2))
let nats = log(10 / (N - 1)) - log(sd) - sum(i in N: xlogx(w[i]))
maximize nats
model phi = [0, 0.7, 4] then gradient(steps = 20, rate = 1)
report before = expect(nats(step = 0))
report after = expect(nats)
)", 1);
  const double most = 0.5 * std::log(2 * M_PI) + 0.5;
  EXPECT_LT(r.at("before"), most - 0.05);
  EXPECT_NEAR(r.at("after"), most, 1e-3);
  EXPECT_LT(r.at("after"), most + 1e-6);
}

// g(y) = -2 sin y + 0.9 y (1 + 0.1 cos y)^2 has the fixed points 0, which attracts (g' = -0.911), and +-3.617, which do
// not (g' = 2.8): Anderson's steps come to those too.
TEST(Figures, FixedPoints) {
  const auto g = [](double y) { return -2 * std::sin(y) + 0.9 * y * std::pow(1 + 0.1 * std::cos(y), 2); };
  double low = 3, high = 4;
  for (int k = 0; k < 60; ++k) {
    const double middle = (low + high) / 2;
    (g(middle) < middle ? low : high) = middle;
  }
  const auto found = [](const std::string& model) {
    return Reports("variable y : real\nfind y == -2 * sin(y) + 0.9 * y * (1 + 0.1 * cos(y))^2\nloss residual\nmodel " +
                   model + "\nreport at = expect(y)\n", 1).at("at");
  };
  EXPECT_NEAR(found("y = 0.5 then iterate(steps = 400)"), 0, 1e-9);
  EXPECT_NEAR(found("y = 3.5 then anderson(steps = 20, memory = 3)"), low, 1e-9);
  EXPECT_NEAR(found("y = -3.5 then anderson(steps = 20, memory = 3)"), -low, 1e-9);
}

// f(y) = -y^3 - 10 y + lambda / 2 (y - y0)^2: where lambda is large enough there is a minimum near y0, the lower root of
// 3 y^2 - lambda y + 10 + lambda y0.
TEST(Figures, ProximalPathOfIMaml) {
  const auto r = Reports(R"(
const y0 = -2 + 4 * 200 / 999
context lambda : real ~ uniform(7.5, 12)
variable y : real in box(-2, 2)
minimize -y^3 - 10 * y + lambda / 2 * (y - y0)^2
solve y = y0 then projected_gradient(steps = 5000)
let root = (lambda - sqrt(lambda^2 - 12 * (10 + lambda * y0))) / 6
model y = root
report far = expect(abs(solved(y) - root))
report slope = expect(abs(residual))
)");
  EXPECT_LT(r.at("far"), 1e-5);
  EXPECT_LT(r.at("slope"), 1e-9);
}

// Q(u) = (-u^2 + 7 sin(u + pi)) / 8: the best action, and the value of a Gaussian policy in closed form,
// E Q = -(mu^2 + sigma^2 + 7 exp(-sigma^2 / 2) sin mu) / 8.
TEST(Figures, Control) {
  const auto best = Reports(R"(
variable u : real
maximize (-u^2 + 7 * sin(u + pi)) / 8
model zeros then lbfgs
report u = expect(u)
report q = expect(-objective)
)", 1);
  EXPECT_NEAR(2 * best.at("u") + 7 * std::cos(best.at("u")), 0, 1e-6);
  EXPECT_NEAR(best.at("q"), 0.63567, 1e-5);
  const auto policy = Reports(R"(
context mu : real ~ uniform(-3, 3)
context sigma : real ~ uniform(0.1, 1)
variable u : real
maximize mean(i in 20000, e : real ~ normal(0, 1): (-(u + sigma * e)^2 + 7 * sin(u + sigma * e + pi)) / 8)
model u = mu
report far = expect(abs(-objective + (mu^2 + sigma^2 + 7 * exp(-sigma^2 / 2) * sin(mu)) / 8))
)", 100);
  EXPECT_LT(policy.at("far"), 0.02);
}

}  // namespace
}  // namespace amo::runtime
