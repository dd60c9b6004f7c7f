// SPDX-License-Identifier: Apache-2.0
// Kernels under autograd: two autograd functions, each other's derivative, around three kernels.
#include "runtime/kernel_function.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "compiler/check.h"
#include "compiler/derive.h"
#include "compiler/simplify.h"
#include "runtime/parallel.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {
namespace {

using compiler::Elem;
using compiler::Function;
using compiler::Kernel;
using compiler::Precision;
using compiler::Role;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

// Entries of nodes that one thread should have to work on before a second is worth its start.
constexpr std::int64_t kGrainEntries = 1 << 15;

std::int64_t EntriesOf(const Function& f) {
  std::int64_t entries = 1;
  for (const compiler::Node& n : f.nodes) {
    entries += compiler::Count(n.type.shape);
    if (n.body) entries += compiler::FormOf(n).steps * EntriesOf(*n.body);
  }
  return entries;
}

std::int64_t GrainOf(const Function& f, const Kernel& kernel) {
  const std::int64_t entries = EntriesOf(f);
  const std::int64_t lanes = std::max(kernel.lanes, 1);
  return std::max<std::int64_t>(lanes, kGrainEntries / entries / lanes * lanes);
}

at::ScalarType TypeOf(Elem elem, Precision precision) {
  switch (elem) {
    case Elem::kReal:
      return precision == Precision::kF64 ? at::kDouble : at::kFloat;
    case Elem::kInt:
      return at::kLong;
    case Elem::kBool:
      return at::kBool;
  }
  AMO_CHECK(false);
}

bool HasBatch(const Function& f) {
  return std::any_of(f.inputs.begin(), f.inputs.end(),
                     [](const compiler::Input& in) { return in.role == Role::kInstance; });
}

std::int64_t BatchOf(const Function& f, const std::vector<at::Tensor>& inputs) {
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    if (f.inputs[k].role == Role::kInstance) return inputs[k].size(0);
  }
  return 1;
}

// An input as the kernel reads it: itself, unless an instance's entries are not row-major.
at::Tensor Readable(const compiler::Input& in, const at::Tensor& tensor, Precision precision, std::int64_t batch) {
  AMO_CHECK(tensor.scalar_type() == TypeOf(in.type.elem, precision), "(input %s)", in.name.c_str());
  std::vector<std::int64_t> sizes = in.type.shape;
  if (in.role == Role::kInstance) sizes.insert(sizes.begin(), batch);
  AMO_CHECK(tensor.sizes() == sizes && tensor.device().is_cpu(), "(input %s)", in.name.c_str());
  if (tensor.is_contiguous()) return tensor;
  if (in.role == Role::kInstance && batch > 0 && tensor.select(0, 0).is_contiguous()) return tensor;
  return tensor.contiguous();
}

struct Scratch {
  explicit Scratch(std::size_t bytes) : data(std::aligned_alloc(64, (bytes + 64) / 64 * 64)) { AMO_CHECK(data); }
  ~Scratch() { std::free(data); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data;
};

// A kernel that is made when it is first needed.
struct Lazy {
  Function function;
  mutable std::once_flag once;
  mutable Kernel kernel;

  const Kernel& Get(const compiler::KernelOptions& options) const {
    std::call_once(once, [&] { kernel = compiler::Compile(function, options); });
    return kernel;
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
    return RunKernel(lazy.Get(options), lazy.function, inputs);
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

std::vector<at::Tensor> RunKernel(const Kernel& kernel, const Function& f, const std::vector<at::Tensor>& inputs) {
  AMO_CHECK(inputs.size() == f.inputs.size());
  const std::int64_t batch = BatchOf(f, inputs);
  const bool batched = HasBatch(f);
  std::vector<at::Tensor> read, outputs;
  std::vector<compiler::Argument> in, out;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    read.push_back(Readable(f.inputs[k], inputs[k], kernel.precision, batch));
    const bool instance = f.inputs[k].role == Role::kInstance;
    in.push_back({const_cast<void*>(read.back().const_data_ptr()), instance && batch > 0 ? read.back().stride(0) : 0});
  }
  for (const compiler::Output& o : f.outputs) {
    const compiler::Type& type = f.type(o.value);
    std::vector<std::int64_t> sizes = type.shape;
    if (batched) sizes.insert(sizes.begin(), batch);
    outputs.push_back(at::empty(sizes, at::TensorOptions().dtype(TypeOf(type.elem, kernel.precision))));
    out.push_back({outputs.back().mutable_data_ptr(), compiler::Count(type.shape)});
  }
  ParallelFor(0, batch, GrainOf(f, kernel), [&](std::int64_t begin, std::int64_t end) {
    const Scratch scratch(kernel.scratch_bytes);
    kernel.run(in.data(), out.data(), begin, end, scratch.data);
  });
  return outputs;
}

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
