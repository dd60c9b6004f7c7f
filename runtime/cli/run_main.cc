// SPDX-License-Identifier: Apache-2.0
// The program `amo_run`: the commands that need LibTorch. `amo` becomes it; nobody calls it by name.
#include <c10/util/Exception.h>

#include <string>

#include "runtime/cli/command.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/process.h"
#include "runtime/cli/terminal.h"

namespace amo::runtime::cli {
namespace {

constexpr Command kCommands[] = {
    {"solve", "", RunSolve},
    {"train", "", RunTrain},
    {"eval", "", RunEval},
    {"predict", "", RunPredict},
};

// What LibTorch throws, without its stack.
int RunOne(const Command& command, const Arguments& arguments) {
  try {
    return command.run(arguments);
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    const bool memory = what.find("allocate memory") != what.npos || what.find("Storage size") != what.npos;
    Complain(memory ? "out of memory: fewer instances, or a smaller batch, need less"
                    : "internal error, please report: " + what);
    return kInternal;
  }
}

int RunRun(const Arguments& arguments) {
  for (const Command& command : kCommands) {
    if (arguments.empty() || arguments[0] != command.name) continue;
    return RunOne(command, {arguments.begin() + 1, arguments.end()});
  }
  Complain("this is a part of `amo`, which calls it");
  return kUsage;
}

}  // namespace
}  // namespace amo::runtime::cli

int main(int argc, char** argv) { return amo::runtime::cli::RunProcess(argc, argv, amo::runtime::cli::RunRun); }
