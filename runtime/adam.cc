// SPDX-License-Identifier: Apache-2.0
// Adam (Kingma and Ba, 2015): the mean of the gradients over the root of the mean of their squares, both corrected for
// their start at zero.
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>

#include "runtime/fixed_rate.h"

namespace amo::runtime {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;

at::Tensor Direction(const at::Tensor& g, std::int64_t step, const SolveOptions&, std::vector<at::Tensor>& state) {
  if (step == 0) state = {at::zeros_like(g), at::zeros_like(g)};
  at::Tensor &mean = state[0], &square = state[1];
  mean.mul_(kBeta1).add_(g, 1 - kBeta1);
  square.mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
  const double taken = static_cast<double>(step + 1);
  const double first = 1 - std::pow(kBeta1, taken), second = 1 - std::pow(kBeta2, taken);
  return (mean / first).div_((square / second).sqrt_().add_(kEpsilon));
}

}  // namespace

SolveSummary Adam(const Instances& instances, const at::Tensor& start, const SolveOptions& o) {
  return StepAtRate(instances, start, o, Direction);
}

}  // namespace amo::runtime
