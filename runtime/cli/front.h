// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_FRONT_H_
#define AMO_RUNTIME_CLI_FRONT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/cli/command_line.h"
#include "runtime/open.h"

// From a file and options to a program, as far as a command needs it: what all commands on one program share.
namespace amo::runtime::cli {

// FILE, --problem, --variant and --set. `choice` must outlive the parsing.
void AddProgramOptions(CLI::App& app, ProgramChoice& choice);

using Front = Opened;

// Open of runtime/open.h with its status as an exit code. Prints nothing.
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
