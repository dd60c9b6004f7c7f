// SPDX-License-Identifier: Apache-2.0
// One module of all functions: each kernel is made as for running it here, and inlined into a function with C's
// arguments.
#include "compiler/export.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/Linker/Linker.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/TargetParser/Triple.h>
#include <llvm/Transforms/IPO/MergeFunctions.h>

#include <memory>
#include <utility>

#include "compiler/check.h"
#include "compiler/codegen.h"
#include "compiler/export_plain.h"
#include "compiler/jit.h"
#include "compiler/lower.h"

namespace amo::compiler {
namespace {

constexpr std::int64_t kAlignment = 64;  // of the scratch that kernels want

struct KnownTarget {
  ExportTarget shown;
  const char *triple, *cpu;  // "": those of this machine
  int vector_bytes;
  bool fma, rounds;          // whether it has these instructions
};

// Without an environment: LLVM then knows of no function beyond standard C, such as glibc's sincos.
constexpr const char *kX86 = "x86_64-unknown-linux", *kArm = "aarch64-unknown-linux";
constexpr KnownTarget kTargets[] = {
    {{"native", "the processor of this machine"}, "", "", 0, true, true},
    {{"x86-64", "every 64 bit x86 processor"}, kX86, "x86-64", 16, false, false},
    {{"x86-64-v2", "with SSE4.2, since 2009"}, kX86, "x86-64-v2", 16, false, true},
    {{"x86-64-v3", "with AVX2 and FMA, since 2013"}, kX86, "x86-64-v3", 32, true, true},
    {{"x86-64-v4", "with AVX-512, since 2017"}, kX86, "x86-64-v4", 64, true, true},
    {{"aarch64", "every 64 bit Arm processor"}, kArm, "generic", 16, true, true},
};

struct Chosen {
  Target target;
  bool fma = true, rounds = true;
};

Chosen Choose(std::string_view name) {
  for (const KnownTarget& t : kTargets) {
    if (t.shown.name != name) continue;
    if (t.vector_bytes > 0) return {{t.triple, t.cpu, "", t.vector_bytes}, t.fma, t.rounds};
    Chosen here{TheHost(), true, true};
    llvm::Triple triple(here.target.triple);
    triple.setEnvironment(llvm::Triple::UnknownEnvironment);
    here.target.triple = triple.str();
    if (triple.getArch() == llvm::Triple::x86_64) {
      const std::string features = "," + here.target.features + ",";
      here.fma = features.find(",+fma,") != std::string::npos;
      here.rounds = features.find(",+sse4.1,") != std::string::npos;
    }
    return here;
  }
  AMO_CHECK(false, "(target %s)", std::string(name).c_str());
}

class Exporter {
 public:
  Exporter(const ExportOptions& options, const Chosen& chosen)
      : precision_(options.precision), chosen_(chosen), all_("amo", context_), linker_(all_) {}

  ExportForm Add(const ExportFunction& f, bool batch) {
    const LoopProgram program = Lower(f.function);
    const int width = chosen_.target.vector_bytes / (precision_ == Precision::kF64 ? 8 : 4);
    const int lanes = batch ? LanesForMany(program, precision_, width) : 1;
    const ScratchPlan plan = PlanScratch(program, precision_, lanes);
    std::unique_ptr<llvm::Module> module = EmitKernel(context_, program, precision_, lanes, width, plan);
    for (const char* symbol : {kPrepareSymbol, kKernelSymbol}) {
      llvm::Function* inlined = module->getFunction(symbol);
      inlined->setLinkage(llvm::Function::InternalLinkage);
      inlined->addFnAttr(llvm::Attribute::AlwaysInline);
    }
    const std::string symbol = f.symbol + (batch ? "_batch" : "");
    const std::vector<ExportArgument> arguments = ArgumentsOf(f.function);
    Wrap(*module, plan, symbol, arguments, batch, Does::kBoth);
    if (plan.shared_bytes > 0) {
      if (!batch) Wrap(*module, plan, symbol + "_prepare", arguments, batch, Does::kPrepares);
      Wrap(*module, plan, symbol + "_prepared", arguments, batch, Does::kRuns);
    }
    const bool failed = linker_.linkInModule(std::move(module));
    AMO_CHECK(!failed, "(link)");
    return {lanes, plan.shared_bytes + plan.bytes + kAlignment,
            plan.shared_bytes > 0 ? plan.shared_bytes + kAlignment : 0};
  }

  std::string Finish() {
    if (!chosen_.fma) ReplaceFma(all_);
    if (!chosen_.rounds) ReplaceRounding(all_);
    SetTarget(all_, chosen_.target);
    Optimize(all_, chosen_.target);
    MergeHelpers();
    return EmitObject(all_, chosen_.target);
  }

 private:
  // What a function that C calls does: prepares and runs, or one of both with memory that the caller keeps.
  enum class Does { kBoth, kPrepares, kRuns };

  // Its arguments become the arrays that a kernel takes, on the stack until they are optimized away. Where it does
  // both, what is shared begins the scratch.
  void Wrap(llvm::Module& module, const ScratchPlan& plan, const std::string& symbol,
            const std::vector<ExportArgument>& arguments, bool batch, Does does) {
    llvm::IRBuilder<> b(context_);
    llvm::Type *pointer = b.getPtrTy(), *i64 = b.getInt64Ty();
    const bool runs = does != Does::kPrepares;
    const auto given = [&](const ExportArgument& a) { return runs || a.shared; };
    std::vector<llvm::Type*> types;
    for (const ExportArgument& a : arguments) {
      if (given(a)) types.push_back(pointer);
      if (runs && batch && !a.shared) types.push_back(i64);
    }
    if (runs && batch) types.insert(types.end(), {i64, i64});
    types.push_back(pointer);
    if (does == Does::kRuns) types.push_back(pointer);
    auto* function = llvm::Function::Create(llvm::FunctionType::get(b.getVoidTy(), types, false),
                                            llvm::Function::ExternalLinkage, symbol, module);
    function->setDoesNotThrow();
    function->setSection(".text." + symbol);  // so that linkers can leave out what nobody calls
    b.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function));

    auto* pair = llvm::StructType::get(context_, {pointer, i64});
    std::int64_t inputs = 0;
    for (const ExportArgument& a : arguments) inputs += a.written ? 0 : 1;
    const auto array = [&](std::int64_t count) {
      return b.CreateAlloca(llvm::ArrayType::get(pair, static_cast<std::uint64_t>(count)));
    };
    llvm::Value* in = array(inputs);
    llvm::Value* out = array(static_cast<std::int64_t>(arguments.size()) - inputs);
    unsigned next = 0, k = 0;
    for (const ExportArgument& a : arguments) {
      const unsigned index = a.written ? k - static_cast<unsigned>(inputs) : k;
      ++k;
      if (!given(a)) continue;
      if (a.written) function->addParamAttr(next, llvm::Attribute::NoAlias);
      llvm::Value* data = function->getArg(next++);
      llvm::Value* stride = batch && !a.shared ? static_cast<llvm::Value*>(function->getArg(next++)) : b.getInt64(0);
      llvm::Value* at = b.CreateConstGEP1_64(pair, a.written ? out : in, index);
      b.CreateStore(data, b.CreateStructGEP(pair, at, 0));
      b.CreateStore(stride, b.CreateStructGEP(pair, at, 1));
    }
    // Memory of any alignment, from its first aligned byte on.
    const auto memory = [&](unsigned argument) {
      function->addParamAttr(argument, llvm::Attribute::NoAlias);
      llvm::Value* past = b.CreateConstGEP1_64(b.getInt8Ty(), function->getArg(argument), kAlignment - 1);
      llvm::Value* mask = b.getInt64(~std::uint64_t{kAlignment - 1});
      return b.CreateIntrinsic(llvm::Intrinsic::ptrmask, {pointer, i64}, {past, mask});
    };
    llvm::Value *begin = b.getInt64(0), *end = b.getInt64(1);
    if (runs && batch) begin = function->getArg(next), end = function->getArg(next + 1), next += 2;
    llvm::Value* shared = memory(next++);
    if (does != Does::kRuns) b.CreateCall(module.getFunction(kPrepareSymbol), {in, shared});
    if (runs) {
      llvm::Value* scratch = does == Does::kRuns
                                 ? static_cast<llvm::Value*>(memory(next))
                                 : b.CreateConstGEP1_64(b.getInt8Ty(), shared, plan.shared_bytes);
      b.CreateCall(module.getFunction(kKernelSymbol), {in, out, begin, end, shared, scratch});
    }
    b.CreateRetVoid();
  }

  // Each kernel came with its own transpositions and loops over lanes; equal ones become one.
  void MergeHelpers() {
    llvm::LoopAnalysisManager loops;
    llvm::FunctionAnalysisManager functions;
    llvm::CGSCCAnalysisManager components;
    llvm::ModuleAnalysisManager modules;
    llvm::PassBuilder builder;
    builder.registerModuleAnalyses(modules);
    builder.registerCGSCCAnalyses(components);
    builder.registerFunctionAnalyses(functions);
    builder.registerLoopAnalyses(loops);
    builder.crossRegisterProxies(loops, functions, components, modules);
    llvm::MergeFunctionsPass().run(all_, modules);
  }

  Precision precision_;
  Chosen chosen_;
  llvm::LLVMContext context_;
  llvm::Module all_;
  llvm::Linker linker_;
};

}  // namespace

const std::vector<ExportTarget>& ExportTargets() {
  static const std::vector<ExportTarget> all = [] {
    std::vector<ExportTarget> shown;
    for (const KnownTarget& t : kTargets) shown.push_back(t.shown);
    return shown;
  }();
  return all;
}

Exported Export(const std::vector<ExportFunction>& functions, const ExportOptions& options) {
  const Chosen chosen = Choose(options.target);
  Exported result;
  result.error = WhyNoCode(chosen.target);
  if (!result.error.empty()) return result;
  Exporter exporter(options, chosen);
  for (const ExportFunction& f : functions) {
    const ExportForm one = exporter.Add(f, false);
    result.functions.push_back({one, exporter.Add(f, true)});
  }
  result.object = exporter.Finish();
  result.header = ExportHeader(functions, result.functions, options);
  return result;
}

}  // namespace amo::compiler
