// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_JIT_H_
#define AMO_COMPILER_JIT_H_

#include <llvm/IR/Module.h>

#include <memory>
#include <string>
#include <string_view>

// The machine we compile for (the one we run on), the optimizer, and the loading of objects.
namespace amo::compiler {

struct Host {
  std::string cpu, features, llvm_version;
  int vector_bytes = 16;
};
const Host& TheHost();

// Sets the target of a module and of its functions; to be done before Optimize.
void SetTarget(llvm::Module& module);
void Optimize(llvm::Module& module);
std::string EmitObject(llvm::Module& module);
std::string EmitAssembly(llvm::Module& module);

// Code in memory; it lives as long as `owner`.
struct Loaded {
  std::shared_ptr<void> owner;
  void* symbol = nullptr;
  std::string error;  // why there is no symbol
};
Loaded LoadObject(std::string_view object, const char* symbol);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_JIT_H_
