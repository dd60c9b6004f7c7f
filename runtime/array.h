// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_ARRAY_H_
#define AMO_RUNTIME_ARRAY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Named arrays as files hold them: the numbers behind tables, data and results. Knows nothing of torch.
namespace amo::runtime {

enum class DType : std::uint8_t { kBool, kUint8, kInt32, kInt64, kFloat32, kFloat64 };

std::size_t SizeOf(DType dtype);       // bytes
std::string_view NameOf(DType dtype);  // "float64"

struct Array {
  std::string name;  // the field; the file's stem where the file names none
  DType dtype = DType::kFloat64;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;  // row-major, the machine's byte order

  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data.data());
  }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data.data());
  }
};

float FromHalf(std::uint16_t bits);  // of IEEE binary16

std::int64_t Count(const Array& array);
std::string Describe(const Array& array);  // "float64[3,4]"

// An array of zeros; of doubles.
Array MakeArray(std::string name, DType dtype, std::vector<std::int64_t> shape);
Array MakeDoubles(std::string name, std::vector<std::int64_t> shape, const std::vector<double>& values);

// The entries, converted.
std::vector<double> ToDoubles(const Array& array);
Array Convert(const Array& array, DType dtype);

// The first entry that is NaN or infinite: its row (index along the first axis) and its place within the row.
struct NonFinite {
  std::int64_t row = 0, entry = 0;
  double value = 0;
};
std::optional<NonFinite> FirstNonFinite(const Array& array);

// "row 3, entry 8 of field `x` is nan", for messages.
std::string Describe(const NonFinite& found, const Array& array);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_ARRAY_H_
