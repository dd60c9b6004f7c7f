// SPDX-License-Identifier: Apache-2.0
// From an output that is not finite back to where that began, node by node.
#include "compiler/fault.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace amo::compiler {
namespace {

// The first entry that is no number, else the first that is not finite; -1: all are.
std::int64_t BadEntry(const Tensor& t) {
  std::int64_t infinite = -1;
  for (std::size_t i = 0; i < t.data.size(); ++i) {
    if (std::isnan(t.data[i])) return static_cast<std::int64_t>(i);
    if (infinite < 0 && std::isinf(t.data[i])) infinite = static_cast<std::int64_t>(i);
  }
  return infinite;
}

bool IsNan(const Tensor& t, std::int64_t entry) {
  return entry >= 0 && std::isnan(t.data[static_cast<std::size_t>(entry)]);
}

Shape IndexOf(std::int64_t flat, const Shape& shape) {
  Shape index(shape.size());
  for (std::size_t d = shape.size(); d-- > 0;) index[d] = flat % shape[d], flat /= shape[d];
  return index;
}

const char* Infix(Op op) {
  const auto is = [&](Op o) { return op == o; };
  return is(Op::kAdd) ? "+" : is(Op::kSub) ? "-" : is(Op::kMul) ? "*" : is(Op::kDiv) ? "/" : is(Op::kPow) ? "^"
       : is(Op::kMod) ? "%" : nullptr;
}

// "log(-0.5)", "1 / 0", "a sum": the operation on what stood in the bad entry.
std::string Said(const Node& n, const std::vector<const Tensor*>& in, std::int64_t entry) {
  const auto at = [&](std::size_t k) { return fmt::format("{:.6g}", in[k]->data[static_cast<std::size_t>(entry)]); };
  switch (ClassOf(n.op)) {
    case OpClass::kUnary: return n.op == Op::kNeg ? "-" + at(0) : fmt::format("{}({})", OpText(n.op), at(0));
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic:
      if (const char* sign = Infix(n.op)) return fmt::format("{} {} {}", at(0), sign, at(1));
      return fmt::format("{}({}, {})", OpText(n.op), at(0), at(1));
    case OpClass::kReduce: return n.op == Op::kReduceSum ? "a sum that is too large" : "a product that is too large";
    case OpClass::kContract: return "a sum of products that is too large";
    case OpClass::kMatrix: return n.op == Op::kSolve ? "a singular matrix" : "a matrix without eigenvalues";
    case OpClass::kLeaf:
    case OpClass::kSelect:
    case OpClass::kShape:
    case OpClass::kArg:
    case OpClass::kAlong:
    case OpClass::kIndex:
    case OpClass::kLoop: break;
  }
  return std::string(OpText(n.op));
}

std::optional<Fault> FindIn(const Function& f, const std::vector<Tensor>& inputs);

// The step in which a scan with finite arguments leaves them.
std::optional<Fault> InScan(const Node& n, const std::vector<const Tensor*>& args, const Tensor& value) {
  std::optional<Fault> found;
  Tensor out = value;
  InterpretScan(n, args, out, [&](std::int64_t step, const std::vector<Tensor>& given) {
    if (!found && (found = FindIn(*n.body, given))) found->step = step;
    return Interpret(*n.body, given);
  });
  if (found && found->span == lang::Span{}) found->span = n.span;
  return found;
}

// From node `at` of f, whose value is not finite.
Fault Follow(const Function& f, const std::vector<Tensor>& values, std::size_t at) {
  lang::Span span;  // the nearest expression on the way, for nodes that have none
  for (;;) {
    const Node& n = f.nodes[at];
    if (!(n.span == lang::Span{})) span = n.span;
    const std::int64_t entry = BadEntry(values[at]);
    std::vector<const Tensor*> args;
    std::int64_t next = -1;
    for (const Value a : n.args) {
      const Tensor& t = values[static_cast<std::size_t>(a.index)];
      args.push_back(&t);
      const std::int64_t bad = BadEntry(t);
      const bool number = f.nodes[static_cast<std::size_t>(a.index)].op == Op::kNumber;
      // No number comes from no number before it comes from an infinite one; an infinite constant is meant.
      if (bad >= 0 && !number && (next < 0 || (IsNan(t, bad) && !IsNan(values[static_cast<std::size_t>(next)],
                                                                  BadEntry(values[static_cast<std::size_t>(next)])))))
        next = a.index;
    }
    if (next >= 0) {
      at = static_cast<std::size_t>(next);
      continue;
    }
    if (n.op == Op::kScan)
      if (auto inside = InScan(n, args, values[at])) return *inside;
    Fault fault;
    fault.span = span, fault.value = values[at].data[static_cast<std::size_t>(entry)];
    if (std::isnan(fault.value)) fault.value = std::numeric_limits<double>::quiet_NaN();  // without a sign
    fault.entry = IndexOf(entry, n.type.shape);
    fault.input = n.op == Op::kInput;
    fault.how = fault.input ? f.inputs[static_cast<std::size_t>(n.attr[0])].name : Said(n, args, entry);
    return fault;
  }
}

std::optional<Fault> FindIn(const Function& f, const std::vector<Tensor>& inputs) {
  const std::vector<Tensor> values = InterpretNodes(f, inputs);
  for (std::size_t k = 0; k < f.outputs.size(); ++k) {
    const auto at = static_cast<std::size_t>(f.outputs[k].value.index);
    if (BadEntry(values[at]) < 0) continue;
    Fault fault = Follow(f, values, at);
    fault.derivative = f.outputs[k].name.starts_with("d/");
    return fault;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Fault> FindFault(const Function& function, const std::vector<Tensor>& inputs) {
  return FindIn(function, inputs);
}

}  // namespace amo::compiler
