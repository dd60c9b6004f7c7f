// SPDX-License-Identifier: Apache-2.0
// The stages in their order, and what they have to say.
#include "runtime/cli/front.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lang/render.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/terminal.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

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
  switch (Open(choice, last, front)) {
    case OpenStatus::kOk: return kOk;
    case OpenStatus::kProgramErrors: return kProgramErrors;
    case OpenStatus::kUsage: return kUsage;
    case OpenStatus::kFiles: return kFiles;
  }
  return kInternal;
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
