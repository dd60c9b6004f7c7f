// SPDX-License-Identifier: Apache-2.0
// Every rule of the simplifier, as the text before and the value after; and that it is idempotent.
#include "compiler/simplify.h"

#include <gtest/gtest.h>

#include <algorithm>

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
    {"%1 = number 2 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = pow %0 %2 : real[3]\n", "%1 = mul %0 %0 : real[3]\n"},
    {"%1 = number 2 : real\n%2 = exp %1 : real\n%3 = number 3 : real\n%4 = mul %1 %3 : real\n"
     "%5 = broadcast %4 {-1} : real[3]\n%6 = mul %0 %5 : real[3]\n",
     "%1 = number 6 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %0 %2 : real[3]\n"},
    {"%1 = broadcast %0 {0,-1} : real[3,4]\n%2 = iota {0} : int[4]\n%3 = real %2 : real[4]\n"
     "%4 = broadcast %3 {-1,0} : real[3,4]\n%5 = mul %1 %4 : real[3,4]\n%6 = reduce_sum %5 {1} : real[3]\n",
     "%1 = iota {0} : int[4]\n%2 = real %1 : real[4]\n%3 = dot %0 %2 {0,1,0} : real[3]\n"},
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
  const ParsedFunction f = ParseFunction(Whole("%1 = number 0 : real\n%2 = broadcast %1 {-1} : real[3]\n%3 = mul %0 %2 : real[3]\n", 3));
  ASSERT_EQ(f.error, "");
  EXPECT_EQ(Print(Simplify(f.function)), Print(f.function));  // 0 * x is not 0
}

TEST(Text, RefusesWhatDoesNotFollow) {
  EXPECT_NE(ParseFunction("function f\n%0 = exp %1 : real\n").error, "");
  EXPECT_NE(ParseFunction("function f\n%0 = input x : instance real[3]\n%1 = exp %0 : real[4]\n").error, "");
  EXPECT_NE(ParseFunction("function f\n%0 = frobnicate : real\n").error, "");
  EXPECT_NE(ParseFunction("function f\n%0 = input x : instance real[3]\n%1 = slice %0 {2} : real[2]\n").error, "");
}

}  // namespace
}  // namespace amo::compiler
