// SPDX-License-Identifier: Apache-2.0
// The least violation of each instance, by rows or by cones.
#include "runtime/feasibility.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <Eigen/Cholesky>

#include "runtime/conflict.h"
#include "runtime/feasibility_cones.h"
#include "runtime/nlp_functions.h"
#include "runtime/parallel.h"
#include "runtime/quadratic.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

constexpr int kSteps = 300;
constexpr std::int64_t kMostVariables = 500;
constexpr double kStationary = 1e-9;  // of the gradient of the squared violations, against these

double Tolerance(const Problem& p) { return p.dtype == at::kDouble ? 1e-6 : 1e-3; }

// The amounts by which rows fail: signed for equations.
Vector Amounts(const Eigen::RowVectorXd& sides, const std::vector<char>& equal) {
  Vector h = sides.transpose();
  for (Eigen::Index i = 0; i < h.size(); ++i)
    if (!equal[static_cast<std::size_t>(i)]) h[i] = std::max(h[i], 0.0);
  return h;
}

// All that is demanded are smooth rows, and something is.
bool HasRows(const Problem& p) {
  const auto& classes = p.program.classes;  // the objective first, whose kinks do not matter here
  return p.program.objective && p.program.rows_whole && !p.program.cones.empty() &&
         p.VariableSize() <= kMostVariables &&
         std::all_of(classes.begin() + 1, classes.end(), [](const auto& c) { return c.curvature.smooth; });
}

// Levenberg-Marquardt steps with second derivatives on the sum of the squared amounts.
Feasibility ByRows(const Instances& instances, const at::Tensor& from) {
  const Problem& p = instances.problem();
  const NlpFunctions functions(p);
  const compiler::Nlp& nlp = functions.nlp();
  Matrix y = ToMatrix(from), trial = y;
  const Eigen::Index batch = y.rows();
  struct State {
    double value = INFINITY, damping = 0;
    bool open = true;
  };
  std::vector<State> states(static_cast<std::size_t>(batch));
  Feasibility out{from, std::vector<char>(static_cast<std::size_t>(batch), 0)};
  const Matrix none = Matrix::Zero(batch, nlp.m);
  for (int step = 0; step < kSteps; ++step) {
    const NlpFunctions::First first = functions.AtPoints(instances.values(), trial);
    Matrix amounts(batch, nlp.m);
    for (Eigen::Index i = 0; i < batch; ++i) {
      State& s = states[static_cast<std::size_t>(i)];
      amounts.row(i) = Amounts(first.sides.row(i), nlp.equal);
      const double value = amounts.row(i).squaredNorm() / 2;
      if (!s.open) continue;
      if (value <= s.value * (1 + 1e-14)) {  // near the end rounding hides what a step wins
        s.value = value, s.damping /= 5, y.row(i) = trial.row(i);
      } else {
        if (!(s.value < INFINITY)) s.open = false;  // not finite where it began
        s.damping = std::max(4 * s.damping, 1e-8);
      }
    }
    // Everything again at the points that stand: a refused trial has another Jacobian.
    const NlpFunctions::First at = functions.AtPoints(instances.values(), y);
    for (Eigen::Index i = 0; i < batch; ++i) amounts.row(i) = Amounts(at.sides.row(i), nlp.equal);
    const Matrix jacobians = functions.Jacobians(instances.values(), y);
    const Matrix curved = functions.Hessians(instances.values(), y, amounts);
    const Matrix flat = functions.Hessians(instances.values(), y, none);
    ParallelFor(0, batch, 2, [&](std::int64_t begin, std::int64_t end) {
      Matrix J, H, F;
      for (std::int64_t i = begin; i < end; ++i) {
        State& s = states[static_cast<std::size_t>(i)];
        if (!s.open) continue;
        functions.Jacobian(jacobians.row(i).data(), J);
        functions.Hessian(curved.row(i).data(), H), functions.Hessian(flat.row(i).data(), F);
        const Vector h = amounts.row(i), g = J.transpose() * h;
        const double size = h.norm(), far = Tolerance(p) * (1 + y.row(i).cwiseAbs().maxCoeff());
        if (!(size > 1e-3 * far) || !J.allFinite() || !H.allFinite()) {
          s.open = false;
          continue;
        }
        if (g.norm() <= kStationary * size * std::max(1.0, J.norm())) {
          out.infeasible[static_cast<std::size_t>(i)] = size > far;
          s.open = false;
          continue;
        }
        for (Eigen::Index r = 0; r < nlp.m; ++r) if (h[r] == 0) J.row(r).setZero();
        const Eigen::MatrixXd K = J.transpose() * J + H - F;
        const double scale = std::max(1e-12, K.diagonal().cwiseAbs().maxCoeff());
        Eigen::LLT<Eigen::MatrixXd> llt;
        for (;;) {
          Eigen::MatrixXd damped = K;
          damped.diagonal().array() += (s.damping + 1e-14) * scale;
          llt.compute(damped);
          if (llt.info() == Eigen::Success || s.damping > 1e12) break;
          s.damping = std::max(4 * s.damping, 1e-8);
        }
        trial.row(i) = y.row(i) - llt.solve(g).transpose();
        if (!trial.row(i).allFinite()) s.open = false, trial.row(i) = y.row(i);
      }
    });
    if (std::none_of(states.begin(), states.end(), [](const State& s) { return s.open; })) break;
  }
  out.y = ToTensor(y, p.dtype);
  return out;
}

}  // namespace

Feasibility FeasibilityOf(const Instances& instances, const at::Tensor& y) {
  const c10::NoGradGuard no_grad;
  const Problem& p = instances.problem();
  const std::int64_t batch = instances.batch();
  Feasibility all{y, std::vector<char>(static_cast<std::size_t>(batch), 0)};
  if (batch == 0 || (!p.program.conic && !HasRows(p))) return all;
  const at::Tensor fails = instances.Violation(y), size = 1 + y.abs().amax(1).to(at::kDouble);
  const at::Tensor open = fails.gt(Tolerance(p) * size).nonzero().flatten();
  if (open.size(0) == 0) return all;
  const Instances some = instances.Select(open);
  const at::Tensor from = y.index_select(0, open);
  const Feasibility found = p.program.conic ? FeasibilityOfCones(some, from) : ByRows(some, from);
  all.y = all.y.index_copy(0, open, found.y);
  for (std::size_t k = 0; k < found.infeasible.size(); ++k) {
    const auto i = open[static_cast<std::int64_t>(k)].item<std::int64_t>();
    all.infeasible[static_cast<std::size_t>(i)] = found.infeasible[k];
  }
  return all;
}

std::vector<std::string> ConflictAt(const Instances& instances, const at::Tensor& y, std::int64_t i) {
  const c10::NoGradGuard no_grad;
  const Problem& p = instances.problem();
  const Instances one = instances.Select(at::tensor({i}, at::TensorOptions(at::kLong)));
  const at::Tensor at = y.narrow(0, i, 1);
  if (p.program.conic) return ConflictOfCones(one, at);
  if (!HasRows(p)) return {};
  const NlpFunctions functions(p);
  const Matrix point = ToMatrix(at);
  Matrix J;
  const Matrix jacobians = functions.Jacobians(one.values(), point);
  functions.Jacobian(jacobians.row(0).data(), J);
  const Vector sides = functions.AtPoints(one.values(), point).sides.row(0);
  const Vector b = sides - J * point.row(0).transpose();
  std::vector<std::string> names;
  for (const std::int64_t row : MinimalConflict(J, b, functions.nlp().equal, Amounts(sides, functions.nlp().equal)))
    names.push_back(RowName(p.program, row));
  return names;
}

}  // namespace amo::runtime
