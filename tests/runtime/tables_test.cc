// SPDX-License-Identifier: Apache-2.0
// Tables of made-up files and made-up caches: which sources a problem has, fields, splits, and what is said of files
// that are missing, damaged or not what the program declares.
#include "runtime/tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <span>
#include <tuple>

#include "compiler/ir.h"
#include "lang/builtins.h"
#include "runtime/dataset.h"
#include "runtime/file.h"
#include "runtime/npy.h"
#include "runtime/npz.h"
#include "runtime/output_file.h"

namespace amo::runtime {
namespace {

using compiler::Elem;
using compiler::Role;
using Doubles = std::vector<double>;
using Shape = std::vector<std::int64_t>;

void ExpectSays(const std::string& message, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), message.npos) << "`" << part << "` is not in: " << message;
}

// 0, 1, 2, … in the given shape.
Array Counting(const std::string& name, const Shape& shape) {
  Array array = MakeArray(name, DType::kFloat64, shape);
  for (std::int64_t i = 0; i < Count(array); ++i) array.as<double>()[i] = static_cast<double>(i);
  return array;
}

std::string Idx(char type, const Shape& shape, const std::string& data) {
  std::string text{'\0', '\0', type, static_cast<char>(shape.size())};
  for (std::int64_t extent : shape) {
    for (int shift : {24, 16, 8, 0}) text += static_cast<char>(extent >> shift & 0xFF);
  }
  return text + data;
}

void Put(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

// A variable of the environment for as long as this lives.
class Environment {
 public:
  Environment(const char* name, const std::optional<std::string>& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    Set(value);
  }
  ~Environment() { Set(old_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  void Set(const std::optional<std::string>& value) {
    if (value) {
      setenv(name_, value->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  const char* name_;
  std::optional<std::string> old_;
};

class Tables : public ::testing::Test {
 protected:
  Tables() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  TableMap Read(const std::vector<Source>& sources) const {
    Result<TableMap> tables = ReadTables(sources, folder_);
    EXPECT_TRUE(tables.ok()) << (tables.ok() ? "" : tables.message());
    return tables.ok() ? std::move(*tables) : TableMap{};
  }
  std::string Message(const std::vector<Source>& sources) const {
    const Result<TableMap> tables = ReadTables(sources, folder_);
    EXPECT_FALSE(tables.ok());
    return tables.ok() ? "" : tables.message();
  }

  // Five rows to train and two to test, 28 x 28; the last entry of image k is k, its label k.
  void PutMnist(const std::string& set, const Shape& image = {28, 28}) const {
    std::filesystem::create_directories(set);
    for (const auto& [part, rows, first] : {std::tuple("train", 5, 0), std::tuple("t10k", 2, 5)}) {
      std::string pixels, labels;
      for (int k = first; k < first + rows; ++k) {
        pixels += std::string(static_cast<std::size_t>(image[0] * image[1] - 1), '\0') + static_cast<char>(k);
        labels += static_cast<char>(k);
      }
      Put(set + "/" + part + "-images-idx3-ubyte", Idx(8, {rows, image[0], image[1]}, pixels));
      Put(set + "/" + part + "-labels-idx1-ubyte", Idx(8, {rows}, labels));
    }
  }

  const std::string folder_ =
      ::testing::TempDir() + "/tables " + ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

std::vector<Source> SourcesOfText(const std::string& text) {
  lang::Diagnostics diagnostics;
  const lang::Program program = lang::LoadText("a.amo", text, diagnostics);
  const lang::Problem problem = lang::Choose(program, {}, diagnostics);
  for (const lang::Diagnostic& d : diagnostics.all()) ADD_FAILURE() << d.message;
  return SourcesOf(problem);
}

// A program that draws fields by row (`rows`) and reads fields whole (`whole`), as Build would make it.
struct Use {
  std::string source, field;
  compiler::Type type;
};
compiler::Program Reading(const std::vector<Use>& whole, const std::vector<Use>& rows) {
  compiler::Program program;
  compiler::Builder data("data"), sample("sample");
  for (const Use& use : whole) {
    data.Output(use.field, data.Input("table/" + use.source + "/" + use.field, Role::kShared, use.type));
  }
  for (const Use& use : rows) {
    const std::string input = "row/r/" + use.field;
    program.rows.push_back({"r", use.source, use.field, input});
    sample.Output(use.field, sample.Input(input, Role::kInstance, use.type));
  }
  program.data_function = data.Finish();
  program.sample_function = sample.Finish();
  return program;
}

TEST_F(Tables, SourcesAreWhatTheProblemReads) {
  const std::vector<Source> sources = SourcesOfText(R"(
problem p
dim n = 3
data      S : real[n, n] from "covariance.npy"
data      qp from "qp.npz"
data      q, b : real[n] from qp
data      A : real[n, n] from qp.A
parameter w : real[n] from "start.npz"
hidden    r from mnist
hidden    l : int from mnist.label
hidden    s from qp
context   x : real[n] from "points.npy"
context   z : real[n] ~ normal(0, 1)
let       h = 2 * x
network   g(v : real[n]) -> real[n] = linear from "g.safetensors"
variable  y : real[n]
minimize  sumsq(y - x) + sumsq(g(y))
)");
  std::vector<std::string> names;
  for (const Source& s : sources) names.push_back(s.name + (s.registered ? " registered" : ""));
  std::sort(names.begin(), names.end());
  const std::vector<std::string> expected{"covariance.npy", "g.safetensors", "mnist registered",
                                          "points.npy",     "qp.npz",        "start.npz"};
  EXPECT_EQ(names, expected);
  for (const Source& s : sources) {
    if (s.name == "points.npy") { EXPECT_EQ(s.asked, std::vector<std::string>{"x"}); }
    if (s.name == "qp.npz") { EXPECT_EQ(s.asked, std::vector<std::string>{""}); }
    EXPECT_LT(s.span.begin, s.span.end);
  }
}

TEST_F(Tables, ANameThatIsDeclaredIsNoRegisteredSet) {
  const std::vector<Source> sources = SourcesOfText(R"(
problem p
data     mnist from "mine.npz"
data     again from mnist
hidden   r from again
variable y : real
minimize y ^ 2
)");
  ASSERT_EQ(sources.size(), 1U);
  EXPECT_EQ(sources[0].name, "mine.npz");
  EXPECT_FALSE(sources[0].registered);
}

TEST_F(Tables, SourcesOfOtherProblemsAreLeftOut) {
  const std::vector<Source> sources = SourcesOfText(R"(
data     shared : real from "shared.npy"
problem a
data     t : real from "a.npy"
variable y : real
minimize (y - t) ^ 2
problem b
data     u : real from "b.npy"
variable y : real
minimize (y - u) ^ 2
)");
  std::vector<std::string> names;
  for (const Source& s : sources) names.push_back(s.name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"b.npy", "shared.npy"}));
}

TEST_F(Tables, FieldsAreNamedByTheFileOrByWhoAsks) {
  ASSERT_TRUE(WriteNpz(Path("t.npz"), {Counting("a", {4, 2}), Counting("b", {4})}).ok());
  ASSERT_TRUE(WriteNpy(Path("points.npy"), Counting("", {4, 3})).ok());
  Put(Path("named.csv"), "u,v\n1,2\n3,4\n");
  Put(Path("plain.csv"), "1,2\n3,4\n");
  Put(Path("one.csv"), "u\n1\n3\n");
  const TableMap tables = Read({{"t.npz", false, {}, {"x"}},
                                {"points.npy", false, {}, {"x", ""}},
                                {"named.csv", false, {}, {""}},
                                {"plain.csv", false, {}, {"x"}},
                                {"one.csv", false, {}, {"x"}}});
  const auto fields = [&](const std::string& source) {
    std::vector<std::string> names;
    for (const auto& [name, array] : tables.at(source).fields) {
      names.push_back(name);
      EXPECT_EQ(array.name, name);
    }
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(fields("t.npz"), (Names{"a", "b"}));
  EXPECT_EQ(fields("points.npy"), (Names{"points", "x"}));
  EXPECT_EQ(ToDoubles(tables.at("points.npy").fields.at("x")), ToDoubles(Counting("x", {4, 3})));
  EXPECT_EQ(ToDoubles(tables.at("points.npy").fields.at("points")), ToDoubles(Counting("x", {4, 3})));
  EXPECT_EQ(fields("named.csv"), (Names{"u", "v"}));
  EXPECT_EQ(fields("plain.csv"), (Names{"x"}));
  EXPECT_EQ(fields("one.csv"), (Names{"u"}));
  EXPECT_EQ(ToDoubles(tables.at("named.csv").fields.at("v")), (Doubles{2, 4}));
  EXPECT_EQ(fields("t.npz").size(), 2U);
}

TEST_F(Tables, SplitsAreDisjointAndCoverTheRows) {
  for (std::int64_t rows = 1; rows <= 250; ++rows) {
    ASSERT_TRUE(WriteNpy(Path("x.npy"), Counting("", {rows})).ok());
    const TableData t = Read({{"x.npy", false, {}, {}}}).at("x.npy");
    const std::int64_t test_rows = t.rows - t.train_rows - t.validation_rows;
    EXPECT_EQ(t.rows, rows);
    if (rows < 3) {
      EXPECT_EQ(t.train_rows, rows);
      EXPECT_EQ(t.validation_rows, 0);
      continue;
    }
    EXPECT_GE(t.train_rows, 1);
    EXPECT_GE(t.validation_rows, 1);
    EXPECT_EQ(test_rows, t.validation_rows);
    if (rows >= 10) { EXPECT_NEAR(static_cast<double>(t.train_rows), 0.8 * static_cast<double>(rows), 1.01) << rows; }
  }
}

TEST_F(Tables, MissingAndTruncatedFilesAreNamed) {
  ExpectSays(Message({{"absent.npz", false, {}, {}}}), {Path("absent.npz"), "does not exist"});
  ASSERT_TRUE(WriteNpy(Path("x.npy"), Counting("", {4, 3})).ok());
  const std::vector<std::byte> whole = *ReadBytes(Path("x.npy"));
  ASSERT_TRUE(WriteFile(Path("x.npy"), std::span(whole).first(whole.size() - 8)).ok());
  ExpectSays(Message({{"x.npy", false, {}, {"x"}}}), {"x.npy", "is truncated", "float64[4,3]"});
  ExpectSays(Message({{"x.mat", false, {}, {}}}), {"x.mat", "ending"});
}

TEST_F(Tables, AbsolutePathsStayWhole) {
  ASSERT_TRUE(WriteNpy(Path("x.npy"), Counting("", {4})).ok());
  const Result<TableMap> tables = ReadTables({{Path("x.npy"), false, {}, {}}}, "/nowhere");
  ASSERT_TRUE(tables.ok()) << tables.message();
  EXPECT_EQ(tables->at(Path("x.npy")).rows, 4);
}

TEST_F(Tables, WhatIsNotFiniteIsNamedByRowAndEntry) {
  Array x = Counting("x", {4, 3}), v = Counting("v", {4});
  x.as<double>()[7] = std::numeric_limits<double>::quiet_NaN();
  v.as<double>()[3] = -std::numeric_limits<double>::infinity();
  ASSERT_TRUE(WriteNpz(Path("t.npz"), {Counting("a", {4}), x}).ok());
  ASSERT_TRUE(WriteNpy(Path("other.npy"), x).ok());
  ASSERT_TRUE(WriteNpz(Path("v.npz"), {v}).ok());
  Put(Path("t.csv"), "a,b\n1,2\n3,nan\n");
  ExpectSays(Message({{"t.npz", false, {}, {}}}), {Path("t.npz"), "row 2, entry 1 of field `x` is nan"});
  ExpectSays(Message({{"other.npy", false, {}, {"z"}}}), {Path("other.npy"), "row 2, entry 1 of field `z` is nan"});
  ExpectSays(Message({{"v.npz", false, {}, {}}}), {Path("v.npz"), "row 3 of field `v` is -inf"});
  ExpectSays(Message({{"t.csv", false, {}, {}}}), {Path("t.csv"), "row 1 of field `b` is nan"});
}

TEST_F(Tables, TypesFollowTheStoredEntries) {
  const Array flags = Convert(MakeDoubles("flags", {2, 2}, {1, 0, 0, 1}), DType::kBool);
  const Array counts = Convert(MakeDoubles("counts", {2}, {1, 2}), DType::kInt32);
  const Array bytes = Convert(MakeDoubles("bytes", {2, 1, 3}, {1, 2, 3, 4, 5, 6}), DType::kUint8);
  const Array narrow = Convert(MakeDoubles("narrow", {2, 1}, {1, 2}), DType::kFloat32);
  ASSERT_TRUE(WriteNpz(Path("t.npz"), {flags, counts, bytes, narrow, MakeDoubles("base", {}, {100})}).ok());
  const TableMap tables = Read({{"t.npz", false, {}, {}}});
  EXPECT_EQ(tables.at("t.npz").rows, 2);  // `base` has no rows and no say
  const compiler::Tables expected = {{"t.npz",
                                      {{"base", {Elem::kReal, {}}},
                                       {"bytes", {Elem::kInt, {1, 3}}},
                                       {"counts", {Elem::kInt, {}}},
                                       {"flags", {Elem::kBool, {2}}},
                                       {"narrow", {Elem::kReal, {1}}}}}};
  EXPECT_EQ(TableTypes(tables), expected);
  const std::map<std::string, std::int64_t> rows = TableRows(tables);
  EXPECT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows.at("table/t.npz/bytes"), 2);
  EXPECT_FALSE(rows.contains("table/t.npz/base"));
}

TEST_F(Tables, OnlyFieldsThatAreDrawnByRowMustAgree) {
  ASSERT_TRUE(WriteNpz(Path("t.npz"), {Counting("A", {20, 3}), Counting("b", {20}), Counting("G", {7, 3}),
                                       Counting("none", {0, 3}), Counting("base", {})})
                  .ok());
  TableMap tables = Read({{"t.npz", false, {}, {}}});
  const TableData& table = tables.at("t.npz");
  EXPECT_EQ(table.rows, 0);
  const compiler::Type three{Elem::kReal, {3}};
  const Use a{"t.npz", "A", three}, b{"t.npz", "b", {}}, g{"t.npz", "G", three};
  const Use whole_a{"t.npz", "A", {Elem::kReal, {20, 3}}}, whole_g{"t.npz", "G", {Elem::kReal, {7, 3}}};
  EXPECT_TRUE(CheckRows(Reading({whole_a, whole_g}, {}), tables).ok());
  EXPECT_EQ(table.rows, 0);
  const Result<Done> agree = CheckRows(Reading({whole_g}, {a, b}), tables);
  EXPECT_TRUE(agree.ok()) << (agree.ok() ? "" : agree.message());
  EXPECT_EQ(table.rows, 20);
  EXPECT_EQ(table.train_rows, 16);
  EXPECT_EQ(table.validation_rows, 2);
  ExpectSays(CheckRows(Reading({}, {a, g}), tables).message(),
             {"`t.npz`", "field `A` has 20 rows", "field `G` has 7"});
  ExpectSays(CheckRows(Reading({}, {{"t.npz", "base", {}}}), tables).message(), {"`base`", "no rows"});
  ExpectSays(CheckRows(Reading({}, {{"t.npz", "none", three}}), tables).message(), {"`none`", "at least one row"});
  ExpectSays(CheckRows(Reading({}, {{"t.npz", "c", three}}), tables).message(), {"no field `c`", "`A`", "`G`"});
  ExpectSays(CheckRows(Reading({}, {{"u.npz", "c", three}}), tables).message(), {"`u.npz`"});
}

TEST_F(Tables, ADeclaredTypeIsHeldAgainstTheFile) {
  const Array flags = Convert(MakeDoubles("flags", {4}, {1, 0, 0, 1}), DType::kBool);
  const Array counts = Convert(MakeDoubles("counts", {4}, {1, 2, 3, 4}), DType::kInt64);
  std::filesystem::create_directories(Path("deep"));
  const std::string t = "deep/t.npz";
  ASSERT_TRUE(WriteNpz(Path(t), {Counting("S", {4, 3}), flags, counts, MakeDoubles("part", {4}, {0, 1, 2.5, 3}),
                                 MakeDoubles("bits", {4}, {0, 1, 1, 0}), MakeDoubles("huge", {4}, {0, 0, 0, 1e300})})
                  .ok());
  const TableMap tables = Read({{t, false, {}, {}}});
  const auto whole = [&](const std::string& field, Elem elem, const Shape& shape) {
    const Result<Done> checked = CheckDeclared(Reading({{t, field, {elem, shape}}}, {}), tables);
    return checked.ok() ? "" : checked.message();
  };
  const auto row = [&](const std::string& field, Elem elem, const Shape& shape) {
    const Result<Done> checked = CheckDeclared(Reading({}, {{t, field, {elem, shape}}}), tables);
    return checked.ok() ? "" : checked.message();
  };
  EXPECT_EQ(whole("S", Elem::kReal, {4, 3}), "");
  EXPECT_EQ(row("S", Elem::kReal, {3}), "");
  ExpectSays(whole("S", Elem::kReal, {3, 3}), {"`deep/t.npz`", "`S`", "float64[4,3]", "real[3,3]"});
  ExpectSays(whole("S", Elem::kReal, {12}), {"float64[4,3]", "real[12]"});
  ExpectSays(row("S", Elem::kReal, {4}), {"`deep/t.npz`", "`S`", "float64[4,3]", "real[4]"});
  ExpectSays(row("S", Elem::kReal, {4, 3}), {"float64[4,3]", "real[4,3]"});
  ExpectSays(row("S", Elem::kReal, {}), {"float64[4,3]", "real"});
  EXPECT_EQ(whole("flags", Elem::kBool, {4}), "");
  ExpectSays(whole("flags", Elem::kReal, {4}), {"`flags`", "bool[4]", "real[4]"});
  ExpectSays(row("flags", Elem::kInt, {}), {"`flags`", "bool[4]", "int"});
  EXPECT_EQ(whole("counts", Elem::kReal, {4}), "");
  EXPECT_EQ(whole("counts", Elem::kInt, {4}), "");
  EXPECT_EQ(row("bits", Elem::kBool, {}), "");
  EXPECT_EQ(row("bits", Elem::kInt, {}), "");
  ExpectSays(whole("part", Elem::kInt, {4}), {"row 2 of field `part` is 2.5", "no whole number", "int[4]"});
  ExpectSays(whole("counts", Elem::kBool, {4}), {"row 1 of field `counts` is 2", "neither 0 nor 1"});
  ExpectSays(whole("huge", Elem::kInt, {4}), {"row 3 of field `huge`", "2^53"});
  ExpectSays(whole("absent", Elem::kInt, {4}), {"`deep/t.npz`", "no field `absent`", "`S`"});
}

TEST_F(Tables, AParametersStartIsHeldAgainstTheFileToo) {
  ASSERT_TRUE(WriteNpy(Path("w.npy"), Counting("", {4})).ok());
  const TableMap tables = Read({{"w.npy", false, {}, {"w"}}});
  compiler::Program program;
  compiler::Builder start("start");
  start.Output("w", start.Input("table/w.npy/w", Role::kShared, {Elem::kReal, {5}}));
  program.start_function = start.Finish();
  ExpectSays(CheckDeclared(program, tables).message(), {"`w.npy`", "`w`", "float64[4]", "real[5]"});
}

TEST_F(Tables, ARegisteredSetComesFromTheCacheWithItsOwnTestRows) {
  const Environment cache("AMO_CACHE", folder_), fetch("AMO_FETCH_DATA", std::nullopt);
  PutMnist(Path("data/mnist"));
  const TableMap tables = Read({{"mnist", true, {}, {""}}});
  const TableData& mnist = tables.at("mnist");
  EXPECT_EQ(mnist.rows, 7);
  EXPECT_EQ(mnist.train_rows, 4);
  EXPECT_EQ(mnist.validation_rows, 1);
  EXPECT_EQ(Describe(mnist.fields.at("image")), "uint8[7,784]");
  EXPECT_EQ(ToDoubles(mnist.fields.at("label")), (Doubles{0, 1, 2, 3, 4, 5, 6}));
  const Doubles image = ToDoubles(mnist.fields.at("image"));
  for (std::size_t k = 0; k < 7; ++k) EXPECT_EQ(image[784 * k + 783], static_cast<double>(k));
  EXPECT_EQ(TableTypes(tables).at("mnist"), RegisteredTypes().at("mnist"));
  const Use pixels{"mnist", "image", {Elem::kReal, {784}}}, label{"mnist", "label", {Elem::kInt, {}}};
  EXPECT_TRUE(CheckDeclared(Reading({}, {pixels, label}), tables).ok());
  ExpectSays(CheckDeclared(Reading({}, {{"mnist", "image", {Elem::kReal, {28, 28}}}}), tables).message(),
             {"`mnist`", "`image`", "real[28,28]"});
}

TEST_F(Tables, TheLastTwentiethOfTheTrainingRowsValidates) {
  const Environment cache("AMO_CACHE", folder_), fetch("AMO_FETCH_DATA", std::nullopt);
  const auto split = [&](int train_rows, int test_rows) {
    const std::string set = Path("data/mnist");
    std::filesystem::create_directories(set);
    for (const auto& [part, rows] : {std::pair("train", train_rows), std::pair("t10k", test_rows)}) {
      const auto count = static_cast<std::size_t>(rows);
      Put(set + "/" + part + "-images-idx3-ubyte", Idx(8, {rows, 28, 28}, std::string(784 * count, '\1')));
      Put(set + "/" + part + "-labels-idx1-ubyte", Idx(8, {rows}, std::string(count, '\1')));
    }
    const TableData t = Read({{"mnist", true, {}, {}}}).at("mnist");
    EXPECT_EQ(t.rows, train_rows + test_rows);
    return std::pair(t.train_rows, t.validation_rows);
  };
  using Rows = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(split(200, 30), Rows(190, 10));
  EXPECT_EQ(split(1, 1), Rows(1, 0));
  EXPECT_EQ(split(120000, 10), Rows(115000, 5000));
}

TEST_F(Tables, ASetWithoutASplitOfItsOwnIsSplitLikeAFile) {
  const Environment cache("AMO_CACHE", std::nullopt), xdg("XDG_CACHE_HOME", folder_);
  std::filesystem::create_directories(Path("amo/data/digits"));
  const Array image = Convert(Counting("image", {10, 64}), DType::kFloat32);
  const Array label = Convert(Counting("label", {10}), DType::kInt64);
  ASSERT_TRUE(WriteNpz(Path("amo/data/digits/digits.npz"), {image, label}).ok());
  const TableData digits = Read({{"digits", true, {}, {}}}).at("digits");
  EXPECT_EQ(digits.rows, 10);
  EXPECT_EQ(digits.train_rows, 8);
  EXPECT_EQ(digits.validation_rows, 1);
  EXPECT_EQ(Describe(digits.fields.at("image")), "float32[10,64]");
  EXPECT_EQ(digits.fields.at("label").data, label.data);
}

TEST_F(Tables, ASetThatIsNotTheRegisteredOneIsNamed) {
  const Environment cache("AMO_CACHE", folder_), fetch("AMO_FETCH_DATA", std::nullopt);
  const std::vector<Source> mnist{{"mnist", true, {}, {}}}, digits{{"digits", true, {}, {}}};
  PutMnist(Path("data/mnist"), {28, 27});
  ExpectSays(Message(mnist), {"`mnist`", "`image`", "uint8[5,28,27]", "real[784]"});
  PutMnist(Path("data/mnist"));
  Put(Path("data/mnist/t10k-labels-idx1-ubyte"), Idx(8, {3}, "abc"));
  ExpectSays(Message(mnist), {"`mnist`", "`image` has 7 rows, 2", "`label` has 8, 3"});
  Put(Path("data/mnist/t10k-labels-idx1-ubyte"), Idx(8, {3}, "ab"));
  ExpectSays(Message(mnist), {"t10k-labels-idx1-ubyte", "is truncated"});
  Put(Path("data/mnist/t10k-labels-idx1-ubyte"), Idx(9, {2}, "ab"));
  ExpectSays(Message(mnist), {"`label`", "uint8 to train", "int32 to test"});
  std::filesystem::create_directories(Path("data/digits"));
  ASSERT_TRUE(WriteNpz(Path("data/digits/digits.npz"), {Counting("image", {3, 64}), Counting("label", {3})}).ok());
  ExpectSays(Message(digits), {"`digits`", "`label`", "float64[3]", "int"});
  ASSERT_TRUE(WriteNpz(Path("data/digits/digits.npz"), {Counting("image", {3, 64}), Counting("other", {3})}).ok());
  ExpectSays(Message(digits), {"digits.npz", "no field `label`"});
  ExpectSays(Message({{"mnits", true, {}, {}}}), {"`mnits`", "`mnist`", "`digits`"});
}

TEST_F(Tables, AMissingSetIsFetchedOrSaysHow) {
  const Environment cache("AMO_CACHE", folder_);
  const std::vector<Source> mnist{{"mnist", true, {}, {}}};
  {
    const Environment fetch("AMO_FETCH_DATA", std::nullopt);
    EXPECT_EQ(Message(mnist), "data set `mnist` is not on this machine: run `tools/fetch_data.py mnist`");
    PutMnist(Path("data/mnist"));
    std::filesystem::remove(Path("data/mnist/train-labels-idx1-ubyte"));
    ExpectSays(Message(mnist), {"lacks `train-labels-idx1-ubyte`", Path("data/mnist"), "tools/fetch_data.py mnist"});
  }
  PutMnist(Path("elsewhere mnist"));
  const std::string program = Path("the fetcher");
  const auto script = [&](const std::string& text) {
    Put(program, "#!/bin/sh\n" + text);
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  };
  const Environment fetch("AMO_FETCH_DATA", program);
  ExpectSays(Message(mnist), {"`mnist` could not be fetched", program, "cannot be run"});
  script("echo \"" + folder_ + "/elsewhere $1\"\n");
  EXPECT_EQ(Read(mnist).at("mnist").rows, 7);
  script("exit 3\n");
  ExpectSays(Message(mnist), {"`mnist` could not be fetched", program + " mnist", "code 3"});
  script("kill -9 $$\n");
  ExpectSays(Message(mnist), {"could not be fetched", "signal 9"});
  script("echo /nowhere\n");
  ExpectSays(Message(mnist), {"could not be fetched", "/nowhere", "train-images-idx3-ubyte"});
  PutMnist(Path("data/mnist"));
  EXPECT_EQ(Read(mnist).at("mnist").rows, 7);  // a set that is there is not fetched
}

// The language's own table, which the checker types by, says nothing else than the manifest.
TEST(RegisteredSets, TheCheckerKnowsThemAsTheManifestDoes) {
  const compiler::Tables types = RegisteredTypes();
  EXPECT_EQ(types.at("mnist").at("image"), (compiler::Type{Elem::kReal, {784}}));
  EXPECT_EQ(types.at("mnist").at("label"), (compiler::Type{Elem::kInt, {}}));
  EXPECT_EQ(types.at("digits").at("image"), (compiler::Type{Elem::kReal, {64}}));
  EXPECT_EQ(types.at("digits").at("label"), (compiler::Type{Elem::kInt, {}}));
  for (const lang::DataSet& set : lang::DataSets()) {
    ASSERT_TRUE(types.contains(std::string(set.name))) << set.name;
    const auto& fields = types.at(std::string(set.name));
    EXPECT_EQ(fields.size(), set.fields.size()) << set.name;
    for (const lang::Field& field : set.fields) {
      ASSERT_TRUE(fields.contains(std::string(field.name))) << set.name << "." << field.name;
      const compiler::Type& type = fields.at(std::string(field.name));
      EXPECT_EQ(type.elem == Elem::kInt, field.type.elem == lang::Elem::kInt) << set.name << "." << field.name;
      Shape shape;
      for (const lang::Dim& dim : field.type.dims) shape.push_back(lang::FixedValue(dim));
      EXPECT_EQ(type.shape, shape) << set.name << "." << field.name;
    }
  }
}

}  // namespace
}  // namespace amo::runtime
