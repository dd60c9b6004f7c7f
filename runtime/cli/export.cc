// SPDX-License-Identifier: Apache-2.0
// `amo export --kernels`: a problem's functions as an object file and a C header.
#include "compiler/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compiler/derive.h"
#include "compiler/simplify.h"
#include "lang/diagnostic.h"
#include "runtime/cli/command.h"
#include "runtime/cli/command_line.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/front.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/version.h"
#include "runtime/output_file.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

struct ExportChoice {
  std::string folder, name, target = "native";
  std::vector<std::string> functions;
  bool f32 = false;

  compiler::Precision precision() const { return f32 ? compiler::Precision::kF32 : compiler::Precision::kF64; }
};

// The roles (of compiler::FunctionsOf) that are exported, and what the header says of them.
struct Role {
  std::string_view role, about;
};
constexpr Role kRoles[] = {
    {"objective", "The quantity that is minimized."},
    {"project", "The point of the variables' sets that belongs to a point."},
    {"predict", "The model's prediction, before refinements."},
    {"states", "The states before the first update."},
    {"update", "One step of the updates."},
    {"constraint", "The amounts by which it fails; 0 where it holds."},
};
constexpr std::string_view kNegated = "The negative of the maximized quantity.";
constexpr std::string_view kGradient = "The objective, and its gradient: d_NAME for each variable.";
constexpr std::string_view kHessian =
    "The objective, its gradient, and its Hessian times a vector: h_NAME for the direction tangent_NAME.";

// Everything that can be exported, under the names that --function takes.
struct Candidate {
  std::string name, role, about;
  compiler::Function function;
};

std::vector<Candidate> Candidates(const compiler::Program& built) {
  std::vector<Candidate> all;
  for (const compiler::NamedFunction& named : compiler::FunctionsOf(built)) {
    const auto* role = std::find_if(std::begin(kRoles), std::end(kRoles),
                                    [&](const Role& r) { return r.role == named.role; });
    if (role == std::end(kRoles)) continue;
    // The projection onto all rows at once is no compiled function: half of it would be a wrong one.
    if (named.role == "project" && !built.projected.empty()) continue;
    const bool constraint = named.role == "constraint";
    std::string about(named.role == "objective" && built.maximize ? kNegated : role->about);
    if (constraint) about = fmt::format("The constraint {}. {}", named.name, about);
    all.push_back({named.name, named.role, about, *named.function});
    if (named.role != "objective") continue;
    std::vector<int> variables;
    for (const compiler::Named& variable : built.variables) {
      const int input = named.function->FindInput(variable.name);
      if (input >= 0 && variable.type.elem == compiler::Elem::kReal) variables.push_back(input);
    }
    if (variables.empty()) continue;
    all.push_back({"gradient", "gradient", std::string(kGradient), compiler::Gradient(*named.function, variables)});
    all.push_back({"hessian", "hessian", std::string(kHessian), compiler::HessianVector(*named.function, variables)});
  }
  return all;
}

// The inputs in the order in which the program declares them, which no change of a formula changes; others (weights,
// directions) keep theirs, behind these.
void OrderInputs(const compiler::Program& built, compiler::Function& function) {
  std::map<std::string, std::size_t> place;
  for (const auto* list :
       {&built.data, &built.parameters, &built.contexts, &built.hidden, &built.variables, &built.states}) {
    for (const compiler::Named& named : *list) place.emplace(named.name, place.size());
  }
  const auto place_of = [&](const compiler::Input& input) {
    const auto found = place.find(input.name);
    return found == place.end() ? place.size() : found->second;
  };
  std::stable_sort(function.inputs.begin(), function.inputs.end(),
                   [&](const auto& a, const auto& b) { return place_of(a) < place_of(b); });
  for (std::size_t k = 0; k < function.inputs.size(); ++k) {
    function.nodes[static_cast<std::size_t>(function.inputs[k].value.index)].attr = {static_cast<std::int64_t>(k)};
  }
}

// Those that were asked for; "" or what is wrong.
std::string Select(const compiler::Program& built, const ExportChoice& choice, std::vector<Candidate>& all) {
  if (all.empty()) return "the problem has nothing to export";
  std::vector<std::string> known;
  for (const Candidate& c : all) known.push_back(c.name);
  for (const std::string& name : choice.functions) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string nearest = lang::Nearest(name, known);
    return fmt::format("the problem has no function `{}`{}", name,
                       nearest.empty() ? fmt::format("; its functions: {}", fmt::join(known, ", "))
                                       : fmt::format("; did you mean `{}`?", nearest));
  }
  if (!choice.functions.empty()) {
    std::erase_if(all, [&](const Candidate& c) {
      return std::find(choice.functions.begin(), choice.functions.end(), c.name) == choice.functions.end();
    });
  }
  for (Candidate& c : all) {
    c.function = compiler::Simplify(c.function);
    OrderInputs(built, c.function);
    const std::string first = compiler::Uncompilable(c.function);
    if (!first.empty()) {
      return fmt::format("function `{}`: no kernel for `{}` yet; `--function` chooses others", c.name, first);
    }
  }
  return "";
}

std::string NameOf(const ProgramChoice& program, const ExportChoice& choice, const Front& front) {
  if (!choice.name.empty()) return choice.name;
  std::string name = front.problem.name;
  if (name.empty()) name = std::filesystem::path(program.file).stem().string();
  return compiler::CName(program.variant.empty() ? name : name + "/" + program.variant);
}

// Symbols that differ from each other with everything that the header puts behind them.
std::vector<compiler::ExportFunction> WithSymbols(const std::string& prefix, const std::vector<Candidate>& all) {
  constexpr const char* kEndings[] = {"",          "_batch",    "_scratch_bytes",  "_batch_scratch_bytes",
                                     "_prepare", "_prepared", "_batch_prepared", "_shared_bytes"};
  std::vector<compiler::ExportFunction> functions;
  std::set<std::string> used;
  for (const Candidate& c : all) {
    std::string symbol =
        compiler::CName(fmt::format("{}_{}{}", prefix, c.role == "constraint" ? "constraint_" : "", c.name));
    while (std::any_of(std::begin(kEndings), std::end(kEndings),
                       [&](const char* ending) { return used.contains(symbol + ending); })) {
      symbol += "_";
    }
    for (const char* ending : kEndings) used.insert(symbol + ending);
    functions.push_back({symbol, c.about, c.function});
  }
  return functions;
}

// Both files, the header last: who finds a new one finds its object too.
std::string WriteBoth(const std::string& folder, const std::string& object_path, const std::string& header_path,
                      const compiler::Exported& exported) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) return fmt::format("cannot create the folder `{}`: {}", folder, code.message());
  for (const auto& [path, text] : {std::pair(&object_path, &exported.object), {&header_path, &exported.header}}) {
    const Result<Done> written = WriteFile(*path, std::as_bytes(std::span(*text)));
    if (!written.ok()) return written.message();
  }
  return "";
}

Json ArgumentsJson(const compiler::Function& function, bool written) {
  Json json = Json::array();
  for (const compiler::ExportArgument& a : ArgumentsOf(function)) {
    if (a.written != written) continue;
    json.push_back({{"name", a.name}, {"c_name", a.c_name}, {"type", ToString(a.type)}});
    if (!written) json.back()["per"] = a.shared ? "batch" : "instance";
  }
  return json;
}

std::string TargetNames() {
  std::string names;
  for (const compiler::ExportTarget& t : compiler::ExportTargets()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", t.name);
  }
  return names;
}

std::string TargetHelp() {
  std::string text = "the processor to run on; else native\n";
  for (const compiler::ExportTarget& t : compiler::ExportTargets()) text += fmt::format("  {}: {}\n", t.name, t.help);
  text.pop_back();
  return text;
}

// What was made, for both forms of the answer.
struct Made {
  std::vector<Candidate> candidates;
  std::vector<compiler::ExportFunction> functions;
  compiler::Exported exported;
  std::string name, object, header;  // the paths
};

int Make(const ProgramChoice& program, const ExportChoice& choice, Front& front, Made& made) {
  made.candidates = Candidates(front.built);
  front.error = Select(front.built, choice, made.candidates);
  if (!front.error.empty()) return kProgramErrors;
  made.name = NameOf(program, choice, front);
  made.functions = WithSymbols(made.name, made.candidates);
  std::string about = front.problem.doc.empty() ? made.name : fmt::format("{}: {}", made.name, front.problem.doc);
  about += fmt::format("\n\nMade by amo {} from {}, for {} in {}. Link with -lm.", kVersion,
                       std::filesystem::path(program.file).filename().string(), choice.target,
                       choice.f32 ? "single precision" : "double precision");
  made.exported = compiler::Export(made.functions, {made.name, about, choice.target, choice.precision()});
  front.error = made.exported.error;
  if (!front.error.empty()) {
    front.error = fmt::format("no code for `{}`: {}", choice.target, front.error);
    return kUsage;
  }
  const std::filesystem::path folder(choice.folder);
  made.object = (folder / (made.name + ".o")).string();
  made.header = (folder / (made.name + ".h")).string();
  front.error = WriteBoth(choice.folder, made.object, made.header, made.exported);
  return front.error.empty() ? kOk : kFiles;
}

Json MadeJson(const ExportChoice& choice, const Made& made) {
  Json json = {{"name", made.name},     {"target", choice.target}, {"precision", choice.f32 ? "f32" : "f64"},
               {"object", made.object}, {"header", made.header},   {"functions", Json::array()}};
  for (std::size_t k = 0; k < made.functions.size(); ++k) {
    const compiler::ExportedFunction& sizes = made.exported.functions[k];
    json["functions"].push_back({{"name", made.candidates[k].name},
                                 {"role", made.candidates[k].role},
                                 {"symbol", made.functions[k].symbol},
                                 {"scratch_bytes", sizes.one.scratch_bytes},
                                 {"batch_scratch_bytes", sizes.batch.scratch_bytes},
                                 {"shared_bytes", sizes.one.shared_bytes},
                                 {"lanes", sizes.batch.lanes},
                                 {"inputs", ArgumentsJson(made.functions[k].function, false)},
                                 {"outputs", ArgumentsJson(made.functions[k].function, true)}});
  }
  return json;
}

}  // namespace

int RunExport(const Arguments& arguments) {
  ProgramChoice program;
  ExportChoice choice;
  bool kernels = false, json = false;
  const auto app = MakeCommandLine("export", "Writes an object file and a C header that need libc and libm only.",
                                   "amo export --kernels portfolio.amo -o generated/\n"
                                   "  gcc -std=c11 main.c generated/portfolio.o -lm");
  AddProgramOptions(*app, program);
  app->add_flag("--kernels", kernels, "the problem's functions: objective, gradient, project, predict, ...");
  app->add_option("-o,--output", choice.folder, "the folder for NAME.o and NAME.h; it is made where it is missing")
      ->type_name("FOLDER");
  app->add_option("--name", choice.name, "the files' name and the beginning of every symbol; else the problem's")
      ->type_name("NAME");
  app->add_option("--function", choice.functions,
                  "a function, by the name that `amo explain` shows,\ngradient or hessian; may be repeated; else all")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app->add_option("--target", choice.target, TargetHelp())->type_name("TARGET");
  app->add_flag("--f32", choice.f32, "float instead of double");
  app->add_flag("--json", json, "what was written as JSON on standard output");
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;

  if (!kernels) return WrongUse(*app, "it needs `--kernels`");
  if (choice.folder.empty()) return WrongUse(*app, "it needs `-o FOLDER`");
  if (!choice.name.empty() && compiler::CName(choice.name) != choice.name) {
    return WrongUse(*app, fmt::format("`{}` is no name in C", choice.name));
  }
  const std::vector<compiler::ExportTarget>& targets = compiler::ExportTargets();
  if (std::none_of(targets.begin(), targets.end(),
                   [&](const compiler::ExportTarget& t) { return t.name == choice.target; })) {
    return WrongUse(*app, fmt::format("unknown target `{}`; there are {}", choice.target, TargetNames()));
  }

  Front front;
  Made made;
  int code = ReadProgram(program, Stage::kBuild, front);
  if (code == kOk) code = Make(program, choice, front, made);
  if (json) {
    Json result = FrontJson(program, front, code);
    if (code == kOk) result.update(MadeJson(choice, made));
    Print(ToText(result));
    return code;
  }
  Report(front);
  if (code != kOk) return code;
  Print(fmt::format("{}\n{}\n", made.object, made.header));
  return kOk;
}

}  // namespace amo::runtime::cli
