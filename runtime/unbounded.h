// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_UNBOUNDED_H_
#define AMO_RUNTIME_UNBOUNDED_H_

#include "runtime/solver.h"

// Objectives that fall without end.
namespace amo::runtime {

// Instances that a method left unsolved, far from where it began: where the objective goes on falling along the way
// that they went, by as much with each doubling of the distance, and constraints fail no more, they are unbounded, and
// `directions` tell along what. A numerical verdict: objectives are looked at as far as a thousand times the distance.
void FindUnbounded(const Instances& instances, const at::Tensor& start, SolveSummary& done);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_UNBOUNDED_H_
