// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_CODEGEN_H_
#define AMO_COMPILER_CODEGEN_H_

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "compiler/kernel.h"
#include "compiler/loop.h"

// Loop program to LLVM IR: `amo_prepare` and `amo_kernel`, with the signatures of PrepareFunction and KernelFunction.
// `lanes` instances (a power of two) are worked on at once: their entries lie side by side in scratch ([entry][lane]),
// where a tile of inputs is brought first. With lanes = 1, vectors of `native_width` reals run along the problem's own
// axes where these allow it.
namespace amo::compiler {

inline constexpr const char *kPrepareSymbol = "amo_prepare", *kKernelSymbol = "amo_kernel";

// Where buffers lie in bytes, those of Place::kShared in the shared memory, the others in the scratch; -1 where a
// buffer lies elsewhere. Buffers of the scratch whose lives do not overlap share memory.
struct ScratchPlan {
  std::vector<std::int64_t> offset;
  std::size_t shared_bytes = 0, bytes = 0;
};
ScratchPlan PlanScratch(const LoopProgram& program, Precision precision, int lanes);

// How many instances to work on at once where many come in: as many as a vector holds, or one after the other where the
// tile of so many does not fit the cache next to a core. What runs step by step always goes side by side: one instance
// would wait for each step. What only streams through its rows goes one after the other, too: bringing it into tiles would
// take longer than the work.
int LanesForMany(const LoopProgram& program, Precision precision, int native_width);
bool StreamsThroughRows(const LoopProgram& program, int native_width);

// By output: whether the form for one instance writes it into the caller's array instead of the scratch.
std::vector<char> DirectOutputs(const LoopProgram& program);

std::unique_ptr<llvm::Module> EmitKernel(llvm::LLVMContext& context, const LoopProgram& program, Precision precision,
                                         int lanes, int native_width, const ScratchPlan& plan);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_CODEGEN_H_
