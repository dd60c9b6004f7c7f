// SPDX-License-Identifier: Apache-2.0
// The least distance of r(y) = J y + r0 from its cones over the y in their sets, by accelerated projected gradients.
// Where it is not zero w = r - P(r) separates them: for every point of the sets and every point k of the cones
// w'r(y) >= w'r > w'k, so that the instance has no feasible point.
#include "runtime/feasibility_cones.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

namespace amo::runtime {
namespace {

constexpr int kSteps = 3000, kLook = 25;

class Distance {
 public:
  // `counted` [rows]: 1 for the rows that count, 0 for those that are left out.
  Distance(const Instances& instances, const at::Tensor& counted) : instances_(instances), counted_(counted) {
    const Problem& p = instances.problem();
    const compiler::ConicProjection& conic = *p.program.conic;
    const std::int64_t batch = instances.batch(), n = instances.size();
    call_ = instances.values();
    for (const compiler::Named& v : p.program.variables) {
      std::vector<std::int64_t> sizes = v.type.shape;
      sizes.insert(sizes.begin(), batch);
      call_[v.name] = at::zeros(sizes, at::TensorOptions(p.dtype));
    }
    for (const auto& [name, t] : Evaluate(p, conic.at, call_)) call_[name] = t;
    jacobian_ = AlongBatch(call_.at("conic/jacobian"), {conic.rows, n}, batch);
    offset_ = AlongBatch(call_.at("conic/offset"), {conic.rows}, batch);
    // At most the largest eigenvalue of J'J, by its rows' absolute sums.
    const at::Tensor normal = at::matmul(jacobian_, jacobian_.transpose(1, 2)).abs();
    rate_ = 1 / normal.sum(2).amax(1, true).clamp_min(1e-12);
  }

  at::Tensor InSets(const at::Tensor& y) { return Nearest(y, offset_).at("conic/y"); }

  // w = r - P(r) at y.
  at::Tensor Apart(const at::Tensor& y) {
    const at::Tensor r = at::matmul(jacobian_, y.unsqueeze(2)).squeeze(2) + offset_;
    return (r - Nearest(y, r).at("conic/r")) * counted_;
  }

  at::Tensor Down(const at::Tensor& y, const at::Tensor& w) {
    return InSets(y - rate_ * at::matmul(w.unsqueeze(1), jacobian_).squeeze(1));
  }

  Feasibility Run(const at::Tensor& from) {
    const bool f64 = instances_.problem().dtype == at::kDouble;
    const double small = f64 ? 1e-6 : 1e-3, still = f64 ? 1e-8 : 1e-4;
    at::Tensor y = InSets(from), ahead = y;
    at::Tensor pace = at::ones({instances_.batch(), 1}, y.options());
    Feasibility out;
    for (int step = 0; step < kSteps; ++step) {
      const at::Tensor next = Down(ahead, Apart(ahead));
      // The momentum ends where it points uphill (O'Donoghue, Candes 2015).
      const at::Tensor uphill = ((ahead - next) * (next - y)).sum(1, true).gt(0);
      const at::Tensor faster = at::where(uphill, at::ones_like(pace), (1 + (1 + 4 * pace * pace).sqrt()) / 2);
      ahead = next + at::where(uphill, at::zeros_like(pace), (pace - 1) / faster) * (next - y);
      pace = faster, y = next;
      if (step % kLook != kLook - 1 && step != kSteps - 1) continue;
      const at::Tensor w = Apart(y), size = w.norm(2, 1);
      const at::Tensor far = size.gt(small * (1 + y.abs().amax(1)));
      const at::Tensor ended = ((y - Down(y, w)) / rate_).norm(2, 1).le(still * size);
      out.infeasible.clear();
      const at::Tensor verdict = far.logical_and(ended).contiguous();
      for (std::int64_t i = 0; i < y.size(0); ++i) out.infeasible.push_back(verdict.const_data_ptr<bool>()[i]);
      if (!far.logical_and(ended.logical_not()).any().item<bool>()) break;
    }
    out.y = y;
    return out;
  }

 private:
  Values Nearest(const at::Tensor& y, const at::Tensor& r) {
    const Problem& p = instances_.problem();
    call_["conic/y"] = y, call_["conic/r"] = r;
    Values out = Evaluate(p, p.program.conic->nearest, call_);
    out["conic/y"] = AlongBatch(out.at("conic/y"), {instances_.size()}, instances_.batch());
    out["conic/r"] = AlongBatch(out.at("conic/r"), {p.program.conic->rows}, instances_.batch());
    return out;
  }

  const Instances& instances_;
  at::Tensor counted_, jacobian_, offset_, rate_;
  Values call_;
};

at::Tensor AllRows(const Problem& p) {
  return at::ones({p.program.conic->rows}, at::TensorOptions(p.dtype));
}

}  // namespace

Feasibility FeasibilityOfCones(const Instances& instances, const at::Tensor& y) {
  return Distance(instances, AllRows(instances.problem())).Run(y);
}

// The deletion filter (Chinneck, Dravnieks 1991) over whole constraints.
std::vector<std::string> ConflictOfCones(const Instances& one, const at::Tensor& y) {
  const Problem& p = one.problem();
  at::Tensor counted = AllRows(p);
  std::vector<std::string> needed;
  std::int64_t from = 0;
  for (const auto& [name, rows] : p.program.conic->constraints) {
    at::Tensor fewer = counted.clone();
    fewer.narrow(0, from, rows).zero_();
    from += rows;
    if (Distance(one, fewer).Run(y).infeasible[0]) counted = fewer;
    else needed.push_back(name);
  }
  return needed;
}

}  // namespace amo::runtime
