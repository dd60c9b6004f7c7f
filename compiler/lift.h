// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_LIFT_H_
#define AMO_COMPILER_LIFT_H_

#include <optional>

#include "compiler/build.h"

// Objectives with kinks as quadratic programs: |a'y + b|, the larger of affine values and the largest of them become
// variables of their own that are bounded from below by what they stand for (Boyd, Vandenberghe 2004, 4.3.1).
namespace amo::compiler {

// The program with variables "lifted/K" behind its own, where that makes it a linear or quadratic program with linear
// rows; nothing where it is one already, or where it does not. It only has what solving needs: variables, objective,
// sides, cones. It stands for the program as long as the objective does not fall in a lifted variable, which the
// numbers must say.
std::optional<Program> Lift(const Program& program);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_LIFT_H_
