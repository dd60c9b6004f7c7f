// SPDX-License-Identifier: Apache-2.0
// Gradient, vjp, jvp and Hessian-vector product of functions that use every differentiable operation, against central
// differences of the interpreter, before and after simplification.
#include "compiler/derive.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "compiler/interpret.h"
#include "compiler/simplify.h"
#include "compiler/text.h"

namespace amo::compiler {
namespace {

// x is %0 : real[3], M is %1 : shared real[3,4]. Each body ends in a value that is squared and summed up.
const char* const kBodies[] = {
    "%2 = exp %0 : real[3]\n",
    "%2 = abs %0 : real[3]\n",
    "%2 = sin %0 : real[3]\n",
    "%2 = cos %0 : real[3]\n",
    "%2 = tan %0 : real[3]\n",
    "%2 = tanh %0 : real[3]\n",
    "%2 = sigmoid %0 : real[3]\n",
    "%2 = softplus %0 : real[3]\n",
    "%2 = erf %0 : real[3]\n",
    "%2 = sinh %0 : real[3]\n",
    "%2 = cosh %0 : real[3]\n",
    "%2 = atan %0 : real[3]\n",
    "%2 = expm1 %0 : real[3]\n",
    "%2 = asin %0 : real[3]\n",
    "%2 = acos %0 : real[3]\n",
    "%2 = exp %0 : real[3]\n%3 = log %2 : real[3]\n%4 = sqrt %2 : real[3]\n%5 = log1p %2 : real[3]\n"
    "%6 = div %3 %4 : real[3]\n%7 = pow %2 %5 : real[3]\n%8 = atan2 %6 %7 : real[3]\n",
    "%2 = neg %0 : real[3]\n%3 = max %0 %2 : real[3]\n%4 = sin %0 : real[3]\n%5 = min %3 %4 : real[3]\n",
    "%2 = sin %0 : real[3]\n%3 = lt %0 %2 : bool[3]\n%4 = select %3 %0 %2 : real[3]\n",
    "%2 = dot %0 %1 {0,0,1,1} : real[4]\n",
    "%2 = dot %0 %1 {0,1,2,0,1} : real[3,3]\n",
    "%2 = dot %0 %1 {0,1,2,2,0} : real[4,3]\n",
    "%2 = broadcast %0 {-1,0} : real[2,3]\n%3 = reshape %2 : real[3,2]\n%4 = sin %3 : real[3,2]\n"
    "%5 = slice %4 {1,0} : real[2,1]\n%6 = pad %5 {1,2} : real[4,4]\n%7 = concat %6 %6 {1} : real[4,8]\n"
    "%8 = mul %7 %7 : real[4,8]\n%9 = reduce_sum %8 {0} : real[8]\n",
    "%2 = exp %0 : real[3]\n%3 = reduce_prod %2 {0} : real\n",
    "%2 = reduce_max %0 {0} : real\n",
    "%2 = broadcast %0 {0,-1} : real[3,4]\n%3 = mul %2 %1 : real[3,4]\n%4 = reduce_min %3 {0} : real[4]\n",
    "%2 = cumsum %0 : real[3]\n",
    "%2 = sort %0 : real[3]\n%3 = iota {1} : int[3]\n%4 = real %3 : real[3]\n%5 = mul %2 %4 : real[3]\n",
    "%2 = iota {1} : int[2]\n%3 = gather %0 %2 {0} : real[2]\n%4 = sin %3 : real[2]\n%5 = scatter %2 %4 {0,3} : "
    "real[3]\n",
    "%2 = broadcast %0 {-1,0} : real[300,3]\n%3 = reshape %2 : real[3,300]\n%4 = cumsum %3 : real[3,300]\n"
    "%5 = slice %4 {0,299} : real[3,1]\n",
    "%2 = sin %0 : real[3]\n%3 = stop %2 : real[3]\n%4 = mul %3 %0 : real[3]\n",
    // Two matrices with a strong diagonal, out of x and M; the right sides x and 2 of M's columns.
    "%2 = slice %1 {0,0} : real[3,3]\n%3 = broadcast %0 {0,-1} : real[3,3]\n%4 = mul %2 %3 : real[3,3]\n"
    "%5 = iota {0} : int[3]\n%6 = broadcast %5 {0,-1} : int[3,3]\n%7 = broadcast %5 {-1,0} : int[3,3]\n"
    "%8 = eq %6 %7 : bool[3,3]\n%9 = real %8 : real[3,3]\n%10 = number 3 : real\n"
    "%11 = broadcast %10 {-1,-1} : real[3,3]\n%12 = mul %9 %11 : real[3,3]\n%13 = add %4 %12 : real[3,3]\n"
    "%14 = sin %13 : real[3,3]\n%15 = add %14 %12 : real[3,3]\n%16 = reshape %13 : real[1,3,3]\n"
    "%17 = reshape %15 : real[1,3,3]\n%18 = concat %16 %17 {0} : real[2,3,3]\n"
    "%19 = broadcast %0 {-1,0,-1} : real[2,3,2]\n%20 = solve %18 %19 : real[2,3,2]\n",
    "%2 = slice %1 {0,0} : real[3,3]\n%3 = slice %1 {0,3} : real[3,1]\n%4 = reshape %0 : real[3,1]\n"
    "%5 = mul %3 %4 : real[3,1]\n%6 = solve %2 %5 : real[3,1]\n",
    // A diagonal of 0, 3 and 6 keeps the eigenvalues apart.
    "%2 = slice %1 {0,0} : real[3,3]\n%3 = broadcast %0 {0,-1} : real[3,3]\n%4 = mul %2 %3 : real[3,3]\n"
    "%5 = iota {0} : int[3]\n%6 = broadcast %5 {0,-1} : int[3,3]\n%7 = broadcast %5 {-1,0} : int[3,3]\n"
    "%8 = eq %6 %7 : bool[3,3]\n%9 = real %8 : real[3,3]\n%10 = number 3 : real\n"
    "%11 = broadcast %10 {-1,-1} : real[3,3]\n%12 = mul %9 %11 : real[3,3]\n%13 = real %6 : real[3,3]\n"
    "%14 = mul %12 %13 : real[3,3]\n%15 = add %4 %14 : real[3,3]\n%16 = sin %4 : real[3,3]\n"
    "%17 = add %16 %14 : real[3,3]\n%18 = reshape %15 : real[1,3,3]\n%19 = reshape %17 : real[1,3,3]\n"
    "%20 = concat %18 %19 {0} : real[2,3,3]\n%21 = eigen %20 : real[2,4,3]\n",
};

Function Make(const std::string& body) {
  const int last = 1 + static_cast<int>(std::count(body.begin(), body.end(), '\n'));
  ParsedFunction p = ParseFunction("function f\n%0 = input x : instance real[3]\n%1 = input M : shared real[3,4]\n" +
                                   body + "output y %" + std::to_string(last) + "\n");
  EXPECT_EQ(p.error, "") << body;
  Builder b("f");
  std::vector<Value> inputs{b.Input("x", Role::kInstance, {Elem::kReal, {3}}),
                            b.Input("M", Role::kShared, {Elem::kReal, {3, 4}})};
  const Value y = Inline(b, p.function, inputs)[static_cast<std::size_t>(last)];
  std::vector<std::int64_t> all(b.shape(y).size());
  for (std::size_t d = 0; d < all.size(); ++d) all[d] = static_cast<std::int64_t>(d);
  b.Output("value", b.Reduce(Op::kReduceSum, b.Mul(y, b.Add(y, b.Filled(0.3, b.shape(y)))), all));
  return b.Finish();
}

struct Point {
  Tensor x{{Elem::kReal, {3}}, {}}, m{{Elem::kReal, {3, 4}}, {}}, v{{Elem::kReal, {3}}, {}};
};

Point Draw(int seed) {
  std::mt19937_64 g(static_cast<std::uint64_t>(seed));
  std::uniform_real_distribution<double> u(-0.9, 0.9);
  Point p;
  for (int i = 0; i < 3; ++i) p.x.data.push_back(u(g)), p.v.data.push_back(u(g));
  for (int i = 0; i < 12; ++i) p.m.data.push_back(u(g));
  return p;
}

// The derivative of output `k` along v, by central differences with a fourth-order stencil; stopped values stay.
std::vector<double> Difference(const Function& f, Point p, std::size_t k) {
  const double h = 1e-3;
  std::vector<double> d;
  const Tensor x = p.x;
  for (const auto& [step, weight] : {std::pair{-2 * h, 1.0}, {-h, -8.0}, {h, 8.0}, {2 * h, -1.0}}) {
    for (std::size_t i = 0; i < 3; ++i) p.x.data[i] = x.data[i] + step * p.v.data[i];
    const std::vector<double> y = Interpret(f, {p.x, p.m})[k].data;
    d.resize(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) d[i] += weight * y[i] / (12 * h);
  }
  return d;
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

TEST(Derive, AgreesWithDifferences) {
  for (const char* body : kBodies) {
    const bool stopped = std::string(body).find("stop") != std::string::npos;
    const Function f = Make(body), g = Gradient(f, {0}), h = HessianVector(f, {0});
    ASSERT_EQ(Verify(g), "") << body;
    ASSERT_EQ(Verify(h), "") << body;
    for (int seed = 0; seed < 8; ++seed) {
      const Point p = Draw(seed);
      const std::vector<Tensor> gradient = Interpret(g, {p.x, p.m}), product = Interpret(h, {p.x, p.m, p.v});
      if (!stopped) {
        const double slope = Difference(f, p, 0)[0];
        EXPECT_NEAR(Dot(gradient[1].data, p.v.data), slope, 1e-6 * (1 + std::fabs(slope))) << body << "seed " << seed;
        const std::vector<double> curve = Difference(g, p, 1);
        for (std::size_t i = 0; i < 3; ++i) {
          EXPECT_NEAR(product[2].data[i], curve[i], 1e-5 * (1 + std::fabs(curve[i]))) << body << "seed " << seed;
        }
      }
      // Forward and reverse mode agree on the same function, stop included.
      const double forward = Interpret(Jvp(f, {0}), {p.x, p.m, p.v})[0].data[0];
      EXPECT_NEAR(Dot(gradient[1].data, p.v.data), forward, 1e-9 * (1 + std::fabs(forward))) << body;
      const std::vector<Tensor> vjp = Interpret(Vjp(f, {0}), {p.x, p.m, {{Elem::kReal, {}}, {2.0}}});
      for (std::size_t i = 0; i < 3; ++i)
        EXPECT_NEAR(vjp[0].data[i], 2 * gradient[1].data[i], 1e-9 * (1 + std::fabs(vjp[0].data[i])));
      const std::vector<Tensor> simple = Interpret(Simplify(h), {p.x, p.m, p.v});
      for (std::size_t k = 0; k < simple.size(); ++k) {
        for (std::size_t i = 0; i < simple[k].data.size(); ++i) {
          EXPECT_NEAR(simple[k].data[i], product[k].data[i], 1e-9 * (1 + std::fabs(product[k].data[i]))) << body;
        }
      }
      EXPECT_EQ(Print(ParseFunction(Print(h)).function), Print(h));
    }
  }
}

// Axes without entries: nothing wins over nothing, and a gather from nothing passes nothing back.
TEST(Derive, EmptyAxes) {
  for (const char* body :
       {"%2 = slice %0 {0} : real[0]\n%3 = reduce_max %2 {0} : real\n%4 = broadcast %3 {-1} : real[2]\n"
        "%5 = min %4 %4 : real[2]\n%6 = slice %5 {0} : real[0]\n",
        "%2 = slice %0 {0} : real[0]\n%3 = iota {0} : int[2]\n%4 = gather %2 %3 {0} : real[2]\n"}) {
    const Point p = Draw(2);
    const std::vector<Tensor> gradient = Interpret(Gradient(Make(body), {0}), {p.x, p.m});
    for (double d : gradient[1].data) EXPECT_EQ(d, 0) << body;
  }
}

TEST(Derive, StopIsAConstant) {
  const Function f = Make("%2 = sin %0 : real[3]\n%3 = stop %2 : real[3]\n");
  const Point p = Draw(1);
  const std::vector<Tensor> gradient = Interpret(Gradient(f, {0}), {p.x, p.m});
  for (double d : gradient[1].data) EXPECT_EQ(d, 0);
}

// Rolled loops: the graph of a gradient has as many nodes for n = 10,000 as for n = 10.
TEST(Derive, SizeDoesNotGrowWithN) {
  const auto nodes = [](std::int64_t n) {
    Builder b("chain");
    const Value y = b.Input("y", Role::kInstance, {Elem::kReal, {n}});
    const Value d = b.Sub(b.Slice(y, {1}, {n - 1}), b.Slice(y, {0}, {n - 1}));
    b.Output("value", b.Reduce(Op::kReduceSum, b.Mul(d, d), {0}));
    return Simplify(HessianVector(b.Finish(), {0})).nodes.size();
  };
  EXPECT_EQ(nodes(10), nodes(10000));
}

}  // namespace
}  // namespace amo::compiler
