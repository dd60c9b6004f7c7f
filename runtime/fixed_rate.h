// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_FIXED_RATE_H_
#define AMO_RUNTIME_FIXED_RATE_H_

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "runtime/solver.h"

// What the methods with a given rate share: y <- P(y - rate * d), d by the method from the gradients so far. Randoms
// are drawn anew before each step after the first, and all steps are taken; where a problem has none, instances stop
// at the tolerance. An instance that comes to a point which is not finite goes back, and on with half its rate.
namespace amo::runtime {

// d [K, n] from the gradients [K, n] of step 0, 1, …. The state's tensors, [K, n] each, are the method's own: none at
// step 0, later as it left them, without the instances that stopped.
using RateRule = at::Tensor (*)(const at::Tensor& gradient, std::int64_t step, const SolveOptions& options,
                                std::vector<at::Tensor>& state);

SolveSummary StepAtRate(const Instances& instances, const at::Tensor& start, const SolveOptions& options,
                        RateRule rule);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_FIXED_RATE_H_
