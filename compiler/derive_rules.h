// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_DERIVE_RULES_H_
#define AMO_COMPILER_DERIVE_RULES_H_

#include "compiler/ir.h"

// Slopes of the elementwise operations, shared by forward and reverse mode.
namespace amo::compiler {

// d op(x) / dx, where y is op(x); {-1} where the slope is zero everywhere.
Value UnarySlope(Builder& b, Op op, Value x, Value y);

// d op(p, q) / dp and / dq, where y is op(p, q).
struct Slopes {
  Value p, q;
};
Slopes BinarySlopes(Builder& b, Op op, Value p, Value q, Value y);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_DERIVE_RULES_H_
