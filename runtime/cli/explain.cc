// SPDX-License-Identifier: Apache-2.0
// `amo explain`: what a program means to amo (its numbers, names and functions), or what a diagnostic code means.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "compiler/classify.h"
#include "compiler/plan.h"
#include "compiler/training_step.h"
#include "lang/explain.h"
#include "runtime/cli/command.h"
#include "runtime/cli/command_line.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/explain_cost.h"
#include "runtime/cli/front.h"
#include "runtime/cli/terminal.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr lang::Code kCodes[] = {
#define AMO_DIAGNOSTIC(name, text, explanation) lang::Code::k##name,
#include "lang/diagnostic.def"
#undef AMO_DIAGNOSTIC
};

std::string ListCodes() {
  std::string text;
  for (const lang::Code code : kCodes) text += fmt::format("{:<22}{}\n", CodeName(code), CodeExplanation(code));
  return text;
}

// The values in the order in which they are found.
Json NamesJson(const Front& front) {
  Json names = Json::array();
  const auto add = [&](const std::string& name, std::string_view kind, std::string_view origin) {
    const auto type = front.checked.values.find(name);
    names.push_back({{"name", name},
                     {"kind", kind},
                     {"type", type == front.checked.values.end() ? "" : ToString(type->second)},
                     {"origin", origin}});
  };
  for (const lang::Decl* decl : front.problem.values) {
    if (const auto* value = std::get_if<lang::ValueDecl>(&decl->node)) {
      for (const lang::Ident& name : value->names)
        add(name.text, lang::NameOf(value->kind), lang::NameOf(value->origin));
    } else if (const auto* let = std::get_if<lang::LetDecl>(&decl->node)) {
      add(let->name.text, "let", "computed");
    }
  }
  return names;
}

Json FunctionJson(const compiler::NamedFunction& named) {
  const compiler::Function& function = *named.function;
  Json json = {{"name", named.name}, {"role", named.role}, {"nodes", function.nodes.size()}};
  json["inputs"] = json["outputs"] = Json::array();
  for (const compiler::Input& input : function.inputs) {
    json["inputs"].push_back({{"name", input.name},
                              {"type", ToString(input.type)},
                              {"per", input.role == compiler::Role::kInstance ? "instance" : "batch"}});
  }
  for (const compiler::Output& output : function.outputs) {
    json["outputs"].push_back({{"name", output.name}, {"type", ToString(function.type(output.value))}});
  }
  return json;
}

Json FunctionsJson(const compiler::Program& built) {
  Json functions = Json::array();
  for (const compiler::NamedFunction& named : compiler::FunctionsOf(built)) functions.push_back(FunctionJson(named));
  return functions;
}

Json ConstraintsJson(const Front& front) {
  Json constraints = Json::array();
  for (const compiler::Guarantee& g : compiler::Guarantees(front.problem, front.built)) {
    constraints.push_back({{"name", g.name}, {"kept", g.kept}, {"how", g.how}});
  }
  return constraints;
}

// "linear"; "neither convex nor concave by the rules (`sin(y)`, line 12)".
std::string CurvatureText(const Front& front, const compiler::Classified& c) {
  std::string text = Describe(c.curvature);
  const bool plain = c.curvature.degree <= compiler::Degree::kAffine || c.by == lang::Span{};
  if (plain || (c.curvature.smooth && (c.curvature.convex || c.curvature.concave))) return text;
  return text + fmt::format(" (`{}`, line {})", front.program.sources.Text(c.by),
                            front.program.sources.At(c.by.source, c.by.begin).line);
}

// Each objective and constraint once, with the classes of all its comparisons.
Json ClassesJson(const Front& front) {
  Json classes = Json::array();
  for (const compiler::Classified& c : front.built.classes) {
    if (c.name.empty() && !front.built.objective) continue;
    const std::string name = c.name.empty() ? "objective" : c.name;
    const bool apart = c.name.empty() && compiler::IsSeparable(front.built);
    const std::string what = CurvatureText(front, c) + (apart ? ", separable" : "");
    if (!classes.empty() && classes.back()["name"] == name && classes.back()["is"] == what) continue;
    classes.push_back({{"name", name}, {"is", what}});
  }
  return classes;
}

std::string ClassesText(const Front& front) {
  const std::string kind = compiler::ProblemClass(front.built);
  if (kind.empty()) return "";
  const Json classes = ClassesJson(front);
  std::size_t width = 0;
  for (const Json& c : classes) width = std::max(width, c["name"].get<std::string>().size());
  std::string text = fmt::format("\nclass: {}\n", kind);
  for (const Json& c : classes)
    text += fmt::format("  {:<{}}  {}\n", c["name"].get<std::string>(), width, c["is"].get<std::string>());
  return text;
}

Json ProgramJson(const ProgramChoice& choice, const Front& front, int code) {
  Json json = FrontJson(choice, front, code);
  json["doc"] = front.problem.doc;
  json["problems"] = ProblemNames(front.program);
  json["variants"] = VariantNames(front.program, front.problem.name);
  json["numbers"] = Json::object();
  for (const auto& [name, value] : front.problem.numbers) json["numbers"][name] = value;
  json["names"] = NamesJson(front);
  json["objective"] = front.problem.objectives.empty() ? "" : front.built.maximize ? "maximize" : "minimize";
  json["class"] = compiler::ProblemClass(front.built);
  json["classes"] = ClassesJson(front);
  json["constraints"] = ConstraintsJson(front);
  json["training"] = compiler::DescribeTraining(front.built);
  json["functions"] = FunctionsJson(front.built);
  return json;
}

std::string PortsText(const char* title, const Json& ports) {
  std::string text;
  for (const Json& port : ports) {
    text += fmt::format("    {:<8}{} : {}{}\n", text.empty() ? title : "", port["name"].get<std::string>(),
                        port["type"].get<std::string>(), port.value("per", "") == "batch" ? ", shared" : "");
  }
  return text;
}

std::string ConstraintsText(const Front& front) {
  const std::vector<compiler::Guarantee> all = compiler::Guarantees(front.problem, front.built);
  std::size_t width = 0;
  for (const compiler::Guarantee& g : all) width = std::max(width, g.name.size());
  std::string text = all.empty() ? "" : "\nconstraints\n";
  for (const compiler::Guarantee& g : all) text += fmt::format("  {:<{}}  {}\n", g.name, width, g.how);
  return text;
}

// What the front end knows of the problem, how its constraints are kept, then the functions built from it.
std::string ProgramText(const Front& front) {
  std::string text = lang::Explain(front.program, front.problem, front.checked);
  text += ClassesText(front) + ConstraintsText(front);
  const std::string training = compiler::DescribeTraining(front.built);
  if (!training.empty()) text += fmt::format("\ntraining step: {}\n", training);
  const Json functions = FunctionsJson(front.built);
  if (!functions.empty()) text += "\nfunctions\n";
  for (const Json& function : functions) {
    const auto role = function["role"].get<std::string>();
    const auto name = function["name"].get<std::string>();
    const auto nodes = function["nodes"].get<std::size_t>();
    text += fmt::format("  {}{}, {} node{}\n", role, role == "constraint" ? " " + name : "", nodes,
                        nodes == 1 ? "" : "s");
    text += PortsText("takes", function["inputs"]) + PortsText("gives", function["outputs"]);
  }
  return text;
}

// Words that are neither a code nor a file.
int UnknownSubject(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  for (const lang::Code code : kCodes) known.emplace_back(CodeName(code));
  const std::string nearest = lang::Nearest(word, known);
  return WrongUse(app, fmt::format("`{}` is neither a file nor a diagnostic code{}", word,
                                   nearest.empty() ? "; `amo explain --codes` lists these"
                                                   : fmt::format("; did you mean `{}`?", nearest)));
}

}  // namespace

int RunExplain(const Arguments& arguments) {
  ProgramChoice choice;
  bool json = false, codes = false, cost = false, f32 = false;
  const auto app = MakeCommandLine(
      "explain", "Tells what a program means to amo, or what a diagnostic code means.",
      "amo explain portfolio.amo\n  amo explain shape-mismatch");
  AddProgramOptions(*app, choice);
  app->get_option("FILE")->required(false)->description("a program, or a diagnostic code");
  app->add_flag("--codes", codes, "lists every diagnostic code");
  const auto costs =
      app->add_flag("--cost", cost, "what the objective and its derivatives cost: counted, predicted, measured");
  app->add_flag("--f32", f32, "--cost: for 32 bit numbers")->needs(costs);
  app->add_flag("--json", json, "the answer as JSON on standard output");
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;

  if (codes == !choice.file.empty()) return WrongUse(*app, "it needs a file, a diagnostic code or `--codes`");
  Json matching = Json::array();
  for (const lang::Code code : kCodes) {
    if (!codes && CodeName(code) != choice.file) continue;
    matching.push_back({{"code", CodeName(code)}, {"explanation", CodeExplanation(code)}});
  }
  if (!matching.empty()) {
    if (json) Print(ToText(codes ? matching : matching[0]));
    else Print(codes ? ListCodes() : fmt::format("{}\n", matching[0]["explanation"].get<std::string>()));
    return kOk;
  }
  if (choice.file.find_first_of("./") == std::string::npos && access(choice.file.c_str(), F_OK) != 0) {
    return UnknownSubject(*app, choice.file);
  }

  Front front;
  const int code = ReadProgram(choice, Stage::kBuild, front);
  const auto precision = f32 ? compiler::Precision::kF32 : compiler::Precision::kF64;
  if (json) {
    Json program = ProgramJson(choice, front, code);
    if (cost && code == kOk) program["cost"] = CostJson(front.built, precision);
    Print(ToText(program));
    return code;
  }
  Report(front);
  if (code != kOk) return code;
  Print(cost ? CostText(CostJson(front.built, precision)) : ProgramText(front));
  return code;
}

}  // namespace amo::runtime::cli
