// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CONIC_H_
#define AMO_RUNTIME_CONIC_H_

#include "runtime/problem.h"

// The projection onto sets and linear constraints at once (compiler/conic.h), batched.
namespace amo::runtime {

// The variables of `now` at the nearest points that keep Program::conic: a root by semismooth Newton steps with a line
// search (Qi, Sun 2006, for correlation matrices), from where operator splitting has come to if they stall. Sets hold
// in any case; constraints to rounding, but for instances without such a point and those that bounded steps do not
// bring there. Derivatives are those of the implicit function theorem.
void ProjectConic(const Problem& problem, const Values& values, std::int64_t batch, Values& now);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_CONIC_H_
