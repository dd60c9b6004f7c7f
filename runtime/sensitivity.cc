// SPDX-License-Identifier: Apache-2.0
// The first-order conditions as equations, once more to rounding, and their derivatives.
#include "runtime/sensitivity.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <Eigen/SVD>

#include "compiler/classify.h"
#include "runtime/instances.h"
#include "runtime/nlp_functions.h"
#include "runtime/parallel.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kMostVariables = 500;
constexpr double kNear = 1e-3;     // of the point: polishing goes no further
constexpr double kWeak = 1e-6;     // slack and multiplier below: weakly active
constexpr double kSolvedTo = 1e-6; // on the conditions, after polishing
constexpr double kSingular = 1e-8; // of unit gradients, and of curvature against the Hessian's norm

constexpr double kNone = 1e8;      // a margin or a curvature where nothing could change, or no direction is left

// One instance: its point, its multipliers, which rows are active.
struct State {
  Vector y, dual;               // [n], [m]
  std::vector<int> active, weak;
  double margin = INFINITY;
};

Eigen::MatrixXd RowsOf(const Matrix& J, const std::vector<int>& rows) {
  Eigen::MatrixXd A(static_cast<Eigen::Index>(rows.size()), J.cols());
  for (std::size_t k = 0; k < rows.size(); ++k) A.row(static_cast<Eigen::Index>(k)) = J.row(rows[k]);
  return A;
}

Eigen::MatrixXd Conditions(const Matrix& H, const Eigen::MatrixXd& A) {
  const Eigen::Index n = H.rows(), k = A.rows();
  Eigen::MatrixXd K = Eigen::MatrixXd::Zero(n + k, n + k);
  K.topLeftCorner(n, n) = H;
  K.topRightCorner(n, k) = A.transpose(), K.bottomLeftCorner(k, n) = A;
  return K;
}

// Active: equations, and rows whose multiplier exceeds their slack.
void Sort(const Vector& sides, const std::vector<char>& equal, State& s) {
  s.active.clear(), s.weak.clear(), s.margin = INFINITY;
  for (std::size_t i = 0; i < equal.size(); ++i) {
    const auto at = static_cast<Eigen::Index>(i);
    const double slack = std::max(0.0, -sides[at]), dual = s.dual[at];
    if (!equal[i]) s.margin = std::min(s.margin, std::max(slack, dual));
    if (equal[i] || (dual > slack && dual > kWeak)) s.active.push_back(static_cast<int>(i));
    else if (slack <= kWeak) s.weak.push_back(static_cast<int>(i));
  }
}

// The instances at once where kernels run, and one by one where matrices are factored.
class Analysis {
 public:
  Analysis(const Problem& p, const Values& values, std::int64_t batch)
      : p_(p), values_(values), batch_(batch), functions_(p), nlp_(functions_.nlp()), n_(nlp_.n), m_(nlp_.m),
        y_(ToMatrix(Instances(p, values, batch).Join(values))), dual_(Matrix::Zero(batch, m_)),
        error_(Vector::Constant(batch, INFINITY)), states_(static_cast<std::size_t>(batch)) {}

  // Newton steps on the conditions with the active rows held: what is read off afterwards is exact to rounding.
  void Polish() {
    constexpr int kSteps = 3;
    for (int round = 0; round <= kSteps; ++round) {
      first_ = functions_.AtPoints(values_, y_), jacobians_ = functions_.Jacobians(values_, y_);
      if (round == 0) Each([&](std::int64_t i, State& s) { Begin(i, s); });
      hessians_ = functions_.Hessians(values_, y_, dual_);
      Each([&](std::int64_t i, State& s) { Step(i, round < kSteps, s); });
    }
  }

  // How the conditions move with each entry of each context: one product for an entry.
  void Move() {
    std::vector<std::string> names;
    Values at = values_;
    at["flat"] = ToTensor(y_, p_.dtype), at["dual"] = ToTensor(dual_, p_.dtype);
    for (const compiler::Named& c : p_.program.contexts) {
      if (c.type.elem != compiler::Elem::kReal) continue;
      names.push_back(c.name);
      std::vector<std::int64_t> sizes = c.type.shape;
      sizes.insert(sizes.begin(), batch_);
      at["tangent/" + c.name] = at::zeros(sizes, at::TensorOptions(p_.dtype));
      result_.derivatives[c.name] =
          at::zeros({batch_, n_, compiler::Count(c.type.shape)}, at::TensorOptions(at::kDouble));
    }
    const compiler::Function moved = compiler::MovedConditions(nlp_, names);
    for (const std::string& name : names) {
      if (moved.FindInput("tangent/" + name) < 0) continue;
      at::Tensor tangent = at["tangent/" + name].view({batch_, -1});
      for (std::int64_t k = 0; k < tangent.size(1); ++k) {
        tangent.select(1, k).fill_(1);
        const Values out = Evaluate(p_, moved, at);
        tangent.select(1, k).fill_(0);
        Matrix both(batch_, n_ + m_);
        both.leftCols(n_) = ToMatrix(AlongBatch(out.at("tangent/slope"), {n_}, batch_));
        both.rightCols(m_) = ToMatrix(AlongBatch(out.at("tangent/sides"), {m_}, batch_));
        slopes_[name].push_back(std::move(both));
      }
    }
  }

  Sensitivity Judge() {
    result_.trust.assign(static_cast<std::size_t>(batch_), DerivativeTrust::kNotSolved);
    for (at::Tensor* t : {&result_.margin, &result_.independence, &result_.curvature})
      *t = at::zeros({batch_}, at::TensorOptions(at::kDouble));
    Each([&](std::int64_t i, State& s) { JudgeOne(i, s); });
    for (auto& [name, t] : result_.derivatives) t = t.to(p_.dtype);
    return std::move(result_);
  }

 private:
  template <class F>
  void Each(const F& fn) {
    ParallelFor(0, batch_, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) fn(i, states_[static_cast<std::size_t>(i)]);
    });
  }

  void Begin(std::int64_t i, State& s) {
    Matrix J;
    functions_.Jacobian(jacobians_.row(i).data(), J);
    s.y = y_.row(i), s.dual = Vector::Zero(m_);
    if (first_.sides.row(i).allFinite() && first_.gradient.row(i).allFinite() && J.allFinite())
      s.dual = FittingMultipliers(J, first_.sides.row(i), first_.gradient.row(i), nlp_.equal);
    Sort(first_.sides.row(i), nlp_.equal, s);
    dual_.row(i) = s.dual;
  }

  // How far the conditions are from holding; and, where it is asked for, a step towards that.
  void Step(std::int64_t i, bool step, State& s) {
    Matrix J, H;
    functions_.Jacobian(jacobians_.row(i).data(), J), functions_.Hessian(hessians_.row(i).data(), H);
    const Eigen::MatrixXd A = RowsOf(J, s.active);
    const Eigen::Index k = A.rows();
    Vector wrong(n_ + k), known(k);
    for (Eigen::Index r = 0; r < k; ++r) known[r] = s.dual[s.active[static_cast<std::size_t>(r)]];
    wrong.head(n_) = first_.gradient.row(i).transpose() + A.transpose() * known;
    for (Eigen::Index r = 0; r < k; ++r) wrong[n_ + r] = first_.sides(i, s.active[static_cast<std::size_t>(r)]);
    double worst = wrong.size() ? wrong.cwiseAbs().maxCoeff() : 0;
    for (Eigen::Index r = 0; r < m_; ++r)
      if (!nlp_.equal[static_cast<std::size_t>(r)]) worst = std::max(worst, first_.sides(i, r));
    error_[i] = wrong.allFinite() && H.allFinite() ? worst / (1 + first_.gradient.row(i).norm()) : INFINITY;
    if (!step || !std::isfinite(error_[i])) return;
    const Vector by = Conditions(H, A).completeOrthogonalDecomposition().solve(-wrong);
    if (!by.allFinite() || by.head(n_).norm() > kNear * (1 + s.y.norm())) return;  // not near: it stays
    s.y += by.head(n_);
    for (Eigen::Index r = 0; r < k; ++r) s.dual[s.active[static_cast<std::size_t>(r)]] += by[n_ + r];
    y_.row(i) = s.y, dual_.row(i) = s.dual;
  }

  void JudgeOne(std::int64_t i, State& s) {
    if (!std::isfinite(error_[i])) return;
    Matrix J, H;
    functions_.Jacobian(jacobians_.row(i).data(), J), functions_.Hessian(hessians_.row(i).data(), H);
    Sort(first_.sides.row(i), nlp_.equal, s);
    const Eigen::MatrixXd A = RowsOf(J, s.active);
    // Rows of unit length: those that say the same show as a singular value of zero.
    Eigen::MatrixXd unit = A, along = Eigen::MatrixXd::Identity(n_, n_);
    for (Eigen::Index k = 0; k < unit.rows(); ++k) unit.row(k) /= std::max(unit.row(k).norm(), 1e-300);
    double independence = 1, curvature = kNone;
    if (unit.rows() > 0) {
      const Eigen::JacobiSVD<Eigen::MatrixXd> svd(unit, Eigen::ComputeFullV);
      const auto& singular = svd.singularValues();
      independence = unit.rows() > n_ ? 0 : singular[singular.size() - 1];
      Eigen::Index rank = 0;
      while (rank < singular.size() && singular[rank] > kSingular) ++rank;
      along = svd.matrixV().rightCols(n_ - rank);
    }
    if (along.cols() > 0) {
      const Eigen::MatrixXd reduced = along.transpose() * H * along;
      curvature = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(reduced, Eigen::EigenvaluesOnly).eigenvalues()[0];
    }
    result_.trust[static_cast<std::size_t>(i)] =
        error_[i] > kSolvedTo                                ? DerivativeTrust::kNotSolved
        : independence < kSingular                           ? DerivativeTrust::kDependent
        : !s.weak.empty()                                    ? DerivativeTrust::kWeaklyActive
        : curvature < kSingular * std::max(H.norm(), 1.0)    ? DerivativeTrust::kFlat
                                                             : DerivativeTrust::kTrusted;
    result_.margin.mutable_data_ptr<double>()[i] = std::min(s.margin, kNone);
    result_.independence.mutable_data_ptr<double>()[i] = independence;
    result_.curvature.mutable_data_ptr<double>()[i] = curvature;
    const auto system = Conditions(H, A).completeOrthogonalDecomposition();
    for (const auto& [name, list] : slopes_) {
      const auto entries = static_cast<Eigen::Index>(list.size());
      Eigen::MatrixXd right(n_ + A.rows(), entries);
      for (Eigen::Index k = 0; k < entries; ++k) {
        const Matrix& both = list[static_cast<std::size_t>(k)];
        right.col(k).head(n_) = -both.row(i).head(n_).transpose();
        for (Eigen::Index r = 0; r < A.rows(); ++r)
          right(n_ + r, k) = -both(i, n_ + s.active[static_cast<std::size_t>(r)]);
      }
      double* to = result_.derivatives.at(name).mutable_data_ptr<double>() + i * n_ * entries;
      Eigen::Map<Matrix>(to, n_, entries) = system.solve(right).topRows(n_);
    }
  }

  const Problem& p_;
  const Values& values_;
  std::int64_t batch_;
  NlpFunctions functions_;
  const compiler::Nlp& nlp_;
  Eigen::Index n_, m_;
  Matrix y_, dual_;          // [B, n], [B, m]
  Vector error_;             // [B]: by how much the conditions fail
  std::vector<State> states_;
  NlpFunctions::First first_;
  Matrix jacobians_, hessians_;
  std::map<std::string, std::vector<Matrix>> slopes_;  // by context and entry: [B, n + m]
  Sensitivity result_;
};

}  // namespace

std::string_view NameOf(DerivativeTrust trust) {
  switch (trust) {
    case DerivativeTrust::kTrusted: return "trusted";
    case DerivativeTrust::kNotSolved: return "not solved";
    case DerivativeTrust::kWeaklyActive: return "weakly active";
    case DerivativeTrust::kDependent: return "dependent rows";
    case DerivativeTrust::kFlat: return "flat";
  }
  return "";
}

std::string NoSensitivity(const Problem& p) {
  const compiler::Program& program = p.program;
  if (!program.objective) return "nothing is minimized";
  if (program.contexts.empty()) return "there are no contexts";
  for (const compiler::Named& v : program.variables)
    if (v.type.elem != compiler::Elem::kReal) return fmt::format("the variable `{}` is not real", v.name);
  if (!program.rows_whole) return "a set is not given by smooth rows";
  if (!compiler::IsSmooth(program)) return "the objective or a constraint has kinks";
  if (p.VariableSize() > kMostVariables) return fmt::format("there are more than {} variables", kMostVariables);
  return "";
}

Sensitivity SensitivityOf(const Problem& p, const Values& values, std::int64_t batch) {
  const c10::NoGradGuard no_grad;
  Analysis analysis(p, values, batch);
  analysis.Polish();
  analysis.Move();
  return analysis.Judge();
}

}  // namespace amo::runtime
