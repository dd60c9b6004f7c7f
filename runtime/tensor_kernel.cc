// SPDX-License-Identifier: Apache-2.0
// Kernels called with tensors: arguments, outputs, threads, and the memory of what is shared.
#include "runtime/tensor_kernel.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <utility>

#include "compiler/check.h"
#include "runtime/parallel.h"

namespace amo::runtime {
namespace {

using compiler::Argument;
using compiler::Elem;
using compiler::Function;
using compiler::Kernel;
using compiler::Precision;
using compiler::Role;

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

// An input as the kernel reads it: itself, unless an instance's entries are not row-major.
at::Tensor Readable(const compiler::Input& in, const at::Tensor& tensor, Precision precision, std::int64_t batch) {
  AMO_CHECK(tensor.scalar_type() == TypeOf(in.type.elem, precision), "(input %s)", in.name.c_str());
  const auto rank = static_cast<std::int64_t>(in.type.shape.size()), first = tensor.dim() - rank;
  const bool fits = first == (in.role == Role::kInstance ? 1 : 0) && (first == 0 || tensor.size(0) == batch) &&
                    tensor.sizes().slice(static_cast<std::size_t>(first)) == at::IntArrayRef(in.type.shape);
  AMO_CHECK(fits && tensor.device().is_cpu(), "(input %s)", in.name.c_str());
  if (tensor.is_contiguous()) return tensor;
  if (in.role == Role::kInstance && batch > 0 && tensor.select(0, 0).is_contiguous()) return tensor;
  return tensor.contiguous();
}

struct Memory {
  explicit Memory(std::size_t bytes) : data(std::aligned_alloc(64, (bytes + 64) / 64 * 64)) { AMO_CHECK(data); }
  ~Memory() { std::free(data); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data;
};

// One form of a kernel, with what was prepared for the shared inputs seen last. These are held, so that no other tensor
// can come to lie at their addresses.
struct Form {
  Kernel kernel;
  std::int64_t grain = 1;
  std::mutex mutex;
  std::vector<std::pair<at::Tensor, std::uint32_t>> shared;  // and their versions
  std::shared_ptr<const Memory> prepared;

  Form(const Function& f, const compiler::KernelOptions& options) : kernel(compiler::Compile(f, options)) {
    const std::int64_t lanes = std::max(kernel.lanes, 1);
    grain = std::max<std::int64_t>(lanes, kGrainEntries / EntriesOf(f) / lanes * lanes);
  }

  std::shared_ptr<const Memory> Prepare(const Function& f, const std::vector<at::Tensor>& inputs, const Argument* in) {
    if (kernel.shared_bytes == 0) return nullptr;
    const std::lock_guard lock(mutex);
    bool same = prepared != nullptr, tracked = true;
    std::size_t k = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (f.inputs[i].role != Role::kShared) continue;
      tracked = tracked && !inputs[i].is_inference();
      same = same && tracked && shared[k].first.const_data_ptr() == inputs[i].const_data_ptr() &&
             shared[k].second == inputs[i]._version();
      ++k;
    }
    if (same) return prepared;
    auto memory = std::make_shared<const Memory>(kernel.shared_bytes);
    kernel.prepare(in, memory->data);
    prepared = nullptr;
    shared.clear();
    if (!tracked) return memory;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (f.inputs[i].role == Role::kShared) shared.emplace_back(inputs[i].detach(), inputs[i]._version());
    }
    return prepared = std::move(memory);
  }
};

}  // namespace

struct TensorKernel::State {
  Function function;
  compiler::KernelOptions options;
  bool batched;
  Form many;
  std::once_flag once;
  std::optional<Form> one;

  State(Function f, const compiler::KernelOptions& o)
      : function(std::move(f)),
        options(o),
        batched(std::any_of(function.inputs.begin(), function.inputs.end(),
                            [](const compiler::Input& in) { return in.role == Role::kInstance; })),
        many(function, o) {}

  Form& FormOf(std::int64_t batch) {
    if (batch != 1 || options.lanes != 0 || many.kernel.lanes == 1) return many;
    std::call_once(once, [&] {
      compiler::KernelOptions single = options;
      single.lanes = 1;
      one.emplace(function, single);
    });
    return *one;
  }
};

TensorKernel::TensorKernel(Function function, const compiler::KernelOptions& options)
    : state_(std::make_shared<State>(std::move(function), options)) {}

const Function& TensorKernel::function() const { return state_->function; }
const Kernel& TensorKernel::many() const { return state_->many.kernel; }

std::vector<at::Tensor> TensorKernel::operator()(const std::vector<at::Tensor>& inputs) const {
  State& s = *state_;
  const Function& f = s.function;
  AMO_CHECK(inputs.size() == f.inputs.size());
  std::int64_t batch = 1;
  for (std::size_t k = inputs.size(); k-- > 0;) {
    if (f.inputs[k].role == Role::kInstance) batch = inputs[k].size(0);
  }
  Form& form = s.FormOf(batch);
  const Kernel& kernel = form.kernel;
  std::vector<at::Tensor> read, outputs;
  std::vector<Argument> in, out;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    read.push_back(Readable(f.inputs[k], inputs[k], kernel.precision, batch));
    const bool instance = f.inputs[k].role == Role::kInstance;
    in.push_back({const_cast<void*>(read.back().const_data_ptr()), instance && batch > 0 ? read.back().stride(0) : 0});
  }
  for (const compiler::Output& o : f.outputs) {
    const compiler::Type& type = f.type(o.value);
    std::vector<std::int64_t> sizes = type.shape;
    if (s.batched) sizes.insert(sizes.begin(), batch);
    outputs.push_back(at::empty(sizes, at::TensorOptions().dtype(TypeOf(type.elem, kernel.precision))));
    out.push_back({outputs.back().mutable_data_ptr(), compiler::Count(type.shape)});
  }
  if (batch == 0) return outputs;
  const std::shared_ptr<const Memory> prepared = form.Prepare(f, read, in.data());
  const void* shared = prepared ? prepared->data : nullptr;
  ParallelFor(0, batch, form.grain, [&](std::int64_t begin, std::int64_t end) {
    const Memory scratch(kernel.scratch_bytes);
    kernel.run(in.data(), out.data(), begin, end, shared, scratch.data);
  });
  return outputs;
}

}  // namespace amo::runtime
