// SPDX-License-Identifier: Apache-2.0
// Parameters and networks from files: they start there, and stay where no loss names them.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/losses.h"
#include "runtime/model.h"
#include "runtime/open.h"
#include "runtime/predictor.h"
#include "runtime/tensor_array.h"
#include "runtime/write_array.h"
#include "tests/runtime/scratch.h"

namespace amo::runtime {
namespace {

struct FromFile {
  std::vector<std::string> errors;
  std::optional<Problem> problem;
  Values learned;
};

class FromFiles : public testing::Test {
 protected:
  at::Tensor Random(std::vector<std::int64_t> sizes) {
    return at::randn(sizes, generator_, at::TensorOptions(at::kDouble));
  }

  void Write(const std::string& name, const std::vector<std::pair<std::string, at::Tensor>>& arrays) {
    std::vector<Array> list;
    for (const auto& [field, t] : arrays) list.push_back(ToArray(field, t));
    ASSERT_TRUE(WriteArrays(folder_ + "/" + name, list).ok());
  }

  FromFile OpenText(const std::string& text) {
    FromFile r;
    std::ofstream(folder_ + "/test.amo") << "amo 1\nproblem p\n" << text;
    ProgramChoice choice;
    choice.file = folder_ + "/test.amo";
    Opened opened;
    const OpenStatus status = Open(choice, Stage::kData, opened);
    if (!opened.error.empty()) r.errors.push_back(opened.error);
    for (const lang::Diagnostic& d : opened.diagnostics.all())
      if (d.severity == lang::Severity::kError) r.errors.push_back(d.message);
    if (status != OpenStatus::kOk) return r;
    Result<Problem> p = ProblemOf(opened);
    if (!p.ok()) return r.errors.push_back(p.message()), r;
    r.problem.emplace(std::move(*p));
    r.learned = InitialLearned(*r.problem, generator_);
    return r;
  }

  std::string folder_ = Folder();
  at::Generator generator_ = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{5});
};

constexpr char kHead[] = "context x : real[3] ~ normal(0, 1)\nvariable y : real[2]\n";

TEST_F(FromFiles, AConstIsReadLikeData) {
  const at::Tensor a = Random({2, 3});
  Write("a.npz", {{"a", a}});
  FromFile r = OpenText(std::string(kHead) + "const a : real[2, 3] from \"a.npz\"\nminimize sumsq(y - a * x)\n"
                        "solve y = a * x\n");
  ASSERT_EQ(r.errors, std::vector<std::string>{});
  EXPECT_TRUE(at::equal(r.problem->shared.at("a"), a));
}

// As PyTorch's state_dict has them: the layers by their numbers, weights before biases.
TEST_F(FromFiles, ANetworkIsThatOfTheFile) {
  const at::Tensor w0 = Random({4, 3}), b0 = Random({4}), w2 = Random({2, 4}), b2 = Random({2});
  Write("net.safetensors", {{"2.bias", b2}, {"2.weight", w2}, {"0.bias", b0}, {"0.weight", w0}});
  const FromFile r = OpenText(std::string(kHead) +
                              "network g(x : real[3]) -> real[2] = mlp(hidden = [4], activation = tanh)\n"
                              "  from \"net.safetensors\"\nmodel y = g(x)\nminimize sumsq(y - x[0..2])\n");
  ASSERT_TRUE(r.problem) << (r.errors.empty() ? "" : r.errors[0]);
  const at::Tensor x = Random({5, 3});
  Values values = r.learned;
  values["x"] = x;
  const at::Tensor y = RunModel(*r.problem, values, 5).answer.at("y");
  EXPECT_LT((y - at::linear(at::linear(x, w0, b0).tanh(), w2, b2)).abs().max().item<double>(), 1e-12);
  EXPECT_TRUE(TasksOf(r.problem->program, r.learned, {}).empty());  // nothing moves
}

TEST_F(FromFiles, ALossThatNamesItMovesIt) {
  Write("net.safetensors", {{"weight", Random({2, 3})}, {"bias", Random({2})}});
  Write("w.npy", {{"w", Random({2})}});
  const std::string text = std::string(kHead) +
                           "network g(x : real[3]) -> real[2] = linear from \"net.safetensors\"\n"
                           "parameter w : real[2] from \"w.npy\"\nparameter v : real[2] = 0\n"
                           "model y = g(x) + w + v\nminimize sumsq(y - x[0..2])\n";
  const auto moved = [&](const std::string& loss) {
    const FromFile r = OpenText(text + loss);
    std::vector<std::string> all;
    if (!r.problem) return r.errors;
    for (const Task& t : TasksOf(r.problem->program, r.learned, {}))
      all.insert(all.end(), t.moves.begin(), t.moves.end());
    return all;
  };
  EXPECT_EQ(moved("loss objective\n"), (std::vector<std::string>{"v"}));
  EXPECT_EQ(moved("loss w, v: objective\n"), (std::vector<std::string>{"v", "w"}));
  EXPECT_EQ(moved("loss g: objective\nloss v: objective\n"),
            (std::vector<std::string>{"weight/g/0", "weight/g/1", "v"}));
}

TEST_F(FromFiles, ArraysOfANetworkByItsName) {
  const at::Tensor w = Random({2, 3}), b = Random({2});
  Write("all.npz", {{"f.weight", Random({7, 3})}, {"g.weight", w}, {"g.bias", b}});
  const FromFile r = OpenText(std::string(kHead) + "network g(x : real[3]) -> real[2] = linear from \"all.npz\"\n"
                                           "model y = g(x)\nminimize sumsq(y)\n");
  ASSERT_TRUE(r.problem) << (r.errors.empty() ? "" : r.errors[0]);
  EXPECT_TRUE(r.learned.at("weight/g/0").equal(w) && r.learned.at("weight/g/1").equal(b));
}

TEST_F(FromFiles, WhatDoesNotFitIsSaid) {
  Write("net.safetensors", {{"weight", Random({2, 5})}, {"bias", Random({2})}});
  Write("many.npz", {{"a", Random({2, 3})}, {"b", Random({2})}, {"c", Random({2})}});
  Write("long.npz", {{"weight", Random({4, 3})}, {"bias", Random({2})}});
  const auto error = [&](const std::string& network) {
    const FromFile r = OpenText(std::string(kHead) + network + "model y = g(x)\nminimize sumsq(y)\n");
    return r.errors.empty() ? std::string() : r.errors[0];
  };
  const std::string head = "network g(x : real[3]) -> real[2] ";
  EXPECT_EQ(error(head + "= linear from \"net.safetensors\"\n"),
            "`weight` of `net.safetensors` has rows [5], and array 0 of `g` is [2, 3]");
  EXPECT_EQ(error(head + "= linear from \"many.npz\"\n"),
            "`many.npz` holds 3 arrays for `g`, whose layers have 2");
  EXPECT_EQ(error(head + "from \"net.safetensors\"\n"),
            "the file gives the weights of `g`, and nothing its layers");
  EXPECT_NE(error(head + "= linear from \"long.npz\"\n").find("`weight`"), std::string::npos);
  EXPECT_NE(error(head + "= linear from \"none.npz\"\n").find("none.npz"), std::string::npos);
}

}  // namespace
}  // namespace amo::runtime
