// SPDX-License-Identifier: Apache-2.0
// uniform(SET): draws that are spread evenly over a set.
#include <fmt/format.h>

#include "compiler/build_parts.h"

namespace amo::compiler {
namespace {

using Base = Draw::Base;

// The sum over the last axis, repeated along it.
Term OverLast(Scope& s, const Term& t) {
  const auto rank = static_cast<std::int64_t>(s.Own(t).size());
  std::vector<std::int64_t> map;
  for (std::int64_t d = 0; d + 1 < rank; ++d) map.push_back(d);
  map.push_back(-1);
  return s.Spread(s.ReduceOwn(Op::kReduceSum, t, {rank - 1}), map, s.Own(t));
}

// The first entry of each vector, repeated along it: one draw for all of them.
Term OneForEach(Scope& s, const Term& t, const Shape& shape) {
  std::vector<std::int64_t> starts(t.axes.size() + shape.size(), 0), map;
  Shape first = s.b.shape(t.value), lead(shape.begin(), shape.end() - 1);
  first.back() = 1;
  const Term one = s.Reshaped(Term{s.b.Slice(t.value, starts, first), t.axes, false, -1, 0}, lead);
  for (std::size_t d = 0; d + 1 < shape.size(); ++d) map.push_back(static_cast<std::int64_t>(d));
  map.push_back(-1);
  return s.Spread(one, map, shape);
}

Term Direction(Scope& s, const Term& normal) {
  return s.Div(normal, s.Unary(Op::kSqrt, OverLast(s, s.Mul(normal, normal))));
}

// [.., n] of ints below n → [.., n, n]: a one where an index says.
Term OneHot(Scope& s, const Term& index, std::int64_t n) {
  Shape own = s.Own(index);
  std::vector<std::int64_t> along, across(own.size(), -1);
  for (std::size_t d = 0; d < own.size(); ++d) along.push_back(static_cast<std::int64_t>(d));
  along.push_back(-1), across.push_back(0);
  own.push_back(n);
  const Term places = s.Of(s.b.Broadcast(s.b.Iota(n), across, own));
  return s.Real(s.Binary(Op::kEq, s.Spread(index, along, own), places, {}, "=="));
}

}  // namespace

std::optional<Term> UniformIn(Scope& s, const lang::Expr& set, const Shape& shape, const std::vector<int>& axes,
                              const std::function<Term(Draw::Base, const std::string&)>& base) {
  const auto* call = std::get_if<lang::Call>(&set.node);
  const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &set.node);
  if (!word) return std::nullopt;
  const std::string& name = word->name.text;
  const auto takes = [&](const char* text, std::size_t args, std::size_t rank) {
    return name == text && (call ? call->args.size() : 0) == args && shape.size() >= rank;
  };
  const auto arg = [&](std::size_t k) { return s.Real(s.Eval(*call->args[k].value)); };
  const auto in_unit = [&](const Term& u) { return s.Sub(s.Mul(s.Number(2), u), s.Number(1)); };  // -1 to 1
  if (takes("sphere", 0, 1)) return Direction(s, base(Base::kNormal, ""));
  if (takes("ball", 1, 1)) {  // a direction, and a radius whose n-th power is uniform
    const Term radius = s.Binary(Op::kPow, OneForEach(s, base(Base::kUniform, "/radius"), shape),
                                 s.Number(1 / static_cast<double>(shape.back())), set.span, "^");
    return s.Mul(s.Mul(arg(0), radius), Direction(s, base(Base::kNormal, "")));
  }
  if (takes("ball1", 1, 1)) {  // all but the last entry of a point of a simplex, with signs
    const Term g = base(Base::kExponential, ""), rest = OneForEach(s, base(Base::kExponential, "/rest"), shape);
    const Term sign = s.Unary(Op::kSign, in_unit(base(Base::kUniform, "/sign")));
    return s.Mul(s.Mul(arg(0), sign), s.Div(g, s.Add(OverLast(s, g), rest)));
  }
  if (takes("ballinf", 1, 0)) return s.Mul(arg(0), in_unit(base(Base::kUniform, "")));
  if (takes("box", 2, 0)) {
    const Term lo = arg(0);
    return s.Add(lo, s.Mul(s.Sub(arg(1), lo), base(Base::kUniform, "")));
  }
  if (takes("simplex", 0, 1)) {
    const Term g = base(Base::kExponential, "");
    return s.Div(g, OverLast(s, g));
  }
  if (takes("integers", 2, 0)) {  // both ends are drawn
    const Term lo = s.Eval(*call->args[0].value), hi = s.Eval(*call->args[1].value);
    const Term places = s.Mul(s.Real(s.Add(s.Sub(hi, lo), s.Number(1, Elem::kInt))), base(Base::kUniform, ""));
    const Term whole = s.Unary(Op::kToInt, s.Unary(Op::kFloor, s.Add(s.Real(lo), places)));
    return s.Binary(Op::kMin, whole, hi, set.span, "min");
  }
  if (takes("binary", 0, 0)) return s.Real(s.Binary(Op::kLt, base(Base::kUniform, ""), s.Number(0.5), set.span, "<"));
  if (takes("one_of", 0, 1)) {
    const Term u = base(Base::kUniform, "");
    return OneHot(s, {s.b.Arg(Op::kArgMax, u.value), axes, false, -1, 0}, shape.back());
  }
  if (takes("permutation", 0, 2)) {  // the places of one row of draws, in their order
    const Term u = base(Base::kUniform, "");
    std::vector<std::int64_t> starts(axes.size() + shape.size(), 0);
    Shape row = s.b.shape(u.value), lead(shape.begin(), shape.end() - 1);
    row[row.size() - 2] = 1;
    const Term first = s.Reshaped(Term{s.b.Slice(u.value, starts, row), axes, false, -1, 0}, lead);
    return OneHot(s, {s.b.Along(Op::kArgSort, first.value), axes, false, -1, 0}, shape.back());
  }
  // The nearest orthonormal columns turn with what is projected, and so does a normal matrix.
  if (takes("stiefel", 0, 2)) return s.Project(set, base(Base::kNormal, ""));
  return std::nullopt;
}

}  // namespace amo::compiler
