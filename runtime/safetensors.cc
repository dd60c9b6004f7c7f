// SPDX-License-Identifier: Apache-2.0
// The header of .safetensors is judged whole before an entry is read: types, shapes, and offsets that neither overlap
// nor leave a hole.
#include "runtime/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string_view>

#include "compiler/check.h"
#include "runtime/file.h"
#include "runtime/output_file.h"

namespace amo::runtime {
namespace {

static_assert(std::endian::native == std::endian::little, "the format's entries are little-endian");

using Json = nlohmann::json;

constexpr std::string_view kMetadata = "__metadata__";
constexpr std::size_t kLength = 8;             // bytes of the header's length
constexpr std::size_t kLongest = 100'000'000;  // of a header, as other readers have it

struct Stored {
  std::string_view code;
  std::size_t size;
  DType dtype;
};
constexpr Stored kStored[] = {
    {"BOOL", 1, DType::kBool},   {"U8", 1, DType::kUint8},    {"I8", 1, DType::kInt32},     {"I16", 2, DType::kInt32},
    {"U16", 2, DType::kInt32},   {"I32", 4, DType::kInt32},   {"U32", 4, DType::kInt64},    {"I64", 8, DType::kInt64},
    {"U64", 8, DType::kInt64},   {"F16", 2, DType::kFloat32}, {"BF16", 2, DType::kFloat32}, {"F32", 4, DType::kFloat32},
    {"F64", 8, DType::kFloat64},
};

std::string_view CodeOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return "BOOL";
    case DType::kUint8:
      return "U8";
    case DType::kInt32:
      return "I32";
    case DType::kInt64:
      return "I64";
    case DType::kFloat32:
      return "F32";
    case DType::kFloat64:
      return "F64";
  }
  AMO_CHECK(false);
}

float FromBfloat(std::uint16_t h) { return std::bit_cast<float>(std::uint32_t{h} << 16); }

template <class From, class To, class Function>
void WidenBy(std::span<const std::byte> from, Array& to, Function function) {
  for (std::size_t k = 0; k < from.size() / sizeof(From); ++k) {
    From value;
    std::memcpy(&value, from.data() + k * sizeof value, sizeof value);
    to.as<To>()[k] = function(value);
  }
}

template <class From, class To>
void WidenTo(std::span<const std::byte> from, Array& to) {
  WidenBy<From, To>(from, to, [](From value) { return To{value}; });
}

// The entries into `to`, which has the room.
void Widen(const Stored& stored, std::span<const std::byte> from, Array& to) {
  if (stored.code == "I8")
    WidenTo<std::int8_t, std::int32_t>(from, to);
  else if (stored.code == "I16")
    WidenTo<std::int16_t, std::int32_t>(from, to);
  else if (stored.code == "U16")
    WidenTo<std::uint16_t, std::int32_t>(from, to);
  else if (stored.code == "U32")
    WidenTo<std::uint32_t, std::int64_t>(from, to);
  else if (stored.code == "F16")
    WidenBy<std::uint16_t, float>(from, to, FromHalf);
  else if (stored.code == "BF16")
    WidenBy<std::uint16_t, float>(from, to, FromBfloat);
  else if (!from.empty())
    std::memcpy(to.data.data(), from.data(), from.size());
}

struct Field {
  std::string name;
  const Stored* stored = nullptr;
  std::vector<std::int64_t> shape;
  std::size_t begin = 0, end = 0;  // within the data
};

// "`x`: what is wrong", or the field. `room`: bytes of data.
Result<Field> ParseField(const std::string& name, const Json& json, std::size_t room) {
  const auto bad = [&](const std::string& what) { return Error{fmt::format("field `{}` {}", name, what)}; };
  Field field{name, nullptr, {}, 0, 0};
  const auto member = [&](const char* key) -> const Json* {
    const auto at = json.find(key);
    return at == json.end() ? nullptr : &*at;
  };
  const Json* dtype = json.is_object() ? member("dtype") : nullptr;
  const Json* shape = json.is_object() ? member("shape") : nullptr;
  const Json* offsets = json.is_object() ? member("data_offsets") : nullptr;
  if (!dtype || !dtype->is_string() || !shape || !shape->is_array() || !offsets || !offsets->is_array()) {
    return bad("has no dtype, shape and data_offsets");
  }
  const std::string& code = dtype->get_ref<const std::string&>();
  for (const Stored& s : kStored) {
    if (code == s.code) field.stored = &s;
  }
  if (!field.stored) return bad(fmt::format("has entries of type `{}`: expected bools, ints or floats", code));

  std::int64_t count = 1, needed = 0;
  bool large = false, empty = false;
  for (const Json& extent : *shape) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > INT64_MAX) return bad("has a damaged shape");
    field.shape.push_back(extent.get<std::int64_t>());
    empty = empty || field.shape.back() == 0;
    large = __builtin_mul_overflow(count, field.shape.back(), &count) || large;
  }
  if (empty) count = 0;
  large = __builtin_mul_overflow(count, static_cast<std::int64_t>(field.stored->size), &needed) || (large && !empty);

  const bool pair = offsets->size() == 2 && (*offsets)[0].is_number_unsigned() && (*offsets)[1].is_number_unsigned();
  const std::uint64_t begin = pair ? (*offsets)[0].get<std::uint64_t>() : 1;
  const std::uint64_t end = pair ? (*offsets)[1].get<std::uint64_t>() : 0;
  if (begin > end) return bad("has damaged data_offsets");
  if (end > room) return bad(fmt::format("ends at byte {} of the data, which has {}: it is truncated", end, room));
  if (large || end - begin != static_cast<std::uint64_t>(needed)) {
    const Array array{name, field.stored->dtype, field.shape, {}};
    return bad(fmt::format("is {} and needs {} bytes, found {}", Describe(array),
                           large ? std::string("too many") : std::to_string(needed), end - begin));
  }
  field.begin = begin;
  field.end = end;
  return field;
}

// Every byte of the data belongs to one field: empty, or what is wrong.
std::string WhyNotPacked(const std::vector<Field>& fields, std::size_t room) {
  std::vector<const Field*> sorted;
  for (const Field& f : fields) sorted.push_back(&f);
  std::sort(sorted.begin(), sorted.end(),
            [](const Field* a, const Field* b) { return std::pair(a->begin, a->end) < std::pair(b->begin, b->end); });
  std::size_t at = 0;
  for (const Field* f : sorted) {
    if (f->begin < at) return fmt::format("field `{}` overlaps another", f->name);
    if (f->begin > at) return fmt::format("{} bytes before field `{}` belong to no field", f->begin - at, f->name);
    at = f->end;
  }
  return at == room ? "" : fmt::format("{} bytes at the end belong to no field", room - at);
}

// As JSON; what is not UTF-8 becomes U+FFFD.
std::string Quote(const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

bool IsUtf8(const std::string& text) { return Json::parse(Quote(text), nullptr, false) == Json(text); }

}  // namespace

Result<std::vector<Array>> ParseSafetensors(std::span<const std::byte> bytes, const std::string& where) {
  const auto bad = [&](const std::string& what) { return Error{fmt::format("{} {}", where, what)}; };
  if (bytes.size() < kLength) return bad("is truncated: it ends within the header's length");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLength);
  const std::size_t rest = bytes.size() - kLength;
  const bool brace = rest > 0 && bytes[kLength] == std::byte{'{'};
  if (!brace || length > kLongest) return bad("is not in .safetensors format");
  if (length > rest) return bad("is truncated: it ends within the header");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLength, length);
  const std::span<const std::byte> data = bytes.subspan(kLength + length);

  // nlohmann's objects are sorted and keep the last of two equal names: the names as they stand are collected here.
  std::vector<std::string> names;
  const auto collect = [&](int depth, Json::parse_event_t event, Json& key) {
    if (depth == 1 && event == Json::parse_event_t::key) names.push_back(key.get<std::string>());
    return true;
  };
  const bool nul = text.find('\0') != text.npos;  // which nlohmann takes for the end of the text
  const Json header = nul ? Json(Json::value_t::discarded) : Json::parse(text, collect, false);
  if (!header.is_object()) return bad("has a damaged header: it is not JSON");
  std::set<std::string_view> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) return bad(fmt::format("has two fields `{}`", name));
  }

  std::vector<Field> fields;
  for (const std::string& name : names) {
    const Json& json = header.at(name);
    if (name == kMetadata) {
      const auto is_text = [](const Json& value) { return value.is_string(); };
      if (!json.is_object() || !std::all_of(json.begin(), json.end(), is_text)) {
        return bad("has damaged metadata: expected names and texts");
      }
      continue;
    }
    Result<Field> field = ParseField(name, json, data.size());
    if (!field) return bad("is damaged: " + field.message());
    fields.push_back(std::move(*field));
  }
  if (const std::string why = WhyNotPacked(fields, data.size()); !why.empty()) return bad("is damaged: " + why);

  std::vector<Array> arrays;
  for (Field& f : fields) {
    const std::span<const std::byte> from = data.subspan(f.begin, f.end - f.begin);
    Array array{std::move(f.name), f.stored->dtype, std::move(f.shape), {}};
    array.data.resize(from.size() / f.stored->size * SizeOf(f.stored->dtype));
    Widen(*f.stored, from, array);
    if (f.stored->code == "U64") {
      const std::int64_t* values = array.as<std::int64_t>();
      const std::int64_t* const end = values + Count(array);
      const std::int64_t* const large = std::find_if(values, end, [](std::int64_t v) { return v < 0; });
      if (large != end) {
        return bad(fmt::format("holds a uint64 of 2^63 or more: field `{}`, entry {}", array.name, large - values));
      }
    }
    arrays.push_back(std::move(array));
  }
  return arrays;
}

std::vector<std::byte> PrintSafetensors(const std::vector<Array>& arrays,
                                        const std::map<std::string, std::string>& metadata) {
  const Result<Done> allowed = CheckNames(arrays);
  AMO_CHECK(allowed.ok(), "(%s)", allowed.message().c_str());
  // Wide entries first: then each array begins at a multiple of its entries' size, which readers that map files need.
  std::vector<std::size_t> order(arrays.size()), begin(arrays.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return SizeOf(arrays[a].dtype) > SizeOf(arrays[b].dtype); });
  std::size_t size = 0;
  for (std::size_t k : order) {
    begin[k] = size;
    size += arrays[k].data.size();
  }

  std::vector<std::string> members;
  if (!metadata.empty()) {
    std::vector<std::string> texts;
    for (const auto& [key, value] : metadata) texts.push_back(Quote(key) + ":" + Quote(value));
    members.push_back(fmt::format("\"{}\":{{{}}}", kMetadata, fmt::join(texts, ",")));
  }
  for (std::size_t k = 0; k < arrays.size(); ++k) {
    const Array& a = arrays[k];
    members.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", Quote(a.name),
                                  CodeOf(a.dtype), fmt::join(a.shape, ","), begin[k], begin[k] + a.data.size()));
  }
  std::string header = fmt::format("{{{}}}", fmt::join(members, ","));
  header.resize((header.size() + 7) / 8 * 8, ' ');

  const std::uint64_t length = header.size();
  std::vector<std::byte> bytes(kLength + header.size() + size);
  std::memcpy(bytes.data(), &length, kLength);
  std::memcpy(bytes.data() + kLength, header.data(), header.size());
  for (std::size_t k = 0; k < arrays.size(); ++k) {
    std::copy(arrays[k].data.begin(), arrays[k].data.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(kLength + header.size() + begin[k]));
  }
  return bytes;
}

Result<Done> CheckNames(const std::vector<Array>& arrays) {
  std::set<std::string_view> seen;
  for (const Array& a : arrays) {
    if (a.name == kMetadata) return Error{fmt::format("no field can be called `{}`", kMetadata)};
    if (!IsUtf8(a.name)) return Error{fmt::format("the name of field `{}` is not UTF-8", a.name)};
    if (!seen.insert(a.name).second) return Error{fmt::format("two fields are called `{}`", a.name)};
  }
  return Done{};
}

Result<std::vector<Array>> ReadSafetensors(const std::string& path) {
  const Result<std::vector<std::byte>> bytes = ReadBytes(path);
  if (!bytes) return bytes.error();
  return ParseSafetensors(*bytes, fmt::format("file `{}`", path));
}

Result<Done> WriteSafetensors(const std::string& path, const std::vector<Array>& arrays,
                              const std::map<std::string, std::string>& metadata) {
  if (const Result<Done> allowed = CheckNames(arrays); !allowed) {
    return Error{fmt::format("cannot write `{}`: {}", path, allowed.message())};
  }
  return WriteFile(path, PrintSafetensors(arrays, metadata));
}

}  // namespace amo::runtime
