// SPDX-License-Identifier: Apache-2.0
// .safetensors to arrays and back: round trips, what other programs write, and headers that must be refused.
#include "runtime/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string_view>

#include "runtime/file.h"
#include "runtime/read_array.h"

namespace amo::runtime {
namespace {

using Bytes = std::vector<std::byte>;

Bytes File(std::string_view header, std::string_view data = "") {
  const std::uint64_t length = header.size();
  Bytes bytes(8 + header.size() + data.size());
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  if (!data.empty()) std::memcpy(bytes.data() + 8 + header.size(), data.data(), data.size());
  return bytes;
}

std::string Message(const Bytes& bytes) {
  const Result<std::vector<Array>> arrays = ParseSafetensors(bytes, "file `x`");
  return arrays.ok() ? "" : arrays.message();
}

bool Same(const Array& a, const Array& b) {
  return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.data == b.data;
}

std::vector<Array> Samples() {
  std::vector<Array> arrays{MakeDoubles("scalar", {}, {2.5}), MakeDoubles("table", {2, 3}, {1, 2, 3, 4, 5, NAN}),
                            MakeDoubles("nothing", {0, 4}, {}),
                            MakeDoubles("a \"name\" with ü and \\", {1, 1, 2}, {7, 8}),
                            MakeDoubles("", {1}, {-INFINITY})};
  for (DType t : {DType::kBool, DType::kUint8, DType::kInt32, DType::kInt64, DType::kFloat32}) {
    arrays.push_back(Convert(MakeDoubles("as " + std::string(NameOf(t)), {3}, {1, 0, 1}), t));
  }
  arrays.push_back(MakeDoubles("last", {2}, {1e-300, 5e-324}));
  return arrays;
}

TEST(Safetensors, RoundTripsInOrder) {
  const std::vector<Array> arrays = Samples();
  const Bytes bytes = PrintSafetensors(arrays, {{"made by", "a \"test\""}});
  const Result<std::vector<Array>> back = ParseSafetensors(bytes, "x");
  ASSERT_TRUE(back.ok()) << back.message();
  ASSERT_EQ(back->size(), arrays.size());
  for (std::size_t k = 0; k < arrays.size(); ++k) EXPECT_TRUE(Same((*back)[k], arrays[k])) << arrays[k].name;
  EXPECT_EQ(PrintSafetensors(*back, {{"made by", "a \"test\""}}), bytes);
}

TEST(Safetensors, RoundTripsWithoutArrays) {
  const Bytes bytes = PrintSafetensors({});
  EXPECT_EQ(bytes.size(), 16U);
  const Result<std::vector<Array>> back = ParseSafetensors(bytes, "x");
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_TRUE(back->empty());
}

// Readers that map the file need each array at a multiple of its entries' size.
TEST(Safetensors, HeaderIsPaddedAndArraysAreAligned) {
  Array flag = MakeArray("flag", DType::kBool, {3});
  const Array one = MakeDoubles("one", {1}, {1});
  const Bytes bytes = PrintSafetensors({flag, one});
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0U);
  const std::string header(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  EXPECT_NE(header.find(R"("flag":{"dtype":"BOOL","shape":[3],"data_offsets":[8,11]})"), header.npos) << header;
  EXPECT_NE(header.find(R"("one":{"dtype":"F64","shape":[1],"data_offsets":[0,8]})"), header.npos) << header;
}

TEST(Safetensors, WidensOtherTypes) {
  struct Case {
    const char* code;
    std::string_view data;
    DType dtype;
    std::vector<double> values;
  };
  using namespace std::string_view_literals;
  const double inf = std::numeric_limits<double>::infinity();
  const Case cases[] = {
      {"I8", "\xff\x7f"sv, DType::kInt32, {-1, 127}},
      {"I16", "\xfe\xff\x00\x80"sv, DType::kInt32, {-2, -32768}},
      {"U16", "\xfe\xff\x01\x00"sv, DType::kInt32, {65534, 1}},
      {"U32", "\xff\xff\xff\xff\x01\x00\x00\x00"sv, DType::kInt64, {4294967295.0, 1}},
      {"U64", "\x05\x00\x00\x00\x00\x00\x00\x00"sv, DType::kInt64, {5}},
      {"F16", "\x00\x3c\x00\xc0\x01\x00\x00\x7c\xff\x7b"sv, DType::kFloat32, {1, -2, std::ldexp(1.0, -24), inf, 65504}},
      {"BF16", "\x80\x3f\x00\xc0\x80\xff\x01\x00"sv, DType::kFloat32, {1, -2, -inf, std::ldexp(1.0, -133)}},
  };
  for (const Case& c : cases) {
    const std::string header = R"({"x":{"dtype":")" + std::string(c.code) + R"(","shape":[)" +
                               std::to_string(c.values.size()) + R"(],"data_offsets":[0,)" +
                               std::to_string(c.data.size()) + "]}}";
    const Result<std::vector<Array>> arrays = ParseSafetensors(File(header, c.data), "x");
    ASSERT_TRUE(arrays.ok()) << arrays.message();
    EXPECT_EQ((*arrays)[0].dtype, c.dtype) << c.code;
    EXPECT_EQ(ToDoubles((*arrays)[0]), c.values) << c.code;
  }
  const std::string nan = R"({"x":{"dtype":"F16","shape":[],"data_offsets":[0,2]}})";
  const Result<std::vector<Array>> arrays = ParseSafetensors(File(nan, "\x01\x7e"), "x");
  ASSERT_TRUE(arrays.ok()) << arrays.message();
  EXPECT_TRUE(std::isnan(ToDoubles((*arrays)[0])[0]));
}

// As the Python package lays it out: metadata first, arrays sorted, blanks up to a multiple of 8.
TEST(Safetensors, ReadsWhatOthersWrite) {
  std::string header = R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                       R"("a":{"dtype":"U8","shape":[1,3],"data_offsets":[8,11]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  using namespace std::string_view_literals;
  const Result<std::vector<Array>> arrays =
      ParseSafetensors(File(header, "\x00\x00\x80\x3f\x00\x00\x00\x40\x01\x02\x03"sv), "x");
  ASSERT_TRUE(arrays.ok()) << arrays.message();
  ASSERT_EQ(arrays->size(), 2U);
  EXPECT_EQ((*arrays)[0].name, "b");
  EXPECT_EQ(ToDoubles((*arrays)[0]), (std::vector<double>{1, 2}));
  EXPECT_EQ(Describe((*arrays)[1]), "uint8[1,3]");
  EXPECT_EQ(ToDoubles((*arrays)[1]), (std::vector<double>{1, 2, 3}));
}

TEST(Safetensors, RefusesWhatIsWrong) {
  const std::string eight(8, '\0'), sixteen(16, '\0');
  struct Case {
    Bytes bytes;
    const char* says;
  };
  const auto f64 = [](const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":"F64","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const std::string x = R"("x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]})";
  Bytes long_header = File("{}");
  long_header[7] = std::byte{0x7f};
  Bytes short_header = File("{}");
  short_header[0] = std::byte{9};
  const Case cases[] = {
      {{}, "truncated: it ends within the header's length"},
      {Bytes(7), "truncated: it ends within the header's length"},
      {Bytes(8), "is not in .safetensors format"},
      {File("\x93NUMPY"), "is not in .safetensors format"},
      {File("[]"), "is not in .safetensors format"},
      {long_header, "is not in .safetensors format"},
      {short_header, "is truncated: it ends within the header"},
      {File("{"), "it is not JSON"},
      {File("{} x"), "it is not JSON"},
      {File(std::string("{}\0", 3)), "it is not JSON"},
      {File("{\"\xff\":1}"), "it is not JSON"},
      {File("{" + x + "," + x + "}", eight), "has two fields `x`"},
      {File(R"({"__metadata__":{"a":1}})"), "has damaged metadata"},
      {File(R"({"__metadata__":[]})"), "has damaged metadata"},
      {File(R"({"x":1})"), "field `x` has no dtype, shape and data_offsets"},
      {File(R"({"x":{"dtype":"F64","shape":[1]}})"), "field `x` has no dtype, shape and data_offsets"},
      {File(R"({"x":{"dtype":3,"shape":[1],"data_offsets":[0,8]}})", eight), "has no dtype"},
      {File(R"({"x":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})", eight),
       "entries of type `C64`: expected bools"},
      {File(f64("[-1]", "[0,8]"), eight), "has a damaged shape"},
      {File(f64("[1.0]", "[0,8]"), eight), "has a damaged shape"},
      {File(f64("[18446744073709551615]", "[0,8]"), eight), "has a damaged shape"},
      {File(f64("[1]", "[8,0]"), eight), "has damaged data_offsets"},
      {File(f64("[1]", "[0]"), eight), "has damaged data_offsets"},
      {File(f64("[1]", "[0,-8]"), eight), "has damaged data_offsets"},
      {File(f64("[1]", "[0,8,16]"), eight), "has damaged data_offsets"},
      {File(f64("[2]", "[0,16]"), eight), "ends at byte 16 of the data, which has 8: it is truncated"},
      {File(f64("[2]", "[0,8]"), eight), "is float64[2] and needs 16 bytes, found 8"},
      {File(f64("[0]", "[0,8]"), eight), "needs 0 bytes, found 8"},
      {File(f64("[4294967296,4294967296]", "[0,0]")), "needs too many bytes"},
      {File(f64("[2305843009213693952]", "[0,0]")), "needs too many bytes"},
      {File(f64("[1]", "[0,8]"), sixteen), "8 bytes at the end belong to no field"},
      {File(f64("[1]", "[8,16]"), sixteen), "8 bytes before field `x` belong to no field"},
      {File("{" + x + R"(,"y":{"dtype":"F64","shape":[1],"data_offsets":[4,12]}})", sixteen), "overlaps another"},
      {File(R"({"x":{"dtype":"U64","shape":[2],"data_offsets":[0,16]}})", eight + std::string(7, '\0') + "\x80"),
       "holds a uint64 of 2^63 or more: field `x`, entry 1"},
  };
  for (const Case& c : cases) {
    const std::string message = Message(c.bytes);
    EXPECT_TRUE(message.starts_with("file `x` ")) << c.says << ": " << message;
    EXPECT_NE(message.find(c.says), message.npos) << c.says << ": " << message;
  }
  EXPECT_EQ(Message(File(f64("[0,4294967296,4294967296]", "[0,0]"))), "");  // empty, whatever the other extents
}

TEST(Safetensors, DeepOrLongHeadersEndInMessages) {
  EXPECT_NE(Message(File("{\"x\":" + std::string(1'000'000, '['))), "");
  EXPECT_NE(Message(File("{\"x\":" + std::string(500'000, '[') + std::string(500'000, ']') + "}")), "");
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const Bytes bytes = PrintSafetensors(Samples());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(Message(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size))), "") << size;
  }
}

// Whatever stands in the bytes, what is read holds as many entries as it says, and prints and reads as itself.
TEST(Safetensors, DamageNeverCrashes) {
  const Bytes whole = PrintSafetensors(Samples(), {{"a", "b"}});
  std::mt19937 random(7);
  int read = 0, refused = 0;
  const auto judge = [&](const Bytes& bytes) {
    const Result<std::vector<Array>> arrays = ParseSafetensors(bytes, "x");
    (arrays.ok() ? read : refused) += 1;
    if (!arrays.ok()) return;
    for (const Array& a : *arrays) ASSERT_EQ(a.data.size(), static_cast<std::size_t>(Count(a)) * SizeOf(a.dtype));
    const Result<std::vector<Array>> again = ParseSafetensors(PrintSafetensors(*arrays), "x");
    ASSERT_TRUE(again.ok()) << again.message();
    ASSERT_EQ(again->size(), arrays->size());
    for (std::size_t k = 0; k < arrays->size(); ++k) ASSERT_TRUE(Same((*again)[k], (*arrays)[k]));
  };
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes bytes = whole;
      bytes[at] ^= std::byte{1} << bit;
      judge(bytes);
    }
  }
  for (int k = 0; k < 5000; ++k) {
    Bytes bytes = whole;
    for (unsigned n = random() % 6 + 1; n-- > 0;) bytes[random() % bytes.size()] = std::byte(random() % 256);
    judge(bytes);
  }
  EXPECT_GT(read, 100);  // entries and names may change unseen
  EXPECT_GT(refused, 1000);
}

TEST(Safetensors, NamesThatCannotBeWritten) {
  const std::string path = ::testing::TempDir() + "/names.safetensors";
  const Array a = MakeDoubles("a", {1}, {1});
  EXPECT_EQ(WriteSafetensors(path, {a, a}).message(), "cannot write `" + path + "`: two fields are called `a`");
  EXPECT_NE(WriteSafetensors(path, {MakeDoubles("__metadata__", {}, {1})}).message().find("can be called"),
            std::string::npos);
  EXPECT_NE(WriteSafetensors(path, {MakeDoubles("\xff", {}, {1})}).message().find("is not UTF-8"), std::string::npos);
}

TEST(Safetensors, Files) {
  const std::string path = ::testing::TempDir() + "/a.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, Samples()).ok());
  const Result<std::vector<Array>> back = ReadArrays(path);
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_EQ(back->size(), Samples().size());
  EXPECT_EQ(ReadSafetensors("/nowhere/a.safetensors").message(), "file `/nowhere/a.safetensors` does not exist");
}

}  // namespace
}  // namespace amo::runtime
