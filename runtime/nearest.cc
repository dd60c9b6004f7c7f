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

constexpr double kNever = 1e30;  // half a squared distance that no other has

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

void RememberSolutions(const Problem& p, const Values& values, std::int64_t batch, const ReferenceOptions& options,
                       Values& learned) {
  const c10::NoGradGuard no_grad;
  const ReferenceSummary solved = SolveReference(p, values, batch, options);
  const at::Tensor contexts = Rows(p, p.program.contexts, values, batch);
  const at::Tensor deviation = contexts.std(0, false);
  const at::Tensor scale = at::where(deviation > 0, 1 / deviation, at::zeros_like(deviation));
  const at::Tensor scaled = contexts * scale;
  at::Tensor norms = 0.5 * scaled.mul(scaled).sum(1);
  for (std::int64_t i = 0; i < batch; ++i)
    if (solved.status[static_cast<std::size_t>(i)] != SolveStatus::kSolved) norms[i].fill_(kNever);
  learned[compiler::nearest::kContexts] = scaled.contiguous();
  learned[compiler::nearest::kNorms] = norms;
  learned[compiler::nearest::kScale] = scale;
  learned[compiler::nearest::kSolutions] = Rows(p, p.program.variables, solved.variables, batch).contiguous();
}

}  // namespace amo::runtime
