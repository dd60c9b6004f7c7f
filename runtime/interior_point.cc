// SPDX-License-Identifier: Apache-2.0
// A primal-dual interior point method for smooth nonlinear programs, dense, every instance on its own steps: slacks for
// the inequalities, Newton's equations reduced to the variables and solved by Cholesky factorizations that also tell
// the inertia, a line search with a filter of infeasibility and barrier function, corrected for the curvature of
// equalities. (Wächter, Biegler 2006; Nocedal, Wright 2006, chapter 19.) Without rows it is Newton's method.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <Eigen/Cholesky>

#include "runtime/nlp_functions.h"
#include "runtime/parallel.h"
#include "runtime/solver.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

constexpr double kFirstBarrier = 0.1, kBarrierPower = 1.5, kBarrierShrink = 0.2, kBarrierError = 10;
constexpr double kWarmBarrier = 0.1;      // of the error of a start that is a guess
constexpr double kBoundary = 0.99;        // of the way to a slack or multiplier of zero, at most
constexpr double kArmijo = 1e-4, kLeastStep = 1e-10;
constexpr double kScaleOver = 100;        // gradients above this are scaled down to it
constexpr double kSlackBound = 1e10;      // multipliers stay within this factor of barrier / slack
constexpr double kMargin = 1e-5;          // by which a step must be better, of what is infeasible
constexpr int kTrials = 40;               // of one line search

struct Merit {
  double objective = 0, logs = 0, infeasible = 0;
  double Barrier(double barrier) const { return objective - barrier * logs; }
  double At(double barrier, double penalty) const { return Barrier(barrier) + penalty * infeasible; }
};

// Pairs of infeasibility and barrier function; a trial has to be better than each in one of the two. It lets steps
// along curved equalities grow infeasible for a while where the objective falls, which a penalty forbids.
struct Filter {
  std::vector<std::pair<double, double>> pairs;
  bool Allows(double infeasible, double barrier) const {
    return std::all_of(pairs.begin(), pairs.end(),
                       [&](const auto& p) { return infeasible < p.first || barrier < p.second; });
  }
};

// One instance. `c` are its sides, scaled; equalities first in no order: `equal` says which.
struct State {
  Vector y, c, g, slack, dual;       // dual: of all rows; slack: of inequalities (0 for equalities)
  Vector dy, dslack, ddual;
  Vector correction;                 // of a trial point, towards the equalities
  Matrix back;                       // from the equalities' values to such a correction
  std::vector<Eigen::Index> equal;   // the rows of `back`
  Vector row_scale;
  double f = 0, scale = 1;
  double barrier = kFirstBarrier, penalty = 1, shift = 0;
  double across = 1;                 // how much of E'E makes the matrix positive definite, last
  double step = 0, dual_step = 0, slope = 0;
  double along = 0;                  // the slope of the barrier function
  double most_infeasible = INFINITY; // what a trial may reach
  double little_infeasible = 0;      // below it the barrier function alone may decide
  Merit now;
  Filter filter;
  int iterations = 0, failures = 0, trials = 0;
  double residual = INFINITY;
  bool open = true, searching = false;
  SolveStatus status = SolveStatus::kStepLimit;
};

class InteriorPointRun {
 public:
  InteriorPointRun(const Instances& instances, const Matrix& start, const SolveOptions& o)
      : functions_(instances.problem()), nlp_(functions_.nlp()), instances_(instances), o_(o) {
    all_.resize(static_cast<std::size_t>(start.rows()));
    for (std::size_t i = 0; i < all_.size(); ++i) all_[i].y = start.row(static_cast<Eigen::Index>(i));
    rows_.resize(all_.size());
    for (std::size_t i = 0; i < rows_.size(); ++i) rows_[i] = i;
    values_ = instances.values();
    if (o.multipliers.defined()) given_ = ToMatrix(o.multipliers);
  }

  SolveSummary Run() {
    const NlpFunctions::First first = functions_.AtPoints(values_, Points([](const State& s) { return s.y; }));
    Matrix jacobians = functions_.Jacobians(values_, Points([](const State& s) { return s.y; }));
    ForEach([&](std::size_t k, State& s, Scratch& w) { Start(first, jacobians.row(Z(k)).data(), k, s, w); });
    for (std::int64_t round = 0; round < 40 * o_.steps && Compact(); ++round) {
      const Matrix y = Points([](const State& s) { return s.y; });
      const Matrix dual =
          Points([&](const State& s) -> Vector { return s.dual.cwiseProduct(s.row_scale) / s.scale; }, nlp_.m);
      jacobians = functions_.Jacobians(values_, y);
      const Matrix hessians = functions_.Hessians(values_, y, dual);
      ForEach([&](std::size_t k, State& s, Scratch& w) {
        if (s.open && !s.searching) Direction(jacobians.row(Z(k)).data(), hessians.row(Z(k)).data(), s, w);
      });
      for (int trial = 0; trial < kTrials && Searching(); ++trial) {
        const NlpFunctions::First at =
            functions_.AtPoints(values_, Points([](const State& s) -> Vector {
                                  return s.searching ? Vector(s.y + s.step * s.dy + s.correction) : s.y;
                                }));
        ForEach([&](std::size_t k, State& s, Scratch&) { if (s.open && s.searching) Try(at, k, s); });
      }
      for (State& s : all_) if (s.open && s.searching) Failed(s);
    }
    return Summary();
  }

 private:
  struct Scratch {
    Matrix J, H, K, KJ;
  };
  static Eigen::Index Z(std::size_t k) { return static_cast<Eigen::Index>(k); }
  bool Equal(Eigen::Index i) const { return nlp_.equal[static_cast<std::size_t>(i)]; }

  template <class Fn>
  Matrix Points(const Fn& fn, std::int64_t size = -1) const {
    Matrix m(Z(rows_.size()), size < 0 ? nlp_.n : size);
    for (std::size_t k = 0; k < rows_.size(); ++k) m.row(Z(k)) = fn(all_[rows_[k]]);
    return m;
  }

  template <class Fn>
  void ForEach(const Fn& fn) {
    const std::int64_t grain = std::max<std::int64_t>(1, 20000 / ((nlp_.n + nlp_.m + 4) * (nlp_.n + 4)));
    ParallelFor(0, Z(rows_.size()), grain, [&](std::int64_t begin, std::int64_t end) {
      Scratch scratch;
      for (std::int64_t k = begin; k < end; ++k)
        fn(static_cast<std::size_t>(k), all_[rows_[static_cast<std::size_t>(k)]], scratch);
    });
  }

  bool Searching() const {
    return std::any_of(rows_.begin(), rows_.end(), [&](std::size_t i) { return all_[i].open && all_[i].searching; });
  }

  // Instances that are done leave the evaluated batch once they are half of it. False: all are done.
  bool Compact() {
    std::vector<std::size_t> open;
    for (const std::size_t i : rows_) if (all_[i].open) open.push_back(i);
    if (open.empty()) return false;
    if (2 * open.size() <= rows_.size()) {
      rows_ = std::move(open);
      at::Tensor ids = at::empty({Z(rows_.size())}, at::TensorOptions(at::kLong));
      for (std::size_t k = 0; k < rows_.size(); ++k) ids.mutable_data_ptr<std::int64_t>()[k] = Z(rows_[k]);
      values_ = instances_.Select(ids).values();
    }
    return true;
  }

  static void Close(State& s, SolveStatus status) { s.open = s.searching = false, s.status = status; }

  void Take(const NlpFunctions::First& at, std::size_t k, State& s) const {
    s.f = at.objective[Z(k)] * s.scale;
    s.g = at.gradient.row(Z(k)).transpose() * s.scale;
    s.c = at.sides.row(Z(k)).transpose().cwiseProduct(s.row_scale);
  }

  void Start(const NlpFunctions::First& first, const double* jacobian, std::size_t k, State& s, Scratch& w) {
    s.row_scale = Vector::Ones(nlp_.m), s.scale = 1;
    s.slack = Vector::Zero(nlp_.m), s.dual = Vector::Zero(nlp_.m), s.dy = s.correction = Vector::Zero(nlp_.n);
    Take(first, k, s);
    // Rows without a limit: c = -inf.
    if (!std::isfinite(s.f) || !s.g.allFinite() || s.c.array().isNaN().any() || (s.c.array() == INFINITY).any())
      return Close(s, SolveStatus::kNotFinite);
    const double slope = s.g.size() ? s.g.cwiseAbs().maxCoeff() : 0;
    s.scale = slope > kScaleOver ? kScaleOver / slope : 1;
    functions_.Jacobian(jacobian, w.J);
    for (Eigen::Index i = 0; i < nlp_.m; ++i) {
      const double largest = w.J.row(i).cwiseAbs().maxCoeff();
      if (largest > kScaleOver) s.row_scale[i] = kScaleOver / largest;
    }
    Take(first, k, s);
    const Vector known = o_.warm ? Known(k, w.J, s) : Vector();
    for (Eigen::Index i = 0; i < nlp_.m; ++i) {
      if (known.size() && Equal(i)) s.dual[i] = known[i];
      if (Equal(i) || std::isinf(s.c[i])) continue;
      s.slack[i] = std::max(-s.c[i], known.size() ? std::sqrt(s.barrier) : 1e-2);
      s.dual[i] = std::max(s.barrier / s.slack[i], known.size() ? known[i] : 0);
    }
  }

  // The multipliers of a start that is a guess, scaled as the rows are; the barrier is then as small as the conditions
  // are near to holding there.
  Vector Known(std::size_t k, const Matrix& J, State& s) const {
    Matrix scaled = J;
    for (Eigen::Index i = 0; i < nlp_.m; ++i) scaled.row(i) *= s.row_scale[i];
    Vector known = o_.multipliers.defined()
                       ? Vector(given_.row(Z(rows_[k])).transpose().cwiseQuotient(s.row_scale) * s.scale)
                       : FittingMultipliers(scaled, s.c, s.g, nlp_.equal);
    double error = (s.g + scaled.transpose() * known).cwiseAbs().maxCoeff();
    for (Eigen::Index i = 0; i < nlp_.m; ++i) {
      if (std::isinf(s.c[i])) continue;
      error = std::max(error, Equal(i) ? std::abs(s.c[i]) : std::max(s.c[i], std::min(-s.c[i], std::abs(known[i]))));
    }
    s.barrier = std::clamp(kWarmBarrier * error, o_.tolerance / 10, kFirstBarrier);
    return known;
  }

  Merit MeritOf(double f, const Vector& c, const Vector& slack) const {
    Merit m{f, 0, 0};
    for (Eigen::Index i = 0; i < nlp_.m; ++i) {
      if (std::isinf(c[i])) continue;
      if (Equal(i)) m.infeasible += std::abs(c[i]);
      else m.infeasible += std::abs(c[i] + slack[i]), m.logs += std::log(slack[i]);
    }
    return m;
  }

  // The largest violation of the optimality conditions at a barrier.
  double Error(const State& s, const Vector& gradient, double barrier) const {
    double worst = 0, total = 0;
    for (Eigen::Index i = 0; i < nlp_.m; ++i) total += std::abs(s.dual[i]);
    const double scale = std::max(100.0, total / std::max<double>(1, static_cast<double>(nlp_.m))) / 100;
    if (gradient.size()) worst = gradient.cwiseAbs().maxCoeff() / scale;
    for (Eigen::Index i = 0; i < nlp_.m; ++i) {
      if (std::isinf(s.c[i])) continue;
      if (Equal(i)) worst = std::max(worst, std::abs(s.c[i]));
      else worst = std::max({worst, std::abs(s.c[i] + s.slack[i]), std::abs(s.slack[i] * s.dual[i] - barrier) / scale});
    }
    return worst;
  }

  void Direction(const double* jacobian, const double* hessian, State& s, Scratch& w) {
    functions_.Jacobian(jacobian, w.J);
    functions_.Hessian(hessian, w.H);
    for (Eigen::Index i = 0; i < nlp_.m; ++i) w.J.row(i) *= s.row_scale[i];
    w.H *= s.scale;
    const Vector gradient = s.g + w.J.transpose() * s.dual;
    s.residual = Error(s, gradient, 0);
    if (!(w.H.allFinite() && w.J.allFinite())) return Close(s, SolveStatus::kNotFinite);
    if (s.residual <= o_.tolerance) return Close(s, SolveStatus::kSolved);
    if (s.iterations >= o_.steps) return Close(s, SolveStatus::kStepLimit);
    while (nlp_.m > 0 && s.barrier > o_.tolerance / 10 && Error(s, gradient, s.barrier) <= kBarrierError * s.barrier) {
      s.barrier = std::max(o_.tolerance / 10, std::min(kBarrierShrink * s.barrier, std::pow(s.barrier, kBarrierPower)));
      s.filter.pairs.clear();
    }
    // K = H + J' (dual / slack) J over the inequalities, and what stands against it.
    Vector right = -gradient;
    std::vector<Eigen::Index> equal;
    w.K = (w.H + w.H.transpose()) / 2;
    const double size = std::max(1.0, w.K.size() ? w.K.cwiseAbs().maxCoeff() : 0);
    for (Eigen::Index i = 0; i < nlp_.m; ++i) {
      if (Equal(i)) {
        equal.push_back(i);
        continue;
      }
      if (std::isinf(s.c[i])) continue;
      const double ratio = s.dual[i] / s.slack[i];
      const double move = s.barrier / s.slack[i] - s.dual[i] + ratio * (s.c[i] + s.slack[i]);
      const auto& columns = nlp_.jacobian_pattern.entries[static_cast<std::size_t>(i)];
      for (const std::int32_t a : columns) {
        right[a] -= w.J(i, a) * move;
        for (const std::int32_t b : columns) w.K(a, b) += ratio * w.J(i, a) * w.J(i, b);
      }
    }
    const Eigen::Index e = Z(equal.size());
    Matrix E(e, nlp_.n);
    Vector ce(e);
    for (Eigen::Index j = 0; j < e; ++j)
      E.row(j) = w.J.row(equal[static_cast<std::size_t>(j)]), ce[j] = s.c[equal[static_cast<std::size_t>(j)]];
    // Positive definite along the equalities: then so is K with enough of E'E, however little some of the equalities
    // feel (those of a discretized differential equation do). Else a shift of the diagonal makes it so.
    Matrix whole = w.K;
    Eigen::LLT<Eigen::MatrixXd> llt;
    if (e > 0) {
      const Matrix across = E.transpose() * E;
      const auto fits = [&](double weight) {
        whole = w.K + size * weight * across;
        llt.compute(whole);
        return llt.info() == Eigen::Success && Sound(llt);
      };
      while (!fits(s.across) && s.across < 1e6) s.across *= 100;
      if (llt.info() != Eigen::Success || !Sound(llt)) fits(s.across = 1);
      right -= size * s.across * (E.transpose() * ce);
    } else {
      llt.compute(whole);
    }
    double shift = 0;
    for (int k = 0; llt.info() != Eigen::Success || !Sound(llt); ++k) {
      if (k > 60) return Close(s, SolveStatus::kStalled);
      shift = shift == 0 ? (s.shift == 0 ? 1e-4 * size : std::max(1e-12 * size, s.shift / 3)) : 8 * shift;
      Matrix shifted = whole;
      shifted.diagonal().array() += shift;
      llt.compute(shifted);
    }
    if (shift > 0) s.shift = shift;
    if (s.failures > 0) {  // the last search failed: shorter, steeper steps
      Matrix shifted = whole;
      shift = std::max(shift, 1e-4 * size) * std::pow(100.0, s.failures);
      shifted.diagonal().array() += shift;
      llt.compute(shifted);
    }
    s.ddual = Vector::Zero(nlp_.m), s.dslack = Vector::Zero(nlp_.m);
    s.dy = llt.solve(right);
    if (e > 0) {
      const Eigen::MatrixXd KE = llt.solve(E.transpose());
      Eigen::MatrixXd S = E * KE;
      S.diagonal().array() += 1e-13 * std::max(S.diagonal().maxCoeff(), 1e-300);
      const Eigen::LLT<Eigen::MatrixXd> factor(S);
      const Vector lambda = factor.solve(E * s.dy + ce);
      s.back = factor.solve(KE.transpose()).transpose();
      s.equal = equal;
      s.dy -= KE * lambda;
      for (Eigen::Index j = 0; j < e; ++j) s.ddual[equal[static_cast<std::size_t>(j)]] = lambda[j];
    }
    if (!s.dy.allFinite()) return Close(s, SolveStatus::kStalled);
    double along = s.g.dot(s.dy), infeasible = 0;
    double primal = 1, dual = 1;
    const double boundary = std::max(kBoundary, 1 - s.barrier);
    for (Eigen::Index i = 0; i < nlp_.m; ++i) {
      if (std::isinf(s.c[i])) continue;
      if (Equal(i)) {
        infeasible += std::abs(s.c[i]);
        continue;
      }
      const double gap = s.c[i] + s.slack[i];
      s.dslack[i] = -gap - w.J.row(i).dot(s.dy);
      s.ddual[i] = s.barrier / s.slack[i] - s.dual[i] - s.dual[i] / s.slack[i] * s.dslack[i];
      infeasible += std::abs(gap);
      along -= s.barrier * s.dslack[i] / s.slack[i];
      if (s.dslack[i] < 0) primal = std::min(primal, -boundary * s.slack[i] / s.dslack[i]);
      if (s.ddual[i] < 0) dual = std::min(dual, -boundary * s.dual[i] / s.ddual[i]);
    }
    const double curved = s.dy.dot(w.K * s.dy) + shift * s.dy.squaredNorm();
    if (infeasible > 1e-14) s.penalty = std::max(s.penalty, (along + std::max(0.0, curved) / 2) / (0.7 * infeasible));
    s.slope = along - s.penalty * infeasible, s.along = along;
    s.step = primal, s.dual_step = dual, s.trials = 0;
    s.correction = Vector::Zero(nlp_.n);
    s.searching = true;
    s.now = MeritOf(s.f, s.c, s.slack);
    if (s.iterations++ == 0) {
      s.most_infeasible = 1e4 * std::max(1.0, s.now.infeasible);
      s.little_infeasible = 1e-4 * std::max(1.0, s.now.infeasible);
    }
  }

  static bool Sound(const Eigen::LLT<Eigen::MatrixXd>& llt) {
    const auto diagonal = llt.matrixLLT().diagonal();
    return diagonal.size() == 0 || diagonal.minCoeff() > 1e-9 * diagonal.maxCoeff();
  }

  void Try(const NlpFunctions::First& at, std::size_t k, State& s) {
    const double f = at.objective[Z(k)] * s.scale;
    const Vector c = at.sides.row(Z(k)).transpose().cwiseProduct(s.row_scale);
    bool finite = std::isfinite(f) && at.gradient.row(Z(k)).allFinite();
    Vector slack = s.slack + s.step * s.dslack;
    for (Eigen::Index i = 0; i < nlp_.m; ++i) {
      if (std::isnan(c[i]) || c[i] == INFINITY) finite = false;
      if (!Equal(i) && std::isfinite(c[i])) slack[i] = std::max(slack[i], -c[i]);  // a larger slack is never worse
    }
    if (finite) {
      if (Acceptable(MeritOf(f, c, slack), s)) {
        s.y += s.step * s.dy + s.correction, s.slack = slack;
        Take(at, k, s);
        for (Eigen::Index i = 0; i < nlp_.m; ++i) {
          if (Equal(i)) {
            s.dual[i] += s.step * s.ddual[i];
          } else if (s.slack[i] > 0) {
            const double middle = s.barrier / s.slack[i];
            s.dual[i] = std::clamp(s.dual[i] + s.dual_step * s.ddual[i], middle / kSlackBound, middle * kSlackBound);
          }
        }
        s.searching = false, s.failures = 0;
        return;
      }
    }
    // A trial is corrected once for the curvature of the equalities (Nocedal, Wright 2006, 15.6): without that long
    // steps along them are refused for ever.
    if (s.trials++ % 2 == 0 && finite && !s.equal.empty()) {
      Vector values(Z(s.equal.size()));
      for (std::size_t j = 0; j < s.equal.size(); ++j) values[Z(j)] = c[s.equal[j]];
      s.correction = -s.back * values;
      if (s.correction.norm() <= s.step * s.dy.norm() / 2) return;
      ++s.trials;
    }
    s.correction.setZero();
    s.step /= 2;
  }

  // Wächter, Biegler 2006, equations 18 to 20: the barrier function decides where the step promises enough and little
  // is infeasible; else either of the two must get better. After a failed search the penalty function may decide too.
  bool Acceptable(const Merit& trial, State& s) const {
    const double before = s.now.Barrier(s.barrier), after = trial.Barrier(s.barrier);
    const double rounding = 1e-13 * (1 + std::abs(before));
    const bool allowed = trial.infeasible <= s.most_infeasible && s.filter.Allows(trial.infeasible, after - rounding);
    const bool promises = s.along < 0 && s.now.infeasible <= s.little_infeasible &&
                          s.step * std::pow(-s.along, 2.3) > std::pow(s.now.infeasible, 1.1);
    if (allowed && promises) {
      if (after <= before + kArmijo * s.step * s.along + rounding) return true;
    } else if (allowed && (trial.infeasible <= (1 - kMargin) * s.now.infeasible ||
                           after <= before - kMargin * s.now.infeasible + rounding)) {
      s.filter.pairs.push_back({(1 - kMargin) * s.now.infeasible, before - kMargin * s.now.infeasible});
      return true;
    }
    if (s.failures == 0) return false;
    const double merit = s.now.At(s.barrier, s.penalty);
    return trial.At(s.barrier, s.penalty) <= merit + kArmijo * s.step * std::min(s.slope, 0.0) + rounding;
  }

  void Failed(State& s) {
    s.searching = false;
    if (++s.failures > 3) Close(s, SolveStatus::kStalled);
  }

  SolveSummary Summary() const {
    const at::ScalarType dtype = instances_.problem().dtype;
    const auto tensor = [&](std::int64_t columns, const auto& row) {
      at::Tensor t = at::empty({Z(all_.size()), columns}, at::TensorOptions(at::kDouble));
      for (std::size_t i = 0; i < all_.size(); ++i)
        Eigen::Map<Vector>(t.mutable_data_ptr<double>() + Z(i) * columns, columns) = row(all_[i]);
      return t.to(dtype);
    };
    SolveSummary summary;
    summary.y = tensor(nlp_.n, [](const State& s) { return s.y; });
    summary.residual = tensor(1, [](const State& s) -> Vector { return Vector::Constant(1, s.residual); }).flatten();
    summary.multipliers = tensor(nlp_.m, [&](const State& s) -> Vector {
      return s.dual.cwiseProduct(s.row_scale) / s.scale;
    });
    for (const State& s : all_) summary.status.push_back(s.status), summary.iterations.push_back(s.iterations);
    summary.objective = instances_.Value(summary.y);
    return summary;
  }

  NlpFunctions functions_;
  const compiler::Nlp& nlp_;
  const Instances& instances_;
  SolveOptions o_;
  std::vector<State> all_;
  std::vector<std::size_t> rows_;  // of the evaluated batch
  Values values_;
  Matrix given_;  // [B, m]: multipliers to begin with
};

}  // namespace

SolveSummary InteriorPoint(const Instances& instances, const at::Tensor& start, const SolveOptions& options) {
  const c10::NoGradGuard no_grad;
  const at::Tensor begin = instances.Project(start).to(at::kDouble).contiguous();
  const Matrix y = Eigen::Map<const Matrix>(begin.const_data_ptr<double>(), begin.size(0), begin.size(1));
  return InteriorPointRun(instances, y, options).Run();
}

}  // namespace amo::runtime
