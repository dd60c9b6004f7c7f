// SPDX-License-Identifier: Apache-2.0
// Convolutions and pooling: windows are unfolded and contracted, or reduced; a transposed convolution folds them back.
#include <fmt/format.h>

#include "compiler/scope.h"

namespace amo::compiler {

namespace {

// Up to so many multiplications a convolution along one axis is a matrix product with the shifts of its input, which
// kernels run; above, the windows go to LibTorch's convolution.
constexpr std::int64_t kShifted = 1 << 16;

}  // namespace

// x [c, l] → [count, c, length]: entry [s, c, i] is x[c, s + i].
Term Scope::Shifts(const Term& x, std::int64_t count, std::int64_t length, lang::Span at) {
  const std::int64_t channels = Own(x)[0];
  std::vector<Term> shifts;
  for (std::int64_t s = 0; s < count; ++s) {
    std::vector<std::int64_t> starts(x.axes.size() + 2);
    starts.back() = s;
    Shape part = b.shape(x.value);
    part.back() = length;
    shifts.push_back(Reshaped({b.Slice(x.value, starts, part), x.axes, false, -1, 0}, {1, channels, length}));
  }
  return Concat(std::move(shifts), 0, at);
}

// x [c, h, w] and kernel [o, c, kh, kw] → [o, oh, ow]; x [c, l] and kernel [o, c, k] → [o, ol].
Term Scope::Convolved(const Term& x0, const Term& kernel0, std::int64_t stride, std::int64_t pad, lang::Span at) {
  const Shape own = Own(x0), k = Own(kernel0);
  const bool flat = own.size() == 2 && k.size() == 3;
  if ((!flat && (own.size() != 3 || k.size() != 4)) || own[0] != k[1])
    Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("a convolution of shape `[{}]` with a kernel of shape `[{}]`", fmt::join(own, ", "),
                       fmt::join(k, ", ")),
           "channels come first; a kernel is [channels out, channels in, size, size]");
  if (stride < 1 || pad < 0) Refuse(lang::Code::kDomain, at, "`stride` is at least 1, `pad` at least 0");
  Term x = Real(x0), kernel = Real(kernel0);
  Windows windows{flat ? 1 : k[2], k.back(), stride, pad};
  if (flat) {  // one row; it is padded along its length only
    std::vector<std::int64_t> starts(x.axes.size() + 2);
    Shape wide = b.shape(x.value);
    starts.back() = pad;
    wide.back() += 2 * pad;
    x = {b.Pad(x.value, starts, wide), x.axes, false, -1, 0};
    if (const std::int64_t length = wide.back() - k[2] + 1;
        stride == 1 && length > 0 && k[0] * k[1] * k[2] * length <= kShifted)
      return Contract(Shifts(x, k[2], length, at), kernel, {0, 1, 2}, {3, 1, 0}, {3, 2});
    x = Reshaped(x, {own[0], 1, wide.back()});
    kernel = Reshaped(kernel, {k[0], k[1], 1, k[2]});
    windows.pad = 0;
  }
  const Term unfolded{b.Unfold(x.value, windows), x.axes, false, -1, 0};
  const Shape size = Own(unfolded);
  if (size[3] < 1 || size[4] < 1)
    Refuse(lang::Code::kShapeMismatch, at, "the kernel is larger than the padded array");
  const Term y = Contract(unfolded, kernel, {0, 1, 2, 3, 4}, {5, 0, 1, 2}, {5, 3, 4});
  return flat ? Reshaped(y, {k[0], size[4]}) : y;
}

// x [c, h, w] and kernel [c, o, kh, kw] → [o, (h - 1) stride - 2 pad + kh, ..]: the adjoint of a convolution.
Term Scope::Deconvolved(const Term& x, const Term& kernel, std::int64_t stride, std::int64_t pad, lang::Span at) {
  const Shape own = Own(x), k = Own(kernel);
  const auto size = [&](std::int64_t n, std::int64_t window) { return (n - 1) * stride - 2 * pad + window; };
  if (own.size() != 3 || k.size() != 4 || own[0] != k[0] || own[1] < 1 || own[2] < 1 || stride < 1 || pad < 0 ||
      size(own[1], k[2]) < 1 || size(own[2], k[3]) < 1)
    Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("a transposed convolution of shape `[{}]` with windows of {} and {}", fmt::join(own, ", "),
                       k[2], k[3]));
  const Term windows = Contract(x, kernel, {0, 1, 2}, {0, 3, 4, 5}, {3, 4, 5, 1, 2});
  const Value y = b.Fold(windows.value, {k[2], k[3], stride, pad}, size(own[1], k[2]), size(own[2], k[3]));
  return {y, windows.axes, false, -1, 0};
}

Term Scope::MaxPooled(const Term& x0, std::int64_t size, std::int64_t stride, lang::Span at) {
  const Term x = Real(x0);
  const Shape own = Own(x);
  if (own.size() != 3 || size < 1 || stride < 1 || own[1] < size || own[2] < size)
    Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("`maxpool` of windows of {} over shape `[{}]`", size, fmt::join(own, ", ")),
           "it takes channels, height and width");
  const Term windows{b.Unfold(x.value, {size, size, stride, 0}), x.axes, false, -1, 0};
  return ReduceOwn(Op::kReduceMax, windows, {1, 2});
}

std::optional<Term> Scope::ConvolutionBuiltin(const std::string& name, const lang::Call& call, const lang::Expr& e) {
  const bool pool = name == "maxpool";
  if (!pool && name != "conv1d" && name != "conv2d") return std::nullopt;
  std::vector<const lang::Expr*> args;
  std::optional<std::int64_t> stride, pad;
  for (const lang::Argument& a : call.args) {
    if (!a.keyword) args.push_back(a.value.get());
    else if (a.keyword->text == "stride") stride = static_cast<std::int64_t>(Constant(*a.value, "`stride`"));
    else if (a.keyword->text == "pad" && !pool) pad = static_cast<std::int64_t>(Constant(*a.value, "`pad`"));
    else
      Refuse(lang::Code::kUnknownKeyword, a.keyword->span,
             fmt::format("`{}` has no setting `{}`", name, a.keyword->text));
  }
  if (args.size() != 2)
    Refuse(lang::Code::kArgumentCount, e.span, fmt::format("`{}` takes 2 arguments, {} given", name, args.size()));
  const Term x = Eval(*args[0]);
  if (pool) {
    const auto size = static_cast<std::int64_t>(Constant(*args[1], "the size of a window"));
    b.At(e.span);
    return MaxPooled(x, size, stride.value_or(size), e.span);
  }
  const Term kernel = Eval(*args[1]);
  b.At(e.span);
  return Convolved(x, kernel, stride.value_or(1), pad.value_or(0), e.span);
}

}  // namespace amo::compiler
