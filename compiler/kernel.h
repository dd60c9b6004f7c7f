// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_KERNEL_H_
#define AMO_COMPILER_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compiler/ir.h"

// A compiled function: plain C pointers, strides and a batch. It knows neither LLVM nor torch and is the whole contract
// between compiler and runtime.
namespace amo::compiler {

enum class Precision : std::uint8_t { kF32, kF64 };

// Of one entry in memory.
constexpr std::int64_t EntryBytes(Elem elem, Precision precision) {
  return elem == Elem::kBool ? 1 : elem == Elem::kReal && precision == Precision::kF32 ? 4 : 8;
}

// One argument: the first instance's entries (row-major), and the distance to the next instance in entries; 0 for a
// shared argument. Reals have the kernel's precision; ints are int64_t, bools uint8_t.
struct Argument {
  void* data;
  std::int64_t stride;
};

// Computes what depends on shared inputs alone, into `shared` of Kernel::shared_bytes, 64-byte aligned. It holds for as
// long as these inputs do, for all batches and threads.
using PrepareFunction = void (*)(const Argument* inputs, void* shared);

// Works on instances begin <= b < end. `shared` was prepared; `scratch` has Kernel::scratch_bytes, 64-byte aligned, one
// for each thread.
using KernelFunction = void (*)(const Argument* inputs, const Argument* outputs, std::int64_t begin, std::int64_t end,
                                const void* shared, void* scratch);

struct Kernel {
  PrepareFunction prepare = nullptr;
  KernelFunction run = nullptr;
  std::size_t shared_bytes = 0, scratch_bytes = 0;
  int lanes = 1;                    // instances worked on at once
  Precision precision = Precision::kF64;
  bool from_cache = false;
  double compile_ms = 0;
  std::shared_ptr<void> code;       // keeps the machine code alive
};

struct KernelOptions {
  Precision precision = Precision::kF64;
  int lanes = 0;                    // 0: what suits many instances; 1: the form for one instance
  std::string cache_folder;         // "": no disk cache
};

// "" when every operation of the function can be compiled, else the first one that cannot.
std::string Uncompilable(const Function& function);

// Compiles, or reads the object from the disk cache. The function is verified and Uncompilable gives "".
Kernel Compile(const Function& function, const KernelOptions& options);

// Where compiled kernels are kept between runs: kernels/ in $AMO_CACHE, else in amo/ of $XDG_CACHE_HOME or ~/.cache;
// "" where none of these is set.
std::string KernelCacheFolder();

// The steps as text, for `amo dump`.
std::string DumpLoops(const Function& function);
std::string DumpLlvm(const Function& function, const KernelOptions& options, bool optimized);
std::string DumpAsm(const Function& function, const KernelOptions& options);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_KERNEL_H_
