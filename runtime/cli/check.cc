// SPDX-License-Identifier: Apache-2.0
// `amo check`: every mistake in a program.
#include <fmt/format.h>

#include "runtime/cli/command.h"
#include "runtime/cli/command_line.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/front.h"
#include "runtime/cli/terminal.h"

namespace amo::runtime::cli {

int RunCheck(const Arguments& arguments) {
  ProgramChoice choice;
  bool json = false;
  ReportStyle style;
  const auto app = MakeCommandLine("check", "Finds the mistakes in a program.", "amo check portfolio.amo --set n=100");
  AddProgramOptions(*app, choice);
  app->add_flag("--json", json, "the result as JSON on standard output");
  app->add_flag("--compact", style.compact, "one line for each mistake, as editors read them");
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;

  Front front;
  const int code = ReadProgram(choice, Stage::kCheck, front);
  if (json) {
    Print(ToText(FrontJson(choice, front, code)));
    return code;
  }
  Report(front, style);
  if (code == kOk) {
    Print(fmt::format("{}: ok{}{}\n", choice.file,
                      front.problem.name.empty() ? "" : ", problem " + front.problem.name,
                      choice.variant.empty() ? "" : ", variant " + choice.variant));
  }
  return code;
}

}  // namespace amo::runtime::cli
