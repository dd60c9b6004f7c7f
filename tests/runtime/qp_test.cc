// SPDX-License-Identifier: Apache-2.0
// Quadratic programs against their optimality conditions, which decide them: points, multipliers, certificates,
// derivatives.
#include "runtime/qp.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

namespace amo::runtime {
namespace {

struct Drawn {
  Matrix P, A, q, b;
  std::vector<char> equal;
};

class Draws {
 public:
  explicit Draws(unsigned seed) : random_(seed) {}
  Matrix Normal(Eigen::Index rows, Eigen::Index columns) {
    Matrix m(rows, columns);
    for (Eigen::Index i = 0; i < m.size(); ++i) m.data()[i] = normal_(random_);
    return m;
  }
  double Uniform() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  int Between(int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(random_); }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

// Feasible by construction: a point, its slacks and multipliers are drawn first; bounded where P or a box says so.
Drawn Feasible(Draws& draws, int n, int equalities, int inequalities, int curvature, int batch) {
  Drawn d;
  const Matrix root = draws.Normal(curvature, n);
  d.P = root.transpose() * root;
  d.A.resize(equalities + inequalities + 2 * n, n);
  d.A << draws.Normal(equalities + inequalities, n), Matrix::Identity(n, n), -Matrix::Identity(n, n);
  d.equal.assign(static_cast<std::size_t>(d.A.rows()), 0);
  for (int i = 0; i < equalities; ++i) d.equal[static_cast<std::size_t>(i)] = 1;
  d.q = draws.Normal(batch, n);
  const Matrix y = draws.Normal(batch, n) * 0.3;
  d.b = -y * d.A.transpose();
  for (Eigen::Index i = 0; i < batch; ++i) {
    for (int j = equalities; j < equalities + inequalities; ++j)
      if (draws.Uniform() < 0.7) d.b(i, j) -= draws.Uniform();
    d.b.row(i).tail(2 * n).setConstant(-3);
  }
  return d;
}

void CheckSolved(const Drawn& d, const QpSolutions& s, double tolerance, const std::string& what) {
  const Matrix rows = s.y * d.A.transpose() + d.b;
  const Matrix dual = s.y * d.P + d.q + s.multipliers * d.A;
  for (Eigen::Index i = 0; i < d.q.rows(); ++i) {
    ASSERT_EQ(s.status[static_cast<std::size_t>(i)], QpStatus::kSolved) << what << " instance " << i;
    EXPECT_LE(dual.row(i).cwiseAbs().maxCoeff(), tolerance) << what << " instance " << i;
    for (Eigen::Index j = 0; j < d.A.rows(); ++j) {
      const bool equal = d.equal[static_cast<std::size_t>(j)];
      EXPECT_LE(equal ? std::abs(rows(i, j)) : rows(i, j), tolerance) << what << " row " << j;
      if (equal) continue;
      EXPECT_GE(s.multipliers(i, j), 0) << what;
      EXPECT_LE(std::min(s.multipliers(i, j), -rows(i, j)), tolerance) << what << " row " << j;
    }
  }
}

QpSolutions Solve(const Drawn& d) { return SolveQp(QpFactors(d.P, d.A, d.equal), d.q, d.b, Matrix()); }

TEST(Qp, OptimalityConditionsOfRandomPrograms) {
  Draws draws(7);
  for (int k = 0; k < 60; ++k) {
    const int n = draws.Between(1, 14), equalities = draws.Between(0, n / 2), inequalities = draws.Between(0, 2 * n);
    const int curvature = k % 3 == 0 ? n + 2 : k % 3 == 1 ? n / 2 : 0;  // definite, singular, a linear program
    const Drawn d = Feasible(draws, n, equalities, inequalities, curvature, 6);
    CheckSolved(d, Solve(d), 2e-7, "program " + std::to_string(k));
  }
}

TEST(Qp, RedundantAndDuplicateRows) {
  Draws draws(8);
  for (int k = 0; k < 20; ++k) {
    Drawn d = Feasible(draws, 8, 3, 6, 10, 5);
    // The last equality is the sum of the others, and two inequalities are the same.
    d.A.row(2) = d.A.row(0) + d.A.row(1);
    d.b.col(2) = d.b.col(0) + d.b.col(1);
    d.A.row(5) = d.A.row(4);
    d.b.col(5) = d.b.col(4);
    d.A.row(6) = 2 * d.A.row(4);
    d.b.col(6) = 2 * d.b.col(4);
    CheckSolved(d, Solve(d), 2e-7, "program " + std::to_string(k));
  }
}

// Every instance has its own verdict, and the others their answers.
TEST(Qp, EachInstanceFailsForItself) {
  Draws draws(9);
  Drawn d = Feasible(draws, 6, 0, 4, 8, 5);
  d.A.row(1) = -d.A.row(0);
  for (Eigen::Index i = 0; i < 5; ++i) d.b(i, 1) = -d.b(i, 0) - 1;
  d.q(1, 3) = NAN;
  d.b(3, 0) = 2, d.b(3, 1) = 1;  // a y <= -2 and a y >= 1
  const QpSolutions s = Solve(d);
  EXPECT_EQ(s.status[1], QpStatus::kNotFinite);
  EXPECT_EQ(s.status[3], QpStatus::kInfeasible);
  for (const std::size_t i : {0, 2, 4}) EXPECT_EQ(s.status[i], QpStatus::kSolved) << i;
  EXPECT_GT(s.certificates(3, 0), 0);
  EXPECT_GT(s.certificates(3, 1), 0);
  EXPECT_EQ(s.certificates(3, 2), 0);
}

// A planted contradiction: rows whose weighted sum is 0 <= -1. The certificate is one, whatever rows it names.
TEST(Qp, InfeasibleProgramsComeWithACertificate) {
  Draws draws(10);
  for (int k = 0; k < 40; ++k) {
    const int n = draws.Between(2, 10), planted = draws.Between(2, n);
    Drawn d = Feasible(draws, n, k % 2, n, k % 3 ? n + 1 : 0, 3);
    const int first = k % 2;
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(n);
    for (int j = 0; j + 1 < planted; ++j) sum += d.A.row(first + j);
    d.A.row(first + planted - 1) = -sum;
    for (Eigen::Index i = 0; i < 3; ++i) {
      double total = 0;
      for (int j = 0; j + 1 < planted; ++j) total += d.b(i, first + j);
      d.b(i, first + planted - 1) = -total + 0.5;
    }
    const QpSolutions s = Solve(d);
    for (Eigen::Index i = 0; i < 3; ++i) {
      ASSERT_EQ(s.status[static_cast<std::size_t>(i)], QpStatus::kInfeasible) << k;
      const Eigen::RowVectorXd w = s.certificates.row(i);
      const double size = w.cwiseAbs().maxCoeff();
      EXPECT_LE((w * d.A).cwiseAbs().maxCoeff(), 1e-5 * size) << k;
      EXPECT_GT(w.dot(d.b.row(i)), 1e-3 * size) << k;
      for (Eigen::Index j = first; j < w.size(); ++j) EXPECT_GE(w[j], 0);
    }
  }
}

TEST(Qp, ContradictingEqualitiesAreNamed) {
  Drawn d;
  d.P = Matrix::Identity(3, 3);
  d.A = Matrix::Zero(3, 3);
  d.A << 1, 1, 0, 0, 1, 1, 1, 2, 1;
  d.equal = {1, 1, 1};
  d.q = Matrix::Zero(2, 3), d.b = Matrix::Zero(2, 3);
  d.b.row(0) << -1, -2, -3;
  d.b.row(1) << -1, -2, -4;
  const QpSolutions s = Solve(d);
  EXPECT_EQ(s.status[0], QpStatus::kSolved);
  EXPECT_EQ(s.status[1], QpStatus::kInfeasible);
  const Eigen::RowVectorXd w = s.certificates.row(1);
  EXPECT_LE((w * d.A).cwiseAbs().maxCoeff(), 1e-9);
  EXPECT_GT(w.dot(d.b.row(1)), 0.5);
}

TEST(Qp, UnboundedProgramsComeWithADirection) {
  Drawn d;  // minimize -y0 + y1^2 subject to y0 >= 1, y2 == y0
  d.P = Matrix::Zero(3, 3), d.P(1, 1) = 2;
  d.A = Matrix::Zero(2, 3);
  d.A << 1, 0, -1, -1, 0, 0;
  d.equal = {1, 0};
  d.q = Matrix::Zero(2, 3), d.q(0, 0) = -1, d.q(1, 0) = 1;
  d.b = Matrix::Zero(2, 2), d.b.col(1).setConstant(1);
  const QpSolutions s = Solve(d);
  EXPECT_EQ(s.status[0], QpStatus::kUnbounded);
  EXPECT_GT(s.directions(0, 0), 0);
  EXPECT_NEAR(s.directions(0, 2), s.directions(0, 0), 1e-9);
  EXPECT_EQ(s.status[1], QpStatus::kSolved);
  EXPECT_NEAR(s.y(1, 0), 1, 1e-8);
}

TEST(Qp, ScalesFromTinyToHuge) {
  Draws draws(11);
  for (int k = 0; k < 12; ++k) {
    Drawn d = Feasible(draws, 6, 2, 5, 8, 4);
    Drawn scaled = d;
    Vector columns(6), rows(d.A.rows());
    for (Eigen::Index j = 0; j < 6; ++j) columns[j] = std::pow(10, draws.Between(-6, 6));
    for (Eigen::Index j = 0; j < rows.size(); ++j) rows[j] = std::pow(10, draws.Between(-6, 6));
    scaled.P = columns.asDiagonal() * d.P * columns.asDiagonal();
    scaled.q = d.q * columns.asDiagonal();
    scaled.A = rows.asDiagonal() * d.A * columns.asDiagonal();
    scaled.b = d.b * rows.asDiagonal();
    const QpSolutions one = Solve(d), other = Solve(scaled);
    for (Eigen::Index i = 0; i < 4; ++i) {
      ASSERT_EQ(other.status[static_cast<std::size_t>(i)], QpStatus::kSolved) << k;
      const Eigen::RowVectorXd y = other.y.row(i) * columns.asDiagonal();
      EXPECT_LE((y - one.y.row(i)).cwiseAbs().maxCoeff(), 1e-6) << k;
    }
  }
}

TEST(Qp, ZeroWidthBoxesAndNoVariables) {
  Drawn d;
  d.P = Matrix::Identity(2, 2);
  d.A = Matrix::Zero(4, 2);
  d.A << 1, 0, -1, 0, 0, 1, 0, -1;
  d.equal = {0, 0, 0, 0};
  d.q = Matrix::Constant(1, 2, -5.0), d.b = Matrix::Zero(1, 4);
  d.b << -0.5, 0.5, -2, -1;  // y0 == 0.5, -1 <= y1 <= 2
  CheckSolved(d, Solve(d), 1e-9, "box");
  Drawn none;
  none.P = Matrix::Zero(1, 1), none.A = Matrix::Zero(1, 1), none.equal = {0};
  none.q = Matrix::Zero(2, 1), none.b = Matrix::Zero(2, 1), none.b(0, 0) = 1;
  EXPECT_EQ(Solve(none).status[0], QpStatus::kInfeasible);
  EXPECT_EQ(Solve(none).status[1], QpStatus::kSolved);
}

TEST(Qp, ANegativeEigenvalueIsNoConvexProgram) {
  Matrix P = Matrix::Identity(2, 2);
  P(1, 1) = -1;
  EXPECT_FALSE(QpFactors(P, Matrix::Zero(0, 2), {}).convex);
  Matrix A(1, 2);
  A << 0, 1;
  EXPECT_TRUE(QpFactors(P, A, {1}).convex);  // the equality leaves the convex part
}

TEST(Qp, WarmStartsTakeFewerSteps) {
  Draws draws(12);
  const Drawn d = Feasible(draws, 12, 3, 20, 14, 30);
  const QpFactors f(d.P, d.A, d.equal);
  const QpSolutions cold = SolveQp(f, d.q, d.b, Matrix()), warm = SolveQp(f, d.q, d.b, cold.multipliers);
  CheckSolved(d, warm, 2e-7, "warm");
  for (const std::int64_t steps : warm.iterations) EXPECT_LE(steps, 2);
}

// Against central differences, where no multiplier is near zero.
TEST(Qp, Derivatives) {
  Draws draws(13);
  for (int k = 0; k < 10; ++k) {
    const Drawn d = Feasible(draws, 7, 2, 6, 9, 1);
    const QpFactors f(d.P, d.A, d.equal);
    const QpSolutions s = SolveQp(f, d.q, d.b, Matrix());
    const Matrix rows = s.y * d.A.transpose() + d.b;
    double margin = 1;
    for (Eigen::Index j = 2; j < d.A.rows(); ++j)
      margin = std::min(margin, std::max(s.multipliers(0, j), -rows(0, j)));
    if (margin < 1e-3) continue;
    const Matrix dy = draws.Normal(1, 7);
    const QpAdjoint adjoint = DifferentiateQp(f, s.multipliers, dy);
    constexpr double kStep = 1e-5;
    const auto slope = [&](Matrix q, Matrix b, bool of_q, Eigen::Index j) {
      double& entry = of_q ? q(0, j) : b(0, j);
      entry += kStep;
      const double up = SolveQp(f, q, b, Matrix()).y.row(0).dot(dy.row(0));
      entry -= 2 * kStep;
      return (up - SolveQp(f, q, b, Matrix()).y.row(0).dot(dy.row(0))) / (2 * kStep);
    };
    for (Eigen::Index j = 0; j < 7; ++j)
      EXPECT_NEAR(adjoint.q(0, j), slope(d.q, d.b, true, j), 1e-6) << k << " q " << j;
    for (Eigen::Index j = 0; j < d.b.cols(); ++j)
      EXPECT_NEAR(adjoint.b(0, j), slope(d.q, d.b, false, j), 1e-6) << k << " b " << j;
  }
}

}  // namespace
}  // namespace amo::runtime
