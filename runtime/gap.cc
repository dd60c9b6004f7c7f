// SPDX-License-Identifier: Apache-2.0
// Bounds by one projected step of length one, and by one that is so long that it ends at the least point of the
// linearization.
#include "runtime/gap.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <Eigen/Eigenvalues>
#include <c10/core/GradMode.h>

#include "compiler/classify.h"
#include "runtime/parallel.h"
#include "runtime/quadratic.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kMostCurved = 300;  // entries: beyond, curvature is not taken apart
constexpr std::int64_t kMostEntries = 1 << 23;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

double RoundingOf(const Problem& p) { return p.dtype == at::kDouble ? 1e-13 : 1e-5; }

std::shared_ptr<const Curved> CurvedOf(const Matrix& P) {
  const Eigen::Index n = P.rows();
  auto curved = std::make_shared<Curved>();
  const double size = n > 0 ? P.cwiseAbs().maxCoeff() : 0;
  if (size == 0) return curved;
  if (n > kMostCurved) return nullptr;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(P);
  const auto& values = eigen.eigenvalues();
  if (eigen.info() != Eigen::Success || values[0] < -1e-12 * static_cast<double>(n) * size) return nullptr;
  Eigen::Index from = 0;
  while (from < n && values[from] <= 1e-10 * values[n - 1]) ++from;
  const auto vectors = eigen.eigenvectors().rightCols(n - from);
  curved->range = vectors * vectors.transpose();
  curved->inverse = vectors * values.tail(n - from).cwiseInverse().asDiagonal() * vectors.transpose();
  return curved;
}

std::vector<std::shared_ptr<const Curved>> CurvedOf(const std::vector<const Matrix*>& all) {
  std::vector<std::shared_ptr<const Curved>> curved(all.size());
  ParallelFor(0, static_cast<std::int64_t>(all.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      curved[static_cast<std::size_t>(i)] = CurvedOf(*all[static_cast<std::size_t>(i)]);
  });
  return curved;
}

double Remainder(const RowVector& r, const RowVector& y, const Range& range, const Curved* curved) {
  const auto by_range = [&](const RowVector& part, double rounding) {
    double sum = 0;
    for (Eigen::Index j = 0; j < part.size(); ++j) {
      if (std::abs(part[j]) <= rounding) continue;
      const double far = part[j] > 0 ? range.lo[j] : range.hi[j];
      if (IsFree(far)) return kInfinity;
      sum += part[j] * (y[j] - far);
    }
    return sum;
  };
  const double plain = by_range(r, 0);
  if (!curved || curved->range.size() == 0) return plain;
  const RowVector along = r * curved->range;
  const double bent = 0.5 * r.dot(r * curved->inverse);
  return std::min(plain, bent + by_range(r - along, 1e-14 * r.cwiseAbs().maxCoeff()));
}

at::Tensor GapByProjection(const Instances& instances, const at::Tensor& y, const at::Tensor& gradient,
                           const at::Tensor& moved) {
  const Problem& p = instances.problem();
  const compiler::Program& program = p.program;
  if (!program.region || program.lagrangian || program.classes.empty()) return {};
  const compiler::Curvature& objective = program.classes[0].curvature;
  const std::int64_t batch = instances.batch(), n = instances.size();
  // Matrices that differ by instance: in parts, so that they take no more than some 100 MiB.
  const std::int64_t most = std::max<std::int64_t>(1, kMostEntries / std::max<std::int64_t>(1, n * n));
  if (batch > most) {
    std::vector<at::Tensor> parts;
    for (std::int64_t from = 0; from < batch; from += most) {
      const std::int64_t count = std::min(most, batch - from);
      const at::Tensor rows = at::arange(from, from + count, at::TensorOptions(at::kLong));
      parts.push_back(GapByProjection(instances.Select(rows), y.narrow(0, from, count), gradient.narrow(0, from, count),
                                      moved.narrow(0, from, count)));
      if (!parts.back().defined()) return {};
    }
    return at::cat(parts, 0);
  }
  std::vector<Matrix> hessians;
  if (objective.degree <= compiler::Degree::kQuadratic && n <= kMostCurved)
    hessians = HessiansOf(p, instances.values(), batch);
  std::vector<const Matrix*> each;
  for (const Matrix& P : hessians) each.push_back(&P);
  const std::vector<std::shared_ptr<const Curved>> curved = CurvedOf(each);
  const bool convex = objective.convex || (!curved.empty() && std::all_of(curved.begin(), curved.end(),
                                                                          [](const auto& c) { return c != nullptr; }));
  if (!convex) return {};
  const Ranges sets = RangesOf(p, instances.values(), batch);
  const std::vector<Matrix> A = RowsOf(p, instances.values(), batch);
  const Matrix b = OffsetsOf(p, instances.values(), batch);
  std::vector<SparseRows> rows;
  for (const Matrix& matrix : A) rows.emplace_back(matrix, EqualRows(program), n);
  const Matrix at = ToMatrix(y), g = ToMatrix(gradient), step = ToMatrix(moved);
  std::vector<Range> ranges(static_cast<std::size_t>(batch));
  Vector gap(batch);
  const double eps = RoundingOf(p);
  const auto bound = [&](std::int64_t i, const RowVector& d, double t) {
    const Curved* own = curved.empty() ? nullptr : curved[curved.size() == 1 ? 0 : static_cast<std::size_t>(i)].get();
    const RowVector normal = d - t * g.row(i);
    const double first = g.row(i).dot(d), second = d.squaredNorm() / t;
    // The normal is exact to the rounding of the projection.
    const double rounding = eps * (normal.cwiseAbs().sum() / t * (1 + at.row(i).cwiseAbs().maxCoeff()) +
                                   g.row(i).cwiseAbs().dot(d.cwiseAbs()) + second);
    return first - second + Remainder(d / t, at.row(i), ranges[static_cast<std::size_t>(i)], own) + rounding;
  };
  // A point that the bounded steps of the conic projection do not bring there has no normal.
  const auto reached_by = [&](const at::Tensor& ends) {
    std::vector<char> reached(static_cast<std::size_t>(batch), 1);
    if (!program.conic) return reached;
    const at::Tensor open = instances.Violation(ends).contiguous();
    for (std::int64_t i = 0; i < batch; ++i)
      reached[static_cast<std::size_t>(i)] = open.const_data_ptr<double>()[i] <= 1e4 * eps;
    return reached;
  };
  const std::vector<char> near = reached_by(y - moved);
  Matrix target = at;
  std::vector<double> length(static_cast<std::size_t>(batch), 0);
  ParallelFor(0, batch, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto k = static_cast<std::size_t>(i);
      ranges[k] = sets.of(i);
      Tighten(rows[rows.size() == 1 ? 0 : k], b.row(i).data(), {}, 0, program, ranges[k]);
      gap[i] = near[k] ? bound(i, step.row(i), 1) : kInfinity;
      const double diameter = Diameter(ranges[k]), slope = n > 0 ? g.row(i).cwiseAbs().maxCoeff() : 0;
      if (!std::isfinite(diameter) || !(slope > 0) || !std::isfinite(slope)) continue;
      length[k] = kFarStep * (1 + diameter) / slope;
      target.row(i) -= length[k] * g.row(i);
    }
  });
  if (std::any_of(length.begin(), length.end(), [](double t) { return t > 0; })) {
    const at::Tensor ends = instances.Project(ToTensor(target, p.dtype));
    const Matrix end = ToMatrix(ends);
    const std::vector<char> reached = reached_by(ends);
    for (std::int64_t i = 0; i < batch; ++i) {
      const double t = length[static_cast<std::size_t>(i)];
      if (t > 0 && reached[static_cast<std::size_t>(i)])
        gap[i] = std::min(gap[i], bound(i, at.row(i) - end.row(i), t));
    }
  }
  at::Tensor out = at::empty({batch}, at::TensorOptions(at::kDouble));
  for (std::int64_t i = 0; i < batch; ++i)
    out.mutable_data_ptr<double>()[i] = std::isnan(gap[i]) ? kInfinity : std::max(gap[i], 0.0);
  return out.to(p.dtype);
}

}  // namespace amo::runtime
