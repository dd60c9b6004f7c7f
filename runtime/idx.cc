// SPDX-License-Identifier: Apache-2.0
// IDX: two zero bytes, the type, the number of axes, their extents, the entries.
#include "runtime/idx.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "runtime/file.h"

namespace amo::runtime {
namespace {

struct Stored {
  int code;
  std::size_t size;
  DType dtype;
};
constexpr Stored kStored[] = {
    {0x08, 1, DType::kUint8}, {0x09, 1, DType::kInt32},   {0x0B, 2, DType::kInt32},
    {0x0C, 4, DType::kInt32}, {0x0D, 4, DType::kFloat32}, {0x0E, 8, DType::kFloat64},
};

}  // namespace

Result<Array> ParseIdx(std::span<const std::byte> bytes, std::string name, const std::string& where) {
  const auto byte = [&](std::size_t k) { return std::to_integer<std::uint32_t>(bytes[k]); };
  if (bytes.size() >= 2 && byte(0) == 0x1F && byte(1) == 0x8B) {
    return Error{where + " is compressed with gzip: unpack it with `gunzip` first"};
  }
  if (bytes.size() < 4 || byte(0) != 0 || byte(1) != 0) return Error{where + " is not in IDX format"};
  const auto* stored = std::find_if(std::begin(kStored), std::end(kStored),
                                    [&](const Stored& s) { return static_cast<std::uint32_t>(s.code) == byte(2); });
  if (stored == std::end(kStored))
    return Error{fmt::format("{} has entries of the unknown IDX type {:#04x}", where, byte(2))};
  const std::size_t axes = byte(3), begin = 4 + 4 * axes;
  if (bytes.size() < begin) return Error{where + " is truncated: it ends within the header"};
  Array array{std::move(name), stored->dtype, {}, {}};
  std::uint64_t count = 1;
  bool large = false;
  for (std::size_t d = 0; d < axes; ++d) {
    const std::size_t k = 4 + 4 * d;
    const std::uint32_t extent = byte(k) << 24 | byte(k + 1) << 16 | byte(k + 2) << 8 | byte(k + 3);
    array.shape.push_back(extent);
    large = __builtin_mul_overflow(count, std::uint64_t{extent}, &count) || large;
  }
  const std::size_t have = bytes.size() - begin;
  std::uint64_t needed = 0;
  large = __builtin_mul_overflow(count, std::uint64_t{stored->size}, &needed) || large;
  if (large || have != needed) {
    return Error{fmt::format("{} {}: {} needs {} bytes of data, found {}", where,
                             large || have < needed ? "is truncated" : "is too long", Describe(array),
                             large ? std::string("too many") : std::to_string(needed), have)};
  }
  array.data.resize(count * SizeOf(stored->dtype));
  for (std::size_t i = 0; i < count; ++i) {
    std::byte entry[8];
    std::reverse_copy(bytes.data() + begin + i * stored->size, bytes.data() + begin + (i + 1) * stored->size, entry);
    std::byte* to = array.data.data() + i * SizeOf(stored->dtype);
    if (stored->code == 0x09 || stored->code == 0x0B) {
      std::int32_t wide = static_cast<std::int8_t>(entry[0]);
      if (stored->code == 0x0B) {
        std::int16_t value;
        std::memcpy(&value, entry, sizeof value);
        wide = value;
      }
      std::memcpy(to, &wide, sizeof wide);
    } else {
      std::copy_n(entry, stored->size, to);
    }
  }
  return array;
}

Result<Array> ReadIdx(const std::string& path) {
  const Result<std::vector<std::byte>> bytes = ReadBytes(path);
  if (!bytes) return bytes.error();
  return ParseIdx(*bytes, Stem(path), fmt::format("file `{}`", path));
}

}  // namespace amo::runtime
