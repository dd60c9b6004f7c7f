// SPDX-License-Identifier: Apache-2.0
// A batch through the shared factors: elimination of the equalities, Newton's method instance by instance, and back.
#include "runtime/qp.h"

#include <algorithm>
#include <cmath>

#include <Eigen/Cholesky>

#include "runtime/parallel.h"
#include "runtime/qp_newton.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kBlock = 64;  // instances whose products are taken together
constexpr double kRidge = 1e-12;      // on the unit diagonal of active rows, which may depend on each other

class Block {
 public:
  Block(const QpFactors& f, const Matrix& q, const Matrix& b, const Matrix& warm, const QpOptions& o, QpSolutions& out)
      : f_(f), q_(q), b_(b), warm_(warm), o_(o), out_(out), newton_(f) {}

  void Run(std::int64_t begin, std::int64_t end) {
    const Eigen::Index count = end - begin, k = static_cast<Eigen::Index>(f_.equal_rows.size());
    const auto q = q_.middleRows(begin, count), b = b_.middleRows(begin, count);
    Matrix equal(count, k);
    for (Eigen::Index j = 0; j < k; ++j) equal.col(j) = b.col(f_.equal_rows[static_cast<std::size_t>(j)]);
    Matrix scaled = -equal * f_.equal_solve.transpose();
    Matrix left = scaled * f_.equal_A.transpose() + equal;  // rounding, and contradictions
    scaled -= left * f_.equal_solve.transpose();
    const Matrix y = scaled * f_.columns.asDiagonal();
    left = scaled * f_.equal_A.transpose() + equal;
    const Matrix rows = y * f_.A.transpose() + b;
    const Matrix g = ((y * f_.P + q) * f_.columns.asDiagonal()) * f_.basis;
    const Matrix d = g * f_.CW.transpose();
    Matrix lambda = Matrix::Zero(count, f_.C.rows()), z = Matrix::Zero(count, f_.C.cols());
    for (Eigen::Index i = 0; i < count; ++i) {
      const std::int64_t id = begin + i;
      QpStatus& status = out_.status[static_cast<std::size_t>(id)];
      out_.iterations[static_cast<std::size_t>(id)] = 0;
      if (!Finite(q.row(i), b.row(i))) {
        status = QpStatus::kNotFinite;
        continue;
      }
      if (Contradicts(rows.row(i), left.row(i), equal.row(i), id)) {
        status = QpStatus::kInfeasible;
        continue;
      }
      newton_.g = g.row(i), newton_.d = d.row(i);
      for (Eigen::Index j = 0; j < f_.C.rows(); ++j) {
        const QpFactors::Interval& side = f_.intervals[static_cast<std::size_t>(j)];
        newton_.upper[j] = -rows(i, side.upper) / side.scale;
        newton_.lower[j] = side.lower < 0 ? -INFINITY : rows(i, side.lower) / side.scale;
        newton_.start[j] = 0;
        if (warm_.rows() == 0) continue;
        const double up = warm_(id, side.upper), low = side.lower < 0 ? 0 : warm_(id, side.lower);
        newton_.start[j] = std::isfinite(up - low) ? (up - low) * side.scale : 0;
      }
      const int crossed = Crossed();
      status = crossed >= 0 ? QpStatus::kInfeasible : newton_.Run(o_);
      out_.iterations[static_cast<std::size_t>(id)] = newton_.steps;
      lambda.row(i) = newton_.lambda;
      z.row(i) = newton_.z;
      if (status == QpStatus::kInfeasible && crossed < 0) Certify(id, newton_.ray);
      if (crossed >= 0) {
        const QpFactors::Interval& side = f_.intervals[static_cast<std::size_t>(crossed)];
        out_.certificates(id, side.upper) = out_.certificates(id, side.lower) = 1;
      }
      if (status == QpStatus::kUnbounded) {
        out_.directions.row(id) = ((f_.basis * newton_.ray).array() * f_.columns.array()).matrix().transpose();
      }
    }
    if (f_.proximal == 0) z = -g * f_.H_inverse - lambda * f_.CW;
    out_.y.middleRows(begin, count) = y + (z * f_.basis.transpose()) * f_.columns.asDiagonal();
    Multipliers(lambda, begin, count);
  }

 private:
  static bool Finite(const Eigen::Ref<const Eigen::RowVectorXd>& q, const Eigen::Ref<const Eigen::RowVectorXd>& b) {
    bool finite = q.allFinite();
    for (Eigen::Index j = 0; j < b.size(); ++j) finite = finite && !std::isnan(b[j]) && b[j] < INFINITY;
    return finite;
  }

  // A row whose lower side lies above its upper side.
  int Crossed() const {
    for (Eigen::Index j = 0; j < f_.C.rows(); ++j) {
      const double size = std::max(std::abs(newton_.lower[j]), std::abs(newton_.upper[j]));
      if (newton_.lower[j] > newton_.upper[j] + 1e-12 * size) return static_cast<int>(j);
    }
    return -1;
  }

  // w of the rows that were eliminated, from w of the others: A_equal'w = -(the rest).
  void Certify(std::int64_t id, const Vector& w) {
    auto row = out_.certificates.row(id);
    for (Eigen::Index j = 0; j < w.size(); ++j) {
      const QpFactors::Interval& side = f_.intervals[static_cast<std::size_t>(j)];
      if (w[j] > 0) row[side.upper] = w[j] / side.scale;
      if (w[j] < 0 && side.lower >= 0) row[side.lower] = -w[j] / side.scale;
    }
    Balance(id);
  }

  // Weights of the equalities that cancel what the inequalities' weights leave of A'w.
  void Balance(std::int64_t id) {
    auto w = out_.certificates.row(id);
    const Vector pull = f_.columns.array() * (f_.A.transpose() * w.transpose()).array();
    const Vector equal = -(f_.equal_solve.transpose() * pull);
    const double largest = w.lpNorm<Eigen::Infinity>();
    for (Eigen::Index j = 0; j < equal.size(); ++j) {
      if (std::abs(equal[j]) > 1e-9 * largest) w[f_.equal_rows[static_cast<std::size_t>(j)]] = equal[j];
    }
  }

  bool Contradicts(const Eigen::Ref<const Eigen::RowVectorXd>& rows, const Eigen::Ref<const Eigen::RowVectorXd>& left,
                   const Eigen::Ref<const Eigen::RowVectorXd>& equal, std::int64_t id) {
    const double size = equal.size() ? equal.lpNorm<Eigen::Infinity>() : 0;
    for (Eigen::Index j = 0; j < left.size() && f_.rank < left.size(); ++j) {
      if (std::abs(left[j]) <= std::max(o_.tolerance, 1e-11) * (1 + size)) continue;
      // Row j less the chosen rows that it follows from.
      auto w = out_.certificates.row(id);
      const Vector from = f_.equal_solve.transpose() * f_.equal_A.row(j).transpose();
      const double sign = left[j] > 0 ? 1 : -1;
      for (Eigen::Index l = 0; l < from.size(); ++l) {
        if (std::abs(from[l]) > 1e-9) w[f_.equal_rows[static_cast<std::size_t>(l)]] = -sign * from[l];
      }
      w[f_.equal_rows[static_cast<std::size_t>(j)]] = sign;
      return true;
    }
    for (const QpFactors::Interval& c : f_.constants) {
      if (rows[c.upper] <= o_.tolerance * (1 + std::abs(b_(id, c.upper)))) continue;
      out_.certificates(id, c.upper) = 1;
      Balance(id);
      return true;
    }
    return false;
  }

  void Multipliers(const Matrix& lambda, std::int64_t begin, Eigen::Index count) {
    auto all = out_.multipliers.middleRows(begin, count);
    all.setZero();
    for (Eigen::Index j = 0; j < lambda.cols(); ++j) {
      const QpFactors::Interval& side = f_.intervals[static_cast<std::size_t>(j)];
      all.col(side.upper) = (lambda.col(j) / side.scale).cwiseMax(0.0);
      if (side.lower >= 0) all.col(side.lower) = (lambda.col(j) / -side.scale).cwiseMax(0.0);
    }
    if (f_.equal_rows.empty()) return;
    const Matrix pull = (out_.y.middleRows(begin, count) * f_.P + q_.middleRows(begin, count) + all * f_.A) *
                        f_.columns.asDiagonal();
    const Matrix equal = -pull * f_.equal_solve;
    for (std::size_t j = 0; j < f_.equal_rows.size(); ++j)
      all.col(f_.equal_rows[j]) = equal.col(static_cast<Eigen::Index>(j));
  }

  const QpFactors& f_;
  const Matrix &q_, &b_, &warm_;
  const QpOptions& o_;
  QpSolutions& out_;
  QpNewton newton_;
};

}  // namespace

QpSolutions SolveQp(const QpFactors& f, const Matrix& q, const Matrix& b, const Matrix& multipliers,
                    const QpOptions& options) {
  const Eigen::Index batch = q.rows();
  QpSolutions out;
  out.y = Matrix::Zero(batch, f.n), out.multipliers = Matrix::Zero(batch, f.m);
  out.certificates = Matrix::Zero(batch, f.m), out.directions = Matrix::Zero(batch, f.n);
  out.status.assign(static_cast<std::size_t>(batch), QpStatus::kStepLimit);
  out.iterations.assign(static_cast<std::size_t>(batch), 0);
  ParallelFor(0, batch, kBlock, [&](std::int64_t begin, std::int64_t end) {
    Block block(f, q, b, multipliers, options, out);
    for (std::int64_t from = begin; from < end; from += kBlock) block.Run(from, std::min(end, from + kBlock));
  });
  return out;
}

QpAdjoint DifferentiateQp(const QpFactors& f, const Matrix& multipliers, const Matrix& dy) {
  const Eigen::Index batch = dy.rows();
  const Matrix pull = (dy * f.columns.asDiagonal()) * f.basis;
  const Matrix rows = pull * f.CW.transpose();
  Matrix weights = Matrix::Zero(batch, f.C.rows());
  ParallelFor(0, batch, kBlock, [&](std::int64_t begin, std::int64_t end) {
    Eigen::MatrixXd system(f.C.rows(), f.C.rows());
    Vector right(f.C.rows());
    std::vector<Eigen::Index> active;
    for (std::int64_t i = begin; i < end; ++i) {
      active.clear();
      for (Eigen::Index j = 0; j < f.C.rows(); ++j) {
        const QpFactors::Interval& side = f.intervals[static_cast<std::size_t>(j)];
        if (multipliers(i, side.upper) != 0 || (side.lower >= 0 && multipliers(i, side.lower) != 0))
          active.push_back(j);
      }
      const auto a = static_cast<Eigen::Index>(active.size());
      auto block = system.topLeftCorner(a, a);
      auto solution = right.head(a);
      for (Eigen::Index r = 0; r < a; ++r) {
        for (Eigen::Index c = 0; c <= r; ++c)
          block(r, c) = f.D(active[static_cast<std::size_t>(r)], active[static_cast<std::size_t>(c)]);
        block(r, r) += kRidge;
        solution[r] = rows(i, active[static_cast<std::size_t>(r)]);
      }
      Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> llt(block);
      llt.solveInPlace(solution);
      for (Eigen::Index r = 0; r < a; ++r) weights(i, active[static_cast<std::size_t>(r)]) = solution[r];
    }
  });
  QpAdjoint out;
  out.q = -((pull * f.H_inverse - weights * f.CW) * f.basis.transpose()) * f.columns.asDiagonal();
  out.b = Matrix::Zero(batch, f.m);
  for (Eigen::Index j = 0; j < f.C.rows(); ++j) {
    const QpFactors::Interval& side = f.intervals[static_cast<std::size_t>(j)];
    for (Eigen::Index i = 0; i < batch; ++i) {
      const bool low = side.lower >= 0 && multipliers(i, side.lower) != 0;
      out.b(i, low ? side.lower : side.upper) = (low ? 1 : -1) * weights(i, j) / side.scale;
    }
  }
  if (f.equal_rows.empty()) return out;
  const Matrix equal = -((dy + out.q * f.P + out.b * f.A) * f.columns.asDiagonal()) * f.equal_solve;
  for (std::size_t j = 0; j < f.equal_rows.size(); ++j)
    out.b.col(f.equal_rows[j]) = equal.col(static_cast<Eigen::Index>(j));
  return out;
}

}  // namespace amo::runtime
