// SPDX-License-Identifier: Apache-2.0
// Choosing a problem: every program of the literature has one, variants overlay, overrides count, mistakes are named.
#include "lang/problem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "lang/parser.h"
#include "lang/render.h"

namespace amo::lang {
namespace {

std::string Messages(const Diagnostics& d) {
  std::string all;
  for (const Diagnostic& x : d.Sorted())
    all += std::string(CodeName(x.code)) + ": " + x.message + " | " + x.help + "\n";
  return all;
}

struct Result {
  Program program;
  Problem problem;
  Diagnostics diagnostics;
};

void Read(const std::string& text, const ProblemChoice& choice, Result& r) {
  const std::string path = testing::TempDir() + "/problem_test.amo";
  std::ofstream(path) << text;
  r.program = Load(path, r.diagnostics);
  r.problem = Choose(r.program, choice, r.diagnostics);
}

TEST(Choose, EveryProgram) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/programs")) {
    if (entry.path().extension() != ".amo") continue;
    Diagnostics d;
    const Program program = Load(entry.path().string(), d);
    for (const std::string& name : ProblemNames(program)) {
      std::vector<std::string> variants = VariantNames(program, name);
      variants.push_back("");
      for (const std::string& v : variants) {
        const Problem p = Choose(program, {name, v}, d);
        EXPECT_EQ(p.name, name);
        EXPECT_EQ(Messages(d), "") << entry.path() << " " << name << " " << v;
      }
    }
    ++count;
  }
  EXPECT_GE(count, 50);
}

TEST(Choose, NumbersAndOverrides) {
  Result r;
  Read("amo 1\nproblem a\ndim n = 2 * k + 1\ndim k = 3\nvariable y : real[n]\nminimize sumsq(y)\n"
       "variant big\n  dim k = 50\n", {"", ""}, r);
  EXPECT_EQ(Messages(r.diagnostics), "");
  EXPECT_EQ(r.problem.numbers.at("n"), 7);
  EXPECT_EQ(Choose(r.program, {"a", "big"}, r.diagnostics).numbers.at("n"), 101);
  EXPECT_EQ(Messages(r.diagnostics), "");
  ExprId id = 0;
  const std::uint32_t source = r.program.sources.Add("--set", "5");
  r.program.overrides.push_back({"k", ParseExpr(r.program.sources, source, id, r.diagnostics)});
  EXPECT_EQ(Choose(r.program, {}, r.diagnostics).numbers.at("n"), 11);
}

TEST(Choose, ValuesStandAfterWhatTheyUse) {
  Result r;
  Read(
      "amo 1\nproblem a\nlet z = 2 * m\nlet m = x + y\ncontext x : real ~ normal(0, 1)\nvariable y : real\nminimize "
      "z^2\n",
      {}, r);
  EXPECT_EQ(Messages(r.diagnostics), "");
  const auto at = [&](const std::string& name) {
    const auto& v = r.problem.values;
    return std::find(v.begin(), v.end(), r.problem.names.at(name)) - v.begin();
  };
  EXPECT_LT(at("m"), at("z"));
  EXPECT_LT(at("x"), at("m"));
}

TEST(Choose, NamesMistakes) {
  const struct { const char* text; ProblemChoice choice; const char* expected;
  } kCases[] = {
      {"amo 1\nproblem a\nlet p = q\nlet q = p\n", {}, "cycle: declarations depend on each other: `p` → `q` → `p`"},
      {"amo 1\nproblem a\nlet p = 1\nlet p = 2\n", {}, "duplicate-name: `p` is declared twice"},
      {"amo 1\nproblem a\nvariable y : real\nminimize y^2\nminimize y\n",
       {},
       "duplicate-part: a problem has one objective"},
      {"amo 1\nproblem abc\n", {"abd", ""}, "override: no problem is called `abd` | did you mean `abc`?"},
      {"amo 1\nproblem a\nvariant fast\n",
       {"", "fist"},
       "override: no variant is called `fist` | did you mean `fast`?"},
      {"amo 1\nproblem a\ndim n = 2.5\n", {}, "domain: the dim `n` is 2.5"},
      {"amo 1\nuse \"nowhere.amo\"\nproblem a\n", {}, "file: cannot read"},
  };
  for (const auto& c : kCases) {
    Result r;
    Read(c.text, c.choice, r);
    EXPECT_NE(Messages(r.diagnostics).find(c.expected), std::string::npos) << c.text << Messages(r.diagnostics);
  }
}

}  // namespace
}  // namespace amo::lang
