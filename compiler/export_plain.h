// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_EXPORT_PLAIN_H_
#define AMO_COMPILER_EXPORT_PLAIN_H_

#include <llvm/IR/Module.h>

// What a machine has no instruction for, in other instructions: without this LLVM calls libm for each lane.
namespace amo::compiler {

// a * b + c in two operations; in binary32 by way of binary64, where the product is exact. What relies on fused ones in
// vector_math.h (reductions of arguments in binary64) has constants short enough to do without.
void ReplaceFma(llvm::Module& module);

// rint and floor, exact for all arguments.
void ReplaceRounding(llvm::Module& module);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_EXPORT_PLAIN_H_
