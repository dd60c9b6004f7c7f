// SPDX-License-Identifier: Apache-2.0
// Kernels against the interpreter: random functions in both precisions, for one instance and for many; and the disk
// cache.
#include "compiler/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "tests/compiler/random_function.h"
#include "tests/compiler/run_kernel.h"

namespace amo::compiler {
namespace {

Batch RandomInputs(const Function& f, std::size_t batch, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Batch inputs(batch);
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t k = 0; k < f.inputs.size(); ++k) {
      const Input& input = f.inputs[k];
      inputs[b].push_back(b && input.role == Role::kShared ? inputs[0][k] : RandomTensor(input.type, random));
    }
  }
  return inputs;
}

// The largest finite number that appears on the way: errors are relative to it.
double Scale(Function f, const std::vector<Tensor>& inputs) {
  f.outputs.clear();
  for (std::size_t i = 0; i < f.nodes.size(); ++i) f.outputs.push_back({"", {static_cast<std::int32_t>(i)}});
  double scale = 1;
  for (const Tensor& t : Interpret(f, inputs)) {
    for (double v : t.data) {
      if (std::isfinite(v)) scale = std::max(scale, std::fabs(v));
    }
  }
  return scale;
}

void ExpectSame(const Function& f, const Batch& inputs, const Batch& got, std::int64_t begin, std::int64_t end,
                double tolerance) {
  for (std::size_t b = 0; b < inputs.size(); ++b) {
    if (static_cast<std::int64_t>(b) < begin || static_cast<std::int64_t>(b) >= end) {
      for (const Tensor& t : got[b]) {
        for (double v : t.data) ASSERT_EQ(v, 0) << "instance " << b << " was not asked for";
      }
      continue;
    }
    const std::vector<Tensor> want = Interpret(f, inputs[b]);
    const double allowed = tolerance * Scale(f, inputs[b]);
    for (std::size_t k = 0; k < want.size(); ++k) {
      for (std::size_t i = 0; i < want[k].data.size(); ++i) {
        const double w = want[k].data[i], g = got[b][k].data[i];
        if (std::isnan(w) ? std::isnan(g) : w == g) continue;
        ASSERT_NEAR(g, w, allowed) << f.name << " instance " << b << " output " << k << " entry " << i << "\n"
                                   << DumpLoops(f);
      }
    }
  }
}

void Check(const Function& f, Precision precision, int lanes, double tolerance) {
  ASSERT_EQ(Verify(f), "");
  ASSERT_EQ(Uncompilable(f), "");
  const Kernel kernel = Compile(f, {.precision = precision, .lanes = lanes, .cache_folder = ""});
  ASSERT_NE(kernel.run, nullptr);
  const auto w = static_cast<std::size_t>(kernel.lanes);
  for (std::size_t batch : {std::size_t{0}, std::size_t{1}, w - 1, w, 3 * w + 1}) {
    const Batch inputs = RandomInputs(f, batch, 77 + batch);
    const auto end = static_cast<std::int64_t>(batch);
    ExpectSame(f, inputs, RunKernel(f, kernel, inputs, 0, end), 0, end, tolerance);
    if (::testing::Test::HasFatalFailure()) return;
  }
  const Batch inputs = RandomInputs(f, 3 * w, 5);
  ExpectSame(f, inputs, RunKernel(f, kernel, inputs, 1, static_cast<std::int64_t>(2 * w)), 1,
             static_cast<std::int64_t>(2 * w), tolerance);
}

class RandomKernels : public ::testing::TestWithParam<int> {};

Function Made(int seed, bool smooth) { return RandomFunction(static_cast<std::uint64_t>(seed), smooth); }

TEST_P(RandomKernels, F64) { Check(Made(GetParam(), false), Precision::kF64, 0, 1e-9); }
TEST_P(RandomKernels, F64OneInstance) { Check(Made(GetParam(), false), Precision::kF64, 1, 1e-9); }
TEST_P(RandomKernels, F32) { Check(Made(GetParam(), true), Precision::kF32, 0, 1e-4); }
TEST_P(RandomKernels, F32OneInstance) { Check(Made(GetParam(), true), Precision::kF32, 1, 1e-4); }

INSTANTIATE_TEST_SUITE_P(Seeds, RandomKernels, ::testing::Range(0, 60));

// The functions above reach every operation that can be compiled.
TEST(RandomFunctions, HaveEveryOperation) {
  for (bool smooth : {false, true}) {
    std::set<Op> seen;
    const auto visit = [&](auto&& self, const Function& f) -> void {
      for (const Node& n : f.nodes) {
        seen.insert(n.op);
        if (n.body) self(self, *n.body);
      }
    };
    for (std::uint64_t seed = 0; seed < 60; ++seed) visit(visit, RandomFunction(seed, smooth));
    for (int op = 0; op <= static_cast<int>(Op::kScan); ++op) {
      if (ClassOf(static_cast<Op>(op)) == OpClass::kMatrix) continue;
      const bool decides = static_cast<Op>(op) == Op::kFloor;
      const bool windows = static_cast<Op>(op) == Op::kUnfold || static_cast<Op>(op) == Op::kFold;  // no kernel runs them
      EXPECT_TRUE(seen.count(static_cast<Op>(op)) || (smooth && decides) || windows) << OpText(static_cast<Op>(op));
    }
  }
}

// A layer with a shared matrix: the jammed loops, with a remainder.
TEST(Kernel, MatrixVector) {
  Builder b("layer");
  const Value a = b.Input("a", Role::kShared, {Elem::kReal, {11, 6}});
  const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {6}});
  const Value y = b.Dot(a, x, {0, 1}, {1}, {0});
  b.Output("y", b.Unary(Op::kTanh, y));
  b.Output("f", b.Reduce(Op::kReduceSum, b.Mul(y, y), {0}));
  const Function f = b.Finish();
  for (int lanes : {0, 1}) {
    Check(f, Precision::kF64, lanes, 1e-12);
    Check(f, Precision::kF32, lanes, 1e-5);
  }
}

// Blocks of matrix products, with rows, columns and sums left over: vectors along the columns, and along the sum.
TEST(Kernel, MatrixProducts) {
  for (const std::int64_t rows : {4, 7, 18}) {
    for (const std::int64_t columns : {1, 5, 37, 150}) {
      for (const std::int64_t n : {9, 64, 83}) {
        Builder b("product");
        const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {rows, n}});
        const Value w = b.Input("w", Role::kShared, {Elem::kReal, {columns, n}});
        const Value v = b.Input("v", Role::kInstance, {Elem::kReal, {n, columns}});
        b.Output("along_sum", b.Dot(x, w, {0, 2}, {1, 2}, {0, 1}));
        b.Output("along_columns", b.Dot(x, v, {0, 2}, {2, 1}, {0, 1}));
        const Function f = b.Finish();
        Check(f, Precision::kF64, 1, 1e-12);
        Check(f, Precision::kF32, 1, 1e-4);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Rows of every length pass through the tiles: whole blocks, masked ones and single entries.
TEST(Kernel, RowsOfEveryLength) {
  for (std::int64_t n : {1, 2, 3, 4, 5, 8, 9, 10, 11, 15, 16, 17, 20, 21, 31, 32, 33, 40, 53}) {
    Builder b("rows" + std::to_string(n));
    const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {n}});
    const Value k = b.Input("k", Role::kInstance, {Elem::kInt, {n}});
    b.Output("x", x);
    b.Output("y", b.Add(x, b.ToReal(k)));
    b.Output("k", k);
    const Function f = b.Finish();
    for (int lanes : {0, 2, 4}) Check(f, Precision::kF64, lanes, 0);
    Check(f, Precision::kF32, 0, 1e-6);
  }
}

TEST(Kernel, EmptyTensors) {
  Builder b("empty");
  const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {0, 3}});
  for (Op op : {Op::kReduceSum, Op::kReduceProd, Op::kReduceMax, Op::kReduceMin}) {
    b.Output(std::string(OpText(op)), b.Reduce(op, b.Unary(Op::kExp, x), {0}));
  }
  b.Output("none", b.Neg(x));
  b.Output("padded", b.Pad(x, {1, 0}, {2, 3}));
  const Function f = b.Finish();
  for (int lanes : {0, 1}) Check(f, Precision::kF64, lanes, 0);
}

TEST(Kernel, NanAndSignsTravel) {
  Builder b("nan");
  const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {2}});
  const Value one = b.Filled(1, {2});
  b.Output("max", b.Binary(Op::kMax, x, one));
  b.Output("xam", b.Binary(Op::kMax, one, x));
  b.Output("min", b.Binary(Op::kMin, x, one));
  b.Output("nim", b.Binary(Op::kMin, one, x));
  b.Output("zero", b.Mul(x, b.Filled(0, {2})));
  b.Output("reduce", b.Reduce(Op::kReduceMax, x, {0}));
  const Function f = b.Finish();
  const double nan = std::nan(""), inf = INFINITY;
  Batch inputs;
  for (double p : {nan, inf, -inf, 0.0}) {
    for (double q : {nan, 2.0}) inputs.push_back({Tensor{{Elem::kReal, {2}}, {p, q}}});
  }
  for (int lanes : {0, 1}) {
    const Kernel kernel = Compile(f, {.precision = Precision::kF64, .lanes = lanes, .cache_folder = ""});
    const auto end = static_cast<std::int64_t>(inputs.size());
    ExpectSame(f, inputs, RunKernel(f, kernel, inputs, 0, end), 0, end, 0);
  }
}

// The loops stay loops: ten times the entries, the same code.
TEST(Kernel, CodeSizeDoesNotDependOnExtents) {
  const auto length = [](std::int64_t n) {
    Builder b("sum");
    const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {n, n}});
    b.Output("y", b.Reduce(Op::kReduceSum, b.Unary(Op::kExp, x), {0}));
    return DumpLlvm(b.Finish(), {}, false).size();
  };
  EXPECT_LT(length(1000), length(100) * 1.02);
}

struct CacheTest : ::testing::Test {
  void SetUp() override {
    folder = std::filesystem::path(::testing::TempDir()) / "amo_kernel_cache";
    std::filesystem::remove_all(folder);
    Builder b("cached");
    const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {3}});
    b.Output("y", b.Unary(Op::kSin, x));
    function = b.Finish();
  }
  Kernel Get() {
    return Compile(function, {.precision = Precision::kF64, .lanes = 0, .cache_folder = folder.string()});
  }
  void Works(const Kernel& kernel) {
    const Batch inputs = RandomInputs(function, 5, 1);
    ExpectSame(function, inputs, RunKernel(function, kernel, inputs, 0, 5), 0, 5, 1e-12);
  }
  std::filesystem::path OnlyFile() {
    std::filesystem::path found;
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) found = entry.path(), ++files;
    EXPECT_EQ(files, 1);
    return found;
  }
  void Edit(const std::function<void(std::string&)>& edit) {
    const std::filesystem::path file = OnlyFile();
    std::ifstream in(file, std::ios::binary);
    std::string bytes(std::istreambuf_iterator<char>(in), {});
    in.close();
    edit(bytes);
    std::ofstream(file, std::ios::binary) << bytes;
  }
  std::filesystem::path folder;
  Function function;
};

// Each value is read several times by the next: as a tree the expression would have 3^60 leaves.
TEST(Kernels, SharedValuesAreLookedAtOnce) {
  Builder b("deep");
  Value x = b.Input("x", Role::kInstance, {Elem::kReal, {9}});
  for (int k = 0; k < 60; ++k) x = b.Mul(b.Filled(0.5, {9}), b.Add(b.Mul(b.Unary(Op::kSin, x), x), x));
  b.Output("y", b.Reduce(Op::kReduceSum, x, {0}));
  const Function f = b.Finish();
  const Batch inputs = RandomInputs(f, 3, 1);
  for (const int lanes : {0, 1}) {
    const Batch got =
        RunKernel(f, Compile(f, {.precision = Precision::kF64, .lanes = lanes, .cache_folder = ""}), inputs, 0, 3);
    for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(got[k][0].data[0], Interpret(f, inputs[k])[0].data[0], 1e-9);
  }
}

TEST_F(CacheTest, SecondCompilationReadsTheFile) {
  const Kernel first = Get(), second = Get();
  EXPECT_FALSE(first.from_cache);
  EXPECT_TRUE(second.from_cache);
  EXPECT_EQ(first.scratch_bytes, second.scratch_bytes);
  Works(first);
  Works(second);
}

TEST_F(CacheTest, OtherVersionIsIgnored) {
  Get();
  Edit([](std::string& bytes) { bytes.replace(0, bytes.find(' ', 11), "amo-kernel 0"); });
  const Kernel again = Get();
  EXPECT_FALSE(again.from_cache);
  Works(again);
  EXPECT_TRUE(Get().from_cache);
}

TEST_F(CacheTest, DamagedFileIsIgnored) {
  Get();
  Edit([](std::string& bytes) { bytes[bytes.size() / 2] ^= 1; });
  EXPECT_FALSE(Get().from_cache);
  Edit([](std::string& bytes) { bytes.resize(bytes.size() / 2); });
  EXPECT_FALSE(Get().from_cache);
  Edit([](std::string& bytes) { bytes = "\n\n"; });
  EXPECT_FALSE(Get().from_cache);
}

TEST_F(CacheTest, FileOfAnotherFunctionIsIgnored) {
  Get();
  const std::filesystem::path sine = OnlyFile();
  Builder b("other");
  b.Output("y", b.Unary(Op::kCos, b.Input("x", Role::kInstance, {Elem::kReal, {3}})));
  const Function cosine = b.Finish();
  std::filesystem::path other = folder / "other";
  Compile(cosine, {.precision = Precision::kF64, .lanes = 0, .cache_folder = other.string()});
  for (const auto& entry : std::filesystem::directory_iterator(other)) {
    std::filesystem::copy_file(entry.path(), sine, std::filesystem::copy_options::overwrite_existing);
  }
  const Kernel again = Get();
  EXPECT_FALSE(again.from_cache);
  Works(again);
}

}  // namespace
}  // namespace amo::compiler
