// SPDX-License-Identifier: Apache-2.0
// The bar, and its lines where there is no terminal.
#include "runtime/cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "runtime/cli/terminal.h"

namespace amo::runtime::cli {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kLine = std::chrono::seconds(10);
constexpr int kWidth = 24;

bool IsTerminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (term == nullptr || std::strcmp(term, "dumb") != 0);
}

// Columns of the terminal; 80 where it does not tell.
int Columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string DurationText(double seconds) {
  if (seconds > 0 && seconds < 10) return fmt::format("{:.2g} s", seconds);
  const auto s = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

Progress::Progress(std::string what, bool quiet)
    : what_(std::move(what)), quiet_(quiet), terminal_(IsTerminal()), begun_(Clock::now()), shown_(begun_) {}

Progress::~Progress() { Finish(); }

bool Progress::Due() const {
  return !quiet_ && Clock::now() - shown_ >= (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kLine));
}

void Progress::Show(std::int64_t done, std::int64_t all, const std::string& detail) {
  if (first_ < 0) first_ = done, begun_ = Clock::now();
  if (quiet_ || (!Due() && done < all)) return;
  shown_ = Clock::now();
  const double spent = std::chrono::duration<double>(shown_ - begun_).count();
  const double share = all > 0 ? static_cast<double>(done) / static_cast<double>(all) : 1;
  const std::int64_t since = done - first_;
  std::string rest = detail.empty() ? "" : ", " + detail;
  if (since > 0 && done < all) {
    rest +=
        fmt::format(", {} left", DurationText(spent / static_cast<double>(since) * static_cast<double>(all - done)));
  }
  if (!terminal_) return PrintError(fmt::format("{}: {} of {}{}\n", what_, done, all, rest));
  // One line, whatever the terminal's width: what wraps could not be drawn over. The bar gives way first.
  std::string line = fmt::format(" {:3.0f} %{}", share * 100, rest);
  const int room = std::max(0, Columns() - 1), text = static_cast<int>(what_.size() + line.size());
  const int width = std::clamp(room - text - 1, 0, kWidth), full = static_cast<int>(share * width);
  std::string bar = width > 0 ? " " : "";
  for (int k = 0; k < width; ++k) bar += k < full ? "█" : "░";
  if (text > room) line.resize(line.size() - std::min(line.size(), static_cast<std::size_t>(text - room)));
  PrintError(fmt::format("\r\033[K{}{}{}", what_, bar, line));
  open_ = true;
}

void Progress::Finish() {
  if (open_) PrintError("\n");
  open_ = false;
}

}  // namespace amo::runtime::cli
