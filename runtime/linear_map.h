// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_LINEAR_MAP_H_
#define AMO_RUNTIME_LINEAR_MAP_H_

#include <vector>

#include "runtime/problem.h"
#include "runtime/qp.h"

// Functions that are linear in the variables' tangents, as matrices: Hessians of quadratics, Jacobians of affine rows.
namespace amo::runtime {

// Inputs of `function`: "tangent/NAME" for variables, and any others; it does not depend on the variables themselves.
// Its outputs, one after the other and flat, as rows; the variables' entries as columns. One matrix where it is the
// same for every instance, else one for each of the batch.
std::vector<Matrix> MatricesOf(const Problem& problem, const compiler::Function& function, const Values& values,
                               std::int64_t batch);

// Whether one matrix serves all instances of all batches: it depends on data alone.
bool IsFixed(const Problem& problem, const compiler::Function& function);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_LINEAR_MAP_H_
