// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_PROGRESS_H_
#define AMO_RUNTIME_CLI_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

// Progress of long work on standard error: a bar that is redrawn on a terminal, a line now and then elsewhere.
namespace amo::runtime::cli {

class Progress {
 public:
  // `quiet`: says nothing. `what` begins each line.
  Progress(std::string what, bool quiet);
  ~Progress();

  // `detail` follows the bar: loss, rate. The time left is reckoned from the pace since the first call.
  void Show(std::int64_t done, std::int64_t all, const std::string& detail);

  // Whether Show would print now: detail that is costly to make can wait.
  bool Due() const;

  // Ends the bar; the next thing printed stands on a line of its own.
  void Finish();

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  bool quiet_, terminal_, open_ = false;
  Clock::time_point begun_, shown_;
  std::int64_t first_ = -1;
};

std::string DurationText(double seconds);  // "1 min 35 s"

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_PROGRESS_H_
