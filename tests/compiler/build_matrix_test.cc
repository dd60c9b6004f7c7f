// SPDX-License-Identifier: Apache-2.0
// The library's functions of matrices by identities that hold for every argument, alone and under binders; derivatives
// of spectral functions against differences, also where eigenvalues are equal; sets of matrices; draws of integers.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "compiler/build.h"
#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "lang/problem.h"

namespace amo::compiler {
namespace {

Program BuildText(const std::string& text) {
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::LoadText("test.amo", "amo 1\nproblem p\n" + text, diagnostics);
  Program p = Build(source, lang::Choose(source, {}, diagnostics), {}, diagnostics);
  for (const lang::Diagnostic& d : diagnostics.all()) {
    EXPECT_NE(d.severity, lang::Severity::kError) << d.message << "\n" << text;
  }
  return p;
}

using Values = std::map<std::string, std::vector<double>>;

std::vector<Tensor> Inputs(const Function& f, const Values& values) {
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs) inputs.push_back({in.type, values.at(in.name)});
  return inputs;
}

Values Random(unsigned seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> u(-1, 1);
  Values v{{"A", std::vector<double>(9)}, {"v", std::vector<double>(3)}, {"y", {0.7}}};
  for (double& x : v["A"]) x = u(random);
  for (double& x : v["v"]) x = u(random);
  return v;
}

const std::string kHead =
    "function cube(x : real) -> real = x^3\nfunction floored(x : real) -> real = if x > 0.1 then x else 0.1\n"
    "context A : real[3, 3] ~ normal(0, 1)\ncontext v : real[3] ~ normal(0, 1)\nvariable y : real\n"
    "let S = (A + A') / 2\nlet P = A * A' + eye(3)\n";

TEST(BuildMatrix, Identities) {
  for (const char* zero : {
           "sumsq(A * linsolve(A, v) - v)",
           "sumsq(A * linsolve(A, S) - S)",
           "sumsq(A * inverse(A) - eye(3))",
           "sum(eigvals(A)) - trace(A)",
           "max(eigvals(P)) - norm2(spectral(abs, P) * (P * v) - P * P * v) - max(eigvals(P))",
           "logdet(P) - sum(log(eigvals(P)))",
           "log(det(P)) - logdet(P)",
           "det(A * S) - det(A) * det(S)",
           "det(stack(A[1], A[0], A[2])) + det(A)",
           "det(stack(A[0], A[0], A[2]))",
           "det([[0, 2], [3, 0]]) + 6",
           "sumsq(grad(det(A), A) - det(A) * inverse(A)')",
           "logdet(P) - 2 * sum(log(diag(cholesky(P))))",
           "sumsq(cholesky(P) * cholesky(P)' - P)",
           "cholesky(P)[0, 2]",
           "sumsq(spectral(sqrt, P) * spectral(sqrt, P) - P)",
           "sumsq(spectral(log, spectral(exp, S)) - S)",
           "sumsq(spectral(cube, S) - S * S * S)",
           "min(eigvals(spectral(floored, S + 2 * eye(3)))) - max(0.1, min(eigvals(S)) + 2)",
           "sumsq(block([[A, 2 * A], [S, A]]) * concat(v, v) - concat(3 * A * v, S * v + A * v))",
           "sumsq(stack(v, 2 * v) - [i in 2, j in 3: (i + 1) * v[j]])",
           "sumsq(stack(v[0], v[2]) - [v[0], v[2]])",
           "dot(one_hot(1, 3), v) - v[1]",
           "sumsq(one_hot([2, 0], 3) * v - [v[2], v[0]])",
           "sumsq(gather(v, [2, 0, 2]) - [v[2], v[0], v[2]])",
           "sumsq(gather(A, [2, 0]) - stack(A[2, :], A[0, :]))",
           "quantile(v, 0.25) - (sort(v)[0] + sort(v)[1]) / 2",
           "quantile(v, 1) - max(v)",
           "quantile(v, 0) - min(v)",
           "sumsq(diag(A) - [i in 3: A[i, i]])",
           "sum(diag(diag(v))) - sum(v)",
           "categorical_logpdf(2, softmax(v)) - log_softmax(v)[2]",
           "categorical_logpdf([0, 2], softmax(v)) - log_softmax(v)[2] - log_softmax(v)[0]",
           "categorical_logpdf([1, 0], stack(softmax(v), softmax(2 * v))) - log_softmax(v)[1] - log_softmax(2 * v)[0]",
           "entropy(softmax(v)) + sum(i in 3: xlogx(softmax(v)[i]))",
           "entropy([0.25, 0.75, 0]) + 0.25 * log(0.25) + 0.75 * log(0.75)",
           // Under binders: the matrix depends on the loop, the right side does, or both.
           "sum(i in 3: dot(v, linsolve(P + i * eye(3), v))) - dot(v, linsolve(P, v))"
           " - dot(v, linsolve(P + eye(3), v)) - dot(v, linsolve(P + 2 * eye(3), v))",
           "sum(i in 3: (linsolve(A, A[:, i])[i] - 1)^2)",
           "sum(i in 2: sum(j in 3: sumsq((P + j * eye(3)) * linsolve(P + j * eye(3), (i + 1) * v) - (i + 1) * v)))",
           "sum(i in 2: trace(spectral(exp, i * S))) - 3 - trace(spectral(exp, S))",
           "sum(i in 3: logdet(cholesky(P + i * eye(3)) * cholesky(P + i * eye(3))') - logdet(P + i * eye(3)))",
           "sum(i in 3: quantile(A[i, :], 0.5) - sort(A[i, :])[1])",
           "sum(i in 3: quantile(v, 0.5 * i)) - sum(v)",
           "sum(i in 3: dot(one_hot(i, 3), v)) - sum(v)",
           "sum(i in 3: sumsq(gather(A[i, :], [2, 1]) - [A[i, 2], A[i, 1]]))",
           "sum(i in 3: categorical_logpdf(i, softmax(A[i, :])) - log_softmax(A[i, :])[i])",
           "sum(i in 3: trace(stack(i * A[0, :], A[1, :], A[2, :])) - i * A[0, 0] - A[1, 1] - A[2, 2])",
           "last(scan(z = v, t in 3: linsolve(P, z)))[0] - (inverse(P) * inverse(P) * inverse(P) * v)[0]",
       }) {
    const Program p = BuildText(kHead + "minimize y + " + zero + "\n");
    ASSERT_TRUE(p.objective) << zero;
    ASSERT_EQ(Verify(*p.objective), "") << zero;
    for (unsigned seed = 1; seed < 4; ++seed) {
      EXPECT_NEAR(Interpret(*p.objective, Inputs(*p.objective, Random(seed)))[0].data[0], 0.7, 1e-9) << zero;
    }
  }
}

// Of sum(W .* f(Y)), by Y, against central differences: forward, reverse, and for Y with eigenvalues that are equal.
TEST(BuildMatrix, DerivativesAgreeWithDifferences) {
  const std::vector<double> general{1.4, 0.3, -0.2, 0.1, 0.9, 0.4, 0.2, 0.3, 1.1}, twice{2, 0, 0, 0, 2, 0, 0, 0, 1},
      thrice{0.7, 0, 0, 0, 0.7, 0, 0, 0, 0.7};
  for (const char* f : {"spectral(exp, Y)", "spectral(sqrt, Y)", "spectral(log, Y)", "spectral(relu, Y - 1.5 * eye(3))",
                        "spectral(cube, Y)", "inverse(Y)", "cholesky((Y + Y') / 2)",
                        "Y * inverse(spectral(sqrt, Y' * Y))",
                        "linsolve(Y, W)", "logdet(Y) * eye(3)", "spectral(sigmoid, spectral(sin, Y))"}) {
    const Program p = BuildText("function cube(x : real) -> real = x^3\ncontext W : real[3, 3] ~ normal(0, 1)\n"
                                "variable Y : real[3, 3]\nminimize sum(W .* (" + std::string(f) + "))\n");
    ASSERT_TRUE(p.objective) << f;
    const int y = p.objective->FindInput("Y");
    const Function gradient = Gradient(*p.objective, {y}), forward = Jvp(*p.objective, {y});
    for (const std::vector<double>& at : {general, twice, thrice}) {
      Values values{{"W", Random(5)["A"]}, {"Y", at}, {"tangent/Y", Random(6)["A"]}};
      const std::vector<double> along = values["tangent/Y"];
      const std::vector<double> g = Interpret(gradient, Inputs(gradient, values))[1].data;
      const double slope = Interpret(forward, Inputs(forward, values))[0].data[0];
      double reverse = 0, difference = 0;
      for (std::size_t i = 0; i < 9; ++i) reverse += g[i] * along[i];
      const double h = 1e-3;
      for (const auto& [step, weight] : {std::pair{-2 * h, 1.0}, {-h, -8.0}, {h, 8.0}, {2 * h, -1.0}}) {
        for (std::size_t i = 0; i < 9; ++i) values["Y"][i] = at[i] + step * along[i];
        difference += weight * Interpret(*p.objective, Inputs(*p.objective, values))[0].data[0] / (12 * h);
      }
      EXPECT_NEAR(reverse, slope, 1e-9 * (1 + std::fabs(slope))) << f;
      EXPECT_NEAR(slope, difference, 1e-7 * (1 + std::fabs(slope))) << f;
    }
  }
}

TEST(BuildMatrix, SetsOfMatrices) {
  const std::string own = "set own(least : real) project v = spectral(relu, (v + v') / 2 - least * eye(3))\n";
  for (const std::string set : {"psd", "spd", "stiefel", "own(0)"}) {
    const Program one = BuildText(own + "variable Y : real[3, 3] in " + set + "\nminimize sumsq(Y)\n");
    const Program many = BuildText(own + "variable Y : real[2, 3, 3] in " + set + "\nminimize sumsq(Y)\n");
    ASSERT_TRUE(one.project && many.project) << set;
    const auto project = [&](const std::vector<double>& x) {
      return Interpret(*one.project, {{{Elem::kReal, {3, 3}}, x}})[0].data;
    };
    for (unsigned seed = 1; seed < 20; ++seed) {
      const std::vector<double> x = Random(seed)["A"], z = Random(seed + 100)["A"], p = project(x), q = project(z);
      const std::vector<double> again = project(p);
      double inequality = 0;
      for (std::size_t i = 0; i < 9; ++i) {
        EXPECT_NEAR(again[i], p[i], 1e-11) << set;
        inequality += (x[i] - p[i]) * (q[i] - p[i]);
      }
      if (set != "stiefel") {
        EXPECT_LE(inequality, 1e-12) << set;
      }
      for (std::size_t i = 0; set == "stiefel" && i < 9; ++i) {
        double product = 0;
        for (std::size_t k = 0; k < 3; ++k) product += p[3 * k + i / 3] * p[3 * k + i % 3];
        EXPECT_NEAR(product, i % 4 == 0, 1e-11);
      }
      std::vector<double> both = x;
      both.insert(both.end(), z.begin(), z.end());
      const std::vector<double> all = Interpret(*many.project, {{{Elem::kReal, {2, 3, 3}}, both}})[0].data;
      for (std::size_t i = 0; i < 18; ++i) EXPECT_NEAR(all[i], i < 9 ? p[i] : q[i - 9], 1e-12) << set;
    }
  }
}

// Against the C library, and the derivative (digamma) against its recurrence and differences.
TEST(BuildMatrix, LogGamma) {
  const Program p = BuildText("context x : real ~ normal(0, 1)\nvariable y : real\nminimize lgamma(x) + 0 * y\n");
  const Function& f = *p.objective;
  const auto at = [&](double x) {
    std::vector<Tensor> inputs;
    for (const Input& in : f.inputs) inputs.push_back({in.type, {in.name == "x" ? x : 0}});
    return inputs;
  };
  const Function gradient = Gradient(f, {f.FindInput("x")});
  for (const double x :
       {1e-8, 0.1, 0.5, 1.0, 1.5, 2.0, 3.7, 7.999, 8.0, 8.001, 25.0, 1e3, 1e8, -0.5, -1.3, -7.9, -100.7}) {
    const double value = Interpret(f, at(x))[0].data[0];
    EXPECT_NEAR(value, std::lgamma(x), 2e-13 * (1 + std::fabs(std::lgamma(x)))) << x;
    const double h = 1e-5 * (x > 10 ? x : std::min(1.0, std::fabs(x))), slope = Interpret(gradient, at(x))[1].data[0];
    const double difference = (std::lgamma(x + h) - std::lgamma(x - h)) / (2 * h);
    EXPECT_NEAR(slope, difference, 1e-5 * (1 + std::fabs(slope))) << x;
  }
  EXPECT_TRUE(std::isinf(Interpret(f, at(-3))[0].data[0]));
  EXPECT_NEAR(Interpret(gradient, at(1))[1].data[0], -0.57721566490153286, 1e-12);  // minus Euler's constant
}

// An index is an axis before those of the type; each member is drawn with its own parameters.
TEST(BuildMatrix, IndexedDeclarations) {
  const Program p = BuildText("data d[i in 3] : real = 2 * i\ncontext x[i in 2, j in 3] : real[2] ~ normal(10 * i, 0)\n"
                              "variable u[i in 2] : real[3]\nminimize sumsq(u) + u[1][2] * d[2] + sum(x[1][2])\n");
  ASSERT_TRUE(p.objective && p.sample_function);
  EXPECT_EQ(p.variables[0].type.shape, (Shape{2, 3}));
  EXPECT_EQ(p.contexts[0].type.shape, (Shape{2, 3, 2}));
  std::vector<Tensor> draws;
  for (const Input& in : p.sample_function->inputs)
    draws.push_back({in.type, std::vector<double>(static_cast<std::size_t>(Count(in.type.shape)), 1)});
  const std::vector<double> x = Interpret(*p.sample_function, draws)[0].data;
  for (std::size_t k = 0; k < 12; ++k) EXPECT_EQ(x[k], k < 6 ? 0 : 10);
  std::vector<Tensor> inputs;
  for (const Input& in : p.objective->inputs)
    inputs.push_back({in.type, in.name == "u" ? std::vector<double>{0, 0, 0, 0, 0, 5}
                               : in.name == "d" ? std::vector<double>{0, 2, 4} : x});
  EXPECT_EQ(Interpret(*p.objective, inputs)[0].data[0], 25 + 20 + 20);
}

TEST(BuildMatrix, IntegersAreDrawnWithBothEnds) {
  const Program p =
      BuildText("context k : int[3] ~ uniform(integers(-1, 2))\nvariable y : real\nminimize y * sum(k)\n");
  ASSERT_TRUE(p.sample_function);
  const Function& f = *p.sample_function;
  EXPECT_EQ(f.type(f.outputs[0].value), (Type{Elem::kInt, {3}}));
  EXPECT_EQ(Interpret(f, {{{Elem::kReal, {3}}, {0, 0.5, 0.999999}}})[0].data, (std::vector<double>{-1, 1, 2}));
}

}  // namespace
}  // namespace amo::compiler
