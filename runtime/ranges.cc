// SPDX-License-Identifier: Apache-2.0
// Rows one after the other, a few times.
#include "runtime/ranges.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include "runtime/tensor_matrix.h"

namespace amo::runtime {

using compiler::kNoBound;

namespace {

constexpr int kPasses = 4;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The largest value of a sum of products with entries in their ranges; how many of its terms have no bound.
struct Sum {
  double value = 0, size = 0;
  int open = 0;
  void Add(double a, double bound) {
    if (a == 0) return;
    if (IsFree(bound)) ++open;
    else value += a * bound, size += std::abs(a * bound);
  }
  // Without the term a * bound; nothing where others have no bound.
  bool Without(double a, double bound, double& rest) const {
    const bool own = IsFree(bound);
    if (open - own > 0) return false;
    rest = own ? value : value - a * bound;
    return true;
  }
};

struct RowView {
  const std::int32_t* columns;
  const double* entries;
  std::int32_t count;
};

// a'z + b <= 0: what follows for each entry.
void TightenRow(const RowView& row, double b, double sign, Range& range) {
  Sum low;
  for (std::int32_t e = 0; e < row.count; ++e) {
    const double a = sign * row.entries[e];
    low.Add(a, (a > 0 ? range.lo : range.hi)[row.columns[e]]);
  }
  if (low.open > 1) return;
  const double slack = 1e-12 * (low.size + std::abs(b));
  for (std::int32_t e = 0; e < row.count; ++e) {
    const double a = sign * row.entries[e];
    const std::int32_t j = row.columns[e];
    double rest = 0;
    if (a == 0 || !low.Without(a, (a > 0 ? range.lo : range.hi)[j], rest)) continue;
    const double limit = (slack - sign * b - rest) / a;
    if (!(std::abs(limit) < kNoBound)) continue;
    if (a > 0) range.hi[j] = std::min(range.hi[j], limit);
    else range.lo[j] = std::max(range.lo[j], limit);
  }
}

void TightenBlock(const compiler::RangeBlock& block, Range& range) {
  const std::int64_t n = block.size;
  const auto within = [&](std::int64_t k, double bound) {
    range.lo[k] = std::max(range.lo[k], -bound), range.hi[k] = std::min(range.hi[k], bound);
  };
  switch (block.kind) {
    case compiler::RangeBlock::Kind::kNorm:
      range.lo[block.at] = std::max(range.lo[block.at], 0.0);
      if (IsFree(range.hi[block.at])) return;
      for (std::int64_t k = 1; k < n; ++k) within(block.at + k, range.hi[block.at]);
      return;
    case compiler::RangeBlock::Kind::kPsd:
      for (std::int64_t i = 0; i < n; ++i) {
        double& least = range.lo[block.at + i * (n + 1)];
        least = std::max(least, 0.0);
      }
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          const double a = range.hi[block.at + i * (n + 1)], c = range.hi[block.at + j * (n + 1)];
          if (i != j && !IsFree(a) && !IsFree(c))
            within(block.at + i * n + j, std::sqrt(std::max(a, 0.0) * std::max(c, 0.0)) * (1 + 1e-12));
        }
      }
      return;
  }
}

// Variables that stand for the largest of their rows.
void TightenLifted(const SparseRows& rows, const double* b, Range& range) {
  const std::int64_t n = range.lo.size();
  if (rows.lifted >= n) return;
  for (const auto& [i, k] : rows.opposite) {
    const std::int32_t t = rows.columns[static_cast<std::size_t>(rows.starts[static_cast<std::size_t>(i) + 1] - 1)];
    range.lo[t] = std::max(range.lo[t], (b[i] + b[k]) / 2 - 1e-12 * (std::abs(b[i]) + std::abs(b[k])));
  }
  RowVector most = RowVector::Constant(n, -kInfinity);
  for (std::size_t i = 0; i + 1 < rows.starts.size(); ++i) {
    const std::int32_t end = rows.starts[i + 1] - 1;
    if (end < rows.starts[i]) continue;
    const std::int32_t t = rows.columns[static_cast<std::size_t>(end)];
    const double own = rows.entries[static_cast<std::size_t>(end)];
    if (t < rows.lifted || own >= 0) continue;
    Sum high;
    for (std::int32_t e = rows.starts[i]; e < end; ++e) {
      const double a = rows.entries[static_cast<std::size_t>(e)];
      high.Add(a, (a > 0 ? range.hi : range.lo)[rows.columns[static_cast<std::size_t>(e)]]);
    }
    const double value = high.value + b[i] + 1e-12 * (high.size + std::abs(b[i]));
    most[t] = std::max(most[t], high.open > 0 ? kInfinity : value / -own);
  }
  for (std::int64_t t = rows.lifted; t < n; ++t)
    if (std::abs(most[t]) < kNoBound) range.hi[t] = std::min(range.hi[t], most[t]);
}

}  // namespace

bool IsFree(double bound) { return !(std::abs(bound) < kNoBound); }

double Diameter(const Range& range) {
  double most = 0;
  for (Eigen::Index j = 0; j < range.lo.size(); ++j)
    most = std::max(most, IsFree(range.lo[j]) || IsFree(range.hi[j]) ? kInfinity : range.hi[j] - range.lo[j]);
  return most;
}

SparseRows::SparseRows(const Matrix& A, std::vector<char> equal_rows, std::int64_t lifted_from)
    : equal(std::move(equal_rows)), starts{0}, lifted(lifted_from) {
  for (Eigen::Index i = 0; i < A.rows(); ++i) {
    for (Eigen::Index j = 0; j < A.cols(); ++j)
      if (A(i, j) != 0) columns.push_back(static_cast<std::int32_t>(j)), entries.push_back(A(i, j));
    starts.push_back(static_cast<std::int32_t>(columns.size()));
  }
  for (Eigen::Index t = lifted; t < A.cols(); ++t) {
    std::vector<Eigen::Index> of;
    for (Eigen::Index i = 0; i < A.rows(); ++i) if (A(i, t) != 0) of.push_back(i);
    if (of.size() != 2 || A(of[0], t) != -1 || A(of[1], t) != -1) continue;
    if ((A.row(of[0]).head(lifted) + A.row(of[1]).head(lifted)).cwiseAbs().maxCoeff() == 0)
      opposite.push_back({static_cast<std::int32_t>(of[0]), static_cast<std::int32_t>(of[1])});
  }
}

Ranges RangesOf(const Problem& p, const Values& values, std::int64_t batch) {
  const c10::NoGradGuard no_grad;
  const std::int64_t n = p.VariableSize();
  const auto& region = p.program.region;
  if (!region)
    return {Matrix::Constant(batch, n, -kNoBound), Matrix::Constant(batch, n, kNoBound)};
  const Values out = Evaluate(p, region->ranges, values);
  return {ToMatrix(AlongBatch(out.at("ranges/lo"), {n}, batch)), ToMatrix(AlongBatch(out.at("ranges/hi"), {n}, batch))};
}

void Tighten(const SparseRows& rows, const double* b, const RowVector& level, double level_b,
             const compiler::Program& program, Range& range) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(level.size()));
  for (std::size_t j = 0; j < all.size(); ++j) all[j] = static_cast<std::int32_t>(j);
  for (int pass = 0; pass < kPasses; ++pass) {
    for (std::size_t i = 0; i + 1 < rows.starts.size(); ++i) {
      const auto from = static_cast<std::size_t>(rows.starts[i]);
      const RowView row{rows.columns.data() + from, rows.entries.data() + from, rows.starts[i + 1] - rows.starts[i]};
      TightenRow(row, b[i], 1, range);
      if (rows.equal[i]) TightenRow(row, b[i], -1, range);
    }
    TightenLifted(rows, b, range);
    const RowView above{all.data(), level.data(), static_cast<std::int32_t>(all.size())};
    if (level.size() > 0) TightenRow(above, level_b, 1, range);
    if (program.region) for (const compiler::RangeBlock& block : program.region->blocks) TightenBlock(block, range);
  }
}

}  // namespace amo::runtime
