// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CORRECT_H_
#define AMO_RUNTIME_CORRECT_H_

#include "runtime/problem.h"

// Predictions moved towards constraints that no projection keeps.
namespace amo::runtime {

// Gauss-Newton steps from y [B, n]: each goes to the nearest point that keeps the linearized rows, halved
// while the largest violation would grow, until an instance fails by no more than 1e-10, or twenty times. Near rows
// that can be kept together it converges quadratically; it promises nothing else. The derivative is that of the
// projection onto the tangent of the rows that were active, which is exact for points that keep them.
at::Tensor Correct(const Problem& problem, const Values& values, const at::Tensor& y);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_CORRECT_H_
