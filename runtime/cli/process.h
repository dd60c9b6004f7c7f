// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_PROCESS_H_
#define AMO_RUNTIME_CLI_PROCESS_H_

#include <functional>
#include <string>
#include <vector>

// The process around the commands: signals, the last flush, and what escapes.
namespace amo::runtime::cli {

// `run` gets the arguments without the program's own name; the process's exit code comes back.
int RunProcess(int argc, char** argv, const std::function<int(const std::vector<std::string>&)>& run);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_PROCESS_H_
