// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_QP_NEWTON_H_
#define AMO_RUNTIME_QP_NEWTON_H_

#include <vector>

#include "runtime/qp.h"

// One instance of the reduced problem: minimize 1/2 z'Hz + g'z subject to lower <= Cz <= upper. In here a point is
// known by the multipliers mu that lead to it, z = -W (g + C'mu), and by its rows Cz = -d - D mu with d = C W g; so a
// step costs nothing that grows with the number of variables.
namespace amo::runtime {

class QpNewton {
 public:
  explicit QpNewton(const QpFactors& factors);

  // Set for each instance: g [n'], d = CW g, the sides, and the multipliers to begin with.
  Vector g, d, lower, upper, start;

  // Afterwards: the multipliers of the rows, z, and what was found. `ray`: multipliers that no point satisfies
  // (infeasible), or a direction z (unbounded).
  Vector lambda, z, ray;
  int steps = 0;
  QpStatus Run(const QpOptions& options);

 private:
  // Newton steps on the augmented Lagrangian around `center` with 1 / penalty = `slack`, from `lambda`. True where it
  // ends at its minimum. `search`: steps are shortened to the least value along them.
  bool Minimize(double slack, bool search, int limit);
  bool SolveActive(double slack);
  void SolveFactored(double slack);
  void Polish(double slack);
  double StepLength(double slack, const Vector& full, const Vector& full_rows);
  void Rows(const Vector& mu, Vector& rows) const;  // Cz
  bool Holds(double slack, double tolerance) const;
  void FindPoint();

  QpStatus Proximal(const QpOptions& options);
  bool Infeasible(const Vector& moved);
  bool Unbounded(const Vector& moved);

  const QpFactors& f_;
  Eigen::Index k_;
  Vector center_;                // multipliers around which the augmented Lagrangian is taken
  Vector row_sizes_;
  Vector shifted_;               // d with the proximal term of z
  Vector rows_, next_, next_rows_, right_;
  std::vector<signed char> side_, next_side_;  // of each row: -1 at its lower side, 1 at its upper side, 0 inactive
  std::vector<int> active_;
  Eigen::MatrixXd system_;
  std::vector<std::pair<double, Eigen::Index>> kinks_;
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_QP_NEWTON_H_
