// SPDX-License-Identifier: Apache-2.0
// Draws diagnostics: header, place, a window of source lines with what is marked in them, help.
#include "lang/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <tuple>
#include <vector>

namespace amo::lang {
namespace {

constexpr std::size_t kMaxColumns = 120;  // of a shown line; longer ones are cut around the mark

constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kRed = "\x1b[1;31m";
constexpr std::string_view kYellow = "\x1b[1;33m";
constexpr std::string_view kBlue = "\x1b[1;34m";
constexpr std::string_view kReset = "\x1b[0m";

std::string Painted(const RenderOptions& options, std::string_view color, std::string_view text) {
  return options.color ? fmt::format("{}{}{}", color, text, kReset) : std::string(text);
}

// ---- text on a terminal

struct Glyph {
  std::string text;     // one code point; what cannot be shown is replaced
  std::uint32_t begin;  // byte offset in the line
  std::size_t width;    // columns: 0 for a combining mark, 2 for an East Asian character
};

std::size_t WidthOf(std::uint32_t point) {
  if (point >= 0x300 && point <= 0x36F) return 0;
  const bool wide = (point >= 0x1100 && point <= 0x115F) || (point >= 0x2E80 && point <= 0xA4CF) ||
                    (point >= 0xAC00 && point <= 0xD7A3) || (point >= 0xF900 && point <= 0xFAFF) ||
                    (point >= 0xFE30 && point <= 0xFE6F) || (point >= 0xFF00 && point <= 0xFF60) ||
                    (point >= 0x1F300 && point <= 0x1FAFF) || (point >= 0x20000 && point <= 0x3FFFD);
  return wide ? 2 : 1;
}

// Invalid bytes and control characters become U+FFFD, so that no text can move the cursor; a tab becomes a space.
std::vector<Glyph> Glyphs(std::string_view text) {
  std::vector<Glyph> glyphs;
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char first = static_cast<unsigned char>(text[i]);
    std::size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    std::uint32_t point = length == 1 ? first : first & (0x7Fu >> length);
    bool good = first < 0x80 || (first >= 0xC2 && first <= 0xF4 && i + length <= text.size());
    for (std::size_t k = 1; good && k < length; ++k) {
      const unsigned char byte = static_cast<unsigned char>(text[i + k]);
      good = (byte & 0xC0) == 0x80;
      point = point << 6 | (byte & 0x3F);
    }
    const std::uint32_t begin = static_cast<std::uint32_t>(i);
    if (!good) length = 1;
    if (point == '\t' && good) {
      glyphs.push_back({" ", begin, 1});
    } else if (!good || point < 0x20 || (point >= 0x7F && point < 0xA0)) {
      glyphs.push_back({"\uFFFD", begin, 1});
    } else {
      glyphs.push_back({std::string(text.substr(i, length)), begin, WidthOf(point)});
    }
    i += length;
  }
  return glyphs;
}

std::string Printable(std::string_view text) {
  std::string out;
  for (const Glyph& glyph : Glyphs(text)) out += glyph.text;
  return out;
}

// ---- the window of source lines

struct Mark {
  Span span;
  std::string_view text;
  bool primary;
  Position at;
};

// Two rows: the line, cut to kMaxColumns around the mark, and what is marked in it.
struct Rows {
  std::string line, under;
};

Rows MarkedLine(const Sources& sources, const Mark& mark, const RenderOptions& options) {
  const Source& source = sources[mark.span.source];
  const std::string_view line = sources.Line(mark.span.source, mark.at.line);
  const std::uint32_t line_begin = static_cast<std::uint32_t>(line.data() - source.text.data());
  // Only a stretch around the mark is decoded: a line may have megabytes.
  const std::size_t from_byte = mark.span.begin > line_begin ? mark.span.begin - line_begin : 0;
  std::size_t cut = from_byte > 4 * kMaxColumns ? from_byte - 2 * kMaxColumns : 0;
  while (cut > 0 && (static_cast<unsigned char>(line[cut]) & 0xC0) == 0x80) --cut;
  const std::vector<Glyph> glyphs = Glyphs(line.substr(cut, 8 * kMaxColumns));

  const auto column_of = [&](std::size_t byte) {
    std::size_t column = 0;
    for (const Glyph& glyph : glyphs) {
      if (cut + glyph.begin >= byte) break;
      column += glyph.width;
    }
    return column;
  };
  const std::size_t begin = column_of(from_byte);
  const std::size_t end = std::max(column_of(mark.span.end > line_begin ? mark.span.end - line_begin : 0), begin + 1);
  std::size_t total = 0;
  for (const Glyph& glyph : glyphs) total += glyph.width;
  const bool longer = cut + 8 * kMaxColumns < line.size();
  std::size_t left = 0;
  if (total > kMaxColumns && end > kMaxColumns - 10) left = begin > kMaxColumns / 3 ? begin - kMaxColumns / 3 : 0;

  Rows rows;
  std::size_t column = 0;
  if (left > 0 || cut > 0) rows.line = "…";
  const std::size_t shift = rows.line.empty() ? 0 : 1;
  for (const Glyph& glyph : glyphs) {
    if (column >= left && column < left + kMaxColumns) rows.line += glyph.text;
    column += glyph.width;
  }
  if (column > left + kMaxColumns || longer) rows.line += "…";
  const std::size_t shown_end = std::max(std::min(end, left + kMaxColumns), begin + 1);
  const std::string_view color = mark.primary ? kRed : kBlue;
  std::string signs(shown_end - begin, mark.primary ? '^' : '-');
  if (!mark.text.empty()) signs += " " + Printable(mark.text);
  rows.under = std::string(begin - left + shift, ' ') + Painted(options, color, signs);
  return rows;
}

std::vector<Mark> Marks(const Sources& sources, const Diagnostic& d) {
  std::vector<Mark> marks;
  const auto add = [&](Span span, std::string_view text, bool primary) {
    if (span.source < sources.size()) marks.push_back({span, text, primary, sources.At(span.source, span.begin)});
  };
  add(d.span, d.label, true);
  for (const Label& label : d.labels) add(label.span, label.text, false);
  // The primary file first, then by place; on one line the primary mark first.
  std::stable_sort(marks.begin(), marks.end(), [&](const Mark& a, const Mark& b) {
    return std::tuple(a.span.source != d.span.source, a.span.source, a.at.line, !a.primary, a.span.begin) <
           std::tuple(b.span.source != d.span.source, b.span.source, b.at.line, !b.primary, b.span.begin);
  });
  return marks;
}

std::string Place(const Sources& sources, Span span) {
  const Position at = sources.At(span.source, span.begin);
  return fmt::format("{}:{}:{}", Printable(sources[span.source].path), at.line, at.column);
}

std::string_view SeverityName(Severity severity) { return severity == Severity::kError ? "error" : "warning"; }

std::string AndMore(std::size_t more) { return fmt::format("and {} more\n", more); }

}  // namespace

std::string Render(const Sources& sources, const Diagnostic& d, const RenderOptions& options) {
  std::string out = Painted(options, d.severity == Severity::kError ? kRed : kYellow,
                            fmt::format("{}[{}]", SeverityName(d.severity), CodeName(d.code)));
  out += Painted(options, kBold, ": " + Printable(d.message)) + "\n";
  const std::vector<Mark> marks = Marks(sources, d);
  int last_line = 0;
  for (const Mark& mark : marks) last_line = std::max(last_line, mark.at.line);
  const std::size_t width = std::max<std::size_t>(std::to_string(last_line).size(), 1);
  const auto gutter = [&](std::string_view left, std::string_view sign) {
    return Painted(options, kBlue, fmt::format(" {:>{}} {}", left, width, sign));
  };
  const Mark* before = nullptr;
  for (const Mark& mark : marks) {
    const bool same_file = before != nullptr && before->span.source == mark.span.source;
    if (!same_file) {
      // The first place is that of the primary mark, wherever the window starts.
      const Span place = mark.span.source == d.span.source ? d.span : mark.span;
      out += Painted(options, kBlue, fmt::format("{:>{}}", "-->", width + 4)) + " " + Place(sources, place) + "\n";
      if (sources[mark.span.source].text.empty()) continue;
      out += gutter("", "|") + "\n";
    } else if (mark.at.line > before->at.line + 1) {
      out += gutter("", ":") + "\n";
    }
    const Rows rows = MarkedLine(sources, mark, options);
    if (!same_file || mark.at.line != before->at.line) {
      out += gutter(std::to_string(mark.at.line), "|") + (rows.line.empty() ? "" : " ") + rows.line + "\n";
    }
    out += gutter("", "|") + " " + rows.under + "\n";
    before = &mark;
  }
  if (!d.help.empty()) out += gutter("", "=") + " help: " + Printable(d.help) + "\n";
  return out;
}

std::string Render(const Sources& sources, const Diagnostics& diagnostics, const RenderOptions& options) {
  std::string out;
  const std::vector<Diagnostic> sorted = diagnostics.Sorted();
  for (std::size_t i = 0; i < sorted.size() && i < options.limit; ++i) {
    if (i > 0) out += "\n";
    out += Render(sources, sorted[i], options);
  }
  if (sorted.size() > options.limit) out += "\n" + AndMore(sorted.size() - options.limit);
  return out;
}

std::string RenderCompact(const Sources& sources, const Diagnostics& diagnostics, const RenderOptions& options) {
  std::string out;
  const std::vector<Diagnostic> sorted = diagnostics.Sorted();
  for (std::size_t i = 0; i < sorted.size() && i < options.limit; ++i) {
    const Diagnostic& d = sorted[i];
    if (d.span.source < sources.size()) out += Place(sources, d.span) + ": ";
    out += fmt::format("{}: {} [{}]\n", SeverityName(d.severity), Printable(d.message), CodeName(d.code));
  }
  if (sorted.size() > options.limit) out += AndMore(sorted.size() - options.limit);
  return out;
}

std::string RenderJson(const Sources& sources, const Diagnostics& diagnostics) {
  using Json = nlohmann::ordered_json;
  const auto place = [&](Span span) {
    Json json = Json::object();
    if (span.source >= sources.size()) return json;
    const Position begin = sources.At(span.source, span.begin), end = sources.At(span.source, span.end);
    json["file"] = sources[span.source].path;
    json["line"] = begin.line;
    json["column"] = begin.column;
    json["end_line"] = end.line;
    json["end_column"] = end.column;
    return json;
  };
  Json all = Json::array();
  for (const Diagnostic& d : diagnostics.Sorted()) {
    Json json;
    json["severity"] = SeverityName(d.severity);
    json["code"] = CodeName(d.code);
    json["message"] = d.message;
    json.update(place(d.span));
    json["label"] = d.label;
    json["labels"] = Json::array();
    for (const Label& label : d.labels) {
      Json one = place(label.span);
      one["text"] = label.text;
      json["labels"].push_back(std::move(one));
    }
    json["help"] = d.help;
    all.push_back(std::move(json));
  }
  // Messages may quote bytes that are not UTF-8.
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace amo::lang
