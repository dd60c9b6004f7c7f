// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_COMMAND_LINE_H_
#define AMO_RUNTIME_CLI_COMMAND_LINE_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

// One way for all commands to read their arguments.
namespace amo::runtime::cli {

// An empty command line: the command's options are added to it. `example` stands at the end of its help.
std::unique_ptr<CLI::App> MakeCommandLine(const std::string& name, const std::string& description,
                                          const std::string& example);

// Fills what the options are bound to. When the command must not run (help was asked for, the use is wrong) everything
// has been said and the exit code comes back.
std::optional<int> ReadCommandLine(CLI::App& app, const std::vector<std::string>& arguments);

// "amo check: MESSAGE", where to find help, and kUsage.
int WrongUse(const CLI::App& app, const std::string& message);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_COMMAND_LINE_H_
