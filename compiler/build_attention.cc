// SPDX-License-Identifier: Apache-2.0
// Transformers: rows attend to one another, normalized before each layer (Vaswani et al. 2017; Xiong et al. 2020).
#include <cmath>

#include <fmt/format.h>

#include "compiler/build_network.h"

namespace amo::compiler {
namespace {

// Each row with mean 0 and variance 1, then scaled and shifted by what is learned, which starts at 1 and 0.
Term Normalized(Net& net, const Term& x) {
  Scope& s = net.s;
  const Shape own = s.Own(x);
  const double width = static_cast<double>(own[1]);
  const auto mean = [&](const Term& t) {
    return s.Spread(s.Div(s.ReduceOwn(Op::kReduceSum, t, {1}), s.Number(width)), {0, -1}, own);
  };
  const Term centred = s.Sub(x, mean(x));
  const Term scale = s.Unary(Op::kSqrt, s.Add(mean(s.Mul(centred, centred)), s.Number(1e-5)));
  const Term gain = net.Weight({own[1]}, 0), shift = net.Weight({own[1]}, 0);
  return s.Add(s.Mul(s.Div(centred, scale), net.Along(s.Add(s.Number(1), gain), own)), net.Along(shift, own));
}

Term Attention(Net& net, const Term& x, std::int64_t heads) {
  Scope& s = net.s;
  const std::int64_t rows = s.Own(x)[0], width = s.Own(x)[1], each = width / heads;
  const auto split = [&] { return s.Reshaped(net.Dense(x, width), {rows, heads, each}); };
  const Term q = split(), k = split(), v = split();
  const Term raw = s.Contract(q, k, {0, 1, 2}, {3, 1, 2}, {1, 0, 3});
  const Term scores = s.Mul(raw, s.Number(1 / std::sqrt(static_cast<double>(each))));
  const Term log_share = s.Sub(scores, s.Spread(s.LogSumExp(scores, {2}), {0, 1, -1}, s.Own(scores)));
  const Term mixed = s.Contract(s.Unary(Op::kExp, log_share), v, {1, 0, 3}, {3, 1, 2}, {0, 1, 2});
  return net.Dense(s.Reshaped(mixed, {rows, width}), width);
}

}  // namespace

// [n, d] → [n, m] row by row, or the mean of the rows → any other shape.
Term Transformer(Net& net, const std::vector<Term>& args, const Shape& result) {
  Scope& s = net.s;
  const Shape own = args.size() == 1 ? s.Own(args[0]) : Shape{};
  if (own.empty() || own[0] < 1)
    s.Refuse(lang::Code::kShapeMismatch, net.at, "`transformer` takes one array of rows");
  const std::int64_t layers = net.Whole("layers", 2), heads = net.Whole("heads", 4), width = net.Whole("hidden", 64);
  if (heads < 1 || width < 1 || width % heads != 0)
    s.Refuse(lang::Code::kDomain, net.at, fmt::format("`hidden` is {}, no multiple of {} heads", width, heads));
  Term h = net.Dense(s.Reshaped(s.Real(args[0]), {own[0], Count(own) / own[0]}), width);
  h = s.Add(h, net.Weight({own[0], width}, BoundOf(width)));  // where a row stands
  for (std::int64_t k = 0; k < layers; ++k) {
    h = s.Add(h, Attention(net, Normalized(net, h), heads));
    h = s.Add(h, net.Dense(net.Activated("gelu", net.Dense(Normalized(net, h), 4 * width)), width));
  }
  h = Normalized(net, h);
  if (result.size() > 1 && result[0] == own[0]) return net.Dense(h, Count(result) / own[0]);
  const Term mean = s.Div(s.ReduceOwn(Op::kReduceSum, h, {0}), s.Number(static_cast<double>(own[0])));
  return net.Dense(mean, Count(result));
}

}  // namespace amo::compiler
