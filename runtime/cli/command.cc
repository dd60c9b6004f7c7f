// SPDX-License-Identifier: Apache-2.0
// The table of commands, and what stands above them: `amo --help`, `amo --version`, unknown commands.
#include "runtime/cli/command.h"

#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "lang/diagnostic.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/version.h"

namespace amo::runtime::cli {
namespace {

constexpr Command kCommands[] = {
    {"check", "find the mistakes in a program", RunCheck},
    {"fmt", "lay programs out", RunFmt},
    {"explain", "tell what a program means to amo, or what a diagnostic code means", RunExplain},
    {"dump", "print one step of the compilation", RunDump},
    {"export", "write a problem's functions as an object file and a C header", RunExport},
    {"solve", "solve instances with the reference solver", nullptr},
    {"train", "train a model that predicts solutions", nullptr},
    {"eval", "compare a trained model with the solver", nullptr},
    {"predict", "predict solutions, each with a certificate", nullptr},
};

std::string Overview() {
  std::string text =
      "amo: states a family of optimization problems, and learns to solve it.\n\n"
      "Usage: amo COMMAND [OPTIONS] ...\n\nCommands:\n";
  for (const Command& command : kCommands) text += fmt::format("  {:<10}{}\n", command.name, command.help);
  text +=
      "\nOptions:\n  -h, --help  this text; `amo COMMAND --help` tells about one command\n"
      "  --version   the version\n\n"
      "Example:\n  amo check portfolio.amo\n\n"
      "Exit codes: 0 fine, 1 the program has errors, 2 wrong use of the command line,\n"
      "3 a file cannot be read or written, 4 internal error, 5 training was stopped,\n6 training diverged.\n";
  return text;
}

const Command* Find(std::string_view name) {
  for (const Command& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

int Unknown(const std::string& word) {
  const bool is_option = word.starts_with('-');
  std::vector<std::string> known;
  if (is_option) {
    known = {"--help", "--version"};
  } else {
    for (const Command& command : kCommands) known.emplace_back(command.name);
  }
  const std::string nearest = lang::Nearest(word, known);
  Complain(fmt::format("unknown {} `{}`{}", is_option ? "option" : "command", word,
                       nearest.empty() ? "; `amo --help` lists them" : fmt::format("; did you mean `{}`?", nearest)));
  return kUsage;
}

// Becomes the program `amo_run`, which stands beside this one. Comes back only when that fails.
int BecomeRun(const Command& command, const Arguments& arguments) {
  std::error_code error;
  const std::string here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
  const std::string path = here + "/amo_run", name(command.name);
  std::vector<char*> words = {const_cast<char*>(path.c_str()), const_cast<char*>(name.c_str())};
  for (const std::string& a : arguments) words.push_back(const_cast<char*>(a.c_str()));
  words.push_back(nullptr);
  // LibTorch's threads wait by spinning, which on a busy machine costs them their own time slices: they had better
  // sleep.
  setenv("OMP_WAIT_POLICY", "passive", 0);
  FlushOutput();
  execv(path.c_str(), words.data());
  Complain(fmt::format("cannot run `{}`: {}", path, std::strerror(errno)));
  return kFiles;
}

int RunOne(const Command& command, const Arguments& arguments) {
  return command.run == nullptr ? BecomeRun(command, arguments) : command.run(arguments);
}

}  // namespace

std::span<const Command> Commands() { return kCommands; }

int RunMain(const Arguments& arguments) {
  if (arguments.empty()) {
    PrintError(Overview());
    return kUsage;
  }
  const std::string& first = arguments[0];
  if (first == "--help" || first == "-h" || (first == "help" && arguments.size() == 1)) {
    Print(Overview());
    return kOk;
  }
  if (first == "--version") {
    Print(fmt::format("amo {}\n", kVersion));
    return kOk;
  }
  if (first == "help") {  // amo help check
    const Command* command = Find(arguments[1]);
    return command == nullptr ? Unknown(arguments[1]) : RunOne(*command, {"--help"});
  }
  const Command* command = Find(first);
  if (command == nullptr) return Unknown(first);
  return RunOne(*command, {arguments.begin() + 1, arguments.end()});
}

}  // namespace amo::runtime::cli
