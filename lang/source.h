// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_SOURCE_H_
#define AMO_LANG_SOURCE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Source texts and places in them. A Span is half open, in bytes, inside one text.
namespace amo::lang {

struct Span {
  std::uint32_t begin = 0, end = 0;
  std::uint32_t source = 0;  // index into Sources
  bool operator==(const Span&) const = default;
};

// 1-based line and column; the column counts Unicode code points, as editors do.
struct Position {
  int line = 1, column = 1;
};

struct Source {
  std::string path;  // as the user gave it; "<stdlib>/NAME.amo" for the standard library
  std::string text;
  std::vector<std::uint32_t> line_starts;
};

// Every text of one run. A Span's `source` is an index into it.
class Sources {
 public:
  std::uint32_t Add(std::string path, std::string text);
  const Source& operator[](std::uint32_t index) const { return sources_[index]; }
  std::size_t size() const { return sources_.size(); }
  std::string_view Text(Span span) const;
  Position At(std::uint32_t source, std::uint32_t offset) const;
  std::string_view Line(std::uint32_t source, int line) const;  // without its end

 private:
  std::vector<Source> sources_;
};

Span Join(Span a, Span b);  // from the start of `a` to the end of `b`

}  // namespace amo::lang

#endif  // AMO_LANG_SOURCE_H_
