// SPDX-License-Identifier: Apache-2.0
// Smooth programs: the linearized rows hold at every point that keeps convex ones. Their multipliers say how much what
// is quadratic in the Lagrangian curves.
#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "compiler/classify.h"
#include "runtime/gap.h"
#include "runtime/nlp_functions.h"
#include "runtime/parallel.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// More of the multipliers of quadratic rows than the step has found, where nothing else bounds the rest.
constexpr double kMore[] = {1e-3, 1e-2, 0.1, 1, 10};

using compiler::Degree;

// [m]: 1 for the convex quadratic rows, else 0.
RowVector QuadraticRows(const compiler::Program& p, std::int64_t m) {
  RowVector rows = RowVector::Zero(m);
  std::int64_t from = 0;
  std::size_t next = 1;  // of Program::classes, which sets are not among
  for (const compiler::ConeRows& r : p.cones) {
    const compiler::Curvature* c = r.set ? nullptr : &p.classes[next++].curvature;
    if (c && c->degree == Degree::kQuadratic && c->convex) rows.segment(from, r.count).setOnes();
    from += r.count;
  }
  return rows;
}

// What is known of one instance at its point.
struct At {
  RowVector y, gradient, sides, b;  // b: of the linearized rows J z + b
  const Matrix& J;
  const std::vector<char>& equal;
  Range range;
  double rounding = 0;
};

double Bound(const At& at, const RowVector& multipliers, const Curved* curved) {
  double value = 0, size = 0;
  RowVector r = at.gradient;
  for (Eigen::Index j = 0; j < multipliers.size(); ++j) {
    const double l = multipliers[j];
    if (l == 0) continue;
    value -= l * at.sides[j], size += std::abs(l) * (std::abs(at.sides[j]) + std::abs(at.b[j])), r += l * at.J.row(j);
  }
  return value + Remainder(r, at.y, at.range, curved) + at.rounding * (1 + size);
}

}  // namespace

LinearizedCertificate CertifyLinearized(const Problem& p, const Values& values, const at::Tensor& y) {
  const NlpFunctions functions(p);
  const compiler::Nlp& nlp = functions.nlp();
  const std::int64_t batch = y.size(0);
  const at::TensorOptions doubles(at::kDouble);
  at::Tensor residual = at::empty({batch}, doubles), gap = at::empty({batch}, doubles);
  const bool convex = compiler::IsConvex(p.program);
  LinearizedCertificate c{residual.to(p.dtype), convex ? gap.to(p.dtype) : at::Tensor()};
  if (batch == 0) return c;
  const Matrix at = ToMatrix(y);
  const NlpFunctions::First first = functions.AtPoints(values, at);
  const Matrix jacobians = functions.Jacobians(values, at);
  const Ranges sets = convex ? RangesOf(p, values, batch) : Ranges{};
  std::vector<Range> ranges(static_cast<std::size_t>(convex ? batch : 0));
  Matrix near = Matrix::Zero(batch, nlp.m), far = near;
  ParallelFor(0, batch, 4, [&](std::int64_t begin, std::int64_t end) {
    Matrix J;
    for (std::int64_t i = begin; i < end; ++i) {
      functions.Jacobian(jacobians.row(i).data(), J);
      const RowVector g = first.gradient.row(i), sides = first.sides.row(i);
      const QpFactors f(Matrix::Identity(nlp.n, nlp.n), J, nlp.equal);
      const QpSolutions step = SolveQp(f, g, sides, Matrix());
      const bool known = step.status[0] == QpStatus::kSolved;
      residual.mutable_data_ptr<double>()[i] = known && nlp.n > 0 ? step.y.cwiseAbs().maxCoeff() : known ? 0 : INFINITY;
      if (!convex) continue;
      Range& range = ranges[static_cast<std::size_t>(i)];
      range = sets.of(i);
      const RowVector b = sides - at.row(i) * J.transpose();
      Tighten(SparseRows(J, nlp.equal, nlp.n), b.data(), {}, 0, p.program, range);
      near.row(i) = far.row(i) = step.multipliers.row(0);
      const double diameter = Diameter(range), slope = nlp.n > 0 ? g.cwiseAbs().maxCoeff() : 0;
      if (std::isfinite(diameter) && slope > 0 && std::isfinite(slope)) {
        const double t = kFarStep * (1 + diameter) / slope;
        far.row(i) = SolveQp(f, t * g, sides, Matrix()).multipliers.row(0) / t;
      }
      for (std::int64_t j = 0; j < nlp.m; ++j) {
        if (nlp.equal[static_cast<std::size_t>(j)]) continue;
        near(i, j) = std::max(near(i, j), 0.0), far(i, j) = std::max(far(i, j), 0.0);
      }
    }
  });
  c.residual = residual.to(p.dtype);
  if (!convex) return c;
  // Hessians are linear in the multipliers; of an objective that is not quadratic its own part is left out.
  const RowVector quadratic = QuadraticRows(p.program, nlp.m);
  const bool objective = p.program.classes[0].curvature.degree <= Degree::kQuadratic;
  const bool curves = objective || quadratic.any();
  const auto hessians = [&](const Matrix& dual) { return functions.Hessians(values, at, dual); };
  Matrix own, of_near, of_far, of_rows;
  if (curves) {
    own = hessians(Matrix::Zero(batch, nlp.m));
    of_near = hessians(near * quadratic.asDiagonal()), of_far = hessians(far * quadratic.asDiagonal());
    of_rows = hessians(quadratic.replicate(batch, 1)) - own;
    if (!objective) of_near -= own, of_far -= own;
  }
  ParallelFor(0, batch, 4, [&](std::int64_t begin, std::int64_t end) {
    Matrix J, P;
    for (std::int64_t i = begin; i < end; ++i) {
      functions.Jacobian(jacobians.row(i).data(), J);
      const Range& range = ranges[static_cast<std::size_t>(i)];
      At here{at.row(i), first.gradient.row(i), first.sides.row(i), {}, J, nlp.equal, range};
      here.b = here.sides - here.y * J.transpose();
      here.rounding = RoundingOf(p) * (1 + std::abs(first.objective[i]));
      const auto bound = [&](const RowVector& multipliers, const RowVector& compressed) {
        if (!curves) return Bound(here, multipliers, nullptr);
        functions.Hessian(compressed.data(), P);
        return Bound(here, multipliers, CurvedOf(P).get());
      };
      const RowVector none;
      double least = bound(near.row(i), curves ? RowVector(of_near.row(i)) : none);
      least = std::min(least, bound(far.row(i), curves ? RowVector(of_far.row(i)) : none));
      if (quadratic.any() && !(least < 1e-3 * (1 + std::abs(first.objective[i])))) {
        const double scale = here.gradient.cwiseAbs().maxCoeff();
        for (const double part : kMore) {
          const double more = part * scale;
          least = std::min(least, bound(near.row(i) + more * quadratic, of_near.row(i) + more * of_rows.row(i)));
        }
      }
      gap.mutable_data_ptr<double>()[i] = std::isnan(least) ? kInfinity : std::max(least, 0.0);
    }
  });
  c.gap = gap.to(p.dtype);
  return c;
}

}  // namespace amo::runtime
