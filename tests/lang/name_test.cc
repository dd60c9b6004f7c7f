// SPDX-License-Identifier: Apache-2.0
#include "lang/name.h"

#include <gtest/gtest.h>

namespace amo::lang {
namespace {

TEST(Name, OneSpellingForWhatLooksTheSame) {
  struct Case {
    const char *name, *normalized;
  };
  const Case cases[] = {
      {"w0", "w0"},
      {"\u00B5", "\u03BC"},    // micro sign, mu
      {"\u2126", "\u03A9"},    // ohm sign, Omega
      {"\u2206t", "\u0394t"},  // increment, Delta
      {"\u03D5", "\u03C6"},    // phi symbol, phi
      {"y\u0302", "\u0177"},   // y with circumflex
      {"\u0177", "\u0177"},
      {"x\u0302", "x\u0302"},            // has no code point of its own
      {"\u03B1\u2081", "\u03B1\u2081"},  // a subscript stays: `α₁` is not `α1`
      {"U\u0308\u0304", "\u01D5"},       // two marks
      {"\U0001D44E", "\U0001D44E"},
  };
  for (const Case& c : cases) EXPECT_EQ(NormalizeName(c.name), c.normalized) << c.name;
}

TEST(Name, NormalizingTwiceChangesNothing) {
  for (const char* name : {"\u00B5", "a\u0301\u0302", "\u2126\u0301", "\u03B1\u0301\u0345"}) {
    EXPECT_EQ(NormalizeName(NormalizeName(name)), NormalizeName(name));
  }
}

}  // namespace
}  // namespace amo::lang
