// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_DERIVE_H_
#define AMO_COMPILER_DERIVE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compiler/ir.h"

// Derivatives as functions made from functions. All are exact where the function is smooth; at a kink the derivative is
// one of the one-sided ones (abs and sign at 0: 0; max and min: the side that wins, the second of equals).
namespace amo::compiler {

// Appends the nodes of `f` to a builder. `inputs` stand for the function's inputs, in order; `given` for nodes, by
// index, that are there already. Returns every node's value.
std::vector<Value> Inline(Builder& builder, const Function& f, const std::vector<Value>& inputs,
                          const std::map<std::int32_t, Value>& given = {});

// Reverse mode: the products of the outputs' adjoints with the derivatives by `wrt`, values of the function being
// built. `values[i]` is node i's value; an adjoint may be {-1} for zero. The results are {-1} where nothing depends on
// them.
std::vector<Value> Reverse(Builder& builder, const Function& f, const std::vector<Value>& values,
                           const std::vector<Value>& output_adjoints, const std::vector<int>& wrt);

// Forward mode: the outputs' tangents for the inputs' tangents; {-1} is zero, on both sides.
std::vector<Value> Forward(Builder& builder, const Function& f, const std::vector<Value>& values,
                           const std::vector<Value>& input_tangents);

// f's first output is a real scalar. The inputs of f stay; outputs: "value", then "d/NAME" for each input in `wrt`.
Function Gradient(const Function& f, const std::vector<int>& wrt);

// The gradients of several scalar outputs, by place, each by inputs of its own. The inputs of f stay; outputs: those of
// f, then "d/K/NAME" for the K-th of `outputs` and each of wrt[K].
Function Gradients(const Function& f, const std::vector<int>& outputs, const std::vector<std::vector<int>>& wrt);

// Inputs: those of f, then "adjoint/NAME" for each real output. Outputs: "d/NAME" for each of `wrt`.
Function Vjp(const Function& f, const std::vector<int>& wrt);

// Inputs: those of f, then "tangent/NAME" for each of `wrt`. Outputs: "tangent/NAME" for each real output.
Function Jvp(const Function& f, const std::vector<int>& wrt);

// Hessian-vector product of a scalar function: Jvp of Gradient. Inputs: those of f, then "tangent/NAME" for each of
// `wrt`. Outputs: "value", "d/NAME" and "h/NAME" for each of `wrt`: the entries of H v.
Function HessianVector(const Function& f, const std::vector<int>& wrt);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_DERIVE_H_
