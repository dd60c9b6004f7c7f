// SPDX-License-Identifier: Apache-2.0
// Linear systems by LAPACK, or by the device's own solver; so are eigenvalues of matrices that are not small.
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/diag_embed.h>
#include <ATen/ops/diagonal.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/ge.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_solve_ex.h>
#include <ATen/ops/lt.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numeric>

#include "runtime/small_eigen.h"
#include "runtime/torch_ops.h"

namespace amo::runtime {
namespace {

using Axes = std::vector<std::int64_t>;

at::Tensor SymmetricPart(const at::Tensor& x) { return (x + x.transpose(-1, -2)) * 0.5; }

at::Tensor Eigen(const at::Tensor& a) {
  const std::int64_t rows = a.size(-1);
  if (a.is_cpu() && rows > 0 && rows <= kMostSmallEigen && a.numel() > 0) {
    const at::Tensor plain = a.detach().to(at::kDouble).contiguous();
    std::vector<std::int64_t> sizes = a.sizes().vec();
    ++sizes[sizes.size() - 2];
    at::Tensor out = at::empty(sizes, plain.options());
    SmallEigen(plain.const_data_ptr<double>(), a.numel() / (rows * rows), rows, out.mutable_data_ptr<double>());
    return out.to(a.scalar_type());
  }
  const at::Tensor s = SymmetricPart(a);
  // A matrix with other entries would be an error of LAPACK's; here it gives NaN.
  const at::Tensor finite = at::isfinite(s).all(-1, true).all(-2, true);
  const auto [values, vectors] = at::linalg_eigh(at::where(finite, s, at::zeros_like(s)), "L");
  // In each column the first entry of at least 0.9 times the largest absolute value is positive.
  const at::Tensor size = at::abs(vectors);
  const at::Tensor first = at::argmax(at::ge(size, at::amax(size, {-2}, true) * 0.9).to(at::kLong), -2, true);
  const at::Tensor lead = at::gather(vectors, -2, first), one = at::ones_like(lead);
  const at::Tensor signs = at::where(at::lt(lead, 0), -one, one);
  const at::Tensor all = at::cat({values.unsqueeze(-2), vectors * signs}, -2);
  return at::where(finite, all, at::full_like(all, std::nan("")));
}

// Its derivative is that of compiler/derive_matrix.h: LibTorch's own is NaN where two eigenvalues are equal. The result
// is saved with its history, so that the derivative has one too.
struct SymmetricEigen : torch::autograd::Function<SymmetricEigen> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& a) {
    const at::Tensor y = Eigen(a);
    context->save_for_backward({y});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list g) {
    const at::Tensor y = context->get_saved_variables()[0];
    const std::int64_t n = y.size(-1);
    const at::Tensor values = y.select(-2, 0), vectors = y.narrow(-2, 1, n);
    const at::Tensor gap = values.unsqueeze(-2) - values.unsqueeze(-1);
    const at::Tensor equal = at::eq(gap, 0);
    const at::Tensor safe = at::where(equal, at::ones_like(gap), gap);
    const at::Tensor inverse = at::where(equal, at::zeros_like(gap), safe.reciprocal());
    const at::Tensor turned = inverse * at::matmul(vectors.transpose(-1, -2), g[0].narrow(-2, 1, n));
    const at::Tensor inner = at::diag_embed(g[0].select(-2, 0)) + turned;
    return {SymmetricPart(at::matmul(at::matmul(vectors, inner), vectors.transpose(-1, -2)))};
  }
};

}  // namespace

// One matrix for all instances is factorized once: their right sides stand side by side.
at::Tensor ExecuteSolve(const Node& n, const Operand& a, const Operand& b, const Place& place) {
  const auto solve = [](const at::Tensor& matrix, const at::Tensor& right) {
    return std::get<0>(at::linalg_solve_ex(matrix, right, /*left=*/true, /*check_errors=*/false));
  };
  const auto rank = static_cast<std::int64_t>(n.type.shape.size());
  if (a.varies) {
    return solve(a.tensor, b.varies ? b.tensor : b.tensor.expand(Sizes(true, n.type.shape, place)));
  }
  if (!b.varies) return solve(a.tensor, b.tensor);
  Axes last(static_cast<std::size_t>(rank + 1));
  std::iota(last.begin(), last.end(), 1);
  last.back() = 0;
  const at::Tensor beside = b.tensor.permute(last);  // [L.., n, k, batch]
  const at::Tensor x = solve(a.tensor, beside.flatten(-2)).reshape(beside.sizes());
  Axes first(static_cast<std::size_t>(rank + 1));
  std::iota(first.begin(), first.end(), -1);
  first[0] = rank;
  return x.permute(first);
}

at::Tensor ExecuteEigen(const Operand& a) { return SymmetricEigen::apply(a.tensor); }

}  // namespace amo::runtime
