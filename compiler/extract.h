// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_EXTRACT_H_
#define AMO_COMPILER_EXTRACT_H_

#include <vector>

#include "compiler/ir.h"

// A part of a function that is still being built, as a function of its own, and derivatives taken inside it: what
// `grad(E, x)` and the steps of refinements are made of.
namespace amo::compiler {

// What lies between `leaves` and `outputs`. Its inputs are the leaves, in order, then the values that the part uses and
// that depend on no leaf: `around` receives them. Outputs are named by their place.
Function Extract(const Builder& builder, const std::vector<Value>& outputs, const std::vector<Value>& leaves,
                 std::vector<Value>& around);

bool DependsOn(const Builder& builder, Value v, const std::vector<Value>& leaves);

// The scalar `f`, a function of `leaves`, at the values `at` of the leaves: its value, then its derivatives by each of
// the leaves from the first to the `count`-th. Every placeholder among the leaves is gone from the result.
std::vector<Value> GradientAt(Builder& builder, Value f, const std::vector<Value>& leaves, const std::vector<Value>& at,
                              std::size_t count);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_EXTRACT_H_
