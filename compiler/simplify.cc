// SPDX-License-Identifier: Apache-2.0
// One pass of local rules over the nodes in order, repeated until nothing changes; unreached nodes are left behind.
#include "compiler/simplify.h"

#include <algorithm>
#include <optional>

#include "compiler/check.h"
#include "compiler/scalar.h"
#include "compiler/simplify_pieces.h"
#include "compiler/simplify_product.h"
#include "compiler/simplify_scan.h"
#include "compiler/text.h"

namespace amo::compiler {
namespace {

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

bool Is(const Builder& b, Value v, double number) { return Everywhere(b, v) == number; }

Value Constant(Builder& b, double number, const Type& type) { return b.Fill(b.Number(number, type.elem), type.shape); }

// sum of a product of two broadcast reals: a contraction, which keeps the wide product from existing.
std::optional<Value> AsDot(Builder& b, const Node& sum, Value wide) {
  const Node mul = b.node(wide);
  if (sum.op != Op::kReduceSum || mul.op != Op::kMul || mul.type.elem != Elem::kReal) return std::nullopt;
  const Node left = b.node(mul.args[0]), right = b.node(mul.args[1]);
  const auto narrow = [](const Node& n) {
    return n.op == Op::kBroadcast && std::count(n.attr.begin(), n.attr.end(), -1) > 0;
  };
  if (!narrow(left) && !narrow(right)) return std::nullopt;
  // An axis is a label; an operand's own axis carries the label of the wide axis that reads it.
  const auto side = [&](const Node& n, Value v, Value& operand) {
    std::vector<std::int64_t> labels(b.shape(v).size());
    for (std::size_t d = 0; d < labels.size(); ++d) labels[d] = static_cast<std::int64_t>(d);
    operand = v;
    if (n.op != Op::kBroadcast) return labels;
    operand = n.args[0];
    labels.assign(b.shape(operand).size(), 0);
    for (std::size_t d = 0; d < n.attr.size(); ++d) {
      if (n.attr[d] >= 0) labels[Z(n.attr[d])] = static_cast<std::int64_t>(d);
    }
    return labels;
  };
  Value p, q;
  const auto lp = side(left, mul.args[0], p), lq = side(right, mul.args[1], q);
  std::vector<std::int64_t> out;
  for (std::size_t d = 0; d < mul.type.shape.size(); ++d) {
    const auto label = static_cast<std::int64_t>(d);
    const bool used = std::count(lp.begin(), lp.end(), label) || std::count(lq.begin(), lq.end(), label);
    if (!used) return std::nullopt;  // a repetition of the whole product
    if (!std::binary_search(sum.attr.begin(), sum.attr.end(), label)) out.push_back(label);
  }
  return b.Dot(p, q, lp, lq, out);
}

std::optional<Value> Unary(Builder& b, const Node& n, Value x) {
  if (const auto c = Everywhere(b, x); c && n.op != Op::kStop) {
    return Constant(b, ApplyUnary(n.op, *c), n.type);
  }
  const Node& inner = b.node(x);
  if (n.op == Op::kNeg && inner.op == Op::kNeg) return inner.args[0];    // -(-x) → x
  if (n.op == Op::kNot && inner.op == Op::kNot) return inner.args[0];    // not not x → x
  if (n.op == Op::kNeg && inner.op == Op::kMul) return NegateMultiple(b, x);
  if (n.op == Op::kAbs && inner.op == Op::kNeg) return b.Unary(Op::kAbs, inner.args[0]);
  if (n.op == Op::kStop && (inner.op == Op::kStop || Everywhere(b, x))) return x;
  return std::nullopt;
}

std::optional<Value> Binary(Builder& b, const Node& n, Value p, Value q) {
  const auto c = Everywhere(b, p), d = Everywhere(b, q);
  if (c && d) return Constant(b, ApplyBinary(n.op, *c, *d), n.type);
  if (n.op == Op::kAdd && Is(b, p, 0)) return q;                          // 0 + x → x
  if (n.op == Op::kAdd && Is(b, q, 0)) return p;                          // x + 0 → x
  if (n.op == Op::kSub && Is(b, q, 0)) return p;                          // x - 0 → x
  if (n.op == Op::kMul && Is(b, p, 1)) return q;                          // 1 * x → x
  if (n.op == Op::kMul && Is(b, q, 1)) return p;                          // x * 1 → x
  if (n.op == Op::kMul && Is(b, p, -1)) return b.Neg(q);                  // -1 * x → -x
  if (n.op == Op::kMul && Is(b, q, -1)) return b.Neg(p);                  // x * -1 → -x
  if (n.op == Op::kDiv && Is(b, q, 1)) return p;                          // x / 1 → x
  if (n.op == Op::kPow && Is(b, q, 1)) return p;                          // x ^ 1 → x
  if (n.op == Op::kPow && Is(b, q, 2)) return b.Mul(p, p);                // x ^ 2 → x * x
  if (n.op == Op::kPow && Is(b, q, 0.5)) return b.Unary(Op::kSqrt, p);    // x ^ 0.5 → sqrt x, where x is no -inf
  if (n.op == Op::kAdd && b.node(q).op == Op::kNeg) return b.Sub(p, b.node(q).args[0]);  // x + -y → x - y
  if (n.op == Op::kSub && b.node(q).op == Op::kNeg) return b.Add(p, b.node(q).args[0]);  // x - -y → x + y
  if (n.op == Op::kAdd && n.type.elem == Elem::kReal)
    if (const auto joined = JoinPieces(b, p, q)) return joined;
  if (n.op == Op::kAdd || n.op == Op::kSub) return CollectMultiples(b, n.op, p, q);
  if (n.op == Op::kMul) return MergeMultiples(b, p, q);
  return std::nullopt;
}

std::optional<Value> Shape(Builder& b, const Node& n, const std::vector<Value>& args) {
  if (n.op == Op::kBroadcast) return b.Broadcast(args[0], n.attr, n.type.shape);
  if (n.op == Op::kReshape) {
    if (const auto c = Everywhere(b, args[0])) return Constant(b, *c, n.type);
    return b.Reshape(args[0], n.type.shape);
  }
  if (n.op == Op::kSlice) {
    if (const auto c = Everywhere(b, args[0])) return Constant(b, *c, n.type);
    return Narrow(b, args[0], n.attr, n.type.shape);
  }
  if (n.op == Op::kPad) return b.Pad(args[0], n.attr, n.type.shape);
  if ((n.op == Op::kUnfold || n.op == Op::kFold) && Is(b, args[0], 0)) return b.Filled(0, n.type.shape);
  return std::nullopt;
}

Value Rule(Builder& b, const Node& n, const std::vector<Value>& args) {
  std::optional<Value> v;
  switch (ClassOf(n.op)) {
    case OpClass::kUnary: v = Unary(b, n, args[0]); break;
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic: v = Binary(b, n, args[0], args[1]); break;
    case OpClass::kSelect:
      if (const auto c = Everywhere(b, args[0])) v = args[*c != 0 ? 1 : 2];
      else if (args[1] == args[2]) v = args[1];
      break;
    case OpClass::kShape: v = Shape(b, n, args); break;
    case OpClass::kReduce: v = AsDot(b, n, args[0]); break;
    case OpClass::kLeaf:
    case OpClass::kArg:
    case OpClass::kAlong:
    case OpClass::kIndex:
    case OpClass::kMatrix:
    case OpClass::kLoop: break;
    case OpClass::kContract: v = SimplifyDot(b, n, args); break;
  }
  return v ? *v : b.Copy(n, args);
}

Function Pass(const Function& f) {
  std::vector<bool> live(f.nodes.size());
  for (const Output& o : f.outputs) live[Z(o.value.index)] = true;
  for (std::size_t i = f.nodes.size(); i-- > 0;) {
    if (live[i]) for (Value a : f.nodes[i].args) live[Z(a.index)] = true;
  }
  Builder b(f.name);
  std::vector<Value> values(f.nodes.size());
  for (const Input& in : f.inputs) values[Z(in.value.index)] = b.Input(in.name, in.role, in.type);
  for (std::size_t i = 0; i < f.nodes.size(); ++i) {
    const Node& n = f.nodes[i];
    if (!live[i] || n.op == Op::kInput) continue;
    std::vector<Value> args;
    for (Value a : n.args) args.push_back(values[Z(a.index)]);
    b.At(n.span);
    values[i] = n.op == Op::kScan ? SimplifyScan(b, n, args, PartsRead(f, i, live)) : Rule(b, n, args);
  }
  for (const Output& o : f.outputs) b.Output(o.name, values[Z(o.value.index)]);
  return b.Finish();
}

}  // namespace

std::optional<double> Everywhere(const Builder& b, Value v) {
  const Node& n = b.node(v);
  if (n.op == Op::kNumber) return n.number;
  if (n.op == Op::kBroadcast || n.op == Op::kReshape || n.op == Op::kSlice) return Everywhere(b, n.args[0]);
  if (n.op != Op::kConcat) return std::nullopt;
  const auto first = Everywhere(b, n.args[0]);
  const bool same =
      first && std::all_of(n.args.begin(), n.args.end(), [&](Value a) { return Everywhere(b, a) == first; });
  return same ? first : std::nullopt;
}

Function Simplify(const Function& function) {
  Function f = Pass(function);
  for (std::string before = Print(f);;) {
    Function next = Pass(f);
    std::string after = Print(next);
    if (after == before) return f;
    before = std::move(after);
    f = std::move(next);
  }
}

}  // namespace amo::compiler
