// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_AUGMENTED_LAGRANGIAN_H_
#define AMO_RUNTIME_AUGMENTED_LAGRANGIAN_H_

#include "runtime/solver.h"

// Constraints that no projection keeps, by any method that minimizes over the variables' sets: the augmented Lagrangian
// (Birgin, Martínez 2014, algorithm 4.1), batched. Every instance has its own multipliers and penalty.
namespace amo::runtime {

// `instances`: of the objective. The residual is that of the Lagrangian; kSolved: it is within the tolerance, and every
// constraint within max(tolerance, 1e-7) in the largest entry; kStepLimit: it is not, after `kOuter` rounds, and the
// constraints may be impossible. Iterations are those of `method`, all rounds together.
SolveSummary AugmentedLagrangian(const Instances& instances, const at::Tensor& start, const MethodRow& method,
                                 const SolveOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_AUGMENTED_LAGRANGIAN_H_
