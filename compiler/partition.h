// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_PARTITION_H_
#define AMO_COMPILER_PARTITION_H_

#include <vector>

#include "compiler/ir.h"

// A function that has no kernel as a whole, as one after the other: functions with a kernel, and what lies between them
// for LibTorch (linear systems, eigenvectors, windows, matrix products with weights).
namespace amo::compiler {

// Its inputs are inputs of the whole, by their names, and values of earlier parts, "part/K"; its outputs are such
// values, and those of the whole, by their names. A value of a part that has no instance inputs is shared.
struct Part {
  Function function;
  bool kernel = false;
};

// Parts as few as the order allows. Leaves, and nodes that only rearrange entries, are repeated in each part that reads
// them. Empty where no part would have a kernel worth its call: fewer than `worth` operations, and neither a scan nor
// a sum of products among them.
std::vector<Part> Partition(const Function& function, int worth = 8);

// Whether a sum of products, or a scan, reads weights of a network: over a batch LibTorch's matrix products are faster.
bool MultipliesWeights(const Function& function);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_PARTITION_H_
