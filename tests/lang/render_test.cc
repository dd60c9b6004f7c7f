// SPDX-License-Identifier: Apache-2.0
#include "lang/render.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace amo::lang {
namespace {

constexpr const char* kText =
    "context mu : real[3]\n"
    "context x : real\n"
    "# a\n"
    "variable w : real[4]\n"
    "minimize mu + w\n";

struct Fixture {
  Sources sources;
  Diagnostics diagnostics;
  std::uint32_t id = sources.Add("portfolio.amo", kText);
  Span Of(std::string_view part) const {
    const std::uint32_t begin = static_cast<std::uint32_t>(sources[id].text.rfind(part));
    return {begin, begin + static_cast<std::uint32_t>(part.size()), id};
  }
};

TEST(Render, WindowWithLabelsAndHelp) {
  Fixture f;
  f.diagnostics.Error(Code::kShapeMismatch, f.Of("mu + w"), "operands of `+` have shapes `[3]` and `[4]`")
      .Under("shape `[3]` on the left, `[4]` on the right")
      .Label({8, 10, f.id}, "declared here with shape `[3]`")
      .Help("`w[0..3]` has shape `[3]`");
  EXPECT_EQ(Render(f.sources, f.diagnostics),
            "error[shape-mismatch]: operands of `+` have shapes `[3]` and `[4]`\n"
            "  --> portfolio.amo:5:10\n"
            "   |\n"
            " 1 | context mu : real[3]\n"
            "   |         -- declared here with shape `[3]`\n"
            "   :\n"
            " 5 | minimize mu + w\n"
            "   |          ^^^^^^ shape `[3]` on the left, `[4]` on the right\n"
            "   = help: `w[0..3]` has shape `[3]`\n");
}

TEST(Render, TwoMarksOnOneLineAndNeighbouringLines) {
  Fixture f;
  f.diagnostics.Warning(Code::kUnused, f.Of("w : real[4]"), "w")
      .Label(f.Of("variable"), "v")
      .Label(f.Of("minimize"), "m");
  EXPECT_EQ(Render(f.sources, f.diagnostics),
            "warning[unused]: w\n"
            "  --> portfolio.amo:4:10\n"
            "   |\n"
            " 4 | variable w : real[4]\n"
            "   |          ^^^^^^^^^^^\n"
            "   | -------- v\n"
            " 5 | minimize mu + w\n"
            "   | -------- m\n");
}

TEST(Render, AnotherFileHasItsOwnPlace) {
  Fixture f;
  const std::uint32_t other = f.sources.Add("other.amo", "\nlet a = 1\n");
  f.diagnostics.Error(Code::kDuplicateName, f.Of("x"), "`x` is declared twice").Label({5, 6, other}, "first here");
  EXPECT_EQ(Render(f.sources, f.diagnostics),
            "error[duplicate-name]: `x` is declared twice\n"
            "  --> portfolio.amo:2:9\n"
            "   |\n"
            " 2 | context x : real\n"
            "   |         ^\n"
            "  --> other.amo:2:5\n"
            "   |\n"
            " 2 | let a = 1\n"
            "   |     - first here\n");
}

TEST(Render, Compact) {
  Fixture f;
  f.diagnostics.Error(Code::kSyntax, f.Of("w"), "second");
  f.diagnostics.Warning(Code::kUnused, {0, 1, f.id}, "first");
  EXPECT_EQ(RenderCompact(f.sources, f.diagnostics),
            "portfolio.amo:1:1: warning: first [unused]\n"
            "portfolio.amo:5:15: error: second [syntax]\n");
}

TEST(Render, AtMostTwentyThenAndNMore) {
  Fixture f;
  for (int i = 0; i < 23; ++i) f.diagnostics.Error(Code::kSyntax, {0, 1, f.id}, "e");
  const std::string text = Render(f.sources, f.diagnostics);
  EXPECT_TRUE(text.ends_with("\nand 3 more\n"));
  std::size_t count = 0;
  for (std::size_t at = text.find("error["); at != std::string::npos; at = text.find("error[", at + 1)) ++count;
  EXPECT_EQ(count, 20u);
  EXPECT_TRUE(RenderCompact(f.sources, f.diagnostics, {.limit = 22}).ends_with("and 1 more\n"));
}

TEST(Render, JsonForTools) {
  Fixture f;
  f.diagnostics.Error(Code::kSyntax, f.Of("mu + w"), "bad \xFF").Label({8, 10, f.id}, "here").Help("fix");
  const auto json = nlohmann::json::parse(RenderJson(f.sources, f.diagnostics));
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["severity"], "error");
  EXPECT_EQ(json[0]["code"], "syntax");
  EXPECT_EQ(json[0]["file"], "portfolio.amo");
  EXPECT_EQ(json[0]["line"], 5);
  EXPECT_EQ(json[0]["column"], 10);
  EXPECT_EQ(json[0]["end_line"], 5);
  EXPECT_EQ(json[0]["end_column"], 16);
  EXPECT_EQ(json[0]["labels"][0]["text"], "here");
  EXPECT_EQ(json[0]["labels"][0]["line"], 1);
  EXPECT_EQ(json[0]["help"], "fix");
  EXPECT_EQ(RenderJson(f.sources, {}), "[]\n");
}

TEST(Render, ColumnsOfOtherScripts) {
  Sources sources;
  Diagnostics diagnostics;
  const std::string text = "let x\u0302 = \u03BC + 漢 + y";
  const std::uint32_t id = sources.Add("a.amo", text);
  const std::uint32_t end = static_cast<std::uint32_t>(text.size());
  diagnostics.Error(Code::kSyntax, {end - 1, end, id}, "e");
  // The combining mark takes no column, the ideograph two.
  EXPECT_EQ(Render(sources, diagnostics),
            "error[syntax]: e\n"
            "  --> a.amo:1:18\n"
            "   |\n"
            " 1 | let x\u0302 = \u03BC + 漢 + y\n"
            "   |                  ^\n");
}

TEST(Render, HostileTextStaysInsideItsWindow) {
  Sources sources;
  Diagnostics diagnostics;
  const std::uint32_t escape = sources.Add("a.amo", "a\x1b[31m\tb\xFF\n");
  diagnostics.Error(Code::kSyntax, {1, 2, escape}, "found `\x1b`");
  const std::string text = Render(sources, diagnostics);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("a\uFFFD[31m b\uFFFD\n"), std::string::npos);

  Diagnostics far;
  const std::uint32_t wide = sources.Add("b.amo", std::string(10'000'000, 'x'));
  far.Error(Code::kSyntax, {5'000'000, 5'000'003, wide}, "e");
  far.Error(Code::kSyntax, {10'000'000, 10'000'000, wide}, "e");
  far.Error(Code::kSyntax, {0, 10'000'000, wide}, "e");
  EXPECT_LT(Render(sources, far).size(), 2000u);
  EXPECT_NE(Render(sources, far).find(" 1 | …xxx"), std::string::npos);
}

TEST(Render, ColorOnRequestOnly) {
  Fixture f;
  f.diagnostics.Error(Code::kSyntax, f.Of("w"), "e");
  EXPECT_EQ(Render(f.sources, f.diagnostics).find('\x1b'), std::string::npos);
  EXPECT_NE(Render(f.sources, f.diagnostics, {.color = true}).find("\x1b[1;31merror[syntax]\x1b[0m"),
            std::string::npos);
}

TEST(Render, WithoutASource) {
  Sources sources;
  Diagnostics diagnostics;
  diagnostics.Error(Code::kFile, {0, 0, 7}, "`a.amo` cannot be read");
  EXPECT_EQ(Render(sources, diagnostics), "error[file]: `a.amo` cannot be read\n");
  EXPECT_EQ(RenderCompact(sources, diagnostics), "error: `a.amo` cannot be read [file]\n");
}

}  // namespace
}  // namespace amo::lang
