// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_FEASIBILITY_H_
#define AMO_RUNTIME_FEASIBILITY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/instances.h"

// Whether instances have a point that keeps all constraints, and which constraints are in each other's way.
namespace amo::runtime {

struct Feasibility {
  at::Tensor y;                  // [B, n]: a point that keeps them, or where `infeasible` one that fails by least
  std::vector<char> infeasible;  // no point keeps them; of constraints that are not convex: none near y does
};

// From points y [B, n] as the projection leaves them: those that keep all are taken as they are. Linear rows and smooth constraints: the sum of their squared
// violations is minimized by Newton steps (Levenberg 1944, Marquardt 1963); sets and linear constraints at once: by
// accelerated projected gradients (Beck, Teboulle 2009). An instance is infeasible where that is stationary and not
// zero. What is neither (kinks without a projection) is called feasible.
Feasibility FeasibilityOf(const Instances& instances, const at::Tensor& y);

// Constraints that cannot hold together, none of which could be left out, of instance `i` at the point y that fails by
// least: "balance[3]", "the set of y[2]"; beside sets that are not polyhedra whole constraints, "cone".
std::vector<std::string> ConflictAt(const Instances& instances, const at::Tensor& y, std::int64_t i);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_FEASIBILITY_H_
