// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_SMALL_EIGEN_H_
#define AMO_RUNTIME_SMALL_EIGEN_H_

#include <cstdint>

// Eigenvalues and eigenvectors of many small symmetric matrices, several side by side.
namespace amo::runtime {

constexpr std::int64_t kMostSmallEigen = 16;  // rows; beyond, LAPACK's reduction to three diagonals is faster

// a [batch, n, n], of which the symmetric parts count → out [batch, n + 1, n], as the operation `eigen` of
// compiler/ir.h: ascending values, then vectors as columns; NaN where an entry is not finite. Cyclic Jacobi rotations
// (Golub, Van Loan 2013, 8.5), as accurate as the entries are.
void SmallEigen(const double* a, std::int64_t batch, std::int64_t n, double* out);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_SMALL_EIGEN_H_
