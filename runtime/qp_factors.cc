// SPDX-License-Identifier: Apache-2.0
// What instances share: scaling, merged rows, the null space of the equalities, and the rows' products through H⁻¹.
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "runtime/qp.h"

namespace amo::runtime {
namespace {

constexpr double kSmall = 1e-13;      // of a row against what it was made from
constexpr double kProximal = 1e-4;    // of the scaled problem, where its curvature does not suffice
constexpr double kCurved = 1e-8;      // least eigenvalue over the largest that counts as curvature
constexpr double kNegative = -1e-9;   // the same, that is not rounding

// Column scales that give P a diagonal of ones, which no change of units moves and which is near the best scaling of a
// definite matrix (van der Sluis 1969). Where it has zeros they bring the largest entries of A's columns near 1 (Ruiz
// 2001); rows are scaled there only to find them.
Vector ColumnScales(const Matrix& P, const Matrix& A) {
  const Eigen::Index n = P.rows(), m = A.rows();
  Vector d(n), e = Vector::Ones(m);
  for (Eigen::Index j = 0; j < n; ++j) d[j] = P(j, j) > 0 ? 1 / std::sqrt(P(j, j)) : 1;
  const bool curved = n == 0 || P.diagonal().minCoeff() > 0;
  for (int round = 0; round < 10 && m > 0 && !curved; ++round) {
    for (Eigen::Index i = 0; i < m; ++i) {
      const double largest = (A.row(i).transpose().array() * d.array()).abs().maxCoeff() * e[i];
      if (largest > 0) e[i] /= std::sqrt(largest);
    }
    for (Eigen::Index j = 0; j < n; ++j) {
      const double largest = (A.col(j).array() * e.array()).abs().maxCoeff() * d[j];
      if (largest > 0 && !(P(j, j) > 0)) d[j] /= std::sqrt(largest);
    }
  }
  return d.array().max(1e-150).min(1e150);
}

}  // namespace

QpFactors::QpFactors(const Matrix& P_given, const Matrix& A_given, const std::vector<char>& equal)
    : n(P_given.rows()), m(A_given.rows()), P((P_given + P_given.transpose()) / 2), A(A_given) {
  columns = n > 0 ? ColumnScales(P, A) : Vector();
  const Matrix P_scaled = columns.asDiagonal() * P * columns.asDiagonal();
  const Matrix A_scaled = A * columns.asDiagonal();
  for (Eigen::Index i = 0; i < m; ++i)
    if (equal[static_cast<std::size_t>(i)]) equal_rows.push_back(static_cast<int>(i));

  // Equalities, each row with norm 1: A' = Q R P'.
  const auto k = static_cast<Eigen::Index>(equal_rows.size());
  equal_A.resize(k, n);
  Vector norms(k);
  for (Eigen::Index i = 0; i < k; ++i) {
    equal_A.row(i) = A_scaled.row(equal_rows[static_cast<std::size_t>(i)]);
    norms[i] = std::max(equal_A.row(i).norm(), 1e-300);
  }
  basis = Matrix::Identity(n, n);
  equal_solve = Matrix::Zero(n, k);
  if (k > 0 && n > 0) {
    const Matrix rows = norms.cwiseInverse().asDiagonal() * equal_A;
    Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(rows.transpose());
    qr.setThreshold(1e-11);
    rank = qr.rank();
    const Eigen::MatrixXd Q = qr.householderQ();
    basis = Q.rightCols(n - rank);
    // y' = Q1 R11^-T (P' b)_1 for the rows that were chosen first; the others follow from them or contradict.
    const Eigen::MatrixXd R = qr.matrixR().topLeftCorner(rank, rank).template triangularView<Eigen::Upper>();
    const Eigen::MatrixXd inverse =
        R.transpose().template triangularView<Eigen::Lower>().solve(Eigen::MatrixXd::Identity(rank, rank));
    const Eigen::MatrixXd first = Q.leftCols(rank) * inverse;
    for (Eigen::Index j = 0; j < rank; ++j) {
      const Eigen::Index row = qr.colsPermutation().indices()[j];
      equal_solve.col(row) = first.col(j) / norms[row];
    }
  }

  // Two rows that are each other's negative are the two sides of one.
  const Matrix reduced = A_scaled * basis;
  std::map<std::vector<double>, int> sides;
  for (int i = 0; i < static_cast<int>(m); ++i) {
    if (equal[static_cast<std::size_t>(i)]) continue;
    const double norm = reduced.row(i).norm(), full = A_scaled.row(i).norm();
    if (norm <= kSmall * full || full == 0) {
      constants.push_back({i, -1, 1});
      continue;
    }
    std::vector<double> key(static_cast<std::size_t>(n));
    for (Eigen::Index j = 0; j < n; ++j) key[static_cast<std::size_t>(j)] = 0.0 - A(i, j);
    const auto other = sides.find(key);
    if (other != sides.end() && intervals[static_cast<std::size_t>(other->second)].lower < 0) {
      intervals[static_cast<std::size_t>(other->second)].lower = i;
      continue;
    }
    for (double& v : key) v = 0.0 - v;
    sides.emplace(std::move(key), static_cast<int>(intervals.size()));
    intervals.push_back({i, -1, 1});
  }

  const Eigen::Index free = n - rank;
  H = basis.transpose() * P_scaled * basis;
  if (free > 0) {
    const Eigen::LLT<Eigen::MatrixXd> plain(H);
    if (plain.info() == Eigen::Success && plain.rcond() > kCurved) {
      H_inverse = plain.solve(Eigen::MatrixXd::Identity(free, free));
    } else {
      const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(H);
      const Vector& values = eigen.eigenvalues();
      const double most = std::max(values[free - 1], 0.0);
      if (values[0] < kNegative * std::max(most, P_scaled.cwiseAbs().maxCoeff())) {
        convex = false;
        return;
      }
      if (values[0] < kCurved * most || most == 0) proximal = kProximal * (most > 0 ? most : 1);
      H_inverse = eigen.eigenvectors() * (values.array().max(0.0) + proximal).inverse().matrix().asDiagonal() *
                  eigen.eigenvectors().transpose();
    }
  }
  const auto rows = static_cast<Eigen::Index>(intervals.size());
  C.resize(rows, free);
  for (Eigen::Index i = 0; i < rows; ++i) C.row(i) = reduced.row(intervals[static_cast<std::size_t>(i)].upper);
  CW = C * H_inverse;
  for (Eigen::Index i = 0; i < rows; ++i) {
    const double scale = std::sqrt(CW.row(i).dot(C.row(i)));
    intervals[static_cast<std::size_t>(i)].scale = scale;
    C.row(i) /= scale;
    CW.row(i) /= scale;
  }
  D = CW * C.transpose();
  D = ((D + D.transpose()) / 2).eval();
}

}  // namespace amo::runtime
