// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_SIMPLIFY_H_
#define AMO_COMPILER_SIMPLIFY_H_

#include "compiler/ir.h"

// Algebraic simplification: constant folding, identities, products as contractions, dead nodes.
// In: any verified Function. Out: a Function with the same inputs and outputs, equal on every input under the semantics
// of ir.h (sums of products may be added up in another order), and simplified already: Simplify(Simplify(f)) ==
// Simplify(f).
namespace amo::compiler {

Function Simplify(const Function& function);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_SIMPLIFY_H_
