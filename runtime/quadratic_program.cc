// SPDX-License-Identifier: Apache-2.0
// Linear and convex quadratic programs, exactly: qp.h on the problem's matrices.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "runtime/parallel.h"
#include "runtime/quadratic.h"
#include "runtime/solver.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

std::int64_t CountRows(const compiler::Program& p) {
  std::int64_t rows = 0;
  for (const compiler::ConeRows& r : p.cones) rows += r.count;
  return rows;
}

SolveStatus StatusOf(QpStatus status) {
  switch (status) {
    case QpStatus::kSolved: return SolveStatus::kSolved;
    case QpStatus::kStepLimit: return SolveStatus::kStepLimit;
    case QpStatus::kInfeasible: return SolveStatus::kInfeasible;
    case QpStatus::kUnbounded: return SolveStatus::kUnbounded;
    case QpStatus::kNotFinite: return SolveStatus::kNotFinite;
  }
  return SolveStatus::kStepLimit;
}

}  // namespace

namespace {

// Multipliers to begin with: those given, else such as fit a start that is a guess; else none.
Matrix Begin(const FactorList& factors, const QuadraticTerms& terms, const at::Tensor& start, const SolveOptions& o) {
  if (o.multipliers.defined()) return ToMatrix(o.multipliers);
  if (!o.warm) return {};
  const Matrix y = ToMatrix(start);
  Matrix multipliers(y.rows(), factors[0]->m);
  ParallelFor(0, y.rows(), 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const QpFactors& f = *factors[factors.size() == 1 ? 0 : static_cast<std::size_t>(i)];
      std::vector<char> equal(static_cast<std::size_t>(f.m), 0);
      for (const int row : f.equal_rows) equal[static_cast<std::size_t>(row)] = 1;
      const Vector sides = f.A * y.row(i).transpose() + terms.b.row(i).transpose();
      const Vector gradient = f.P * y.row(i).transpose() + terms.q.row(i).transpose();
      multipliers.row(i) = FittingMultipliers(f.A, sides, gradient, equal);
    }
  });
  return multipliers;
}

// Nothing where a matrix is not convex, or the objective falls in one of the variables from `lifted` on.
std::optional<SolveSummary> Solve(const Instances& instances, const at::Tensor& start, const SolveOptions& options,
                                  std::int64_t lifted) {
  const Problem& p = instances.problem();
  const std::int64_t batch = instances.batch();
  const FactorList factors = SolveFactors(p, instances.values(), batch);
  const bool convex = std::all_of(factors.begin(), factors.end(), [](const auto& f) { return f->convex; });
  if (!convex) return std::nullopt;
  const QuadraticTerms terms = TermsOf(p, instances.values(), batch);
  const std::int64_t more = p.VariableSize() - lifted;
  for (const auto& f : factors) if (more > 0 && !f->P.bottomRows(more).isZero(0)) return std::nullopt;
  if (more > 0 && terms.q.rightCols(more).minCoeff() < 0) return std::nullopt;
  QpOptions qp;
  qp.tolerance = std::min(options.tolerance, 1e-7);
  const QpSolutions s = SolveAll(factors, terms.q, terms.b, Begin(factors, terms, start, options), qp);
  SolveSummary summary;
  summary.y = ToTensor(s.y, p.dtype);
  summary.objective = instances.Value(summary.y);
  summary.iterations = s.iterations;
  for (const QpStatus status : s.status) summary.status.push_back(StatusOf(status));
  Matrix residual(batch, 1);
  for (std::int64_t i = 0; i < batch; ++i) {
    const QpFactors& f = *factors[factors.size() == 1 ? 0 : static_cast<std::size_t>(i)];
    const Eigen::RowVectorXd dual = s.y.row(i) * f.P + terms.q.row(i) + s.multipliers.row(i) * f.A;
    const Eigen::RowVectorXd rows = s.y.row(i) * f.A.transpose() + terms.b.row(i);
    double worst = dual.size() ? dual.cwiseAbs().maxCoeff() : 0;
    std::int64_t at = 0;
    for (const compiler::ConeRows& c : p.program.cones) {
      for (std::int64_t k = 0; k < c.count; ++k, ++at)
        worst = std::max(worst, c.cone == compiler::Cone::kZero ? std::abs(rows[at]) : rows[at]);
    }
    residual(i, 0) = worst;
  }
  summary.residual = ToTensor(residual, p.dtype).flatten();
  summary.multipliers = ToTensor(s.multipliers, p.dtype);
  summary.certificates = ToTensor(s.certificates, p.dtype);
  summary.directions = ToTensor(s.directions, p.dtype);
  return summary;
}

}  // namespace

SolveSummary QuadraticProgram(const Instances& instances, const at::Tensor& start, const SolveOptions& options) {
  const c10::NoGradGuard no_grad;
  const Problem& p = instances.problem();
  const std::int64_t n = p.VariableSize();
  if (instances.batch() == 0) return ProjectedGradient(instances, start, options);
  if (IsQuadraticProgram(p)) {
    if (auto solved = Solve(instances, start, options, n)) return std::move(*solved);
  } else if (const Problem* lifted = LiftedOf(p)) {
    SolveOptions mine = options;
    mine.multipliers = at::Tensor();  // of the problem's own rows alone
    const at::Tensor from = LiftPoints(p, instances.values(), start);
    if (auto solved = Solve(Instances(*lifted, instances.values(), instances.batch()), from, mine, n)) {
      solved->y = solved->y.narrow(1, 0, n).contiguous();
      solved->objective = instances.Value(solved->y);
      const std::int64_t rows = CountRows(p.program);
      for (at::Tensor* t : {&solved->multipliers, &solved->certificates}) *t = t->narrow(1, 0, rows).contiguous();
      solved->directions = solved->directions.narrow(1, 0, n).contiguous();
      return std::move(*solved);
    }
  }
  return ProjectedGradient(instances, start, options);
}

}  // namespace amo::runtime
