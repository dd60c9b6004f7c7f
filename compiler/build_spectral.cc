// SPDX-License-Identifier: Apache-2.0
// spectral(f, A): a function of one number applied to the eigenvalues of a symmetric matrix, with its exact derivative.
#include <algorithm>
#include <memory>
#include <utility>

#include "compiler/derive.h"
#include "compiler/scope.h"

namespace amo::compiler {
namespace {

using Axes = std::vector<std::int64_t>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

// What stands for an eigenvalue where the function of `spectral` is called: no name of a file has a space.
constexpr const char* kEigenvalue = "an eigenvalue";

// f(an eigenvalue)
lang::Call CallOf(const lang::Name& f, lang::Span at) {
  const auto named = [&](const lang::Ident& name) {
    auto e = std::make_unique<lang::Expr>();
    e->span = at;
    e->node = lang::Name{name};
    return e;
  };
  lang::Call call;
  call.callee = named(f.name);
  lang::Argument argument;
  argument.value = named({kEigenvalue, at});
  call.args.push_back(std::move(argument));
  return call;
}

}  // namespace

Term Scope::Eigenvalues(const Term& eigen) {
  const std::int64_t n = Own(eigen)[1];
  Shape shape = b.shape(eigen.value);
  shape[shape.size() - 2] = 1;
  return Reshaped({b.Slice(eigen.value, Axes(shape.size()), shape), eigen.axes, false, -1, 0}, {n});
}

Term Scope::Eigenvectors(const Term& eigen) {
  Shape shape = b.shape(eigen.value);
  Axes starts(shape.size());
  starts[shape.size() - 2] = 1;
  --shape[shape.size() - 2];
  return {b.Slice(eigen.value, starts, shape), eigen.axes, false, -1, 0};
}

// V f(l) V'. Its derivative is V (K ∘ (V' dA V)) V' with the divided differences K of f, which are f' where two
// eigenvalues are equal (Daleckii and Krein 1965): it is attached to the value by a term that is zero.
Term Scope::Spectral(const lang::Name& f, const Term& a, const lang::Expr& e) {
  const Term s = Mul(Number(0.5), Add(a, Transposed(a, e.span)));
  const Term eigen = Unary(Op::kStop, {b.Eigen(s.value), s.axes, false, -1, 0});
  const Term l = Eigenvalues(eigen), v = Eigenvectors(eigen);
  const std::int64_t n = Own(l)[0];
  // f of one eigenvalue, under a loop over them.
  const int id = next_loop_++;
  loops_[id] = n;
  open_.push_back(id);
  Term each = l;
  each.axes.push_back(id);
  frames.push_back({{{kEigenvalue, each}}, {}, false});
  Term value = Real(Call(CallOf(f, e.span), e));
  frames.pop_back();
  open_.pop_back();
  if (!Own(value).empty()) Refuse(lang::Code::kNotScalar, e.span, "`spectral` takes a function of one number");
  std::vector<int> all;
  std::set_union(value.axes.begin(), value.axes.end(), each.axes.begin(), each.axes.end(), std::back_inserter(all));
  value = Widen(value, all, {});
  // The slope at each eigenvalue: they are an input for the length of this, and all else is a constant.
  Function around = b.function();
  around.nodes[Z(l.value.index)].op = Op::kInput;
  around.nodes[Z(l.value.index)].args.clear();
  around.inputs = {{kEigenvalue, Role::kInstance, b.type(l.value), l.value}};
  around.outputs = {{"value", value.value}};
  std::vector<Value> same(around.nodes.size());
  for (std::size_t i = 0; i < same.size(); ++i) same[i] = {static_cast<std::int32_t>(i)};
  const std::vector<Value> slopes = Reverse(b, around, same, {b.Filled(1, Shape(b.shape(value.value)))}, {0});
  b.At(e.span);
  const auto closed = [&](Term t) {  // the eigenvalues' axis is an own one again
    t.axes.pop_back();
    return Unary(Op::kStop, t);
  };
  const Term y = closed(value);
  const Term slope =
      slopes[0].index < 0 ? Of(b.Filled(0, {n})) : Unary(Op::kStop, {slopes[0], l.axes, false, -1, 0});
  const Shape square{n, n};
  const auto rows = [&](const Term& t) { return Spread(t, {0, -1}, square); };
  const auto columns = [&](const Term& t) { return Spread(t, {-1, 0}, square); };
  const auto size = [&](const Term& t) { return Add(rows(Unary(Op::kAbs, t)), columns(Unary(Op::kAbs, t))); };
  // Near each other the mean of the slopes has lost less than the quotient: by third derivatives, not by rounding. Near
  // zero that shows in the values only.
  constexpr double kNear = 1e-5, kNearZero = 1e-6;
  const Term gap = Sub(columns(l), rows(l)), rise = Sub(columns(y), rows(y));
  const auto within = [&](const Term& x, const Term& bound) {
    return Binary(Op::kLe, Unary(Op::kAbs, x), bound, e.span, "<=");
  };
  const Term level = within(rise, Mul(Number(kNear), size(y)));
  const Term flat = Binary(Op::kAnd, within(gap, Number(kNearZero)), level, e.span, "and");
  const Term near = Binary(Op::kOr, within(gap, Mul(Number(kNear), size(l))), flat, e.span, "or");
  const Term mean = Mul(Number(0.5), Add(rows(slope), columns(slope)));
  const auto pick = [&](const Term& yes, const Term& no) {
    std::vector<int> axes;
    std::set_union(near.axes.begin(), near.axes.end(), no.axes.begin(), no.axes.end(), std::back_inserter(axes));
    const Value v = b.Select(Widen(near, axes, square).value, Widen(yes, axes, square).value,
                             Widen(no, axes, square).value);
    return Term{v, axes, false, -1, 0};
  };
  const Term k = pick(mean, Div(rise, pick(Number(1), gap)));
  const auto times = [&](const Term& p, const Term& q) { return Contract(p, q, {0, 1}, {1, 2}, {0, 2}); };
  const auto times_transpose = [&](const Term& p, const Term& q) { return Contract(p, q, {0, 1}, {2, 1}, {0, 2}); };
  const Term turned = Contract(v, times(Sub(s, Unary(Op::kStop, s)), v), {1, 0}, {1, 2}, {0, 2});
  const Term fixed = times_transpose(Mul(v, columns(y)), v);
  return Add(fixed, times_transpose(times(v, Mul(k, turned)), v));
}

}  // namespace amo::compiler
