// SPDX-License-Identifier: Apache-2.0
// The type that each operation gives: the one place that says which arguments and attributes fit.
#include <algorithm>
#include <map>
#include <set>

#include "compiler/ir.h"

namespace amo::compiler {
namespace {

Inferred Wrong(std::string error) { return {{}, std::move(error)}; }

Inferred InferUnary(Op op, const Type& x) {
  if (op == Op::kStop) return {x, ""};
  if (op == Op::kNot) return x.elem == Elem::kBool ? Inferred{x, ""} : Wrong("needs a bool");
  if (op == Op::kToReal) return {{Elem::kReal, x.shape}, ""};
  if (op == Op::kToInt) return {{Elem::kInt, x.shape}, ""};
  if (op == Op::kNeg || op == Op::kAbs || op == Op::kSign) {
    return x.elem == Elem::kBool ? Wrong("needs a number") : Inferred{x, ""};
  }
  return x.elem == Elem::kReal ? Inferred{x, ""} : Wrong("needs a real");
}

Inferred InferBinary(Op op, const Type& a, const Type& b) {
  if (a != b) return Wrong("operands are " + ToString(a) + " and " + ToString(b));
  switch (ClassOf(op)) {
    case OpClass::kCompare: return {{Elem::kBool, a.shape}, ""};
    case OpClass::kLogic: return a.elem == Elem::kBool ? Inferred{a, ""} : Wrong("needs bools");
    case OpClass::kBinary: break;
    case OpClass::kLeaf:
    case OpClass::kUnary:
    case OpClass::kSelect:
    case OpClass::kShape:
    case OpClass::kReduce:
    case OpClass::kArg:
    case OpClass::kAlong:
    case OpClass::kContract:
    case OpClass::kIndex:
    case OpClass::kMatrix:
    case OpClass::kLoop: return Wrong("is not binary");
  }
  if (a.elem == Elem::kBool) return Wrong("needs numbers");
  if (a.elem == Elem::kInt && (op == Op::kDiv || op == Op::kPow || op == Op::kAtan2)) return Wrong("needs reals");
  return {a, ""};
}

Inferred InferBroadcast(const Node& n, const Type& x) {
  if (n.attr.size() != n.type.shape.size()) return Wrong("needs an axis for each output axis");
  std::vector<int> seen(x.shape.size());
  for (std::size_t d = 0; d < n.attr.size(); ++d) {
    if (n.attr[d] < 0) continue;
    if (static_cast<std::size_t>(n.attr[d]) >= x.shape.size()) return Wrong("names an axis that its argument lacks");
    if (x.shape[static_cast<std::size_t>(n.attr[d])] != n.type.shape[d]) return Wrong("changes an extent");
    ++seen[static_cast<std::size_t>(n.attr[d])];
  }
  if (std::any_of(seen.begin(), seen.end(), [](int k) { return k != 1; }))
    return Wrong("uses an axis not exactly once");
  return {{x.elem, n.type.shape}, ""};
}

// A slice lies inside its argument; a pad has its argument inside.
Inferred InferWindow(const Node& n, const Type& x) {
  if (n.attr.size() != x.shape.size() || n.type.shape.size() != x.shape.size()) return Wrong("changes the rank");
  const bool slice = n.op == Op::kSlice;
  for (std::size_t d = 0; d < n.attr.size(); ++d) {
    const std::int64_t inner = slice ? n.type.shape[d] : x.shape[d], outer = slice ? x.shape[d] : n.type.shape[d];
    if (n.attr[d] < 0 || inner < 0 || n.attr[d] + inner > outer) return Wrong("reaches outside");
  }
  return {{x.elem, n.type.shape}, ""};
}

Inferred InferConcat(const Node& n, const std::vector<Type>& args) {
  if (args.empty() || n.attr.size() != 1) return Wrong("needs parts and an axis");
  Type t = args[0];
  const auto axis = static_cast<std::size_t>(n.attr[0]);
  if (n.attr[0] < 0 || axis >= t.shape.size()) return Wrong("names an axis that its parts lack");
  for (std::size_t k = 1; k < args.size(); ++k) {
    Type p = args[k];
    if (p.shape.size() != t.shape.size()) return Wrong("joins parts of different rank");
    t.shape[axis] += p.shape[axis];
    p.shape[axis] = t.shape[axis];
    if (p != t) return Wrong("joins parts that differ");
  }
  return {t, ""};
}

Inferred InferWindows(const Node& n, const Type& x) {
  const bool fold = n.op == Op::kFold;
  if (n.attr.size() != (fold ? 6u : 4u)) return Wrong("needs the windows' sizes");
  const Windows s = WindowsOf(n);
  if (s.kh < 1 || s.kw < 1 || s.stride < 1 || s.pad < 0) return Wrong("has windows without entries");
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // sums of sizes stay numbers
  if (std::any_of(n.attr.begin(), n.attr.end(), [](std::int64_t a) { return a < 0 || a > kMost; }))
    return Wrong("has windows of no size");
  const std::size_t axes = fold ? 4 : 2;
  if (x.elem != Elem::kReal || x.shape.size() < axes) return Wrong("needs reals in rows and columns");
  const auto last = x.shape.end() - static_cast<std::ptrdiff_t>(axes);
  Type t{Elem::kReal, {x.shape.begin(), last}};
  const std::int64_t h = fold ? n.attr[4] : last[0], w = fold ? n.attr[5] : last[1];
  const Shape windows{s.kh, s.kw, s.Count(h, s.kh), s.Count(w, s.kw)};
  if (fold && !std::equal(windows.begin(), windows.end(), last)) return Wrong("has windows of another size");
  const Shape end = fold ? Shape{h, w} : windows;
  t.shape.insert(t.shape.end(), end.begin(), end.end());
  return {t, ""};
}

Inferred InferReduce(const Node& n, const Type& x) {
  Type t{x.elem, {}};
  for (std::size_t k = 0; k < n.attr.size(); ++k) {
    if (n.attr[k] < 0 || static_cast<std::size_t>(n.attr[k]) >= x.shape.size()) return Wrong("names no axis");
    if (k && n.attr[k] <= n.attr[k - 1]) return Wrong("needs sorted axes");
  }
  for (std::size_t d = 0; d < x.shape.size(); ++d) {
    if (!std::binary_search(n.attr.begin(), n.attr.end(), static_cast<std::int64_t>(d))) t.shape.push_back(x.shape[d]);
  }
  if (x.elem == Elem::kBool && (n.op == Op::kReduceSum || n.op == Op::kReduceProd)) return Wrong("needs numbers");
  return {t, ""};
}

Inferred InferDot(const Node& n, const Type& a, const Type& b) {
  if (a.elem != Elem::kReal || b.elem != Elem::kReal) return Wrong("needs reals");
  const std::size_t ra = a.shape.size(), rb = b.shape.size();
  if (n.attr.size() < ra + rb) return Wrong("needs a label for each axis");
  std::map<std::int64_t, std::int64_t> extent;
  for (std::size_t k = 0; k < ra + rb; ++k) {
    const std::int64_t d = k < ra ? a.shape[k] : b.shape[k - ra];
    const auto [it, fresh] = extent.emplace(n.attr[k], d);
    if (!fresh && it->second != d) return Wrong("joins axes of different extent");
  }
  for (std::size_t side = 0; side < 2; ++side) {
    const auto from = n.attr.begin() + static_cast<std::ptrdiff_t>(side ? ra : 0);
    const auto to = n.attr.begin() + static_cast<std::ptrdiff_t>(side ? ra + rb : ra);
    if (std::set<std::int64_t>(from, to).size() != static_cast<std::size_t>(to - from)) return Wrong("repeats a label");
  }
  Type t;
  std::set<std::int64_t> out;
  for (std::size_t k = ra + rb; k < n.attr.size(); ++k) {
    if (!extent.count(n.attr[k]) || !out.insert(n.attr[k]).second) return Wrong("has a result label that nothing has");
    t.shape.push_back(extent[n.attr[k]]);
  }
  return {t, ""};
}

Inferred InferGather(const Node& n, const Type& x, const Type& index) {
  if (n.attr.size() != 1 || n.attr[0] < 0) return Wrong("needs the number of leading axes");
  const auto lead = static_cast<std::size_t>(n.attr[0]);
  if (index.elem != Elem::kInt) return Wrong("needs an int index");
  if (lead >= x.shape.size() || lead > index.shape.size() ||
      !std::equal(x.shape.begin(), x.shape.begin() + n.attr[0], index.shape.begin())) {
    return Wrong("has leading axes that differ");
  }
  Type t{x.elem, index.shape};
  t.shape.insert(t.shape.end(), x.shape.begin() + n.attr[0] + 1, x.shape.end());
  return {t, ""};
}

Inferred InferScatter(const Node& n, const Type& index, const Type& g) {
  if (n.attr.size() != 2 || n.attr[0] < 0 || n.attr[1] < 0) return Wrong("needs leading axes and an extent");
  if (index.elem != Elem::kInt || g.elem != Elem::kReal) return Wrong("needs an int index and reals");
  if (index.shape.size() > g.shape.size() || !std::equal(index.shape.begin(), index.shape.end(), g.shape.begin()) ||
      static_cast<std::size_t>(n.attr[0]) > index.shape.size()) {
    return Wrong("has an index that does not lead its values");
  }
  Type t{Elem::kReal, {g.shape.begin(), g.shape.begin() + n.attr[0]}};
  t.shape.push_back(n.attr[1]);
  t.shape.insert(t.shape.end(), g.shape.begin() + static_cast<std::ptrdiff_t>(index.shape.size()), g.shape.end());
  return {t, ""};
}

bool IsSquare(const Type& x) {
  const std::size_t r = x.shape.size();
  return x.elem == Elem::kReal && r >= 2 && x.shape[r - 1] == x.shape[r - 2];
}

Inferred InferSolve(const Type& a, const Type& b) {
  if (!IsSquare(a)) return Wrong("needs real square matrices");
  if (b.elem != Elem::kReal || b.shape.size() != a.shape.size()) return Wrong("needs right sides of the same rank");
  if (!std::equal(a.shape.begin(), a.shape.end() - 1, b.shape.begin())) return Wrong("has sides that differ");
  return {b, ""};
}

Inferred InferEigen(const Type& a) {
  if (!IsSquare(a)) return Wrong("needs real square matrices");
  Type t = a;
  ++t.shape[t.shape.size() - 2];
  return {t, ""};
}

Inferred InferScan(const Node& n, const std::vector<Type>& args) {
  if (n.attr.size() != 6 || std::any_of(n.attr.begin(), n.attr.end(), [](std::int64_t a) { return a < 0; })) {
    return Wrong("needs {steps, carries, xs, ys, reverse, index}");
  }
  if (!n.body) return Wrong("needs a body");
  const ScanForm form = FormOf(n);
  const Function& body = *n.body;
  if (const std::string error = Verify(body); !error.empty()) return Wrong("has a body in which " + error);
  if (args.size() < form.carries + form.xs || body.inputs.size() != args.size() + (form.index ? 1 : 0)) {
    return Wrong("has a body with another number of inputs");
  }
  if (body.outputs.size() != form.carries + form.ys) return Wrong("has a body with another number of outputs");
  for (std::size_t k = 0; k < args.size(); ++k) {
    Type want = body.inputs[k].type;
    const bool x = k >= form.carries && k < form.carries + form.xs;
    if (x) want.shape.insert(want.shape.begin(), form.steps);
    if (args[k] != want) {
      return Wrong("has argument " + std::to_string(k) + " of type " + ToString(args[k]) + ", not " + ToString(want));
    }
    if (k < form.carries && body.type(body.outputs[k].value) != want) return Wrong("changes the type of a carry");
  }
  if (form.index && body.inputs.back().type != Type{Elem::kInt, {}}) return Wrong("has an index that is no int");
  for (const Output& o : body.outputs) {
    if (body.type(o.value).elem != Elem::kReal) return Wrong("has carries or ys that are not real");
  }
  return {{Elem::kReal, {ScanOffsets(n).back()}}, ""};
}

}  // namespace

Inferred Infer(const Node& n, const std::vector<Type>& args) {
  switch (ClassOf(n.op)) {
    case OpClass::kLeaf:
      if (n.op == Op::kNumber && !n.type.shape.empty()) return Wrong("is a scalar");
      if (n.op == Op::kIota && (n.type.elem != Elem::kInt || n.type.shape.size() != 1)) return Wrong("is int[n]");
      return {n.type, ""};
    case OpClass::kUnary: return InferUnary(n.op, args[0]);
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic: return InferBinary(n.op, args[0], args[1]);
    case OpClass::kSelect:
      if (args[0].elem != Elem::kBool || args[0].shape != args[1].shape) return Wrong("needs a bool of the same shape");
      return args[1] == args[2] ? Inferred{args[1], ""} : Wrong("has sides that differ");
    case OpClass::kShape:
      if (n.op == Op::kBroadcast) return InferBroadcast(n, args[0]);
      if (n.op == Op::kConcat) return InferConcat(n, args);
      if (n.op == Op::kSlice || n.op == Op::kPad) return InferWindow(n, args[0]);
      if (n.op == Op::kUnfold || n.op == Op::kFold) return InferWindows(n, args[0]);
      return Count(n.type.shape) == Count(args[0].shape) ? Inferred{{args[0].elem, n.type.shape}, ""}
                                                         : Wrong("changes the number of entries");
    case OpClass::kReduce: return InferReduce(n, args[0]);
    case OpClass::kArg:
      if (args[0].shape.empty() || args[0].shape.back() < 1) return Wrong("needs a last axis with entries");
      return {{Elem::kInt, {args[0].shape.begin(), args[0].shape.end() - 1}}, ""};
    case OpClass::kAlong:
      if (args[0].shape.empty()) return Wrong("needs a last axis");
      return {{n.op == Op::kArgSort ? Elem::kInt : args[0].elem, args[0].shape}, ""};
    case OpClass::kContract: return InferDot(n, args[0], args[1]);
    case OpClass::kIndex:
      return n.op == Op::kGather ? InferGather(n, args[0], args[1]) : InferScatter(n, args[0], args[1]);
    case OpClass::kMatrix: return n.op == Op::kSolve ? InferSolve(args[0], args[1]) : InferEigen(args[0]);
    case OpClass::kLoop: return InferScan(n, args);
  }
  return Wrong("is no operation");
}

}  // namespace amo::compiler
