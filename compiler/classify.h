// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_CLASSIFY_H_
#define AMO_COMPILER_CLASSIFY_H_

#include <optional>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "compiler/curvature.h"

// What kind of problem a program is, by its objective and by the sides of its constraints.
namespace amo::compiler {

// The curvature of an output of `function` in the variables, and the source expression that makes it what it is (an
// empty span where nothing does).
Classified ClassOfOutput(const Program& program, const Function& function, std::size_t output, std::string name);

// "linear program", "quadratic program", "fixed point", "root of linear equations", "root", "convex program", "nonlinear program", "unconstrained problem", … ; "" where
// nothing is minimized. Quadratic says nothing about the sign of the form: see Program::classes.
std::string ProblemClass(const Program& program);

// The objective is at most quadratic and `cones` are all that is demanded.
bool IsQuadraticProgram(const Program& program);

// Rows are all that is demanded, and each is a bound of one entry.
bool IsBox(const Program& program);

// The objective is a sum of functions of one entry each: its second derivatives are those of a diagonal. Says so only
// where patterns of zeros show it.
bool IsSeparable(const Program& program);

// The program of `find` without an objective: half the squared difference of both sides is minimized. Nothing where
// there is an objective, or no equation.
std::optional<Program> LeastSquares(const Program& program);

// Objective and all rows are smooth, and the rows are all that is demanded: second-order methods apply.
bool IsSmooth(const Program& program);

// By the rules: the objective is convex, the rows are all that is demanded, and each of them leaves a convex set.
bool IsConvex(const Program& program);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_CLASSIFY_H_
