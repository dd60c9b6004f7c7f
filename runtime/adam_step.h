// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_ADAM_STEP_H_
#define AMO_RUNTIME_ADAM_STEP_H_

#include <cstdint>

#include <ATen/core/Tensor.h>

// One step of Adam (Kingma, Ba 2015) with decoupled decay (Loshchilov, Hutter 2019), in one pass over the entries.
namespace amo::runtime {

struct AdamSettings {
  double rate = 1e-3, beta1 = 0.9, beta2 = 0.999, decay = 0;
  double scale = 1;         // of the gradient
  std::int64_t count = 1;   // the step, from 1
};

// Moves `value`, `mean` and `square`, which are contiguous, in place; all of one shape and real type.
void AdamStep(const AdamSettings& settings, const at::Tensor& gradient, at::Tensor& value, at::Tensor& mean,
              at::Tensor& square);

// The sum of squares of all entries.
double SquaredNorm(const at::Tensor& x);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_ADAM_STEP_H_
