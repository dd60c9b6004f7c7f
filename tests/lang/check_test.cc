// SPDX-License-Identifier: Apache-2.0
// What the checker accepts and what it says of the rest.
#include "lang/check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "lang/builtins.h"
#include "lang/parser.h"
#include "lang/render.h"

namespace amo::lang {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  Program program;
  Problem problem;
  Checked checked;
  Diagnostics diagnostics;
};

struct Set {  // --set NAME=TEXT
  std::string name, text;
};

Outcome CheckText(const std::string& text, const ProblemChoice& choice = {}, const std::vector<Set>& sets = {}) {
  Outcome run;
  run.program = LoadText("test.amo", text, run.diagnostics);
  for (const Set& set : sets) {
    const std::uint32_t source = run.program.sources.Add("--set " + set.name, set.text);
    ExprPtr value = ParseExpr(run.program.sources, source, run.program.expr_count, run.diagnostics);
    run.program.overrides.push_back({set.name, std::move(value)});
  }
  run.problem = Choose(run.program, choice, run.diagnostics);
  run.checked = Check(run.program, run.problem, run.diagnostics);
  return run;
}

std::string Compact(const Outcome& run) { return RenderCompact(run.program.sources, run.diagnostics); }

// ---- the programs of the literature are right, in all their variants

TEST(Check, ProgramsAreRight) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator("tests/programs")) {
    if (entry.path().extension() != ".amo") continue;
    Diagnostics loading;
    const Program program = Load(entry.path().string(), loading);
    for (const std::string& problem : ProblemNames(program)) {
      std::vector<std::string> variants = VariantNames(program, problem);
      variants.insert(variants.begin(), "");
      for (const std::string& variant : variants) {
        Diagnostics diagnostics;
        Check(program, Choose(program, {problem, variant}, diagnostics), diagnostics);
        EXPECT_TRUE(diagnostics.all().empty()) << problem << " " << variant << "\n"
                                               << Render(program.sources, diagnostics);
        ++count;
      }
    }
  }
  EXPECT_GT(count, 100);
}

// ---- one mistake, one message

struct Mistake {
  const char* text;
  Code code;
  const char* message;
};

// Each text is put into a small right program, so that nothing else can be wrong with it.
TEST(Check, OneMistakeOneMessage) {
  const std::string before =
      "dim n = 3\ndim m = 4\ndata A : real[m, n] ~ normal(0, 1)\ncontext x : real[n] ~ normal(0, 1)\n"
      "hidden h : real[n] ~ normal(0, 1)\nvariable y : real[n]\nnetwork net(v : real[n]) -> real = linear\n"
      "parameter w : real[n] = 1\nfunction f(v : real[n]) -> real = sumsq(v)\n"
      "minimize sumsq(A * (y - x)) + net(w) + f(h)\n";
  const Mistake mistakes[] = {
      {"let a = y + b", Code::kUnknownName, "nothing is called `b`"},
      {"let a = q + q * q", Code::kUnknownName, "nothing is called `q`"},
      {"let y = 2", Code::kDuplicateName, "`y` is declared twice"},
      {"let a = A * A", Code::kShapeMismatch, "the inner dims of this product are `n` and `m`"},
      {"let a = x * y", Code::kProductOfVectors, "two vectors cannot be multiplied by `*`"},
      {"let a = (x * y) + (x - y) / 2", Code::kProductOfVectors, "two vectors cannot be multiplied by `*`"},
      {"let a = sum(i in n: x[i] * z[i])", Code::kUnknownName, "nothing is called `z`"},
      {"let a = f(x, y)", Code::kArgumentCount, "`f` takes 1 argument, here are 2"},
      {"let a = f(A)", Code::kShapeMismatch, "`v` of `f` is `real[n]`, this is `real[m, n]`"},
      {"let a = net(zeros(m))", Code::kShapeMismatch, "`v` of `net` is `real[n]`, this is `real[m]`"},
      {"let a = net(x; w)", Code::kShapeMismatch, "the weights of `net` are `real[weights(net)]`, this is `real[n]`"},
      {"let a = weights(f)", Code::kTypeMismatch, "`weights` takes a network, `f` is none"},
      {"data d : real = x[0]", Code::kBindingTime, "`d` is data, known once per file, and rests on the context `x`"},
      {"const c = A[0, 0]", Code::kBindingTime,
       "`c` is a const, known when the file is compiled, and rests on data `A`"},
      {"parameter p : real[n] = x", Code::kBindingTime, "its start is one for all instances"},
      {"context z : real = trained", Code::kUnused, ""},
      {"hidden r : real = y[0]", Code::kBindingTime,
       "`r` is hidden, new for each instance, and rests on the variable `y`"},
      {"function g(v : real) -> real = v * x[0]", Code::kBindingTime, "the function `g` sees consts, data"},
      {"model y = h", Code::kHiddenAtDeployment, "the prediction of `y` needs `h`, which is hidden from it"},
      {"model zeros then adam(steps = 5)", Code::kHiddenAtDeployment, "`adam` follows the objective, which needs `h`"},
      {"model z = x", Code::kUnknownName, "no variable is called `z`"},
      {"model y = A", Code::kShapeMismatch, "`y` is `real[n]`, what it gets is `real[m, n]`"},
      {"model mlp(size = 3)", Code::kUnknownKeyword, "`mlp` has no setting `size`"},
      {"model f(x)", Code::kUnknownName, "no builder is called `f`"},
      {"model newton(steps = 3)", Code::kUnknownName, "no builder is called `newton`"},
      {"model zeros then mlp", Code::kUnknownName, "no refinement is called `mlp`"},
      {"solve zeros then admm(tol = -1)", Code::kDomain, "`tol` is -1, it must be larger than 0"},
      {"solve zeros then adam(steps = 2.5)", Code::kTypeMismatch, "`steps` is a whole number, this is `real`"},
      {"solve zeros then adam(gradient = implicit(cj))", Code::kUnknownName, "`method` knows no `cj`"},
      {"network k(v : real[q]) -> real = linear", Code::kUnknownName, "nothing is called `q`"},
      {"network k(v : real[n]) -> real = slow(f)", Code::kTypeMismatch, "a network is needed here, `f` is none"},
      {"set s project v = sum(v)\nlet a = project(y, s)", Code::kShapeMismatch,
       "a projection gives a point of the shape it takes"},
      {"let a = project(A, psd)", Code::kShapeMismatch, "`psd` is a set of square matrices, `A` is `real[m, n]`"},
      {"let a = project(x, box(zeros(m), 1))", Code::kShapeMismatch,
       "`lo` of `box` is `real[m]`, which does not go with `x`"},
      {"let a = project(x, affine(A', x))", Code::kShapeMismatch, "`A` of `affine` is `real[n, m]`"},
      {"subject to\n  c: f(y)", Code::kRelation, "the constraint `c` is no relation"},
      {"subject to\n  c[i in m]: y[i] >= 0", Code::kShapeMismatch, "`y` has 3 entries, the index `i` goes up to 3"},
      {"subject to\n  c: A * y == x", Code::kShapeMismatch, "the two sides of `==` have shapes `[m]` and `[n]`"},
      {"find y <= x", Code::kRelation, "`find` takes one equation"},
      {"loss y", Code::kNotScalar, "a loss is a single number, this has shape `[n]`"},
      {"loss net: f(w)\nloss objective", Code::kOwner, "the loss of `net` does not rest on it"},
      {"loss x: f(y)", Code::kOwner, "`x` is a context: a loss moves parameters, networks and `model`"},
      {"train rat = 1", Code::kUnknownKeyword, "`train` has no key `rat`"},
      {"train split = nine", Code::kUnknownName, "`split` knows no `nine`"},
      {"report r = y[0]", Code::kBindingTime, "the report `r` is one number for the whole test split"},
      {"report r = s\nreport s = r", Code::kCycle, "declarations depend on each other: `r` → `s` → `r`"},
      {"let a = expect(sum(y))", Code::kBindingTime, "`expect` is the mean over the test split"},
      {"next z = x", Code::kUnknownName, "nothing is called `z`"},
      {"next w = w", Code::kTypeMismatch, "`next` is for a context, `w` is a parameter"},
      {"next x = y until sum(x)", Code::kTypeMismatch, "the condition of `until` is true or false"},
      {"update x = x", Code::kDuplicateName, "`update` is for a variable or declares a state"},
      {"update y = A", Code::kShapeMismatch, "`y` is `real[n]`, what it gets is `real[m, n]`"},
      {"update y = y from x", Code::kDuplicatePart, "the start of the variable `y` is the model's prediction"},
      {"let a = f(x)(y)", Code::kSyntax, "only a name is called"},
      {"let a = y(net = f)", Code::kTypeMismatch, "`net` is a network: only another network replaces it"},
      {"let a = y(x = A)", Code::kShapeMismatch, "`x` is `real[n]`, what replaces it is `real[m, n]`"},
      {"let a = y(w = x)", Code::kUnknownKeyword, "`w` is a parameter, which a call does not replace"},
      {"let a = grad(f(y), 2 * y)", Code::kTypeMismatch, "`grad` is by a real value that has a name"},
      {"let a = scan(z = x, t in m: A * z)", Code::kShapeMismatch, "a step of `scan` gives `real[m]`"},
      {"let a = scan(t in m: 1)", Code::kArgumentCount, "this `scan` has no state"},
      {"let a = norm2(i in n: x[i])", Code::kArgumentCount, "`norm2` takes no indices"},
      {"let a = sumsq", Code::kTypeMismatch, "`sumsq` is a function, not a value"},
      {"let a = norm2(A)", Code::kShapeMismatch, "`norm2` takes a vector"},
      {"let a = linsolve(A, x)", Code::kShapeMismatch, "`linsolve` takes a square matrix"},
      {"let a = block([[A, A], [A]])", Code::kShapeMismatch, "rows of blocks have one width"},
      {"let a = gather(x, [0.5])", Code::kTypeMismatch, "`gather` takes indices that are ints"},
      {"let a = x[0..n + 1]", Code::kShapeMismatch, "this slice reaches 4, `x` has 3 entries"},
      {"let a = categorical_logpdf(1.5, x)", Code::kTypeMismatch, "a category is an int"},
  };
  for (const Mistake& mistake : mistakes) {
    const Outcome run = CheckText(before + mistake.text + "\n");
    std::vector<Diagnostic> found = run.diagnostics.all();
    const bool has_errors = run.diagnostics.has_errors();
    std::erase_if(found, [&](const Diagnostic& d) { return has_errors && d.severity == Severity::kWarning; });
    EXPECT_EQ(found.size(), 1u) << mistake.text << "\n" << Compact(run);
    if (found.empty()) continue;
    EXPECT_EQ(found[0].code, mistake.code) << mistake.text << "\n" << Compact(run);
    EXPECT_NE(found[0].message.find(mistake.message), std::string::npos) << mistake.text << "\n" << Compact(run);
  }
}

// Every function of the language is known to the checker: called with nothing, it says how many arguments it takes.
TEST(Check, EveryFunctionIsTyped) {
  for (const Builtin& builtin : Builtins()) {
    if (builtin.space != Space::kFunction) continue;
    const std::string name(builtin.name);
    const Outcome run = CheckText("variable y : real\nlet a = " + name + "()\nminimize y^2\n");
    EXPECT_EQ(run.diagnostics.all().size(), 1u) << name << "\n" << Compact(run);
    EXPECT_EQ(run.diagnostics.all()[0].code, Code::kArgumentCount) << name << "\n" << Compact(run);
  }
}

// ---- what is right

TEST(Check, RightTexts) {
  const std::string before =
      "dim n = 3\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n]\nminimize sumsq(y - x) + sum(a)\n";
  const char* const texts[] = {
      "const gamma = 0.5\nlet a = gamma * y\nrandom g : real ~ gamma(2, 1)\nlet b = g\nreport c = expect(b)",
      "let sphere = 2 * y\nlet a = project(sphere, sphere)",
      "let a = ((x' + y') * (eye(n) - x * x'))'",
      "let a = [i in n: if i > 0 then y[i] - y[i - 1] else y[i]]",
      "let a = [sum(i in n, j in i + 1..n: y[i] * y[j])]",
      "let a = [i in n: sum(y[i..i + 1])]",
      "function twice(v : real[k]) -> real[2 * k] = concat(v, v)\nlet a = twice(twice(y))",
      "function half(s : real) -> real = s / 2\nlet a = half(y) + half(1)",
      "function pairs(v : real[2 * k]) -> real[k] = [i in k: v[2 * i]]\nlet a = pairs(concat(y, x))",
      "let a = scan(z = 0, t in n: z / 2 + y[t])",
      "let a = [u, u] where u = sum(y)",
      "let a = y[0..n - 1] + y[1..]",
      "let exp2 = exp(y)\nlet a = exp2",
      "set half(lo : real[k]) project v = max(v, lo)\nlet a = project(y, half(0)) + project(y, half(x))",
      "let a = y(x = 2 * x) + grad(objective_like, y)\nlet objective_like = sumsq(y)",
      "let a = [logsumexp(y) + quantile(y, 0.5) + entropy(softmax(y)) + norminf(cumsum(sort(y)))]",
      "let a = if x[0] > 0 and not (y[0] < 1 or y[1] == 2) then y else x",
      "let a = clamp(y, -1, x) + max(y, 0) + min(x, y) + arctan2(y, 1)",
  };
  for (const char* text : texts) {
    const Outcome run = CheckText(before + text + "\n");
    EXPECT_TRUE(run.diagnostics.all().empty()) << text << "\n" << Compact(run);
  }
}

// ---- choosing

TEST(Check, OverridesChangeValuesAndDims) {
  const std::string text =
      "dim n = 3\ndim p = n + 1\nconst c = 0.5\ncontext x : real[p] ~ normal(0, 1)\n"
      "variable y : real[n + 1]\nminimize sumsq(y - c * x)\n";
  const Outcome run = CheckText(text, {}, {{"n", "5"}, {"c", "2 / 4"}});
  EXPECT_TRUE(run.diagnostics.all().empty()) << Compact(run);
  EXPECT_EQ(run.problem.numbers.at("p"), 6);
  EXPECT_EQ(run.checked.values.at("x").dims[0].value, 6);
  // A dim that is set is that number, no longer what it was made of.
  const Outcome other = CheckText(text, {}, {{"p", "7"}});
  EXPECT_EQ(other.diagnostics.all().at(0).code, Code::kShapeMismatch) << Compact(other);
  const Outcome unknown = CheckText(text, {}, {{"m", "7"}});
  EXPECT_EQ(unknown.diagnostics.all().at(0).code, Code::kOverride) << Compact(unknown);
  const Outcome not_set = CheckText(text, {}, {{"x", "7"}});
  EXPECT_EQ(not_set.diagnostics.all().at(0).code, Code::kOverride) << Compact(not_set);
}

TEST(Check, UnknownProblemsAndVariants) {
  const std::string text = "problem first\nvariable y : real\nminimize y^2\nvariant quick\n  solve y = 0\n";
  for (const ProblemChoice& choice : {ProblemChoice{"frist", ""}, ProblemChoice{"first", "quik"}}) {
    const Outcome run = CheckText(text, choice);
    ASSERT_EQ(run.diagnostics.all().size(), 1u) << Compact(run);
    EXPECT_EQ(run.diagnostics.all()[0].code, Code::kOverride);
    EXPECT_NE(run.diagnostics.all()[0].help.find("did you mean"), std::string::npos);
  }
}

TEST(Check, VariantsReplaceOnlyWhatTheyMay) {
  const std::string base =
      "problem a\ndim n = 2\nparameter w : real[n] = 1\nvariable y : real[n]\n"
      "minimize sumsq(y - w)\nmodel y = w\nloss objective\ntrain steps = 5, rate = 0.1\nvariant v\n";
  for (const char* text : {"dim n = 3", "model zeros\nloss sumsq(w)", "solve zeros then lbfgs", "train rate = 1",
                           "parameter u : real[n] = 0\nmodel y = w + u", "loss w: objective"}) {
    const Outcome run = CheckText(base + text + "\n", {"", "v"});
    EXPECT_TRUE(run.diagnostics.all().empty()) << text << "\n" << Compact(run);
  }
  for (const char* text : {"minimize sum(y)", "parameter w : real[n] = 2", "train rate = 1, rate = 2"}) {
    EXPECT_TRUE(CheckText(base + text + "\n", {"", "v"}).diagnostics.has_errors()) << text;
  }
}

// ---- called problems

TEST(Check, DimsOfACalledProblem) {
  const std::string text =
      "dim n = 3\nproblem inner\ndim k = 4\ncontext p : real[n]\ncontext q : real[k] ~ normal(0, 1)\n"
      "variable z : real[n, k]\nminimize sumsq(z - p * q')\n"
      "problem outer\ndim k = 5\ncontext x : real[n] ~ normal(0, 1)\nvariable y : real[n]\n"
      "let a = inner(p = x, q = [1, 2, 3, 4]).z\nminimize sumsq(y) + sumsq(a) + k\n";
  const Outcome run = CheckText(text);
  EXPECT_TRUE(run.diagnostics.all().empty()) << Compact(run);
  // What both share keeps its name, what is the other's own is a number here.
  EXPECT_EQ(ToString(run.checked.values.at("a")), "real[n, 4]");
}

TEST(Check, MistakesOfACalledProblemAreReportedOnce) {
  const std::string text =
      "function f(x : real) -> real = x + q\nproblem inner\ncontext p : real\nvariable z : real\n"
      "minimize (z - f(p))^2\nproblem outer\nvariable y : real\n"
      "minimize (y - inner(p = 1).z)^2 + f(y)\n";
  const Outcome run = CheckText(text);
  EXPECT_EQ(run.diagnostics.all().size(), 1u) << Compact(run);
}

// ---- names are one's own

// The words of a setting are those that the compiler knows.
TEST(Check, WordsOfSettings) {
  const std::string text =
      "amo 1\nproblem p\ncontext c : real[3] ~ normal(0, 1)\nvariable y : real[3]\nminimize sumsq(y - c)\n";
  for (const char* inner : {"cg", "anderson", "dense"}) {
    const Outcome run = CheckText(text + "model zeros then gradient(rate = 0.1, gradient = implicit(" + inner + "))\n");
    EXPECT_TRUE(run.diagnostics.all().empty()) << Compact(run);
  }
  for (const char* train :
       {"infeasible = skip", "infeasible = keep", "constraints = penalty", "constraints = lagrangian"}) {
    const Outcome run = CheckText(text + "train steps = 5, " + train + "\n");
    EXPECT_TRUE(run.diagnostics.all().empty()) << Compact(run);
  }
  for (const char* wrong : {"infeasible = drop", "constraints = both", "V: infeasible = skip"}) {
    const Outcome run = CheckText(text + "network V(s : real[3]) -> real = linear\ntrain " + wrong + "\n");
    EXPECT_TRUE(run.diagnostics.has_errors()) << wrong;
  }
}

TEST(Check, GenericDimsOfTheLibraryAreNotTheFilesDims) {
  // The library's sets speak of `n`; so does this file, and means something else.
  const Outcome run = CheckText(
      "dim n = 7\ndim m = 3\ncontext lo : real[m] ~ uniform(-2, -1)\nvariable y : real[m] in box(lo, 1)\n"
      "parameter w : real[n] = 0\nminimize sumsq(y) + sum(w)\n");
  EXPECT_TRUE(run.diagnostics.all().empty()) << Compact(run);
}

TEST(Check, TheLibrarysSetsAreRight) {
  Diagnostics diagnostics;
  const Program program = LoadText("test.amo", "variable y : real\nminimize y^2\n", diagnostics);
  for (const File& file : program.files) {
    for (const Decl& decl : file.decls) {
      const auto* set = std::get_if<SetDecl>(&decl.node);
      if (set == nullptr) continue;
      // Lengths that are computed are known to the compiler only: tests/compiler/sets_test.cc.
      const std::string& file = program.sources[decl.span.source].path;
      if (file.ends_with("polytopes.amo") || file.ends_with("discrete.amo")) continue;
      // As a file's own set it is checked whole: its body must give back what it takes.
      const std::string text(program.sources.Text(decl.span));
      const std::string arguments = std::vector<std::string>{"", "(1)", "(0, 1)", "(0, 1, 2)"}.at(set->params.size());
      const Outcome run = CheckText("dim k = 4\n" + text + "\nvariable y : real[k, k] in " + set->name.text +
                                    arguments + "\nminimize sumsq(y)\n");
      EXPECT_TRUE(run.diagnostics.all().empty()) << Compact(run);
    }
  }
}

}  // namespace
}  // namespace amo::lang
