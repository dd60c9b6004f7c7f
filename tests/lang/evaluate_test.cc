// SPDX-License-Identifier: Apache-2.0
// Constant expressions against the numbers they are.
#include "lang/evaluate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "lang/parser.h"

namespace amo::lang {
namespace {

std::optional<double> ValueOf(const std::string& text) {
  Sources sources;
  Diagnostics diagnostics;
  ExprId next_id = 0;
  const ExprPtr expr = ParseExpr(sources, sources.Add("test", text), next_id, diagnostics);
  EXPECT_FALSE(diagnostics.has_errors()) << text;
  if (expr == nullptr) return std::nullopt;
  return Evaluate(*expr, [](const std::string& name) { return name == "n" ? std::optional(3.0) : std::nullopt; });
}

TEST(Evaluate, Numbers) {
  const struct {
    const char* text;
    double value;
  } cases[] = {
      {"2 + 3 * n", 11},
      {"-2^2", -4},
      {"2^-1", 0.5},
      {"7 % n", 1},
      {"(0 - 1) % n", 2},
      {"4 / 3", 4.0 / 3},
      {"if n > 2 then 1 else 0", 1},
      {"1 < n <= 3", 1},
      {"true and not false", 1},
      {"min(n, 2, 5) + max(n, 2)", 5},
      {"sum(i in n: i^2)", 5},
      {"prod(i in 1..5: i)", 24},
      {"sum(i in n, j in i..n if i != j: j)", 5},
      {"a + n where a = 2 * n", 9},
      {"sqrt(16) + abs(-2) + clamp(9, 0, 1)", 7},
      {"2 * pi", 2 * std::numbers::pi},
      {"exp(log(2)) + floor(2.7)", 4},
  };
  for (const auto& c : cases) {
    const std::optional<double> value = ValueOf(c.text);
    ASSERT_TRUE(value.has_value()) << c.text;
    EXPECT_NEAR(*value, c.value, 1e-12) << c.text;
  }
}

TEST(Evaluate, WhatIsNoNumber) {
  for (const char* text : {"m + 1", "[1, 2]", "f(2)", "x[0]", "7 % 0", "sum(i in m: i)", "sum(i in 1e9: i)", "r.image",
                           "exp(x = 2)", "n'"}) {
    EXPECT_FALSE(ValueOf(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace amo::lang
