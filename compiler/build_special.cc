// SPDX-License-Identifier: Apache-2.0
// Functions of the library that are longer formulas: the logarithm of the gamma function, determinants.
#include <cmath>
#include <numbers>

#include "compiler/scope.h"

namespace amo::compiler {

// Stirling's series (Abramowitz, Stegun 6.1.41) where its argument is at least 8, which the recurrence makes it; the
// reflection formula below 0.
Term Scope::LogGamma(const Term& x, lang::Span at) {
  constexpr double kSeries[] = {1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188, -691.0 / 360360};
  const Term below = Binary(Op::kLe, x, Number(0), at, "<=");
  const Term p = Select(below, Sub(Number(1), x), x, at);
  const Term large = Binary(Op::kLe, Number(8), p, at, "<=");
  const Term z = Select(large, p, Add(p, Number(8)), at);
  Term product = Number(1);
  for (int k = 0; k < 8; ++k) product = Mul(product, Add(Binary(Op::kMin, p, Number(8), at, "min"), Number(k)));
  const Term inverse = Div(Number(1), z), square = Mul(inverse, inverse);
  Term series = Number(0), power = inverse;
  for (const double c : kSeries) {
    series = Add(series, Mul(Number(c), power));
    power = Mul(power, square);
  }
  const Term stirling = Add(Sub(Mul(Sub(z, Number(0.5)), Unary(Op::kLog, z)), z),
                            Add(Number(0.5 * std::log(2 * std::numbers::pi)), series));
  const Term shifted = Sub(stirling, Unary(Op::kLog, Select(large, Number(1), product, at)));
  const Term wave = Select(below, Unary(Op::kSin, Mul(Number(std::numbers::pi), x)), Number(1), at);
  const Term reflected = Sub(Sub(Number(std::log(std::numbers::pi)), Unary(Op::kLog, Unary(Op::kAbs, wave))), shifted);
  const Term pole = Binary(Op::kAnd, below, Binary(Op::kEq, x, Unary(Op::kFloor, x), at, "=="), at, "and");
  return Select(pole, Number(INFINITY), Select(below, reflected, shifted, at), at);
}

// Gaussian elimination. A column's pivot is its largest entry; the row that holds it changes places with the column's
// own, and what is left below loses its multiples. An eliminated row is kept, so that a step has one shape.
Term Scope::Determinant(const Term& a, lang::Span at) {
  const std::int64_t n = Own(a)[0];
  const Term rows = Of(b.Iota(n, 0));
  Term product = Number(1), rest = a;
  for (std::int64_t k = 0; k < n; ++k) {  // unrolled: determinants are of small matrices
    const Term here = Number(static_cast<double>(k), Elem::kInt);
    const auto where = [&](Op op, const Term& x, const Term& y) { return Real(Binary(op, x, y, at, "comparison")); };
    const Term column = ColumnOf(rest, k), open = where(Op::kLe, here, rows);
    const Term sizes = Sub(Mul(open, Add(Unary(Op::kAbs, Unary(Op::kStop, column)), Number(1))), Number(1));
    const Term pivot{b.Arg(Op::kArgMax, Widen(sizes, a.axes, {n}).value), a.axes, false, -1, 0};
    const Term largest = GatherOne(column, 0, pivot), first = RowOf(rest, k), chosen = GatherOne(rest, 0, pivot);
    const Term moved = Binary(Op::kNe, pivot, here, at, "!=");
    product = Mul(product, Select(moved, Unary(Op::kNeg, largest), largest, at));
    const Term places = Sub(where(Op::kEq, rows, here), where(Op::kEq, rows, Spread(pivot, {-1}, {n})));
    rest = Add(rest, Contract(places, Sub(chosen, first), {0}, {1}, {0, 1}));  // the two rows change places
    const Term divisor = Select(Binary(Op::kEq, largest, Number(0), at, "=="), Number(1), largest, at);
    const Term factor = Div(Mul(where(Op::kLt, here, rows), ColumnOf(rest, k)), Spread(divisor, {-1}, {n}));
    rest = Sub(rest, Contract(factor, chosen, {0}, {1}, {0, 1}));
  }
  return product;
}

Term Scope::ColumnOf(const Term& a, std::int64_t k) {
  std::vector<std::int64_t> starts(a.axes.size() + 2);
  Shape part = b.shape(a.value);
  starts.back() = k, part.back() = 1;
  return Reshaped({b.Slice(a.value, starts, part), a.axes, false, -1, 0}, {Own(a)[0]});
}

Term Scope::RowOf(const Term& a, std::int64_t k) {
  std::vector<std::int64_t> starts(a.axes.size() + 2);
  Shape part = b.shape(a.value);
  starts[a.axes.size()] = k, part[a.axes.size()] = 1;
  return Reshaped({b.Slice(a.value, starts, part), a.axes, false, -1, 0}, {Own(a)[1]});
}

}  // namespace amo::compiler
