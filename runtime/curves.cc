// SPDX-License-Identifier: Apache-2.0
// Objectives against steps and time.
#include "runtime/curves.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "compiler/check.h"
#include "runtime/predictor.h"

namespace amo::runtime {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

// All of a short run, and as many of a long one as a plot can show.
std::vector<std::int64_t> Stops(std::int64_t last) {
  constexpr std::int64_t kAll = 24, kPerDoubling = 4;
  std::vector<std::int64_t> stops;
  for (std::int64_t k = 0; k <= last;) {
    stops.push_back(k);
    k = k < kAll ? k + 1
                 : std::max(k + 1, std::lround(static_cast<double>(k) * std::exp2(1.0 / kPerDoubling)));
  }
  if (stops.back() != last) stops.push_back(last);
  return stops;
}

CurvePoint SolverAfter(const Problem& p, const Values& values, std::int64_t batch, std::int64_t steps,
                       const ReferenceOptions& options) {
  ReferenceOptions limited = options;
  limited.steps = steps, limited.progress = nullptr;
  const auto start = Clock::now();
  const ReferenceSummary s = SolveReference(p, values, batch, limited);
  return {steps, Seconds(start) / static_cast<double>(batch), s.objective.mean().item<double>()};
}

}  // namespace

Curve ModelCurve(const Problem& p, const Values& values, std::int64_t batch) {
  const c10::NoGradGuard no_grad;
  AMO_CHECK(p.program.objective.has_value());
  const std::int64_t own = ModelSteps(p);
  const bool goes_on = own > 0 && p.program.model.refinements.back().step.has_value();
  Curve curve;
  for (const std::int64_t k : Stops(goes_on ? 2 * own : own)) {
    const compiler::Trace look{"curve", *p.program.objective, k, 1, false};
    const auto run = [&] { return RunModel(p, values, batch, {{&look}, false}).traces.at("curve"); };
    if (curve.empty()) run();  // compiles
    const auto start = Clock::now();
    const at::Tensor value = run();
    curve.push_back({k, Seconds(start) / static_cast<double>(batch), value.mean().item<double>()});
  }
  return curve;
}

Curve SolverCurve(const Problem& p, const Values& values, std::int64_t batch, std::int64_t most,
                  const ReferenceOptions& options) {
  Curve curve;
  for (std::int64_t k = 1; most > 0; k = std::min(2 * k, most)) {
    curve.push_back(SolverAfter(p, values, batch, k, options));
    if (k >= most) break;
  }
  return curve;
}

std::optional<CurvePoint> SolverReaches(const Problem& p, const Values& values, std::int64_t batch, const Curve& curve,
                                        double objective, const ReferenceOptions& options) {
  const auto reached = [&](const CurvePoint& c) { return c.objective <= objective; };
  const auto first = std::find_if(curve.begin(), curve.end(), reached);
  if (first == curve.end()) return std::nullopt;
  CurvePoint high = *first;
  std::int64_t low = first == curve.begin() ? 0 : std::prev(first)->steps;
  while (high.steps - low > std::max<std::int64_t>(1, low / 20)) {
    const CurvePoint middle = SolverAfter(p, values, batch, low + (high.steps - low) / 2, options);
    if (reached(middle)) high = middle;
    else low = middle.steps;
  }
  return high;
}

}  // namespace amo::runtime
