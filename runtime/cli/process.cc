// SPDX-License-Identifier: Apache-2.0
// The process around the commands.
#include "runtime/cli/process.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <new>
#include <string>

#include "runtime/cli/exit_code.h"
#include "runtime/cli/terminal.h"

namespace amo::runtime::cli {

int RunProcess(int argc, char** argv, const std::function<int(const std::vector<std::string>&)>& run) {
  // A parent may have it ignored (Python does); a closed pipe then would be an error instead of a quiet end.
  std::signal(SIGPIPE, SIG_DFL);
  // A file that may not grow is an error of its writing, which is told; not a death.
  std::signal(SIGXFSZ, SIG_IGN);
  // AMO_CHECK has said what is wrong.
  std::signal(SIGABRT, [](int) { _exit(kInternal); });
  // Batches come and go by the megabyte: their memory stays with the process, which else is given new pages each time.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  int code = kOk;
  try {
    code = run({argv + (argc > 0), argv + argc});
  } catch (const std::bad_alloc&) {
    Complain("out of memory");
    code = kInternal;
  } catch (const std::exception& error) {
    Complain(std::string("internal error, please report: ") + error.what());
    code = kInternal;
  }
  return std::max(code, FlushOutput());
}

}  // namespace amo::runtime::cli
