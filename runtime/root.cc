// SPDX-License-Identifier: Apache-2.0
// Made at its first use.
#include "runtime/root.h"

#include <mutex>
#include <utility>

#include <ATen/TensorOperators.h>

#include "compiler/check.h"
#include "compiler/classify.h"

namespace amo::runtime {

struct RootState {
  std::once_flag once;
  std::unique_ptr<Problem> least_squares;
};

std::shared_ptr<RootState> MakeRootState() { return std::make_shared<RootState>(); }

const Problem* LeastSquaresOf(const Problem& p) {
  if (p.program.objective || !p.program.equations) return nullptr;
  std::call_once(p.root->once, [&] {
    std::optional<compiler::Program> program = compiler::LeastSquares(p.program);
    if (!program) return;
    Result<Problem> made = OpenProblem(std::move(*program), p.shared, p.dtype);
    if (made.ok()) p.root->least_squares = std::make_unique<Problem>(std::move(*made));
  });
  return p.root->least_squares.get();
}

at::Tensor EquationResidual(const Problem& p, const Values& values, std::int64_t batch) {
  AMO_CHECK(p.program.equations.has_value());
  const at::Tensor sides = EvaluateOne(p, *p.program.equations, values, batch);
  return sides.mul(sides).sum(1).sqrt();
}

}  // namespace amo::runtime
