// SPDX-License-Identifier: Apache-2.0
// What objectives are as functions of the variable, against what is known of each; nothing convex by the rules is ever
// seen above a chord.
#include "compiler/curvature.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "compiler/interpret.h"
#include "compiler/simplify.h"
#include "compiler/text.h"
#include "lang/problem.h"
#include "tests/compiler/random_function.h"

namespace amo::compiler {
namespace {

Program BuildText(const std::string& objective) {
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::LoadText("test.amo",
                                              "amo 1\nproblem p\ndim n = 4\ndata S : real[n, n] ~ normal(0, 1)\n"
                                              "context x : real[n] ~ normal(0, 1)\nvariable y : real[n]\nminimize " +
                                                  objective + "\n",
                                              diagnostics);
  Program p = Build(source, lang::Choose(source, {}, diagnostics), {}, diagnostics);
  for (const lang::Diagnostic& d : diagnostics.all()) EXPECT_NE(d.severity, lang::Severity::kError) << d.message;
  return p;
}

TEST(Curvature, Objectives) {
  const std::pair<const char*, const char*> kCases[] = {
      {"dot(x, y)", "linear"},
      {"sum(i in n: x[i] * y[i]) + 3", "linear"},
      {"sum(S * y)", "linear"},
      {"sumsq(y - x)", "convex quadratic"},
      {"-sumsq(y)", "concave quadratic"},
      {"y' * S * y", "quadratic"},
      {"dot(y, y .* x)", "quadratic"},
      {"sum(i in n: (y[i] - x[i])^2)", "convex quadratic"},
      {"sum(abs(y - x))", "convex, not smooth"},
      {"norm2(y - x)", "convex, not smooth"},
      {"sum(exp(y))", "convex"},
      {"sum(log(exp(x) + softplus(y)))", "neither convex nor concave by the rules"},
      {"max(y)", "convex, not smooth"},
      {"logsumexp(S * y - x)", "convex"},
      {"logsumexp(sin(y))", "neither convex nor concave by the rules"},
      {"dot(exp(x), log_softmax(y))", "concave"},
      {"-sum(log(y + 5))", "convex"},
      {"sum(sin(y))", "neither convex nor concave by the rules"},
      {"sum(relu(S * y - x))", "convex, not smooth"},
      {"sum(relu(y)) - sum(abs(y))", "neither convex nor concave by the rules, not smooth"},
      {"sum(y .^ 4)", "convex"},
      {"sum(y .^ 3)", "neither convex nor concave by the rules"},
      {"last(scan(z = 0, t in n: 0.5 * z + y[t]))", "linear"},
      {"last(scan(z = 0, t in n: 0.5 * z + y[t]))^2", "convex quadratic"},
      {"last(scan(z = 1, t in n: z * y[t]))", "neither convex nor concave by the rules"},
      {"sum(linsolve(S, y))", "linear"},
      {"sum(linsolve(S + outer_product(y, y), x))", "neither convex nor concave by the rules"},
      {"sum(eigvals(outer_product(y, x)))", "neither convex nor concave by the rules, not smooth"},
      {"sum(floor(y))", "neither convex nor concave by the rules, not smooth"},
      {"sum(stop(y) .* y)", "neither convex nor concave by the rules, not smooth"},
  };
  for (const auto& [objective, expected] : kCases) {
    const Program p = BuildText(objective);
    ASSERT_TRUE(p.objective) << objective;
    const int y = p.objective->FindInput("y");
    const Curvature c = Curvatures(*p.objective, {y})[static_cast<std::size_t>(p.objective->outputs[0].value.index)];
    EXPECT_EQ(Describe(c), expected) << objective << "\n" << Print(*p.objective);
    if (std::string(expected).starts_with("neither")) {
      EXPECT_GE(c.by, 0) << objective;
    }
  }
}

// Random functions: a claim of convexity, of a degree or of a sign is checked along random chords.
TEST(Curvature, ClaimsHoldOnRandomFunctions) {
  std::mt19937_64 random(3);
  int convex = 0, quadratic = 0;
  for (int k = 0; k < 700; ++k) {
    const Function f = RandomFunction(static_cast<std::uint64_t>(k), false);
    for (std::size_t input = 0; input < f.inputs.size(); ++input) {
      if (f.inputs[input].type.elem != Elem::kReal) continue;
      const std::vector<Curvature> all = Curvatures(f, {static_cast<int>(input)});
      std::vector<Tensor> low;
      for (const Input& in : f.inputs) low.push_back(RandomTensor(in.type, random));
      std::vector<Tensor> high = low, middle = low;
      high[input] = RandomTensor(f.inputs[input].type, random);
      for (std::size_t e = 0; e < high[input].data.size(); ++e)
        middle[input].data[e] = (low[input].data[e] + high[input].data[e]) / 2;
      const auto a = Interpret(f, low), b = Interpret(f, middle), c = Interpret(f, high);
      for (std::size_t o = 0; o < f.outputs.size(); ++o) {
        if (f.type(f.outputs[o].value).elem != Elem::kReal) continue;
        const Curvature& claim = all[static_cast<std::size_t>(f.outputs[o].value.index)];
        convex += claim.convex != claim.concave, quadratic += claim.degree == Degree::kQuadratic;
        for (std::size_t e = 0; e < a[o].data.size(); ++e) {
          const double chord = (a[o].data[e] + c[o].data[e]) / 2, value = b[o].data[e];
          if (!std::isfinite(chord) || !std::isfinite(value)) continue;
          const double slack = 1e-9 * (1 + std::abs(a[o].data[e]) + std::abs(c[o].data[e]));
          if (claim.convex) { EXPECT_LE(value, chord + slack) << Print(f); }
          if (claim.concave) { EXPECT_GE(value, chord - slack) << Print(f); }
          if (claim.nonnegative) { EXPECT_GE(value, -slack) << Print(f); }
          if (claim.nonpositive) { EXPECT_LE(value, slack) << Print(f); }
        }
      }
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(convex, 0);
  EXPECT_GT(quadratic, 0);
}

}  // namespace
}  // namespace amo::compiler
