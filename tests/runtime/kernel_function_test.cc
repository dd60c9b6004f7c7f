// SPDX-License-Identifier: Apache-2.0
// Compiled objectives under LibTorch's autograd against TorchExecute: values, gradients, Hessian-vector products, third
// derivatives, mixed derivatives by instance and shared inputs, strided inputs without copies, single precision.
#include "runtime/kernel_function.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sum.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <thread>

#include "compiler/text.h"
#include "runtime/kernel_gradient.h"
#include "runtime/tensor_kernel.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {
namespace {

using compiler::Function;

// 0.5 sum over the entries of tanh(A y)^2 + sum of x sin(3 y) + y[i], with A shared.
constexpr const char* kObjective =
    "function f\n%0 = input y : instance real[4]\n%1 = input x : instance real[4]\n%2 = input A : shared real[3,4]\n"
    "%3 = input i : instance int\n%4 = dot %2 %0 {0,1,1,0} : real[3]\n%5 = tanh %4 : real[3]\n%6 = mul %5 %5 : "
    "real[3]\n"
    "%7 = reduce_sum %6 {0} : real\n%8 = number 0.5 : real\n%9 = mul %7 %8 : real\n%10 = number 3 : real\n"
    "%11 = broadcast %10 {-1} : real[4]\n%12 = mul %11 %0 : real[4]\n%13 = sin %12 : real[4]\n%14 = mul %1 %13 : "
    "real[4]\n"
    "%15 = reduce_sum %14 {0} : real\n%16 = add %9 %15 : real\n%17 = gather %0 %3 {0} : real\n%18 = add %16 %17 : "
    "real\n"
    "output value %18\n";

Function Parse(const char* text) {
  compiler::ParsedFunction p = compiler::ParseFunction(text);
  EXPECT_EQ(p.error, "");
  return p.function;
}

std::vector<at::Tensor> Inputs(std::int64_t batch, at::ScalarType type = at::kDouble) {
  const auto real = at::TensorOptions().dtype(type);
  return {at::randn({batch, 4}, real), at::randn({batch, 4}, real), at::randn({3, 4}, real),
          at::randint(0, 4, {batch}, at::TensorOptions().dtype(at::kLong))};
}

double Distance(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes().vec(), b.sizes().vec());
  return a.numel() ? a.detach().sub(b.detach()).abs().max().item<double>() : 0;
}

// The value, then for each order the derivatives of the sum of the last ones' squares, by all three real inputs.
std::vector<at::Tensor> Derivatives(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                                    std::vector<at::Tensor> inputs, int orders) {
  std::vector<at::Tensor> leaves, all;
  for (std::size_t k = 0; k < 3; ++k) {
    inputs[k] = inputs[k].detach().clone().requires_grad_(true);
    leaves.push_back(inputs[k]);
  }
  std::vector<at::Tensor> last{f(inputs)};
  all = last;
  for (int order = 1; order <= orders; ++order) {
    at::Tensor scalar;
    for (const at::Tensor& t : last) {
      const at::Tensor part = at::sum(order == 1 ? t : at::mul(t, t));
      scalar = scalar.defined() ? scalar.add(part) : part;
    }
    last = torch::autograd::grad({scalar}, leaves, {}, true, order < orders);
    all.insert(all.end(), last.begin(), last.end());
  }
  return all;
}

TEST(KernelFunction, EveryOrderEqualsTorchExecute) {
  const Function f = Parse(kObjective);
  const KernelObjective kernel(f, {0, 1, 2}, {});
  for (std::int64_t batch : {1, 5, 64, 700}) {
    const std::vector<at::Tensor> inputs = Inputs(batch);
    for (int orders : {1, 2, 3}) {
      const auto actual = Derivatives(kernel, inputs, orders);
      const auto expected = Derivatives([&](const auto& in) { return TorchExecute(f, in)[0]; }, inputs, orders);
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t k = 0; k < actual.size(); ++k) {
        EXPECT_LT(Distance(actual[k], expected[k]), 1e-11 * (1 + expected[k].abs().max().item<double>()))
            << batch << " " << orders << " " << k;
      }
    }
  }
}

TEST(KernelFunction, TheBatchMayBeEmpty) {
  const Function f = Parse(kObjective);
  const KernelObjective kernel(f, {0, 1, 2}, {});
  std::vector<at::Tensor> inputs = Inputs(0);
  inputs[0].requires_grad_(true);
  const at::Tensor value = kernel(inputs);
  EXPECT_EQ(value.sizes().vec(), (std::vector<std::int64_t>{0}));
  EXPECT_EQ(torch::autograd::grad({value.sum()}, {inputs[0]})[0].sizes().vec(), (std::vector<std::int64_t>{0, 4}));
}

TEST(KernelFunction, WithoutDerivativesTheValueAloneIsComputed) {
  const Function f = Parse(kObjective);
  const KernelObjective kernel(f, {0}, {});
  const std::vector<at::Tensor> inputs = Inputs(9);
  const at::Tensor value = kernel(inputs);
  EXPECT_FALSE(value.requires_grad());
  EXPECT_LT(Distance(value, TorchExecute(f, inputs)[0]), 1e-12);
}

TEST(KernelFunction, StridedInputsAreReadWhereTheyLie) {
  const Function f = Parse(kObjective);
  const KernelObjective kernel(f, {0, 1, 2}, {});
  std::vector<at::Tensor> inputs = Inputs(6);
  const at::Tensor wide = at::randn({6, 10}, at::TensorOptions().dtype(at::kDouble));
  inputs[0] = wide.narrow(1, 3, 4);                   // rows apart
  inputs[1] = inputs[1].select(0, 0).expand({6, 4});  // one row for all
  inputs[2] = at::randn({4, 3}, wide.options()).t();  // column-major: copied
  EXPECT_LT(Distance(kernel(inputs), TorchExecute(f, inputs)[0]), 1e-12);
}

TEST(KernelFunction, SinglePrecision) {
  const Function f = Parse(kObjective);
  compiler::KernelOptions options;
  options.precision = compiler::Precision::kF32;
  const KernelObjective kernel(f, {0, 1, 2}, options);
  const std::vector<at::Tensor> inputs = Inputs(33, at::kFloat);
  const auto actual = Derivatives(kernel, inputs, 2);
  const auto expected = Derivatives([&](const auto& in) { return TorchExecute(f, in)[0]; }, inputs, 2);
  for (std::size_t k = 0; k < actual.size(); ++k) {
    EXPECT_EQ(actual[k].scalar_type(), at::kFloat);
    EXPECT_LT(Distance(actual[k], expected[k]), 1e-4 * (1 + expected[k].abs().max().item<double>())) << k;
  }
}

TEST(KernelFunction, WithoutInstanceInputsThereIsNoBatch) {
  const Function f = Parse(
      "function f\n%0 = input w : shared real[2]\n%1 = mul %0 %0 : real[2]\n%2 = mul %1 %0 : real[2]\n"
      "%3 = reduce_sum %2 {0} : real\noutput value %3\n");
  const KernelObjective kernel(f, {0}, {});
  const at::Tensor w = at::randn({2}, at::TensorOptions().dtype(at::kDouble)).requires_grad_(true);
  const at::Tensor value = kernel({w});
  EXPECT_EQ(value.dim(), 0);
  const at::Tensor d = torch::autograd::grad({value}, {w}, {}, true, true)[0];
  EXPECT_LT(Distance(d, w.mul(w).mul(3)), 1e-12);
  EXPECT_LT(Distance(torch::autograd::grad({d.sum()}, {w})[0], w.mul(6)), 1e-12);
}

TEST(KernelFunction, ThreadsShareOneObjective) {
  const Function f = Parse(kObjective);
  const KernelObjective kernel(f, {0, 1, 2}, {});
  const std::vector<at::Tensor> inputs = Inputs(50);
  const at::Tensor expected = TorchExecute(f, inputs)[0];
  std::vector<double> distances(4, 1);
  std::vector<std::thread> threads;
  for (double& d : distances) threads.emplace_back([&] { d = Distance(kernel(inputs), expected); });
  for (std::thread& t : threads) t.join();
  for (double d : distances) EXPECT_LT(d, 1e-12);
}

TEST(TensorKernel, GivesEveryOutput) {
  const Function f = Parse(
      "function f\n%0 = input x : instance real[3]\n%1 = argmax %0 : int\n%2 = input k : shared real[3]\n"
      "%3 = lt %0 %2 : bool[3]\n%4 = cumsum %0 : real[3]\noutput a %1\noutput b %3\noutput c %4\n");
  const std::vector<at::Tensor> inputs{at::randn({300, 3}, at::TensorOptions().dtype(at::kDouble)),
                                       at::randn({3}, at::TensorOptions().dtype(at::kDouble))};
  const auto actual = TensorKernel(f, {})(inputs);
  const auto expected = TorchExecute(f, inputs);
  ASSERT_EQ(actual.size(), 3U);
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(actual[k].scalar_type(), expected[k].scalar_type());
    EXPECT_LT(Distance(actual[k].to(at::kDouble), expected[k].to(at::kDouble)), 1e-12);
  }
}

// What depends on shared inputs alone is made again when one of them is written, and when it is another tensor.
TEST(TensorKernel, SharedInputsMayChange) {
  const Function f = Parse(
      "function f\n%0 = input x : instance real[3]\n%1 = input k : shared real[3]\n%2 = exp %1 : real[3]\n"
      "%3 = mul %0 %2 : real[3]\noutput a %3\n");
  const TensorKernel kernel(f, {});
  EXPECT_GT(kernel.many().shared_bytes, 0U);
  at::Tensor x = at::randn({5, 3}, at::TensorOptions().dtype(at::kDouble)), k = at::randn({3}, x.options());
  const auto check = [&](const char* what) {
    for (const std::int64_t batch : {5, 1}) {
      const std::vector<at::Tensor> inputs{x.narrow(0, 0, batch), k};
      EXPECT_LT(Distance(kernel(inputs)[0], TorchExecute(f, inputs)[0]), 1e-12) << what << batch;
    }
  };
  check("first ");
  check("again ");
  k.mul_(2);
  check("written ");
  k.detach().add_(1);
  check("written through an alias ");
  for (int round = 0; round < 5; ++round) {
    k = at::randn({3}, x.options());
    check("another ");
  }
  EXPECT_EQ(kernel({x.narrow(0, 0, 0), k})[0].sizes(), (std::vector<std::int64_t>{0, 3}));
}

// Several outputs, one of them not real, one that varies with nothing of the instance; by a shared input and an
// instance one; first and second derivatives against LibTorch's.
TEST(KernelGradient, AnyOutputsToSecondOrder) {
  const Function f = Parse(
      "function f\n%0 = input x : instance real[3]\n%1 = input w : shared real[3]\n%2 = mul %0 %1 : real[3]\n"
      "%3 = sin %2 : real[3]\n%4 = argmax %3 : int\n%5 = mul %1 %1 : real[3]\n%6 = reduce_sum %3 {0} : real\n"
      "output a %3\noutput b %4\noutput c %5\noutput d %6\n");
  const std::vector<int> wrt{0, 1};
  ASSERT_TRUE(KernelGradient::Compilable(f, wrt));
  const KernelGradient kernel(f, wrt, {});
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const std::vector<at::Tensor> inputs{at::randn({19, 3}, options).requires_grad_(true),
                                       at::randn({3}, options).requires_grad_(true)};
  const at::Tensor seed_a = at::randn({19, 3}, options), seed_c = at::randn({3}, options);
  const auto derivatives = [&](const std::vector<at::Tensor>& out) {
    // What does not vary has no batch axis by LibTorch; by the kernel it is repeated.
    const at::Tensor c = out[2].dim() == 2 ? out[2].select(0, 0) : out[2];
    const at::Tensor total = (out[0] * seed_a).sum() + (c * seed_c).sum() + out[3].mul(out[3]).sum();
    std::vector<at::Tensor> first = torch::autograd::grad({total}, inputs, {}, true, true);
    const at::Tensor again = first[0].mul(first[0]).sum() + first[1].sum();
    for (const at::Tensor& t : torch::autograd::grad({again}, inputs)) first.push_back(t);
    return first;
  };
  const auto actual = derivatives(kernel(inputs)), expected = derivatives(TorchExecute(f, inputs));
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t k = 0; k < actual.size(); ++k) EXPECT_LT(Distance(actual[k], expected[k]), 1e-10) << k;
}

}  // namespace
}  // namespace amo::runtime
