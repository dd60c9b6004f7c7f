// SPDX-License-Identifier: Apache-2.0
// A training step in one kernel against the same step through LibTorch: losses and gradients agree.
#include "runtime/composed.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/batch_product.h"
#include "runtime/torch_execute.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

void ExpectSame(const std::string& text) {
  SCOPED_TRACE(text);
  const Problem p = MakeProblem(text);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{4});
  const Values learned = InitialLearned(p, g);
  const std::vector<Task> tasks = TasksOf(p.program, learned, {});
  std::vector<const Task*> all;
  for (const Task& t : tasks) all.push_back(&t);
  Batch batch{Sample(p, 21, Split::kTrain, g), 21};
  batch.values.merge(DrawRandoms(p, 21, g));
  std::string why;
  const auto composed = ComposedLosses::Make(p, all, why);
  ASSERT_TRUE(composed) << why;
  at::Generator one = g.clone(), other = g.clone();
  const LossGradients ours = (*composed)(batch, learned, 100, one);
  const LossGradients theirs = GradientsOf(p, all, batch, learned, 100, other);
  const std::vector<LossValue> values = composed->Values(batch, learned, 100);
  for (std::size_t k = 0; k < all.size(); ++k) {
    const double scale = 1 + theirs.values[k].training.abs().item<double>();
    EXPECT_NEAR(ours.values[k].plain.item<double>(), theirs.values[k].plain.item<double>(), 1e-10 * scale);
    EXPECT_NEAR(ours.values[k].training.item<double>(), theirs.values[k].training.item<double>(), 1e-10 * scale);
    EXPECT_NEAR(values[k].plain.item<double>(), theirs.values[k].plain.item<double>(), 1e-10 * scale);
    for (std::size_t i = 0; i < all[k]->moves.size(); ++i) {
      const at::Tensor a = ours.gradients[k][i], b = theirs.gradients[k][i];
      ASSERT_TRUE(a.defined() && (b.defined() || a.abs().max().item<double>() == 0)) << all[k]->moves[i];
      if (!b.defined()) continue;
      EXPECT_GT(b.abs().max().item<double>(), 0) << all[k]->moves[i];
      EXPECT_LT((a - b).abs().max().item<double>(), 1e-9 * (1 + b.abs().max().item<double>())) << all[k]->moves[i];
    }
  }
}

const std::string kBowl =
    "dim n = 4\ndata R : real[n, n] ~ normal(0, 0.4)\ncontext c : real[n] ~ normal(0, 1)\nvariable y : real[n]\n"
    "minimize sumsq(R * y - c) + sum(i in n: y[i]^4)\n";

// Against LibTorch's contraction: kept, summed and lonely axes, batches that threads share and others.
TEST(BatchProduct, IsTheContractionOverTheBatch) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{6});
  const struct {
    std::vector<std::int64_t> a, b;  // extents behind the batch
    compiler::DotLabels labels;
  } kCases[] = {{{16}, {33}, {{0}, {1}, {0, 1}}},
                {{3}, {40}, {{0}, {1}, {1, 0}}},
                {{7, 12}, {7, 20}, {{0, 1}, {0, 2}, {1, 2}}},
                {{7, 12}, {20}, {{0, 1}, {2}, {1, 2}}},
                {{5, 6}, {6, 4}, {{0, 1}, {1, 2}, {0, 2}}},
                {{6}, {6}, {{0}, {0}, {0}}},
                {{6}, {6}, {{0}, {0}, {}}}};
  for (const auto& c : kCases) {
    BatchProduct product(c.labels, {});
    for (const std::int64_t batch : {64, 21, 64, 1}) {
      std::vector<std::int64_t> a{batch}, b{batch};
      a.insert(a.end(), c.a.begin(), c.a.end()), b.insert(b.end(), c.b.begin(), c.b.end());
      const at::Tensor x = at::randn(a, g, at::TensorOptions(at::kDouble));
      const at::Tensor y = at::randn(b, g, at::TensorOptions(at::kDouble));
      const auto letters = [](const std::vector<std::int64_t>& labels) {
        std::string text;
        for (const std::int64_t label : labels) text += static_cast<char>('a' + label);
        return text;
      };
      const std::string sum = "z" + letters(c.labels.a) + ",z" + letters(c.labels.b) + "->" + letters(c.labels.out);
      const at::Tensor ours = product(x, y), theirs = at::einsum(sum, {x, y});
      ASSERT_EQ(ours.sizes(), theirs.sizes());
      EXPECT_LT((ours - theirs).abs().max().item<double>(), 1e-12 * (1 + static_cast<double>(batch)));
    }
  }
}

TEST(Composed, Predictions) {
  ExpectSame(kBowl + "model mlp(hidden = [9, 7])\n");
  ExpectSame(kBowl + "model linear\nloss sumsq(y - sin(c))\n");
  ExpectSame("context x : real[3, 5] ~ normal(0, 1)\nvariable y : real[2] in box(-0.1, 0.1)\nminimize sumsq(y - 1)\n"
             "model transformer(layers = 1, heads = 1)\n");
}

TEST(Composed, Refinements) {
  for (const char* stages :
       {"gradient(steps = 5, rate = 0.05)", "gradient(steps = 1, rate = learned(0.05))",
        "momentum(steps = 4, rate = 0.05, decay = 0.5, clip = 1)", "adam(steps = 4, rate = 0.1)",
        "gradient(steps = 4, rate = 0.05, gradient = first_order)",
        "gradient(steps = 4, rate = 0.05, gradient = straight_through)",
        "gradient(steps = 3, rate = 0.05) then adam(steps = 3, rate = learned(0.02))"}) {
    ExpectSame(kBowl + "model mlp(hidden = [6]) then " + stages + "\n");
  }
  ExpectSame(kBowl + "model zeros then gradient(steps = 6, rate = learned(0.05), gradient = truncated(2))\n");
}

// Weights that each step uses, and a row of a table for each step: their gradients are products after the scan.
TEST(Composed, UpdatesWithWeights) {
  ExpectSame(kBowl + "network f(y : real[n], c : real[n]) -> real[n] = mlp(hidden = [12])\n"
                     "update y = y + 0.1 * f(y, c)\nmodel zeros then iterate(steps = 5)\n");
  ExpectSame(kBowl + "dim K = 4\nparameter F : real[K, n, n] ~ normal(0, 0.3)\nparameter t : real[K] = 0.1\n"
                     "update y = tanh(F[step] * y + c) - t[step]\nmodel zeros then iterate(steps = K)\n");
  ExpectSame(kBowl + "update h : real[3] = 0.9 * h + y[0..3] from [c[0], c[1], c[2]]\nparameter a : real = 0.3\n"
                     "update y = y - a * concat(h, [1])\nmodel mlp(hidden = [5]) then iterate(steps = 3)\n");
}

TEST(Composed, ValuesOfSteps) {
  ExpectSame(kBowl + "model mlp(hidden = [6]) then gradient(steps = 5, rate = learned(0.05))\n"
                     "loss mean(t in 1..6: objective(step = t))\n");
  ExpectSame(kBowl + "model mlp(hidden = [6]) then gradient(steps = 5, rate = 0.05)\n"
                     "loss objective(step = 2) + 0.5 * objective(step = 0) + sum(t in 8: sumsq(y(step = t)))\n");
  ExpectSame(kBowl + "parameter w : real[n] = 0.5\nmodel mlp(hidden = [6]) then gradient(steps = 3, rate = 0.05, "
                     "gradient = none)\nloss model: objective(step = 0)\nloss w: sumsq(w .* y - c)\n");
}

// A projection pulls back what has left its set.
TEST(Composed, Constraints) {
  ExpectSame("context c : real[3] ~ normal(0, 2)\nvariable y : real[3] in simplex\nminimize sumsq(y - c)\n"
             "model mlp(hidden = [8]) then gradient(steps = 3, rate = 0.1)\n");
}

// A search over latents, with draws of its own in each step.
TEST(Composed, Latents) {
  ExpectSame("context c : real[3] ~ normal(0, 1)\nvariable y : real[3]\nminimize sumsq(y - c)\n"
             "network dec(z : real[2]) -> real[3] = mlp(hidden = [8])\n"
             "model y = dec(z) over z : real[2] in box(-1, 1) then gradient(steps = 4, rate = 0.1)\n");
}

TEST(Composed, SaysWhyNot) {
  const auto why = [](const std::string& text) {
    const Problem p = MakeProblem(text);
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{4});
    const Values learned = InitialLearned(p, g);
    const std::vector<Task> tasks = TasksOf(p.program, learned, {});
    std::string reason;
    EXPECT_FALSE(ComposedLosses::Make(p, {&tasks[0]}, reason));
    return reason;
  };
  EXPECT_NE(why(kBowl + "model mlp(hidden = [6]) then lbfgs(steps = 3)\n").find("`lbfgs`"), std::string::npos);
  EXPECT_NE(why(kBowl + "model mlp(hidden = [600, 600])\n").find("weights"), std::string::npos);
  EXPECT_NE(why(kBowl + "model mlp(hidden = [6])\nloss objective by evolution(sigma = 0.1)\n").find("estimated"),
            std::string::npos);
}

}  // namespace
}  // namespace amo::runtime
