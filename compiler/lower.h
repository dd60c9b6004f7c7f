// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_LOWER_H_
#define AMO_COMPILER_LOWER_H_

#include <vector>

#include "compiler/ir.h"
#include "compiler/loop.h"

// Function to loop program. Every node is either read in place by the loops of its users or given a buffer of its own.
namespace amo::compiler {

// Which nodes get a buffer: those that need memory (reductions, contractions, what is gathered from, outputs), and
// those whose recomputation would cost more than a load.
std::vector<bool> ChooseBuffers(const Function& function, const std::vector<bool>& varies);

LoopProgram Lower(const Function& function);

// Drops the stores that nobody reads, and the steps without stores.
void DropDeadStores(LoopProgram& program);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_LOWER_H_
