// SPDX-License-Identifier: Apache-2.0
// The functions of kernels against libm: ranges of moderate arguments in units in the last place, and special values.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <utility>

#include "compiler/kernel.h"
#include "compiler/scalar.h"
#include "tests/compiler/run_kernel.h"

namespace amo::compiler {
namespace {

struct Case {
  Op op;
  double from, to;
  double ulp;
};

// Composed functions lose a little more than the polynomials that they are made of.
constexpr Case kCases[] = {
    {Op::kExp, -80, 80, 2},     {Op::kExp, -1e-3, 1e-3, 2},   {Op::kLog, 1e-6, 1e3, 2},   {Op::kLog, 0.9, 1.1, 2},
    {Op::kTanh, -9, 9, 2},      {Op::kTanh, -0.1, 0.1, 2},    {Op::kSin, -100, 100, 2},   {Op::kCos, -100, 100, 2},
    {Op::kSin, -1, 1, 2},       {Op::kExpm1, -20, 80, 4},     {Op::kExpm1, -1, 1, 4},     {Op::kExpm1, -1e-6, 1e-6, 4},
    {Op::kLog1p, -0.9, 1e3, 3}, {Op::kLog1p, -1e-6, 1e-6, 3}, {Op::kSinh, -50, 50, 5},    {Op::kSinh, -1e-3, 1e-3, 5},
    {Op::kCosh, -50, 50, 4},    {Op::kTan, -1.5, 1.5, 5},     {Op::kSigmoid, -30, 30, 4}, {Op::kSoftplus, -30, 30, 4},
    {Op::kSqrt, 0, 1e6, 1},     {Op::kErf, -3, 3, 1},         {Op::kAsin, -1, 1, 1},      {Op::kAcos, -1, 1, 1},
    {Op::kAtan, -50, 50, 1},    {Op::kFloor, -50, 50, 0},     {Op::kSign, -1, 1, 0},      {Op::kAbs, -5, 5, 0},
};

Function Single(Op op) {
  Builder b(std::string(OpText(op)));
  b.Output("y", b.Unary(op, b.Input("x", Role::kInstance, {Elem::kReal, {}})));
  return b.Finish();
}

double Evaluate(Op op, double x, Precision precision) {
  const Function f = Single(op);
  static std::map<std::pair<Op, Precision>, Kernel> kernels;
  Kernel& kernel = kernels[{op, precision}];
  if (!kernel.run) kernel = Compile(f, {.precision = precision, .lanes = 0, .cache_folder = ""});
  return RunKernel(f, kernel, {{Tensor{{Elem::kReal, {}}, {x}}}}, 0, 1)[0][0].data[0];
}

class MathRanges : public ::testing::TestWithParam<Case> {};

void CheckRange(const Case& c, Precision precision, int lanes, double epsilon) {
  const Function f = Single(c.op);
  const Kernel kernel = Compile(f, {.precision = precision, .lanes = lanes, .cache_folder = ""});
  constexpr int kPoints = 4001;
  Batch inputs;
  for (int k = 0; k < kPoints; ++k) {
    const double x = c.from + (c.to - c.from) * k / (kPoints - 1);
    inputs.push_back({Tensor{{Elem::kReal, {}}, {precision == Precision::kF32 ? static_cast<float>(x) : x}}});
  }
  const Batch got = RunKernel(f, kernel, inputs, 0, kPoints);
  double worst = 0, at = 0;
  for (int k = 0; k < kPoints; ++k) {
    const double x = inputs[static_cast<std::size_t>(k)][0].data[0], want = ApplyUnary(c.op, x);
    const double error = std::fabs(got[static_cast<std::size_t>(k)][0].data[0] - want);
    // Half the distance between the numbers around `want` at the top of its binade: an ulp.
    const double ulp = std::max(std::ldexp(epsilon, std::ilogb(want == 0 ? 1e-300 : want)), 1e-300);
    if (error / ulp > worst) worst = error / ulp, at = x;
  }
  EXPECT_LE(worst, c.ulp + 0.5) << OpText(c.op) << " at " << at;  // libm itself is off by up to half an ulp
}

TEST_P(MathRanges, F64) { CheckRange(GetParam(), Precision::kF64, 0, 0x1p-52); }
TEST_P(MathRanges, F64OneInstance) { CheckRange(GetParam(), Precision::kF64, 1, 0x1p-52); }
TEST_P(MathRanges, F32) { CheckRange(GetParam(), Precision::kF32, 0, 0x1p-23); }

INSTANTIATE_TEST_SUITE_P(All, MathRanges, ::testing::ValuesIn(kCases));

TEST(Math, SpecialValues) {
  const double inf = INFINITY, nan = std::nan("");
  const Op ops[] = {Op::kExp,  Op::kLog,   Op::kExpm1, Op::kLog1p,   Op::kSqrt,     Op::kAbs,
                    Op::kSign, Op::kFloor, Op::kSin,   Op::kCos,     Op::kTan,      Op::kSinh,
                    Op::kCosh, Op::kTanh,  Op::kErf,   Op::kSigmoid, Op::kSoftplus, Op::kAtan};
  for (Precision precision : {Precision::kF64, Precision::kF32}) {
    for (Op op : ops) {
      for (double x : {0.0, inf, -inf, nan, -1.0, 1.0, 1000.0, -1000.0}) {
        const double want = precision == Precision::kF64 ? ApplyUnary(op, x) : static_cast<float>(ApplyUnary(op, x));
        const double got = Evaluate(op, x, precision);
        if (std::isnan(want)) {
          EXPECT_TRUE(std::isnan(got)) << OpText(op) << " at " << x << ": " << got;
        } else if (std::isinf(want) || want == 0) {
          EXPECT_EQ(got, want) << OpText(op) << " at " << x;
        } else {
          const double tolerance = precision == Precision::kF64 ? 1e-14 : 1e-6;
          EXPECT_NEAR(got, want, tolerance * std::fabs(want)) << OpText(op) << " at " << x;
        }
      }
    }
  }
}

TEST(Math, LargeAngles) {
  for (double x : {1e5, 1e7, -3e9, 1e15, 1e300}) {
    for (Op op : {Op::kSin, Op::kCos}) EXPECT_NEAR(Evaluate(op, x, Precision::kF64), ApplyUnary(op, x), 1e-15) << x;
  }
  for (float x : {1e3f, 1e5f, -1e9f, 1e30f}) {
    for (Op op : {Op::kSin, Op::kCos}) EXPECT_NEAR(Evaluate(op, x, Precision::kF32), ApplyUnary(op, x), 3e-7) << x;
  }
}

TEST(Math, LogOfSubnormals) {
  for (double x : {5e-324, 1e-310, 2.3e-308}) EXPECT_NEAR(Evaluate(Op::kLog, x, Precision::kF64), std::log(x), 1e-12);
}

}  // namespace
}  // namespace amo::compiler
