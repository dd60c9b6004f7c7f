// SPDX-License-Identifier: Apache-2.0
// Kernels under autograd: two autograd functions, each other's derivative, around three kernels.
#include "runtime/kernel_function.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "compiler/check.h"
#include "compiler/derive.h"
#include "compiler/simplify.h"
#include "runtime/tensor_kernel.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {
namespace {

using compiler::Function;
using compiler::Role;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

bool HasBatch(const Function& f) {
  return std::any_of(f.inputs.begin(), f.inputs.end(),
                     [](const compiler::Input& in) { return in.role == Role::kInstance; });
}

// A kernel that is made when it is first needed.
struct Lazy {
  Function function;
  mutable std::once_flag once;
  mutable std::optional<TensorKernel> kernel;

  std::vector<at::Tensor> Run(const compiler::KernelOptions& options, const std::vector<at::Tensor>& inputs) const {
    std::call_once(once, [&] { kernel.emplace(function, options); });
    return (*kernel)(inputs);
  }
};

// The outputs whose names begin with a prefix, and what they need.
Function Only(Function f, std::string_view prefix) {
  std::erase_if(f.outputs, [&](const compiler::Output& o) { return !o.name.starts_with(prefix); });
  return compiler::Simplify(f);
}

Function FirstOutput(Function f) {
  f.outputs.resize(1);
  return compiler::Simplify(f);
}

}  // namespace

struct KernelObjective::State {
  Function function;  // the value
  std::vector<int> wrt;
  compiler::KernelOptions options;
  bool batched = false;
  Lazy value, gradient;  // value; value and d/NAME
  Lazy product;          // h/NAME, with the tangents as further inputs

  std::vector<at::Tensor> Run(const Lazy& lazy, const std::vector<at::Tensor>& inputs) const {
    return lazy.Run(options, inputs);
  }
};

namespace {

using State = KernelObjective::State;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Holder : torch::CustomClassHolder {
  std::shared_ptr<const State> state;
};
using Handle = c10::intrusive_ptr<Holder>;

void Keep(AutogradContext* context, const Handle& handle) {
  context->saved_data["state"] = c10::IValue::make_capsule(handle);
}
Handle Kept(AutogradContext* context) {
  return c10::static_intrusive_pointer_cast<Holder>(context->saved_data["state"].toCapsule());
}

bool Shared(const State& s, std::size_t k) { return s.function.inputs[Z(s.wrt[k])].role == Role::kShared; }

// weight[b] * rows[b, ...].
at::Tensor Weighted(const State& s, const at::Tensor& weight, const at::Tensor& rows) {
  if (!s.batched) return at::mul(weight, rows);
  std::vector<std::int64_t> sizes(Z(rows.dim()), 1);
  sizes[0] = rows.size(0);
  return at::mul(weight.reshape(sizes), rows);
}

// What an input receives from amounts by instance: a shared one receives their sum.
at::Tensor Received(const State& s, std::size_t k, const at::Tensor& rows) {
  return s.batched && Shared(s, k) ? at::sum(rows, at::IntArrayRef{0}) : rows;
}

// adjoint [B], the function's inputs, the gradients by instance → the adjoints of `wrt`.
struct Backward : torch::autograd::Function<Backward> {
  static variable_list forward(AutogradContext* context, const Handle& handle, const at::Tensor& adjoint,
                               at::TensorList inputs, at::TensorList gradients) {
    const State& s = *handle->state;
    Keep(context, handle);
    variable_list saved{adjoint};
    saved.insert(saved.end(), inputs.begin(), inputs.end());
    saved.insert(saved.end(), gradients.begin(), gradients.end());
    context->save_for_backward(saved);
    variable_list result;
    for (std::size_t k = 0; k < s.wrt.size(); ++k) result.push_back(Received(s, k, Weighted(s, adjoint, gradients[k])));
    return result;
  }

  // For directions u: by the adjoint the sum of u_k d_k, by the inputs adjoint * H u. Where derivatives of these are
  // wanted in turn, both are computed by LibTorch, which knows their derivatives; else by the kernel.
  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const Handle handle = Kept(context);
    const State& s = *handle->state;
    const variable_list saved = context->get_saved_variables();
    const std::size_t n = s.function.inputs.size();
    const at::Tensor& adjoint = saved[0];
    std::vector<at::Tensor> inputs(saved.begin() + 1, saved.begin() + 1 + static_cast<std::ptrdiff_t>(n));
    std::vector<at::Tensor> gradients(saved.begin() + 1 + static_cast<std::ptrdiff_t>(n), saved.end());
    std::vector<at::Tensor> directions;
    for (std::size_t k = 0; k < s.wrt.size(); ++k) {
      directions.push_back(given[k].defined() ? given[k] : at::zeros_like(inputs[Z(s.wrt[k])]));
    }
    std::vector<at::Tensor> all = inputs;
    all.insert(all.end(), directions.begin(), directions.end());
    const bool further = at::GradMode::is_enabled();
    if (further) {
      gradients = TorchExecute(s.gradient.function, inputs);
      gradients.erase(gradients.begin());
    }
    const std::vector<at::Tensor> products = further ? TorchExecute(s.product.function, all) : s.Run(s.product, all);

    variable_list result(2 + n + s.wrt.size());
    at::Tensor by_adjoint;
    for (std::size_t k = 0; k < s.wrt.size(); ++k) {
      const std::vector<std::int64_t>& shape = s.function.inputs[Z(s.wrt[k])].type.shape;
      std::vector<std::int64_t> sizes = shape;
      if (s.batched) sizes.insert(sizes.begin(), adjoint.size(0));
      at::Tensor part = at::mul(directions[k], gradients[k].expand(sizes));
      std::vector<std::int64_t> axes;
      for (std::int64_t d = s.batched ? 1 : 0; d < part.dim(); ++d) axes.push_back(d);
      if (!axes.empty()) part = at::sum(part, axes);
      by_adjoint = by_adjoint.defined() ? by_adjoint.add(part) : part;
      result[2 + Z(s.wrt[k])] = Received(s, k, Weighted(s, adjoint, products[k].expand(sizes)));
    }
    result[1] = by_adjoint;
    return result;
  }
};

struct Forward : torch::autograd::Function<Forward> {
  static at::Tensor forward(AutogradContext* context, const Handle& handle, at::TensorList inputs) {
    const State& s = *handle->state;
    Keep(context, handle);
    std::vector<at::Tensor> outputs = s.Run(s.gradient, inputs.vec());
    variable_list saved(inputs.begin(), inputs.end());
    saved.insert(saved.end(), outputs.begin() + 1, outputs.end());
    context->save_for_backward(saved);
    return outputs[0];
  }

  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const Handle handle = Kept(context);
    const State& s = *handle->state;
    const variable_list saved = context->get_saved_variables();
    const std::size_t n = s.function.inputs.size();
    const at::TensorList all(saved);
    const variable_list d = Backward::apply(handle, given[0], all.slice(0, n), all.slice(n));
    variable_list result(1 + n);
    for (std::size_t k = 0; k < s.wrt.size(); ++k) result[1 + Z(s.wrt[k])] = d[k];
    return result;
  }
};

}  // namespace

KernelObjective::KernelObjective(const Function& function, std::vector<int> wrt,
                                 const compiler::KernelOptions& options) {
  AMO_CHECK(!function.outputs.empty() && function.type(function.outputs[0].value) == compiler::Type{});
  auto state = std::make_shared<State>();
  state->function = FirstOutput(function);
  state->wrt = std::move(wrt);
  state->options = options;
  state->batched = HasBatch(function);
  state->value.function = state->function;
  state->gradient.function = compiler::Simplify(compiler::Gradient(state->function, state->wrt));
  state->product.function = Only(compiler::HessianVector(state->function, state->wrt), "h/");
  state_ = std::move(state);
}

at::Tensor KernelObjective::operator()(const std::vector<at::Tensor>& inputs) const {
  const State& s = *state_;
  bool wanted = false;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const bool known = std::count(s.wrt.begin(), s.wrt.end(), static_cast<int>(k)) > 0;
    AMO_CHECK(known || !inputs[k].requires_grad(), "(input %s)", s.function.inputs[k].name.c_str());
    wanted = wanted || inputs[k].requires_grad();
  }
  if (!wanted || !at::GradMode::is_enabled()) return s.Run(s.value, inputs)[0];
  const Handle handle = c10::make_intrusive<Holder>();
  handle->state = state_;
  return Forward::apply(handle, at::TensorList(inputs));
}

std::map<std::string, at::Tensor> KernelObjective::ValueAndGradient(const std::vector<at::Tensor>& inputs) const {
  const std::vector<at::Tensor> out = state_->Run(state_->gradient, inputs);
  std::map<std::string, at::Tensor> named;
  for (std::size_t k = 0; k < out.size(); ++k) named[state_->gradient.function.outputs[k].name] = out[k];
  return named;
}

}  // namespace amo::runtime
