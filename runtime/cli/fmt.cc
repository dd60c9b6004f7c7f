// SPDX-License-Identifier: Apache-2.0
// `amo fmt`: programs in the house's layout. A file with a syntax error is reported and left alone.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lang/format.h"
#include "lang/parser.h"
#include "runtime/cli/command.h"
#include "runtime/cli/command_line.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/front.h"
#include "runtime/cli/terminal.h"
#include "runtime/text_file.h"

namespace amo::runtime::cli {
namespace {

struct Formatted {
  Front front;       // its error and diagnostics
  bool changed = false;
  std::string text;
};

// kOk, kProgramErrors or kFiles.
int FormatFile(const std::string& path, Formatted& result) {
  Front& front = result.front;
  FileText file = ReadTextFile(path);
  front.error = file.error;
  if (!file.error.empty()) return kFiles;
  const std::uint32_t source =
      front.program.sources.Add(path == "-" ? "<standard input>" : path, std::move(file.text));
  lang::Parse(front.program.sources, source, front.program.expr_count, front.diagnostics);
  if (front.diagnostics.has_errors()) return kProgramErrors;
  result.text = lang::Format(front.program.sources, source);
  result.changed = result.text != front.program.sources[source].text;
  return kOk;
}

}  // namespace

int RunFmt(const Arguments& arguments) {
  std::vector<std::string> files;
  bool check = false, to_stdout = false, json = false;
  const auto app = MakeCommandLine("fmt", "Lays programs out, in place.", "amo fmt portfolio.amo lasso.amo");
  app->add_option("FILE", files, "the programs; `-`: from standard input to standard output")
      ->required()
      ->type_name("");
  app->add_flag("--check", check, "changes nothing; exit code 1 when a file would change");
  app->add_flag("--stdout", to_stdout, "prints the new text instead of changing files");
  app->add_flag("--json", json, "what was done as JSON on standard output");
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;
  if (to_stdout && (check || json)) return WrongUse(*app, "`--stdout` goes with neither `--check` nor `--json`");
  const auto stdin_count = std::count(files.begin(), files.end(), "-");
  if (stdin_count > 1) return WrongUse(*app, "`-` stands there twice: standard input can be read once");
  if (stdin_count > 0 && json && !check) return WrongUse(*app, "`-` prints the new text, so `--json` has no place");

  int worst = kOk;
  auto results = nlohmann::ordered_json::array();
  for (const std::string& path : files) {
    Formatted formatted;
    int code = FormatFile(path, formatted);
    if (code == kOk && check) {
      code = formatted.changed ? kProgramErrors : kOk;
      if (formatted.changed && !json) Print(fmt::format("{}: would change\n", path));
    } else if (code == kOk && (to_stdout || path == "-")) {
      Print(formatted.text);
    } else if (code == kOk && formatted.changed) {
      formatted.front.error = ReplaceTextFile(path, formatted.text);
      code = formatted.front.error.empty() ? kOk : kFiles;
      if (code == kOk && !json) Print(fmt::format("{}: changed\n", path));
    }
    if (!json) Report(formatted.front);
    worst = std::max(worst, code);
    ProgramChoice choice;
    choice.file = path;
    auto one = FrontJson(choice, formatted.front, code);
    one.erase("problem");
    one.erase("variant");
    one["changed"] = formatted.changed;
    results.push_back(std::move(one));
  }
  if (json) Print(ToText(results));
  return worst;
}

}  // namespace amo::runtime::cli
