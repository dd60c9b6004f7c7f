// SPDX-License-Identifier: Apache-2.0
// Operations on terms: loop axes are aligned, scalars meet arrays, indexing becomes views where it can.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "compiler/check.h"
#include "compiler/scope.h"

namespace amo::compiler {
namespace {

using Axes = std::vector<std::int64_t>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }
std::int64_t I(std::size_t i) { return static_cast<std::int64_t>(i); }

std::vector<int> Union(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> u;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(u));
  return u;
}

}  // namespace

Shape Scope::Own(const Term& t) const {
  const Shape& s = b.shape(t.value);
  return {s.begin() + I(t.axes.size()), s.end()};
}

Term Scope::Real(Term t) {
  if (Type(t) == Elem::kReal) return t;
  const bool row = t.row;
  t = {b.ToReal(t.value), t.axes, row, -1, 0};
  return t;
}

Term Scope::Widen(const Term& t, const std::vector<int>& axes, const Shape& own) {
  Axes map;
  Shape shape;
  for (int a : axes) {
    const auto at = std::find(t.axes.begin(), t.axes.end(), a);
    map.push_back(at == t.axes.end() ? -1 : at - t.axes.begin());
    shape.push_back(Extent(a));
  }
  const Shape mine = Own(t);
  const bool scalar = mine.empty();
  AMO_CHECK(scalar || mine == own);
  for (std::size_t d = 0; d < own.size(); ++d) {
    map.push_back(scalar ? -1 : I(t.axes.size() + d));
    shape.push_back(own[d]);
  }
  return {b.Broadcast(t.value, map, shape), axes, t.row, -1, 0};
}

Term Scope::Unary(Op op, const Term& x) { return {b.Unary(op, x.value), x.axes, x.row, -1, 0}; }

Term Scope::Binary(Op op, const Term& x0, const Term& y0, lang::Span at, const std::string& text) {
  Term x = x0, y = y0;
  const bool real =
      Type(x) == Elem::kReal || Type(y) == Elem::kReal || op == Op::kDiv || op == Op::kPow || op == Op::kAtan2;
  const bool arithmetic = ClassOf(op) == OpClass::kBinary;
  const auto number = [&](Term t) -> Term {
    if (real) return Real(t);
    if (arithmetic && Type(t) == Elem::kBool) return {b.Unary(Op::kToInt, t.value), t.axes, t.row, -1, 0};
    return t;
  };
  if (ClassOf(op) != OpClass::kLogic) x = number(x), y = number(y);
  if (Type(x) != Type(y)) {  // a comparison of a bool and an int
    x = Real(x), y = Real(y);
  }
  const Shape p = Own(x), q = Own(y);
  if (!p.empty() && !q.empty() && p != q) {
    Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("operands of `{}` have shapes `[{}]` and `[{}]`", text, fmt::join(p, ", "), fmt::join(q, ", ")));
  }
  const std::vector<int> axes = Union(x.axes, y.axes);
  const Shape own = p.empty() ? q : p;
  const Term l = Widen(x, axes, own), r = Widen(y, axes, own);
  Term out{b.Binary(op, l.value, r.value), axes, p.empty() ? y0.row : x0.row, -1, 0};
  // i + c and i - c stay an index, so that y[i + 1] is a slice.
  const auto shift = [&](const Term& i, const Term& c, double sign) {
    const Node& n = b.node(c.value);
    if (i.index_axis >= 0 && n.op == Op::kNumber && Type(out) == Elem::kInt) {
      out.index_axis = i.index_axis;
      out.index_offset = i.index_offset + static_cast<std::int64_t>(sign * n.number);
    }
  };
  if (op == Op::kAdd) shift(x0, y0, 1), shift(y0, x0, 1);
  if (op == Op::kSub) shift(x0, y0, -1);
  return out;
}

Term Scope::Select(const Term& c, const Term& x0, const Term& y0, lang::Span at) {
  Term x = x0, y = y0;
  if (Type(x) != Type(y)) x = Real(x), y = Real(y);
  const Shape p = Own(x), q = Own(y);
  if (!p.empty() && !q.empty() && p != q) {
    Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("the sides of `if` have shapes `[{}]` and `[{}]`", fmt::join(p, ", "), fmt::join(q, ", ")));
  }
  if (!Own(c).empty()) Refuse(lang::Code::kNotScalar, at, "the condition of `if` is not a single truth value");
  const std::vector<int> axes = Union(c.axes, Union(x.axes, y.axes));
  const Shape own = p.empty() ? q : p;
  return {b.Select(Widen(c, axes, own).value, Widen(x, axes, own).value, Widen(y, axes, own).value), axes, x.row, -1,
          0};
}

Term Scope::Contract(const Term& x0, const Term& y0, const Axes& lx, const Axes& ly, const Axes& lo) {
  const Term x = Real(x0), y = Real(y0);
  const auto labels = [](const std::vector<int>& axes, const Axes& own) {
    Axes all;
    for (int a : axes) all.push_back(a);
    for (std::int64_t l : own) all.push_back(-1 - l);
    return all;
  };
  const std::vector<int> axes = Union(x.axes, y.axes);
  return {b.Dot(x.value, y.value, labels(x.axes, lx), labels(y.axes, ly), labels(axes, lo)), axes, false, -1, 0};
}

Term Scope::Multiply(const Term& x, const Term& y, lang::Span at) {
  const Shape p = Own(x), q = Own(y);
  if (p.empty() || q.empty()) return Binary(Op::kMul, x, y, at, "*");
  const auto mismatch = [&](std::int64_t l, std::int64_t r) {
    if (l == r) return;
    Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("operands of `*` have shapes `[{}]` and `[{}]`", fmt::join(p, ", "), fmt::join(q, ", ")));
  };
  if (x.row && !y.row) {  // row times vector or matrix
    mismatch(p[0], q[0]);
    if (q.size() == 1) return Contract(x, y, {0}, {0}, {});
    Term r = Contract(x, y, {0}, {0, 1}, {1});
    r.row = true;
    return r;
  }
  if (p.size() == 2 && q.size() == 1 && !y.row) {
    mismatch(p[1], q[0]);
    return Contract(x, y, {0, 1}, {1}, {0});
  }
  if (p.size() == 2 && q.size() == 2) {
    mismatch(p[1], q[0]);
    return Contract(x, y, {0, 1}, {1, 2}, {0, 2});
  }
  if (p.size() == 1 && q.size() == 1) {
    Refuse(lang::Code::kProductOfVectors, at, "`*` of two vectors is ambiguous",
           "write `dot(a, b)` for the inner product or `a .* b` for the product entry by entry");
  }
  Refuse(lang::Code::kShapeMismatch, at,
         fmt::format("operands of `*` have shapes `[{}]` and `[{}]`", fmt::join(p, ", "), fmt::join(q, ", ")));
}

Term Scope::Transposed(const Term& x, lang::Span at) {
  const Shape own = Own(x);
  Term r = x;
  r.index_axis = -1;
  if (own.empty()) return r;
  if (own.size() == 1) {
    r.row = !x.row;
    return r;
  }
  if (own.size() > 2) Refuse(lang::Code::kTypeMismatch, at, "`'` transposes vectors and matrices");
  return Spread(x, {1, 0}, {own[1], own[0]});
}

Term Scope::Spread(const Term& x, Axes map, Shape own) {
  Axes all(x.axes.size());
  std::iota(all.begin(), all.end(), 0);
  for (std::int64_t m : map) all.push_back(m < 0 ? -1 : m + I(x.axes.size()));
  Shape shape;
  for (int a : x.axes) shape.push_back(Extent(a));
  shape.insert(shape.end(), own.begin(), own.end());
  return {b.Broadcast(x.value, all, shape), x.axes, false, -1, 0};
}

Term Scope::Reshaped(const Term& x, Shape own) {
  Shape shape;
  for (int a : x.axes) shape.push_back(Extent(a));
  shape.insert(shape.end(), own.begin(), own.end());
  return {b.Reshape(x.value, shape), x.axes, false, -1, 0};
}

Term Scope::Flat(const Term& x) { return Reshaped(x, {Count(Own(x))}); }

Term Scope::ReduceOwn(Op op, const Term& x, Axes own_axes) {
  for (std::int64_t& a : own_axes) a += I(x.axes.size());
  Term t = x;
  if (Type(t) == Elem::kBool && (op == Op::kReduceSum || op == Op::kReduceProd)) t = Real(t);
  return {b.Reduce(op, t.value, own_axes), t.axes, false, -1, 0};
}

Term Scope::ReduceAll(Op op, const Term& x) {
  Axes all(Own(x).size());
  std::iota(all.begin(), all.end(), 0);
  return ReduceOwn(op, x, all);
}

// log sum exp, shifted by the maximum, which is a constant for derivatives: the shift cancels.
Term Scope::LogSumExp(const Term& x0, Axes own_axes) {
  const Term x = Real(x0);
  const Term top = Unary(Op::kStop, ReduceOwn(Op::kReduceMax, x, own_axes));
  // A maximum of -inf (or inf) is not subtracted: -inf - -inf is no number.
  const Term finite = Binary(Op::kLt, Unary(Op::kAbs, top), Widen(Number(1e308), top.axes, Own(top)), {}, "<");
  const Term shift{b.Select(finite.value, top.value, b.Filled(0, b.shape(top.value))), top.axes, false, -1, 0};
  Axes map;
  std::int64_t k = 0;
  for (std::size_t d = 0; d < Own(x).size(); ++d) {
    map.push_back(std::count(own_axes.begin(), own_axes.end(), I(d)) ? -1 : k++);
  }
  const Term shifted = Sub(x, Spread(shift, map, Own(x)));
  return Add(shift, Unary(Op::kLog, ReduceOwn(Op::kReduceSum, Unary(Op::kExp, shifted), own_axes)));
}

Term Scope::LogSoftmax(const Term& x) {
  Axes map(Own(x).size());
  std::iota(map.begin(), map.end(), 0);
  map.back() = -1;
  return Sub(x, Spread(LogSumExp(x, {I(Own(x).size()) - 1}), map, Own(x)));
}

Term Scope::XLogX(const Term& x, lang::Span at) {
  const Term positive = Binary(Op::kLt, Number(0), x, at, "<");
  const auto pick = [&](const Term& yes, double no) {
    return Term{b.Select(positive.value, yes.value, b.Filled(no, Shape(b.shape(yes.value)))), yes.axes, false, -1, 0};
  };
  return pick(Mul(x, Unary(Op::kLog, pick(x, 1))), 0);
}

Term Scope::Identity(std::int64_t n) {
  const Value i = b.Iota(n);
  return Of(b.ToReal(b.Binary(Op::kEq, b.Broadcast(i, {0, -1}, {n, n}), b.Broadcast(i, {-1, 0}, {n, n}))));
}

std::vector<Term> Scope::Cut(const Term& flat, const std::vector<Shape>& shapes) {
  std::vector<Term> cut;
  std::int64_t at = 0;
  for (const Shape& shape : shapes) {
    std::vector<std::int64_t> starts(flat.axes.size() + 1);
    Shape part = b.shape(flat.value);
    starts.back() = at;
    part.back() = Count(shape);
    cut.push_back(Reshaped({b.Slice(flat.value, starts, part), flat.axes, false, -1, 0}, shape));
    at += Count(shape);
  }
  return cut;
}

Term Scope::Concat(std::vector<Term> parts, std::int64_t axis, lang::Span at) {
  std::vector<int> axes;
  bool real = false;
  for (const Term& p : parts) axes = Union(axes, p.axes), real = real || Type(p) == Elem::kReal;
  std::vector<Value> values;
  for (Term& p : parts) {
    Shape own = Own(p), first = Own(parts[0]);
    own[Z(axis)] = first[Z(axis)] = 0;
    if (own != first)
      Refuse(lang::Code::kShapeMismatch, at,
             fmt::format("the parts have shapes `[{}]` and `[{}]`", fmt::join(Own(parts[0]), ", "),
                         fmt::join(Own(p), ", ")));
    values.push_back(Widen(real ? Real(p) : p, axes, Own(p)).value);
  }
  return {b.Concat(values, axis + I(axes.size())), axes, false, -1, 0};
}

// x[.., index, ..] at own axis `dim`, by one gather: [common loops, dim, own loops, rest] at [common loops, index's
// loops].
Term Scope::GatherOne(const Term& x, std::size_t dim, const Term& index) {
  std::vector<int> common, mine, theirs;
  std::set_intersection(x.axes.begin(), x.axes.end(), index.axes.begin(), index.axes.end(), std::back_inserter(common));
  std::set_difference(x.axes.begin(), x.axes.end(), common.begin(), common.end(), std::back_inserter(mine));
  std::set_difference(index.axes.begin(), index.axes.end(), common.begin(), common.end(), std::back_inserter(theirs));
  const auto place = [](const std::vector<int>& axes, int a) {
    return std::find(axes.begin(), axes.end(), a) - axes.begin();
  };
  Axes order, index_order;
  for (int a : common) order.push_back(place(x.axes, a)), index_order.push_back(place(index.axes, a));
  order.push_back(I(x.axes.size() + dim));
  for (int a : mine) order.push_back(place(x.axes, a));
  for (std::size_t d = 0; d < Own(x).size(); ++d) if (d != dim) order.push_back(I(x.axes.size() + d));
  for (int a : theirs) index_order.push_back(place(index.axes, a));
  for (std::size_t d = 0; d < Own(index).size(); ++d) index_order.push_back(I(index.axes.size() + d));
  const Value got = b.Gather(b.Transpose(x.value, order), b.Transpose(index.value, index_order), I(common.size()));
  // got: [common, theirs, own axes of the index, mine, rest] → [union ascending, index's own axes at `dim` among the
  // rest].
  std::vector<int> now = common;
  now.insert(now.end(), theirs.begin(), theirs.end());
  const std::size_t index_own = Own(index).size(), at = now.size();
  Axes back;
  const std::vector<int> axes = Union(x.axes, index.axes);
  for (int a : axes) {
    const auto here = place(now, a);
    back.push_back(here < I(now.size()) ? here : I(at + index_own) + place(mine, a));
  }
  const std::size_t rest = at + index_own + mine.size();
  for (std::size_t d = 0; d < Own(x).size(); ++d) {
    if (d == dim) for (std::size_t k = 0; k < index_own; ++k) back.push_back(I(at + k));
    else back.push_back(I(rest + (d < dim ? d : d - 1)));
  }
  return {b.Transpose(got, back), axes, false, -1, 0};
}

Term Scope::Index(const Term& x0, const std::vector<lang::IndexItem>& items, lang::Span at) {
  Term x = x0;
  x.row = false;
  x.index_axis = -1;
  if (items.size() > Own(x).size()) {
    Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("{} indices for an array of {} axes", items.size(), Own(x).size()));
  }
  std::size_t dim = 0;
  for (const lang::IndexItem& item : items) {
    const Shape own = Own(x);
    const std::size_t lead = x.axes.size();
    const auto window = [&](std::int64_t from, std::int64_t count) {
      Axes starts(b.shape(x.value).size());
      Shape shape = b.shape(x.value);
      starts[lead + dim] = from;
      shape[lead + dim] = count;
      return b.Slice(x.value, starts, shape);
    };
    if (item.kind == lang::IndexItem::Kind::kAll) {
      ++dim;
      continue;
    }
    if (item.kind == lang::IndexItem::Kind::kRange) {
      const double lo = item.lo ? Constant(*item.lo, "the start of a slice") : 0;
      const double hi = item.hi ? Constant(*item.hi, "the end of a slice") : static_cast<double>(own[dim]);
      if (lo < 0 || hi > static_cast<double>(own[dim]) || lo > hi) {
        Refuse(lang::Code::kDomain, item.span,
               fmt::format("the slice {}..{} leaves the axis of {} entries", lo, hi, own[dim]));
      }
      x.value = window(static_cast<std::int64_t>(lo), static_cast<std::int64_t>(hi - lo));
      ++dim;
      continue;
    }
    const Term i = Eval(*item.at);
    if (Type(i) != Elem::kInt) Refuse(lang::Code::kTypeMismatch, item.span, "an index is not an int");
    const Node& n = b.node(i.value);
    if (n.op == Op::kNumber) {  // a fixed entry: a slice without its axis
      if (n.number < 0 || n.number >= static_cast<double>(own[dim])) {
        Refuse(lang::Code::kDomain, item.span,
               fmt::format("the index {} leaves the axis of {} entries", n.number, own[dim]));
      }
      x.value = window(static_cast<std::int64_t>(n.number), 1);
      Shape rest = own;
      rest.erase(rest.begin() + I(dim));
      x = Reshaped(x, rest);
      continue;
    }
    const bool view = i.index_axis >= 0 && !std::count(x.axes.begin(), x.axes.end(), i.index_axis) &&
                      i.index_offset >= 0 && i.index_offset + Extent(i.index_axis) <= own[dim];
    if (view) {  // the axis becomes the loop's
      x.value = window(i.index_offset, Extent(i.index_axis));
      const std::vector<int> axes = Union(x.axes, {i.index_axis});
      Axes order;
      for (int a : axes) {
        order.push_back(a == i.index_axis ? I(lead + dim)
                                          : std::find(x.axes.begin(), x.axes.end(), a) - x.axes.begin());
      }
      for (std::size_t d = 0; d < own.size(); ++d) if (d != dim) order.push_back(I(lead + d));
      x = {b.Transpose(x.value, order), axes, false, -1, 0};
      continue;
    }
    const std::size_t own_axes = Own(i).size();
    x = GatherOne(x, dim, i);
    dim += own_axes;
  }
  return x;
}

}  // namespace amo::compiler
