// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_SCALAR_H_
#define AMO_COMPILER_SCALAR_H_

#include "compiler/ir.h"

// What the elementwise operations give for single numbers: the interpreter's arithmetic, and constant folding's.
namespace amo::compiler {

// Ints and bools travel as doubles. The op is Unary; Binary, Compare or Logic.
double ApplyUnary(Op op, double x);
double ApplyBinary(Op op, double a, double b);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_SCALAR_H_
