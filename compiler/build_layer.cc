// SPDX-License-Identifier: Apache-2.0
// Chains of layers.
#include <algorithm>

#include <fmt/format.h>

#include "compiler/build_network.h"

namespace amo::compiler {
namespace {

// One written layer: its word, and its arguments by place or by keyword.
struct Layer {
  Net& net;
  std::string name;
  const lang::Call* call;  // null: none
  lang::Span at;

  std::int64_t Number(const char* key, std::size_t place, std::optional<std::int64_t> otherwise) const {
    for (std::size_t k = 0; call && k < call->args.size(); ++k) {
      const lang::Argument& a = call->args[k];
      if (a.keyword ? a.keyword->text == key : k == place)
        return static_cast<std::int64_t>(net.s.Constant(*a.value, fmt::format("`{}` of a layer", key)));
    }
    if (!otherwise) net.s.Refuse(lang::Code::kMissingPart, at, fmt::format("the layer `{}` needs `{}`", name, key));
    return *otherwise;
  }
  void NeedsAxes(const Term& x, std::size_t axes) const {
    if (net.s.Own(x).size() == axes) return;
    net.s.Refuse(lang::Code::kShapeMismatch, at,
                 fmt::format("`{}` takes {} axes, here comes shape `[{}]`", name, axes,
                             fmt::join(net.s.Own(x), ", ")),
                 "`flatten` makes a vector, `reshape(c, h, w)` any other shape");
  }
};
constexpr std::size_t kByKeyword = 1000;  // a place that no argument has

// One number for each channel, repeated along the other axes.
Term Channels(Net& net, const Term& offset, const Shape& own) {
  std::vector<std::int64_t> map(own.size(), -1);
  map[0] = 0;
  return net.s.Spread(offset, map, own);
}

Term DenseLayer(const Layer& l, const Term& x) {
  if (l.net.s.Own(x).size() > 1) l.NeedsAxes(x, 1);
  return l.net.Dense(l.net.s.Flat(x), l.Number("size", 0, std::nullopt));
}

Term ConvLayer(const Layer& l, const Term& x) {
  const bool flat = l.name == "conv1d";
  l.NeedsAxes(x, flat ? 2 : 3);
  const std::int64_t channels = l.Number("channels", 0, std::nullopt), size = l.Number("size", 1, std::nullopt);
  return l.net.Convolution(x, channels, flat ? Shape{size} : Shape{size, size}, l.Number("stride", kByKeyword, 1),
                           l.Number("pad", kByKeyword, 0), l.at);
}

// LibTorch counts the fan in of a transposed convolution by the channels that come out.
Term DeconvLayer(const Layer& l, const Term& x) {
  l.NeedsAxes(x, 3);
  const std::int64_t channels = l.Number("channels", 0, std::nullopt), size = l.Number("size", 1, std::nullopt);
  const double bound = BoundOf(channels * size * size);
  const Term weights = l.net.Weight({l.net.s.Own(x)[0], channels, size, size}, bound);
  const Term offset = l.net.Weight({channels}, bound);
  const Term y =
      l.net.s.Deconvolved(x, weights, l.Number("stride", kByKeyword, 1), l.Number("pad", kByKeyword, 0), l.at);
  return l.net.s.Add(y, Channels(l.net, offset, l.net.s.Own(y)));
}

Term PoolLayer(const Layer& l, const Term& x) {
  const std::int64_t size = l.Number("size", 0, std::nullopt);
  return l.net.s.MaxPooled(x, size, l.Number("stride", kByKeyword, size), l.at);
}

Term FlattenLayer(const Layer& l, const Term& x) { return l.net.s.Flat(x); }

Term ReshapeLayer(const Layer& l, const Term& x) {
  Shape own;
  for (std::size_t k = 0; l.call && k < l.call->args.size(); ++k) own.push_back(l.Number("a dim", k, std::nullopt));
  if (Count(own) != Count(l.net.s.Own(x)))
    l.net.s.Refuse(lang::Code::kShapeMismatch, l.at,
                   fmt::format("`reshape` of {} entries to shape `[{}]`", Count(l.net.s.Own(x)), fmt::join(own, ", ")));
  return l.net.s.Reshaped(x, own);
}

struct LayerRow {
  const char* name;
  Term (*make)(const Layer& layer, const Term& x);
};
constexpr LayerRow kLayers[] = {
    {"dense", DenseLayer}, {"conv", ConvLayer},       {"conv1d", ConvLayer},     {"deconv", DeconvLayer},
    {"maxpool", PoolLayer}, {"flatten", FlattenLayer}, {"reshape", ReshapeLayer},
};

}  // namespace

Term Net::Convolution(const Term& x, std::int64_t channels, const Shape& size, std::int64_t stride, std::int64_t pad,
                      lang::Span place, std::optional<double> bound) {
  const std::int64_t in = s.Own(x)[0];
  Shape kernel{channels, in};
  kernel.insert(kernel.end(), size.begin(), size.end());
  const double start = bound.value_or(BoundOf(in * Count(size)));
  const Term matrix = Weight(kernel, start), offset = Weight({channels}, start);  // in this order, by every compiler
  const Term y = s.Convolved(x, matrix, stride, pad, place);
  return s.Add(y, Channels(*this, offset, s.Own(y)));
}

// Exactly its layers. One argument keeps its shape, several are one vector.
Term Chain(Net& net, const std::vector<Term>& args, const Shape&) {
  if (!net.settings) net.s.Refuse(lang::Code::kArgumentCount, net.at, "a `chain` has at least one layer");
  Term h = args.size() == 1 ? net.s.Real(args[0]) : net.Joined(args);
  for (const lang::Argument& a : net.settings->args) {
    const auto* call = std::get_if<lang::Call>(&a.value->node);
    const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &a.value->node);
    const std::string name = word ? word->name.text : "";
    const auto row =
        std::find_if(std::begin(kLayers), std::end(kLayers), [&](const LayerRow& l) { return name == l.name; });
    net.s.b.At(a.value->span);
    if (row != std::end(kLayers)) h = row->make({net, name, call, a.value->span}, h);
    else if (!call && IsActivation(name)) h = net.Activated(name, h);
    else net.s.Unsupported(a.value->span, fmt::format("the layer `{}`", name));
  }
  return h;
}

}  // namespace amo::compiler
