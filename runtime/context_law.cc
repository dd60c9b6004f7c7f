// SPDX-License-Identifier: Apache-2.0
// Distances of contexts from the training draws' mean, in units of their deviations (Mahalanobis 1936).
#include "runtime/context_law.h"

#include <algorithm>
#include <tuple>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/searchsorted.h>
#include <c10/core/GradMode.h>

namespace amo::runtime {
namespace {

constexpr std::int64_t kDraws = 1024, kMostEntries = 20000;
constexpr std::int64_t kMostWhole = 64;  // above it each entry alone

at::Tensor Rows(const Problem& p, const Values& values, std::int64_t batch) {
  std::vector<at::Tensor> parts;
  for (const compiler::Named& c : p.program.contexts)
    parts.push_back(AlongBatch(values.at(c.name), c.type.shape, batch)
                        .reshape({batch, compiler::Count(c.type.shape)})
                        .to(at::kDouble));
  return at::cat(parts, 1);
}

at::Tensor Distances(const at::Tensor& rows, const at::Tensor& mean, const at::Tensor& whiten) {
  const at::Tensor away = rows - mean;
  const at::Tensor units = whiten.dim() == 2 ? away.matmul(whiten) : away * whiten;
  return units.mul(units).sum(1);
}

}  // namespace

Values LearnContextLaw(const Problem& p) {
  const c10::NoGradGuard no_grad;
  if (p.program.contexts.empty() || !p.program.sample_function) return {};
  for (const compiler::Row& r : p.program.rows) if (!p.tables.count(r.source)) return {};
  std::int64_t entries = 0;
  for (const compiler::Named& c : p.program.contexts) entries += compiler::Count(c.type.shape);
  if (entries > kMostEntries) return {};
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{1});
  const at::Tensor rows = Rows(p, Sample(p, kDraws, Split::kTrain, g), kDraws);
  const at::Tensor mean = rows.mean(0), away = rows - mean;
  at::Tensor whiten;
  if (rows.size(1) <= kMostWhole) {
    // An entry that others determine, or that does not vary, has no deviation of its own: moving it at all is far.
    const auto [values, vectors] = at::linalg_eigh(away.t().matmul(away) / static_cast<double>(kDraws));
    const double least = std::max(1e-12 * values.max().item<double>(), 1e-300);
    whiten = vectors * values.clamp_min(least).rsqrt();
  } else {
    const at::Tensor deviation = away.mul(away).mean(0).sqrt();
    whiten = deviation.clamp_min(std::max(1e-6 * deviation.max().item<double>(), 1e-150)).reciprocal();
  }
  return {{"law/mean", mean},
          {"law/whiten", whiten},
          {"law/distances", std::get<0>(Distances(rows, mean, whiten).sort())}};
}

std::optional<at::Tensor> InDistribution(const Problem& p, const Values& law, const Values& values,
                                         std::int64_t batch) {
  const auto mean = law.find("law/mean"), whiten = law.find("law/whiten"), distances = law.find("law/distances");
  if (mean == law.end() || whiten == law.end() || distances == law.end() || batch == 0) return std::nullopt;
  const c10::NoGradGuard no_grad;
  const at::Tensor mine = Distances(Rows(p, values, batch), mean->second, whiten->second).contiguous();
  const at::Tensor nearer = at::searchsorted(distances->second, mine);
  return 1 - nearer.to(at::kDouble) / static_cast<double>(distances->second.numel());
}

}  // namespace amo::runtime
