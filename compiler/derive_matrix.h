// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_DERIVE_MATRIX_H_
#define AMO_COMPILER_DERIVE_MATRIX_H_

#include "compiler/ir.h"

// Derivatives of the matrix operations, forward and reverse (Giles 2008, Collected matrix derivative results). A
// tangent {-1} is zero.
namespace amo::compiler {

// Of x = solve(a, b), for the adjoint g of x; a's only where it is wanted.
struct SolveAdjoints {
  Value a, b;
};
SolveAdjoints ReverseSolve(Builder& b, Value a, Value x, Value g, bool wants_a);
Value ForwardSolve(Builder& b, Value a, Value x, Value tangent_a, Value tangent_b);

// Of y = eigen(a). Eigenvectors of equal eigenvalues have no derivative: what they would turn into each other is left
// out, which is right for everything that does not depend on their choice.
Value ReverseEigen(Builder& b, Value y, Value g);
Value ForwardEigen(Builder& b, Value y, Value tangent);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_DERIVE_MATRIX_H_
