// SPDX-License-Identifier: Apache-2.0
// The stages in their order, and what they have to say.
#include "runtime/cli/front.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lang/parser.h"
#include "lang/render.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/text_file.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

// The registered data sets: the type of one row's field. tools/datasets.json says where they come from.
compiler::Tables RegisteredTables() {
  using compiler::Elem;
  return {{"mnist", {{"image", {Elem::kReal, {784}}}, {"label", {Elem::kInt, {}}}}},
          {"digits", {{"image", {Elem::kReal, {64}}}, {"label", {Elem::kInt, {}}}}}};
}

// Adds one `--set NAME=EXPR`; false when it has another form. Mistakes inside EXPR are diagnostics.
bool AddOverride(const std::string& text, Front& front) {
  const std::size_t equal = text.find('=');
  if (equal == std::string::npos || text.find_first_not_of(" \t", equal + 1) == std::string::npos) return false;
  const auto parse = [&](const std::string& path, std::string part, lang::Diagnostics& diagnostics) {
    return lang::ParseExpr(front.program.sources, front.program.sources.Add(path, std::move(part)),
                           front.program.expr_count, diagnostics);
  };
  lang::Diagnostics about_name;
  const lang::ExprPtr name = parse("--set", text.substr(0, equal), about_name);
  if (name == nullptr || about_name.has_errors() || !std::holds_alternative<lang::Name>(name->node)) return false;
  const std::string& ident = std::get<lang::Name>(name->node).name.text;
  lang::ExprPtr value = parse("--set " + ident, text.substr(equal + 1), front.diagnostics);
  if (value != nullptr) front.program.overrides.push_back({ident, std::move(value)});
  return true;
}

std::string Counted(std::ptrdiff_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

void AddProgramOptions(CLI::App& app, ProgramChoice& choice) {
  app.add_option("FILE", choice.file, "the program")->required()->type_name("");
  app.add_option("--problem", choice.problem, "the problem, where a file has several; else the last")
      ->type_name("NAME");
  app.add_option("--variant", choice.variant, "a variant of the problem; else none")->type_name("NAME");
  app.add_option("--set", choice.sets, "gives a dim or const another value; may be repeated")
      ->type_name("NAME=EXPR")
      ->allow_extra_args(false);
}

int ReadProgram(const ProgramChoice& choice, Stage last, Front& front) {
  front.error = WhyUnreadable(choice.file);
  if (!front.error.empty()) return kFiles;
  front.program = lang::Load(choice.file, front.diagnostics);
  for (const std::string& set : choice.sets) {
    if (AddOverride(set, front)) continue;
    front.error = fmt::format("`--set {}` is not of the form `--set NAME=EXPR`", set);
    return kUsage;
  }
  const auto code = [&] { return front.diagnostics.has_errors() ? kProgramErrors : kOk; };
  if (last == Stage::kLoad) return code();
  front.problem = lang::Choose(front.program, {choice.problem, choice.variant}, front.diagnostics);
  if (last == Stage::kChoose) return code();
  front.checked = lang::Check(front.program, front.problem, front.diagnostics);
  if (last == Stage::kCheck || front.diagnostics.has_errors()) return code();
  lang::Diagnostics about_build;
  // Without tables: no command here opens data.
  front.built = compiler::Build(front.program, front.problem, RegisteredTables(), about_build);
  for (const lang::Diagnostic& diagnostic : about_build.all()) {
    // The program is right: what cannot be built is left out, and the rest can be shown.
    const bool left_out = diagnostic.code == lang::Code::kUnsupported || diagnostic.code == lang::Code::kFile;
    const bool is_warning = left_out || diagnostic.severity == lang::Severity::kWarning;
    lang::Diagnostic& copy = is_warning
                                 ? front.diagnostics.Warning(diagnostic.code, diagnostic.span, diagnostic.message)
                                 : front.diagnostics.Error(diagnostic.code, diagnostic.span, diagnostic.message);
    copy.label = diagnostic.label;
    copy.labels = diagnostic.labels;
    copy.help = diagnostic.help;
  }
  return code();
}

void Report(const Front& front, const ReportStyle& style) {
  if (!front.error.empty()) Complain(front.error);
  const std::vector<lang::Diagnostic>& all = front.diagnostics.all();
  if (all.empty()) return;
  const lang::RenderOptions options{.color = ErrorsInColor() && !style.compact};
  if (style.compact) return PrintError(RenderCompact(front.program.sources, front.diagnostics, options));
  const auto errors = std::count_if(all.begin(), all.end(), [](const lang::Diagnostic& d) {
    return d.severity == lang::Severity::kError;
  });
  const auto warnings = static_cast<std::ptrdiff_t>(all.size()) - errors;
  PrintError(fmt::format("{}\n{}{}{}\n", Render(front.program.sources, front.diagnostics, options),
                         errors > 0 ? Counted(errors, "error") : "", errors > 0 && warnings > 0 ? ", " : "",
                         warnings > 0 ? Counted(warnings, "warning") : ""));
}

Json FrontJson(const ProgramChoice& choice, const Front& front, int code) {
  Json json;
  json["file"] = choice.file;
  json["problem"] = front.problem.name.empty() ? choice.problem : front.problem.name;
  json["variant"] = choice.variant;
  json["ok"] = code == kOk;
  json["error"] = front.error;
  json["diagnostics"] = Json::parse(RenderJson(front.program.sources, front.diagnostics));
  return json;
}

std::string ToText(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace amo::runtime::cli
