// SPDX-License-Identifier: Apache-2.0
// The reference solver from zeros, from what is known of other instances, and from predictions.
#include "runtime/starts.h"

#include <chrono>
#include <string_view>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

namespace amo::runtime {
namespace {

// [B, entries]: all contexts of an instance in one row.
at::Tensor ContextRows(const Problem& p, const Values& values, std::int64_t batch) {
  std::vector<at::Tensor> parts{at::zeros({batch, 1}, at::TensorOptions(at::kDouble))};
  for (const compiler::Named& c : p.program.contexts)
    parts.push_back(AlongBatch(values.at(c.name), c.type.shape, batch)
                        .reshape({batch, compiler::Count(c.type.shape)})
                        .to(at::kDouble));
  return at::cat(parts, 1);
}

}  // namespace

std::vector<StartRow> CompareStarts(const Problem& p, const Values& values, std::int64_t batch, const Values& training,
                                    std::int64_t known, const Values* model, const ReferenceOptions& all) {
  const c10::NoGradGuard no_grad;
  const ReferenceSummary others = SolveReference(p, training, known, all);
  const ReferenceSummary own = SolveReference(p, values, batch, all);
  const at::Tensor there = ContextRows(p, training, known), here = ContextRows(p, values, batch);
  const at::Tensor deviation = there.std(0, false).clamp_min(1e-12);
  const at::Tensor nearest = at::cdist(here / deviation, there / deviation).argmin(1);
  Values zeros, mean, near, previous;
  for (const compiler::Named& v : p.program.variables) {
    const at::Tensor solved = others.variables.at(v.name), mine = own.variables.at(v.name);
    zeros[v.name] = at::zeros_like(mine);
    mean[v.name] = solved.mean(0, true).expand_as(mine).contiguous();
    near[v.name] = solved.index_select(0, nearest);
    previous[v.name] = mine.roll(1, 0);
  }
  std::vector<StartRow> rows;
  const auto add = [&](const char* name, const Values& start, const at::Tensor& multipliers = {}) {
    ReferenceOptions options = all;
    options.multipliers = multipliers, options.warm = name != std::string_view("zeros");
    const auto begun = std::chrono::steady_clock::now();
    const ReferenceSummary s = SolveReference(p, values, batch, options, &start);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    StartRow row{name, s.iterations, 0, seconds / static_cast<double>(batch)};
    for (const SolveStatus status : s.status) row.solved += status == SolveStatus::kSolved;
    rows.push_back(std::move(row));
  };
  add("zeros", zeros);
  add("mean", mean);
  const bool duals = others.multipliers.defined() && own.multipliers.defined();
  add("nearest", near, duals ? others.multipliers.index_select(0, nearest) : at::Tensor());
  add("previous", previous, duals ? own.multipliers.roll(1, 0) : at::Tensor());
  if (model) add("model", *model);
  return rows;
}

}  // namespace amo::runtime
