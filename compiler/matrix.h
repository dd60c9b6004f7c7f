// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_MATRIX_H_
#define AMO_COMPILER_MATRIX_H_

#include <cstdint>

// The matrix operations of ir.h for one matrix, for the interpreter: plain, row-major, in double precision.
namespace amo::compiler {

// x [n, k] with a x = b. Where a is singular, entries that are no finite numbers.
void SolveLinear(const double* a, const double* b, std::int64_t n, std::int64_t k, double* x);

// [n + 1, n]: the eigenvalues of (a + a') / 2, ascending, and below them the eigenvectors as columns.
void SymmetricEigen(const double* a, std::int64_t n, double* out);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_MATRIX_H_
