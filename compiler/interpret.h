// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_INTERPRET_H_
#define AMO_COMPILER_INTERPRET_H_

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

}  // namespace amo::compiler

#endif  // AMO_COMPILER_INTERPRET_H_
