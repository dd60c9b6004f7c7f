// SPDX-License-Identifier: Apache-2.0
// Comma-separated numbers, line by line.
#include "runtime/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "runtime/file.h"

namespace amo::runtime {
namespace {

std::string_view Trim(std::string_view s) {
  const std::size_t from = s.find_first_not_of(" \t\r");
  if (from == s.npos) return {};
  return s.substr(from, s.find_last_not_of(" \t\r") - from + 1);
}

// The cells of a line; quotes around a cell fall away, and commas within them do not separate.
std::vector<std::string_view> Cells(std::string_view line) {
  std::vector<std::string_view> cells;
  while (true) {
    const std::string_view start = Trim(line);
    std::size_t quoted = 0;
    if (start.starts_with('"')) {
      const auto open = static_cast<std::size_t>(start.data() - line.data());
      quoted = std::min(line.find('"', open + 1), line.size());
    }
    const std::size_t comma = std::min(line.find(',', quoted), line.size());
    std::string_view cell = Trim(line.substr(0, comma));
    if (cell.size() > 1 && cell.front() == '"' && cell.back() == '"') cell = cell.substr(1, cell.size() - 2);
    cells.push_back(cell);
    if (comma == line.size()) return cells;
    line.remove_prefix(comma + 1);
  }
}

std::optional<double> ToNumber(std::string_view cell) {
  if (cell.starts_with('+')) cell.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || end != cell.data() + cell.size()) return std::nullopt;
  return value;
}

}  // namespace

Result<std::vector<Array>> ParseCsv(std::string_view text, const std::string& name, const std::string& where) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<std::string> names;
  std::vector<double> values;
  std::size_t columns = 0, rows = 0;
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view content = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (Trim(content).empty()) continue;
    const std::vector<std::string_view> cells = Cells(content);
    if (columns == 0) {
      columns = cells.size();
      const auto is_name = [](std::string_view cell) { return !cell.empty() && !ToNumber(cell); };
      if (std::any_of(cells.begin(), cells.end(), is_name)) {
        names.assign(cells.begin(), cells.end());
        continue;
      }
    }
    if (cells.size() != columns) {
      return Error{fmt::format("{} has {} cells in line {}: expected {}", where, cells.size(), line, columns)};
    }
    for (std::size_t c = 0; c < columns; ++c) {
      const std::optional<double> value = ToNumber(cells[c]);
      if (!value) {
        const std::string field = names.empty() ? std::to_string(c + 1) : fmt::format("`{}`", names[c]);
        return Error{fmt::format("{} has `{}` in line {}, column {}: expected a number", where, cells[c], line, field)};
      }
      values.push_back(*value);
    }
    ++rows;
  }
  if (columns == 0) return Error{where + " is empty: expected lines of numbers"};
  const auto count = static_cast<std::int64_t>(rows);
  if (names.empty()) return std::vector<Array>{MakeDoubles(name, {count, static_cast<std::int64_t>(columns)}, values)};
  std::vector<Array> arrays;
  for (std::size_t c = 0; c < columns; ++c) {
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(c), names[c]) !=
        names.begin() + static_cast<std::ptrdiff_t>(c)) {
      return Error{fmt::format("{} has two columns `{}`", where, names[c])};
    }
    arrays.push_back(MakeArray(names[c], DType::kFloat64, {count}));
    for (std::size_t r = 0; r < rows; ++r) arrays.back().as<double>()[r] = values[r * columns + c];
  }
  return arrays;
}

Result<std::vector<Array>> ReadCsv(const std::string& path) {
  const Result<std::vector<std::byte>> bytes = ReadBytes(path);
  if (!bytes) return bytes.error();
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  return ParseCsv(text, Stem(path), fmt::format("file `{}`", path));
}

}  // namespace amo::runtime
