// SPDX-License-Identifier: Apache-2.0
// Every example builds, and its objective, gradient and Hessian-vector product are the same by the interpreter, the
// compiled kernel, LibTorch and (the first two of them) central differences, on random inputs.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/kernel.h"
#include "compiler/simplify.h"
#include "lang/check.h"
#include "runtime/open.h"
#include "runtime/tensor_kernel.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {
namespace {

using compiler::Elem;
using compiler::Function;
using compiler::Role;

constexpr std::int64_t kBatch = 3;

std::vector<std::string> Examples() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("examples")) {
    if (entry.path().extension() == ".amo") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The tables that examples name, as types: the test needs no data.
std::map<std::string, compiler::Type> PowerCase(std::int64_t bus, std::int64_t gen) {
  std::map<std::string, compiler::Type> fields;
  for (const char* name :
       {"c2",   "c1",   "c0",  "pmin", "pmax", "qmin", "qmax", "pd0", "qd0", "vmin", "vmax", "gff",
        "bff",  "gft",  "bft", "gtt",  "btt",  "gtf",  "btf",  "rate"}) {
    fields[name] = {Elem::kReal, {}};
  }
  fields["src"] = fields["dst"] = {Elem::kInt, {}};
  fields["G"] = fields["B"] = {Elem::kReal, {bus}};
  fields["at"] = {Elem::kReal, {gen}};
  return fields;
}

compiler::Tables Types() {
  return {{"case9.npz", PowerCase(9, 3)},
          {"case57.npz", PowerCase(57, 7)},
          {"mnist", {{"image", {Elem::kReal, {784}}}, {"label", {Elem::kInt, {}}}}},
          {"families.npz",
           {{"query", {Elem::kInt, {20}}}, {"msa", {Elem::kInt, {1000, 20}}}, {"held", {Elem::kInt, {200, 20}}}}},
          {"dc3_x.npy", {{"x", {Elem::kReal, {50}}}}},
          {"dc3_qp.npz",
           {{"q", {Elem::kReal, {}}},
            {"p", {Elem::kReal, {}}},
            {"A", {Elem::kReal, {100}}},
            {"G", {Elem::kReal, {100}}},
            {"h", {Elem::kReal, {}}}}},
          {"sphere8.npz", {{"z", {Elem::kReal, {4, 3}}}, {"alpha", {Elem::kReal, {4}}}}}};
}

// Positive entries of moderate size suit every example: images, weights, logarithms of deviations.
// Square matrices are made positive definite where an example says that they are.
std::vector<at::Tensor> Inputs(const Function& f, at::Generator& g, bool definite) {
  std::vector<at::Tensor> inputs;
  for (const compiler::Input& in : f.inputs) {
    std::vector<std::int64_t> sizes = in.type.shape;
    if (in.role == Role::kInstance) sizes.insert(sizes.begin(), kBatch);
    at::Tensor t = at::empty(sizes, at::TensorOptions(at::kDouble)).uniform_(0.1, 0.9, g);
    if (in.name.starts_with("weight/")) t = (t - 0.5) * 0.2;
    const std::size_t rank = in.type.shape.size();
    const std::int64_t n = rank >= 2 ? in.type.shape[rank - 1] : 0;
    if (definite && rank >= 2 && n == in.type.shape[rank - 2])
      t = t + t.transpose(-1, -2) + 2.0 * static_cast<double>(n) * at::eye(n, t.options());
    inputs.push_back(in.type.elem == Elem::kReal ? t : t.gt(0.5).to(at::kLong));
  }
  return inputs;
}

std::vector<compiler::Tensor> Instance(const Function& f, const std::vector<at::Tensor>& inputs, std::int64_t b) {
  std::vector<compiler::Tensor> one;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const at::Tensor t =
        (f.inputs[k].role == Role::kInstance ? inputs[k].select(0, b) : inputs[k]).to(at::kDouble).contiguous();
    one.push_back({f.inputs[k].type, {t.data_ptr<double>(), t.data_ptr<double>() + t.numel()}});
  }
  return one;
}

// |a - b| of an output, over 1 + |a|, at most: rounding of sums of a thousand terms.
void ExpectSame(const compiler::Tensor& a, at::Tensor b, bool batched, std::int64_t instance, const std::string& what) {
  if (batched) b = b.select(0, instance);
  b = b.to(at::kDouble).contiguous();
  ASSERT_EQ(static_cast<std::size_t>(b.numel()), a.data.size()) << what;
  double scale = 1, worst = 0;
  for (const double x : a.data) scale = std::max(scale, std::fabs(x));
  for (std::size_t i = 0; i < a.data.size(); ++i)
    worst = std::max(worst, std::fabs(a.data[i] - b.data_ptr<double>()[i]));
  EXPECT_LT(worst, 1e-10 * scale) << what;
}

class Example : public testing::TestWithParam<std::string> {};

TEST_P(Example, ThreeExecutorsAndDifferencesAgree) {
  ProgramChoice choice;
  choice.file = GetParam();
  choice.types = Types();
  Opened opened;
  ASSERT_EQ(Open(choice, Stage::kData, opened), OpenStatus::kOk) << opened.error;
  // A fixed point has an equation instead of an objective: its update, where it says one.
  ASSERT_TRUE(opened.built.objective || opened.built.update);
  if (!opened.built.objective) return;
  const Function& f = *opened.built.objective;
  std::vector<int> wrt;
  for (const compiler::Named& v : opened.built.variables)
    if (const int k = f.FindInput(v.name); k >= 0) wrt.push_back(k);  // an objective may leave some out
  const Function gradient = compiler::Simplify(compiler::Gradient(f, wrt));
  const Function product = compiler::Simplify(compiler::HessianVector(f, wrt));
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{17});
  const bool definite = GetParam().find("karcher") != std::string::npos;
  for (const Function* function : {&f, &gradient, &product}) {
    const std::string what = GetParam() + ", " + function->name;
    const std::vector<at::Tensor> inputs = Inputs(*function, g, definite);
    const std::vector<at::Tensor> by_torch = TorchExecute(*function, inputs);
    std::vector<at::Tensor> by_kernel;
    if (compiler::Uncompilable(*function).empty()) by_kernel = TensorKernel(*function, {})(inputs);
    // Of all that examples do, windows of images, linear systems and eigenvectors alone have no kernels.
    const auto is_torchs = [](const compiler::Node& n) {
      return n.op == compiler::Op::kUnfold || n.op == compiler::Op::kFold || n.op == compiler::Op::kSolve ||
             n.op == compiler::Op::kEigen;
    };
    const bool torchs = std::any_of(function->nodes.begin(), function->nodes.end(), is_torchs);
    EXPECT_EQ(by_kernel.empty(), torchs) << what << ": " << compiler::Uncompilable(*function);
    const std::vector<bool> varies = compiler::VariesByInstance(*function);
    for (std::int64_t b = 0; b < kBatch; ++b) {
      const std::vector<compiler::Tensor> judge = compiler::Interpret(*function, Instance(*function, inputs, b));
      for (std::size_t k = 0; k < judge.size(); ++k) {
        const bool batched = varies[static_cast<std::size_t>(function->outputs[k].value.index)];
        ExpectSame(judge[k], by_torch[k], batched, b, what + " by LibTorch, " + function->outputs[k].name);
        if (!by_kernel.empty())
          ExpectSame(judge[k], by_kernel[k], true, b, what + " by the kernel, " + function->outputs[k].name);
      }
    }
  }
  // Second derivatives of functions of eigenvalues miss how the eigenvectors move.
  if (std::any_of(f.nodes.begin(), f.nodes.end(), [](const compiler::Node& n) { return n.op == compiler::Op::kEigen; }))
    return;
  // The gradient along a direction, and the product with it, against differences of values and of gradients.
  const std::vector<at::Tensor> inputs = Inputs(product, g, definite);
  std::vector<compiler::Tensor> at = Instance(product, inputs, 0);
  const std::size_t own = f.inputs.size();
  const auto moved = [&](double h) {
    std::vector<compiler::Tensor> x(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(own));
    for (std::size_t k = 0; k < wrt.size(); ++k) {
      for (std::size_t i = 0; i < at[own + k].data.size(); ++i)
        x[static_cast<std::size_t>(wrt[k])].data[i] += h * at[own + k].data[i];
    }
    return compiler::Interpret(gradient, x);
  };
  const double h = 1e-5;
  const auto plus = moved(h), minus = moved(-h), here = compiler::Interpret(product, at);
  double slope = 0, scale = 1;
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    for (std::size_t i = 0; i < at[own + k].data.size(); ++i) slope += here[1 + k].data[i] * at[own + k].data[i];
    for (const double d : here[1 + wrt.size() + k].data) scale = std::max(scale, std::fabs(d));
  }
  EXPECT_NEAR((plus[0].data[0] - minus[0].data[0]) / (2 * h), slope,
              1e-6 * std::max({1.0, std::fabs(slope), std::fabs(plus[0].data[0])}));
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    for (std::size_t i = 0; i < at[own + k].data.size(); ++i) {
      EXPECT_NEAR((plus[1 + k].data[i] - minus[1 + k].data[i]) / (2 * h), here[1 + wrt.size() + k].data[i],
                  1e-5 * scale)
          << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Examples, Example, testing::ValuesIn(Examples()),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return std::filesystem::path(info.param).stem().string();
                         });

}  // namespace
}  // namespace amo::runtime
