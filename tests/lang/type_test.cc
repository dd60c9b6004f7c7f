// SPDX-License-Identifier: Apache-2.0
// Dims are polynomials: what is equal, what is not, and how they are written.
#include "lang/type.h"

#include <gtest/gtest.h>

namespace amo::lang {
namespace {

const Dim n = Named("n", 5), m = Named("m", 5), one = Fixed(1), two = Fixed(2);

TEST(Dim, NamesMatchByNameNumbersByValue) {
  EXPECT_TRUE(SameDim(n, n));
  EXPECT_FALSE(SameDim(n, m));  // equal values, two names
  EXPECT_TRUE(SameDim(n, Fixed(5)));
  EXPECT_FALSE(SameDim(n, Fixed(6)));
  EXPECT_FALSE(SameDim(Named("g", kUnknownValue), Fixed(5)));
  EXPECT_TRUE(SameDim(n + m, m + n));
  EXPECT_TRUE(SameDim((n + one) * (n - one), n * n - one));
  EXPECT_TRUE(SameDim(n + m - m, n));
  EXPECT_TRUE(SameDim(*Divide(two * n, two), n));
  EXPECT_TRUE(SameDim(Product({n, m, two}), m * two * n));
}

TEST(Dim, Values) {
  EXPECT_EQ((n * m + one).value, 26);
  EXPECT_EQ((n + Named("g", kUnknownValue)).value, kUnknownValue);
  EXPECT_EQ((Named("a", std::int64_t{1} << 40) * Named("b", std::int64_t{1} << 40)).value, kUnknownValue);
  EXPECT_FALSE(Divide(n, two).has_value());  // 5 / 2
  EXPECT_FALSE(Divide(n, Fixed(0)).has_value());
  EXPECT_FALSE(Divide(n, m).has_value());
}

TEST(Dim, Replacement) {
  const Dim g = Named("g", kUnknownValue);
  EXPECT_TRUE(SameDim(Replace(two * g + one, {{"g", n}}), two * n + one));
  EXPECT_EQ(Replace(two * g + one, {{"g", n}}).value, 11);
  EXPECT_TRUE(SameDim(Replace(g * g, {{"g", n + one}}), n * n + two * n + one));
}

TEST(Dim, StaysSmall) {
  // (a + b + …)^k of many names would have more terms than atoms; it stands for its value.
  Dim sum = Fixed(0);
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) sum = sum + Named(name, 1);
  Dim product = Fixed(1);
  for (int k = 0; k < 12; ++k) product = product * sum;
  EXPECT_EQ(product.value, 2176782336);  // 6^12
  EXPECT_LE(product.terms.size(), 256u);
}

TEST(Dim, Text) {
  EXPECT_EQ(ToString(n + one), "n + 1");
  EXPECT_EQ(ToString(two * n - m - one), "2 * n - m - 1");
  EXPECT_EQ(ToString(n * m), "m * n");
  EXPECT_EQ(ToString(Fixed(0)), "0");
  EXPECT_EQ(CountText(n), "n = 5");
  EXPECT_EQ(CountText(two), "2");
  EXPECT_EQ(ToString(Type{Elem::kReal, {n, two}, false}), "real[n, 2]");
  EXPECT_EQ(ToString(Scalar(Elem::kInt)), "int");
  EXPECT_EQ(ShapeText({Elem::kReal, {n}, true}), "[n]'");
}

}  // namespace
}  // namespace amo::lang
