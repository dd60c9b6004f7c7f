// SPDX-License-Identifier: Apache-2.0
#include "lang/source.h"

#include <gtest/gtest.h>

namespace amo::lang {
namespace {

TEST(Source, CountsLinesAndColumnsFromOneInCodePoints) {
  Sources sources;
  const std::uint32_t id = sources.Add("a.amo", "ab\nμ = 1\r\nc");
  struct Case {
    std::uint32_t offset;
    int line, column;
  };
  for (const Case c :
       {Case{0, 1, 1}, Case{2, 1, 3}, Case{3, 2, 1}, Case{5, 2, 2}, Case{11, 3, 1}, Case{12, 3, 2}, Case{99, 3, 2}}) {
    EXPECT_EQ(sources.At(id, c.offset).line, c.line) << c.offset;
    EXPECT_EQ(sources.At(id, c.offset).column, c.column) << c.offset;
  }
}

TEST(Source, GivesLinesWithoutTheirEnd) {
  Sources sources;
  const std::uint32_t id = sources.Add("a.amo",
                                       "\xEF\xBB\xBF"
                                       "a\r\nb\rc\n");
  EXPECT_EQ(sources.Line(id, 1), "a");
  EXPECT_EQ(sources.Line(id, 2), "b");
  EXPECT_EQ(sources.Line(id, 3), "c");
  EXPECT_EQ(sources.Line(id, 4), "");
  EXPECT_EQ(sources.Line(id, 0), "");
  EXPECT_EQ(sources.Line(id, 5), "");
}

TEST(Source, AByteOrderMarkHasNoColumn) {
  Sources sources;
  const std::uint32_t id = sources.Add("a.amo",
                                       "\xEF\xBB\xBF"
                                       "ab");
  EXPECT_EQ(sources.At(id, 3).column, 1);
  EXPECT_EQ(sources.At(id, 4).column, 2);
}

TEST(Source, TextAndJoin) {
  Sources sources;
  sources.Add("a.amo", "one");
  const std::uint32_t id = sources.Add("b.amo", "let a = 1");
  EXPECT_EQ(sources.Text({4, 5, id}), "a");
  EXPECT_EQ(sources.Text({4, 99, id}), "a = 1");
  EXPECT_EQ(sources.Text(Join({0, 3, id}, {4, 5, id})), "let a");
  EXPECT_EQ(sources.size(), 2u);
  EXPECT_EQ(sources[id].path, "b.amo");
}

}  // namespace
}  // namespace amo::lang
