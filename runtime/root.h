// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_ROOT_H_
#define AMO_RUNTIME_ROOT_H_

#include <memory>

#include "runtime/problem.h"

// Equations (`find`) as a problem that solvers know: half the squared difference of both sides is minimized
// (compiler::LeastSquares).
namespace amo::runtime {

struct RootState;
std::shared_ptr<RootState> MakeRootState();

// Behind the problem's; null: it has an objective, or no equation.
const Problem* LeastSquaresOf(const Problem& problem);

// [B]: the norm of the difference of both sides. Requires equations.
at::Tensor EquationResidual(const Problem& problem, const Values& values, std::int64_t batch);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_ROOT_H_
