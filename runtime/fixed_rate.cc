// SPDX-License-Identifier: Apache-2.0
// The loop of the methods with a given rate.
#include "runtime/fixed_rate.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

namespace amo::runtime {
namespace {

bool HasRandoms(const compiler::Program& p) {
  return std::any_of(p.draws.begin(), p.draws.end(), [](const compiler::Draw& d) { return d.random; });
}

at::Tensor IsFinite(const Instances::Point& p) {
  return at::isfinite(p.value).logical_and(at::isfinite(p.gradient).all(1));
}

bool All(const at::Tensor& mask) { return mask.all().item<bool>(); }

at::Tensor Rows(const at::Tensor& mask) { return at::nonzero(mask).squeeze(1); }

// Objective, residual and status at y; an instance that is not finite there has the point `otherwise`.
SolveSummary Closed(const Instances& instances, at::Tensor y, const at::Tensor& otherwise, double tolerance,
                    std::vector<std::int64_t> iterations) {
  Instances::Point at = instances(y);
  at::Tensor finite = IsFinite(at);
  if (!All(finite)) {
    y = at::where(finite.unsqueeze(1), y, otherwise);
    at = instances(y);
    finite = IsFinite(at);
  }
  SolveSummary summary{y, at.value, instances.Residual(y, at.gradient), {}, std::move(iterations)};
  const at::Tensor solved = (summary.residual <= tolerance).contiguous();
  finite = finite.contiguous();
  const bool *is_solved = solved.const_data_ptr<bool>(), *is_finite = finite.const_data_ptr<bool>();
  for (std::int64_t i = 0; i < instances.batch(); ++i) {
    summary.status.push_back(!is_finite[i]  ? SolveStatus::kNotFinite
                             : is_solved[i] ? SolveStatus::kSolved
                                            : SolveStatus::kStepLimit);
  }
  return summary;
}

}  // namespace

SolveSummary StepAtRate(const Instances& instances, const at::Tensor& start, const SolveOptions& o, RateRule rule) {
  const c10::NoGradGuard no_grad;
  const std::int64_t batch = instances.batch();
  const bool random = HasRandoms(instances.problem().program);
  at::Generator draws = at::make_generator<at::CPUGeneratorImpl>(o.seed);

  // By instance: what it ends with, and the last point that was seen to be finite.
  const at::Tensor answer = instances.Project(start).clone(), last = answer.clone();
  std::vector<std::int64_t> iterations(static_cast<std::size_t>(batch), std::max<std::int64_t>(o.steps, 0));
  if (batch == 0) return {answer, start.new_zeros({0}), start.new_zeros({0}), {}, {}};

  // By row of the instances that go on.
  std::optional<Instances> work(instances);
  at::Tensor ids = at::arange(batch, start.options().dtype(at::kLong));
  at::Tensor y = answer.clone(), kept = y, d = at::zeros_like(y), rate = at::full({batch, 1}, o.rate, start.options());
  std::vector<at::Tensor> state;
  const auto keep = [&] { answer.index_copy_(0, ids, y), last.index_copy_(0, ids, kept); };

  for (std::int64_t step = 0; step < o.steps; ++step) {
    if (random && step > 0) work->Redraw(draws);
    Instances::Point at = (*work)(y);
    at::Tensor finite = IsFinite(at);
    if (!random) {
      at::Tensor done = (work->Residual(y, at.gradient) <= o.tolerance).logical_and(finite);
      if (step == 0) done = done.logical_or(finite.logical_not());
      if (done.any().item<bool>()) {
        const at::Tensor closed = ids.index_select(0, Rows(done)), rows = Rows(done.logical_not());
        keep();
        const std::int64_t* which = closed.const_data_ptr<std::int64_t>();
        for (std::int64_t k = 0; k < closed.size(0); ++k) iterations[static_cast<std::size_t>(which[k])] = step;
        for (at::Tensor* t : {&ids, &y, &kept, &d, &rate, &finite, &at.gradient}) *t = t->index_select(0, rows);
        for (at::Tensor& t : state) t = t.index_select(0, rows);
        if (ids.size(0) == 0) break;
        work.emplace(work->Select(rows));
      }
    }
    if (All(finite)) {
      kept = y;
      d = rule(at.gradient, step, o, state);
    } else {
      const at::Tensor row = finite.unsqueeze(1);
      kept = at::where(row, y, kept);
      d = at::where(row, rule(at::where(row, at.gradient, at::zeros_like(y)), step, o, state), d);
      rate = at::where(row, rate, rate / 2);
    }
    y = work->Project(kept - rate * d);
  }
  if (ids.size(0) > 0) keep();
  return Closed(instances, answer, last, o.tolerance, std::move(iterations));
}

}  // namespace amo::runtime
