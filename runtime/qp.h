// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_QP_H_
#define AMO_RUNTIME_QP_H_

#include <cstdint>
#include <vector>

#include <Eigen/Core>

// Convex quadratic programs that share their matrices, and differ in linear terms and right-hand sides:
//   minimize 1/2 y'Py + q'y   subject to   (Ay + b)_i == 0 or <= 0, as `equal` says.
// Equalities are eliminated once, by a basis of their null space; what remains is solved for each instance by a
// proximal augmented Lagrangian whose subproblems semismooth Newton steps end exactly: each step is one Cholesky
// factorization of the active rows of D = C H⁻¹ C', which is shared. (Hermans, Themelis, Patrinos 2022, "QPALM";
// Bambade et al. 2022, "ProxQP"; block exchanges as in Kim, Park 2011, "Fast nonnegative matrix factorization",
// section 3.)
namespace amo::runtime {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

// What depends on P [n, n] (symmetric, positive semidefinite) and A [m, n] alone.
struct QpFactors {
  QpFactors(const Matrix& P, const Matrix& A, const std::vector<char>& equal);

  std::int64_t n = 0, m = 0;
  bool convex = true;               // else P has a negative eigenvalue along the equalities, and nothing else is there
  Matrix P, A;
  std::vector<int> equal_rows;      // of A
  // Rows of the reduced problem, each lower <= C z <= upper: the row of A that is its upper side, the one that is its
  // lower side (-1: none), and what it was divided by.
  struct Interval {
    int upper = -1, lower = -1;
    double scale = 1;
  };
  std::vector<Interval> intervals;
  std::vector<Interval> constants;  // rows that do not depend on z: they hold or not
  Vector columns;                   // y = columns .* y': what makes P' and A' have entries near 1
  Matrix equal_A, equal_solve;      // y'_0 = -equal_solve * b_equal solves the equalities (least norm)
  std::int64_t rank = 0;            // of the equalities
  Matrix basis;                     // N [n, n - rank], orthonormal: y' = y'_0 + N z
  Matrix H, H_inverse;              // N'P'N, W = (N'P'N + proximal I)^-1
  Matrix C, CW, D;                  // C [k, n'], C W and D = C W C' with diagonal 1
  double proximal = 0;              // 0 where N'P'N is well conditioned
};

enum class QpStatus : std::uint8_t { kSolved, kStepLimit, kInfeasible, kUnbounded, kNotFinite };

// [B, ..] each. Of the multipliers, those of inequalities are >= 0; Py + q + A'multipliers = 0.
struct QpSolutions {
  Matrix y, multipliers;
  std::vector<QpStatus> status;
  std::vector<std::int64_t> iterations;  // Newton steps
  // Infeasible: w with A'w = 0, w >= 0 where not equal, b'w > 0 (Farkas). Unbounded: in `directions` a d with Pd = 0,
  // q'd < 0 along which the rows hold. Zero for all others.
  Matrix certificates, directions;
};

struct QpOptions {
  double tolerance = 1e-9;  // on violated rows and on Py + q + A'multipliers, absolute and relative to their terms
  int steps = 500;          // Newton steps
};

// q [B, n], b [B, m]; `multipliers` [B, m] of a similar problem to begin with, or empty.
QpSolutions SolveQp(const QpFactors& factors, const Matrix& q, const Matrix& b, const Matrix& multipliers,
                    const QpOptions& options = {});

// Multipliers [m] that fit a point: with gradients of rows J [m, n], their sides [m] (zero or negative where they
// hold) and the objective's gradient [n], those of least |gradient + J'multipliers| over equations and rows near zero,
// without negative ones of inequalities, which leave one by one.
Vector FittingMultipliers(const Matrix& J, const Vector& sides, const Vector& gradient, const std::vector<char>& equal);

// Products with the derivative of the solutions, at answers with these multipliers: for the adjoint `dy` [B, n] of y
// the adjoints of q and of b. Rows are active where their multiplier is not zero.
struct QpAdjoint {
  Matrix q, b;
};
QpAdjoint DifferentiateQp(const QpFactors& factors, const Matrix& multipliers, const Matrix& dy);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_QP_H_
