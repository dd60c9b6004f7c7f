// SPDX-License-Identifier: Apache-2.0
// Semismooth Newton steps inside a proximal augmented Lagrangian, for one instance.
#include "runtime/qp_newton.h"

#include <Eigen/Cholesky>

#include <algorithm>
#include <cmath>
#include <limits>

namespace amo::runtime {
namespace {

constexpr double kFirstSlack = 1e-11;   // of the first attempt, which is all but exact
constexpr int kFirstSteps = 16;         // and how long it may take
constexpr double kSlackAtStart = 1, kSlackShrink = 0.1, kLeastSlack = 1e-9;
constexpr int kInnerSteps = 60, kRounds = 80;
constexpr double kRounding = 1e-12;
constexpr double kRay = 1e-6;           // of a certificate: by how much it fails to be one, at most

double Size(double bound) { return std::isfinite(bound) ? std::abs(bound) : 0; }

}  // namespace

QpNewton::QpNewton(const QpFactors& factors) : f_(factors), k_(factors.C.rows()) {
  const Eigen::Index free = factors.C.cols();
  g = Vector::Zero(free), z = g, ray = Vector();
  for (Vector* v : {&d, &lower, &upper, &start, &lambda, &center_, &shifted_, &rows_, &next_, &next_rows_,
                    &right_}) {
    *v = Vector::Zero(k_);
  }
  side_.assign(static_cast<std::size_t>(k_), 0);
  next_side_ = side_;
  system_.resize(k_, k_);
  row_sizes_ = factors.C.rowwise().norm();
}

void QpNewton::Rows(const Vector& mu, Vector& rows) const {
  rows = -shifted_;
  for (Eigen::Index i = 0; i < k_; ++i) if (mu[i] != 0) rows -= mu[i] * f_.D.row(i).transpose();
}

// Multipliers of the active rows such that each is `slack` times its multiplier's change beyond its side.
bool QpNewton::SolveActive(double slack) {
  active_.clear();
  for (Eigen::Index i = 0; i < k_; ++i)
    if (side_[static_cast<std::size_t>(i)] != 0) active_.push_back(static_cast<int>(i));
  const auto a = static_cast<Eigen::Index>(active_.size());
  next_.setZero();
  if (a == 0) return true;
  auto block = system_.topLeftCorner(a, a);
  for (Eigen::Index j = 0; j < a; ++j) {
    const Eigen::Index row = active_[static_cast<std::size_t>(j)];
    const double* from = f_.D.data() + row * k_;
    for (Eigen::Index i = j; i < a; ++i) block(i, j) = from[active_[static_cast<std::size_t>(i)]];
    block(j, j) += slack;
  }
  Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> llt(block);
  if (llt.info() != Eigen::Success) return false;
  SolveFactored(slack);
  return next_.allFinite();
}

// The same with the factor of the last call.
void QpNewton::SolveFactored(double slack) {
  const auto a = static_cast<Eigen::Index>(active_.size());
  auto block = system_.topLeftCorner(a, a);
  auto right = right_.head(a);
  for (Eigen::Index j = 0; j < a; ++j) {
    const Eigen::Index row = active_[static_cast<std::size_t>(j)];
    const double bound = side_[static_cast<std::size_t>(row)] > 0 ? upper[row] : lower[row];
    right[j] = -shifted_[row] - bound + slack * center_[row];
  }
  block.template triangularView<Eigen::Lower>().solveInPlace(right);
  block.template triangularView<Eigen::Lower>().adjoint().solveInPlace(right);
  for (Eigen::Index j = 0; j < a; ++j) next_[active_[static_cast<std::size_t>(j)]] = right[j];
}

// Another round around the multipliers, with the rows that are active: it takes what the slack has left of violations.
void QpNewton::Polish(double slack) {
  if (active_.empty()) return;
  center_ = lambda;
  next_.setZero();
  SolveFactored(slack);
  for (Eigen::Index i = 0; i < k_; ++i) {
    const double sign = side_[static_cast<std::size_t>(i)];
    lambda[i] = lower[i] == upper[i] ? next_[i] : sign * std::max(sign * next_[i], 0.0);
  }
}

// The root of the derivative along rows_ + t (full_rows - rows_), which rises and bends where a row meets a side.
double QpNewton::StepLength(double slack, const Vector& full, const Vector& full_rows) {
  const double penalty = 1 / slack;
  double value = 0, slope = 0;
  kinks_.clear();
  for (Eigen::Index i = 0; i < k_; ++i) {
    const double w = full_rows[i] - rows_[i], moved = full[i] - lambda[i], at = rows_[i] + slack * center_[i];
    value -= w * lambda[i], slope -= w * moved;
    if (w == 0) continue;
    if (lower[i] == upper[i]) {  // always at its side
      value += penalty * w * (at - upper[i]), slope += penalty * w * w;
      continue;
    }
    for (const bool above : {false, true}) {
      const double bound = above ? upper[i] : lower[i], beyond = at - bound;
      if (!std::isfinite(bound)) continue;
      const bool active = above ? beyond > 0 : beyond < 0;
      if (active) value += penalty * w * beyond, slope += penalty * w * w;
      if (const double t = -beyond / w; t > 0) kinks_.push_back({t, active ? -i - 1 : i});  // leaves it, or comes to it
    }
  }
  std::sort(kinks_.begin(), kinks_.end());
  double t = 0;
  for (const auto& [at, row] : kinks_) {
    if (value + slope * (at - t) >= 0) break;
    value += slope * (at - t), t = at;
    const Eigen::Index i = row < 0 ? -row - 1 : row;
    const double w = full_rows[i] - rows_[i];
    slope += (row < 0 ? -1 : 1) * penalty * w * w;
  }
  return slope > 0 ? t - value / slope : 1;
}

bool QpNewton::Minimize(double slack, bool search, int limit) {
  for (int step = 0; step < limit; ++step) {
    ++steps;
    if (!SolveActive(slack)) return false;
    Rows(next_, next_rows_);
    const double largest = next_.size() ? next_.cwiseAbs().maxCoeff() : 0;
    bool same = true;
    for (Eigen::Index i = 0; i < k_; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double tolerance = kRounding * (1 + Size(upper[i]) + Size(lower[i]) + std::abs(shifted_[i]));
      const double row = next_rows_[i] + slack * center_[i];
      signed char side = side_[at];
      if (side != 0) {
        const bool keeps = lower[i] == upper[i] || side * next_[i] >= -kRounding * largest;
        if (!keeps) side = 0;
      }
      if (side == 0) side = row > upper[i] + tolerance ? 1 : row < lower[i] - tolerance ? -1 : 0;
      next_side_[at] = side;
      same = same && side == side_[at];
    }
    double t = 1;
    if (!same && search) t = std::clamp(StepLength(slack, next_, next_rows_), 0.0, 1e3);
    if (t == 1) {
      lambda.swap(next_), rows_.swap(next_rows_), side_.swap(next_side_);
    } else {
      lambda += t * (next_ - lambda);
      rows_ += t * (next_rows_ - rows_);
      for (Eigen::Index i = 0; i < k_; ++i) {
        const double row = rows_[i] + slack * center_[i];
        side_[static_cast<std::size_t>(i)] =
            lower[i] == upper[i] ? 1 : row > upper[i] ? 1 : row < lower[i] ? -1 : 0;
      }
    }
    if (same) return true;
  }
  return false;
}

// Whether the rows are violated by no more than the tolerance, relative to the sizes of their coefficients and sides:
// at a minimum active rows are beyond their sides by slack times their multipliers' change.
bool QpNewton::Holds(double slack, double tolerance) const {
  for (Eigen::Index i = 0; i < k_; ++i) {
    const double size = row_sizes_[i] + std::max(Size(upper[i]), Size(lower[i]));
    if (!(std::abs(lambda[i] - center_[i]) * slack <= tolerance * size)) return false;
  }
  return true;
}

void QpNewton::FindPoint() {
  // The center of the proximal term is the point before.
  const Vector pull = f_.proximal > 0 ? Vector(g - f_.proximal * z) : g;
  z = -(f_.H_inverse * (pull + f_.C.transpose() * lambda));
}

// `moved`, multipliers: w'D w = |C'w|² in the metric of W is zero, and the sides leave no room along it.
bool QpNewton::Infeasible(const Vector& moved) {
  const double size = moved.lpNorm<Eigen::Infinity>();
  if (!(size > 0)) return false;
  Vector w = moved / size;
  double room = 0, scale = 0;
  for (Eigen::Index i = 0; i < k_; ++i) {
    if (std::abs(w[i]) < kRay) w[i] = 0;
    if (w[i] == 0) continue;
    const double bound = w[i] > 0 ? upper[i] : lower[i];
    if (!std::isfinite(bound)) return false;
    room += w[i] * bound, scale += std::abs(w[i] * bound);
  }
  const double along = std::sqrt(std::max(0.0, w.dot(f_.D * w)));
  // Points with |z|_H <= room / along are ruled out: this far away nobody looks.
  if (!(room < -1e-9 * scale) || along > kRay * -room || room == 0) return false;
  ray = w;
  return true;
}

bool QpNewton::Unbounded(const Vector& moved) {
  const double size = moved.lpNorm<Eigen::Infinity>();
  if (!(size > 0)) return false;
  const Vector direction = moved / size;
  const double pull = g.dot(direction), most = f_.H.cwiseAbs().maxCoeff();
  if (!(pull < -kRounding * g.lpNorm<Eigen::Infinity>())) return false;
  if ((f_.H * direction).lpNorm<Eigen::Infinity>() > 1e-9 * most) return false;
  const Vector rows = f_.C * direction;
  for (Eigen::Index i = 0; i < k_; ++i) {
    const double allowed = 1e-9 * f_.C.row(i).lpNorm<1>();
    if ((std::isfinite(upper[i]) && rows[i] > allowed) || (std::isfinite(lower[i]) && rows[i] < -allowed)) return false;
  }
  ray = direction;
  return true;
}

QpStatus QpNewton::Proximal(const QpOptions& o) {
  double slack = kSlackAtStart;
  center_ = lambda = start;
  Vector before = z;
  for (int round = 0; round < kRounds && steps < o.steps; ++round) {
    if (f_.proximal > 0) shifted_ = d - f_.proximal * (f_.CW * z);
    Rows(lambda, rows_);
    for (Eigen::Index i = 0; i < k_; ++i) {
      const double row = rows_[i] + slack * center_[i];
      side_[static_cast<std::size_t>(i)] = lower[i] == upper[i] || row > upper[i] ? 1 : row < lower[i] ? -1 : 0;
    }
    const bool ended = Minimize(slack, true, kInnerSteps);
    before = z;
    FindPoint();
    const Vector moved = lambda - center_, moved_z = z - before;
    const bool holds = ended && Holds(slack, o.tolerance);
    const double pull = f_.proximal * (moved_z.size() ? moved_z.lpNorm<Eigen::Infinity>() : 0);
    if (holds && pull <= o.tolerance * (1 + (g.size() ? g.lpNorm<Eigen::Infinity>() : 0))) {
      if (f_.proximal == 0) Polish(slack), Polish(slack);
      return QpStatus::kSolved;
    }
    if (round >= 3 && Infeasible(moved)) return QpStatus::kInfeasible;
    if (round >= 2 && f_.proximal > 0 && Unbounded(moved_z)) return QpStatus::kUnbounded;
    if (ended) center_ = lambda;
    slack = std::max(slack * kSlackShrink, kLeastSlack);
  }
  return QpStatus::kStepLimit;
}

QpStatus QpNewton::Run(const QpOptions& o) {
  steps = 0;
  z.setZero();
  center_ = start, shifted_ = d, lambda = start;
  for (Eigen::Index i = 0; i < k_; ++i) {
    side_[static_cast<std::size_t>(i)] = lower[i] == upper[i] || start[i] > 0 ? 1 : start[i] < 0 ? -1 : 0;
  }
  const bool plain = f_.proximal == 0 && Minimize(kFirstSlack, false, kFirstSteps);
  if (plain && Holds(kFirstSlack, o.tolerance)) {
    Polish(kFirstSlack);
    return QpStatus::kSolved;
  }
  return Proximal(o);
}

}  // namespace amo::runtime
