// SPDX-License-Identifier: Apache-2.0
// One autograd function around two kernels.
#include "runtime/kernel_gradient.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "compiler/check.h"
#include "compiler/derive.h"
#include "compiler/simplify.h"
#include "runtime/tensor_kernel.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {

using compiler::Elem;
using compiler::Function;
using compiler::Role;

struct KernelGradient::State {
  Function function, product;
  std::vector<int> wrt;
  TensorKernel forward, backward;
};

namespace {

using State = KernelGradient::State;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Holder : torch::CustomClassHolder {
  std::shared_ptr<const State> state;
};

struct Apply : torch::autograd::Function<Apply> {
  static variable_list forward(AutogradContext* context, const c10::intrusive_ptr<Holder>& handle,
                               at::TensorList inputs) {
    const State& s = *handle->state;
    context->saved_data["state"] = c10::IValue::make_capsule(handle);
    context->save_for_backward(inputs.vec());
    std::vector<at::Tensor> out = s.forward(inputs.vec());
    std::vector<at::Tensor> whole;  // ints and bools have no derivative
    for (std::size_t k = 0; k < out.size(); ++k) if (!out[k].is_floating_point()) whole.push_back(out[k]);
    context->mark_non_differentiable(whole);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const auto handle = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["state"].toCapsule());
    const State& s = *handle->state;
    std::vector<at::Tensor> inputs = context->get_saved_variables();
    const std::size_t n = inputs.size();
    std::int64_t batch = 0;
    for (std::size_t k = 0; k < n; ++k) if (s.function.inputs[k].role == Role::kInstance) batch = inputs[k].size(0);
    at::TensorOptions options(s.forward.many().precision == compiler::Precision::kF64 ? at::kDouble : at::kFloat);
    for (std::size_t k = 0; k < given.size(); ++k) {
      const compiler::Type& type = s.function.type(s.function.outputs[k].value);
      if (type.elem != Elem::kReal) continue;
      std::vector<std::int64_t> sizes = type.shape;
      sizes.insert(sizes.begin(), batch);
      inputs.push_back(given[k].defined() ? given[k] : at::zeros(sizes, options));
    }
    const bool further = at::GradMode::is_enabled();
    std::vector<at::Tensor> d = further ? TorchExecute(s.product, inputs) : s.backward(inputs);
    variable_list result(1 + n);
    for (std::size_t k = 0; k < s.wrt.size(); ++k) {
      if (!context->needs_input_grad(static_cast<std::size_t>(s.wrt[k]))) continue;
      const compiler::Input& in = s.function.inputs[static_cast<std::size_t>(s.wrt[k])];
      const bool by_instance = d[k].dim() > static_cast<std::int64_t>(in.type.shape.size());
      at::Tensor& received = result[1 + static_cast<std::size_t>(s.wrt[k])];
      if (in.role == Role::kShared) {
        received = by_instance ? at::sum(d[k], at::IntArrayRef{0}) : d[k].mul(static_cast<double>(batch));
      } else {
        std::vector<std::int64_t> sizes = in.type.shape;
        sizes.insert(sizes.begin(), batch);
        received = d[k].expand(sizes);
      }
    }
    return result;
  }
};

Function Product(const Function& function, const std::vector<int>& wrt) {
  return compiler::Simplify(compiler::Vjp(function, wrt));
}

}  // namespace

bool KernelGradient::Compilable(const Function& function, const std::vector<int>& wrt) {
  const bool batched = std::any_of(function.inputs.begin(), function.inputs.end(),
                                   [](const compiler::Input& in) { return in.role == Role::kInstance; });
  return batched && compiler::Uncompilable(function).empty() && compiler::Uncompilable(Product(function, wrt)).empty();
}

KernelGradient::KernelGradient(const Function& function, std::vector<int> wrt, const compiler::KernelOptions& options) {
  Function product = Product(function, wrt);
  TensorKernel forward(function, options), backward(product, options);
  state_ = std::make_shared<State>(State{function, std::move(product), std::move(wrt), forward, backward});
}

std::vector<at::Tensor> KernelGradient::operator()(const std::vector<at::Tensor>& inputs) const {
  AMO_CHECK(inputs.size() == state_->function.inputs.size());
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const bool known = std::count(state_->wrt.begin(), state_->wrt.end(), static_cast<int>(k)) > 0;
    AMO_CHECK(known || !inputs[k].requires_grad(), "(input %s)", state_->function.inputs[k].name.c_str());
  }
  const auto handle = c10::make_intrusive<Holder>();
  handle->state = state_;
  return Apply::apply(handle, at::TensorList(inputs));
}

}  // namespace amo::runtime
