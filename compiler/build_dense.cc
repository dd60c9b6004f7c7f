// SPDX-License-Identifier: Apache-2.0
// Networks of dense layers: linear, mlp, resnet, deepset and icnn.
#include <algorithm>

#include <fmt/format.h>

#include "compiler/build_network.h"

namespace amo::compiler {

Term LinearNet(Net& net, const std::vector<Term>& args, const Shape& result) {
  return net.Dense(net.Joined(args), Count(result));
}

Term MlpNet(Net& net, const std::vector<Term>& args, const Shape& result) {
  return net.Mlp(net.Joined(args), net.Sizes("hidden", {}), net.Activation(), Count(result));
}

// h + W2 act(W1 h + b1) + b2, so many times, between two linear layers.
Term ResidualNet(Net& net, const std::vector<Term>& args, const Shape& result) {
  Scope& s = net.s;
  if (args.size() == 1 && s.Own(args[0]).size() == 3) return ImageResidualNet(net, s.Real(args[0]), result);
  const std::int64_t layers = net.Whole("layers", 2), width = net.Whole("hidden", 64);
  const std::string activation = net.Activation();
  Term h = net.Dense(net.Joined(args), width);
  for (std::int64_t k = 0; k < layers; ++k)
    h = s.Add(h, net.Dense(net.Activated(activation, net.Dense(h, width)), width));
  return net.Dense(h, Count(result));
}

// The mean over the rows of the first argument of an mlp of each; an mlp of it and of the other arguments.
Term DeepSet(Net& net, const std::vector<Term>& args, const Shape& result) {
  Scope& s = net.s;
  const Shape own = args.empty() ? Shape{} : s.Own(args[0]);
  if (own.empty() || own[0] < 1) s.Refuse(lang::Code::kShapeMismatch, net.at, "`deepset` takes an array with rows");
  const std::vector<std::int64_t> hidden = net.Sizes("hidden", {64});
  const std::string activation = net.Activation();
  Term h = s.Reshaped(s.Real(args[0]), {own[0], Count(own) / own[0]});
  for (std::int64_t width : hidden) h = net.Activated(activation, net.Dense(h, width));
  h = s.Div(s.ReduceOwn(Op::kReduceSum, h, {0}), s.Number(static_cast<double>(own[0])));
  std::vector<Term> all{h};
  all.insert(all.end(), args.begin() + 1, args.end());
  return net.Mlp(net.Joined(all), hidden, activation, Count(result));
}

// Convex in all arguments (Amos, Xu, Kolter 2017): what a layer takes from the layer before has weights that are not
// negative, and the activation rises and is convex. softplus(V) / fan in: a mean over the layer before at the start.
Term ConvexNet(Net& net, const std::vector<Term>& args, const Shape& result) {
  Scope& s = net.s;
  static const std::vector<std::string> kConvex = {"relu", "elu", "softplus"};
  const std::string activation = net.Activation();
  if (!std::count(kConvex.begin(), kConvex.end(), activation))
    s.Refuse(lang::Code::kDomain, net.at, fmt::format("`icnn` with `{}` is not convex", activation),
             fmt::format("its activations are `{}`", fmt::join(kConvex, "`, `")));
  const Term x = net.Joined(args);
  std::vector<std::int64_t> widths = net.Sizes("hidden", {64, 64});
  widths.push_back(Count(result));
  Term z;
  for (std::size_t layer = 0; layer < widths.size(); ++layer) {
    Term next = net.Dense(x, widths[layer]);
    if (layer > 0) {
      const std::int64_t in = widths[layer - 1];
      const Term free = net.Weight({widths[layer], in}, 1);
      const Term matrix = s.Mul(s.Unary(Op::kSoftplus, free), s.Number(1 / static_cast<double>(in)));
      next = s.Add(s.Contract(z, matrix, {0}, {1, 0}, {1}), next);
    }
    z = layer + 1 < widths.size() ? net.Activated(activation, next) : next;
  }
  return z;
}

}  // namespace amo::compiler
