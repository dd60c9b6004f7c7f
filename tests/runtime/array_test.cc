// SPDX-License-Identifier: Apache-2.0
// Files to arrays and back: round trips, the layouts other programs write, and what is said of damaged files.
#include "runtime/array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>

#include "runtime/csv.h"
#include "runtime/file.h"
#include "runtime/idx.h"
#include "runtime/npy.h"
#include "runtime/npz.h"
#include "runtime/output_file.h"
#include "runtime/read_array.h"

namespace amo::runtime {
namespace {

using Bytes = std::vector<std::byte>;

Bytes ToBytes(std::string_view text) {
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string Path(const std::string& name) { return ::testing::TempDir() + "/" + name; }

// A .npy as NumPy writes it.
Bytes Npy(const std::string& descr, bool fortran, const std::string& shape, std::string_view data, int version = 1) {
  const std::string header =
      "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }\n";
  std::string text = "\x93NUMPY";
  text += {static_cast<char>(version), '\0', static_cast<char>(header.size()), '\0'};
  if (version > 1) text += std::string(2, '\0');
  return ToBytes(text + header + std::string(data));
}

template <class T>
std::string Raw(std::initializer_list<T> values, bool swap = false) {
  std::string raw;
  for (T v : values) {
    std::string entry(sizeof v, '\0');
    std::memcpy(entry.data(), &v, sizeof v);
    raw += swap ? std::string(entry.rbegin(), entry.rend()) : entry;
  }
  return raw;
}

void ExpectSays(const std::string& message, std::initializer_list<const char*> parts) {
  for (const char* part : parts)
    EXPECT_NE(message.find(part), message.npos) << "`" << part << "` is not in: " << message;
}

std::vector<Array> Samples() {
  std::vector<Array> arrays{MakeDoubles("scalar", {}, {2.5}), MakeDoubles("line", {3}, {1, -2, 0.1}),
                            MakeDoubles("table", {2, 3}, {1, 2, 3, 4, 5, 6}), MakeDoubles("nothing", {0, 4}, {}),
                            MakeDoubles("long name with ü", {1, 1, 2, 1}, {7, 8})};
  for (DType t : {DType::kBool, DType::kUint8, DType::kInt32, DType::kInt64, DType::kFloat32}) {
    arrays.push_back(Convert(MakeDoubles("as " + std::string(NameOf(t)), {2, 2}, {1, 0, 1, 1}), t));
  }
  return arrays;
}

void ExpectEqual(const Array& a, const Array& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(Describe(a), Describe(b));
  EXPECT_EQ(a.data, b.data);
}

TEST(Array, NpyRoundTrips) {
  for (const Array& a : Samples()) {
    const Bytes bytes = PrintNpy(a);
    EXPECT_EQ((bytes.size() - a.data.size()) % 64, 0U);
    const Result<Array> back = ParseNpy(bytes, a.name, "x");
    ASSERT_TRUE(back.ok()) << back.message();
    ExpectEqual(*back, a);
  }
  const std::string path = Path("values.npy");
  ASSERT_TRUE(WriteNpy(path, Samples()[2]).ok());
  const Result<std::vector<Array>> read = ReadArrays(path);
  ASSERT_TRUE(read.ok()) << read.message();
  EXPECT_EQ((*read)[0].name, "values");
  EXPECT_EQ(ToDoubles((*read)[0]), ToDoubles(Samples()[2]));
}

TEST(Array, NpzRoundTripsStoredAndDeflated) {
  std::vector<Array> arrays = Samples();
  arrays.push_back(MakeDoubles("large", {300, 200}, std::vector<double>(60000, 0.25)));
  std::uintmax_t stored = 0;
  for (bool deflate : {false, true}) {
    const std::string path = Path(deflate ? "deflated.npz" : "stored.npz");
    const Result<Done> written = WriteNpz(path, arrays, deflate);
    ASSERT_TRUE(written.ok()) << written.message();
    const Result<std::vector<Array>> back = ReadArrays(path);
    ASSERT_TRUE(back.ok()) << back.message();
    ASSERT_EQ(back->size(), arrays.size());
    for (std::size_t k = 0; k < arrays.size(); ++k) ExpectEqual((*back)[k], arrays[k]);
    if (!deflate) stored = std::filesystem::file_size(path);
  }
  EXPECT_LT(std::filesystem::file_size(Path("deflated.npz")), stored / 10);
}

TEST(Array, FortranOrderBecomesRowMajor) {
  const Result<Array> a = ParseNpy(Npy("<i4", true, "(2, 3)", Raw<std::int32_t>({1, 4, 2, 5, 3, 6})), "a", "x");
  ASSERT_TRUE(a.ok()) << a.message();
  EXPECT_EQ(ToDoubles(*a), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  const Result<Array> b = ParseNpy(Npy("<u2", true, "(2, 1, 2)", Raw<std::uint16_t>({1, 3, 2, 65535})), "b", "x");
  ASSERT_TRUE(b.ok()) << b.message();
  EXPECT_EQ(ToDoubles(*b), (std::vector<double>{1, 2, 3, 65535}));
}

TEST(Array, EveryStoredTypeIsRead) {
  const auto values = [](const std::string& descr, const std::string& data, int version = 1) {
    const Result<Array> a = ParseNpy(Npy(descr, false, "(2,)", data, version), "a", "x");
    EXPECT_TRUE(a.ok()) << descr << (a.ok() ? "" : a.message());
    return a.ok() ? ToDoubles(*a) : std::vector<double>{};
  };
  using Doubles = std::vector<double>;
  EXPECT_EQ(values("|b1", Raw<std::uint8_t>({0, 1})), (Doubles{0, 1}));
  EXPECT_EQ(values("|u1", Raw<std::uint8_t>({0, 255})), (Doubles{0, 255}));
  EXPECT_EQ(values("|i1", Raw<std::int8_t>({-1, 127})), (Doubles{-1, 127}));
  EXPECT_EQ(values("<i2", Raw<std::int16_t>({-300, 7})), (Doubles{-300, 7}));
  EXPECT_EQ(values("<u4", Raw<std::uint32_t>({4000000000U, 7})), (Doubles{4e9, 7}));
  EXPECT_EQ(values("<i8", Raw<std::int64_t>({-5, 7})), (Doubles{-5, 7}));
  EXPECT_EQ(values("<u8", Raw<std::uint64_t>({5, 7})), (Doubles{5, 7}));
  EXPECT_EQ(values("<f2", Raw<std::uint16_t>({0x3C00, 0xC100})), (Doubles{1, -2.5}));
  EXPECT_EQ(values("<f2", Raw<std::uint16_t>({0x0001, 0x7C00})),
            (Doubles{std::ldexp(1, -24), std::numeric_limits<double>::infinity()}));
  EXPECT_EQ(values("<f4", Raw<float>({1.5F, -2})), (Doubles{1.5, -2}));
  EXPECT_EQ(values(">f8", Raw<double>({1.5, -2}, true)), (Doubles{1.5, -2}));
  EXPECT_EQ(values(">i4", Raw<std::int32_t>({-70000, 2}, true), 2), (Doubles{-70000, 2}));
}

TEST(Array, DamagedNpyIsNamed) {
  const auto message = [](const Bytes& bytes) {
    const Result<Array> a = ParseNpy(bytes, "a", "file `x.npy`");
    EXPECT_FALSE(a.ok());
    return a.ok() ? "" : a.message();
  };
  const std::string two = Raw<double>({1, 2});
  ExpectSays(message(ToBytes("hello")), {"file `x.npy`", "not in .npy format"});
  ExpectSays(message(Npy("<f8", false, "(3,)", two)),
             {"file `x.npy` is truncated", "float64[3]", "needs 24 bytes", "found 16"});
  ExpectSays(message(Npy("<f8", false, "(1,)", two)), {"is too long", "needs 8 bytes", "found 16"});
  ExpectSays(message(Npy("<f8", false, "(4611686018427387904, 4611686018427387904)", two)),
             {"is truncated", "too many"});
  ExpectSays(message(Npy("<c16", false, "(1,)", two)), {"`<c16`", "expected bools, ints or floats"});
  ExpectSays(message(Npy("|O", false, "(1,)", two)), {"`|O`"});
  ExpectSays(message(Npy("<f8", false, "(-1,)", two)), {"damaged shape"});
  ExpectSays(message(Npy("<f8", false, "(x,)", two)), {"damaged shape `x`"});
  ExpectSays(message(Npy("<u8", false, "(2,)", Raw<std::uint64_t>({1, ~0ULL}))), {"uint64", "entry 1"});
  ExpectSays(message(Npy("<f8", false, "(2,)", two, 9)), {".npy version 9"});
  const Bytes whole = Npy("<f8", false, "(2,)", two);
  for (std::size_t size = 0; size < whole.size(); ++size)
    message(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
}

TEST(Array, CorruptBytesNeverCrash) {
  std::mt19937 random(1);
  const Bytes npy = Npy("<f8", true, "(2, 2)", Raw<double>({1, 2, 3, 4}));
  const Bytes idx = ToBytes(std::string("\0\0\x08\x02\0\0\0\x02\0\0\0\x02", 12) + "abcd");
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    Bytes bytes = round % 2 ? npy : idx;
    const std::size_t count = 1 + random() % 3;
    for (std::size_t k = 0; k < count; ++k) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    const Result<Array> a = round % 2 ? ParseNpy(bytes, "a", "x") : ParseIdx(bytes, "a", "x");
    if (a.ok()) { EXPECT_EQ(a->data.size(), static_cast<std::size_t>(Count(*a)) * SizeOf(a->dtype)); }
    refused += !a.ok();
  }
  EXPECT_GT(refused, 1000);
}

TEST(Array, DamagedNpzIsNamed) {
  const std::string path = Path("damaged.npz");
  ASSERT_TRUE(WriteNpz(path, {MakeDoubles("weights", {64}, std::vector<double>(64, 3))}).ok());
  const Bytes whole = *ReadBytes(path);
  ASSERT_TRUE(WriteFile(path, Bytes(whole.begin(), whole.end() - 30)).ok());
  ExpectSays(ReadNpz(path).message(), {path.c_str(), "is not a whole .npz"});
  Bytes flipped = whole;
  flipped[300] ^= std::byte{1};
  ASSERT_TRUE(WriteFile(path, flipped).ok());
  ExpectSays(ReadNpz(path).message(), {"field `weights` of file `", path.c_str(), "is damaged"});
  ASSERT_TRUE(WriteFile(path, ToBytes("no zip at all")).ok());
  ExpectSays(ReadNpz(path).message(), {"is not a whole .npz"});
  ExpectSays(ReadNpz(Path("absent.npz")).message(), {"absent.npz` does not exist"});
}

TEST(Array, MissingAndUnknownFilesAreNamed) {
  for (const char* name : {"absent.npy", "absent.npz", "absent.csv", "absent.idx"}) {
    ExpectSays(ReadArrays(Path(name)).message(), {name, "does not exist"});
  }
  ExpectSays(ReadArrays("values.mat").message(), {"values.mat", "expected .npy"});
  ExpectSays(ReadBytes(::testing::TempDir()).message(), {"is not a file"});
  ExpectSays(WriteNpy("/nowhere/at/all.npy", Samples()[0]).message(), {"/nowhere/at/all.npy", "cannot write"});
  ExpectSays(WriteNpz("/nowhere/at/all.npz", Samples()).message(), {"/nowhere/at/all.npz", "cannot be written"});
}

TEST(Array, CsvWithNamesGivesColumns) {
  const Result<std::vector<Array>> a =
      ParseCsv("\xEF\xBB\xBFx, \"the, y\" ,z\r\n1,2,+3\r\n\r\n-4e1,nan,6\n", "data", "x");
  ASSERT_TRUE(a.ok()) << a.message();
  ASSERT_EQ(a->size(), 3U);
  EXPECT_EQ((*a)[1].name, "the, y");
  EXPECT_EQ(ToDoubles((*a)[0]), (std::vector<double>{1, -40}));
  EXPECT_EQ(ToDoubles((*a)[2]), (std::vector<double>{3, 6}));
  EXPECT_EQ(FirstNonFinite((*a)[1])->row, 1);
}

TEST(Array, CsvWithoutNamesGivesATable) {
  const std::string path = Path("table.csv");
  ASSERT_TRUE(WriteFile(path, ToBytes("1,2\n3,4\n5,6")).ok());
  const Result<std::vector<Array>> a = ReadArrays(path);
  ASSERT_TRUE(a.ok()) << a.message();
  EXPECT_EQ((*a)[0].name, "table");
  EXPECT_EQ(Describe((*a)[0]), "float64[3,2]");
  EXPECT_EQ(ToDoubles((*a)[0]), (std::vector<double>{1, 2, 3, 4, 5, 6}));
}

TEST(Array, DamagedCsvIsNamedByLineAndColumn) {
  const auto message = [](const char* text) { return ParseCsv(text, "d", "file `d.csv`").message(); };
  ExpectSays(message(""), {"file `d.csv` is empty"});
  ExpectSays(message("a,b\n1,2\n3\n"), {"1 cells in line 3", "expected 2"});
  ExpectSays(message("a,b\n1,2\n3,four\n"), {"`four` in line 3", "column `b`", "expected a number"});
  ExpectSays(message("1,2\n3,\n"), {"line 2, column 2", "expected a number"});
  ExpectSays(message("a,a\n1,2\n"), {"two columns `a`"});
}

TEST(Array, IdxIsBigEndian) {
  const std::string path = Path("train-labels-idx1-ubyte");
  ASSERT_TRUE(WriteFile(path, ToBytes(std::string("\0\0\x08\x01\0\0\0\x03", 8) + "\x01\x02\xFF")).ok());
  const Result<std::vector<Array>> labels = ReadArrays(path);
  ASSERT_TRUE(labels.ok()) << labels.message();
  EXPECT_EQ(ToDoubles((*labels)[0]), (std::vector<double>{1, 2, 255}));
  const auto read = [](char type, const std::string& data) {
    const Result<Array> a =
        ParseIdx(ToBytes(std::string("\0\0", 2) + type + std::string("\x02\0\0\0\x01\0\0\0\x02", 9) + data), "a", "x");
    EXPECT_TRUE(a.ok()) << (a.ok() ? "" : a.message());
    EXPECT_EQ(a->shape, (std::vector<std::int64_t>{1, 2}));
    return ToDoubles(*a);
  };
  using Doubles = std::vector<double>;
  EXPECT_EQ(read(0x09, Raw<std::int8_t>({-1, 3}, true)), (Doubles{-1, 3}));
  EXPECT_EQ(read(0x0B, Raw<std::int16_t>({-300, 3}, true)), (Doubles{-300, 3}));
  EXPECT_EQ(read(0x0C, Raw<std::int32_t>({-70000, 3}, true)), (Doubles{-70000, 3}));
  EXPECT_EQ(read(0x0D, Raw<float>({0.5F, 3}, true)), (Doubles{0.5, 3}));
  EXPECT_EQ(read(0x0E, Raw<double>({0.1, 3}, true)), (Doubles{0.1, 3}));
}

TEST(Array, DamagedIdxIsNamed) {
  const auto message = [](const std::string& bytes) { return ParseIdx(ToBytes(bytes), "a", "file `x.idx`").message(); };
  ExpectSays(message(std::string("\0\0\x08\x01\0\0\0\x03", 8) + "ab"),
             {"file `x.idx` is truncated", "uint8[3]", "needs 3 bytes", "found 2"});
  ExpectSays(message(std::string("\0\0\x08\x01\0\0\0\x01", 8) + "ab"), {"is too long"});
  ExpectSays(message(std::string("\0\0\x08\x03\0\0\0\x03", 8)), {"ends within the header"});
  ExpectSays(message(std::string("\0\0\x0A\x01\0\0\0\x03", 8)), {"unknown IDX type 0x0a"});
  ExpectSays(message("\x1F\x8Bxxxx"), {"gzip", "gunzip"});
  ExpectSays(message("nonsense"), {"is not in IDX format"});
}

TEST(Array, FirstNonFiniteIsFoundByRow) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Array table = MakeDoubles("x", {3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, nan, 9, nan, 1, 2});
  const std::optional<NonFinite> found = FirstNonFinite(table);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->row, 1);
  EXPECT_EQ(found->entry, 3);
  EXPECT_EQ(Describe(*found, table), "row 1, entry 3 of field `x` is nan");
  const Array narrow = Convert(MakeDoubles("y", {2}, {0, -HUGE_VAL}), DType::kFloat32);
  EXPECT_EQ(Describe(FirstNonFinite(narrow).value(), narrow), "row 1 of field `y` is -inf");
  EXPECT_FALSE(FirstNonFinite(MakeDoubles("z", {2}, {1, 2})).has_value());
  EXPECT_FALSE(FirstNonFinite(MakeDoubles("z", {0, 2}, {})).has_value());
  EXPECT_FALSE(FirstNonFinite(Convert(MakeDoubles("z", {2}, {1, 2}), DType::kInt64)).has_value());
}

}  // namespace
}  // namespace amo::runtime
