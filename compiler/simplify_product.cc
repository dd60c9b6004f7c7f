// SPDX-License-Identifier: Apache-2.0
// Local rules for contractions and for sums of multiples.
#include "compiler/simplify_product.h"

#include <algorithm>
#include <cmath>

#include "compiler/simplify_scan.h"

namespace amo::compiler {
namespace {

using Labels = std::vector<std::int64_t>;

bool Has(const Labels& labels, std::int64_t l) { return std::find(labels.begin(), labels.end(), l) != labels.end(); }

struct Multiple {
  double number;
  Value of;
};

Multiple MultipleOf(const Builder& b, Value v) {
  const Node& n = b.node(v);
  if (n.op == Op::kNeg) {
    const Multiple inner = MultipleOf(b, n.args[0]);
    return {-inner.number, inner.of};
  }
  if (n.op == Op::kMul) {
    if (const auto c = Everywhere(b, n.args[0])) return {*c, n.args[1]};
    if (const auto c = Everywhere(b, n.args[1])) return {*c, n.args[0]};
  }
  return {1, v};
}

bool Plain(double number) { return std::isfinite(number) && number != 0; }

Value Times(Builder& b, double number, Value v) {
  if (number == 1) return v;
  if (number == -1) return b.Neg(v);
  return b.Mul(b.Filled(number, b.shape(v)), v);
}

// The scalar that is repeated in every entry, if v is that.
std::optional<Value> Repeated(const Builder& b, Value v) {
  const Node& n = b.node(v);
  if (n.op != Op::kBroadcast || !b.shape(n.args[0]).empty()) return std::nullopt;
  return n.args[0];
}

// Whether a value is the same for every instance. It looks at what is near: data and what is made of them.
bool IsShared(const Builder& b, Value v, int depth = 6) {
  const Node& n = b.node(v);
  if (n.op == Op::kInput) return b.function().inputs[static_cast<std::size_t>(n.attr[0])].role == Role::kShared;
  return depth > 0 && std::all_of(n.args.begin(), n.args.end(), [&](Value a) { return IsShared(b, a, depth - 1); });
}

bool IsTranspose(const Builder& b, Value v, Value of) {
  const Node& n = b.node(v);
  return n.op == Op::kBroadcast && n.args[0] == of && n.attr == Labels{1, 0};
}

// A + A'.
bool IsSymmetric(const Builder& b, Value v) {
  const Node& n = b.node(v);
  return n.op == Op::kAdd && n.type.shape.size() == 2 &&
         (IsTranspose(b, n.args[1], n.args[0]) || IsTranspose(b, n.args[0], n.args[1]));
}

struct Product {
  Value a, b;
  Labels la, lb, lo;
};

Product ProductOf(const Builder& builder, const Labels& attr, Value a, Value b) {
  const auto ra = static_cast<std::ptrdiff_t>(builder.shape(a).size());
  const auto rb = static_cast<std::ptrdiff_t>(builder.shape(b).size());
  const auto at = attr.begin();
  return {a, b, {at, at + ra}, {at + ra, at + ra + rb}, {at + ra + rb, attr.end()}};
}

Value Make(Builder& b, const Product& p) { return b.Dot(p.a, p.b, p.la, p.lb, p.lo); }

// scalar * v with v's axes summed or reordered as the labels say.
std::optional<Value> ScalarTimes(Builder& b, Value scalar, Value v, const Labels& labels, const Labels& out,
                                 const Shape& shape) {
  for (std::size_t d = 0; d < labels.size(); ++d) {
    if (std::count(labels.begin(), labels.end(), labels[d]) > 1) return std::nullopt;
  }
  Labels gone, left, order;
  for (std::size_t d = 0; d < labels.size(); ++d) {
    if (Has(out, labels[d])) left.push_back(labels[d]);
    else gone.push_back(static_cast<std::int64_t>(d));
  }
  if (left.size() != out.size()) return std::nullopt;
  for (const std::int64_t l : out) order.push_back(std::find(left.begin(), left.end(), l) - left.begin());
  if (!gone.empty()) v = b.Reduce(Op::kReduceSum, v, gone);
  return b.Mul(b.Fill(scalar, shape), b.Broadcast(v, order, shape));
}

// A product with a symmetric matrix: that one first, its summed axis first, so that equal products are one node and its
// rows are read along the product's entries.
std::optional<Value> Ordered(Builder& b, Product p) {
  Product q = p;
  if (!IsSymmetric(b, p.a) && IsSymmetric(b, p.b)) std::swap(q.a, q.b), std::swap(q.la, q.lb);
  if (!IsSymmetric(b, q.a)) return std::nullopt;
  if (Has(q.lo, q.la[0]) && !Has(q.lo, q.la[1])) std::swap(q.la[0], q.la[1]);
  if (q.a == p.a && q.la == p.la) return std::nullopt;
  return Make(b, q);
}

// y' (A y) in any order of the operands.
std::optional<Value> Quadratic(Builder& b, const Product& p) {
  if (!p.lo.empty() || p.la.size() != 1 || p.lb.size() != 1) return std::nullopt;
  for (const auto& [y, product] : {std::pair{p.a, p.b}, std::pair{p.b, p.a}}) {
    const Node& n = b.node(product);
    if (n.op != Op::kDot) continue;
    Product inner = ProductOf(b, n.attr, n.args[0], n.args[1]);
    if (inner.a == y) std::swap(inner.a, inner.b), std::swap(inner.la, inner.lb);
    if (inner.b != y || inner.la.size() != 2 || inner.lb.size() != 1 || inner.la[0] == inner.la[1]) continue;
    if (inner.lo.size() != 1 || inner.lo == inner.lb || !Has(inner.la, inner.lb[0])) continue;
    const Value matrix = inner.a;
    if (IsSymmetric(b, matrix) || !IsShared(b, matrix) || IsShared(b, y)) continue;
    const Value symmetric = b.Add(matrix, b.Broadcast(matrix, {1, 0}, b.shape(matrix)));
    return b.Mul(b.Number(0.5), b.Dot(b.Dot(symmetric, y, {0, 1}, {0}, {1}), y, {0}, {0}, {}));
  }
  return std::nullopt;
}

}  // namespace

std::optional<Value> CollectMultiples(Builder& b, Op op, Value p, Value q) {
  if (b.type(p).elem != Elem::kReal) return std::nullopt;
  Multiple second = MultipleOf(b, q);
  if (op == Op::kSub) second.number = -second.number;
  const Multiple first = MultipleOf(b, p);
  const auto sum = [&](const Multiple& m) { return m.of == second.of ? m.number + second.number : 0; };
  if (Plain(sum(first))) return Times(b, sum(first), first.of);
  const Node n = b.node(p);
  if (n.op != Op::kAdd) return std::nullopt;
  for (const std::size_t k : {0, 1}) {
    const Multiple term = MultipleOf(b, n.args[k]);
    if (Plain(sum(term))) return b.Add(n.args[1 - k], Times(b, sum(term), term.of));
  }
  return std::nullopt;
}

std::optional<Value> MergeMultiples(Builder& b, Value p, Value q) {
  if (b.type(p).elem != Elem::kReal) return std::nullopt;
  for (const auto& [number, rest] : {std::pair{p, q}, std::pair{q, p}}) {
    const auto c = Everywhere(b, number);
    if (!c) continue;
    const Multiple inner = MultipleOf(b, rest);
    if (inner.of != rest && Plain(*c * inner.number)) return Times(b, *c * inner.number, inner.of);
  }
  return std::nullopt;
}

std::optional<Value> NegateMultiple(Builder& b, Value v) {
  const Multiple m = MultipleOf(b, v);
  if (b.type(v).elem != Elem::kReal || m.of == v || !Plain(m.number)) return std::nullopt;
  return Times(b, -m.number, m.of);
}

std::optional<Value> SimplifyDot(Builder& b, const Node& n, const std::vector<Value>& args) {
  const Product p = ProductOf(b, n.attr, args[0], args[1]);
  if (p.la.empty()) return ScalarTimes(b, p.a, p.b, p.lb, p.lo, n.type.shape);
  if (p.lb.empty()) return ScalarTimes(b, p.b, p.a, p.la, p.lo, n.type.shape);
  const std::int64_t out = Count(n.type.shape);
  for (const bool left : {true, false}) {
    const Value operand = left ? p.a : p.b;
    const Node o = b.node(operand);
    if (out > Count(o.type.shape)) continue;
    const auto with = [&](Value v) {
      Product q = p;
      (left ? q.a : q.b) = v;
      return Make(b, q);
    };
    if (o.op == Op::kNeg) return b.Neg(with(o.args[0]));
    if (o.op != Op::kMul) continue;
    for (const std::size_t k : {0, 1}) {
      if (const auto scalar = Repeated(b, o.args[k])) return b.Mul(b.Fill(*scalar, n.type.shape), with(o.args[1 - k]));
    }
  }
  if (auto quadratic = Quadratic(b, p)) return quadratic;
  return Ordered(b, p);
}

}  // namespace amo::compiler
