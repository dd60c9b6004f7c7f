// SPDX-License-Identifier: Apache-2.0
// Sizes, conversions and checks of arrays.
#include "runtime/array.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/check.h"

namespace amo::runtime {
namespace {

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

double Entry(const Array& array, std::size_t i) {
  switch (array.dtype) {
    case DType::kBool:
      return array.as<std::uint8_t>()[i] != 0;
    case DType::kUint8:
      return array.as<std::uint8_t>()[i];
    case DType::kInt32:
      return array.as<std::int32_t>()[i];
    case DType::kInt64:
      return static_cast<double>(array.as<std::int64_t>()[i]);
    case DType::kFloat32:
      return array.as<float>()[i];
    case DType::kFloat64:
      return array.as<double>()[i];
  }
  AMO_CHECK(false);
}

void SetEntry(Array& array, std::size_t i, double value) {
  switch (array.dtype) {
    case DType::kBool:
      array.as<std::uint8_t>()[i] = value != 0;
      return;
    case DType::kUint8:
      array.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(value);
      return;
    case DType::kInt32:
      array.as<std::int32_t>()[i] = static_cast<std::int32_t>(value);
      return;
    case DType::kInt64:
      array.as<std::int64_t>()[i] = static_cast<std::int64_t>(value);
      return;
    case DType::kFloat32:
      array.as<float>()[i] = static_cast<float>(value);
      return;
    case DType::kFloat64:
      array.as<double>()[i] = value;
      return;
  }
}

template <class T>
std::optional<std::size_t> FirstBad(const T* entries, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(entries[i])) return i;
  }
  return std::nullopt;
}

}  // namespace

float FromHalf(std::uint16_t h) {
  const int exponent = (h >> 10) & 31, mantissa = h & 1023;
  const float sign = (h & 0x8000) ? -1.0F : 1.0F;
  if (exponent == 31) return mantissa ? std::nanf("") : sign * INFINITY;
  return sign * std::ldexp(static_cast<float>(exponent ? mantissa + 1024 : mantissa), (exponent ? exponent : 1) - 25);
}

std::size_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kUint8:
      return 1;
    case DType::kInt32:
    case DType::kFloat32:
      return 4;
    case DType::kInt64:
    case DType::kFloat64:
      return 8;
  }
  AMO_CHECK(false);
}

std::string_view NameOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return "bool";
    case DType::kUint8:
      return "uint8";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
  }
  AMO_CHECK(false);
}

std::int64_t Count(const Array& array) {
  std::uint64_t count = 1;  // unsigned: extents beside a 0 may be of any size
  for (std::int64_t d : array.shape) count *= static_cast<std::uint64_t>(d);
  return static_cast<std::int64_t>(count);
}

std::string Describe(const Array& array) {
  if (array.shape.empty()) return std::string(NameOf(array.dtype));
  return fmt::format("{}[{}]", NameOf(array.dtype), fmt::join(array.shape, ","));
}

Array MakeArray(std::string name, DType dtype, std::vector<std::int64_t> shape) {
  Array array{std::move(name), dtype, std::move(shape), {}};
  array.data.resize(Z(Count(array)) * SizeOf(dtype));
  return array;
}

Array MakeDoubles(std::string name, std::vector<std::int64_t> shape, const std::vector<double>& values) {
  Array array = MakeArray(std::move(name), DType::kFloat64, std::move(shape));
  AMO_CHECK(values.size() == Z(Count(array)), "(array %s)", array.name.c_str());
  std::copy(values.begin(), values.end(), array.as<double>());
  return array;
}

std::vector<double> ToDoubles(const Array& array) {
  std::vector<double> values(Z(Count(array)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = Entry(array, i);
  return values;
}

Array Convert(const Array& array, DType dtype) {
  if (array.dtype == dtype) return array;
  Array to = MakeArray(array.name, dtype, array.shape);
  for (std::size_t i = 0; i < Z(Count(to)); ++i) SetEntry(to, i, Entry(array, i));
  return to;
}

std::optional<NonFinite> FirstNonFinite(const Array& array) {
  const std::size_t count = Z(Count(array));
  std::optional<std::size_t> bad;
  if (array.dtype == DType::kFloat64) bad = FirstBad(array.as<double>(), count);
  if (array.dtype == DType::kFloat32) bad = FirstBad(array.as<float>(), count);
  if (!bad) return std::nullopt;
  const std::size_t row = array.shape.empty() ? 1 : count / Z(array.shape[0]);
  return NonFinite{static_cast<std::int64_t>(*bad / row), static_cast<std::int64_t>(*bad % row), Entry(array, *bad)};
}

std::string Describe(const NonFinite& found, const Array& array) {
  if (array.shape.empty()) return fmt::format("field `{}` is {}", array.name, found.value);
  if (array.shape.size() == 1) return fmt::format("row {} of field `{}` is {}", found.row, array.name, found.value);
  return fmt::format("row {}, entry {} of field `{}` is {}", found.row, found.entry, array.name, found.value);
}

}  // namespace amo::runtime
