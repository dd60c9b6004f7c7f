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
