// SPDX-License-Identifier: Apache-2.0
// Source texts: where lines start, and how bytes become lines and columns.
#include "lang/source.h"

#include <algorithm>
#include <utility>

namespace amo::lang {
namespace {

bool IsContinuationByte(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::uint32_t Sources::Add(std::string path, std::string text) {
  Source source{std::move(path), std::move(text), {0}};
  // A line ends with "\n", "\r\n" or a lone "\r".
  for (std::size_t i = 0; i < source.text.size(); ++i) {
    const char c = source.text[i];
    const bool ends = c == '\n' || (c == '\r' && (i + 1 == source.text.size() || source.text[i + 1] != '\n'));
    if (ends) source.line_starts.push_back(static_cast<std::uint32_t>(i + 1));
  }
  sources_.push_back(std::move(source));
  return static_cast<std::uint32_t>(sources_.size() - 1);
}

std::string_view Sources::Text(Span span) const {
  const std::string_view text = sources_[span.source].text;
  const std::size_t begin = std::min<std::size_t>(span.begin, text.size());
  return text.substr(begin, std::max<std::size_t>(span.end, begin) - begin);
}

Position Sources::At(std::uint32_t source, std::uint32_t offset) const {
  const Source& s = sources_[source];
  offset = std::min<std::uint32_t>(offset, static_cast<std::uint32_t>(s.text.size()));
  const auto next = std::upper_bound(s.line_starts.begin(), s.line_starts.end(), offset);
  Position at;
  at.line = static_cast<int>(next - s.line_starts.begin());
  std::uint32_t begin = *std::prev(next);
  if (at.line == 1 && s.text.starts_with("\xEF\xBB\xBF") && offset >= 3) begin = 3;  // a byte order mark has no column
  at.column += static_cast<int>(
      std::count_if(s.text.begin() + begin, s.text.begin() + offset, [](char c) { return !IsContinuationByte(c); }));
  return at;
}

std::string_view Sources::Line(std::uint32_t source, int line) const {
  const Source& s = sources_[source];
  if (line < 1 || static_cast<std::size_t>(line) > s.line_starts.size()) return {};
  const std::size_t begin = s.line_starts[line - 1];
  const std::size_t end = static_cast<std::size_t>(line) < s.line_starts.size() ? s.line_starts[line] : s.text.size();
  std::string_view text = std::string_view(s.text).substr(begin, end - begin);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (line == 1 && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

Span Join(Span a, Span b) { return {a.begin, std::max(a.end, b.end), a.source}; }

}  // namespace amo::lang
