// SPDX-License-Identifier: Apache-2.0
// How far contexts are from those of training, against the law of the squared distance of a normal.
#include "runtime/context_law.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

// x = m + L e with e standard normal in two dimensions: the squared distance is |e|², above t with exp(-t / 2).
TEST(ContextLaw, ANormalsIsThatOfItsSquaredDistance) {
  const Problem p = MakeProblem(
      "hidden e : real[2] ~ normal(0, 1)\ncontext x : real[2] = [3 + 10 * e[0], 5 * e[0] + 0.01 * e[1]]\n"
      "variable y : real\nminimize (y - x[0])^2\n");
  const Values law = LearnContextLaw(p);
  ASSERT_EQ(law.count("law/distances"), 1U);
  const at::Tensor e = at::tensor({0.0, 0.0, 1.0, 0.0, 0.0, 1.0, -1.0, 1.5, 0.0, 6.0}, at::kDouble).view({5, 2});
  const at::Tensor x = at::matmul(e, at::tensor({10.0, 5.0, 0.0, 0.01}, at::kDouble).view({2, 2})) +
                       at::tensor({3.0, 0.0}, at::kDouble);
  const auto share = InDistribution(p, law, {{"x", x}}, 5);
  ASSERT_TRUE(share.has_value());
  for (std::int64_t i = 0; i < 5; ++i) {
    const double square = e[i].mul(e[i]).sum().item<double>();
    EXPECT_NEAR((*share)[i].item<double>(), std::exp(-square / 2), 0.06) << i;
  }
  EXPECT_LE((*share)[4].item<double>(), 0.001);
}

// Many entries, each for itself; one that never varies is far as soon as it moves.
TEST(ContextLaw, WideContextsAndConstantOnes) {
  const Problem p = MakeProblem(
      "context x : real[100] ~ normal(0, 2)\ncontext c : real = 1\nvariable y : real\nminimize y^2\n");
  const Values law = LearnContextLaw(p);
  EXPECT_EQ(law.at("law/whiten").dim(), 1);
  const auto options = at::TensorOptions(at::kDouble);
  const at::Tensor x = at::zeros({2, 100}, options), c = at::tensor({1.0, 1.1}, options);
  const auto share = InDistribution(p, law, {{"x", x}, {"c", c}}, 2);
  EXPECT_GT((*share)[0].item<double>(), 0.99);
  EXPECT_EQ((*share)[1].item<double>(), 0);
}

TEST(ContextLaw, IsNotKnownWithoutContexts) {
  const Problem p = MakeProblem("variable y : real\nminimize y^2\n");
  EXPECT_TRUE(LearnContextLaw(p).empty());
  EXPECT_FALSE(InDistribution(p, {}, {}, 3).has_value());
}

}  // namespace
}  // namespace amo::runtime
