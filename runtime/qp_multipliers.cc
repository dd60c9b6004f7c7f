// SPDX-License-Identifier: Apache-2.0
// Multipliers of a point that is given without them.
#include <vector>

#include <Eigen/QR>

#include "runtime/qp.h"

namespace amo::runtime {

Vector FittingMultipliers(const Matrix& J, const Vector& sides, const Vector& gradient,
                          const std::vector<char>& equal) {
  constexpr double kNear = 1e-4;  // a row this close to its bound may be active
  const Eigen::Index m = J.rows();
  std::vector<Eigen::Index> rows;
  for (Eigen::Index i = 0; i < m; ++i)
    if (equal[static_cast<std::size_t>(i)] || sides[i] > -kNear * (1 + J.row(i).norm())) rows.push_back(i);
  for (;;) {
    Vector dual = Vector::Zero(m);
    if (rows.empty()) return dual;
    Eigen::MatrixXd some(J.cols(), static_cast<Eigen::Index>(rows.size()));
    for (std::size_t k = 0; k < rows.size(); ++k) some.col(static_cast<Eigen::Index>(k)) = J.row(rows[k]).transpose();
    const Vector fitting = some.completeOrthogonalDecomposition().solve(-gradient);
    std::size_t worst = rows.size();
    for (std::size_t k = 0; k < rows.size(); ++k) {
      dual[rows[k]] = fitting[static_cast<Eigen::Index>(k)];
      if (equal[static_cast<std::size_t>(rows[k])] || dual[rows[k]] >= 0) continue;
      if (worst == rows.size() || dual[rows[k]] < dual[rows[worst]]) worst = k;
    }
    if (worst == rows.size()) return dual;
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(worst));
  }
}

}  // namespace amo::runtime
