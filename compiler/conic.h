// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_CONIC_H_
#define AMO_COMPILER_CONIC_H_

#include "compiler/build_parts.h"

// Linear constraints beside sets that are no polyhedra: positive semidefinite matrices with a fixed diagonal,
// `A * w in second_order_cone`. The nearest point that keeps sets and constraints at once is found in the dual.
namespace amo::compiler {

// Chooses the constraints that this projection can keep: their sides are affine in the variables, known with data and
// contexts, and bounded by numbers or by a convex set of the language; each variable is free or in such a set. Nothing
// where all of them are polyhedra: those have a projection of their own (runtime/qp.h). Makes its functions, and adds
// the constraints to parts.program.projected. Requires the plan's bounds.
void BuildConic(Parts& parts, Plan& plan);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_CONIC_H_
