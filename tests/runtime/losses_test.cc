// SPDX-License-Identifier: Apache-2.0
// Gradients of losses: those from values at random points against the derivatives of what they smooth, and the steps
// that each owner takes.
#include "runtime/losses.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/erf.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "runtime/predictor.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

// The gradient by the first value that the first loss moves, and the loss.
struct Got {
  at::Tensor gradient, value;
  Batch batch;
};
Got GradientOf(const std::string& text, std::int64_t size) {
  const Problem p = MakeProblem(text);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{3});
  const Values learned = InitialLearned(p, g);
  const std::vector<Task> tasks = TasksOf(p.program, learned, {});
  EXPECT_EQ(tasks.size(), 1U);
  Batch batch{Sample(p, size, Split::kTrain, g), size};
  batch.values.merge(DrawRandoms(p, size, g));
  const LossGradients out = GradientsOf(p, {&tasks[0]}, batch, learned, 100, g);
  return {out.gradients[0][0], out.values[0].plain, batch};
}

constexpr char kLine[] =
    "context x : real ~ normal(0, 1)\nparameter w : real = 0.3\nvariable y : real\nmodel y = w * x\n";

// For a quadratic, smoothing adds a constant: the gradient is the derivative.
TEST(Losses, EvolutionAndSmoothingOfAQuadratic) {
  const std::string text = std::string(kLine) + "minimize (y - 2 * x)^2\nloss objective";
  const Got exact = GradientOf(text + "\n", 256);
  for (const char* by :
       {" by evolution(sigma = 0.2, samples = 4000)\n", " by smoothing(sigma = 0.2, samples = 4000)\n"}) {
    const Got got = GradientOf(text + by, 256);
    EXPECT_NEAR(got.gradient.item<double>() / exact.gradient.item<double>(), 1, 0.05) << by;
    EXPECT_NEAR(got.value.item<double>(), exact.value.item<double>(), 1e-12);
  }
}

// The penalty of a constraint that no projection keeps is smoothed with the objective.
TEST(Losses, SmoothingKeepsThePenalty) {
  const std::string text = std::string(kLine) + "minimize (y - 2 * x)^2\nsubject to\n  cap: abs(sin(y)) <= 0.01\n";
  const Problem p = MakeProblem(text);
  ASSERT_TRUE(p.program.lagrangian);
  const Got exact = GradientOf(text + "loss objective\n", 256);
  const Got got = GradientOf(text + "loss objective by smoothing(sigma = 0.01, samples = 4000)\n", 256);
  EXPECT_GT(exact.gradient.item<double>(), 1);  // of the objective alone it is negative
  EXPECT_NEAR(got.gradient.item<double>() / exact.gradient.item<double>(), 1, 0.1);
}

// A step has no derivative; smoothed by a normal of deviation s it is its distribution function, whose derivative is
// the density.
TEST(Losses, SmoothingOfAStepIsADensity) {
  const std::string text = std::string(kLine) + "minimize if y > 0.5 then 1 else 0\nloss objective";
  EXPECT_EQ(GradientOf(text + "\n", 64).gradient.abs().sum().item<double>(), 0);
  const Got got = GradientOf(text + " by smoothing(sigma = 0.4, samples = 4000)\n", 2000);
  const at::Tensor x = got.batch.values.at("x"), t = (0.5 - 0.3 * x) / 0.4;
  const at::Tensor density = (-0.5 * t * t).exp() / (0.4 * std::sqrt(2 * M_PI));
  EXPECT_NEAR(got.gradient.item<double>(), (density * x).mean().item<double>(), 0.02);
}

// The prediction is the mean of what is drawn, and what is drawn becomes a bit: the expected loss is that of a normal
// above 1/2, whose derivative is the density. Nothing passes the bit itself.
TEST(Losses, ScoreDrawsPredictionsOfADiscreteSet) {
  const std::string text =
      "context x : real ~ normal(0, 1)\nparameter w : real = 0.3\nvariable y : real in binary\nmodel y = w * x\n"
      "minimize 3 * y\nloss objective by score(samples = 4000)\n";
  const Got got = GradientOf(text, 2000);
  const at::Tensor x = got.batch.values.at("x"), t = (0.5 - 0.3 * x) / 0.1;
  const at::Tensor density = (-0.5 * t * t).exp() / (0.1 * std::sqrt(2 * M_PI));
  EXPECT_NEAR(got.gradient.item<double>(), (3 * density * x).mean().item<double>(), 0.05);
}

// The derivative of an expectation over bits and categories, by the score function; the loss's value is its own.
TEST(Losses, DiscreteDrawsHaveTheirScore) {
  constexpr std::int64_t kMany = 40000;
  const std::string bit = std::string(kLine) + "random e : real ~ bernoulli(sigmoid(w * x))\nloss (e - 0.3)^2\n";
  const Got bits = GradientOf(bit, kMany);
  const at::Tensor x = bits.batch.values.at("x"), p = (0.3 * x).sigmoid();
  EXPECT_NEAR(bits.gradient.item<double>(), (0.4 * p * (1 - p) * x).mean().item<double>(), 0.01);
  EXPECT_NEAR(bits.value.item<double>(), (0.49 * p + 0.09 * (1 - p)).mean().item<double>(), 0.01);
  const double a = std::exp(0.3), b = std::exp(0.5), c = std::exp(-0.2), all = a + b + c;
  const double expected = (a + 2 * b + 4 * c) / all;
  const Got kinds = GradientOf("parameter w : real = 0.3\ncontext x : real ~ normal(0, 1)\n"
                               "random k : int ~ categorical(softmax([w, 0.5, -0.2]))\n"
                               "loss if k == 0 then 1 else if k == 1 then 2 else 4\n", kMany);
  EXPECT_NEAR(kinds.value.item<double>(), expected, 0.03);
  EXPECT_NEAR(kinds.gradient.item<double>(), a / all * (1 - expected), 0.03);
  const Got rows = GradientOf("parameter w : real = 0.3\ncontext x : real ~ normal(0, 1)\n"
                              "let p = [[1, 1, 2], [exp(w), exp(0.5), exp(-0.2)]]\n"
                              "random k : int[2] ~ categorical(p)\n"
                              "loss k[0] + (if k[1] == 0 then 1 else if k[1] == 1 then 2 else 4)\n", kMany);
  EXPECT_NEAR(rows.value.item<double>(), 1.25 + expected, 0.05);
  EXPECT_NEAR(rows.gradient.item<double>(), a / all * (1 - expected), 0.05);
  const Got mean = GradientOf("parameter w : real = 0.3\ncontext x : real ~ normal(0, 1)\n"
                              "loss mean(j in 4, e : real ~ bernoulli(sigmoid(w)): (e - 0.3)^2)\n", kMany);
  const double q = 1 / (1 + std::exp(-0.3));
  EXPECT_NEAR(mean.gradient.item<double>(), 0.4 * q * (1 - q), 0.01);
}

// An objective whose draws depend on the answer: a prediction of the mean of a bit.
TEST(Losses, ScoresOfAnObjective) {
  const Got got = GradientOf(
      std::string(kLine) + "random e : real ~ bernoulli(sigmoid(y))\nminimize (e - 0.3)^2 + 0 * y\n", 40000);
  const at::Tensor x = got.batch.values.at("x"), p = (0.3 * x).sigmoid();
  EXPECT_NEAR(got.gradient.item<double>(), (0.4 * p * (1 - p) * x).mean().item<double>(), 0.01);
}

// A variable under a replaced context is what the model predicts there, in its set.
TEST(Losses, PredictionsAtOtherContexts) {
  const Got line = GradientOf(std::string(kLine) + "loss (y(x = 2 * x) - 1)^2 + 0 * y\n", 64);
  const at::Tensor x = line.batch.values.at("x");
  EXPECT_NEAR(line.gradient.item<double>(), (2 * (0.6 * x - 1) * 2 * x).mean().item<double>(), 1e-12);
  EXPECT_NEAR(line.value.item<double>(), (0.6 * x - 1).pow(2).mean().item<double>(), 1e-12);
  // Under a binder, through a `let`, and for what is minimized.
  const Got binder = GradientOf(std::string(kLine) + "let v = 3 * y + x\n"
                                "minimize (y - x)^2\nloss mean(i in 4: v(x = x + i)) + objective(x = 2 * x)\n", 64);
  const at::Tensor z = binder.batch.values.at("x");
  EXPECT_NEAR(binder.value.item<double>(),
              (3 * 0.3 * (z + 1.5) + z + 1.5 + (0.6 * z - 2 * z).pow(2)).mean().item<double>(), 1e-12);
  const at::Tensor expected = 3 * (z + 1.5) + 2 * (0.6 * z - 2 * z) * 2 * z;
  EXPECT_NEAR(binder.gradient.item<double>(), expected.mean().item<double>(), 1e-12);
  const Got boxed = GradientOf("context x : real ~ normal(0, 1)\nparameter w : real = 0.3\n"
                               "variable y : real in box(-0.1, 0.1)\nmodel y = w * x\nloss y(x = x + 1) + 0 * y\n", 64);
  EXPECT_NEAR(boxed.value.item<double>(),
              (0.3 * (boxed.batch.values.at("x") + 1)).clamp(-0.1, 0.1).mean().item<double>(), 1e-12);
}

// The weights of a network at two contexts are the same ones.
TEST(Losses, ANetworkAtOtherContexts) {
  const Got got = GradientOf("context x : real[2] ~ normal(0, 1)\nvariable y : real\nmodel mlp(hidden = [5])\n"
                             "loss (y(x = -x) + y)^2\n", 64);
  EXPECT_GT(got.gradient.abs().max().item<double>(), 1e-6);
  const Got same = GradientOf("context x : real[2] ~ normal(0, 1)\nvariable y : real\nmodel mlp(hidden = [5])\n"
                              "loss (y(x = x) - y)^2\n", 64);
  EXPECT_LT(same.value.abs().item<double>(), 1e-20);
}

// After refinements, and after so many steps: the same as the model written out by hand.
TEST(Losses, RefinedAtOtherContexts) {
  const std::string head = "context x : real ~ normal(0, 1)\nparameter w : real = 0.3\nvariable y : real\n"
                           "minimize (y - x)^2\nmodel y = w * x ";
  const auto at = [](const at::Tensor& x, int steps, double rate) {  // and its derivative by w
    const double left = std::pow(1 - 2 * rate, steps);
    return std::pair<at::Tensor, at::Tensor>(x - left * (x - 0.3 * x), left * x);
  };
  const Got all = GradientOf(head + "then gradient(steps = 2, rate = 0.1) then gradient(steps = 3, rate = 0.2)\n"
                             "loss (y(x = x + 1) - 2)^2 + 0 * y\n", 64);
  const at::Tensor z = all.batch.values.at("x") + 1;
  const double left = std::pow(0.8, 2) * std::pow(0.6, 3);
  const at::Tensor y = z - left * 0.7 * z;
  EXPECT_NEAR(all.value.item<double>(), (y - 2).pow(2).mean().item<double>(), 1e-12);
  EXPECT_NEAR(all.gradient.item<double>(), (2 * (y - 2) * left * z).mean().item<double>(), 1e-12);
  const Got steps = GradientOf(head + "then gradient(steps = 4, rate = 0.1)\n"
                               "loss sum(t in 1..4: t * y(x = 2 * x, step = t)) + y(step = 7, x = -x) + 0 * y\n", 64);
  const at::Tensor x = steps.batch.values.at("x");
  at::Tensor expected = at(-x, 7, 0.1).first, slope = at(-x, 7, 0.1).second;
  for (int t = 1; t < 4; ++t)
    expected = expected + t * at(2 * x, t, 0.1).first, slope = slope + t * at(2 * x, t, 0.1).second;
  EXPECT_NEAR(steps.value.item<double>(), expected.mean().item<double>(), 1e-12);
  EXPECT_NEAR(steps.gradient.item<double>(), slope.mean().item<double>(), 1e-12);
}

// Every method that is a formula: a replaced context that is the same context changes nothing, in value and gradient,
// also through the methods' states, the file's own ones, sets and constraints.
TEST(Losses, TheSameContextIsTheSameRun) {
  const std::string head = "context x : real[3] ~ normal(0, 1)\nvariable y : real[3] in box(-1, 1)\n"
                           "minimize sumsq(y - x) + 0.1 * sum(i in 3: y[i]^4)\nmodel linear then ";
  for (const char* method :
       {"gradient(steps = 3, rate = 0.1)", "momentum(steps = 3, rate = 0.1)", "adam(steps = 3, rate = 0.1)",
        "newton(steps = 2, rate = 1)", "lbfgs(steps = 3, rate = 0.5)", "gradient(steps = 3, rate = learned(0.1))",
        "gradient(steps = 3, rate = 0.1, gradient = truncated(1))",
        "gradient(steps = 3, rate = 0.1, gradient = straight_through)",
        "adam(steps = 2, rate = 0.1, gradient = first_order)",
        "momentum(steps = 2, rate = 0.1) then gradient(steps = 2, rate = 0.3, safeguard = true)"}) {
    const std::string tail = std::string(method) + "\nloss sumsq(y - 0.1)\n";
    const Got plain = GradientOf(head + tail, 16);
    const Got elsewhere =
        GradientOf(head + std::string(method) + "\nloss sumsq(y(x = x + 0) - 0.1) + 0 * sum(y)\n", 16);
    EXPECT_NEAR(plain.value.item<double>(), elsewhere.value.item<double>(), 1e-12) << method;
    // The gradient of what pulls predictions back into the box is in the first alone, and is 0 inside it.
    EXPECT_GT(elsewhere.gradient.abs().max().item<double>(), 1e-6) << method;
    EXPECT_TRUE(elsewhere.gradient.isfinite().all().item<bool>()) << method;
  }
  const std::string own = "context x : real[3] ~ normal(0, 1)\nvariable y : real[3]\nparameter p : real[4] = 0.2\n"
                          "minimize sumsq(y - x)\nupdate y = y - p[step] * v\n"
                          "update v : real[3] = 0.5 * v + (y - x) from 0.1 * x\nmodel zeros then iterate(steps = 6)\n";
  const Got plain = GradientOf(own + "loss sumsq(y - 0.1) + sumsq(v) + objective(step = 2)\n", 16);
  const Got elsewhere = GradientOf(
      own + "loss sumsq(y(x = 1 * x) - 0.1) + sumsq(v(x = 1 * x)) + objective(step = 2, x = 1 * x) + 0 * sum(y)\n", 16);
  EXPECT_NEAR(plain.value.item<double>(), elsewhere.value.item<double>(), 1e-12);
  EXPECT_LT((plain.gradient - elsewhere.gradient).abs().max().item<double>(), 1e-12);
}

// `grad` inside of what is run elsewhere, under the binders of the place that asks and of its steps, whose names it
// does not see; states that begin where `iterate` does, again at a second one.
TEST(Losses, ElsewhereSeesItsOwnNamesAndLoops) {
  const std::string head = "context x : real[2] ~ normal(0, 1)\nparameter w : real = 0.1\nvariable y : real[2]\n"
                           "minimize sumsq(y - x)\nupdate y = y - w * grad(objective, y) - 0.1 * h\n"
                           "update h : real[2] = 0.5 * h + y from y - x\n"
                           "model y = 2 * x then gradient(steps = 2, rate = 0.1) then iterate(steps = 2) then "
                           "gradient(steps = 1, rate = 0.1) then iterate(steps = 2)\n";
  const Got plain = GradientOf(head + "loss sum(y) + sum(t in 8: objective(step = t))\n", 16);
  for (const char* loss : {"sum(y(x = 1 * x)) + sum(t in 8: objective(step = t, x = 1 * x))",
                           "mean(w in 3: sum(y(x = x + 0 * w)) + sum(t in 8: objective(step = t, x = x + 0 * w)))"}) {
    const Got other = GradientOf(head + "loss " + loss + " + 0 * sum(y)\n", 16);
    EXPECT_NEAR(plain.value.item<double>(), other.value.item<double>(), 1e-10) << loss;
    EXPECT_NEAR(plain.gradient.item<double>(), other.gradient.item<double>(), 1e-9) << loss;
  }
}

// With another network of the model in its place: what the model gives by that one.
TEST(Losses, UnderAnotherNetwork) {
  const std::string head = "context x : real[2] ~ normal(0, 1)\nvariable y : real\nminimize (y - x[0])^2\n"
                           "network f(x : real[2]) -> real = mlp(hidden = [3])\n"
                           "network g(x : real[2]) -> real = slow(f)\nparameter a : real = 0.2\n"
                           "model y = f(x) then gradient(steps = 2, rate = a)\n";
  const Got own = GradientOf(head + "loss a: (y - 1)^2 + 0 * g(x)\n", 32);  // g begins as f
  const Got other = GradientOf(head + "loss a: (y(f = g) - 1)^2 + 0 * y\n", 32);
  EXPECT_NEAR(own.value.item<double>(), other.value.item<double>(), 1e-12);
  EXPECT_NEAR(own.gradient.item<double>(), other.gradient.item<double>(), 1e-12);
  const Got both = GradientOf(head + "loss f: (y(f = g) - 1)^2 + 0 * y\n", 32);
  EXPECT_EQ(both.gradient.abs().max().item<double>(), 0);  // f does not stand behind it
}

// Over latents, and under the projection onto all rows.
TEST(Losses, LatentsAndRowsAtOtherContexts) {
  for (const char* text :
       {"context x : real[2] ~ normal(0, 1)\nparameter w : real = 0.7\nvariable y : real[2]\nminimize sumsq(y - x)\n"
        "model y = w * [z, z^2] over z : real in box(-1, 1) from 0.1 * x[0] then gradient(steps = 4, rate = 0.1)\n",
        "context x : real[3] ~ normal(0, 1)\nvariable y : real[3] in box(-1, 1)\nminimize sumsq(y - x)\n"
        "subject to\n  total: sum(y) == 0.3\n  pair: y[0] + 2 * y[1] <= 0.2\nmodel linear\n",
        "context x : real[3] ~ normal(0, 1)\nvariable y : real[3] in box(-1, 1)\nminimize sumsq(y - x)\n"
        "subject to\n  total: sum(y) == 0.3\n  pair: y[0] + 2 * y[1] <= 0.2\n"
        "model linear then gradient(steps = 2, rate = 0.2)\n",
        "context x : real[2] ~ normal(0, 1)\nparameter w : real = 0.7\nvariable y : real[2]\nminimize sumsq(y - x)\n"
        "subject to\n  total: sum(y) == 0.3\n"
        "model y = w * [z, z^2] over z : real from 0.1 * x[0] then gradient(steps = 4, rate = 0.1)\n"}) {
    const Got plain = GradientOf(text + std::string("loss sumsq(y - 0.1)\n"), 16);
    const Got elsewhere = GradientOf(text + std::string("loss sumsq(y(x = 1 * x) - 0.1) + 0 * sum(y)\n"), 16);
    EXPECT_NEAR(plain.value.item<double>(), elsewhere.value.item<double>(), 1e-9) << text;
    EXPECT_GT(elsewhere.gradient.abs().max().item<double>(), 1e-6) << text;
  }
}

// Evolution sees what no derivative does: counts of steps.
TEST(Losses, EvolutionTrainsACount) {
  const Problem p = MakeProblem(
      "context c : real ~ uniform(0.5, 1)\nvariable y : real\nparameter a : real = 0.05\nminimize (y - c)^2\n"
      "update y = y + a * (c - y)\nmodel zeros then iterate(steps = 40)\n"
      "loss sum(t in 40: if objective(step = t) > 1e-3 then 1 else 0) by evolution(sigma = 0.05, samples = 16)\n");
  TrainOptions o;
  o.settings.steps = 60, o.settings.batch = 64, o.settings.rate = 0.02, o.looks = 10;
  const TrainSummary t = Train(p, o);
  ASSERT_EQ(t.status, TrainStatus::kDone);
  EXPECT_GT(t.state.history.front().validation, 39);
  EXPECT_LT(t.state.best, 6);
}

// Beyond 1 the loss is no number: the pairs that tell lead away from there.
TEST(Losses, EvolutionGoesOnBesideWhatBlowsUp) {
  const Problem p = MakeProblem(
      "context c : real ~ uniform(0.5, 1)\nvariable y : real\nparameter a : real = 0.98\nminimize (y - c)^2\n"
      "model y = a\nloss a^2 + 0 * sqrt(1 - y) by evolution(sigma = 0.02, samples = 8)\n");
  TrainOptions o;
  o.settings.steps = 200, o.settings.batch = 4, o.settings.rate = 0.02, o.looks = 10;
  const TrainSummary t = Train(p, o);
  ASSERT_EQ(t.status, TrainStatus::kDone) << t.message;
  EXPECT_LT(t.state.best, 0.01);
}

TEST(Losses, UpdatesAreGradientStepsPerStep) {
  const auto learn = [](const std::string& more, std::int64_t steps) {
    const Problem p = MakeProblem("parameter w : real = 0\nloss (w - 3)^2\ntrain rate = 0.1" + more + "\n");
    TrainOptions o;
    o.settings.steps = steps, o.settings.batch = 1;
    return Train(p, o).state.learned.at("w").item<double>();
  };
  EXPECT_DOUBLE_EQ(learn(", updates = 3", 10), learn("", 30));
  EXPECT_DOUBLE_EQ(learn(", updates = 0.5", 20), learn("", 10));
  EXPECT_NE(learn(", betas = [0.5, 0.9]", 30), learn("", 30));
}

// A slow network starts where the other is, and goes `tau` of the way after each step; nothing else moves it.
TEST(Losses, SlowNetworksFollow) {
  const std::string text = "context x : real[2] ~ normal(0, 1)\nvariable y : real\n"
                           "network Q[i in 2](x : real[2]) -> real = mlp(hidden = [3])\n"
                           "network T[i in 2](x : real[2]) -> real = slow(Q[i], tau = 0.25)\n"
                           "network S(x : real[2]) -> real = slow(R)\nnetwork R(x : real[2]) -> real = linear\n"
                           "model y = 0 * x[0]\n"
                           "loss Q: (Q[0](x) - 1 - stop(T[1](x)))^2 + Q[1](x)^2\nloss R: (R(x) - 2 + stop(S(x)))^2\n";
  const Problem p = MakeProblem(text);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{0});
  const Values start = InitialLearned(p, g);
  for (const char* k : {"0", "1", "2", "3"})
    EXPECT_TRUE(at::equal(start.at(std::string("weight/T/") + k), start.at(std::string("weight/Q/") + k)));
  TrainOptions o;
  o.settings.steps = 1, o.settings.batch = 8, o.settings.rate = 0.1;
  const TrainSummary t = Train(p, o);
  ASSERT_EQ(t.status, TrainStatus::kDone) << t.message;
  const auto far = [&](const char* slow, const char* fast, double tau) {
    const at::Tensor begun = start.at(fast), now = t.state.learned.at(fast);
    EXPECT_GT((now - begun).abs().max().item<double>(), 1e-3);
    return (t.state.learned.at(slow) - (begun + tau * (now - begun))).abs().max().item<double>();
  };
  EXPECT_LT(far("weight/T/0", "weight/Q/0", 0.25), 1e-15);
  EXPECT_LT(far("weight/S/0", "weight/R/0", 0.005), 1e-15);
}

// The nearest of the remembered instances gives its solution; on a new draw that is near the optimum.
TEST(Losses, NearestRemembersSolutions) {
  const Problem p = MakeProblem("context x : real[2] ~ uniform(-1, 1)\ncontext one : real ~ uniform(3, 3)\n"
                                "variable y : real[2] in box(-0.5, 0.5)\nminimize sumsq(y - one / 3 * x)\n"
                                "model nearest(count = 400)\n");
  const TrainSummary t = Train(p, {});
  EXPECT_EQ(t.status, TrainStatus::kNothingLearned);
  const Values& learned = t.state.best_learned;
  ASSERT_EQ(learned.at(compiler::nearest::kSolutions).size(0), 400);
  // The solution of an instance inside the box is its context: there the nearest one is itself.
  Values values = learned;
  const at::Tensor inside = learned.at(compiler::nearest::kSolutions);
  values["x"] = inside, values["one"] = at::full({400}, 3.0, at::kDouble);
  const at::Tensor same = RunModel(p, values, 400).answer.at("y");
  const at::Tensor far = (same - inside).abs().amax({1}) * (inside.abs().amax({1}) < 0.499);
  EXPECT_LT(far.max().item<double>(), 1e-6);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{8});
  for (const auto& [name, v] : Sample(p, 100, Split::kTest, g)) values[name] = v;
  const at::Tensor near = RunModel(p, values, 100).answer.at("y");
  EXPECT_LT((near - values.at("x").clamp(-0.5, 0.5)).abs().max().item<double>(), 0.3);
  EXPECT_GT((near - values.at("x").clamp(-0.5, 0.5)).abs().max().item<double>(), 1e-3);
}

TEST(Losses, NearestNeedsASolution) {
  const Problem p = MakeProblem("context x : real ~ uniform(1, 2)\nvariable y : real in nonnegative\n"
                                "minimize (y - x)^2\nsubject to\n  no: y <= -1\nmodel nearest(count = 5)\n");
  const TrainSummary t = Train(p, {});
  EXPECT_EQ(t.status, TrainStatus::kInfeasible);
  EXPECT_EQ(t.message, "none of 5 draws has a solution to remember");
}

// What a solver did not finish is remembered, too: all of it, where no instance is called solved.
TEST(Losses, NearestTakesUnfinishedSolutions) {
  const Problem p = MakeProblem("context x : real ~ uniform(100, 101)\nvariable y : real\nminimize (y - x)^2\n"
                                "solve y = x + 1 then adam(steps = 3, rate = 1e-4)\nmodel nearest(count = 50)\n");
  Values values = Train(p, {}).state.best_learned;
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{8});
  for (const auto& [name, v] : Sample(p, 100, Split::kTest, g)) values[name] = v;
  const at::Tensor y = RunModel(p, values, 100).answer.at("y");
  EXPECT_LT((y - values.at("x") - 1).abs().max().item<double>(), 0.2);
  EXPECT_LT((y - values.at("x") - 1).abs().mean().item<double>(), 0.03);
}

// An update that the model does not follow is inert, and so is what stands in it.
TEST(Losses, WhatNothingReachesIsNotLearned) {
  const std::string text =
      "context c : real ~ uniform(0.5, 1)\nvariable y : real\nparameter a : real = 0.05\nminimize (y - c)^2\n"
      "update y = y + a * (c - y)\nloss objective\nmodel zeros then ";
  const Problem inert = MakeProblem(text + "gradient(steps = 3, rate = 0.1)\n");
  EXPECT_EQ(Train(inert, {}).status, TrainStatus::kNothingLearned);
  const Problem used = MakeProblem(text + "iterate(steps = 3)\n");
  TrainOptions o;
  o.settings.steps = 2;
  EXPECT_EQ(Train(used, o).status, TrainStatus::kDone);
}

}  // namespace
}  // namespace amo::runtime
