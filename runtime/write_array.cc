// SPDX-License-Identifier: Apache-2.0
// The choice of a format, and the ones that are not files of their own: .csv and .npz from printed .npy.
#include "runtime/write_array.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <set>
#include <string_view>

#include "runtime/csv.h"
#include "runtime/npy.h"
#include "runtime/output_file.h"
#include "runtime/safetensors.h"
#include "runtime/zip_archive.h"

namespace amo::runtime {
namespace {

using Bytes = std::vector<std::byte>;

// Floats in the fewest digits that give the same float, whole numbers as such.
void AppendEntry(std::string& text, const Array& array, std::size_t k) {
  const auto out = std::back_inserter(text);
  const auto real = [&](auto value) {
    std::isnan(value) ? fmt::format_to(out, "nan") : fmt::format_to(out, "{}", value);
  };
  switch (array.dtype) {
    case DType::kBool:
      fmt::format_to(out, "{}", array.as<std::uint8_t>()[k] != 0 ? 1 : 0);
      return;
    case DType::kUint8:
      fmt::format_to(out, "{}", int{array.as<std::uint8_t>()[k]});
      return;
    case DType::kInt32:
      fmt::format_to(out, "{}", array.as<std::int32_t>()[k]);
      return;
    case DType::kInt64:
      fmt::format_to(out, "{}", array.as<std::int64_t>()[k]);
      return;
    case DType::kFloat32:
      real(array.as<float>()[k]);
      return;
    case DType::kFloat64:
      real(array.as<double>()[k]);
      return;
  }
}

// The names of an array's columns.
std::vector<std::string> Columns(const Array& array) {
  if (array.shape.size() == 1) return {array.name};
  std::vector<std::string> names;
  for (std::int64_t c = 0; c < array.shape[1]; ++c) names.push_back(fmt::format("{}_{}", array.name, c));
  return names;
}

Result<Bytes> PrintCsv(const std::vector<Array>& arrays) {
  if (arrays.empty()) return Error{"a .csv file holds at least one array"};
  std::string text;
  std::set<std::string> seen;
  for (const Array& a : arrays) {
    if (a.shape.empty() || a.shape.size() > 2) {
      return Error{fmt::format("a .csv file holds arrays of rank 1 or 2; field `{}` is {}", a.name, Describe(a))};
    }
    if (a.shape[0] != arrays[0].shape[0]) {
      return Error{
          fmt::format("fields `{}` and `{}` have {} and {} rows; the columns of a .csv file have the same number",
                      arrays[0].name, a.name, arrays[0].shape[0], a.shape[0])};
    }
    for (const std::string& name : Columns(a)) {
      if (!seen.insert(name).second) return Error{fmt::format("two columns are called `{}`", name)};
      const bool quoted = name.find_first_of(", \t") != name.npos;
      text += fmt::format("{}{}{}{}", text.empty() ? "" : ",", quoted ? "\"" : "", name, quoted ? "\"" : "");
    }
  }
  if (seen.empty())
    return Error{fmt::format("field `{}` is {}: it has no columns", arrays[0].name, Describe(arrays[0]))};
  // A name that is itself a number, or has quotes or line ends, would be read as something else.
  const Result<std::vector<Array>> header = ParseCsv(text, "", "");
  bool readable = header.ok() && header->size() == seen.size();
  for (std::size_t c = 0; readable && c < seen.size(); ++c) readable = seen.contains((*header)[c].name);
  if (!readable || text.find_first_of("\n\r") != text.npos) {
    return Error{fmt::format("a .csv file cannot name its columns {}", text)};
  }
  text += '\n';
  for (std::int64_t r = 0; r < arrays[0].shape[0]; ++r) {
    const std::size_t begin = text.size();
    for (const Array& a : arrays) {
      const std::size_t width = a.shape.size() == 1 ? 1 : static_cast<std::size_t>(a.shape[1]);
      for (std::size_t c = 0; c < width; ++c) {
        if (text.size() > begin) text += ',';
        AppendEntry(text, a, static_cast<std::size_t>(r) * width + c);
      }
    }
    text += '\n';
  }
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

Result<Bytes> PrintNpzOf(const std::vector<Array>& arrays) {
  std::vector<ZipEntry> entries;
  for (const Array& a : arrays) entries.push_back({a.name + ".npy", PrintNpy(a), ""});
  return PrintZip(entries);
}

Result<Bytes> PrintOneNpy(const std::vector<Array>& arrays) {
  if (arrays.size() != 1) {
    return Error{fmt::format("a .npy file holds one array, not {}; a .npz file holds several", arrays.size())};
  }
  return PrintNpy(arrays[0]);
}

Result<Bytes> PrintAllSafetensors(const std::vector<Array>& arrays) {
  if (const Result<Done> allowed = CheckNames(arrays); !allowed) return allowed.error();
  return PrintSafetensors(arrays);
}

struct Format {
  std::string_view ending;
  Result<Bytes> (*print)(const std::vector<Array>& arrays);
};
constexpr Format kFormats[] = {
    {".npy", PrintOneNpy}, {".npz", PrintNpzOf}, {".csv", PrintCsv}, {".safetensors", PrintAllSafetensors}};

// The file's bytes; the message is a reason only.
Result<Bytes> PrintArrays(const std::string& path, const std::vector<Array>& arrays) {
  const std::string ending = std::filesystem::path(path).extension().string();
  std::vector<std::string_view> known;
  for (const Format& f : kFormats) {
    if (f.ending == ending) return f.print(arrays);
    known.push_back(f.ending);
  }
  return Error{fmt::format("its ending is not known: expected one of {}", fmt::join(known, ", "))};
}

}  // namespace

Result<Done> WriteArrays(const std::string& path, const std::vector<Array>& arrays) {
  const Result<Bytes> bytes = PrintArrays(path, arrays);
  if (!bytes) return Error{fmt::format("cannot write `{}`: {}", path, bytes.message())};
  return WriteFile(path, *bytes);
}

}  // namespace amo::runtime
