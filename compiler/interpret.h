// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_INTERPRET_H_
#define AMO_COMPILER_INTERPRET_H_

#include <functional>
#include <vector>

#include "compiler/ir.h"

// The judge: one instance at a time, in double precision, by the plainest loops that obey the semantics of ir.h.
namespace amo::compiler {

struct Tensor {
  Type type;
  std::vector<double> data;  // row-major; ints and bools as doubles
};

// Inputs in the order of function.inputs, outputs in the order of function.outputs.
std::vector<Tensor> Interpret(const Function& function, const std::vector<Tensor>& inputs);

// The value of every node, in their order.
std::vector<Tensor> InterpretNodes(const Function& function, const std::vector<Tensor>& inputs);

// The steps of a scan in their order, on its arguments: `see` gets each step with what the body is given, and returns
// what the body makes of it.
using ScanStep = std::function<std::vector<Tensor>(std::int64_t step, const std::vector<Tensor>& inputs)>;
void InterpretScan(const Node& scan, const std::vector<const Tensor*>& args, Tensor& out, const ScanStep& see);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_INTERPRET_H_
