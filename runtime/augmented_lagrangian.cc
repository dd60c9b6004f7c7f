// SPDX-License-Identifier: Apache-2.0
// Rounds of minimizing the Lagrangian and moving the multipliers.
#include "runtime/augmented_lagrangian.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

namespace amo::runtime {
namespace {

constexpr int kOuter = 40;
constexpr double kFeasible = 1e-7, kShrink = 0.25, kGrow = 10, kLargest = 1e10, kMultiplier = 1e12;

// The largest entry by which the constraints fail, or by which multiplier and slack are not complementary: |λ⁺ - λ| /
// ρ.
at::Tensor Distance(const Values& now, const Values& next, const at::Tensor& penalty) {
  at::Tensor worst;
  for (const auto& [name, t] : next) {
    if (t.size(1) == 0) continue;
    const at::Tensor one = at::amax((t - now.at(name)).abs(), {1}) / penalty;
    worst = worst.defined() ? at::where(one > worst, one, worst) : one;
  }
  return worst.defined() ? worst : at::zeros(penalty.sizes(), penalty.options());
}

}  // namespace

SolveSummary AugmentedLagrangian(const Instances& instances, const at::Tensor& start, const MethodRow& method,
                                 const SolveOptions& options) {
  const c10::NoGradGuard no_grad;
  const Problem& p = instances.problem();
  const std::int64_t batch = instances.batch();
  const at::TensorOptions real(p.dtype), whole(at::kLong);
  const double feasible = std::max(options.tolerance, kFeasible);
  SolveSummary all;
  all.y = instances.Project(start).clone();
  all.objective = instances.Value(all.y).clone();
  all.residual = at::full({batch}, INFINITY, real);
  all.status.assign(static_cast<std::size_t>(batch), SolveStatus::kStepLimit);
  all.iterations.assign(static_cast<std::size_t>(batch), 0);
  Values state = NoMultipliers(p, batch, 1);  // of all instances: multipliers, "penalty"
  const auto next_multipliers = [&](const Instances& some, const at::Tensor& y, const Values& now) {
    Values values = some.values();
    for (const auto& [name, t] : now) values[name] = t;
    for (auto& [name, t] : some.Split(y)) values[name] = t;
    Values next = Evaluate(p, *p.program.multipliers, values);
    for (auto& [name, t] : next) {
      if (t.dim() < 2) t = t.expand({some.batch(), t.size(0)});
      t = t.clamp(-kMultiplier, kMultiplier);
    }
    return next;
  };
  // The first penalty balances objective and infeasibility (Birgin, Martínez 2014, section 12.4).
  {
    at::Tensor squares = at::zeros({batch}, real);
    for (const auto& [name, t] : next_multipliers(instances, all.y, state)) squares = squares + t.mul(t).sum(1);
    state["penalty"] = (2 * all.objective.abs() / squares.clamp_min(1e-12)).clamp(1e-2, 10).nan_to_num(1);
  }
  at::Tensor open = at::arange(batch, whole), before = at::full({batch}, INFINITY, real);
  for (int round = 0; round < kOuter && open.size(0) > 0; ++round) {
    Values values = instances.values(), mine;
    Instances some = instances.Select(open);
    values = some.values();
    for (const auto& [name, t] : state) mine[name] = t.index_select(0, open), values[name] = mine[name];
    const Instances lagrangian(p, values, open.size(0), Goal::kLagrangian);
    SolveOptions inner = options;
    inner.tolerance = std::max(options.tolerance, std::pow(0.1, round + 1));
    const SolveSummary s = method.run(lagrangian, all.y.index_select(0, open), inner);
    const Values next = next_multipliers(some, s.y, mine);
    const at::Tensor distance = Distance(mine, next, mine.at("penalty"));
    all.y.index_copy_(0, open, s.y);
    all.residual.index_copy_(0, open, s.residual);
    for (const auto& [name, t] : next) state[name].index_copy_(0, open, t);
    const at::Tensor slow = distance > kShrink * before.index_select(0, open);
    const at::Tensor penalty =
        at::where(slow.logical_and(distance > feasible), mine.at("penalty") * kGrow, mine.at("penalty"));
    state["penalty"].index_copy_(0, open, penalty.clamp_max(kLargest));
    before.index_copy_(0, open, distance);
    // Statuses by instance, from plain memory.
    const at::Tensor far = distance.to(at::kDouble).contiguous(), residual = s.residual.to(at::kDouble).contiguous();
    const at::Tensor finite = at::isfinite(s.objective).contiguous();
    const std::int64_t* ids = open.const_data_ptr<std::int64_t>();
    std::vector<std::int64_t> left;
    for (std::int64_t k = 0; k < open.size(0); ++k) {
      const auto id = static_cast<std::size_t>(ids[k]);
      const SolveStatus ended = s.status[static_cast<std::size_t>(k)];
      all.iterations[id] += s.iterations[static_cast<std::size_t>(k)];
      const bool kept = far.const_data_ptr<double>()[k] <= feasible;
      // Feasible where the method can go no further: it has stalled, not failed to keep the constraints.
      all.status[id] = kept && residual.const_data_ptr<double>()[k] <= options.tolerance ? SolveStatus::kSolved
                       : !finite.const_data_ptr<bool>()[k]                               ? SolveStatus::kNotFinite
                       : kept && ended == SolveStatus::kStalled                          ? SolveStatus::kStalled
                                                                                         : SolveStatus::kStepLimit;
      const bool coarse = inner.tolerance > options.tolerance;
      const bool again =
          all.status[id] == SolveStatus::kStepLimit || (all.status[id] == SolveStatus::kStalled && coarse);
      if (again) left.push_back(ids[k]);
    }
    open = at::empty({static_cast<std::int64_t>(left.size())}, whole);
    std::copy(left.begin(), left.end(), open.data_ptr<std::int64_t>());
  }
  all.objective = instances.Value(all.y);
  return all;
}

}  // namespace amo::runtime
