// SPDX-License-Identifier: Apache-2.0
// Spelling of names: decodes UTF-8, maps variants of letters, composes letters with their marks, encodes again.
#include "lang/name.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

namespace amo::lang {
namespace {

struct Composition {
  std::uint32_t letter, mark, composed;
};

constexpr Composition kCompositions[] = {
#include "lang/name.def"
};

// Code points that keyboards and papers use for one and the same letter.
constexpr std::pair<std::uint32_t, std::uint32_t> kVariants[] = {
    {0xB5, 0x3BC},    // micro sign → mu
    {0x3D1, 0x3B8},   // theta symbol → theta
    {0x3D5, 0x3C6},   // phi symbol → phi
    {0x3D6, 0x3C0},   // pi symbol → pi
    {0x3F0, 0x3BA},   // kappa symbol → kappa
    {0x3F1, 0x3C1},   // rho symbol → rho
    {0x3F5, 0x3B5},   // lunate epsilon → epsilon
    {0x2126, 0x3A9},  // ohm sign → Omega
    {0x2206, 0x394},  // increment → Delta
};

std::uint32_t Decode(std::string_view& text) {
  const unsigned char first = text.front();
  const int length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  std::uint32_t point = length == 1 ? first : first & (0x7Fu >> length);
  for (int i = 1; i < length; ++i) point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
  text.remove_prefix(length);
  return point;
}

void Encode(std::uint32_t point, std::string& out) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0 | point >> 6);
    tail(0);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | point >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xF0 | point >> 18);
    tail(12), tail(6), tail(0);
  }
}

std::uint32_t Compose(std::uint32_t letter, std::uint32_t mark) {
  const auto key = [](const Composition& c) { return std::pair(c.letter, c.mark); };
  const auto at = std::lower_bound(std::begin(kCompositions), std::end(kCompositions), std::pair(letter, mark),
                                   [&](const Composition& c, const auto& pair) { return key(c) < pair; });
  return at != std::end(kCompositions) && key(*at) == std::pair(letter, mark) ? at->composed : 0;
}

}  // namespace

std::string NormalizeName(std::string_view name) {
  if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x80; })) return std::string(name);
  std::u32string points;
  while (!name.empty()) {
    std::uint32_t point = Decode(name);
    for (const auto& [variant, letter] : kVariants) {
      if (point == variant) point = letter;
    }
    const std::uint32_t composed = points.empty() ? 0 : Compose(points.back(), point);
    if (composed != 0) {
      points.back() = composed;
    } else {
      points += point;
    }
  }
  std::string out;
  for (const char32_t point : points) Encode(point, out);
  return out;
}

}  // namespace amo::lang
