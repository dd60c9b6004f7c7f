// SPDX-License-Identifier: Apache-2.0
// One plain loop that compilers turn into vectors, and its derivative, which is the same loop.
#include "runtime/torch_select.h"

#include <ATen/ops/empty_strided.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <bit>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace amo::runtime {
namespace {

// How far apart the entries of a side lie: 1 where it lies as the condition does, 0 where it repeats one number.
std::optional<int> Distance(const at::Tensor& side, const at::Tensor& condition) {
  if (side.sizes() == condition.sizes() && side.strides() == condition.strides()) return 1;
  if (side.dim() > condition.dim()) return std::nullopt;
  for (std::int64_t d = 0; d < side.dim(); ++d)
    if (side.size(d) != 1 && (side.stride(d) != 0 || side.size(d) != condition.size(d + condition.dim() - side.dim())))
      return std::nullopt;
  return 0;
}

// Bits are chosen by a mask: a branch on every entry is mispredicted half of the time, in LibTorch's loop as well.
template <int kA, int kB, typename T>
void Loop(const bool* __restrict c, const T* __restrict a, const T* __restrict b, T* __restrict out, std::int64_t n) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  for (std::int64_t i = 0; i < n; ++i) {
    const Bits x = std::bit_cast<Bits>(a[i * kA]), y = std::bit_cast<Bits>(b[i * kB]);
    const Bits mask = Bits{0} - static_cast<Bits>(c[i]);
    out[i] = std::bit_cast<T>(y ^ ((x ^ y) & mask));
  }
}

template <typename T>
at::Tensor Run(const at::Tensor& condition, const at::Tensor& a, int da, const at::Tensor& b, int db) {
  at::Tensor out = at::empty_strided(condition.sizes(), condition.strides(), a.options());
  const bool* c = condition.const_data_ptr<bool>();
  const T *x = a.const_data_ptr<T>(), *y = b.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  const std::int64_t n = condition.numel();
  if (da == 1) db == 1 ? Loop<1, 1>(c, x, y, to, n) : Loop<1, 0>(c, x, y, to, n);
  else db == 1 ? Loop<0, 1>(c, x, y, to, n) : Loop<0, 0>(c, x, y, to, n);
  return out;
}

at::Tensor Plain(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
  const bool real = a.scalar_type() == at::kDouble || a.scalar_type() == at::kFloat;
  if (!real || a.scalar_type() != b.scalar_type() || condition.scalar_type() != at::kBool || !a.is_cpu() ||
      !condition.is_non_overlapping_and_dense())
    return at::where(condition, a, b);
  const std::optional<int> da = Distance(a, condition), db = Distance(b, condition);
  if (!da || !db) return at::where(condition, a, b);
  if (a.scalar_type() == at::kDouble) return Run<double>(condition, a, *da, b, *db);
  return Run<float>(condition, a, *da, b, *db);
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Recorded : torch::autograd::Function<Recorded> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& condition, const at::Tensor& a,
                            const at::Tensor& b) {
    context->save_for_backward({condition});
    context->saved_data["a"] = a.sizes().vec();
    context->saved_data["b"] = b.sizes().vec();
    return Plain(condition, a, b);
  }

  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const at::Tensor condition = context->get_saved_variables()[0], &g = given[0];
    const at::Tensor zero = at::zeros({}, g.options());
    variable_list result(3);
    if (context->needs_input_grad(1))
      result[1] = Select(condition, g, zero).sum_to_size(context->saved_data["a"].toIntVector());
    if (context->needs_input_grad(2))
      result[2] = Select(condition, zero, g).sum_to_size(context->saved_data["b"].toIntVector());
    return result;
  }
};

}  // namespace

at::Tensor Select(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
  const bool recorded = at::GradMode::is_enabled() && (a.requires_grad() || b.requires_grad());
  return recorded ? Recorded::apply(condition, a, b) : Plain(condition, a, b);
}

}  // namespace amo::runtime
