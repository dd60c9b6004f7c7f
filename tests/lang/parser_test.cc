// SPDX-License-Identifier: Apache-2.0
#include "lang/parser.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "lang/dump.h"

namespace amo::lang {
namespace {

struct Parsed {
  Sources sources;
  Diagnostics diagnostics;
  File file;
  ExprId next_id = 0;

  explicit Parsed(std::string text) {
    const std::uint32_t id = sources.Add("a.amo", std::move(text));
    file = Parse(sources, id, next_id, diagnostics);
  }
  // "line:column message", one on a line.
  std::string Messages() const {
    std::string out;
    for (const Diagnostic& d : diagnostics.Sorted()) {
      const Position at = sources.At(d.span.source, d.span.begin);
      out += std::to_string(at.line) + ":" + std::to_string(at.column) + " " + d.message + "\n";
    }
    return out;
  }
};

// The dump of the expression in `let a = TEXT`.
std::string Tree(const std::string& text) {
  Sources sources;
  Diagnostics diagnostics;
  ExprId next_id = 0;
  const ExprPtr e = ParseExpr(sources, sources.Add("a.amo", text), next_id, diagnostics);
  return e == nullptr ? "(none)" : Dump(*e);
}

TEST(Parser, EveryProgramOfTheLiteratureParses) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/programs")) {
    if (entry.path().extension() != ".amo") continue;
    std::ifstream in(entry.path());
    const Parsed p(std::string{std::istreambuf_iterator<char>(in), {}});
    EXPECT_EQ(p.Messages(), "") << entry.path();
    EXPECT_GT(p.file.decls.size(), 5u) << entry.path();
    for (const Decl& decl : p.file.decls) EXPECT_FALSE(decl.broken);
    ++count;
  }
  EXPECT_GE(count, 56);
}

TEST(Parser, Precedence) {
  struct Case {
    const char *text, *same;
  };
  const Case cases[] = {
      {"-x^2", "-(x^2)"},
      {"2^-1", "2^(-1)"},
      {"a^b^c", "a^(b^c)"},
      {"x'^2", "(x')^2"},
      {"2^A'", "2^(A')"},
      {"-x * y", "(-x) * y"},
      {"a - b - c", "(a - b) - c"},
      {"a / b * c", "(a / b) * c"},
      {"a + b * c", "a + (b * c)"},
      {"a .* b % c", "(a .* b) % c"},
      {"not a == b", "not (a == b)"},
      {"a or b and c", "a or (b and c)"},
      {"a and not b or c", "(a and (not b)) or c"},
      {"a < b + 1", "a < (b + 1)"},
      {"if a then b else c + 1", "if a then b else (c + 1)"},
      {"if a then b else if c then d else e", "if a then b else (if c then d else e)"},
      {"a + 1 where a = 2", "(a + 1) where a = 2"},
  };
  // The same tree up to the parentheses: compare the lines that are none, without indentation.
  const auto flat = [](const std::string& tree) {
    std::string out;
    for (std::size_t i = 0; i < tree.size();) {
      const std::size_t end = tree.find('\n', i);
      std::string line = tree.substr(i, end - i);
      line.erase(0, line.find_first_not_of(' '));
      const std::size_t paren = line.rfind("paren");
      if (paren == std::string::npos)
        out += line.substr(line.find(": ") == std::string::npos ? 0 : line.find(": ") + 2) + ";";
      i = end + 1;
    }
    return out;
  };
  for (const Case& c : cases) {
    ASSERT_NE(Tree(c.text), "(none)") << c.text;
    EXPECT_EQ(flat(Tree(c.text)), flat(Tree(c.same))) << c.text;
  }
  EXPECT_EQ(Tree("a <= b <= c"), "compare\n  name a\n  <=: name b\n  <=: name c\n");
}

TEST(Parser, CallsAndComprehensionsShareTheirStart) {
  EXPECT_EQ(Tree("f(z = s, t)"), "call\n  name f\n  z: name s\n  name t\n");
  EXPECT_EQ(Tree("scan(z = s, t in H: e)"), "call scan\n  start z\n    name s\n  in t\n    hi: name H\n  name e\n");
  EXPECT_EQ(Tree("mean(i in 4, e : real[k] ~ d(0) if i > 1: e)"),
            "call mean\n  in i\n    hi: number 4\n  draw e\n    type real\n      name k\n    call\n      name d\n    "
            "  number 0\n"
            "  if: compare\n    name i\n    >: number 1\n  name e\n");
  EXPECT_EQ(Tree("net(t; w, v)"), "call\n  name net\n  name t\n  weights: name w\n  weights: name v\n");
  EXPECT_EQ(Tree("latent(dim = 2, from = 3)"), "call\n  name latent\n  dim: number 2\n  from: number 3\n");
  EXPECT_EQ(Tree("Q[i](s).data[0]'"),
            "transpose\n  index\n    member data\n      call\n        index\n          name Q\n          at: name i\n"
            "        name s\n    at: number 0\n");
  EXPECT_EQ(Tree("x[1..n, :, ..2, 3..]"),
            "index\n  name x\n  range\n    lo: number 1\n    hi: name n\n  all\n  range\n    hi: number 2\n  range\n "
            "   lo: number 3\n");
}

TEST(Parser, NumbersStringsAndNames) {
  EXPECT_EQ(Tree("5"), "number 5\n");
  EXPECT_EQ(Tree("5.0"), "number 5 real\n");
  EXPECT_EQ(Tree("5e2"), "number 500 real\n");
  EXPECT_EQ(Tree("1e-999"), "number 0 real\n");
  EXPECT_EQ(Tree("\u00B5"), "name \u03BC\n");
  EXPECT_EQ(Parsed("let a = 1e999").Messages(), "1:9 `1e999` is larger than the largest number\n");
  const Parsed p("data A : real from \"a # b.npy\"");
  EXPECT_EQ(Dump(p.file.decls.at(0)), "data A\n  type real\n  from: string \"a # b.npy\"\n");
}

TEST(Parser, WordsThatAreKeywordsOnlyInTheirPlace) {
  const Parsed p(
      "let solve = next(to) + by\nlet over = project(v, until)\nsolve solve = over\nnext next = amo until until");
  EXPECT_EQ(p.Messages(), "");
  ASSERT_EQ(p.file.decls.size(), 4u);
  EXPECT_TRUE(std::holds_alternative<SolveDecl>(p.file.decls[2].node));
  EXPECT_TRUE(std::holds_alternative<NextDecl>(p.file.decls[3].node));
}

TEST(Parser, IdsAreDenseOverFiles) {
  Sources sources;
  Diagnostics diagnostics;
  ExprId next_id = 0;
  const std::uint32_t a = sources.Add("a.amo", "let a = 1 + 2"), b = sources.Add("b.amo", "let b = 3");
  const File first = Parse(sources, a, next_id, diagnostics);
  EXPECT_EQ(next_id, 3u);
  const File second = Parse(sources, b, next_id, diagnostics);
  EXPECT_EQ(next_id, 4u);
  EXPECT_EQ(std::get<LetDecl>(first.decls[0].node).value->id, 2u);
  EXPECT_EQ(std::get<LetDecl>(second.decls[0].node).value->id, 3u);
  EXPECT_EQ(second.source, b);
}

TEST(Parser, SpansCoverTheirText) {
  const Parsed p("amo 1\nlet \u03BC[i in n] = f(x[i], 2)' + 1  # c\nsubject to\n  cap: w <= 0.1\n");
  EXPECT_EQ(p.sources.Text(p.file.decls[0].span), "let \u03BC[i in n] = f(x[i], 2)' + 1");
  EXPECT_EQ(p.sources.Text(p.file.decls[0].keyword), "let");
  const auto& let = std::get<LetDecl>(p.file.decls[0].node);
  EXPECT_EQ(p.sources.Text(let.name.span), "\u03BC");
  const auto& sum = std::get<Binary>(let.value->node);
  EXPECT_EQ(p.sources.Text(sum.op_span), "+");
  EXPECT_EQ(p.sources.Text(sum.left->span), "f(x[i], 2)'");
  const auto& call = std::get<Call>(std::get<Transpose>(sum.left->node).base->node);
  EXPECT_EQ(p.sources.Text(call.args[0].value->span), "x[i]");
  const auto& constraint = std::get<SubjectDecl>(p.file.decls[1].node).constraints.at(0);
  EXPECT_EQ(p.sources.Text(constraint.span), "cap: w <= 0.1");
  EXPECT_EQ(p.sources.Text(p.file.decls[1].span), "subject to\n  cap: w <= 0.1");
}

TEST(Parser, LineStartsHaveNoMeaning) {
  const Parsed lines("subject to\n  a: x <= 1\n  b[i in n]: y[i] >= 0\nmodel zeros\nsolve zeros\n");
  const Parsed line("subject to a: x <= 1 b[i in n]: y[i] >= 0 model zeros solve zeros");
  EXPECT_EQ(line.Messages(), "");
  EXPECT_EQ(Dump(line.file), Dump(lines.file));
}

TEST(Parser, GoodDeclarationsSurviveBadOnes) {
  const Parsed p(
      "let a = 1 +\nlet b, c = 2\nvariable u, v real\nlet d = 4\nsubject to\n  one: d <= = 1\n  two: d <= 1\n");
  std::vector<std::string> heads;
  for (const Decl& decl : p.file.decls) {
    const std::string dump = Dump(decl);
    heads.push_back(dump.substr(0, dump.find('\n')));
  }
  EXPECT_EQ(heads, (std::vector<std::string>{"let a (broken)", "let b (broken)", "variable u, v (broken)", "let d",
                                             "subject to", "subject to (broken)"}));
  EXPECT_EQ(std::get<SubjectDecl>(p.file.decls[4].node).constraints.at(0).name.text, "two");
  EXPECT_EQ(std::get<SubjectDecl>(p.file.decls[5].node).constraints.at(0).name.text, "one");
  EXPECT_EQ(p.diagnostics.all().size(), 4u);
}

TEST(Parser, AMisspeltKeywordIsReportedAndParsedOn) {
  const Parsed p("varible y : real\nminimise y^2 +\nlet a = 1");
  EXPECT_EQ(p.Messages(),
            "1:1 `varible` starts no declaration: did you mean `variable`?\n"
            "2:1 `minimise` starts no declaration: did you mean `minimize`?\n"
            "3:1 expected an expression after `+`, found `let`\n");
  ASSERT_EQ(p.file.decls.size(), 3u);
  EXPECT_EQ(Dump(p.file.decls[0]), "variable y\n  type real\n");
}

// Mistakes beyond those in tests/cases/syntax: one text, its one message.
TEST(Parser, OneMessageForEachMistake) {
  struct Case {
    const char *text, *message;
  };
  const Case cases[] = {
      {"variable w real[3]", "1:12 expected `:` after `w`, found `real`"},
      {"variable : real", "1:10 expected a name after `variable`, found `:`"},
      {"variable w : real in", "1:21 expected an expression after `in`, found the end of the file"},
      {"let a b = 3", "1:7 expected `=` after `a`, found `b`"},
      {"let a := 3", "1:7 `:=` is written `=`"},
      {"let a = [1 2]", "1:12 expected `,` or an operator between `1` and `2`"},
      {"let a = f(x, )", "1:14 expected an expression after `,`, found `)`"},
      {"let a = sum(i in n x[i])", "1:20 expected `:` between the index and what is computed for it, before `x`"},
      {"let a = sum(i in n)", "1:19 expected `:` and what is to be computed for each index"},
      {"let a = f(x, i in n: i)", "1:11 a comprehension holds indices only: expected one such as `i in n`"},
      {"let a = f(z = 1: z)", "1:9 a comprehension needs an index such as `i in n` before its `:`"},
      {"let a = [z = 1, i in n: z]", "1:10 an array has no state: `z` is a start of `scan`"},
      {"let a = sum[i in n: i]", "1:12 a comprehension takes parentheses: `sum(i in …: …)`"},
      {"let a = x[1:3]", "1:12 a slice is written `a[lo..hi]`"},
      {"let a = 1.", "1:10 expected a digit after the point"},
      {"let a = .5", "1:9 expected a digit before the point"},
      {"let a = 1_000", "1:9 the digits of a number are not grouped"},
      {"let a = 3y", "1:9 expected an operator between `3` and `y`"},
      {"let a = 3e", "1:9 expected digits after `3e`, as in `3e3`"},
      {"let a = \"abc", "1:9 the string is never closed: expected `\"` before the end of the line"},
      {"let a = x -- y", "1:11 `--` is read as a slip: write `- -x`, or one `-`"},
      {"let a = x²", "1:10 the power is written `^2`"},
      {"let a = if x: 1 else 2", "1:13 expected `then` after `x`, found `:`"},
      {"let a = f(x)(y)", "1:13 only a name is called"},
      {"let a = x where b = 2 c = 3", "1:23 expected `,` between definitions, before `c`"},
      {"let a = 1, b = 2", "1:10 each definition has a `let` of its own"},
      {"let f(x) = 3", "1:1 a function is declared by `function`: `function f(x : real) = …`"},
      {"let a = x from y", "1:11 `from` has no place here: the declaration is whole before it"},
      {"let a = data + 1", "1:9 `data` is a keyword: choose another name"},
      {"function f(x) = x", "1:13 expected `:` after `x`, found `)`"},
      {"network f(x : real) -> real", "1:28 expected `=` or `from` after `real`, found the end of the file"},
      {"subject a: x <= 1", "1:1 expected `to` after `subject`"},
      {"subject to", "1:1 expected a constraint after `subject to`"},
      {"subject to 2 * x <= 1", "1:12 a constraint needs a name: `NAME: 2 …`"},
      {"subject to model: x <= 1", "1:12 `model` is a keyword: choose another name"},
      {"subject to a: x <= 1, b: y <= 2", "1:21 constraints have no `,` between them: each starts with its name"},
      {"variable y : real >= 0", "1:19 a bound on a variable is a set: `in box(lo, hi)`, `in nonnegative`"},
      {"model x = y, then f", "1:14 expected a name after `,`, found `then`"},
      {"train", "1:6 expected a setting after `train`, found the end of the file"},
      {"train\nlet a = 1", "2:1 expected a setting after `train`, found `let`"},
      {"train steps", "1:12 expected `=` after `steps`, found the end of the file"},
      {"hidden r mnist", "1:10 expected `:`, `=`, `~` or `from` after `r`, found `mnist`"},
      {"random e : real = 3", "1:17 expected `~` after `real`, found `=`"},
      {"use pendulum", "1:5 expected a string after `use`, found `pendulum`"},
      {"hello", "1:1 `hello` starts no declaration"},
      {"let a = 1\n(x)", "2:1 `(` starts no declaration"},
      {"amo 2", "1:5 this amo reads version 1 of the language, not 2"},
      {"let a = 1 amo 1", "1:11 `amo 1` stands on the first line only"},
  };
  for (const Case& c : cases) EXPECT_EQ(Parsed(c.text).Messages(), std::string(c.message) + "\n") << c.text;
}

TEST(Parser, AKeywordAsANameIsReportedOnce) {
  EXPECT_EQ(Parsed("let loss = 1\nlet a = 2 * loss\nlet b = loss + 1").Messages(),
            "1:5 `loss` is a keyword: choose another name\n");
}

TEST(Parser, ExpressionsOfTheCommandLine) {
  EXPECT_EQ(Tree("2 * n"), "*\n  number 2\n  name n\n");
  for (const char* text : {"", "2 *", "(2", "2 3", "let a = 2", "\xFF", "2))"}) {
    Sources sources;
    Diagnostics diagnostics;
    ExprId next_id = 0;
    EXPECT_EQ(ParseExpr(sources, sources.Add("--set", text), next_id, diagnostics), nullptr) << text;
    EXPECT_EQ(diagnostics.all().size(), 1u) << text;
  }
}

std::string Repeat(const std::string& part, std::size_t times) {
  std::string out;
  out.reserve(part.size() * times);
  for (std::size_t i = 0; i < times; ++i) out += part;
  return out;
}

TEST(Parser, HostileInputEndsInOneDiagnostic) {
  struct Case {
    std::string text;
    Code code;
  };
  const std::vector<Case> cases = {
      {"minimize " + Repeat("(", 40'000) + "x" + Repeat(")", 40'000), Code::kNesting},
      {"minimize " + Repeat("[", 40'000), Code::kNesting},
      {"minimize " + Repeat("f(", 40'000), Code::kNesting},
      {"minimize " + Repeat("sum(i in n: ", 40'000), Code::kNesting},
      {"let a = " + Repeat("if x then 1 else ", 40'000) + "2", Code::kNesting},
      {"let a = " + Repeat("- ", 40'000) + "2", Code::kNesting},
      {"let a = " + Repeat("not ", 40'000) + "true", Code::kNesting},
      {"let a = " + Repeat("2 ^ ", 40'000) + "2", Code::kNesting},
      {"let a = f(" + Repeat("x = 1, ", 40'000) + "2)", Code::kNesting},
      {"let a = " + Repeat("x + ", 40'000) + "1", Code::kNesting},
      {"let a = x" + Repeat("[1]", 40'000), Code::kNesting},
      {"let a = x" + Repeat("'", 40'000), Code::kNesting},
      {"let a = [" + Repeat("1, ", 600'000) + "1]", Code::kEncoding},  // too many tokens
      {std::string(17 << 20, ' '), Code::kEncoding},
      {std::string("let a = 1\0", 10), Code::kEncoding},
      {"let a = \xC3\x28", Code::kEncoding},
      {std::string(10'000'000, '9') + "q", Code::kSyntax},  // a line of 10 MB
      {"let a = \"" + std::string(10'000'000, 'x'), Code::kSyntax},
  };
  for (const Case& c : cases) {
    const Parsed p(c.text);
    ASSERT_EQ(p.diagnostics.all().size(), 1u) << c.text.substr(0, 40);
    EXPECT_EQ(CodeName(p.diagnostics.all()[0].code), CodeName(c.code)) << c.text.substr(0, 40);
  }
}

TEST(Parser, DeepButBoundedTextsParse) {
  EXPECT_EQ(Parsed("let a = " + Repeat("(", 256) + "x" + Repeat(")", 256)).Messages(), "");
  EXPECT_EQ(Parsed("let a = " + Repeat("if x then 1 else ", 250) + "2").Messages(), "");
  EXPECT_EQ(Parsed("let a = " + Repeat("x^2 + ", 900) + "1").Messages(), "");
  EXPECT_EQ(Parsed("let a = [" + Repeat("1, ", 100'000) + "1]").Messages(), "");
  EXPECT_EQ(Parsed("variable y : real # " + std::string(10'000'000, 'c')).Messages(), "");
  EXPECT_EQ(Parsed(Repeat("let a = -x^-2\n", 20'000)).file.decls.size(), 20'000u);
}

TEST(Parser, ManyMistakesAreCutOff) {
  for (const char* line : {"let a = (\n", "a = 1\n", "lte a = 1\n", "let = 1\n", "\xE2\x89\xA4\n"}) {
    const Parsed p(Repeat(line, 50'000));
    EXPECT_GE(p.diagnostics.all().size(), 1u) << line;
    EXPECT_LE(p.diagnostics.all().size(), 201u) << line;
  }
}

TEST(Parser, EmptyFilesMarksAndLineEnds) {
  EXPECT_TRUE(Parsed("").file.decls.empty());
  EXPECT_TRUE(Parsed("\xEF\xBB\xBF").file.decls.empty());
  EXPECT_TRUE(Parsed("# only a comment").file.decls.empty());
  const Parsed p(
      "\xEF\xBB\xBF"
      "amo 1\r\nlet a = 1\rlet b = a\u00A0+ 2\r\n");
  EXPECT_EQ(p.Messages(), "");
  EXPECT_EQ(p.file.decls.size(), 2u);
  EXPECT_EQ(p.file.version, 1);
  EXPECT_EQ(p.sources.Text(p.file.decls[0].span), "let a = 1");
}

}  // namespace
}  // namespace amo::lang
