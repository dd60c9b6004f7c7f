// SPDX-License-Identifier: Apache-2.0
// Points further along the way that a method went.
#include "runtime/unbounded.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <vector>

namespace amo::runtime {
namespace {

constexpr double kFar = 1e4;        // of the start's size: nearer points are not suspected
constexpr double kGoesOn = 0.5;     // of the last fall, which the next doubling has to bring
constexpr int kDoublings = 10;

}  // namespace

void FindUnbounded(const Instances& instances, const at::Tensor& start, SolveSummary& done) {
  const c10::NoGradGuard no_grad;
  std::vector<std::int64_t> rows;
  const at::Tensor moved = (done.y - start).abs().amax(1).to(at::kDouble).contiguous();
  const at::Tensor size = (1 + start.abs().amax(1)).to(at::kDouble).contiguous();
  for (std::size_t i = 0; i < done.status.size(); ++i) {
    const bool open = done.status[i] == SolveStatus::kStepLimit || done.status[i] == SolveStatus::kStalled ||
                      done.status[i] == SolveStatus::kNotFinite;
    if (open && moved.const_data_ptr<double>()[i] > kFar * size.const_data_ptr<double>()[i])
      rows.push_back(static_cast<std::int64_t>(i));
  }
  if (rows.empty()) return;
  const at::Tensor ids = at::tensor(rows, at::TensorOptions(at::kLong));
  const Instances some = instances.Select(ids);
  const at::Tensor begin = start.index_select(0, ids), along = done.y.index_select(0, ids) - begin;
  const at::Tensor length = along.abs().amax(1, true);
  at::Tensor direction = along / length;
  direction = at::where(direction.abs().lt(1e-6), at::zeros_like(direction), direction);
  // Not from where the method ended, which may be too far for sums: from a thousand of the start's sizes on.
  const at::Tensor reach = 1e3 * (1 + begin.abs().amax(1, true));
  at::Tensor before = some.Value(some.Project(begin + reach * direction)).to(at::kDouble), fall, good;
  const at::Tensor violated = some.Violation(some.Project(begin));
  for (int k = 1; k <= kDoublings; ++k) {
    const double times = std::pow(2.0, k);
    const at::Tensor y = some.Project(begin + times * reach * direction);
    const at::Tensor now = some.Value(y).to(at::kDouble), by = before - now;
    const at::Tensor kept = some.Violation(y).le(violated + 1e-6 * times * reach.flatten());
    at::Tensor goes = by.gt(0).logical_and(kept);
    if (k > 1) goes = goes.logical_and(by.ge(kGoesOn * fall)).logical_and(good);
    good = goes, fall = by, before = now;
  }
  good = good.contiguous();
  if (!good.any().item<bool>()) return;
  if (!done.directions.defined()) done.directions = at::zeros_like(done.y);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (!good.const_data_ptr<bool>()[k]) continue;
    const auto i = static_cast<std::int64_t>(rows[k]);
    done.status[static_cast<std::size_t>(i)] = SolveStatus::kUnbounded;
    done.directions[i].copy_(direction[static_cast<std::int64_t>(k)]);
  }
}

}  // namespace amo::runtime
