// SPDX-License-Identifier: Apache-2.0
// From a file to a trained model: the box QP against the batched solver, which is itself held against its optimality
// conditions; the same seed gives the same losses.
#include "runtime/train.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lang/problem.h"
#include "runtime/projected_gradient.h"

namespace amo::runtime {
namespace {

Problem Open(const std::string& path) {
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::Load(path, diagnostics);
  const lang::Problem chosen = lang::Choose(source, {}, diagnostics);
  compiler::Program program = compiler::Build(source, chosen, {}, diagnostics);
  EXPECT_FALSE(diagnostics.has_errors());
  Result<Problem> p = OpenProblem(std::move(program), {}, at::kDouble, 11);
  EXPECT_TRUE(p.ok());
  return std::move(*p);
}

constexpr char kModel[] = "  model mlp(hidden = [128])\n";

TEST(Solve, BoxQpMeetsItsOptimalityConditions) {
  const Problem p = Open("tests/programs/box_qp.amo");
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(3);
  const Values x = Sample(p, 64, Split::kTrain, g);
  const SolveSummary s = ProjectedGradient(p, x, {{"y", at::zeros({64, 20}, at::kDouble)}}, {});
  for (SolveStatus status : s.status) EXPECT_EQ(status, SolveStatus::kSolved);
  const at::Tensor y = s.variables.at("y");
  EXPECT_GE(y.min().item<double>(), 0);
  EXPECT_LE(y.max().item<double>(), 1);
  // The gradient Q y + p is zero inside, points outwards at the bounds.
  const at::Tensor gradient = y.matmul(p.shared.at("Q")) + x.at("p");
  EXPECT_LT(((y - (y - gradient).clamp(0, 1)).abs().max().item<double>()), 1e-7);
  Values all = x;
  all["y"] = y;
  EXPECT_LT((Objective(p, all) - s.objective).abs().max().item<double>(), 1e-10);
}

TEST(Train, BoxQpNearsTheSolver) {
  const std::string path = testing::TempDir() + "/train_test.amo";
  std::string text, line;
  std::ifstream in("tests/programs/box_qp.amo");
  while (std::getline(in, line)) text += line + "\n";
  std::ofstream(path) << text << kModel;
  const Problem p = Open(path);
  const TrainSummary t = Train(p, {.steps = 2500, .batch = 256, .rate = 2e-3, .seed = 5});
  ASSERT_EQ(t.status, TrainStatus::kDone);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(99);
  Values x = Sample(p, 256, Split::kTest, g);
  const SolveSummary s = ProjectedGradient(p, x, {{"y", at::zeros({256, 20}, at::kDouble)}}, {});
  Values all = x;
  all["y"] = at::zeros({256, 20}, at::kDouble);
  const double worst = (Objective(p, all) - s.objective).mean().item<double>();
  all.insert(t.weights.begin(), t.weights.end());
  for (auto& [name, y] : Predict(p, all)) all[name] = y;
  const double gap = (Objective(p, all) - s.objective).mean().item<double>();
  EXPECT_GE(gap, -1e-9);
  EXPECT_LT(gap, 0.03 * worst) << "gap of zeros: " << worst;
  EXPECT_GE(all.at("y").min().item<double>(), 0);
  EXPECT_LE(all.at("y").max().item<double>(), 1);
}

// A function that needs a draw which nothing gives is an error of opening, not of running.
TEST(Open, NamesWhatCannotBeGiven) {
  const std::string path = testing::TempDir() + "/random.amo";
  std::ofstream(path) << "amo 1\nproblem p\nvariable y : real\nrandom e : real ~ normal(0, 1)\nminimize (y - e)^2\n";
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::Load(path, diagnostics);
  const Result<Problem> p = OpenProblem(compiler::Build(source, lang::Choose(source, {}, diagnostics), {}, diagnostics), {}, at::kDouble, 1);
  ASSERT_FALSE(p.ok());
  EXPECT_NE(p.message().find("draw/e"), std::string::npos) << p.message();
}

TEST(Train, SameSeedSameLosses) {
  const std::string path = testing::TempDir() + "/same_seed.amo";
  std::ofstream(path) << "amo 1\nproblem p\ncontext x : real[3] ~ normal(0, 1)\nvariable y : real[3] in simplex\n"
                         "minimize sumsq(y - x)\nmodel mlp(hidden = [16])\n";
  const Problem p = Open(path);
  const TrainSummary a = Train(p, {.steps = 40, .batch = 32, .seed = 1, .check_every = 10});
  const TrainSummary b = Train(p, {.steps = 40, .batch = 32, .seed = 1, .check_every = 10});
  const TrainSummary c = Train(p, {.steps = 40, .batch = 32, .seed = 2, .check_every = 10});
  ASSERT_EQ(a.history.size(), 5u);
  for (std::size_t i = 1; i < a.history.size(); ++i) EXPECT_EQ(a.history[i].loss, b.history[i].loss);
  EXPECT_NE(a.history[1].loss, c.history[1].loss);
  EXPECT_LT(a.best, a.history[0].validation);
}

}  // namespace
}  // namespace amo::runtime
