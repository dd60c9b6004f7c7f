// SPDX-License-Identifier: Apache-2.0
// Solved instances as the weights that a prediction by the nearest one reads.
#include "runtime/nearest.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

namespace amo::runtime {
namespace {

constexpr double kNever = 1e30;  // further than any other

// [batch, entries]: all values of an instance in one row.
at::Tensor Rows(const Problem& p, const std::vector<compiler::Named>& names, const Values& values, std::int64_t batch) {
  std::vector<at::Tensor> parts;
  for (const compiler::Named& n : names)
    parts.push_back(AlongBatch(values.at(n.name), n.type.shape, batch)
                        .reshape({batch, compiler::Count(n.type.shape)})
                        .to(p.dtype));
  return at::cat(parts, 1);
}

}  // namespace

std::int64_t Remember(const Problem& p, const Values& values, const Values& variables,
                      const std::vector<SolveStatus>& statuses, Values& learned) {
  const c10::NoGradGuard no_grad;
  const auto batch = static_cast<std::int64_t>(statuses.size());
  const at::Tensor contexts = Rows(p, p.program.contexts, values, batch);
  const at::Tensor mean = contexts.mean(0), deviation = contexts.std(0, false);
  const double rounding = p.dtype == at::kDouble ? 1e-12 : 1e-5;
  const at::Tensor differs = deviation > rounding * (contexts.abs().amax(0) + 1e-300);
  const at::Tensor scale = at::where(differs, 1 / deviation, at::zeros_like(deviation));
  // Half the squared distance from x, less what is the same for all instances, is norms - scaled * (x * scale): about
  // the mean, so that squares do not cancel.
  const at::Tensor scaled = (contexts - mean) * scale;
  at::Tensor norms = (scaled * (0.5 * scaled + mean * scale)).sum(1);
  const at::Tensor answers = Rows(p, p.program.variables, variables, batch);
  const at::Tensor finite = answers.isfinite().all(1).contiguous();
  std::int64_t usable = 0;
  for (std::int64_t i = 0; i < batch; ++i) {
    const SolveStatus status = statuses[static_cast<std::size_t>(i)];
    const bool none = status == SolveStatus::kInfeasible || status == SolveStatus::kUnbounded ||
                      status == SolveStatus::kNotFinite || !finite.const_data_ptr<bool>()[i];
    if (none) norms[i].fill_(kNever);
    else ++usable;
  }
  learned[compiler::nearest::kContexts] = scaled.contiguous();
  learned[compiler::nearest::kNorms] = norms;
  learned[compiler::nearest::kScale] = scale;
  learned[compiler::nearest::kSolutions] = at::where(answers.isfinite(), answers, at::zeros_like(answers)).contiguous();
  return usable;
}

}  // namespace amo::runtime
