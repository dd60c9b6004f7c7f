// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CONFLICT_H_
#define AMO_RUNTIME_CONFLICT_H_

#include <cstdint>
#include <vector>

#include "runtime/qp.h"

// Why no point keeps the rows of one instance: rows that contradict each other, none of which could be left out.
namespace amo::runtime {

// Of rows (Ay + b)_i == 0 or <= 0 and a certificate of their infeasibility (QpSolutions::certificates): the rows with
// weight are tried without each of them in turn, and those that the contradiction needs stay (Chinneck, Dravnieks 1991,
// the deletion filter). Ascending; empty where the weights are no certificate.
std::vector<std::int64_t> MinimalConflict(const Matrix& A, const Vector& b, const std::vector<char>& equal,
                                          const Vector& certificate);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_CONFLICT_H_
