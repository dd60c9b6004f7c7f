// SPDX-License-Identifier: Apache-2.0
// Quadratic programs: a step of length one for the residual, one that suits the curvature for multipliers, and, where
// the program is not strictly convex, a long one.
#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "runtime/gap.h"
#include "runtime/parallel.h"
#include "runtime/quadratic.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Of a list with one for all instances, or one each.
template <class List>
const auto& Of(const List& list, std::int64_t i) {
  return list[list.size() == 1 ? 0 : static_cast<std::size_t>(i)];
}

// Of one instance, by multipliers of the rows at y: the quadratic's least value along the equalities, which all
// multipliers leave (Dorn 1960).
double StrictGap(const QpFactors& f, const RowVector& y, const RowVector& g, const RowVector& b,
                 const RowVector& multipliers, double eps) {
  const RowVector left = g + multipliers * f.A;
  const RowVector along = (left * f.columns.asDiagonal()) * f.basis;
  double value = 0.5 * along.dot(along * f.H_inverse), size = std::abs(value);
  for (Eigen::Index j = 0; j < multipliers.size(); ++j) {
    if (multipliers[j] == 0) continue;
    const double product = multipliers[j] * (f.A.row(j).dot(y) + b[j]);
    value -= product, size += std::abs(product);
  }
  return value + eps * size;  // rounding of the terms, on the safe side
}

// Of one instance that is convex at least: the remainder by curvature and range.
double ConvexGap(const QpFactors& f, const Curved& curved, const Range& range, const std::vector<char>& equal,
                 const RowVector& y, const RowVector& g, const RowVector& b, const RowVector& multipliers, double eps) {
  RowVector r = g;
  double value = 0, size = 0;
  for (Eigen::Index j = 0; j < multipliers.size(); ++j) {
    const double l = equal[static_cast<std::size_t>(j)] ? multipliers[j] : std::max(multipliers[j], 0.0);
    if (l == 0) continue;
    const double product = l * (f.A.row(j).dot(y) + b[j]);
    value -= product, size += std::abs(product) + std::abs(l * b[j]), r += l * f.A.row(j);
  }
  return value + Remainder(r, y, range, &curved) + eps * size;
}

// The first entry of the variables that Lift put behind the problem's own.
std::int64_t LiftedEntries(const compiler::Program& p) {
  std::int64_t n = 0;
  for (const compiler::Named& v : p.variables) {
    if (v.name.starts_with("lifted/")) break;
    n += compiler::Count(v.type.shape);
  }
  return n;
}

// Where no point that is better than y can be outside: the quadratic's linear part, past what its curvature gives back.
Range RangeBelow(const Problem& p, const SparseRows& rows, const Curved& curved, const Range& sets, const RowVector& b,
                 const RowVector& q, double objective) {
  Range range = sets;
  RowVector level = q;
  double least = 0;
  if (curved.range.size() > 0) {
    level -= q * curved.range;
    least = -0.5 * q.dot(q * curved.inverse);
    for (double& entry : level) if (std::abs(entry) <= 1e-11 * q.cwiseAbs().maxCoeff()) entry = 0;
  }
  const double slack = 1e-12 * (std::abs(objective) + std::abs(least) + 1);
  Tighten(rows, b.data(), level, least - objective - slack, p.program, range);
  return range;
}

}  // namespace

QuadraticCertificate CertifyQuadratic(const Problem& p, const Values& values, const at::Tensor& y) {
  const std::int64_t batch = y.size(0);
  const c10::NoGradGuard no_grad;
  QuadraticCertificate c;
  c.residual = at::zeros({batch}, at::TensorOptions(at::kDouble));
  at::Tensor gap = at::zeros({batch}, at::TensorOptions(at::kDouble));
  const FactorList solve = SolveFactors(p, values, batch), project = ProjectionFactors(p, values, batch);
  const bool strict =
      std::all_of(solve.begin(), solve.end(), [](const auto& f) { return f->convex && f->proximal == 0; });
  const QuadraticTerms terms = TermsOf(p, values, batch);
  const Matrix at = ToMatrix(y);
  const auto of = [](const FactorList& list, std::int64_t i) -> const QpFactors& { return *Of(list, i); };
  Matrix g(batch, at.cols()), shorter(batch, at.cols());
  if (solve.size() == 1) g = at * solve[0]->P + terms.q;
  else
    for (std::int64_t i = 0; i < batch; ++i)
      g.row(i) = at.row(i) * solve[static_cast<std::size_t>(i)]->P + terms.q.row(i);
  // The residual is of a step of length 1; multipliers come from one that suits the curvature.
  std::vector<double> length(static_cast<std::size_t>(batch), 1);
  double fixed = 0;
  for (std::int64_t i = 0; i < batch; ++i) {
    const QpFactors& f = of(solve, i);
    if (i == 0 || solve.size() > 1) fixed = f.P.size() ? f.P.cwiseAbs().rowwise().sum().maxCoeff() : 0;
    if (fixed > 0) length[static_cast<std::size_t>(i)] = 1 / fixed;
    shorter.row(i) = length[static_cast<std::size_t>(i)] * g.row(i);
  }
  const QpSolutions full = SolveAll(project, g - at, terms.b, Matrix(), {});
  std::vector<const Matrix*> forms;
  if (!strict) for (const auto& f : solve) forms.push_back(&f->P);
  const std::vector<std::shared_ptr<const Curved>> curved = CurvedOf(forms);
  const bool convex = strict || std::all_of(curved.begin(), curved.end(), [](const auto& k) { return k != nullptr; });
  // Multipliers grow with the step: those of one are near those of another.
  const auto scaled = [&](const std::vector<double>& by) {
    Matrix m = full.multipliers;
    for (std::int64_t i = 0; i < batch; ++i) m.row(i) *= by[static_cast<std::size_t>(i)];
    return m;
  };
  const QpSolutions part = convex ? SolveAll(project, shorter - at, terms.b, scaled(length), {}) : QpSolutions{};
  const std::vector<char> equal = EqualRows(p.program);
  const bool ranged = convex && !strict;
  const Ranges sets = ranged ? RangesOf(p, values, batch) : Ranges{};
  std::vector<SparseRows> rows;
  if (ranged) for (const auto& f : project) rows.emplace_back(f->A, equal, LiftedEntries(p.program));
  std::vector<Range> ranges(ranged ? static_cast<std::size_t>(batch) : 0);
  Matrix target = -at;
  std::vector<double> far(static_cast<std::size_t>(batch), 0);
  double* const gaps = gap.mutable_data_ptr<double>();
  const double eps = RoundingOf(p);
  ParallelFor(0, batch, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const auto residual = (at.row(i) - full.y.row(i)).cwiseAbs();
      c.residual.mutable_data_ptr<double>()[i] = residual.size() ? residual.maxCoeff() : 0;
      if (!convex) continue;
      const QpFactors& f = of(solve, i);
      const RowVector y = at.row(i), slope = g.row(i), b = terms.b.row(i);
      const double objective = 0.5 * y.dot(y * f.P) + terms.q.row(i).dot(y), rounding = eps * (std::abs(objective) + 1);
      if (strict) {
        gaps[i] = StrictGap(f, y, slope, b, part.multipliers.row(i) / length[k], eps) + rounding;
        continue;
      }
      const Curved& curve = *Of(curved, i);
      ranges[k] = RangeBelow(p, Of(rows, i), curve, sets.of(i), b, terms.q.row(i), objective);
      const auto bound = [&](const RowVector& multipliers) {
        return ConvexGap(f, curve, ranges[k], equal, y, slope, b, multipliers, eps) + rounding;
      };
      gaps[i] = std::max(0.0, std::min(bound(full.multipliers.row(i)), bound(part.multipliers.row(i) / length[k])));
      const double diameter = Diameter(ranges[k]), steep = slope.size() ? slope.cwiseAbs().maxCoeff() : 0;
      if (gaps[i] <= 1e-9 * (1 + std::abs(objective)) || !(steep > 0) || !std::isfinite(steep + diameter)) continue;
      far[k] = kFarStep * (1 + diameter) / steep;
      target.row(i) += far[k] * slope;
    }
  });
  if (std::any_of(far.begin(), far.end(), [](double t) { return t > 0; })) {
    const QpSolutions most = SolveAll(project, target, terms.b, scaled(far), {});
    ParallelFor(0, batch, 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto k = static_cast<std::size_t>(i);
        if (far[k] == 0) continue;
        const RowVector y = at.row(i);
        const double objective = 0.5 * y.dot(y * of(solve, i).P) + terms.q.row(i).dot(y);
        const double other = ConvexGap(of(solve, i), *Of(curved, i), ranges[k], equal, y, g.row(i),
                                       terms.b.row(i), most.multipliers.row(i) / far[k], eps);
        gaps[i] = std::max(0.0, std::min(gaps[i], other + eps * (std::abs(objective) + 1)));
      }
    });
  }
  c.residual = c.residual.to(p.dtype);
  if (convex) c.gap = at::where(gap.isnan(), at::full_like(gap, kInfinity), gap).to(p.dtype);
  return c;
}

}  // namespace amo::runtime
