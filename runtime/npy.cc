// SPDX-License-Identifier: Apache-2.0
// The .npy format: a magic, the length of a Python dictionary, the dictionary, the entries.
#include "runtime/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <string_view>

#include "compiler/check.h"
#include "runtime/file.h"
#include "runtime/output_file.h"

namespace amo::runtime {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

struct Stored {
  std::string_view code;  // after the byte order
  std::size_t size;
  DType dtype;
};
constexpr Stored kStored[] = {
    {"b1", 1, DType::kBool},  {"u1", 1, DType::kUint8},   {"i1", 1, DType::kInt32},   {"i2", 2, DType::kInt32},
    {"u2", 2, DType::kInt32}, {"i4", 4, DType::kInt32},   {"u4", 4, DType::kInt64},   {"i8", 8, DType::kInt64},
    {"u8", 8, DType::kInt64}, {"f2", 2, DType::kFloat32}, {"f4", 4, DType::kFloat32}, {"f8", 8, DType::kFloat64},
};

struct Header {
  const Stored* stored = nullptr;
  bool swap = false, fortran = false;
  std::vector<std::int64_t> shape;
};

// What stands after `'key':` in the dictionary, without leading blanks; empty where the key is not there.
std::string_view After(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(fmt::format("'{}'", key));
  if (at == text.npos) return {};
  text.remove_prefix(at + key.size() + 2);
  const std::size_t from = text.find_first_not_of(" :");
  return from == text.npos ? std::string_view{} : text.substr(from);
}

Result<Header> ParseHeader(std::string_view text, const std::string& where) {
  Header header;
  const std::string_view descr = After(text, "descr"), fortran = After(text, "fortran_order"),
                         shape = After(text, "shape");
  if (descr.empty() || fortran.empty() || !shape.starts_with('(') || shape.find(')') == shape.npos) {
    return Error{where + " has a damaged header: expected descr, fortran_order and shape"};
  }
  const std::size_t end = descr.starts_with('\'') ? descr.find('\'', 1) : descr.npos;
  if (end == descr.npos || end < 3) { return Error{where + " holds records: expected bools, ints or floats"}; }
  const std::string_view type = descr.substr(1, end - 1);
  for (const Stored& s : kStored) {
    if (type.substr(1) == s.code) header.stored = &s;
  }
  if (!header.stored || std::string_view("<>|=").find(type[0]) == std::string_view::npos) {
    return Error{fmt::format("{} has entries of type `{}`: expected bools, ints or floats", where, type)};
  }
  header.swap = type[0] == '>';
  header.fortran = fortran.starts_with("True");
  for (std::string_view list = shape.substr(1, shape.find(')') - 1); !list.empty();) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    item.remove_prefix(std::min(item.find_first_not_of(' '), item.size()));
    if (item.empty()) continue;
    std::int64_t extent = 0;
    const auto [stop, error] = std::from_chars(item.data(), item.data() + item.size(), extent);
    if (error != std::errc{} || extent < 0) return Error{fmt::format("{} has a damaged shape `{}`", where, item)};
    header.shape.push_back(extent);
  }
  return header;
}

template <class T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// One entry, in the machine's byte order, into its wider type; false where a uint64 is too large.
bool Widen(const Stored& s, const std::byte* from, std::byte* to) {
  const auto put = [&](auto value) { std::memcpy(to, &value, sizeof value); };
  if (s.code == "i1")
    put(std::int32_t{Load<std::int8_t>(from)});
  else if (s.code == "i2")
    put(std::int32_t{Load<std::int16_t>(from)});
  else if (s.code == "u2")
    put(std::int32_t{Load<std::uint16_t>(from)});
  else if (s.code == "u4")
    put(std::int64_t{Load<std::uint32_t>(from)});
  else if (s.code == "f2")
    put(FromHalf(Load<std::uint16_t>(from)));
  else
    std::memcpy(to, from, s.size);
  return s.code != "u8" || Load<std::int64_t>(from) >= 0;
}

std::string_view CodeOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return "|b1";
    case DType::kUint8:
      return "|u1";
    case DType::kInt32:
      return "<i4";
    case DType::kInt64:
      return "<i8";
    case DType::kFloat32:
      return "<f4";
    case DType::kFloat64:
      return "<f8";
  }
  AMO_CHECK(false);
}

}  // namespace

Result<Array> ParseNpy(std::span<const std::byte> bytes, std::string name, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic)) return Error{where + " is not in .npy format"};
  if (text.size() < 12) return Error{where + " is truncated: it ends within the header"};
  const int version = static_cast<unsigned char>(text[6]);
  if (version < 1 || version > 3)
    return Error{fmt::format("{} has .npy version {}: expected 1, 2 or 3", where, version)};
  std::size_t length = 0;
  const std::size_t width = version == 1 ? 2 : 4, begin = 8 + width;
  for (std::size_t k = 0; k < width; ++k)
    length |= static_cast<std::size_t>(static_cast<unsigned char>(text[8 + k])) << 8 * k;
  if (text.size() < begin + length) return Error{where + " is truncated: it ends within the header"};
  Result<Header> header = ParseHeader(text.substr(begin, length), where);
  if (!header) return header.error();

  const Stored& stored = *header->stored;
  std::int64_t count = 1, needed = 0;
  bool large = false, empty = false;
  for (std::int64_t d : header->shape) {
    empty = empty || d == 0;
    large = __builtin_mul_overflow(count, d, &count) || large;
  }
  if (empty) count = 0;
  large = __builtin_mul_overflow(count, static_cast<std::int64_t>(stored.size), &needed) || large;
  const std::size_t have = text.size() - begin - length;
  Array array{std::move(name), stored.dtype, header->shape, {}};
  if ((large && !empty) || have != static_cast<std::size_t>(needed)) {
    const char* what = large || have < static_cast<std::size_t>(needed) ? "is truncated" : "is too long";
    return Error{fmt::format("{} {}: {} needs {} bytes of data, found {}", where, what, Describe(array),
                             large ? std::string("too many") : std::to_string(needed), have)};
  }
  array.data.resize(static_cast<std::size_t>(count) * SizeOf(stored.dtype));

  // Fortran order: the k-th stored entry has its first index running fastest.
  std::vector<std::int64_t> index(array.shape.size()), stride(array.shape.size(), 1);
  for (std::size_t d = array.shape.size(); d-- > 1;) stride[d - 1] = stride[d] * array.shape[d];
  std::int64_t at = 0;
  for (std::int64_t k = 0; k < count; ++k) {
    std::byte entry[8];
    const std::byte* from = bytes.data() + begin + length + static_cast<std::size_t>(k) * stored.size;
    std::copy_n(from, stored.size, entry);
    if (header->swap) std::reverse(entry, entry + stored.size);
    const std::int64_t to = header->fortran ? at : k;
    if (!Widen(stored, entry, array.data.data() + static_cast<std::size_t>(to) * SizeOf(stored.dtype))) {
      return Error{fmt::format("{} holds a uint64 of 2^63 or more: entry {}", where, to)};
    }
    for (std::size_t d = 0; header->fortran && d < index.size(); ++d) {
      at += stride[d];
      if (++index[d] < array.shape[d]) break;
      at -= index[d] * stride[d];
      index[d] = 0;
    }
  }
  return array;
}

Result<Array> ReadNpy(const std::string& path) {
  const Result<std::vector<std::byte>> bytes = ReadBytes(path);
  if (!bytes) return bytes.error();
  return ParseNpy(*bytes, Stem(path), fmt::format("file `{}`", path));
}

std::vector<std::byte> PrintNpy(const Array& array) {
  std::string shape;
  for (std::int64_t d : array.shape) shape += fmt::format("{},{}", d, array.shape.size() == 1 ? "" : " ");
  if (array.shape.size() > 1) shape.resize(shape.size() - 2);
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", CodeOf(array.dtype), shape);
  header += std::string(63 - (header.size() + 10) % 64, ' ') + '\n';  // the data begins at a multiple of 64
  std::string text(kMagic);
  text += {'\x01', '\x00', static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  text += header;
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  bytes.insert(bytes.end(), array.data.begin(), array.data.end());
  return bytes;
}

Result<Done> WriteNpy(const std::string& path, const Array& array) {
  const std::vector<std::byte> bytes = PrintNpy(array);
  return WriteFile(path, bytes);
}

}  // namespace amo::runtime
