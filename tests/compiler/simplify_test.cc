// SPDX-License-Identifier: Apache-2.0
// Every rule of the simplifier, as the text before and the value after; and that it is idempotent.
#include "compiler/simplify.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/text.h"

namespace amo::compiler {
namespace {

struct Case {
  const char* body;
  const char* expected;
};

// `x` is %0 : real[3]; the last node of `body` is the output.
const Case kCases[] = {
    {"%1 = number 0 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = add %0 %2 : real[3]\n", ""},
    {"%1 = number 1 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %2 %0 : real[3]\n", ""},
    {"%1 = number 1 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = div %0 %2 : real[3]\n", ""},
    {"%1 = neg %0 : real[3]\n%2 = neg %1 : real[3]\n", ""},
    {"%1 = number -1 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %0 %2 : real[3]\n", "%1 = neg %0 : real[3]\n"},
    {"%1 = number 2 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = pow %0 %2 : real[3]\n",
     "%1 = mul %0 %0 : real[3]\n"},
    {"%1 = number 2 : real\n%2 = exp %1 : real\n%3 = number 3 : real\n%4 = mul %1 %3 : real\n"
     "%5 = broadcast %4 {-1} : real[3]\n%6 = mul %0 %5 : real[3]\n",
     "%1 = number 6 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %0 %2 : real[3]\n"},
    {"%1 = broadcast %0 {0,-1} : real[3,4]\n%2 = iota {0} : int[4]\n%3 = real %2 : real[4]\n"
     "%4 = broadcast %3 {-1,0} : real[3,4]\n%5 = mul %1 %4 : real[3,4]\n%6 = reduce_sum %5 {1} : real[3]\n",
     "%1 = iota {0} : int[4]\n%2 = real %1 : real[4]\n%3 = dot %0 %2 {0,1,0} : real[3]\n"},
    {"%1 = add %0 %0 : real[3]\n%2 = sub %1 %0 : real[3]\n", ""},
    {"%1 = exp %0 : real[3]\n%2 = add %1 %0 : real[3]\n%3 = add %2 %0 : real[3]\n",
     "%1 = exp %0 : real[3]\n%2 = number 2 : real\n%3 = broadcast %2 {-1} : real[3]\n%4 = mul %3 %0 : real[3]\n"
     "%5 = add %1 %4 : real[3]\n"},
    {"%1 = number 3 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %2 %0 : real[3]\n%4 = mul %3 %2 : real[3]\n"
     "%5 = neg %4 : real[3]\n",
     "%1 = number -9 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %2 %0 : real[3]\n"},
    {"%1 = number 1 : real\n%2 = dot %1 %0 {0,0} : real[3]\n", ""},
    {"%1 = number 5 : real\n%2 = dot %0 %1 {0} : real\n",
     "%1 = number 5 : real\n%2 = reduce_sum %0 {0} : real\n%3 = mul %1 %2 : real\n"},
    {"%1 = number 5 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %0 %2 : real[3]\n%4 = dot %3 %0 {0,0} : real\n",
     "%1 = number 5 : real\n%2 = dot %0 %0 {0,0} : real\n%3 = mul %1 %2 : real\n"},
};

std::string Whole(const std::string& body, int last) {
  return "function f\n%0 = input x : instance real[3]\n" + body + "output y %" + std::to_string(last) + "\n";
}

int Lines(const std::string& s) { return static_cast<int>(std::count(s.begin(), s.end(), '\n')); }

TEST(Simplify, Rules) {
  for (const Case& c : kCases) {
    const ParsedFunction before = ParseFunction(Whole(c.body, Lines(c.body)));
    const ParsedFunction after = ParseFunction(Whole(c.expected, Lines(c.expected)));
    ASSERT_EQ(before.error, "") << c.body;
    ASSERT_EQ(after.error, "") << c.expected;
    const Function simple = Simplify(before.function);
    EXPECT_EQ(Print(simple), Print(after.function)) << c.body;
    EXPECT_EQ(Print(Simplify(simple)), Print(simple));
  }
}

TEST(Simplify, KeepsNanAndTheSignOfZero) {
  const ParsedFunction f =
      ParseFunction(Whole("%1 = number 0 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %0 %2 : real[3]\n", 3));
  ASSERT_EQ(f.error, "");
  EXPECT_EQ(Print(Simplify(f.function)), Print(f.function));  // 0 * x is not 0
}

// One product with A + A', which is shared: the form's value and its gradient both have it.
TEST(Simplify, AQuadraticFormSeesTheSymmetricPart) {
  Builder b("f");
  const Value y = b.Input("y", Role::kInstance, {Elem::kReal, {4}});
  const Value a = b.Input("A", Role::kShared, {Elem::kReal, {4, 4}});
  b.Output("value", b.Dot(y, b.Dot(y, a, {0}, {0, 1}, {1}), {0}, {0}, {}));
  const Function gradient = Simplify(Gradient(Simplify(b.Finish()), {0}));
  int products = 0;
  for (const Node& n : gradient.nodes) products += n.op == Op::kDot && n.type.shape.size() == 1;
  EXPECT_EQ(products, 1) << Print(gradient);
  const Tensor point{{Elem::kReal, {4}}, {1, -2, 3, 0.5}};
  Tensor matrix{{Elem::kReal, {4, 4}}, {}};
  for (int i = 0; i < 16; ++i) matrix.data.push_back(i * i % 7 - 2.5);
  const std::vector<Tensor> out = Interpret(gradient, {point, matrix});
  double value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    double slope = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      value += point.data[i] * matrix.data[4 * i + j] * point.data[j];
      slope += (matrix.data[4 * i + j] + matrix.data[4 * j + i]) * point.data[j];
    }
    EXPECT_NEAR(out[1].data[i], slope, 1e-12);
  }
  EXPECT_NEAR(out[0].data[0], value, 1e-12);
}

TEST(Text, RefusesWhatDoesNotFollow) {
  EXPECT_NE(ParseFunction("function f\n%0 = exp %1 : real\n").error, "");
  EXPECT_NE(ParseFunction("function f\n%0 = input x : instance real[3]\n%1 = exp %0 : real[4]\n").error, "");
  EXPECT_NE(ParseFunction("function f\n%0 = frobnicate : real\n").error, "");
  EXPECT_NE(ParseFunction("function f\n%0 = input x : instance real[3]\n%1 = slice %0 {2} : real[2]\n").error, "");
}

}  // namespace
}  // namespace amo::compiler
