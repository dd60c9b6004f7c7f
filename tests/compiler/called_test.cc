// SPDX-License-Identifier: Apache-2.0
// Called problems: their answers by closed forms, under binders and with derivatives; what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "compiler/build.h"
#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "lang/check.h"

namespace amo::compiler {
namespace {

struct Built {
  Program program;
  std::string errors;
};

Built BuildText(const std::string& text) {
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::LoadText("test.amo", "amo 1\n" + text, diagnostics);
  const lang::Problem problem = lang::Choose(source, {}, diagnostics);
  lang::Check(source, problem, diagnostics);
  Built built{Build(source, problem, {}, diagnostics), ""};
  for (const lang::Diagnostic& d : diagnostics.Sorted())
    if (d.severity == lang::Severity::kError) built.errors += d.message + "\n";
  return built;
}

// The same for an input of the same name in every function.
std::vector<Tensor> Inputs(const Function& f, unsigned seed) {
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs) {
    std::mt19937_64 g(seed + 1000 * static_cast<unsigned>(in.name[0]));
    std::normal_distribution<double> normal;
    std::vector<double> x(static_cast<std::size_t>(Count(in.type.shape)));
    for (double& v : x) v = normal(g);
    inputs.push_back({in.type, x});
  }
  return inputs;
}

// The objective, and that its derivative by each input is the difference quotient.
double Value(const Function& f, unsigned seed) {
  std::mt19937_64 g(seed);
  std::normal_distribution<double> normal;
  const std::vector<Tensor> inputs = Inputs(f, seed);
  const double value = Interpret(f, inputs)[0].data[0];
  for (std::size_t k = 0; k < f.inputs.size(); ++k) {
    const Function gradient = Gradient(f, {static_cast<int>(k)});
    const std::vector<double> slope = Interpret(gradient, inputs)[1].data;
    double product = 0;
    std::vector<double> along(slope.size());
    for (std::size_t i = 0; i < along.size(); ++i) along[i] = normal(g), product += slope[i] * along[i];
    const auto moved = [&](double h) {
      std::vector<Tensor> at = inputs;
      for (std::size_t i = 0; i < along.size(); ++i) at[k].data[i] += h * along[i];
      return Interpret(f, at)[0].data[0];
    };
    const double h = 1e-5, difference = (moved(h) - moved(-h)) / (2 * h);
    EXPECT_NEAR(product, difference, 2e-6 * (1 + std::fabs(difference))) << f.inputs[k].name;
  }
  return value;
}

const std::string kRidge =
    "dim N = 6\ndim k = 3\nproblem ridge\ncontext X : real[N, k]\ncontext t : real[N]\ncontext lam : real\n"
    "variable w : real[k]\nminimize sumsq(X * w - t) + exp(lam) * sumsq(w)\nsolve zeros then newton(tol = 1e-10)\n"
    "problem outer\ncontext A : real[N, k]\ncontext b : real[N]\nvariable y : real\n";

TEST(Called, AQuadraticHasItsClosedForm) {
  const Built called = BuildText(kRidge + "minimize sumsq(ridge(X = A, t = b, lam = y).w)\n");
  const Built closed = BuildText(kRidge + "minimize sumsq(linsolve(A' * A + exp(y) * eye(k), A' * b))\n");
  ASSERT_EQ(called.errors + closed.errors, "");
  for (unsigned seed = 1; seed < 6; ++seed)
    EXPECT_NEAR(Value(*called.program.objective, seed), Value(*closed.program.objective, seed), 1e-10);
}

TEST(Called, UnderBinders) {
  const Built called =
      BuildText(kRidge + "minimize sum(i in 4: i * sum(j in k: (j + 1) * ridge(X = A, t = b, lam = y + i).w[j]))\n");
  const Built closed = BuildText(
      kRidge + "minimize sum(i in 4: i * sum(j in k: (j + 1) * linsolve(A' * A + exp(y + i) * eye(k), A' * b)[j]))\n");
  ASSERT_EQ(called.errors + closed.errors, "");
  EXPECT_NEAR(Value(*called.program.objective, 9), Value(*closed.program.objective, 9), 1e-10);
}

// minimize log(exp(v) + exp(-v)) + (v - c)^2 / 2: tanh(v) = c - v.
TEST(Called, SmoothConvexOnesByNewton) {
  const Built called = BuildText(
      "problem inner\ncontext c : real\nvariable v : real\nminimize softplus(2 * v) - v + 0.5 * (v - c)^2\n"
      "problem outer\ncontext a : real\nvariable y : real\nlet v = inner(c = 3 * a).v\n"
      "minimize v + 1000 * abs(tanh(v) + v - 3 * a) + 0 * y\n");
  const Built alone = BuildText(
      "problem inner\ncontext c : real\nvariable v : real\nminimize softplus(2 * v) - v + 0.5 * (v - c)^2\n"
      "problem outer\ncontext a : real\nvariable y : real\nlet v = inner(c = 3 * a).v\nminimize v + 0 * y\n");
  ASSERT_EQ(called.errors + alone.errors, "");
  for (unsigned seed = 1; seed < 5; ++seed) {
    const double v = Value(*alone.program.objective, seed);
    const Function& f = *called.program.objective;
    EXPECT_NEAR(Interpret(f, Inputs(f, seed))[0].data[0], v, 1e-9);
  }
}

TEST(Called, AnswersThatAreWritten) {
  const Built called = BuildText(
      "data s : real[3] = [1, 2, 4]\nproblem inner\ncontext c : real[3]\nvariable v : real[3]\n"
      "let d = 2 * c\nminimize sumsq(v)\nsolve v = d .* s\n"
      "problem outer\ncontext c : real[3]\nvariable y : real\nminimize sum(inner(c = c + 1).v) + y\n");
  ASSERT_EQ(called.errors, "");
  const Function& f = *called.program.objective;
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs)
    inputs.push_back({in.type, in.name == "c" ? std::vector<double>{0, 1, 2}
                               : in.name == "s" ? std::vector<double>{1, 2, 4} : std::vector<double>{0}});
  EXPECT_EQ(Interpret(f, inputs)[0].data[0], 2 * (1 + 4 + 12));
}

// Over rows: the nearest point of a set is what the set's own projection says, with its derivatives.
TEST(Called, QuadraticOnesOverRows) {
  const struct {
    const char *set, *more, *closed;
  } kCases[] = {
      {"in box(-0.3, 0.4)", "", "project(3 * A + y, box(-0.3, 0.4))"},
      {"in simplex", "", "project(3 * A + y, simplex)"},
      {"", "subject to\n  total: sum(w) == 1\n  low: w >= 0\n", "project(3 * A + y, simplex)"},
      {"", "subject to\n  half: dot([1, 2, -1], w) <= 0.5\n", "project(3 * A + y, halfspace([1, 2, -1], 0.5))"},
  };
  for (const auto& c : kCases) {
    const std::string head = std::string("problem inner\ncontext c : real[3]\nvariable w : real[3] ") + c.set +
                             "\nminimize 2 * sumsq(w - c)\n" + c.more +
                             "problem outer\ncontext A : real[3]\nvariable y : real\n";
    const Built called = BuildText(head + "minimize dot(inner(c = 3 * A + y).w, [1, 2, 4])\n");
    const Built closed = BuildText(head + "minimize dot(" + c.closed + ", [1, 2, 4])\n");
    ASSERT_EQ(called.errors + closed.errors, "") << c.closed;
    for (unsigned seed = 1; seed < 5; ++seed)
      EXPECT_NEAR(Value(*called.program.objective, seed), Value(*closed.program.objective, seed), 1e-9) << c.closed;
  }
}

// Whatever the units: the same problem a hundred million times smaller.
TEST(Called, SmallNumbersOverRows) {
  for (const char* size : {"1e-8", "1e8"}) {
    const Built called = BuildText(
        std::string("problem inner\ncontext c : real\nvariable w : real[2] in box(-10, 10)\nminimize ") + size +
        " * ((w[0] - c)^2 + 0.001 * (w[1] - c + w[0])^2)\nproblem outer\ncontext s : real\nvariable y : real\n"
        "minimize dot(inner(c = s).w, [1, 2]) + 0 * y\n");
    ASSERT_EQ(called.errors, "");
    const Function& f = *called.program.objective;
    std::vector<Tensor> inputs = Inputs(f, 3);
    double s = 0;
    for (std::size_t k = 0; k < f.inputs.size(); ++k) if (f.inputs[k].name == "s") s = inputs[k].data[0];
    EXPECT_NEAR(Interpret(f, inputs)[0].data[0], s, 1e-8) << size;
  }
}

// No point, or no end: NaN, and not some point.
TEST(Called, WithoutAnAnswer) {
  for (const auto& [objective, more, none] :
       {std::tuple{"sumsq(w - c)", "subject to\n  no: sum(w) <= -1\n", true},
        std::tuple{"sumsq(w - c)", "subject to\n  some: sum(w) <= 1\n", false},
        std::tuple{"-sum(w) + 0 * c", "", true}, std::tuple{"sum(w) + 0 * c", "", false}}) {
    const Built called = BuildText(std::string("problem inner\ncontext c : real\nvariable w : real[2] in nonnegative\n"
                                               "minimize ") + objective + "\n" + more +
                                   "problem outer\ncontext s : real\nvariable y : real\nminimize "
                                   "sum(inner(c = s).w) + 0 * y\n");
    ASSERT_EQ(called.errors, "");
    const Function& f = *called.program.objective;
    EXPECT_EQ(std::isnan(Interpret(f, Inputs(f, 2))[0].data[0]), none) << objective << more;
  }
}

// max c'w over the simplex's largest share, a linear program; and w log w, whose minimum over it is softmax.
TEST(Called, LinearAndSmoothOnesOverRows) {
  const std::string outer = "problem outer\ncontext A : real[3]\nvariable y : real\n";
  const std::string linear =
      "problem inner\ncontext c : real[3]\nvariable w : real[3] in box(0, 1)\nminimize dot(c, w)\n"
      "subject to\n  total: sum(w) == 1\n" + outer;
  const Built program = BuildText(linear + "minimize dot(inner(c = A).w, A) + 0 * y\n");
  const Built least = BuildText(linear + "minimize min(A) + 0 * y\n");
  ASSERT_EQ(program.errors + least.errors, "");
  for (unsigned seed = 1; seed < 5; ++seed)
    EXPECT_NEAR(Value(*program.program.objective, seed), Value(*least.program.objective, seed), 1e-6);
  const std::string smooth =
      "problem inner\ncontext c : real[3]\nvariable w : real[3] in box(-2, 2)\n"
      "minimize logsumexp(w) + sum(i in 3: exp(-w[i])) - dot(c, w)\nsubject to\n  total: sum(w) == 0.5\n" + outer;
  const Built convex = BuildText(smooth + "minimize dot(inner(c = A).w, [1, 2, 4]) + y\n");
  ASSERT_EQ(convex.errors, "");
  // Stationary along the rows: the gradient is the same for all entries that are inside.
  const Built slopes = BuildText(
      smooth + "let w = inner(c = A).w\nlet g = softmax(w) - [i in 3: exp(-w[i])] - A\n"
               "minimize sumsq(g - sum(g) / 3) + (sum(w) - 0.5)^2 + y\n");
  ASSERT_EQ(slopes.errors, "");
  for (unsigned seed = 1; seed < 5; ++seed) {
    Value(*convex.program.objective, seed);
    const Function& f = *slopes.program.objective;
    const std::vector<Tensor> inputs = Inputs(f, seed);
    double y = 0;
    for (std::size_t k = 0; k < f.inputs.size(); ++k) if (f.inputs[k].name == "y") y = inputs[k].data[0];
    EXPECT_NEAR(Interpret(f, inputs)[0].data[0] - y, 0, 1e-9);
  }
}

TEST(Called, WhatCannotBeSolvedInAnExpression) {
  const auto errors = [](const std::string& inner) {
    return BuildText("problem inner\ncontext c : real\n" + inner +
                     "problem outer\nvariable y : real\nminimize inner(c = y).v\n").errors;
  };
  EXPECT_NE(errors("variable v : real in ball(1)\nminimize (v - c)^2\n").find("`v` is in a set that is no polyhedron"),
            std::string::npos);
  EXPECT_NE(errors("variable v : real\nminimize sin(v - c)\n").find("not known to be smooth and convex"),
            std::string::npos);
  EXPECT_NE(errors("variable v : real\nminimize (v - c)^2\nsubject to\n  least: v^2 <= 1\n")
                .find("a constraint is not linear"),
            std::string::npos);
}

}  // namespace
}  // namespace amo::compiler
