// SPDX-License-Identifier: Apache-2.0
// Reductions, and what works along the last axis.
#include <ATen/ops/all.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/any.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/argmin.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/prod.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <limits>

#include "compiler/check.h"
#include "runtime/torch_ops.h"

namespace amo::runtime {
namespace {

using compiler::Elem;
using compiler::Op;

// The reduced axes as one last axis.
at::Tensor Together(const Node& n, const Operand& x, const Place& place) {
  std::vector<std::int64_t> order;
  std::int64_t count = 1;
  for (std::int64_t d = 0; d < x.tensor.dim(); ++d) {
    if (std::binary_search(n.attr.begin(), n.attr.end(), d - x.lead()) && d >= x.lead()) {
      count *= x.tensor.size(d);
    } else {
      order.push_back(d);
    }
  }
  for (std::int64_t axis : n.attr) order.push_back(axis + x.lead());
  std::vector<std::int64_t> sizes = Sizes(x.varies, n.type.shape, place);
  sizes.push_back(count);
  return x.tensor.permute(order).reshape(sizes);
}

// The derivative goes to the first winner alone, as in compiler/derive.h; amax would share it among equals.
at::Tensor Extreme(const Node& n, const Operand& x, const Place& place) {
  const bool max = n.op == Op::kReduceMax;
  const at::Tensor rows = Together(n, x, place);
  if (n.type.elem == Elem::kBool) return max ? at::any(rows, -1) : at::all(rows, -1);
  if (rows.size(-1) == 0) {
    const std::vector<std::int64_t> sizes = Sizes(x.varies, n.type.shape, place);
    if (n.type.elem == Elem::kInt) {
      using Limits = std::numeric_limits<std::int64_t>;
      return at::full(sizes, max ? Limits::min() : Limits::max(), Options(n.type.elem, place));
    }
    const double inf = std::numeric_limits<double>::infinity();
    return at::full(sizes, max ? -inf : inf, Options(n.type.elem, place));
  }
  if (!rows.requires_grad()) return max ? at::amax(rows, {-1}) : at::amin(rows, {-1});
  const at::Tensor still = rows.detach();
  const at::Tensor best = max ? at::argmax(still, -1, true) : at::argmin(still, -1, true);
  return at::gather(rows, -1, best).squeeze(-1);
}

}  // namespace

at::Tensor ExecuteReduce(const Node& n, const Operand& x, const Place& place) {
  if (n.attr.empty()) return x.tensor;
  if (n.op == Op::kReduceSum) {
    std::vector<std::int64_t> axes = n.attr;
    for (std::int64_t& axis : axes) axis += x.lead();
    return at::sum(x.tensor, axes);
  }
  if (n.op == Op::kReduceProd) return at::prod(Together(n, x, place), -1);
  return Extreme(n, x, place);
}

// A comparison with NaN is false, so NaN never wins, except from the first place, where nothing beats it. LibTorch
// would let it win.
at::Tensor ExecuteArg(const Node& n, const Operand& x) {
  const bool max = n.op == Op::kArgMax;
  at::Tensor rows = x.tensor.detach();
  if (rows.scalar_type() == at::kBool) rows = rows.to(at::kByte);
  const bool real = rows.is_floating_point();
  const double loses = std::numeric_limits<double>::infinity() * (max ? -1 : 1);
  const at::Tensor nan = real ? at::isnan(rows) : at::Tensor();
  if (real) rows = at::where(nan, at::full({}, loses, rows.options()), rows);
  const at::Tensor best = max ? at::argmax(rows, -1) : at::argmin(rows, -1);
  return real ? best.masked_fill(nan.select(-1, 0), 0) : best;
}

at::Tensor ExecuteAlong(const Node& n, const Operand& x) {
  if (n.op == Op::kCumSum) return at::cumsum(x.tensor, -1);
  if (n.op == Op::kSort) return std::get<0>(at::sort(x.tensor, /*stable=*/true, -1, /*descending=*/false));
  AMO_CHECK(n.op == Op::kArgSort);
  return at::argsort(x.tensor.detach(), /*stable=*/true, -1, /*descending=*/false);
}

}  // namespace amo::runtime
