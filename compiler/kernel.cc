// SPDX-License-Identifier: Apache-2.0
// The way from a function to machine code, and its steps as text.
#include "compiler/kernel.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/Support/raw_ostream.h>

#include <bit>
#include <chrono>

#include "compiler/cache.h"
#include "compiler/check.h"
#include "compiler/codegen.h"
#include "compiler/jit.h"
#include "compiler/lower.h"

namespace amo::compiler {
namespace {

int NativeWidth(Precision precision) { return TheHost().vector_bytes / (precision == Precision::kF64 ? 8 : 4); }

struct Built {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  int lanes = 1;
  ScratchPlan plan;
};

Built Build(const Function& function, const KernelOptions& options) {
  AMO_CHECK(options.lanes == 0 || std::has_single_bit(static_cast<unsigned>(options.lanes)), "(lanes)");
  const LoopProgram program = Lower(function);
  const int width = NativeWidth(options.precision);
  const int lanes = options.lanes > 0 ? options.lanes : LanesForMany(program, options.precision, width);
  Built built{std::make_unique<llvm::LLVMContext>(), nullptr, lanes, PlanScratch(program, options.precision, lanes)};
  built.module = EmitKernel(*built.context, program, options.precision, lanes, width, built.plan);
  SetTarget(*built.module);
  return built;
}

}  // namespace

std::string Uncompilable(const Function& function) {
  for (const Node& n : function.nodes) {
    if (n.op == Op::kCumSum && n.type.elem == Elem::kBool) return "cumsum of bools";
    if (ClassOf(n.op) == OpClass::kMatrix) return std::string(OpText(n.op));
    if (n.op == Op::kUnfold || n.op == Op::kFold) return std::string(OpText(n.op));
    if (!n.body) continue;
    if (std::string inside = Uncompilable(*n.body); !inside.empty()) return inside;
  }
  return "";
}

Kernel Compile(const Function& function, const KernelOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  Kernel kernel;
  kernel.precision = options.precision;
  const auto load = [&](const CachedObject& object) {
    Loaded loaded = LoadObject(object.object, {kPrepareSymbol, kKernelSymbol});
    if (!loaded.owner) return loaded.error;
    kernel.prepare = reinterpret_cast<PrepareFunction>(loaded.symbols[0]);
    kernel.run = reinterpret_cast<KernelFunction>(loaded.symbols[1]);
    kernel.code = std::move(loaded.owner);
    kernel.lanes = object.lanes;
    kernel.shared_bytes = object.shared_bytes, kernel.scratch_bytes = object.scratch_bytes;
    return std::string();
  };
  std::string key;
  if (!options.cache_folder.empty()) {
    key = CacheKey(function, options.precision, options.lanes);
    if (const auto cached = ReadCache(options.cache_folder, key)) kernel.from_cache = load(*cached).empty();
  }
  if (!kernel.from_cache) {
    Built built = Build(function, options);
    Optimize(*built.module);
    const CachedObject object{EmitObject(*built.module), built.plan.shared_bytes, built.plan.bytes, built.lanes};
    const std::string error = load(object);
    AMO_CHECK(error.empty(), "(%s)", error.c_str());
    if (!key.empty()) WriteCache(options.cache_folder, key, object);
  }
  kernel.compile_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return kernel;
}

std::string DumpLoops(const Function& function) { return ToString(Lower(function)); }

std::string DumpLlvm(const Function& function, const KernelOptions& options, bool optimized) {
  Built built = Build(function, options);
  if (optimized) Optimize(*built.module);
  std::string text;
  llvm::raw_string_ostream out(text);
  built.module->print(out, nullptr);
  return text;
}

std::string DumpAsm(const Function& function, const KernelOptions& options) {
  Built built = Build(function, options);
  Optimize(*built.module);
  return EmitAssembly(*built.module);
}

}  // namespace amo::compiler
