// SPDX-License-Identifier: Apache-2.0
// Operations that move entries: views wherever LibTorch has one.
#include <ATen/ops/cat.h>
#include <ATen/ops/col2im.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/im2col.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "compiler/check.h"
#include "runtime/torch_ops.h"

namespace amo::runtime {
namespace {

using compiler::Op;

// The argument's axes in the order in which the result reads them, with new axes of stride 0 between: no copy.
at::Tensor Broadcast(const Node& n, const Operand& x, const Place& place) {
  std::vector<std::int64_t> order;
  if (x.varies) order.push_back(0);
  for (std::int64_t axis : n.attr) {
    if (axis >= 0) order.push_back(axis + x.lead());
  }
  at::Tensor y = x.tensor.permute(order);
  for (std::size_t d = 0; d < n.attr.size(); ++d) {
    if (n.attr[d] < 0) y = y.unsqueeze(static_cast<std::int64_t>(d) + x.lead());
  }
  return y.expand(Sizes(x.varies, n.type.shape, place));
}

at::Tensor Slice(const Node& n, const Operand& x) {
  at::Tensor y = x.tensor;
  for (std::size_t d = 0; d < n.attr.size(); ++d) {
    const std::int64_t axis = static_cast<std::int64_t>(d) + x.lead();
    if (y.size(axis) != n.type.shape[d]) y = y.narrow(axis, n.attr[d], n.type.shape[d]);
  }
  return y;
}

// LibTorch wants the last axis first: before, after, before, after, …
at::Tensor Pad(const Node& n, const Operand& x) {
  std::vector<std::int64_t> amounts;
  for (std::size_t d = n.attr.size(); d-- > 0;) {
    const std::int64_t inner = x.tensor.size(static_cast<std::int64_t>(d) + x.lead());
    amounts.push_back(n.attr[d]);
    amounts.push_back(n.type.shape[d] - n.attr[d] - inner);
  }
  return at::constant_pad_nd(x.tensor, amounts, 0);
}

at::Tensor Concat(const Node& n, const std::vector<Operand>& in, const Place& place) {
  const bool varies = std::any_of(in.begin(), in.end(), [](const Operand& x) { return x.varies; });
  std::vector<at::Tensor> parts;
  for (const Operand& x : in) {
    parts.push_back(x.tensor);
    if (varies && !x.varies) {
      std::vector<std::int64_t> sizes = x.tensor.sizes().vec();
      sizes.insert(sizes.begin(), place.batch);
      parts.back() = x.tensor.expand(sizes);
    }
  }
  return at::cat(parts, n.attr[0] + (varies ? 1 : 0));
}

// LibTorch's windows slide over [N, C, H, W] and lie in [N, C * kh * kw, oh * ow]: the leading axes are one, C is 1.
at::Tensor Windowed(const Node& n, const Operand& x, const Place& place) {
  const compiler::Windows s = compiler::WindowsOf(n);
  const std::vector<std::int64_t> size{s.kh, s.kw}, dilation{1, 1}, pad{s.pad, s.pad}, stride{s.stride, s.stride};
  const auto sizes = Sizes(x.varies, n.type.shape, place);
  // LibTorch refuses what has no entries.
  if (x.tensor.numel() == 0 || compiler::Count(n.type.shape) == 0) return at::zeros(sizes, x.tensor.options());
  const std::vector<std::int64_t> from = x.tensor.sizes().vec();
  std::int64_t planes = 1;
  for (std::size_t d = 0; d + (n.op == Op::kFold ? 4 : 2) < from.size(); ++d) planes *= from[d];
  if (n.op == Op::kUnfold) {
    const at::Tensor whole = x.tensor.reshape({planes, 1, from[from.size() - 2], from.back()});
    return at::im2col(whole, size, dilation, pad, stride).reshape(sizes);
  }
  const std::vector<std::int64_t> whole{n.attr[4], n.attr[5]};
  const at::Tensor windows = x.tensor.reshape({planes, s.kh * s.kw, from[from.size() - 2] * from.back()});
  return at::col2im(windows, whole, size, dilation, pad, stride).reshape(sizes);
}

}  // namespace

at::Tensor ExecuteShape(const Node& n, const std::vector<Operand>& in, const Place& place) {
  if (n.op == Op::kBroadcast) return Broadcast(n, in[0], place);
  if (n.op == Op::kReshape) return in[0].tensor.reshape(Sizes(in[0].varies, n.type.shape, place));
  if (n.op == Op::kSlice) return Slice(n, in[0]);
  if (n.op == Op::kPad) return Pad(n, in[0]);
  if (n.op == Op::kUnfold || n.op == Op::kFold) return Windowed(n, in[0], place);
  AMO_CHECK(n.op == Op::kConcat);
  return Concat(n, in, place);
}

}  // namespace amo::runtime
