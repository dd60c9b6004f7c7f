// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_DERIVE_SCAN_H_
#define AMO_COMPILER_DERIVE_SCAN_H_

#include <functional>
#include <vector>

#include "compiler/ir.h"

// Derivatives of a scan: scans themselves. They read the carries before each step, which the scan stores as ys: memory
// grows with the number of steps, code does not.
namespace amo::compiler {

// The function with every scan storing its carries; the same function where there is none.
Function WithStates(const Function& function);

// Reverse mode for one scan with arguments `args`, value `y` and the adjoint `g` of it: a scan the other way round.
// `give(k, adjoint)` is called for each wanted argument.
void ReverseScan(Builder& builder, const Node& scan, const std::vector<Value>& args, Value y, Value g,
                 const std::vector<bool>& wanted, const std::function<void(std::size_t, Value)>& give);

// Forward mode: the tangent of the scan's value for its arguments' tangents, {-1} for zero.
Value ForwardScan(Builder& builder, const Node& scan, const std::vector<Value>& args, Value y,
                  const std::vector<Value>& tangents);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_DERIVE_SCAN_H_
