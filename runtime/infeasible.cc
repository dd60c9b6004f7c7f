// SPDX-License-Identifier: Apache-2.0
// Certificates to names.
#include "runtime/infeasible.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "runtime/conflict.h"
#include "runtime/feasibility.h"
#include "runtime/quadratic.h"

namespace amo::runtime {
namespace {

Vector RowOf(const at::Tensor& t, std::int64_t i) {
  const at::Tensor row = t[i].to(at::kDouble).contiguous();
  return Eigen::Map<const Vector>(row.const_data_ptr<double>(), row.numel());
}

std::vector<std::string> Moving(const compiler::Program& p, const Vector& direction) {
  std::vector<std::string> parts;
  const double largest = direction.cwiseAbs().maxCoeff();
  Eigen::Index at = 0;
  for (const compiler::Named& v : p.variables) {
    const std::int64_t count = compiler::Count(v.type.shape);
    for (std::int64_t k = 0; k < count; ++k, ++at) {
      if (std::abs(direction[at]) <= 1e-9 * largest) continue;
      parts.push_back(fmt::format("{} {:+.3g}", v.type.shape.empty() ? v.name : fmt::format("{}[{}]", v.name, k),
                                  direction[at] / largest));
    }
  }
  return parts;
}

}  // namespace

std::vector<Reason> ReasonsOf(const Problem& p, const Values& values, std::int64_t batch, const ReferenceSummary& s,
                              std::size_t most) {
  std::vector<Reason> reasons;
  const bool certified = s.certificates.defined() && IsQuadraticProgram(p);
  const Instances instances(p, values, batch);
  FactorList factors;
  QuadraticTerms terms;
  for (std::int64_t i = 0; i < batch && reasons.size() < most; ++i) {
    const SolveStatus status = s.status[static_cast<std::size_t>(i)];
    if (status == SolveStatus::kUnbounded) reasons.push_back({i, true, Moving(p.program, RowOf(s.directions, i))});
    if (status != SolveStatus::kInfeasible) continue;
    if (!certified) {
      const at::Tensor row = at::full({1}, i, at::TensorOptions(at::kLong));
      const Instances one = instances.Select(row);
      const Feasibility nearest = FeasibilityOf(one, instances.Join(s.variables).index_select(0, row));
      reasons.push_back({i, false, ConflictAt(one, nearest.y, 0)});
      continue;
    }
    if (factors.empty()) factors = SolveFactors(p, values, batch), terms = TermsOf(p, values, batch);
    const QpFactors& f = *factors[factors.size() == 1 ? 0 : static_cast<std::size_t>(i)];
    std::vector<char> equal(static_cast<std::size_t>(f.m), 0);
    for (const int row : f.equal_rows) equal[static_cast<std::size_t>(row)] = 1;
    Reason reason{i, false, {}};
    for (const std::int64_t row : MinimalConflict(f.A, terms.b.row(i).transpose(), equal, RowOf(s.certificates, i)))
      reason.parts.push_back(RowName(p.program, row));
    reasons.push_back(std::move(reason));
  }
  return reasons;
}

std::string ToText(const Reason& r) {
  if (r.unbounded) return fmt::format("instance {} is unbounded along {}", r.instance, fmt::join(r.parts, ", "));
  if (r.parts.empty()) return fmt::format("instance {} is infeasible", r.instance);
  return fmt::format("instance {} is infeasible: `{}` {}", r.instance, fmt::join(r.parts, "`, `"),
                     r.parts.size() == 1 ? "cannot hold" : "contradict each other");
}

}  // namespace amo::runtime
