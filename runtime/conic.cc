// SPDX-License-Identifier: Apache-2.0
// Newton's method and operator splitting for the multipliers of many instances: functions in batches, linear systems
// one by one.
#include "runtime/conic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <Eigen/Cholesky>
#include <Eigen/LU>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "runtime/parallel.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

constexpr int kRounds = 8, kPatience = 2, kNewtonSteps = 15, kHalvings = 8, kSplittings = 200, kBalance = 25;
constexpr double kRegular = 1e-10;  // the matrix is singular where cones touch

using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

class Search {
 public:
  Search(const Problem& p, const Values& values, const Values& rows, std::int64_t batch, const Values& now)
      : p_(p), conic_(*p.program.conic), all_(values), rows_(rows) {
    for (const compiler::Named& v : p.program.variables) all_[v.name] = now.at(v.name).detach();
    multipliers = Matrix::Zero(batch, conic_.rows);
  }

  Matrix multipliers;  // [B, rows]

  // Newton's method where it converges; what is left is brought nearer by operator splitting, and tried again.
  void Run() {
    std::vector<std::int64_t> open(static_cast<std::size_t>(multipliers.rows()));
    for (std::size_t i = 0; i < open.size(); ++i) open[i] = static_cast<std::int64_t>(i);
    std::vector<double> reached(open.size(), INFINITY);
    for (int round = 0; round <= kRounds; ++round) {
      for (int step = 0; step < kNewtonSteps; ++step) {
        open = Unsolved(open);
        if (open.empty()) return;
        if (!Move(open)) break;
      }
      open = Unsolved(open);
      if (round >= kPatience) open = Hopeful(open, reached);
      if (open.empty()) return;
      if (round < kRounds) Split(open);
    }
  }

  // [B, rows * rows]: the inverse of the matrix at the multipliers.
  Matrix Inverses() {
    std::vector<std::int64_t> all(static_cast<std::size_t>(multipliers.rows()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
    Matrix m = MatricesAt(all);
    ParallelFor(0, m.rows(), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        Eigen::Map<Square> one(m.row(i).data(), conic_.rows, conic_.rows);
        const Square inverse = one.partialPivLu().inverse();
        one = inverse;
      }
    });
    return m;
  }

 private:
  static Matrix Rows(const Matrix& all, const std::vector<std::int64_t>& chosen) {
    Matrix out(static_cast<Eigen::Index>(chosen.size()), all.cols());
    for (std::size_t k = 0; k < chosen.size(); ++k)
      out.row(static_cast<Eigen::Index>(k)) = all.row(static_cast<Eigen::Index>(chosen[k]));
    return out;
  }

  Values Chosen(const std::vector<std::int64_t>& open, const Matrix& l) const {
    const at::Tensor index = at::tensor(open, at::TensorOptions(at::kLong));
    Values some = all_;
    for (const auto* list : {&p_.program.contexts, &p_.program.hidden, &p_.program.variables}) {
      for (const compiler::Named& n : *list) {
        const auto it = some.find(n.name);
        if (it != some.end() && it->second.dim() > static_cast<std::int64_t>(n.type.shape.size()))
          it->second = it->second.index_select(0, index);
      }
    }
    for (const auto& [name, t] : rows_) {
      const bool each = t.dim() == (name == "conic/offset" ? 2 : 3);
      some[name] = each ? t.index_select(0, index) : t;
    }
    some["conic/multipliers"] = ToTensor(l, p_.dtype);
    return some;
  }

  Matrix Left(const std::vector<std::int64_t>& open, const Matrix& l) const {
    return ToMatrix(EvaluateOne(p_, conic_.left, Chosen(open, l), l.rows()));
  }

  Matrix MatricesAt(const std::vector<std::int64_t>& open) const {
    const Matrix l = Rows(multipliers, open);
    Matrix m = ToMatrix(EvaluateOne(p_, conic_.matrix, Chosen(open, l), l.rows()).flatten(1));
    for (Eigen::Index i = 0; i < conic_.rows; ++i) m.col(i * (conic_.rows + 1)).array() -= kRegular;
    return m;
  }

  std::vector<std::int64_t> Unsolved(const std::vector<std::int64_t>& open) const {
    const double rounding = 20 * (p_.dtype == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                          : static_cast<double>(std::numeric_limits<float>::epsilon()));
    const Matrix now = Rows(multipliers, open), left = Left(open, now);
    std::vector<std::int64_t> still;
    for (std::size_t k = 0; k < open.size(); ++k) {
      const auto row = static_cast<Eigen::Index>(k);
      const double worst = left.row(row).cwiseAbs().maxCoeff();
      if (worst > rounding * (1 + now.row(row).cwiseAbs().maxCoeff()) && std::isfinite(worst)) still.push_back(open[k]);
    }
    return still;
  }

  // Those that the last round brought nearer. No number of rounds does where no point keeps the constraints.
  std::vector<std::int64_t> Hopeful(const std::vector<std::int64_t>& open, std::vector<double>& reached) const {
    const Matrix left = Left(open, Rows(multipliers, open));
    std::vector<std::int64_t> still;
    for (std::size_t k = 0; k < open.size(); ++k) {
      double& best = reached[static_cast<std::size_t>(open[k])];
      const double now = left.row(static_cast<Eigen::Index>(k)).norm();
      if (now < 0.5 * best) still.push_back(open[k]);
      best = std::min(best, now);
    }
    return still;
  }

  // ADMM on y = w, r(y) = z with w in the sets and z in the cones (Boyd and others 2011): slow, and from anywhere. It
  // begins where it ended in the round before.
  void Split(const std::vector<std::int64_t>& open) {
    const auto count = static_cast<Eigen::Index>(open.size());
    const Eigen::Index n = p_.VariableSize(), m = conic_.rows;
    const Values some = Chosen(open, Rows(multipliers, open));
    std::vector<at::Tensor> flat;
    for (const compiler::Named& v : p_.program.variables)
      flat.push_back(some.at(v.name).reshape({static_cast<std::int64_t>(count), compiler::Count(v.type.shape)}));
    const Matrix v = ToMatrix(at::cat(flat, 1));
    const at::Tensor jacobians = AlongBatch(some.at("conic/jacobian"), {m, n}, count).to(at::kDouble).contiguous();
    const Matrix offsets = ToMatrix(AlongBatch(some.at("conic/offset"), {m}, count));
    const auto jacobian = [&](Eigen::Index i) {
      return Eigen::Map<const Square>(jacobians.const_data_ptr<double>() + i * m * n, m, n);
    };
    if (w_.rows() == 0) {
      w_ = u_ = Matrix::Zero(multipliers.rows(), n);
      z_ = lambda_ = Matrix::Zero(multipliers.rows(), m);
      weight_.assign(static_cast<std::size_t>(multipliers.rows()), 0);
    }
    Matrix w = Rows(w_, open), u = Rows(u_, open), z = Rows(z_, open), lambda = Rows(lambda_, open);
    Matrix y = v, sides = Matrix::Zero(count, m), y_in(count, n), r_in(count, m);
    std::vector<Eigen::LLT<Square>> factors(open.size());
    std::vector<double> weight(open.size());
    const auto each = [&](const auto& work) {
      ParallelFor(0, count, 4, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) work(i);
      });
    };
    const auto factor = [&](Eigen::Index i) {
      const auto J = jacobian(i);
      const double rho = weight[static_cast<std::size_t>(i)];
      const Square normal = (1 + rho) * Square::Identity(n, n) + rho * J.transpose() * J;
      factors[static_cast<std::size_t>(i)].compute(normal);
    };
    Values call = some;
    call["conic/y"] = ToTensor(v, p_.dtype), call["conic/r"] = ToTensor(sides, p_.dtype);
    const Matrix inside = ToMatrix(AlongBatch(Evaluate(p_, conic_.nearest, call).at("conic/y"), {n}, count));
    each([&](Eigen::Index i) {
      // Multipliers are as large as v is far from the sets, points as large as the sets.
      const double far = (v.row(i) - inside.row(i)).cwiseAbs().maxCoeff(), size = inside.row(i).cwiseAbs().maxCoeff();
      weight[static_cast<std::size_t>(i)] = std::max(1.0, far / (1 + size));
      const double last = weight_[static_cast<std::size_t>(open[static_cast<std::size_t>(i)])];
      if (last > 0) weight[static_cast<std::size_t>(i)] = last;
      factor(i);
    });
    for (int step = 0; step < kSplittings; ++step) {
      each([&](Eigen::Index i) {
        const auto J = jacobian(i);
        const double rho = weight[static_cast<std::size_t>(i)];
        const Eigen::VectorXd right = v.row(i).transpose() + rho * (w.row(i) - u.row(i)).transpose() +
                                      J.transpose() * (rho * (z.row(i) - offsets.row(i)) - lambda.row(i)).transpose();
        y.row(i) = factors[static_cast<std::size_t>(i)].solve(right).transpose();
        sides.row(i) = (J * y.row(i).transpose()).transpose() + offsets.row(i);
        y_in.row(i) = y.row(i) + u.row(i);
        r_in.row(i) = sides.row(i) + lambda.row(i) / rho;
      });
      call["conic/y"] = ToTensor(y_in, p_.dtype), call["conic/r"] = ToTensor(r_in, p_.dtype);
      const Values nearest = Evaluate(p_, conic_.nearest, call);
      const Matrix w_before = w, z_before = z;
      w = ToMatrix(AlongBatch(nearest.at("conic/y"), {n}, count));
      z = ToMatrix(AlongBatch(nearest.at("conic/r"), {m}, count));
      u = y_in - w;
      for (Eigen::Index i = 0; i < count; ++i)
        lambda.row(i) = weight[static_cast<std::size_t>(i)] * (r_in.row(i) - z.row(i));
      if (step % kBalance != kBalance - 1) continue;
      each([&](Eigen::Index i) {  // the weight that makes both residuals small alike (Stellato and others 2020, 5.2)
        const auto J = jacobian(i);
        double& rho = weight[static_cast<std::size_t>(i)];
        const double primal = std::max((y.row(i) - w.row(i)).norm(), (sides.row(i) - z.row(i)).norm());
        const double dual =
            rho * (w.row(i) - w_before.row(i) + (z.row(i) - z_before.row(i)) * J).norm();
        const double points = std::max({y.row(i).norm(), w.row(i).norm(), sides.row(i).norm(), 1e-9});
        const double slopes = std::max({(v.row(i) - y.row(i)).norm(), rho * u.row(i).norm(), 1e-9});
        const double ratio = std::sqrt((primal / points + 1e-16) / (dual / slopes + 1e-16));
        if (ratio < 5 && ratio > 0.2) return;
        const double next = std::clamp(rho * std::clamp(ratio, 0.1, 10.0), 1e-4, 1e8);
        u.row(i) *= rho / next;
        rho = next;
        factor(i);
      });
    }
    for (std::size_t k = 0; k < open.size(); ++k) {
      const auto row = static_cast<Eigen::Index>(k), to = static_cast<Eigen::Index>(open[k]);
      w_.row(to) = w.row(row), u_.row(to) = u.row(row), z_.row(to) = z.row(row);
      multipliers.row(to) = lambda_.row(to) = lambda.row(row);
      weight_[static_cast<std::size_t>(open[k])] = weight[k];
    }
  }

  // A Newton step of each open instance, or the part of it that leaves less of the equations. Whether one moved.
  bool Move(const std::vector<std::int64_t>& open) {
    const Matrix from = Rows(multipliers, open), left = Left(open, from), matrices = MatricesAt(open);
    Matrix to = from;
    ParallelFor(0, from.rows(), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Eigen::Map<const Square> m(matrices.row(i).data(), conic_.rows, conic_.rows);
        const Eigen::VectorXd d = m.partialPivLu().solve(left.row(i).transpose());
        to.row(i) -= d.transpose();
      }
    });
    std::vector<std::int64_t> trying = open, place(open.size());
    for (std::size_t k = 0; k < place.size(); ++k) place[k] = static_cast<std::int64_t>(k);
    bool moved = false;
    for (int halving = 0; !trying.empty(); ++halving) {
      const Matrix trial = Rows(to, place), after = Left(trying, trial);
      std::vector<std::int64_t> again, again_place;
      for (std::size_t k = 0; k < trying.size(); ++k) {
        const auto row = static_cast<Eigen::Index>(k), mine = static_cast<Eigen::Index>(place[k]);
        const double before = left.row(mine).norm(), reached = after.row(row).norm();
        const bool better = reached <= (1 - 1e-4 * std::pow(0.5, halving)) * before;
        if (better) {
          multipliers.row(static_cast<Eigen::Index>(trying[k])) = trial.row(row);
          moved = true;
        } else if (halving < kHalvings) {
          to.row(mine) = (from.row(mine) + to.row(mine)) / 2;
          again.push_back(trying[k]), again_place.push_back(place[k]);
        }
      }
      trying = std::move(again), place = std::move(again_place);
    }
    return moved;
  }

  const Problem& p_;
  const compiler::ConicProjection& conic_;
  Values all_;
  const Values& rows_;
  std::vector<double> weight_;
  Matrix w_, u_, z_, lambda_;  // where the splitting has come to
};

}  // namespace

void ProjectConic(const Problem& p, const Values& values, std::int64_t batch, Values& now) {
  if (batch == 0) return;
  const compiler::ConicProjection& conic = *p.program.conic;
  Values all = values;
  for (const auto& [name, t] : now) all[name] = t;
  const Values rows = Evaluate(p, conic.at, all);
  for (const auto& [name, t] : rows) all[name] = t;
  {
    const c10::NoGradGuard no_grad;
    Values fixed;
    for (const auto& [name, t] : rows) fixed[name] = t.detach();
    Search search(p, values, fixed, batch, now);
    search.Run();
    all["conic/multipliers"] = ToTensor(search.multipliers, p.dtype);
    all["conic/inverse"] = ToTensor(search.Inverses(), p.dtype).view({batch, conic.rows, conic.rows});
  }
  const Values point = Evaluate(p, conic.point, all);
  for (const compiler::Named& v : p.program.variables) now[v.name] = AlongBatch(point.at(v.name), v.type.shape, batch);
}

}  // namespace amo::runtime
