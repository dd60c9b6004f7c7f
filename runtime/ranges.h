// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_RANGES_H_
#define AMO_RUNTIME_RANGES_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/problem.h"
#include "runtime/qp.h"

// How large the entries of the variables can be where constraints and sets are kept: what sets say, and what rows imply
// by interval arithmetic.
namespace amo::runtime {

using RowVector = Eigen::RowVectorXd;

// Rows a'z + b, by their entries that are not zero; the same for many instances.
struct SparseRows {
  SparseRows(const Matrix& A, std::vector<char> equal, std::int64_t lifted);

  std::vector<char> equal;            // else <= 0
  std::vector<std::int32_t> starts, columns;
  std::vector<double> entries;
  std::int64_t lifted;                // variables from here on are the largest of the rows that they stand in
  std::vector<std::pair<std::int32_t, std::int32_t>> opposite;  // rows of |·|: a'z + b - t, -a'z - b - t
};

// Between what the entries of any point are that keeps the problem's sets and rows: [n] each, kNoBound where nothing
// says.
struct Range {
  RowVector lo, hi;
};

// By Program::region; free where there is none.
struct Ranges {
  Matrix lo, hi;  // [B, n]
  Range of(std::int64_t i) const { return {lo.row(i), hi.row(i)}; }
};
Ranges RangesOf(const Problem& problem, const Values& values, std::int64_t batch);

// Bounds that the rows imply, by intervals; `level`: one more row <= 0 with its b, empty: none.
void Tighten(const SparseRows& rows, const double* b, const RowVector& level, double level_b,
             const compiler::Program& program, Range& range);

// How far apart two points within the range can be, by their largest entry; infinite where that is free.
double Diameter(const Range& range);

bool IsFree(double bound);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_RANGES_H_
