// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_FRONT_H_
#define AMO_RUNTIME_CLI_FRONT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "lang/check.h"
#include "lang/diagnostic.h"
#include "lang/problem.h"
#include "runtime/cli/command_line.h"

// From a file and options to a program, as far as a command needs it: what all commands on one program share.
namespace amo::runtime::cli {

struct ProgramChoice {
  std::string file, problem, variant;
  std::vector<std::string> sets;  // NAME=EXPR
};

// FILE, --problem, --variant and --set. `choice` must outlive the parsing.
void AddProgramOptions(CLI::App& app, ProgramChoice& choice);

enum class Stage : std::uint8_t { kLoad, kChoose, kCheck, kBuild };

struct Front {
  std::string error;  // what is wrong with the command line or the file itself, beside all diagnostics
  lang::Program program;
  lang::Diagnostics diagnostics;
  lang::Problem problem;     // refers into `program`
  lang::Checked checked;
  compiler::Program built;
};

// Runs the stages up to `last`. kOk; kProgramErrors: `diagnostics` has errors, and the stages that could still tell
// something have run; kUsage or kFiles: `error` says why nothing has run. What a correct program has and this release
// cannot build is a warning. Prints nothing.
int ReadProgram(const ProgramChoice& choice, Stage last, Front& front);

struct ReportStyle {
  bool compact = false;  // one line for each diagnostic
};

// Prints `error` and the diagnostics to standard error.
void Report(const Front& front, const ReportStyle& style = {});

// What every `--json` of a command on one program begins with: file, problem, variant, ok, error, diagnostics.
nlohmann::ordered_json FrontJson(const ProgramChoice& choice, const Front& front, int code);

// The text of a JSON value, with a line end. Bytes that are not UTF-8 are replaced.
std::string ToText(const nlohmann::ordered_json& json);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_FRONT_H_
