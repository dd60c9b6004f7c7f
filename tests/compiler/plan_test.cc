// SPDX-License-Identifier: Apache-2.0
// Constraints kept by construction: which ones are, that the projection within them is the nearest point (against a
// bisection of its own), that its derivative is the slope, and what is said of each.
#include "compiler/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "lang/check.h"
#include "tests/compiler/run_kernel.h"

namespace amo::compiler {
namespace {

using Vector = std::vector<double>;
using Inputs = std::map<std::string, Vector>;

struct Built {
  lang::Program source;
  lang::Diagnostics diagnostics;
  lang::Problem problem;
  Program program;

  explicit Built(const std::string& text) { Finish(lang::LoadText("plan_test.amo", text, diagnostics)); }
  Built(const std::string& path, lang::ProblemChoice) { Finish(lang::Load(path, diagnostics)); }

  std::string Errors() const {
    std::string all;
    for (const lang::Diagnostic& d : diagnostics.Sorted()) {
      if (d.severity == lang::Severity::kError) all += d.message + "\n";
    }
    return all;
  }

 private:
  void Finish(lang::Program p) {
    source = std::move(p);
    problem = lang::Choose(source, {}, diagnostics);
    lang::Check(source, problem, diagnostics);
    program = Build(source, problem, {}, diagnostics);
  }
};

std::vector<Tensor> TensorsOf(const Function& f, const Inputs& in) {
  std::vector<Tensor> all;
  for (const Input& i : f.inputs) all.push_back({i.type, in.at(i.name)});
  return all;
}

Vector Evaluated(const Function& f, const Inputs& in, const std::string& output) {
  return Interpret(f, TensorsOf(f, in))[static_cast<std::size_t>(f.FindOutput(output))].data;
}

double Sum(const Vector& v) {
  double s = 0;
  for (double x : v) s += x;
  return s;
}

// The nearest point of {lo <= w <= hi, sum w = total}: clamp(v - t, lo, hi), t by bisection.
Vector Oracle(const Vector& v, const Vector& lo, const Vector& hi, double total) {
  const auto at = [&](double t) {
    Vector w(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) w[i] = std::clamp(v[i] - t, lo[i], hi[i]);
    return w;
  };
  if (Sum(hi) <= total) return hi;
  if (Sum(lo) >= total) return lo;
  double left = -100, right = 100;
  while (right - left > 1e-13) {
    const double middle = 0.5 * (left + right);
    if (middle == left || middle == right) break;
    (Sum(at(middle)) > total ? left : right) = middle;
  }
  return at(0.5 * (left + right));
}

const std::string kBounded =
    "amo 1\nproblem p\ndim n = 7\ncontext lo : real[n] ~ normal(0, 1)\ncontext hi : real[n] ~ normal(0, 1)\n"
    "context total : real ~ normal(0, 1)\nvariable w : real[n] in bounded_simplex(lo, hi, total)\nminimize sumsq(w)\n";

enum class Sort { kSmooth, kTies, kWide };

// Bounds, a total between theirs (or beyond, by `place` outside 0 .. 1), and a point.
Inputs DrawBounded(std::mt19937_64& g, Sort sort, double place) {
  std::normal_distribution<double> normal(0, sort == Sort::kWide ? 5 : 1);
  std::uniform_real_distribution<double> uniform;
  const auto round = [&](double x) { return sort == Sort::kTies ? std::round(4 * x) / 4 : x; };
  Inputs in{{"w", {}}, {"lo", {}}, {"hi", {}}};
  for (int i = 0; i < 7; ++i) {
    in["w"].push_back(round(normal(g)));
    in["lo"].push_back(round(normal(g)));
    in["hi"].push_back(in["lo"].back() + round(2 * uniform(g)));  // with ties some are equal
  }
  in["total"] = {Sum(in["lo"]) + place * (Sum(in["hi"]) - Sum(in["lo"]))};
  return in;
}

TEST(Plan, BoundedSimplexIsTheNearestPoint) {
  const Built built(kBounded);
  ASSERT_EQ(built.Errors(), "");
  const Function& project = *built.program.project;
  std::mt19937_64 g(1);
  std::uniform_real_distribution<double> uniform;
  for (const Sort sort : {Sort::kSmooth, Sort::kTies, Sort::kWide}) {
    for (int k = 0; k < 400; ++k) {
      const double places[] = {uniform(g), uniform(g), 0, 1, -0.5, 1.5, 0.5};
      const double place = places[k % 7];
      const Inputs in = DrawBounded(g, sort, place);
      const Vector w = Evaluated(project, in, "w");
      const Vector expected = Oracle(in.at("w"), in.at("lo"), in.at("hi"), in.at("total")[0]);
      for (std::size_t i = 0; i < w.size(); ++i) {
        EXPECT_NEAR(w[i], expected[i], 1e-11) << "place " << place << ", draw " << k;
        EXPECT_GE(w[i], in.at("lo")[i]);
        EXPECT_LE(w[i], in.at("hi")[i]);
      }
      const double reached = std::clamp(in.at("total")[0], Sum(in.at("lo")), Sum(in.at("hi")));
      EXPECT_NEAR(Sum(w), reached, sort == Sort::kWide ? 2e-11 : 1e-12) << "place " << place;
    }
  }
}

// The residual of the point makes no acute angle with any way into the set.
TEST(Plan, BoundedSimplexIsOptimal) {
  const Built built(kBounded);
  ASSERT_EQ(built.Errors(), "");
  std::mt19937_64 g(2);
  std::uniform_real_distribution<double> uniform;
  for (int k = 0; k < 200; ++k) {
    Inputs in = DrawBounded(g, k % 2 ? Sort::kTies : Sort::kSmooth, uniform(g));
    const Vector v = in["w"], w = Evaluated(*built.program.project, in, "w");
    for (int j = 0; j < 10; ++j) {
      for (double& x : in["w"]) x = 4 * uniform(g) - 2;
      const Vector z = Oracle(in["w"], in["lo"], in["hi"], in["total"][0]);  // feasible
      double inner = 0;
      for (std::size_t i = 0; i < w.size(); ++i) inner += (v[i] - w[i]) * (z[i] - w[i]);
      EXPECT_LE(inner, 1e-9);
    }
  }
}

TEST(Plan, InfiniteBoundsAreNoBounds) {
  const Built built(kBounded);
  ASSERT_EQ(built.Errors(), "");
  std::mt19937_64 g(3);
  Inputs in = DrawBounded(g, Sort::kSmooth, 0.4);
  Inputs wide = in;
  for (std::size_t i = 0; i < 7; ++i) {
    if (i % 3 == 0) in["hi"][i] = INFINITY, wide["hi"][i] = 1e3;
    if (i % 3 == 1) in["lo"][i] = -INFINITY, wide["lo"][i] = -1e3;
  }
  const Vector w = Evaluated(*built.program.project, in, "w"), expected = Evaluated(*built.program.project, wide, "w");
  for (std::size_t i = 0; i < 7; ++i) EXPECT_NEAR(w[i], expected[i], 1e-12);
}

TEST(Plan, CappedSimplexIsTheNearestPoint) {
  const Built built(
      "amo 1\nproblem p\ncontext k : real ~ uniform(1, 2)\nvariable w : real[6] in capped_simplex(k)\n"
      "minimize sumsq(w)\n");
  ASSERT_EQ(built.Errors(), "");
  std::mt19937_64 g(4);
  std::normal_distribution<double> normal(0.5, 1);
  const double totals[] = {0.7, 1, 2, 3.25, 5.9, 6, 0, 7, -1};
  for (int k = 0; k < 450; ++k) {
    const double total = totals[k % 9];
    Vector v(6);
    for (double& x : v) x = k % 2 ? std::round(2 * normal(g)) / 2 : normal(g);
    const Vector w = Evaluated(*built.program.project, {{"w", v}, {"k", {total}}}, "w");
    const Vector expected = Oracle(v, Vector(6, 0), Vector(6, 1), total);
    for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(w[i], expected[i], 1e-12) << total;
  }
}

// Away from the places where an entry meets a bound the projection is smooth.
TEST(Plan, DerivativesAreSlopes) {
  const Built built(kBounded);
  ASSERT_EQ(built.Errors(), "");
  const Function& project = *built.program.project;
  std::vector<int> all;
  for (std::size_t k = 0; k < project.inputs.size(); ++k) all.push_back(static_cast<int>(k));
  const Function jvp = Jvp(project, all);
  std::mt19937_64 g(5);
  std::normal_distribution<double> normal;
  int checked = 0;
  for (int k = 0; k < 200; ++k) {
    Inputs in = DrawBounded(g, Sort::kSmooth, 0.1 + 0.004 * k);
    const Vector w = Evaluated(project, in, "w");
    double t = 0, to_kink = 1;
    for (std::size_t i = 0; i < 7; ++i) {
      if (w[i] > in["lo"][i] && w[i] < in["hi"][i]) t = in["w"][i] - w[i];
    }
    for (std::size_t i = 0; i < 7; ++i) {
      const double at = in["w"][i] - t;
      to_kink = std::min({to_kink, std::fabs(at - in["lo"][i]), std::fabs(at - in["hi"][i])});
    }
    if (to_kink < 1e-3) continue;
    ++checked;
    Inputs with = in, ahead = in, behind = in;
    const double h = 1e-5;
    for (const Input& i : project.inputs) {
      Vector& tangent = with["tangent/" + i.name] = Vector(in[i.name].size());
      for (std::size_t j = 0; j < tangent.size(); ++j) {
        tangent[j] = normal(g);
        ahead[i.name][j] += h * tangent[j];
        behind[i.name][j] -= h * tangent[j];
      }
    }
    const Vector got = Evaluated(jvp, with, "tangent/w");
    const Vector plus = Evaluated(project, ahead, "w"), minus = Evaluated(project, behind, "w");
    for (std::size_t i = 0; i < 7; ++i) EXPECT_NEAR(got[i], (plus[i] - minus[i]) / (2 * h), 1e-8) << "draw " << k;
  }
  EXPECT_GT(checked, 100);
}

// The executors agree; in single precision to its rounding.
TEST(Plan, KernelsProjectTheSame) {
  const Built built(kBounded);
  ASSERT_EQ(built.Errors(), "");
  const Function& project = *built.program.project;
  ASSERT_EQ(Uncompilable(project), "");
  std::mt19937_64 g(6);
  Batch inputs;
  std::vector<Vector> expected;
  for (int k = 0; k < 37; ++k) {
    const Inputs in = DrawBounded(g, k % 2 ? Sort::kTies : Sort::kSmooth, 0.05 * k - 0.3);
    inputs.push_back(TensorsOf(project, in));
    expected.push_back(Evaluated(project, in, "w"));
  }
  for (const Precision precision : {Precision::kF64, Precision::kF32}) {
    const Batch got = RunKernel(project, Compile(project, {precision, 0, ""}), inputs, 0, 37);
    const double tolerance = precision == Precision::kF64 ? 1e-13 : 3e-6;
    for (std::size_t k = 0; k < 37; ++k) {
      for (std::size_t i = 0; i < 7; ++i) EXPECT_NEAR(got[k][0].data[i], expected[k][i], tolerance) << k;
    }
  }
}

TEST(Plan, WhichConstraintsAreKept) {
  const std::string head =
      "amo 1\nproblem p\ndim n = 4\ndim m = 3\nconst top = [0.5, 0.6, 0.7, 0.8]\ndata U : real[n] ~ uniform(1, 2)\n"
      "parameter s : real[n] ~ uniform(1, 2)\ncontext x : real[n] ~ uniform(1, 2)\nhidden h : real[n] ~ uniform(1, 2)\n"
      "random e : real[n] ~ uniform(1, 2)\nlet twice = 2 * x\nlet unseen = x + h\n"
      "network net(v : real[n]) -> real[n] = mlp(hidden = [4])\nfunction f(v : real[n]) -> real[n] = v .* U\n"
      "set own(r : real)\n  project v = clamp(v, -r, r)\n";
  const std::string tail = "minimize sum(i in n: w[i] + z[i]) + sum(Y)\nsubject to\n  c";
  enum class How : std::uint8_t { kBound, kProjected, kOpen };  // by the projection of one variable, of all rows, not
  const struct {
    const char* set;
    const char* constraint;
    How how;
  } kCases[] = {
      {"", ": w <= 0.5", How::kBound},
      {"", ": w >= -1", How::kBound},
      {"", ": 0.5 >= w", How::kBound},
      {"", ": -1 <= w", How::kBound},
      {"", ": (w) <= top", How::kBound},
      {"", ": -x <= w <= twice", How::kBound},
      {"", ": x >= w >= -f(x)", How::kBound},
      {"", ": w <= U + s", How::kBound},
      {"", "[i in n]: w[i] <= x[i]", How::kBound},
      {"", "[i in n]: -1 <= w[i] <= i", How::kBound},
      {"", "[i in 0..n]: w[i] <= sum(j in n: U[j] * x[i])", How::kBound},
      {"", ": Y <= 1", How::kBound},
      {"", "[i in n, j in m]: Y[i, j] <= i + 2 * j", How::kBound},
      {"", "[j in m, i in n]: 0 <= Y[i, j] <= x[i] + j", How::kBound},
      {" in box(-1, 1)", ": w <= x", How::kBound},
      {" in box(-1, x)", ": w <= U", How::kBound},
      {" in nonnegative", ": w <= x", How::kBound},
      {" in ballinf(2)", ": w <= x", How::kBound},
      {" in simplex", ": w <= 0.5", How::kBound},
      {" in simplex", ": 0.1 <= w <= x", How::kBound},
      {" in simplex", "[i in n]: w[i] <= top[i]", How::kBound},
      {" in capped_simplex(2)", ": w >= 0.25", How::kBound},
      {" in bounded_simplex(0, x, 2)", ": w <= 0.75", How::kBound},
      // What is known later, or hidden.
      {"", ": w <= h", How::kOpen},
      {"", ": w <= unseen", How::kOpen},
      {"", ": w <= e", How::kOpen},
      {"", ": w <= z", How::kProjected},
      {"", ": w <= 2 * w - 1", How::kProjected},
      {"", ": w <= net(x)", How::kOpen},
      {"", ": 0 <= w <= z", How::kProjected},
      // Not entry by entry, or not exactly the variable.
      {"", ": 2 * w <= 1", How::kProjected},
      {"", ": sum(w) <= 1", How::kProjected},
      {"", ": w[0] <= 1", How::kProjected},
      {"", ": w == 1", How::kProjected},
      {"", ": U <= x", How::kOpen},
      {"", ": w in box(0, 1)", How::kProjected},
      {"", "[i in n if i > 1]: w[i] <= 1", How::kProjected},
      {"", "[i in m]: w[i] <= 1", How::kProjected},
      {"", "[i in 1..n]: w[i] <= 1", How::kProjected},
      {"", "[i in m]: w[i + 1] <= 1", How::kProjected},
      {"", "[i in n]: w <= x[i]", How::kProjected},
      {"", "[i in m]: Y[i, i] <= 1", How::kProjected},
      {"", "[w in n]: w <= 3", How::kOpen},
      // Sets that take no bounds.
      {" in ball(2)", ": w <= 0.5", How::kProjected},
      {" in sphere", ": w <= 0.5", How::kOpen},
      {" in own(1)", ": w <= 0.5", How::kOpen},
  };
  for (const auto& c : kCases) {
    const std::string variables = std::string("variable w : real[n]") + c.set +
                                  "\nvariable z : real[n]\nvariable Y : real[n, m]\n";
    const Built built(head + variables + tail + c.constraint + "\n");
    EXPECT_EQ(built.Errors(), "") << c.set << c.constraint;
    const std::vector<std::string> mine{"c"}, none;
    EXPECT_EQ(built.program.kept, c.how == How::kBound ? mine : none) << c.set << c.constraint;
    EXPECT_EQ(built.program.projected, c.how == How::kProjected ? mine : none) << c.set << c.constraint;
    EXPECT_EQ(built.program.constraints.size(), 1u) << c.constraint;  // measured in any case
    const auto all = built.diagnostics.Sorted();
    const bool named = std::any_of(all.begin(), all.end(), [](const lang::Diagnostic& d) {
      return d.message.starts_with("predictions are ") && d.message.ends_with("the constraint `c`, without a guarantee");
    });
    EXPECT_EQ(named, c.how == How::kOpen) << c.constraint;
  }
}

// A set of the file's own stands under that name: nothing is known of it.
TEST(Plan, ASetOfTheFileIsNotTheLibrarys) {
  const Built built(
      "amo 1\nset box(lo : real[n], hi : real[n])\n  project v = (lo + hi) / 2 + 0 * v\n"
      "set bounded_simplex(lo : real[n], hi : real[n], total : real)\n  project v = lo\n"
      "problem p\nvariable w : real[2] in box(0, 1)\nvariable z : real[2] in simplex\nminimize sum(w) + sum(z)\n"
      "subject to\n  a: w <= 0.25\n  b: z <= 0.75\n");
  ASSERT_EQ(built.Errors(), "");
  EXPECT_EQ(built.program.kept, std::vector<std::string>{"b"});
  const Inputs in{{"w", {5, 5}}, {"z", {5, 1}}};
  EXPECT_EQ(Evaluated(*built.program.project, in, "w"), (Vector{0.5, 0.5}));
  EXPECT_EQ(Evaluated(*built.program.project, in, "z"), (Vector{0.75, 0.25}));
}

// The tighter bounds win, whatever form they are written in.
TEST(Plan, BoxesAreIntersected) {
  const Built built(
      "amo 1\nproblem p\ndim n = 3\ncontext x : real[n] ~ normal(0, 1)\ndata d : real[2] ~ normal(0, 1)\n"
      "variable w : real[n] in box(hi = 1, lo = -1)\nvariable Y : real[n, 2] in box(-9, d)\nvariable a, b : real\n"
      "minimize sum(w) + sum(Y) + a + b\n"
      "subject to\n  low: w >= -0.5\n  high: x >= w\n  index[j in 2, i in n]: i - 10 * j <= Y[i, j] <= x[i] + j\n"
      "  pair: 0 <= a <= 2\n  one: b <= 3\n");
  ASSERT_EQ(built.Errors(), "");
  EXPECT_EQ(built.program.kept, (std::vector<std::string>{"low", "high", "index", "pair", "one"}));
  std::mt19937_64 g(7);
  std::normal_distribution<double> normal(0, 2);
  for (int k = 0; k < 100; ++k) {
    Inputs in{{"x", Vector(3)}, {"d", Vector(2)}, {"w", Vector(3)}, {"Y", Vector(6)}};
    in["a"] = {normal(g)};
    in["b"] = {4 + normal(g)};
    for (const char* name : {"x", "d", "w", "Y"}) {
      for (double& v : in[name]) v = normal(g);
    }
    for (double& v : in["x"]) v = std::fabs(v);  // the bounds do not cross
    const Vector w = Evaluated(*built.program.project, in, "w"), y = Evaluated(*built.program.project, in, "Y");
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(w[i], std::clamp(in["w"][i], -0.5, std::min(1.0, in["x"][i])));
      for (std::size_t j = 0; j < 2; ++j) {
        const double own = in["d"][j], di = static_cast<double>(i), dj = static_cast<double>(j);
        const double lo = std::min(std::max(di - 10 * dj, -9.0), own);
        const double hi = std::max(std::min(in["x"][i] + dj, own), lo);
        EXPECT_EQ(y[2 * i + j], std::clamp(in["Y"][2 * i + j], lo, hi)) << i << " " << j;
      }
    }
    EXPECT_EQ(Evaluated(*built.program.project, in, "a")[0], std::clamp(in["a"][0], 0.0, 2.0));
    EXPECT_EQ(Evaluated(*built.program.project, in, "b")[0], std::min(in["b"][0], 3.0));
  }
}

// Several constraints on one side of one variable: all hold.
TEST(Plan, TheTightestOfSeveralBoundsHolds) {
  const Built built(
      "amo 1\nproblem p\nconst a = [0.5, 0.9, 0.4]\nconst b = [0.7, 0.3, 0.6]\nvariable w : real[3]\n"
      "variable z : real[3] in simplex\nminimize sum(w) + sum(z)\nsubject to\n"
      "  first: w <= a\n  second: b >= w\n  third: -a <= w\n  fourth[i in 3]: w[i] >= -b[i]\n"
      "  fifth: z <= a\n  sixth: z <= b\n  seventh: z >= 0.2 * a\n  eighth: 0.45 - 0.6 * b <= z\n");
  ASSERT_EQ(built.Errors(), "");
  EXPECT_EQ(built.program.kept.size(), 8u);
  const Inputs in{{"w", {2, 2, 2}}, {"z", {0.9, -1, 0.2}}};
  EXPECT_EQ(Evaluated(*built.program.project, in, "w"), (Vector{0.5, 0.3, 0.4}));
  const Inputs low{{"w", {-2, -2, -2}}, {"z", {0, 0, 0}}};
  EXPECT_EQ(Evaluated(*built.program.project, low, "w"), (Vector{-0.5, -0.3, -0.4}));
  // Between (0.1, 0.27, 0.09) and (0.5, 0.3, 0.4) with sum 1: the first entry rests above, the second below.
  const Vector z = Evaluated(*built.program.project, in, "z"), expected{0.5, 0.27, 0.23};
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(z[i], expected[i], 1e-12);
}

// A range that leaves the variable is a mistake of the file, and no bound.
TEST(Plan, RangesBeginAtTheFirstEntry) {
  const Built built(
      "amo 1\nproblem p\nvariable w : real[4]\nminimize sum(w)\nsubject to\n  c[i in 1..5]: w[i] <= 1\n");
  EXPECT_NE(built.Errors(), "");
  EXPECT_TRUE(built.program.kept.empty());
}

// Bounds on a simplex: the nearest point of the intersection, bounds kept to the bit.
TEST(Plan, SimplicesAreIntersected) {
  const Built built(
      "amo 1\nproblem p\ndim n = 7\ncontext x : real[n] ~ uniform(0, 1)\nvariable w : real[n] in simplex\n"
      "variable z : real[n] in capped_simplex(3)\nminimize sum(w) + sum(z)\n"
      "subject to\n  high: w <= x\n  low[i in n]: w[i] >= 0.01 * i\n  both: -1 <= z <= 0.5 + x\n");
  ASSERT_EQ(built.Errors(), "");
  EXPECT_EQ(built.program.kept, (std::vector<std::string>{"high", "low", "both"}));
  std::mt19937_64 g(8);
  std::uniform_real_distribution<double> uniform;
  for (int k = 0; k < 200; ++k) {
    Inputs in{{"x", Vector(7)}, {"w", Vector(7)}, {"z", Vector(7)}};
    Vector lo(7), z_hi(7);
    for (std::size_t i = 0; i < 7; ++i) {
      in["x"][i] = 0.15 + 0.5 * uniform(g);
      in["w"][i] = 2 * uniform(g) - 1;
      in["z"][i] = 4 * uniform(g) - 2;
      lo[i] = 0.01 * static_cast<double>(i);
      z_hi[i] = std::min(0.5 + in["x"][i], 1.0);
    }
    const Vector w = Evaluated(*built.program.project, in, "w"), expected = Oracle(in["w"], lo, in["x"], 1);
    const Vector z = Evaluated(*built.program.project, in, "z"), z_expected = Oracle(in["z"], Vector(7), z_hi, 3);
    for (std::size_t i = 0; i < 7; ++i) {
      EXPECT_NEAR(w[i], expected[i], 1e-12);
      EXPECT_LE(w[i], in["x"][i]);
      EXPECT_GE(w[i], lo[i]);
      EXPECT_NEAR(z[i], z_expected[i], 1e-12);
    }
    EXPECT_NEAR(Sum(w), 1, 1e-12);
    EXPECT_NEAR(Sum(z), 3, 1e-12);
  }
}

// Bounds that leave no point of the set: the answer stays in the set, and the constraint shows by how much it fails.
TEST(Plan, BoundsThatLeaveNothingAreSeenInTheConstraint) {
  const struct {
    const char* text;
    Vector point, answer, amounts;
  } kCases[] = {
      // Caps that sum to 0.4, floors that sum to 2: the set's total, the failure even.
      {"variable w : real[4] in simplex\nminimize sum(w)\nsubject to\n  c: w <= 0.1\n",
       {3, 1, 0, 0}, Vector(4, 0.25), Vector(4, 0.15)},
      {"variable w : real[4] in simplex\nminimize sum(w)\nsubject to\n  c: w >= 0.5\n",
       {3, 1, 0, 0}, Vector(4, 0.25), Vector(4, 0.25)},
      {"variable w : real[2] in simplex\nminimize sum(w)\nsubject to\n  c: w <= -1\n", {3, 1}, {0.5, 0.5}, {1.5, 1.5}},
      {"variable w : real[2] in box(0, 1)\nminimize sum(w)\nsubject to\n  c: w >= 2\n", {3, 1}, {1, 1}, {1, 1}},
      {"variable w : real[2] in box(0, 1)\nminimize sum(w)\nsubject to\n  c: w <= -2\n", {3, 1}, {0, 0}, {2, 2}},
      {"variable w : real[2]\nminimize sum(w)\nsubject to\n  c: 2 <= w <= 1\n", {3, 1}, {2, 2}, {0, 0, 1, 1}},
  };
  for (const auto& c : kCases) {
    const Built built(std::string("amo 1\nproblem p\n") + c.text);
    ASSERT_EQ(built.Errors(), "") << c.text;
    ASSERT_EQ(built.program.kept, std::vector<std::string>{"c"}) << c.text;
    const Vector w = Evaluated(*built.program.project, {{"w", c.point}}, "w");
    const Vector amounts = Evaluated(built.program.constraints[0], {{"w", w}}, "amounts");
    ASSERT_EQ(amounts.size(), c.amounts.size()) << c.text;
    for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(w[i], c.answer[i], 1e-12) << c.text;
    for (std::size_t i = 0; i < amounts.size(); ++i) EXPECT_NEAR(amounts[i], c.amounts[i], 1e-12) << c.text;
  }
}

// Caps whose sum is the total but for rounding are no reason to leave them by more than that.
TEST(Plan, CapsThatJustReachTheTotal) {
  const Built built(
      "amo 1\nproblem p\ndim n = 49\nvariable w : real[n] in simplex\nminimize sum(w)\n"
      "subject to\n  cap: w <= 1 / 49\n");
  ASSERT_EQ(built.Errors(), "");
  Vector v(49);
  for (std::size_t i = 0; i < 49; ++i) v[i] = std::sin(static_cast<double>(i));
  const Vector w = Evaluated(*built.program.project, {{"w", v}}, "w");
  for (double x : w) EXPECT_NEAR(x, 1.0 / 49, 1e-15);
}

TEST(Plan, PortfolioKeepsItsCap) {
  const Built built("tests/programs/portfolio.amo", lang::ProblemChoice{});
  ASSERT_EQ(built.Errors(), "");
  EXPECT_EQ(built.program.kept, std::vector<std::string>{"cap"});
  std::mt19937_64 g(9);
  std::normal_distribution<double> normal(0, 0.2);
  for (int k = 0; k < 50; ++k) {
    Vector v(50);
    for (double& x : v) x = normal(g);
    const Vector w = Evaluated(*built.program.project, {{"w", v}}, "w");
    const Vector expected = Oracle(v, Vector(50, 0), Vector(50, 0.1), 1);
    EXPECT_NEAR(Sum(w), 1, 1e-12);
    for (std::size_t i = 0; i < 50; ++i) {
      EXPECT_GE(w[i], 0);
      EXPECT_NEAR(w[i], expected[i], 1e-12);
    }
    for (double a : Evaluated(built.program.constraints[0], {{"w", w}}, "amounts")) EXPECT_EQ(a, 0);
  }
}

TEST(Plan, KeptConstraintsStandInLossesStill) {
  const Built built(
      "amo 1\nproblem p\ncontext x : real[3] ~ normal(0, 1)\nvariable w : real[3]\nminimize sumsq(w - x)\n"
      "subject to\n  cap: w <= 1\nloss objective + 10 * violation(cap)\nreport worst = expect(violation(cap))\n");
  ASSERT_EQ(built.Errors(), "");
  EXPECT_EQ(built.program.kept, std::vector<std::string>{"cap"});
  ASSERT_EQ(built.program.losses.size(), 1u);
  const Inputs in{{"x", {0, 0, 0}}, {"w", {4, 0, 5}}};
  EXPECT_NEAR(Evaluated(built.program.losses[0].value, in, "loss")[0], 41 + 10 * 5, 1e-12);
}

TEST(Plan, GuaranteesAreToldInOrder) {
  const Built built(
      "amo 1\nproblem p\nvariable w : real[3] in simplex\nvariable z : real[3]\nminimize sumsq(w) + sumsq(z)\n"
      "subject to\n  total: sum(z) == 1\n  cap: w <= 0.5\n  band[i in 3]: 0 <= z[i] <= 1\n");
  ASSERT_EQ(built.Errors(), "");
  const std::vector<Guarantee> all = Guarantees(built.problem, built.program);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "total");
  EXPECT_TRUE(all[0].kept);
  EXPECT_EQ(all[0].how, "kept to rounding by the projection onto all linear constraints and sets at once");
  EXPECT_EQ(all[1].name, "cap");
  EXPECT_TRUE(all[1].kept);
  EXPECT_EQ(all[1].how, "kept by construction: part of the projection of `w`");
  EXPECT_EQ(all[2].name, "band");
  EXPECT_EQ(all[2].how, "kept by construction: part of the projection of `z`");
}

TEST(Plan, SizeDoesNotGrowWithN) {
  const auto nodes = [](int n) {
    const Built built("amo 1\nproblem p\ndim n = " + std::to_string(n) +
                      "\nvariable w : real[n] in simplex\nminimize sumsq(w)\nsubject to\n  cap: w <= 0.5\n");
    EXPECT_EQ(built.program.kept.size(), 1u);
    return built.program.project->nodes.size();
  };
  EXPECT_EQ(nodes(10), nodes(1000));
}

}  // namespace
}  // namespace amo::compiler
