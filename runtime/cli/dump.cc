// SPDX-License-Identifier: Apache-2.0
// `amo dump`: one step of the compilation as text.
#include "lang/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/derive.h"
#include "compiler/kernel.h"
#include "compiler/simplify.h"
#include "compiler/text.h"
#include "runtime/cli/command.h"
#include "runtime/cli/command_line.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/front.h"
#include "runtime/cli/terminal.h"

namespace amo::runtime::cli {
namespace {

using compiler::Function;

constexpr int kMaxLanes = 64;

struct DumpOptions {
  std::string function;  // "": the step's own choice
  bool raw = false;      // before simplification and optimization
  compiler::KernelOptions kernel;
};

struct Section {
  std::string name, text;
};

// What a step gives, or why there is nothing.
struct Dumped {
  std::vector<Section> sections;
  std::string error;
};

struct Step {
  const char* flag;
  const char* help;
  Stage needs;
  Dumped (*dump)(const Front& front, const DumpOptions& options);
};

std::vector<int> VariableInputs(const compiler::Program& built, const Function& function) {
  std::vector<int> inputs;
  for (const compiler::Named& variable : built.variables) {
    const int input = function.FindInput(variable.name);
    if (input >= 0 && variable.type.elem == compiler::Elem::kReal) inputs.push_back(input);
  }
  return inputs;
}

struct NamedFunction {
  std::string name;
  Function function;
};

// Every function that the program has, derivatives last.
std::vector<NamedFunction> Functions(const compiler::Program& built) {
  std::vector<NamedFunction> all;
  for (const compiler::NamedFunction& named : compiler::FunctionsOf(built)) {
    all.push_back({named.name, *named.function});
  }
  if (built.objective) {
    const std::vector<int> variables = VariableInputs(built, *built.objective);
    if (!variables.empty()) {
      all.push_back({"gradient", compiler::Gradient(*built.objective, variables)});
      all.push_back({"hessian", compiler::HessianVector(*built.objective, variables)});
    }
  }
  return all;
}

bool IsDerivative(const std::string& name) { return name == "gradient" || name == "hessian"; }

// The functions of a step: the one asked for, or those that `by_default` holds for.
template <class Default, class Text>
Dumped DumpFunctions(const Front& front, const DumpOptions& options, Default by_default, Text text) {
  Dumped result;
  std::string known;
  for (const auto& [name, function] : Functions(front.built)) {
    known += (known.empty() ? "" : ", ") + name;
    if (options.function.empty() ? !by_default(name) : options.function != name) continue;
    result.sections.push_back({name, text(options.raw ? function : compiler::Simplify(function), result.error)});
    if (!result.error.empty()) return {{}, fmt::format("function `{}`: {}", name, result.error)};
  }
  if (result.sections.empty()) {
    result.error = fmt::format("the problem has no {}; its functions: {}",
                               options.function.empty() ? "such function" : "function `" + options.function + "`",
                               known.empty() ? "none" : known);
  }
  return result;
}

Dumped DumpAst(const Front& front, const DumpOptions&) {
  if (front.program.files.empty()) return {{}, "nothing could be read"};
  return {{{"ast", Dump(front.program.files.back())}}, {}};
}

Dumped DumpTypes(const Front& front, const DumpOptions&) {
  std::string text;
  for (const auto& [name, type] : front.checked.values) text += fmt::format("{} : {}\n", name, ToString(type));
  return {{{"types", text}}, {}};
}

std::string PrintIr(const Function& function, std::string&) { return compiler::Print(function); }

Dumped DumpIr(const Front& front, const DumpOptions& options) {
  return DumpFunctions(front, options, [](const std::string& name) { return !IsDerivative(name); }, PrintIr);
}

Dumped DumpGradient(const Front& front, const DumpOptions& options) {
  return DumpFunctions(front, options, [](const std::string& name) { return name == "gradient"; }, PrintIr);
}

Dumped DumpHessian(const Front& front, const DumpOptions& options) {
  return DumpFunctions(front, options, [](const std::string& name) { return name == "hessian"; }, PrintIr);
}

// What is run most: value and gradient at once, or the update.
template <class Text>
Dumped DumpCode(const Front& front, const DumpOptions& options, Text text) {
  const char* most_run = front.built.objective ? "gradient" : "update";
  return DumpFunctions(front, options, [&](const std::string& name) { return name == most_run; },
                       [&](const Function& function, std::string& error) {
                         const std::string first = compiler::Uncompilable(function);
                         if (!first.empty()) error = fmt::format("no kernel for `{}` yet", first);
                         return first.empty() ? text(function) : std::string();
                       });
}

Dumped DumpLoopSteps(const Front& front, const DumpOptions& options) {
  return DumpCode(front, options, [](const Function& f) { return compiler::DumpLoops(f); });
}

Dumped DumpLlvmSteps(const Front& front, const DumpOptions& options) {
  return DumpCode(front, options, [&](const Function& f) {
    return compiler::DumpLlvm(f, options.kernel, !options.raw);
  });
}

Dumped DumpAsmSteps(const Front& front, const DumpOptions& options) {
  return DumpCode(front, options, [&](const Function& f) { return compiler::DumpAsm(f, options.kernel); });
}

constexpr Step kSteps[] = {
    {"--ast", "the syntax tree", Stage::kLoad, DumpAst},
    {"--types", "every name's type", Stage::kCheck, DumpTypes},
    {"--ir", "the functions that the problem consists of", Stage::kBuild, DumpIr},
    {"--gradient", "the objective's gradient by the variables", Stage::kBuild, DumpGradient},
    {"--hessian", "the objective's Hessian times a vector", Stage::kBuild, DumpHessian},
    {"--loops", "the loops of a function", Stage::kBuild, DumpLoopSteps},
    {"--llvm", "its LLVM code", Stage::kBuild, DumpLlvmSteps},
    {"--asm", "its machine code", Stage::kBuild, DumpAsmSteps},
};

}  // namespace

int RunDump(const Arguments& arguments) {
  ProgramChoice choice;
  DumpOptions options;
  bool json = false, f32 = false;
  bool flags[std::size(kSteps)] = {};
  const auto app = MakeCommandLine("dump", "Prints one step of the compilation.",
                                   "amo dump portfolio.amo --ir\n  amo dump portfolio.amo --llvm --function objective");
  AddProgramOptions(*app, choice);
  for (std::size_t i = 0; i < std::size(kSteps); ++i) {
    app->add_flag(kSteps[i].flag, flags[i], kSteps[i].help)->group("Steps (one of these)");
  }
  app->add_option("--function", options.function,
                  "a function's name, as --ir shows it, gradient or hessian;\n"
                  "else --loops, --llvm and --asm show gradient or update")
      ->type_name("NAME");
  app->add_flag("--raw", options.raw, "before simplification and optimization");
  app->add_flag("--f32", f32, "--llvm, --asm: for 32 bit numbers");
  app->add_option("--lanes", options.kernel.lanes, "--llvm, --asm: instances at once; else the machine's width")
      ->type_name("N");
  app->add_flag("--json", json, "the result as JSON on standard output");
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;
  if (f32) options.kernel.precision = compiler::Precision::kF32;

  if (std::count(std::begin(flags), std::end(flags), true) != 1) {
    std::string known;
    for (const Step& step : kSteps) known += std::string(known.empty() ? "" : ", ") + step.flag;
    return WrongUse(*app, "it needs one of " + known);
  }
  if (options.kernel.lanes < 0 || options.kernel.lanes > kMaxLanes) {
    return WrongUse(*app, fmt::format("`--lanes` lies between 0 (the machine's width) and {}", kMaxLanes));
  }
  const Step* step = &kSteps[std::find(std::begin(flags), std::end(flags), true) - std::begin(flags)];
  Front front;
  int code = ReadProgram(choice, step->needs, front);
  Dumped dumped;
  // A tree with broken parts is worth a look; later steps need a program without errors.
  if (code == kOk || (code == kProgramErrors && step->needs == Stage::kLoad)) dumped = step->dump(front, options);
  if (front.error.empty()) front.error = dumped.error;
  if (code == kOk && !dumped.error.empty()) code = kProgramErrors;
  if (json) {
    auto result = FrontJson(choice, front, code);
    result["step"] = step->flag + 2;
    result["sections"] = nlohmann::ordered_json::array();
    for (const Section& section : dumped.sections) {
      result["sections"].push_back({{"name", section.name}, {"text", section.text}});
    }
    Print(ToText(result));
    return code;
  }
  Report(front);
  for (std::size_t i = 0; i < dumped.sections.size(); ++i) Print((i > 0 ? "\n" : "") + dumped.sections[i].text);
  return code;
}

}  // namespace amo::runtime::cli
