// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_NEAREST_H_
#define AMO_RUNTIME_NEAREST_H_

#include <cstdint>
#include <vector>

#include "runtime/problem.h"
#include "runtime/solver.h"

// The memory of `model nearest`: instances of training with their solutions.
namespace amo::runtime {

// Sets what compiler::nearest names in `learned`, from the contexts in `values` and the solutions in `variables`, both
// [batch, ...] by name. Contexts are compared in units of their deviation over these instances; an entry that is the
// same in all counts for nothing. An instance without a finite point, or whose objective has no end, is never the
// nearest. Returns how many can be.
std::int64_t Remember(const Problem& problem, const Values& values, const Values& variables,
                      const std::vector<SolveStatus>& statuses, Values& learned);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_NEAREST_H_
