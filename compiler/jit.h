// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_JIT_H_
#define AMO_COMPILER_JIT_H_

#include <llvm/IR/Module.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// The machines we compile for (the one we run on, unless told otherwise), the optimizer, and the loading of objects.
namespace amo::compiler {

struct Target {
  std::string triple, cpu, features;  // LLVM's names
  int vector_bytes = 16;
};
struct Host : Target {
  std::string llvm_version;
};
const Host& TheHost();

// Why LLVM has no code for a target, or "".
std::string WhyNoCode(const Target& target);

// Sets the target of a module and of its functions; to be done before Optimize.
void SetTarget(llvm::Module& module, const Target& target = TheHost());
void Optimize(llvm::Module& module, const Target& target = TheHost());
std::string EmitObject(llvm::Module& module, const Target& target = TheHost());
std::string EmitAssembly(llvm::Module& module);

// Code in memory; it lives as long as `owner`.
struct Loaded {
  std::shared_ptr<void> owner;
  std::vector<void*> symbols;
  std::string error;  // why there is no owner
};
Loaded LoadObject(std::string_view object, const std::vector<const char*>& symbols);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_JIT_H_
