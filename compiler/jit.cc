// SPDX-License-Identifier: Apache-2.0
// LLVM's set-up: IR pipeline O1 and default code generation, which measured as fast as more, and an LLJIT for each
// object, with this process's symbols (libm) in reach.
#include "compiler/jit.h"

#include <llvm/Config/llvm-config.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "compiler/check.h"

namespace amo::compiler {
namespace {

void Initialize() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
}

// Every target that this LLVM has.
void InitializeAll() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
  });
}

const llvm::Target* Find(const Target& target, std::string& error) {
  if (target.triple == TheHost().triple) {
    Initialize();
  } else {
    InitializeAll();
  }
  return llvm::TargetRegistry::lookupTarget(target.triple, error);
}

std::unique_ptr<llvm::TargetMachine> NewMachine(const Target& target) {
  std::string error;
  const llvm::Target* found = Find(target, error);
  AMO_CHECK(found, "(%s)", error.c_str());
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(target.triple, target.cpu, target.features, {}, llvm::Reloc::PIC_,
                                 llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default, true));
}

std::string Emit(llvm::Module& module, const Target& target, llvm::CodeGenFileType type) {
  const auto machine = NewMachine(target);
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream out(bytes);
  llvm::legacy::PassManager passes;
  const bool failed = machine->addPassesToEmitFile(passes, out, nullptr, type);
  AMO_CHECK(!failed, "(no code generation for this machine)");
  passes.run(module);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

const Host& TheHost() {
  static const Host host = [] {
    Host h;
    h.triple = llvm::sys::getProcessTriple();
    h.cpu = llvm::sys::getHostCPUName().str();
    h.llvm_version = LLVM_VERSION_STRING;
    const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
    std::vector<std::string> names;
    for (const auto& f : features) names.push_back((f.second ? "+" : "-") + f.first().str());
    std::sort(names.begin(), names.end());
    for (const std::string& n : names) h.features += (h.features.empty() ? "" : ",") + n;
    if (features.lookup("avx2")) h.vector_bytes = 32;
    if (features.lookup("avx512f") && features.lookup("avx512dq") && features.lookup("avx512vl")) h.vector_bytes = 64;
    return h;
  }();
  return host;
}

std::string WhyNoCode(const Target& target) {
  std::string error;
  return Find(target, error) ? "" : error;
}

void SetTarget(llvm::Module& module, const Target& target) {
  const auto machine = NewMachine(target);
  module.setTargetTriple(machine->getTargetTriple().str());
  module.setDataLayout(machine->createDataLayout());
  for (llvm::Function& f : module) {
    if (f.isDeclaration()) continue;
    f.addFnAttr("target-cpu", target.cpu);
    f.addFnAttr("target-features", target.features);
    f.addFnAttr("prefer-vector-width", "512");
  }
  std::string text;
  llvm::raw_string_ostream out(text);
  AMO_CHECK(!llvm::verifyModule(module, &out), "(%s)", text.c_str());
}

void Optimize(llvm::Module& module, const Target& target) {
  const auto machine = NewMachine(target);
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = tuning.SLPVectorization = tuning.LoopInterleaving = false;
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(machine.get(), tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O1).run(module, modules);
}

std::string EmitObject(llvm::Module& module, const Target& target) {
  return Emit(module, target, llvm::CodeGenFileType::ObjectFile);
}

std::string EmitAssembly(llvm::Module& module) {
  return Emit(module, TheHost(), llvm::CodeGenFileType::AssemblyFile);
}

Loaded LoadObject(std::string_view object, const std::vector<const char*>& symbols) {
  Initialize();
  const auto failed = [](llvm::Error error) { return Loaded{nullptr, {}, llvm::toString(std::move(error))}; };
  llvm::Expected<std::unique_ptr<llvm::orc::LLJIT>> made = llvm::orc::LLJITBuilder().create();
  if (!made) return failed(made.takeError());
  std::shared_ptr<llvm::orc::LLJIT> jit = std::move(*made);
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(jit->getDataLayout().getGlobalPrefix());
  if (!process) return failed(process.takeError());
  jit->getMainJITDylib().addGenerator(std::move(*process));
  auto copy = llvm::MemoryBuffer::getMemBufferCopy({object.data(), object.size()}, "amo");
  if (llvm::Error error = jit->addObjectFile(std::move(copy))) return failed(std::move(error));
  Loaded loaded{jit, {}, ""};
  for (const char* symbol : symbols) {
    auto address = jit->lookup(symbol);
    if (!address) return failed(address.takeError());
    loaded.symbols.push_back(address->toPtr<void*>());
  }
  return loaded;
}

}  // namespace amo::compiler
