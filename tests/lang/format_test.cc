// SPDX-License-Identifier: Apache-2.0
#include "lang/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "lang/diagnostic.h"
#include "lang/dump.h"
#include "lang/parser.h"
#include "lang/tokens.h"

namespace amo::lang {
namespace {

std::string Formatted(const std::string& text) {
  Sources sources;
  return Format(sources, sources.Add("a.amo", text));
}

std::string Tree(const std::string& text) {
  Sources sources;
  Diagnostics diagnostics;
  ExprId next_id = 0;
  const File file = Parse(sources, sources.Add("a.amo", text), next_id, diagnostics);
  EXPECT_TRUE(diagnostics.all().empty()) << text;
  return Dump(file);
}

std::vector<std::string> Comments(const std::string& text) {
  Sources sources;
  const std::uint32_t id = sources.Add("a.amo", text);
  std::vector<std::string> comments;
  for (const Token& token : Tokenize(sources, id)) {
    if (token.hidden) comments.emplace_back(sources.Text(token.span));
  }
  return comments;
}

std::vector<std::pair<std::string, std::string>> Programs() {
  std::vector<std::pair<std::string, std::string>> programs;
  for (const auto& entry : std::filesystem::directory_iterator("tests/programs")) {
    if (entry.path().extension() != ".amo") continue;
    std::ifstream in(entry.path());
    programs.emplace_back(entry.path().filename(), std::string{std::istreambuf_iterator<char>(in), {}});
  }
  return programs;
}

// Everything on one line: how a program looks to the grammar.
std::string Flat(const std::string& text) {
  Sources sources;
  const std::uint32_t id = sources.Add("a.amo", text);
  std::string flat;
  for (const Token& token : Tokenize(sources, id)) {
    if (!token.hidden) flat += std::string(sources.Text(token.span)) + " ";
  }
  return flat;
}

TEST(Format, EveryProgramKeepsItsTreeAndItsCommentsAndIsStable) {
  const auto programs = Programs();
  EXPECT_GE(programs.size(), 56u);
  for (const auto& [name, text] : programs) {
    const std::string formatted = Formatted(text);
    EXPECT_EQ(Tree(formatted), Tree(text)) << name;
    EXPECT_EQ(Comments(formatted), Comments(text)) << name;
    EXPECT_EQ(Formatted(formatted), formatted) << name;
  }
}

TEST(Format, EveryProgramOnOneLineKeepsItsTree) {
  for (const auto& [name, text] : Programs()) {
    const std::string flat = Flat(text), formatted = Formatted(flat);
    EXPECT_EQ(Tree(formatted), Tree(text)) << name;
    EXPECT_EQ(Formatted(formatted), formatted) << name;
    EXPECT_GT(std::count(formatted.begin(), formatted.end(), '\n'), 4) << name;
  }
}

TEST(Format, Spacing) {
  struct Case {
    const char *text, *formatted;
  };
  const Case cases[] = {
      {"let a=-x^2+y'*z ./ 3", "let a = -x^2 + y' * z ./ 3\n"},
      {"let a = x ^ - 1", "let a = x^-1\n"},
      {"let a = - - x - -y", "let a = - -x - -y\n"},
      {"let a=2*(-x)", "let a = 2 * (-x)\n"},
      {"let a = x [ 0 .. n , : ] ( s )", "let a = x[0..n, :](s)\n"},
      {"let a = W[ :,1 ]", "let a = W[:, 1]\n"},
      {"let a = x[..n] + x[1 ..]", "let a = x[..n] + x[1..]\n"},
      {"let a = net( t ;w )", "let a = net(t; w)\n"},
      {"let a = f(k=1)", "let a = f(k = 1)\n"},
      {"let a = sum(i in n,j in 0 .. m if i!=j : x[i])", "let a = sum(i in n, j in 0..m if i != j: x[i])\n"},
      {"let a = mean(i in 64,e:real[k]~normal(0,1) : e)", "let a = mean(i in 64, e : real[k] ~ normal(0, 1): e)\n"},
      {"let a = [t in H :u[t]]", "let a = [t in H: u[t]]\n"},
      {"let a = if x>0 then(x)else-1", "let a = if x > 0 then (x) else -1\n"},
      {"let a = not(x)and(y or z)", "let a = not (x) and (y or z)\n"},
      {"let a = p(v=c) . y", "let a = p(v = c).y\n"},
      {"variable y:real[n]in box(0,1)", "variable y : real[n] in box(0, 1)\n"},
      {"variable mu,logvar:real[k]", "variable mu, logvar : real[k]\n"},
      {"network Q [i in 2] (s:real[n])->real=mlp(hidden=[3])",
       "network Q[i in 2](s : real[n]) -> real = mlp(hidden = [3])\n"},
      {"loss Q :x", "loss Q: x\n"},
      {"train enc,cell :rate=1e-3", "train enc, cell: rate = 1e-3\n"},
      {"next s=env(s)until(failed)", "next s = env(s) until (failed)\n"},
      {"data A:real from \"a.npz\" . A", "data A : real from \"a.npz\".A\n"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Formatted(c.text), c.formatted);
    EXPECT_EQ(Formatted(c.formatted), c.formatted);
  }
}

TEST(Format, ALineThatContinuesACallIsJoined) {
  EXPECT_EQ(Formatted("let a = 2 * b\n(c + d)"), "let a = 2 * b(c + d)\n");
  EXPECT_EQ(Formatted("let a = b\n[1]\n'"), "let a = b[1]'\n");
}

TEST(Format, CommentsThatForceALineStay) {
  const std::string text = "let a = b # why\n(c)\nsubject to # all\n x: y # last\n <= 1\n# end";
  const std::string formatted = Formatted(text);
  EXPECT_EQ(Tree(formatted), Tree(text));
  EXPECT_EQ(Comments(formatted), Comments(text));
  EXPECT_EQ(Formatted(formatted), formatted);
}

TEST(Format, LineEndsAndMark) {
  EXPECT_EQ(Formatted("\xEF\xBB\xBF"
                      "amo 1\r\nlet a = 1\r\n\r\n\r\nlet b = 2"),
            "amo 1\nlet a = 1\n\nlet b = 2\n");
  EXPECT_EQ(Formatted(""), "");
  EXPECT_EQ(Formatted("\n\n# only\n\n\n# comments  \n"), "# only\n\n# comments\n");
}

TEST(Format, ATextWithAnErrorComesBackUnchanged) {
  for (const char* text : {"let  a = ", "let  a = 1 )", "\xFF  x"}) EXPECT_EQ(Formatted(text), text);
}

TEST(Format, ManyLinesTakeLinearTime) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "#\n";
  for (int i = 0; i < 5'000; ++i) text += "let a = [1,\n2] # c\n";
  const std::string formatted = Formatted(text);
  EXPECT_EQ(std::count(formatted.begin(), formatted.end(), '\n'), 110'000);
}

}  // namespace
}  // namespace amo::lang
