// SPDX-License-Identifier: Apache-2.0
// Projected gradient descent with a given rate: y <- P(y - rate * g).
#include "runtime/fixed_rate.h"

namespace amo::runtime {
namespace {

at::Tensor Direction(const at::Tensor& g, std::int64_t, const SolveOptions&, std::vector<at::Tensor>&) { return g; }

}  // namespace

SolveSummary GradientDescent(const Instances& instances, const at::Tensor& start, const SolveOptions& o) {
  return StepAtRate(instances, start, o, Direction);
}

}  // namespace amo::runtime
