// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_NEAREST_H_
#define AMO_RUNTIME_NEAREST_H_

#include <cstdint>

#include "runtime/reference.h"

// The memory of `model nearest`: instances of training with their solutions.
namespace amo::runtime {

// Solves the instances of `values` [batch, ...] and sets what compiler::nearest names in `learned`. Contexts are
// compared in units of their deviation over these instances; an entry that is the same in all counts for nothing. An
// instance without a finite point, or whose objective has no end, is never the nearest.
void RememberSolutions(const Problem& problem, const Values& values, std::int64_t batch,
                       const ReferenceOptions& options, Values& learned);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_NEAREST_H_
