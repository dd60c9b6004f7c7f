// SPDX-License-Identifier: Apache-2.0
#include "lang/diagnostic.h"

#include <gtest/gtest.h>

#include <set>

namespace amo::lang {
namespace {

TEST(Diagnostic, EveryCodeHasANameAndAnExplanation) {
  std::set<std::string_view> names;
  int count = 0;
  for (const Code code : {
#define AMO_DIAGNOSTIC(name, text, explanation) Code::k##name,
#include "lang/diagnostic.def"
#undef AMO_DIAGNOSTIC
       }) {
    ++count;
    names.insert(CodeName(code));
    EXPECT_FALSE(CodeExplanation(code).empty());
    EXPECT_EQ(CodeName(code).find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string_view::npos);
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(count));
  EXPECT_EQ(CodeName(Code::kShapeMismatch), "shape-mismatch");
}

TEST(Diagnostic, SortsByPlaceAndCountsErrors) {
  Diagnostics d;
  d.Warning(Code::kUnused, {5, 6, 1}, "third");
  EXPECT_FALSE(d.has_errors());
  d.Error(Code::kSyntax, {9, 9, 0}, "second").Under("label").Label({1, 2, 0}, "there").Help("help");
  d.Error(Code::kSyntax, {1, 2, 0}, "first");
  EXPECT_TRUE(d.has_errors());
  const std::vector<Diagnostic> sorted = d.Sorted();
  ASSERT_EQ(sorted.size(), 3u);
  EXPECT_EQ(sorted[0].message, "first");
  EXPECT_EQ(sorted[1].message, "second");
  EXPECT_EQ(sorted[1].label, "label");
  EXPECT_EQ(sorted[1].labels.at(0).text, "there");
  EXPECT_EQ(sorted[1].help, "help");
  EXPECT_EQ(sorted[2].message, "third");
  EXPECT_EQ(d.all()[0].message, "third");
}

TEST(Diagnostic, NearestAllowsHalfOfTheLettersAndAtMostThree) {
  const std::vector<std::string> known = {"gamma", "sigma", "portfolio", "x"};
  EXPECT_EQ(Nearest("gama", known), "gamma");
  EXPECT_EQ(Nearest("gmama", known), "gamma");
  EXPECT_EQ(Nearest("sigmas", known), "sigma");
  EXPECT_EQ(Nearest("portfoilo", known), "portfolio");
  EXPECT_EQ(Nearest("potflo", known), "portfolio");
  EXPECT_EQ(Nearest("pfolo", known), "");
  EXPECT_EQ(Nearest("y", known), "");
  EXPECT_EQ(Nearest("", known), "");
}

}  // namespace
}  // namespace amo::lang
