// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_NLP_H_
#define AMO_COMPILER_NLP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "compiler/sparsity.h"

// A program as a nonlinear program of one flat variable: minimize f(y) where each row of c(y) is zero or not positive;
// the functions that second-order methods evaluate, with derivatives in as few products as their patterns allow.
namespace amo::compiler {

struct Nlp {
  std::int64_t n = 0, m = 0;
  std::vector<char> equal;      // [m]
  // Inputs: "flat" real[n], per instance, and those of objective and sides beside the variables.
  Function values;              // → "objective", "sides" real[m]
  Function gradient;            // → "objective", "sides", "d/flat" real[n]: of the objective
  // Derivatives compressed by colours of columns; more inputs: "colour", and "dual" real[m], per instance.
  Function jacobian;            // → "compressed" [colours, m]
  Function hessian;             // → "compressed" [colours, n]: of objective + dual'sides
  Function slope;               // → "slope" [n], the gradient of objective + dual'sides
  Pattern jacobian_pattern, hessian_pattern;
  std::vector<int> jacobian_colours, hessian_colours;
};

// Requires the program's objective, and sides where it has cones.
Nlp MakeNlp(const Program& program);

// How the first-order conditions move with other inputs: for each of `wrt` that the program reads one more input
// "tangent/NAME", and as outputs the tangents "slope" [n] and "sides" [m]; inputs "flat" and "dual" as above.
Function MovedConditions(const Nlp& nlp, const std::vector<std::string>& wrt);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_NLP_H_
