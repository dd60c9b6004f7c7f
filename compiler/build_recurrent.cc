// SPDX-License-Identifier: Apache-2.0
// Cells: the state comes first and its successor is the result. Gates as in LibTorch's GRUCell and LSTMCell.
#include <algorithm>

#include <fmt/format.h>

#include "compiler/build_network.h"

namespace amo::compiler {
namespace {

// `parts` vectors of each layer stand one after the other in the state; gives the width of one.
std::int64_t WidthOf(Net& net, const std::vector<Term>& args, const Shape& result, std::int64_t parts) {
  Scope& s = net.s;
  if (args.size() < 2)
    s.Refuse(lang::Code::kArgumentCount, net.at, fmt::format("a `{}` takes its state, then its input", net.kind));
  const std::int64_t all = Count(s.Own(args[0])), layers = net.Whole("layers", 1);
  if (layers < 1 || all % (layers * parts) != 0 || Count(result) != all)
    s.Refuse(lang::Code::kShapeMismatch, net.at,
             fmt::format("a `{}` of {} layers with a state of {} entries and a result of {}", net.kind, layers, all,
                         Count(result)),
             parts == 1 ? "the result is the next state: h of all layers, one after the other"
                        : "the result is the next state: h and c of all layers, one after the other");
  const std::int64_t width = all / (layers * parts), hidden = net.Whole("hidden", width);
  if (hidden != width)
    s.Refuse(lang::Code::kShapeMismatch, net.at,
             fmt::format("a state of {} entries has {} for each layer, `hidden` is {}", all, width, hidden));
  return width;
}

// W_x x + b_x and W_h h + b_h, with so many gates one below the other.
struct Gates {
  Term input, state;
};
Gates GatesOf(Net& net, const Term& x, const Term& h, std::int64_t gates) {
  Scope& s = net.s;
  const std::int64_t width = s.Own(h)[0];
  const double bound = BoundOf(width);
  const Term from_input = net.Weight({gates * width, s.Own(x)[0]}, bound);
  const Term from_state = net.Weight({gates * width, width}, bound);
  const Term input_offset = net.Weight({gates * width}, bound), state_offset = net.Weight({gates * width}, bound);
  return {s.Add(s.Contract(x, from_input, {0}, {1, 0}, {1}), input_offset),
          s.Add(s.Contract(h, from_state, {0}, {1, 0}, {1}), state_offset)};
}

Term InputOf(Net& net, const std::vector<Term>& args) {
  return net.Joined(std::vector<Term>(args.begin() + 1, args.end()));
}

}  // namespace

Term GruCell(Net& net, const std::vector<Term>& args, const Shape& result) {
  Scope& s = net.s;
  const std::int64_t width = WidthOf(net, args, result, 1), layers = Count(result) / std::max<std::int64_t>(width, 1);
  const Term state = s.Flat(s.Real(args[0]));
  Term x = InputOf(net, args);
  std::vector<Term> next;
  for (std::int64_t k = 0; k < layers; ++k) {
    const Term h = net.Part(state, k * width, width);
    const Gates g = GatesOf(net, x, h, 3);
    const auto both = [&](std::int64_t gate) {
      return s.Add(net.Part(g.input, gate * width, width), net.Part(g.state, gate * width, width));
    };
    const Term reset = s.Unary(Op::kSigmoid, both(0)), keep = s.Unary(Op::kSigmoid, both(1));
    const Term fresh =
        s.Unary(Op::kTanh, s.Add(net.Part(g.input, 2 * width, width),
                                 s.Mul(reset, net.Part(g.state, 2 * width, width))));
    x = s.Add(s.Mul(s.Sub(s.Number(1), keep), fresh), s.Mul(keep, h));
    next.push_back(x);
  }
  return s.Concat(std::move(next), 0, net.at);
}

Term LstmCell(Net& net, const std::vector<Term>& args, const Shape& result) {
  Scope& s = net.s;
  const std::int64_t width = WidthOf(net, args, result, 2);
  const std::int64_t layers = Count(result) / std::max<std::int64_t>(2 * width, 1);
  const Term state = s.Flat(s.Real(args[0]));
  Term x = InputOf(net, args);
  std::vector<Term> next;
  for (std::int64_t k = 0; k < layers; ++k) {
    const Term h = net.Part(state, 2 * k * width, width), c = net.Part(state, (2 * k + 1) * width, width);
    const Gates g = GatesOf(net, x, h, 4);
    const Term all = s.Add(g.input, g.state);
    const auto gate = [&](Op op, std::int64_t n) { return s.Unary(op, net.Part(all, n * width, width)); };
    const Term enter = gate(Op::kSigmoid, 0), keep = gate(Op::kSigmoid, 1), fresh = gate(Op::kTanh, 2);
    const Term leave = gate(Op::kSigmoid, 3);
    const Term cell = s.Add(s.Mul(keep, c), s.Mul(enter, fresh));
    x = s.Mul(leave, s.Unary(Op::kTanh, cell));
    next.push_back(x), next.push_back(cell);
  }
  return s.Concat(std::move(next), 0, net.at);
}

}  // namespace amo::compiler
