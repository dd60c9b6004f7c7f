// SPDX-License-Identifier: Apache-2.0
#include "lang/text.h"

#include <gtest/gtest.h>

namespace amo::lang {
namespace {

struct Answer {
  bool good;
  std::string message;
  std::uint32_t at;
};

Answer Check(std::string text) {
  Sources sources;
  Diagnostics diagnostics;
  const bool good = CheckText(sources, sources.Add("a.amo", std::move(text)), diagnostics);
  EXPECT_EQ(good, diagnostics.all().empty());
  if (good) return {true, "", 0};
  EXPECT_EQ(diagnostics.all()[0].code, Code::kEncoding);
  return {false, diagnostics.all()[0].message, diagnostics.all()[0].span.begin};
}

TEST(Text, AcceptsUtf8) {
  for (const char* text : {"", "let a = 1\n", "\u00B5 \u2264 \U0001F600 \U0010FFFF",
                           "\xEF\xBB\xBF"
                           "amo 1"}) {
    EXPECT_TRUE(Check(text).good) << text;
  }
}

TEST(Text, RejectsWhatIsNotUtf8AtItsPlace) {
  // a lone tail, a lone lead, overlong forms of `/`, surrogate U+D800, beyond U+10FFFF, a cut sequence, Latin-1
  for (const char* bytes : {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xF0\x80\x80\xAF", "\xED\xA0\x80",
                            "\xF4\x90\x80\x80", "\xE2\x82", "\xFF", "\xE4 "}) {
    const Answer answer = Check(std::string("ab") + bytes);
    EXPECT_FALSE(answer.good);
    EXPECT_EQ(answer.at, 2u);
    EXPECT_NE(answer.message.find("is not UTF-8 text"), std::string::npos);
  }
}

TEST(Text, RejectsNulAndSize) {
  EXPECT_EQ(Check(std::string("let a\0= 1", 9)).message, "the file holds a NUL byte: it is not text");
  EXPECT_EQ(Check(std::string("let a\0= 1", 9)).at, 5u);
  EXPECT_TRUE(Check(std::string(kMaxTextSize, ' ')).good);
  EXPECT_EQ(Check(std::string(kMaxTextSize + 1, ' ')).message, "the file has 16777217 bytes: the limit is 16 MB");
}

}  // namespace
}  // namespace amo::lang
