// SPDX-License-Identifier: Apache-2.0
// The deletion filter, on the few rows that a certificate names.
#include "runtime/conflict.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace amo::runtime {
namespace {

constexpr double kWeight = 1e-7;  // of a row in a certificate, against the largest, that counts

// The rows' certificate where no point keeps them.
std::optional<Vector> Contradiction(const Matrix& A, const Vector& b, const std::vector<char>& equal,
                                    const std::vector<std::int64_t>& rows) {
  const auto m = static_cast<Eigen::Index>(rows.size());
  Matrix some(m, A.cols());
  Matrix sides(1, m);
  std::vector<char> kinds;
  for (Eigen::Index j = 0; j < m; ++j) {
    const std::int64_t i = rows[static_cast<std::size_t>(j)];
    some.row(j) = A.row(i), sides(0, j) = b[i];
    kinds.push_back(equal[static_cast<std::size_t>(i)]);
  }
  const Matrix identity = Matrix::Identity(A.cols(), A.cols());
  const QpSolutions s = SolveQp(QpFactors(identity, some, kinds), Matrix::Zero(1, A.cols()), sides, Matrix());
  if (s.status[0] != QpStatus::kInfeasible) return std::nullopt;
  return Vector(s.certificates.row(0));
}

std::vector<std::int64_t> Weighted(const std::vector<std::int64_t>& rows, const Vector& w) {
  const double largest = w.size() ? w.cwiseAbs().maxCoeff() : 0;
  std::vector<std::int64_t> some;
  for (std::size_t j = 0; j < rows.size(); ++j)
    if (std::abs(w[static_cast<Eigen::Index>(j)]) > kWeight * largest) some.push_back(rows[j]);
  return some;
}

}  // namespace

std::vector<std::int64_t> MinimalConflict(const Matrix& A, const Vector& b, const std::vector<char>& equal,
                                          const Vector& certificate) {
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < A.rows(); ++i) all.push_back(i);
  std::vector<std::int64_t> rows = Weighted(all, certificate);
  if (rows.empty() || !Contradiction(A, b, equal, rows)) return {};
  for (std::size_t k = 0; k < rows.size();) {
    std::vector<std::int64_t> fewer = rows;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(k));
    const std::optional<Vector> still = fewer.empty() ? std::nullopt : Contradiction(A, b, equal, fewer);
    if (!still) {
      ++k;  // it is needed
      continue;
    }
    // Rows without weight in the new certificate go at once; the first k are needed by every one that is left.
    rows = Weighted(fewer, *still);
    k = std::min(k, rows.size());
  }
  return rows;
}

}  // namespace amo::runtime
