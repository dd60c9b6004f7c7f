// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_COMMAND_H_
#define AMO_RUNTIME_CLI_COMMAND_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

// What `amo` can do: one table, one function and one file for each command.
namespace amo::runtime::cli {

using Arguments = std::vector<std::string>;  // what stands behind the command's name

struct Command {
  std::string_view name, help;  // one line
  // Returns an exit code. Null: the command needs LibTorch, which takes a while to load, so it is in a program of its
  // own.
  int (*run)(const Arguments& arguments);
};

std::span<const Command> Commands();

int RunCheck(const Arguments& arguments);
int RunFmt(const Arguments& arguments);
int RunExplain(const Arguments& arguments);
int RunDump(const Arguments& arguments);
int RunExport(const Arguments& arguments);

// In the program `amo_run`, which `amo` becomes for them: with LibTorch.
int RunSolve(const Arguments& arguments);
int RunTrain(const Arguments& arguments);
int RunEval(const Arguments& arguments);
int RunPredict(const Arguments& arguments);

// The whole program: `arguments` without the program's own name.
int RunMain(const Arguments& arguments);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_COMMAND_H_
