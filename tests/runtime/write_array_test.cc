// SPDX-License-Identifier: Apache-2.0
// Arrays to files of each format, read back by the readers; what a format cannot hold; full disks.
#include "runtime/write_array.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "runtime/npy.h"
#include "runtime/read_array.h"
#include "tests/runtime/scratch.h"

namespace amo::runtime {
namespace {

std::string MessageOf(const Result<Done>& result) { return result.ok() ? "" : result.message(); }

std::vector<Array> Several() {
  return {MakeDoubles("x", {2, 3}, {1, 0.1, -0.0, 1e300, NAN, -INFINITY}),
          Convert(MakeDoubles("n", {2}, {-5, 7}), DType::kInt64),
          Convert(MakeDoubles("ok", {2}, {0, 1}), DType::kBool),
          Convert(MakeDoubles("u", {2}, {0, 200}), DType::kUint8),
          Convert(MakeDoubles("i", {2}, {-1, 1}), DType::kInt32),
          Convert(MakeDoubles("f", {2}, {0.1, 2}), DType::kFloat32)};
}

TEST(WriteArrays, RoundTripsByEnding) {
  const std::string folder = Folder();
  for (const char* ending : {".npz", ".safetensors"}) {
    const std::string path = folder + "/a" + ending;
    for (const std::vector<Array>& arrays : {Several(), std::vector<Array>{}}) {
      ASSERT_EQ(MessageOf(WriteArrays(path, arrays)), "");
      const Result<std::vector<Array>> back = ReadArrays(path);
      ASSERT_TRUE(back.ok()) << back.message();
      ASSERT_EQ(back->size(), arrays.size());
      for (std::size_t k = 0; k < arrays.size(); ++k) {
        EXPECT_EQ((*back)[k].name, arrays[k].name);
        EXPECT_EQ(Describe((*back)[k]), Describe(arrays[k]));
        EXPECT_EQ((*back)[k].data, arrays[k].data);
      }
    }
  }
  const Array x = MakeDoubles("x", {2, 2}, {1, 2, 3, 4});
  ASSERT_EQ(MessageOf(WriteArrays(folder + "/x.npy", {x})), "");
  const Result<Array> back = ReadNpy(folder + "/x.npy");
  ASSERT_TRUE(back.ok()) << back.message();
  EXPECT_EQ(back->data, x.data);
}

TEST(WriteArrays, CsvHasColumnsWithNames) {
  const std::string path = Folder() + "/a.csv";
  ASSERT_EQ(MessageOf(WriteArrays(path, Several())), "");
  EXPECT_EQ(Read(path), "x_0,x_1,x_2,n,ok,u,i,f\n1,0.1,-0,-5,0,0,-1,0.1\n1e+300,nan,-inf,7,1,200,1,2\n");
  const Result<std::vector<Array>> back = ReadArrays(path);
  ASSERT_TRUE(back.ok()) << back.message();
  ASSERT_EQ(back->size(), 8U);
  EXPECT_EQ((*back)[1].name, "x_1");
  EXPECT_EQ(ToDoubles((*back)[0]), (std::vector<double>{1, 1e300}));
  EXPECT_EQ(Convert((*back)[7], DType::kFloat32).data, Several()[5].data);

  ASSERT_EQ(MessageOf(WriteArrays(path, {MakeDoubles("a, b", {1}, {2}), MakeDoubles(" c d", {1}, {3})})), "");
  const Result<std::vector<Array>> quoted = ReadArrays(path);
  ASSERT_TRUE(quoted.ok()) << quoted.message();
  ASSERT_EQ(quoted->size(), 2U);
  EXPECT_EQ((*quoted)[0].name, "a, b");
  EXPECT_EQ((*quoted)[1].name, " c d");

  ASSERT_EQ(MessageOf(WriteArrays(path, {MakeDoubles("x", {0}, {})})), "");
  EXPECT_EQ(Read(path), "x\n");
}

TEST(WriteArrays, SaysWhatAFormatCannotHold) {
  const std::string folder = Folder();
  const Array x = MakeDoubles("x", {2}, {1, 2});
  const auto says = [&](const char* name, const std::vector<Array>& arrays) {
    const std::string path = folder + "/" + name, message = MessageOf(WriteArrays(path, arrays));
    const std::string begin = "cannot write `" + path + "`: ";
    EXPECT_TRUE(message.starts_with(begin)) << message;
    return message.substr(std::min(begin.size(), message.size()));
  };
  EXPECT_EQ(says("a.txt", {x}), "its ending is not known: expected one of .npy, .npz, .csv, .safetensors");
  EXPECT_EQ(says("a", {x}), "its ending is not known: expected one of .npy, .npz, .csv, .safetensors");
  EXPECT_EQ(says("a.npy", {x, x}), "a .npy file holds one array, not 2; a .npz file holds several");
  EXPECT_EQ(says("a.npy", {}), "a .npy file holds one array, not 0; a .npz file holds several");
  EXPECT_EQ(says("a.npz", {x, x}), "two entries are called `x.npy`");
  EXPECT_EQ(says("a.safetensors", {x, x}), "two fields are called `x`");
  EXPECT_EQ(says("a.csv", {}), "a .csv file holds at least one array");
  EXPECT_EQ(says("a.csv", {x, x}), "two columns are called `x`");
  EXPECT_EQ(says("a.csv", {MakeDoubles("s", {}, {1})}),
            "a .csv file holds arrays of rank 1 or 2; field `s` is float64");
  EXPECT_EQ(says("a.csv", {MakeDoubles("t", {1, 1, 1}, {1})}),
            "a .csv file holds arrays of rank 1 or 2; field `t` is float64[1,1,1]");
  EXPECT_EQ(says("a.csv", {x, MakeDoubles("y", {3}, {1, 2, 3})}),
            "fields `x` and `y` have 2 and 3 rows; the columns of a .csv file have the same number");
  EXPECT_EQ(says("a.csv", {MakeDoubles("x", {2, 0}, {})}), "field `x` is float64[2,0]: it has no columns");
  for (const char* name : {"nan", "1", "", "a\nb", "a\"b,c"}) {
    EXPECT_TRUE(says("a.csv", {MakeDoubles(name, {1}, {1})}).starts_with("a .csv file cannot name its columns"))
        << name;
  }
  EXPECT_EQ(Files(folder), 0U);
}

TEST(WriteArrays, AFullDiskKeepsTheOldFile) {
  const std::string folder = Folder();
  const Array x = MakeDoubles("x", {1}, {1}), large = MakeArray("x", DType::kFloat64, {1000});
  for (const char* ending : {".npy", ".npz", ".csv", ".safetensors"}) {
    const std::string path = folder + "/x" + ending;
    ASSERT_EQ(MessageOf(WriteArrays(path, {x})), "");
    const std::string old = Read(path);
    std::string message;
    {
      const FullDisk full(1000);
      message = MessageOf(WriteArrays(path, {large}));
    }
    EXPECT_EQ(message, "cannot write `" + path + "`: " + std::strerror(EFBIG));
    EXPECT_EQ(Read(path), old);
  }
  EXPECT_EQ(Files(folder), 4U);
}

}  // namespace
}  // namespace amo::runtime
