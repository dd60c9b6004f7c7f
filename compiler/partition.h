// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_PARTITION_H_
#define AMO_COMPILER_PARTITION_H_

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compiler/ir.h"

// Functions cut in pieces, which give what the whole gives: by who runs them, and by how often.
namespace amo::compiler {

// A function that has no kernel as a whole, as one after the other: functions with a kernel, and what lies between them
// for LibTorch (linear systems, eigenvectors, windows, matrix products with weights).

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

// A function that is called again and again while only the inputs `moving` change: what the others fix, and the rest.
// `before` has up to two functions, the first of what is shared; their outputs, "fixed/K", are inputs of `rest`.
struct Hoisted {
  std::vector<Function> before;
  Function rest;
};

// Nothing where nothing dear stays: a linear system, eigenvectors, a scan, or 4,096 products.
std::optional<Hoisted> Hoist(const Function& function, const std::set<std::string>& moving);

// Whether a sum of products, or a scan, reads weights of a network: over a batch LibTorch's matrix products are faster.
bool MultipliesWeights(const Function& function);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_PARTITION_H_
