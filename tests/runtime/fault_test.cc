// SPDX-License-Identifier: Apache-2.0
// Numbers that are not finite are traced to the expression that made them so.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <string>

#include "lang/problem.h"
#include "runtime/fault.h"
#include "runtime/train.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

at::Tensor Reals(std::vector<double> values) { return at::tensor(values, at::TensorOptions(at::kDouble)); }

std::string Said(const std::string& text, const Values& values, std::int64_t instance, bool model = false) {
  const Problem p = MakeProblem(text);
  const auto found = model ? FaultOfModel(p, values, instance) : FaultAt(p, values, instance);
  if (!found) return "";
  lang::Diagnostics diagnostics;
  return ToText(*found, lang::LoadText("test.amo", "amo 1\nproblem p\n" + text, diagnostics).sources);
}

TEST(Fault, NamesInstanceExpressionAndNumbers) {
  const std::string text =
      "context c : real[2]\nvariable y : real[2]\nlet inside = c - y\n"
      "minimize sum(i in 2: log(inside[i])) + sumsq(y)\n";
  const Values values = {{"c", Reals({1, 1, 1, 0.5}).view({2, 2})}, {"y", Reals({0, 0, 0, 2}).view({2, 2})}};
  EXPECT_EQ(Said(text, values, 0), "");
  EXPECT_EQ(Said(text, values, 1),
            "instance 1: `log(inside[i])` in the objective is nan: log(-1.5) in entry [1] (test.amo:6:22)");
}

TEST(Fault, FollowsOverflowToItsBeginning) {
  const std::string text = "context c : real\nvariable y : real\nminimize exp(c * y) - exp(2 * c * y)\n";
  EXPECT_EQ(Said(text, {{"c", Reals({800})}, {"y", Reals({1})}}, 0),
            "instance 0: `exp(c * y)` in the objective is inf: exp(800) (test.amo:5:10)");
}

TEST(Fault, LooksAtSlopesToo) {
  const std::string text = "context c : real\nvariable y : real\nminimize sqrt(c * y) + y^2\n";
  EXPECT_EQ(Said(text, {{"c", Reals({1})}, {"y", Reals({4})}}, 0), "");
  const std::string said = Said(text, {{"c", Reals({1})}, {"y", Reals({0})}}, 0);
  EXPECT_EQ(said.substr(0, 63), "instance 0: `sqrt(c * y)` in the gradient of the objective is i") << said;
}

TEST(Fault, InsideScansAndConstraints) {
  EXPECT_EQ(Said("context c : real\nvariable y : real[4]\nminimize last(scan(z = c, t in 4: log(z) + y[t]))\n",
                 {{"c", Reals({1})}, {"y", Reals({0, 0, 0, 0}).view({1, 4})}}, 0),
            "instance 0: `log(z)` in the objective is -inf: log(0), step 1 of its scan (test.amo:5:35)");
  EXPECT_EQ(Said("context c : real\nvariable y : real\nminimize y^2\nsubject to\n  low: log(y - c) <= 0\n",
                 {{"c", Reals({2})}, {"y", Reals({1})}}, 0),
            "instance 0: `log(y - c)` in the constraint `low` is nan: log(-1) (test.amo:7:8)");
}

TEST(Fault, Equations) {
  EXPECT_EQ(Said("context c : real\nvariable y : real\nfind log(y) == c\n", {{"c", Reals({2})}, {"y", Reals({-1})}}, 0),
            "instance 0: `log(y)` in the equations is nan: log(-1) (test.amo:5:6)");
}

TEST(Fault, StepsOfAModel) {
  const std::string text =
      "context c : real\nvariable y : real\nminimize y^2 - c * sqrt(y)\n"
      "model y = c then gradient(steps = 3, rate = 0.9)\n";
  const std::string said = Said(text, {{"c", Reals({1})}}, 0, true);
  EXPECT_NE(said.find("in step 2 of `gradient` is nan: sqrt(-0."), std::string::npos) << said;
}

TEST(Fault, TrainingSaysWhereItBegan) {
  const Problem p = MakeProblem(
      "context c : real[3] ~ uniform(0, 1)\nvariable y : real[3]\nminimize sumsq(y) + sum(i in 3: sqrt(c[i] - 0.2))\n"
      "model mlp(hidden = [4])\nloss objective\ntrain steps = 3, batch = 16\n");
  TrainOptions options;
  options.settings.steps = 3, options.settings.batch = 16;
  const TrainSummary t = Train(p, options);
  ASSERT_EQ(t.status, TrainStatus::kDiverged);
  ASSERT_TRUE(t.fault.has_value());
  EXPECT_EQ(t.fault->where, "the objective");
  EXPECT_EQ(t.fault->fault.how.substr(0, 6), "sqrt(-");
}

}  // namespace
}  // namespace amo::runtime
