// SPDX-License-Identifier: Apache-2.0
// Validates bytes as text.
#include "lang/text.h"

#include <fmt/format.h>

#include <string_view>

namespace amo::lang {
namespace {

// The length of the well-formed UTF-8 sequence at the start of `text`, or 0 (table 3-7 of the Unicode standard).
std::size_t SequenceLength(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto is_tail = [&](std::size_t i) { return byte(i) >= 0x80 && byte(i) <= 0xBF; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return is_tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!is_tail(1) || !is_tail(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;  // overlong
    if (first == 0xED && byte(1) > 0x9F) return 0;  // surrogates
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!is_tail(1) || !is_tail(2) || !is_tail(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;  // overlong
    if (first == 0xF4 && byte(1) > 0x8F) return 0;  // beyond U+10FFFF
    return 4;
  }
  return 0;
}

}  // namespace

bool CheckText(const Sources& sources, std::uint32_t source, Diagnostics& diagnostics) {
  const std::string_view text = sources[source].text;
  if (text.size() > kMaxTextSize) {
    diagnostics
        .Error(Code::kEncoding, {0, 0, source},
               fmt::format("the file has {} bytes: the limit is {} MB", text.size(), kMaxTextSize >> 20))
        .Help("keep numbers in a data file: `data NAME : TYPE from \"FILE\"`");
    return false;
  }
  for (std::size_t i = 0; i < text.size();) {
    const std::uint32_t at = static_cast<std::uint32_t>(i);
    const std::size_t length = SequenceLength(text.substr(i));
    if (length == 0) {
      const unsigned byte = static_cast<unsigned char>(text[i]);
      diagnostics.Error(Code::kEncoding, {at, at + 1, source}, fmt::format("byte 0x{:02X} is not UTF-8 text", byte))
          .Help("save the file as UTF-8");
      return false;
    }
    if (text[i] == '\0') {
      diagnostics.Error(Code::kEncoding, {at, at + 1, source}, "the file holds a NUL byte: it is not text");
      return false;
    }
    i += length;
  }
  return true;
}

}  // namespace amo::lang
