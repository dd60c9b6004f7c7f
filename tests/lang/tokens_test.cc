// SPDX-License-Identifier: Apache-2.0
#include "lang/tokens.h"

#include <gtest/gtest.h>

#include <string>

namespace amo::lang {
namespace {

// Each token as its kind's letter and its text.
std::string Show(const std::string& text) {
  Sources sources;
  const std::uint32_t id = sources.Add("a.amo", text);
  std::string out;
  for (const Token& token : Tokenize(sources, id)) {
    EXPECT_EQ(token.hidden, token.kind == TokenKind::kComment);
    out += out.empty() ? "" : " ";
    out += std::string(1, "KNDSP#?"[static_cast<int>(token.kind)]) + ":" + std::string(sources.Text(token.span));
  }
  return out;
}

TEST(Tokens, KindsAndSpans) {
  EXPECT_EQ(Show(""), "");
  EXPECT_EQ(Show("let a = 1  # one\nb"), "K:let N:a P:= D:1 #:# one N:b");
  EXPECT_EQ(Show("use \"x # y\""), "K:use S:\"x # y\"");
  EXPECT_EQ(Show("solve next to over"), "N:solve N:next N:to N:over");
  EXPECT_EQ(Show("2x ; {"), "?:2x P:; ?:{");
}

TEST(Tokens, NumbersLexByLongestMatch) {
  EXPECT_EQ(Show("0..n"), "D:0 P:.. N:n");
  EXPECT_EQ(Show("1e3..n"), "D:1e3 P:.. N:n");
  EXPECT_EQ(Show("2.*x 2.5.*x 1./x x.^2"), "D:2 P:.* N:x D:2.5 P:.* N:x D:1 P:./ N:x N:x P:.^ D:2");
  EXPECT_EQ(Show("y <-1"), "N:y P:< P:- D:1");
  EXPECT_EQ(Show("a--b"), "N:a ?:-- N:b");
}

TEST(Tokens, SpansAreBytesAlsoBehindOtherCharacters) {
  EXPECT_EQ(Show("\xEF\xBB\xBFμ = \u0177\u0302 # ü"), "N:μ P:= N:\u0177\u0302 #:# ü");
  EXPECT_EQ(Show("x²"), "N:x ?:²");
  EXPECT_EQ(Show("α₁"), "N:α₁");
}

TEST(Tokens, NoneWhenTheSourceIsNoText) { EXPECT_EQ(Show("let a = \xFF"), ""); }

}  // namespace
}  // namespace amo::lang
