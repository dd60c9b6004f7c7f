// SPDX-License-Identifier: Apache-2.0
// Derivatives of solve and eigen out of products and these two operations themselves.
#include "compiler/derive_matrix.h"

#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace amo::compiler {
namespace {

using Axes = std::vector<std::int64_t>;

// The axes of a stack of matrices, its last two as given.
Axes Stacked(const Builder& b, Value x, std::int64_t row, std::int64_t column) {
  Axes axes(b.shape(x).size());
  std::iota(axes.begin(), axes.end(), 0);
  axes[axes.size() - 2] = row, axes.back() = column;
  return axes;
}

Value Transposed(Builder& b, Value x) {
  const auto rank = static_cast<std::int64_t>(b.shape(x).size());
  return b.Transpose(x, Stacked(b, x, rank - 1, rank - 2));
}

// x y, x' y and x y' for stacks of matrices.
Value Times(Builder& b, Value x, Value y) {
  return b.Dot(x, y, Stacked(b, x, 100, 101), Stacked(b, y, 101, 102), Stacked(b, x, 100, 102));
}
Value TransposeTimes(Builder& b, Value x, Value y) {
  return b.Dot(x, y, Stacked(b, x, 101, 100), Stacked(b, y, 101, 102), Stacked(b, x, 100, 102));
}
Value TimesTranspose(Builder& b, Value x, Value y) {
  return b.Dot(x, y, Stacked(b, x, 100, 101), Stacked(b, y, 102, 101), Stacked(b, x, 100, 102));
}

// The eigenvalues [L.., n] and the eigenvectors [L.., n, n] of [L.., n + 1, n].
std::pair<Value, Value> Parts(Builder& b, Value y) {
  Shape shape = b.shape(y), flat(shape.begin(), shape.end() - 2);
  const std::size_t row = shape.size() - 2;
  flat.push_back(shape.back());
  Axes starts(shape.size());
  shape[row] = 1;
  const Value values = b.Reshape(b.Slice(y, starts, shape), flat);
  starts[row] = 1, shape[row] = shape.back();
  return {values, b.Slice(y, starts, shape)};
}

Value Joined(Builder& b, Value values, Value vectors) {
  Shape row = b.shape(vectors);
  row[row.size() - 2] = 1;
  return b.Concat({b.Reshape(values, row), vectors}, static_cast<std::int64_t>(row.size()) - 2);
}

// A vector's entries in each row (or in each column) of a matrix.
Value Repeated(Builder& b, Value v, bool rows) {
  Shape shape = b.shape(v);
  shape.push_back(shape.back());
  Axes map(shape.size());
  std::iota(map.begin(), map.end(), 0);
  map.back() = -1;
  if (rows) std::swap(map.back(), map[map.size() - 2]);
  return b.Broadcast(v, map, shape);
}

// 1 on the diagonal of each matrix of a stack.
Value Diagonal(Builder& b, const Shape& shape) {
  Axes rows(shape.size(), -1), columns(shape.size(), -1);
  rows[shape.size() - 2] = 0, columns.back() = 0;
  const Value i = b.Iota(shape.back());
  return b.ToReal(b.Binary(Op::kEq, b.Broadcast(i, rows, shape), b.Broadcast(i, columns, shape)));
}

// F: 1 / (l_j - l_i), and 0 where the two are equal.
Value InverseGaps(Builder& b, Value values) {
  const Value gap = b.Sub(Repeated(b, values, true), Repeated(b, values, false));
  const Shape shape = b.shape(gap);
  const Value equal = b.Binary(Op::kEq, gap, b.Filled(0, shape));
  const Value safe = b.Select(equal, b.Filled(1, shape), gap);
  return b.Select(equal, b.Filled(0, shape), b.Div(b.Filled(1, shape), safe));
}

Value SymmetricPart(Builder& b, Value x) {
  return b.Mul(b.Filled(0.5, Shape(b.shape(x))), b.Add(x, Transposed(b, x)));
}

}  // namespace

SolveAdjoints ReverseSolve(Builder& b, Value a, Value x, Value g, bool wants_a) {
  const Value right = b.Solve(Transposed(b, a), g);
  return {wants_a ? b.Neg(TimesTranspose(b, right, x)) : Value{}, right};
}

Value ForwardSolve(Builder& b, Value a, Value x, Value tangent_a, Value tangent_b) {
  if (tangent_a.index < 0) return b.Solve(a, tangent_b);
  const Value moved = Times(b, tangent_a, x);
  return b.Solve(a, tangent_b.index < 0 ? b.Neg(moved) : b.Sub(tangent_b, moved));
}

Value ReverseEigen(Builder& b, Value y, Value g) {
  const auto [values, vectors] = Parts(b, y);
  const auto [g_values, g_vectors] = Parts(b, g);
  const Value turned = b.Mul(InverseGaps(b, values), TransposeTimes(b, vectors, g_vectors));
  const Value scaled = b.Mul(Diagonal(b, Shape(b.shape(vectors))), Repeated(b, g_values, false));
  const Value inner = Times(b, vectors, b.Add(scaled, turned));
  return SymmetricPart(b, TimesTranspose(b, inner, vectors));
}

Value ForwardEigen(Builder& b, Value y, Value tangent) {
  const auto [values, vectors] = Parts(b, y);
  const Value inner = TransposeTimes(b, vectors, Times(b, SymmetricPart(b, tangent), vectors));
  const Shape shape = b.shape(inner);
  const Value on_diagonal = b.Mul(Diagonal(b, shape), inner);
  const Value slopes = b.Reduce(Op::kReduceSum, on_diagonal, {static_cast<std::int64_t>(shape.size()) - 1});
  return Joined(b, slopes, Times(b, vectors, b.Mul(InverseGaps(b, values), inner)));
}

}  // namespace amo::compiler
