// SPDX-License-Identifier: Apache-2.0
// Convolutions as LibTorch's own: the IR says them as windows contracted with a kernel, and windows of 7 x 7 are 49 times
// the image.
#include <ATen/ops/conv2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "runtime/torch_ops.h"

namespace amo::runtime {

using compiler::Op;

// Windows [c, kh, kw, oh, ow] of each instance times a kernel [o, c, kh, kw], summed over c, kh and kw.
std::optional<Convolution> FindConvolution(const Function& f, const Node& n, const std::vector<bool>& varies) {
  // Asked of every node at every call: most are answered here.
  const auto unfolds = [&](compiler::Value v) { return f.node(v).op == Op::kUnfold; };
  if (n.op != Op::kDot || std::none_of(n.args.begin(), n.args.end(), unfolds)) return std::nullopt;
  const compiler::DotLabels labels = compiler::LabelsOf(f, n);
  for (const std::size_t side : {std::size_t{0}, std::size_t{1}}) {
    const compiler::Value windows = n.args[side], kernel = n.args[1 - side];
    const Node& unfold = f.node(windows);
    const auto &w = side == 0 ? labels.a : labels.b, &k = side == 0 ? labels.b : labels.a;
    if (unfold.op != Op::kUnfold || w.size() != 5 || k.size() != 4 || labels.out.size() != 3) continue;
    if (!varies[static_cast<std::size_t>(windows.index)]) continue;
    if (!std::equal(w.begin(), w.begin() + 3, k.begin() + 1) || labels.out[0] != k[0] ||
        !std::equal(w.begin() + 3, w.end(), labels.out.begin() + 1) || std::count(w.begin(), w.end(), k[0]) != 0)
      continue;
    return Convolution{unfold.args[0], kernel, compiler::WindowsOf(unfold)};
  }
  return std::nullopt;
}

at::Tensor ExecuteConvolution(const Node& n, const compiler::Windows& s, const Operand& x, const Operand& kernel,
                              const Place& place) {
  if (x.tensor.numel() == 0 || kernel.tensor.numel() == 0)
    return at::zeros(Sizes(true, n.type.shape, place), x.tensor.options());
  const std::vector<std::int64_t> stride{s.stride, s.stride}, pad{s.pad, s.pad};
  if (!kernel.varies) return at::conv2d(x.tensor, kernel.tensor, {}, stride, pad);
  // A kernel that does not differ was only repeated along the batch; the derivative by the first one is that by all.
  if (kernel.tensor.stride(0) == 0) return at::conv2d(x.tensor, kernel.tensor.select(0, 0), {}, stride, pad);
  const std::int64_t batch = x.tensor.size(0);
  const at::Tensor y = at::conv2d(x.tensor.flatten(0, 1).unsqueeze(0), kernel.tensor.flatten(0, 1), {}, stride, pad,
                                  at::IntArrayRef{1, 1}, batch);
  return y.reshape(Sizes(true, n.type.shape, place));
}

}  // namespace amo::runtime
