// SPDX-License-Identifier: Apache-2.0
// The table of diagnostic codes, the collection of a run's diagnostics, and "did you mean".
#include "lang/diagnostic.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>

namespace amo::lang {
namespace {

struct CodeText {
  std::string_view name, explanation;
};

constexpr CodeText kCodes[] = {
#define AMO_DIAGNOSTIC(name, text, explanation) {text, explanation},
#include "lang/diagnostic.def"
#undef AMO_DIAGNOSTIC
};

// Edits between two words: insert, delete, replace, or swap two neighbours.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string_view CodeName(Code code) { return kCodes[static_cast<std::size_t>(code)].name; }
std::string_view CodeExplanation(Code code) { return kCodes[static_cast<std::size_t>(code)].explanation; }

Diagnostic& Diagnostics::Error(Code code, Span span, std::string message) {
  ++errors_;
  all_.push_back({code, Severity::kError, span, std::move(message), {}, {}, {}});
  return all_.back();
}

Diagnostic& Diagnostics::Warning(Code code, Span span, std::string message) {
  all_.push_back({code, Severity::kWarning, span, std::move(message), {}, {}, {}});
  return all_.back();
}

std::vector<Diagnostic> Diagnostics::Sorted() const {
  std::vector<Diagnostic> sorted = all_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.span.source, a.span.begin) < std::tie(b.span.source, b.span.begin);
  });
  return sorted;
}

std::string Nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string nearest;
  std::size_t best = std::min<std::size_t>(word.size() / 2, 3) + 1;
  for (const std::string& candidate : known) {
    const std::size_t longer = std::max(candidate.size(), word.size());
    const std::size_t shorter = std::min(candidate.size(), word.size());
    if (longer - shorter >= best) continue;
    const std::size_t distance = EditDistance(word, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace amo::lang
