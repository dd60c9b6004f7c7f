// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_SIMPLIFY_PIECES_H_
#define AMO_COMPILER_SIMPLIFY_PIECES_H_

#include <optional>

#include "compiler/ir.h"

// Sums of arrays that are zero but for pieces of one axis: what the adjoints of slices of one vector of weights add up
// to.
namespace amo::compiler {

// p + q as one concatenation where they are pieces that do not meet; (x + p) + q as x + (p + q) then.
std::optional<Value> JoinPieces(Builder& builder, Value p, Value q);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_SIMPLIFY_PIECES_H_
