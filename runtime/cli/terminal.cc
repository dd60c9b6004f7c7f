// SPDX-License-Identifier: Apache-2.0
// Standard output and standard error.
#include "runtime/cli/terminal.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/cli/exit_code.h"

namespace amo::runtime::cli {

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintError(std::string_view text) {
  std::fflush(stdout);  // both may be one terminal
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void Complain(std::string_view message) { PrintError("amo: " + std::string(message) + "\n"); }

int FlushOutput() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return kOk;
  const std::string why = errno != 0 ? std::string(": ") + std::strerror(errno) : "";
  Complain("cannot write to standard output" + why);
  return kFiles;
}

bool ErrorsInColor() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') &&
         (term == nullptr || std::strcmp(term, "dumb") != 0);
}

}  // namespace amo::runtime::cli
