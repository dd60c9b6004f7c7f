// SPDX-License-Identifier: Apache-2.0
// Functions of matrices, and those that pick, stack and count: everything of the library that build_call.cc has no room
// for. The axes of open loops lead, as everywhere.
#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "compiler/scope.h"

namespace amo::compiler {
namespace {

using Axes = std::vector<std::int64_t>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }
std::int64_t I(std::size_t i) { return static_cast<std::int64_t>(i); }

}  // namespace

// The diagonal: with n zeros behind it, a matrix has its diagonal in the first column of n rows of n + 1 entries.
Term Scope::DiagonalOf(const Term& x) {
  const std::int64_t n = Own(x)[0];
  const Term flat = Flat(x);
  Shape shape = b.shape(flat.value);
  shape.back() = n * (n + 1);
  const Value longer = b.Pad(flat.value, Axes(shape.size()), shape);
  const Term rows = Reshaped({longer, x.axes, false, -1, 0}, {n, n + 1});
  shape = b.shape(rows.value);
  shape.back() = 1;
  return Reshaped({b.Slice(rows.value, Axes(shape.size()), shape), x.axes, false, -1, 0}, {n});
}

// One matrix for all iterations of a loop is factorized once: their right sides stand side by side.
Term Scope::LinearSolution(const Term& a, const Term& right) {
  const Shape own = Own(right);
  const std::int64_t n = own[0], columns = own.size() > 1 ? own[1] : 1;
  std::vector<int> all;
  std::set_union(a.axes.begin(), a.axes.end(), right.axes.begin(), right.axes.end(), std::back_inserter(all));
  const Term wide = Reshaped(Widen(right, all, own), {n, columns});
  Axes order, others, back(all.size() + 2);  // order: a's loops, n, the other loops, columns
  for (std::size_t d = 0; d < all.size(); ++d) {
    (std::count(a.axes.begin(), a.axes.end(), all[d]) ? order : others).push_back(I(d));
  }
  order.push_back(I(all.size()));
  order.insert(order.end(), others.begin(), others.end());
  order.push_back(I(all.size()) + 1);
  for (std::size_t k = 0; k < order.size(); ++k) back[Z(order[k])] = I(k);
  const Value beside = b.Transpose(wide.value, order);
  const Shape apart = b.shape(beside);
  const auto lead = apart.begin() + I(a.axes.size()) + 1;
  Shape together(apart.begin(), lead);
  together.push_back(Count({lead, apart.end()}));
  const Value x = b.Reshape(b.Solve(a.value, b.Reshape(beside, together)), apart);
  return Reshaped({b.Transpose(x, back), all, false, -1, 0}, own);
}

// Column by column: what is left of the matrix loses the product of each column with itself.
Term Scope::Cholesky(const Term& a) {
  const std::int64_t n = Own(a)[0];
  const Shape shape = b.shape(a.value);
  const std::size_t lead = shape.size() - 2;
  Builder inner("cholesky");
  const Value rest = inner.Input("rest", Role::kInstance, {Elem::kReal, shape});
  const Value t = inner.Input("t", Role::kInstance, {Elem::kInt, {}});
  const Shape outer(shape.begin(), shape.end() - 2), column(shape.begin(), shape.end() - 1);
  Axes turn(shape.size()), down(column.size(), -1), along(column.size());
  std::iota(turn.begin(), turn.end(), 0);
  std::iota(along.begin(), along.end(), 0);
  std::swap(turn[lead], turn[lead + 1]);
  down.back() = 0, along.back() = -1;
  const Value which = inner.Fill(t, outer);
  const Value left = inner.Gather(inner.Transpose(rest, turn), which, I(lead));
  const Value pivot = inner.Unary(Op::kSqrt, inner.Gather(left, which, I(lead)));
  const Value below = inner.Binary(Op::kLe, inner.Fill(t, column), inner.Broadcast(inner.Iota(n), down, column));
  const Value scaled = inner.Div(left, inner.Broadcast(pivot, along, column));
  const Value found = inner.Select(below, scaled, inner.Filled(0, column));
  Axes labels(lead), la, lb, lo;
  std::iota(labels.begin(), labels.end(), 0);
  la = lb = lo = labels;
  la.push_back(100), lb.push_back(101), lo.push_back(100), lo.push_back(101);
  inner.Output("rest", inner.Sub(rest, inner.Dot(found, found, la, lb, lo)));
  inner.Output("column", found);
  ScanForm form;
  form.steps = n, form.carries = 1, form.ys = 1, form.index = true;
  const Value scan = b.Scan(form, std::make_shared<const Function>(inner.Finish()), {a.value});
  const Node node = b.node(scan);
  Axes order;
  for (std::size_t d = 0; d <= lead; ++d) order.push_back(I(d) + 1);
  order.push_back(0);
  return {b.Transpose(b.ScanPart(node, scan, 1), order), a.axes, false, -1, 0};
}

// Between the two sorted entries around the level, which runs from the first to the last.
Term Scope::Quantile(const Term& v, const Term& level, lang::Span at) {
  const std::int64_t n = Own(v)[0];
  const Term sorted{b.Along(Op::kSort, v.value), v.axes, false, -1, 0}, end = Number(static_cast<double>(n - 1));
  const Term place = Binary(Op::kMin, Binary(Op::kMax, Mul(level, end), Number(0), at, "max"), end, at, "min");
  const Term low = Unary(Op::kFloor, place);
  const Term high = Binary(Op::kMin, Add(low, Number(1)), end, at, "min");
  const Term from = GatherOne(sorted, 0, Unary(Op::kToInt, low)), to = GatherOne(sorted, 0, Unary(Op::kToInt, high));
  return Add(from, Mul(Sub(place, low), Sub(to, from)));
}

// The sum of the logarithms of the probabilities of x: one vector of them, or one for each entry of x.
Term Scope::CategoricalLogpdf(const Term& x, const Term& logs, lang::Span at) {
  const Shape own = Own(logs);
  if (own.size() == 1) return ReduceAll(Op::kReduceSum, GatherOne(logs, 0, x));
  Axes along, across(own.size(), -1);
  for (std::size_t d = 0; d + 1 < own.size(); ++d) along.push_back(I(d));
  along.push_back(-1), across.back() = 0;
  const Term here = Binary(Op::kEq, Spread(x, along, own), Of(b.Broadcast(b.Iota(own.back()), across, own)), at, "==");
  std::vector<int> axes;
  std::set_union(here.axes.begin(), here.axes.end(), logs.axes.begin(), logs.axes.end(), std::back_inserter(axes));
  const Value picked =
      b.Select(Widen(here, axes, own).value, Widen(logs, axes, own).value, Widen(Number(0), axes, own).value);
  return ReduceAll(Op::kReduceSum, {picked, axes, false, -1, 0});
}

std::optional<Term> Scope::MatrixBuiltin(const std::string& name, const lang::Call& call, const lang::Expr& e) {
  const std::size_t n = call.args.size();
  std::vector<Term> a;
  const auto is = [&](const char* text, std::size_t count) {
    if (name != text) return false;
    if (n != count)
      Refuse(lang::Code::kArgumentCount, e.span,
             fmt::format("`{}` takes {} argument{}, {} given", name, count, count == 1 ? "" : "s", n));
    for (const lang::Argument& arg : call.args) a.push_back(Eval(*arg.value));
    for (Term& t : a) t.row = false;
    b.At(e.span);
    return true;
  };
  const auto square = [&](const Term& t) {
    const Shape own = Own(t);
    if (own.size() != 2 || own[0] != own[1])
      Refuse(lang::Code::kShapeMismatch, e.span,
             fmt::format("`{}` takes a square matrix, its shape is `[{}]`", name, fmt::join(own, ", ")));
    return Real(t);
  };
  const auto eigen = [&](const Term& t) { return Term{b.Eigen(square(t).value), t.axes, false, -1, 0}; };
  if (is("linsolve", 2)) {
    const Term m = square(a[0]);
    const Shape own = Own(a[1]);
    if (own.empty() || own.size() > 2 || own[0] != Own(m)[0])
      Refuse(lang::Code::kShapeMismatch, e.span,
             fmt::format("`linsolve` of shapes `[{}]` and `[{}]`", fmt::join(Own(m), ", "), fmt::join(own, ", ")));
    return LinearSolution(m, Real(a[1]));
  }
  if (is("inverse", 1)) {
    const Term m = square(a[0]);
    return LinearSolution(m, Identity(Own(m)[0]));
  }
  if (is("eigvals", 1)) return Eigenvalues(eigen(a[0]));
  if (is("logdet", 1)) return ReduceAll(Op::kReduceSum, Unary(Op::kLog, Eigenvalues(eigen(a[0]))));
  if (is("cholesky", 1)) return Cholesky(square(a[0]));
  if (is("det", 1)) return Determinant(square(a[0]), e.span);
  if (is("trace", 1)) return ReduceAll(Op::kReduceSum, DiagonalOf(square(a[0])));
  if (is("diag", 1)) {
    const Shape own = Own(a[0]);
    if (own.size() == 1) return Mul(Spread(a[0], {0, -1}, {own[0], own[0]}), Identity(own[0]));
    square(a[0]);
    return DiagonalOf(a[0]);
  }
  if (name == "spectral" && n == 2) {
    const auto* f = std::get_if<lang::Name>(&call.args[0].value->node);
    if (!f) Unsupported(call.args[0].value->span, "`spectral` of a function that is no name");
    Term m = Eval(*call.args[1].value);
    m.row = false;
    b.At(e.span);
    return Spectral(*f, square(m), e);
  }
  if (name == "block" && n == 1) {
    const auto* rows = std::get_if<lang::Array>(&call.args[0].value->node);
    std::vector<Term> all;
    for (std::size_t r = 0; rows && r < rows->items.size(); ++r) {
      const auto* row = std::get_if<lang::Array>(&rows->items[r]->node);
      std::vector<Term> parts;
      for (std::size_t c = 0; row && c < row->items.size(); ++c) {
        parts.push_back(Eval(*row->items[c]));
        if (Own(parts.back()).size() != 2)
          Refuse(lang::Code::kShapeMismatch, row->items[c]->span, "`block` takes matrices");
      }
      if (!parts.empty()) all.push_back(Concat(std::move(parts), 1, e.span));
    }
    if (all.empty()) Refuse(lang::Code::kTypeMismatch, e.span, "`block` takes rows of matrices, written out");
    return Concat(std::move(all), 0, e.span);
  }
  if (name == "stack" && n >= 1) {
    for (const lang::Argument& arg : call.args) {
      const Term t = Eval(*arg.value);
      Shape own = Own(t);
      own.insert(own.begin(), 1);
      a.push_back(Reshaped(t, own));
    }
    return Concat(std::move(a), 0, e.span);
  }
  if (name == "one_hot" && n == 2) {
    const Term i = Eval(*call.args[0].value);
    Shape own = Own(i);
    Axes along(own.size()), across(own.size(), -1);
    std::iota(along.begin(), along.end(), 0);
    along.push_back(-1), across.push_back(0);
    own.push_back(static_cast<std::int64_t>(Constant(*call.args[1].value, "a size")));
    const Term places = Of(b.Broadcast(b.Iota(own.back()), across, own));
    return Real(Binary(Op::kEq, Spread(i, along, own), places, e.span, "=="));
  }
  if (is("gather", 2)) {
    if (Own(a[0]).empty() || Type(a[1]) != Elem::kInt)
      Refuse(lang::Code::kTypeMismatch, e.span, "`gather` takes entries of an array at indices that are ints");
    return GatherOne(a[0], 0, a[1]);
  }
  if (is("quantile", 2)) {
    if (Own(a[0]).size() != 1 || Own(a[0])[0] < 1 || !Own(a[1]).empty())
      Refuse(lang::Code::kShapeMismatch, e.span, "`quantile` takes a vector with entries and a level");
    return Quantile(Real(a[0]), Real(a[1]), e.span);
  }
  if (name == "categorical_logpdf" && n == 2) {
    const Term x = Eval(*call.args[0].value);
    const lang::Expr* logits = Inside(*call.args[1].value, "softmax");
    const Term p = Real(Eval(logits ? *logits : *call.args[1].value));
    const Shape own = Own(p), of = Own(x);
    const bool each = own.size() == of.size() + 1 && std::equal(of.begin(), of.end(), own.begin());
    if (Type(x) != Elem::kInt || (own.size() != 1 && !each))
      Refuse(lang::Code::kShapeMismatch, e.span,
             fmt::format("the probabilities have shape `[{}]`, the categories `[{}]`", fmt::join(own, ", "),
                         fmt::join(of, ", ")));
    return CategoricalLogpdf(x, logits ? LogSoftmax(p) : Unary(Op::kLog, p), e.span);
  }
  if (name == "entropy" && n == 1) {
    const lang::Expr* logits = Inside(*call.args[0].value, "softmax");
    const Term p = Real(Eval(logits ? *logits : *call.args[0].value));
    if (logits) {
      const Term logs = LogSoftmax(p);
      return Unary(Op::kNeg, ReduceAll(Op::kReduceSum, Mul(Unary(Op::kExp, logs), logs)));
    }
    return Unary(Op::kNeg, ReduceAll(Op::kReduceSum, XLogX(p, e.span)));
  }
  return std::nullopt;
}

}  // namespace amo::compiler
