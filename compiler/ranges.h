// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_RANGES_H_
#define AMO_COMPILER_RANGES_H_

#include "compiler/build_parts.h"

// How large the entries of a point of a convex set can be, where the set is no polyhedron: what bounds of the optimum
// rest on (runtime/gap.h). Polyhedra say it by their rows.
namespace amo::compiler {

// Program::region, where all sets of the variables are convex. Requires the plan.
void BuildRanges(Parts& parts);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_RANGES_H_
