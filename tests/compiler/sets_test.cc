// SPDX-License-Identifier: Apache-2.0
// The sets that project by an algorithm: nearest points against the variational inequality or all points, derivatives
// against differences; discrete sets pass derivatives straight through.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "compiler/build.h"
#include "compiler/classify.h"
#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "lang/check.h"

namespace amo::compiler {
namespace {

using Vector = std::vector<double>;

Program BuildText(const std::string& text) {
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::LoadText("test.amo", "amo 1\nproblem p\n" + text, diagnostics);
  const lang::Problem problem = lang::Choose(source, {}, diagnostics);
  lang::Check(source, problem, diagnostics);
  Program p = Build(source, problem, {}, diagnostics);
  for (const lang::Diagnostic& d : diagnostics.all()) {
    EXPECT_NE(d.severity, lang::Severity::kError) << d.message << "\n" << text;
  }
  return p;
}

// x to the nearest point, as `objective` of an equation that is linear in it: c'project(x, SET).
struct Projection {
  Function f;
  Shape shape;

  Projection(const std::string& type, const std::string& set, Shape s) : shape(std::move(s)) {
    f = *BuildText("context x : " + type + " ~ normal(0, 1)\ncontext c : " + type +
                   " ~ normal(0, 1)\nvariable y : real\nminimize sum(c .* project(x, " + set + ")) + 0 * y\n")
             .objective;
  }

  std::vector<Tensor> Inputs(const Vector& x, const Vector& c) const {
    std::vector<Tensor> all;
    for (const Input& in : f.inputs) all.push_back({in.type, in.name == "x" ? x : in.name == "c" ? c : Vector{0}});
    return all;
  }
  double Along(const Vector& x, const Vector& c) const { return Interpret(f, Inputs(x, c))[0].data[0]; }
  Vector Of(const Vector& x) const {
    Vector point(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      Vector unit(x.size());
      unit[i] = 1;
      point[i] = Along(x, unit);
    }
    return point;
  }
  Vector Slope(const Vector& x, const Vector& c) const {
    return Interpret(Gradient(f, {f.FindInput("x")}), Inputs(x, c))[1].data;
  }
};

Vector Draw(std::mt19937_64& g, std::size_t n, double scale) {
  std::normal_distribution<double> normal(0, scale);
  Vector x(n);
  for (double& v : x) v = normal(g);
  return x;
}

double Inner(const Vector& x, const Vector& p, const Vector& q) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (x[i] - p[i]) * (q[i] - p[i]);
  return sum;
}

// Feasible by the set's own conditions, idempotent, the variational inequality, and the derivative.
TEST(Sets, ConvexOnes) {
  std::mt19937_64 g(11);
  const struct {
    std::string type, set;
    Shape shape;
    double feasible;  // by how much a point may fail
  } kCases[] = {{"real[5]", "permutahedron", {5}, 1e-12},
                {"real[3]", "exponential_cone", {3}, 1e-12},
                {"real[4, 4]", "birkhoff", {4, 4}, 1e-12},
                {"real[5]", "affine([[1, 2, 0, 0, 1], [0, 1, -1, 3, 0]], [1, 2])", {5}, 1e-12},
                {"real[5]", "affine([[1, 2, 0, 0, 1]], 3)", {5}, 1e-12},
                {"real[3]", "polyhedron([[1, 1, 0], [0, 1, 2], [-1, 0, 0.5], [2, 2, 0], [0, -1, 0], [1, -1, 1]], "
                            "[1, 0.5, 0, 2, 1, 1])", {3}, 1e-12}};
  const auto fails = [](const std::string& set, const Vector& p) {
    double most = 0;
    if (set == "permutahedron") {  // no sum of k entries is above n + … + (n - k + 1)
      Vector s = p;
      std::sort(s.rbegin(), s.rend());
      double sum = 0, bound = 0;
      for (std::size_t k = 0; k < s.size(); ++k) {
        sum += s[k], bound += static_cast<double>(s.size() - k);
        most = std::max(most, sum - bound);
      }
      return std::max(most, std::fabs(sum - bound));
    }
    if (set == "exponential_cone")
      return p[1] > 0 ? p[1] * std::exp(p[0] / p[1]) - p[2] : std::max({-p[1], p[0], -p[2], 0.0});
    if (set == "birkhoff") {
      for (std::size_t i = 0; i < 4; ++i) {
        double row = -1, column = -1;
        for (std::size_t j = 0; j < 4; ++j) {
          row += p[4 * i + j], column += p[4 * j + i];
          most = std::max(most, -p[4 * i + j]);
        }
        most = std::max({most, std::fabs(row), std::fabs(column)});
      }
      return most;
    }
    if (set.starts_with("polyhedron")) {
      return std::max({p[0] + p[1] - 1, p[1] + 2 * p[2] - 0.5, -p[0] + 0.5 * p[2], -p[1] - 1, p[0] - p[1] + p[2] - 1,
                       0.0});
    }
    if (set.ends_with("3)")) return std::fabs(p[0] + 2 * p[1] + p[4] - 3);
    return std::max(std::fabs(p[0] + 2 * p[1] + p[4] - 1), std::fabs(p[1] - p[2] + 3 * p[3] - 2));
  };
  for (const auto& c : kCases) {
    const Projection project(c.type, c.set, c.shape);
    const auto n = static_cast<std::size_t>(Count(c.shape));
    int smooth = 0;
    for (int k = 0; k < 60; ++k) {
      const Vector x = Draw(g, n, k % 3 == 0 ? 10 : 1), z = Draw(g, n, 3), w = Draw(g, n, 1);
      const Vector p = project.Of(x), again = project.Of(p), q = project.Of(z);
      EXPECT_LE(fails(c.set, p), c.feasible * (1 + std::fabs(x[0]))) << c.set;
      for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(again[i], p[i], 1e-8) << c.set;
      EXPECT_LE(Inner(x, p, q), 1e-8) << c.set;
      const Vector slope = project.Slope(x, w), along = Draw(g, n, 1);
      const double h = 1e-5;
      Vector up = x, down = x;
      double product = 0;
      for (std::size_t i = 0; i < n; ++i) {
        up[i] += h * along[i], down[i] -= h * along[i];
        product += slope[i] * along[i];
      }
      const double here = project.Along(x, w), more = project.Along(up, w), less = project.Along(down, w);
      if (std::fabs((more - here) - (here - less)) > 1e-3 * h) continue;  // a kink between
      ++smooth;
      EXPECT_NEAR((more - less) / (2 * h), product, 1e-5 * (1 + std::fabs(product))) << c.set;
    }
    EXPECT_GT(smooth, 40) << c.set;
  }
}

// Random polyhedra around a point, with rows that are multiples and sums of others: feasible, and nearer than the
// projections of other points.
TEST(Sets, PolyhedraOfAnyRows) {
  constexpr std::size_t kRows = 9, kSize = 4;
  const Function f = *BuildText("context x : real[4] ~ normal(0, 1)\ncontext c : real[4] ~ normal(0, 1)\n"
                                "context A : real[9, 4] ~ normal(0, 1)\ncontext b : real[9] ~ normal(0, 1)\n"
                                "variable y : real\nminimize sum(c .* project(x, polyhedron(A, b))) + 0 * y\n")
                          .objective;
  std::mt19937_64 g(3);
  for (int k = 0; k < 300; ++k) {
    Vector A = Draw(g, kRows * kSize, 1), b = Draw(g, kRows, k % 3 == 0 ? 0 : 1);
    const Vector inside = Draw(g, kSize, 1);
    for (std::size_t j = 0; j < kSize; ++j) {
      A[kSize + j] = 2 * A[j];
      if (k % 2 == 0) A[2 * kSize + j] = A[j] + A[3 * kSize + j];
    }
    for (std::size_t i = 0; i < kRows; ++i) {
      b[i] = std::fabs(b[i]);
      for (std::size_t j = 0; j < kSize; ++j) b[i] += A[kSize * i + j] * inside[j];
    }
    const auto nearest = [&](const Vector& x) {
      Vector point(kSize);
      for (std::size_t i = 0; i < kSize; ++i) {
        std::vector<Tensor> inputs;
        for (const Input& in : f.inputs) {
          Vector unit(kSize);
          unit[i] = 1;
          inputs.push_back({in.type, in.name == "x"   ? x
                                     : in.name == "c" ? unit
                                     : in.name == "A" ? A
                                     : in.name == "b" ? b
                                                      : Vector{0}});
        }
        point[i] = Interpret(f, inputs)[0].data[0];
      }
      return point;
    };
    const Vector x = Draw(g, kSize, 5), p = nearest(x), q = nearest(Draw(g, kSize, 5));
    for (std::size_t i = 0; i < kRows; ++i) {
      double side = -b[i];
      for (std::size_t j = 0; j < kSize; ++j) side += A[kSize * i + j] * p[j];
      EXPECT_LE(side, 1e-11) << k;
    }
    EXPECT_LE(Inner(x, p, q), 1e-9) << k;
    EXPECT_LE(Inner(x, p, inside), 1e-9) << k;
  }
}

// Each factor is projected onto with its entries of the last axis, in every row.
TEST(Sets, ProductsCutTheLastAxis) {
  std::mt19937_64 g(5);
  const Projection product("real[2, 6]", "simplex[3] * box(-1, 0.5)[1] * ball(1)", {2, 6});
  const Projection simplex("real[3]", "simplex", {3}), ball("real[2]", "ball(1)", {2});
  for (int k = 0; k < 20; ++k) {
    const Vector x = Draw(g, 12, 2), p = product.Of(x);
    for (std::size_t row = 0; row < 2; ++row) {
      const auto at = [&](std::size_t from, std::size_t count) {
        const auto begin = x.begin() + static_cast<std::ptrdiff_t>(6 * row + from);
        return Vector(begin, begin + static_cast<std::ptrdiff_t>(count));
      };
      const Vector first = simplex.Of(at(0, 3)), last = ball.Of(at(4, 2));
      for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(p[6 * row + i], first[i], 1e-15);
      EXPECT_EQ(p[6 * row + 3], std::clamp(x[6 * row + 3], -1.0, 0.5));
      for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(p[6 * row + 4 + i], last[i], 1e-15);
    }
  }
}

TEST(Sets, BoxesAndSeparableObjectives) {
  const std::string head = "context c : real[3] ~ uniform(1, 2)\nvariable y : real[3] in box(-1, c)\n";
  const auto is = [&](const std::string& rest) {
    const Program p = BuildText(head + rest);
    return ProblemClass(p) + (IsSeparable(p) ? ", separable" : "");
  };
  EXPECT_EQ(is("minimize dot(c, y)\n"), "linear program over a box, separable");
  EXPECT_EQ(is("minimize sumsq(y - c)\nsubject to\n  low: y >= 0\n"), "quadratic program over a box, separable");
  EXPECT_EQ(is("minimize sumsq(y - c) + y[0] * y[1]\n"), "quadratic program over a box");
  EXPECT_EQ(is("minimize sum(exp(y)) + sum(c .* y)\n"), "convex problem over a box, separable");
  EXPECT_EQ(is("minimize logsumexp(y)\n"), "convex problem over a box");
  EXPECT_EQ(is("minimize sum(y)\nsubject to\n  total: sum(y) >= 1\n"), "linear program, separable");
  EXPECT_EQ(is("minimize sum(sin(y))\n"), "problem over a box, separable");
  EXPECT_EQ(is("minimize sum(i in 2: sin(y[i]) * y[i + 1])\n"), "problem over a box");
}

// Sets of rows act on the last axes, over every leading one.
TEST(Sets, RowSetsOverLeadingAxes) {
  const Program p = BuildText(
      "context x : real[2, 3] ~ normal(0, 1)\nvariable y : real[2, 3] in affine([[1, 1, 1], [1, 0, -1]], [1, 0])\n"
      "variable z : real[2, 3] in polyhedron([[1, 1, 1]], 2)\nvariable b : real[2, 2, 2] in birkhoff\n"
      "minimize sum((y - x) .^ 2) + sum((z - x) .^ 2) + sumsq(b)\n");
  std::int64_t equal = 0, negative = 0;
  for (const ConeRows& rows : p.cones) (rows.cone == Cone::kZero ? equal : negative) += rows.count;
  EXPECT_EQ(equal, 4 + 8);
  EXPECT_EQ(negative, 2 + 8);
  EXPECT_TRUE(p.rows_whole);
}

// Products of polyhedra are rows; of convex sets, something for the projection in the dual; a discrete factor makes the
// variable one.
TEST(Sets, ProductsInThePlan) {
  const Program rows = BuildText(
      "context c : real ~ uniform(1, 2)\nvariable y : real[5] in simplex[3] * box(0, c)\nminimize sumsq(y)\n"
      "subject to\n  link: y[0] + y[4] >= 0.3\n");
  EXPECT_EQ(rows.projected, std::vector<std::string>{"link"});
  EXPECT_TRUE(rows.rows_whole && !rows.conic);
  const Program cones = BuildText(
      "variable y : real[5] in simplex[3] * ball(1)\nminimize sumsq(y)\nsubject to\n  link: y[0] + y[4] >= 0.3\n");
  EXPECT_TRUE(cones.conic.has_value());
  EXPECT_EQ(ProblemClass(cones), "second-order cone program with a quadratic objective");
  const Program mixed = BuildText(
      "context c : real[4] ~ normal(0, 1)\nvariable y : real[4] in binary[2] * box(0, 1)\n"
      "minimize sumsq(y - c)\nsolve y = c\n");
  EXPECT_EQ(mixed.discrete, std::vector<std::string>{"y"});
}

TEST(Sets, ExponentialConeAtItsEnds) {
  const Projection project("real[3]", "exponential_cone", {3});
  const struct { Vector x, p;
  } kCases[] = {
      {{0, 1, 1}, {0, 1, 1}},              // on the surface
      {{-1, 0, 2}, {-1, 0, 2}},            // on the face
      {{-1, -2, 3}, {-1, 0, 3}},           // onto the face
      {{-1, -2, -3}, {-1, 0, 0}},          // onto its edge
      {{1, -1, -1}, {0, 0, 0}},            // in the polar cone
      {{0, 0, 0}, {0, 0, 0}},
  };
  for (const auto& c : kCases) {
    const Vector p = project.Of(c.x);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(p[i], c.p[i], 1e-12) << c.x[0] << ' ' << c.x[1] << ' ' << c.x[2];
  }
}

TEST(Sets, PermutationsAreTheCheapest) {
  std::mt19937_64 g(3);
  const std::size_t n = 5;
  const Projection project("real[5, 5]", "permutation", {5, 5});
  for (int k = 0; k < 100; ++k) {
    Vector x = Draw(g, n * n, 1);
    if (k % 4 == 0) for (double& v : x) v = std::round(2 * v);  // ties
    const Vector p = project.Of(x);
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    double best = -std::numeric_limits<double>::infinity(), reached = 0;
    do {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += x[n * i + order[i]];
      best = std::max(best, sum);
    } while (std::next_permutation(order.begin(), order.end()));
    std::vector<int> columns(n);
    for (std::size_t i = 0; i < n; ++i) {
      int ones = 0;
      for (std::size_t j = 0; j < n; ++j) {
        EXPECT_TRUE(p[n * i + j] == 0 || p[n * i + j] == 1);
        ones += p[n * i + j] == 1, columns[j] += p[n * i + j] == 1;
        reached += x[n * i + j] * p[n * i + j];
      }
      EXPECT_EQ(ones, 1);
    }
    for (const int ones : columns) EXPECT_EQ(ones, 1);
    EXPECT_NEAR(reached, best, 1e-12) << k;
  }
}

TEST(Sets, OtherDiscreteOnes) {
  const Vector x{-3, 0.4, 0.6, 2.5, 1.2, 9};
  EXPECT_EQ(Projection("real[6]", "binary", {6}).Of(x), (Vector{0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(Projection("real[6]", "integers(-2, 4)", {6}).Of(x), (Vector{-2, 0, 1, 3, 1, 4}));
  EXPECT_EQ(Projection("real[6]", "one_of", {6}).Of(x), (Vector{0, 0, 0, 0, 0, 1}));
}

// Derivatives pass through a variable's projection onto a discrete set: bits within their bounds move, beyond them a
// tenth; unit vectors and permutations feel neither a common shift nor a scale.
TEST(Sets, DiscreteOnesPassDerivativesThrough) {
  const auto back = [](const std::string& type, const std::string& set, const Shape& shape, const Vector& at,
                       const Vector& adjoint) {
    const Program p = BuildText("variable y : " + type + " in " + set + "\nminimize sum(y)\n");
    EXPECT_EQ(p.discrete, std::vector<std::string>{"y"});
    EXPECT_EQ(Interpret(*p.project, {{{Elem::kReal, shape}, at}})[0].data, Projection(type, set, shape).Of(at));
    return Interpret(Vjp(*p.project, {0}), {{{Elem::kReal, shape}, at}, {{Elem::kReal, shape}, adjoint}})[0].data;
  };
  const Vector bits = back("real[3]", "binary", {3}, {0.3, 2, -1}, {5, 6, 7});
  const Vector whole = back("real[3]", "integers(-1, 4)", {3}, {0.3, 6, -1.5}, {5, 6, 7});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(bits[i], (Vector{5, 0.6, 0.7})[i], 1e-12);
    EXPECT_NEAR(whole[i], (Vector{5, 0.6, 0.7})[i], 1e-12);
  }
  std::mt19937_64 g(4);
  for (const auto& [type, set, shape] : {std::tuple{"real[4]", "one_of", Shape{4}},
                                         std::tuple{"real[3, 3]", "permutation", Shape{3, 3}}}) {
    const auto n = static_cast<std::size_t>(Count(shape));
    const Vector at = Draw(g, n, 1), adjoint = Draw(g, n, 1), d = back(type, set, shape, at, adjoint);
    double along = 0, sum = 0, size = 0;
    for (std::size_t i = 0; i < n; ++i) along += d[i] * at[i], sum += d[i], size += d[i] * d[i];
    EXPECT_NEAR(along, 0, 1e-12) << set;
    EXPECT_NEAR(sum, 0, 1e-12) << set;
    EXPECT_GT(size, 1e-4) << set;
  }
}

}  // namespace
}  // namespace amo::compiler
