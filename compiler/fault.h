// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_FAULT_H_
#define AMO_COMPILER_FAULT_H_

#include <optional>
#include <string>
#include <vector>

#include "compiler/interpret.h"

// Where the numbers of one instance stop being finite.
namespace amo::compiler {

struct Fault {
  lang::Span span;       // the source expression; empty where the function has none there
  std::string how;       // the operation on its numbers: "log(-0.5)", "1 / 0"; of an input its name
  bool input = false;    // what came in was not finite
  double value = 0;      // nan, inf or -inf
  Shape entry;           // which entry of the expression's value
  bool derivative = false;      // of a function made by Gradient: behind its value
  std::int64_t step = -1;       // of the scan that it happens in
};

// The first operation on the way to an output that is not finite whose own arguments are; else the input that brings
// it. Nothing where all outputs are finite.
std::optional<Fault> FindFault(const Function& function, const std::vector<Tensor>& inputs);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_FAULT_H_
