// SPDX-License-Identifier: Apache-2.0
// Programs to functions: the ordinary problems build without a diagnostic and give the values of their formulas; every
// program of the literature either builds or is refused at a span, and none trips an internal check.
#include "compiler/build.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/simplify.h"
#include "compiler/text.h"
#include "lang/explain.h"
#include "lang/render.h"

namespace amo::compiler {
namespace {

const Tables kTables = {{"mnist", {{"image", {Elem::kReal, {784}}}, {"label", {Elem::kInt, {}}}}},
                        {"sphere8.npz", {{"z", {Elem::kReal, {4, 3}}}, {"alpha", {Elem::kReal, {4}}}}}};

struct Built {
  lang::Program source;
  lang::Diagnostics diagnostics;
  Program program;
};

void BuildFile(const std::string& path, const lang::ProblemChoice& choice, Built& built) {
  built.source = lang::Load(path, built.diagnostics);
  const lang::Problem p = lang::Choose(built.source, choice, built.diagnostics);
  built.program = Build(built.source, p, kTables, built.diagnostics);
}

void BuildText(const std::string& text, Built& built) {
  const std::string path = testing::TempDir() + "/build_test.amo";
  std::ofstream(path) << text;
  BuildFile(path, {}, built);
}

std::string Messages(const lang::Diagnostics& d) {
  std::string all;
  for (const lang::Diagnostic& x : d.Sorted()) if (x.severity == lang::Severity::kError) all += x.message + "\n";
  return all;
}

using Values = std::map<std::string, Tensor>;

// Inputs that are not given are drawn, in the ranges of their base draws.
Values Evaluated(const Function& f, Values given, int seed = 1) {
  std::mt19937_64 g(static_cast<std::uint64_t>(seed));
  std::uniform_real_distribution<double> u(0.05, 0.95);
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs) {
    Tensor t{in.type, std::vector<double>(static_cast<std::size_t>(Count(in.type.shape)))};
    for (double& x : t.data) x = u(g);
    if (in.name.find("row/") == 0) for (double& x : t.data) x = std::floor(255 * x);
    inputs.push_back(given.count(in.name) ? given[in.name] : t);
  }
  const std::vector<Tensor> out = Interpret(f, inputs);
  for (std::size_t k = 0; k < out.size(); ++k) given[f.outputs[k].name] = out[k];
  return given;
}

double Objective(const Program& p, const Values& v) { return Evaluated(*p.objective, v).at("objective").data[0]; }

TEST(Build, OrdinaryProblems) {
  for (const char* name : {"portfolio", "rosenbrock", "logistic_regression", "box_qp", "meta_ot_small", "sphere"}) {
    Built built;
    BuildFile(std::string("tests/programs/") + name + ".amo", {}, built);
    EXPECT_EQ(Messages(built.diagnostics), "") << name;
    ASSERT_TRUE(built.program.objective) << name;
    EXPECT_EQ(Verify(*built.program.objective), "") << name;
    Values v;
    if (built.program.data_function) v = Evaluated(*built.program.data_function, v);
    if (built.program.sample_function) v = Evaluated(*built.program.sample_function, v);
    EXPECT_TRUE(std::isfinite(Objective(built.program, v))) << name;
  }
}

TEST(Build, BoxQpIsItsFormula) {
  Built built;
  BuildFile("tests/programs/box_qp.amo", {}, built);
  Values v = Evaluated(*built.program.data_function, {});
  v = Evaluated(*built.program.sample_function, v);
  Tensor y{{Elem::kReal, {20}}, std::vector<double>(20)};
  for (std::size_t i = 0; i < 20; ++i) y.data[i] = 0.1 * static_cast<double>(i) - 0.7;
  v["y"] = y;
  double expected = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    expected += v["p"].data[i] * y.data[i];
    for (std::size_t j = 0; j < 20; ++j) expected += 0.5 * y.data[i] * v["Q"].data[20 * i + j] * y.data[j];
  }
  EXPECT_NEAR(Objective(built.program, v), expected, 1e-10);
  const Values projected = Evaluated(*built.program.project, v);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(projected.at("y").data[i], std::clamp(y.data[i], 0.0, 1.0));
}

// A pendulum swung up over H steps, by hand.
std::string Pendulum(int steps) {
  return "dim H = " + std::to_string(steps) + R"(
function swing(s : real[2], u : real) -> real[2] = [s[0] + 0.05 * w, w]
  where w = clamp(s[1] + 0.05 * (15 * sin(s[0]) + 3 * u), -8, 8)
problem swing_up
context  th : real ~ uniform(-1, 1)
variable u : real[H] in box(-2, 2)
let s = scan(z = [th, 0], t in H: swing(z, u[t]))
minimize sum(t in H: s[t, 1]^2 + 0.1 * u[t]^2) + 10 * cos(last(s)[0])
)";
}

TEST(Build, ScanIsItsSteps) {
  Built built;
  BuildText(Pendulum(20), built);
  ASSERT_EQ(Messages(built.diagnostics), "");
  Values v{{"th", {{}, {0.4}}}, {"u", {{Elem::kReal, {20}}, std::vector<double>(20)}}};
  for (std::size_t t = 0; t < 20; ++t) v["u"].data[t] = std::sin(static_cast<double>(t));
  double angle = 0.4, speed = 0, expected = 0;
  for (std::size_t t = 0; t < 20; ++t) {
    const double u = v["u"].data[t];
    expected += speed * speed + 0.1 * u * u;
    speed = std::clamp(speed + 0.05 * (15 * std::sin(angle) + 3 * u), -8.0, 8.0);
    angle += 0.05 * speed;
  }
  EXPECT_NEAR(Objective(built.program, v), expected + 10 * std::cos(angle), 1e-10);
}

TEST(Build, ScanDoesNotGrowWithItsSteps) {
  const auto nodes = [](int steps) {
    Built built;
    BuildText(Pendulum(steps), built);
    const Function h = Simplify(HessianVector(*built.program.objective, {built.program.objective->FindInput("u")}));
    std::size_t count = h.nodes.size();
    for (const Node& n : h.nodes) if (n.body) count += n.body->nodes.size();
    return count;
  };
  EXPECT_EQ(nodes(20), nodes(2000));
}

// Loops around a scan, a step that reads the loop's index and t + 1, an int state, and a draw for each step.
TEST(Build, ScanUnderLoops) {
  Built built;
  BuildText(R"(
dim n = 3
problem loops
context  x : real[n, 6] ~ normal(0, 1)
variable y : real[n]
minimize mean(i in n: last(scan(z = 1, t in 4: sin(z * x[i, t + 1] + y[i] + t))))
       + last(scan(k = 1, t in 5: (k * 2 + t) % 7)) + sum(scan(z = [i in n: y[i]], t in 1..3: [i in n: z[(i + t) % n] * x[i, t]]))
)",
            built);
  ASSERT_EQ(Messages(built.diagnostics), "");
  std::vector<double> x(18), y{0.3, -0.2, 0.7};
  for (std::size_t i = 0; i < 18; ++i) x[i] = std::cos(static_cast<double>(i));
  double expected = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    double z = 1;
    for (std::size_t t = 0; t < 4; ++t) z = std::sin(z * x[6 * i + t + 1] + y[i] + static_cast<double>(t));
    expected += z / 3;
  }
  int k = 1;
  for (int t = 0; t < 5; ++t) k = (k * 2 + t) % 7;
  expected += k;
  std::vector<double> z = y;
  expected += z[0] + z[1] + z[2];
  for (std::size_t t = 1; t < 3; ++t) {
    std::vector<double> next(3);
    for (std::size_t i = 0; i < 3; ++i) next[i] = z[(i + t) % 3] * x[6 * i + t];
    z = next;
    expected += z[0] + z[1] + z[2];
  }
  EXPECT_NEAR(Objective(built.program, {{"x", {{Elem::kReal, {3, 6}}, x}}, {"y", {{Elem::kReal, {3}}, y}}}), expected,
              1e-10);
}

TEST(Build, ScanDrawsForEachStep) {
  Built built;
  BuildText(R"(
problem walk
context  x : real ~ normal(0, 1)
variable y : real
minimize mean(i in 3: last(scan(z = x, t in 5, e : real ~ normal(0, 1): 0.5 * z + y * e)))
)", built);
  ASSERT_EQ(Messages(built.diagnostics), "");
  ASSERT_EQ(built.program.draws.size(), 2u);
  const Draw& d = built.program.draws.back();
  EXPECT_EQ(d.type.shape, (Shape{3, 5}));
  std::vector<double> e(15);
  for (std::size_t i = 0; i < 15; ++i) e[i] = std::sin(static_cast<double>(3 * i));
  double expected = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    double z = 0.3;
    for (std::size_t t = 0; t < 5; ++t) z = 0.5 * z + 2 * e[5 * i + t];
    expected += z / 3;
  }
  EXPECT_NEAR(Objective(built.program, {{"x", {{}, {0.3}}}, {"y", {{}, {2.0}}}, {d.input, {d.type, e}}}), expected,
              1e-12);
}

TEST(Build, RosenbrockVanishesAtItsMinimum) {
  Built built;
  BuildFile("tests/programs/rosenbrock.amo", {}, built);
  const double a = 1.2;
  Values v{
      {"a", {{}, {a}}}, {"b", {{}, {50.0}}}, {"y", {{Elem::kReal, {4}}, {a, a * a, std::pow(a, 4), std::pow(a, 8)}}}};
  EXPECT_NEAR(Objective(built.program, v), 0, 1e-12);
  v["y"].data[3] += 0.1;
  EXPECT_NEAR(Objective(built.program, v), 50 * 0.01, 1e-9);
}

// The objective and the Sinkhorn update of the transport problem, written out.
TEST(Build, MetaOtIsItsFormula) {
  Built built;
  BuildFile("tests/programs/meta_ot_small.amo", {}, built);
  Values v = Evaluated(*built.program.data_function, {});
  v = Evaluated(*built.program.sample_function, v);
  const std::size_t n = 196;
  EXPECT_NEAR(v["C"].data[13], 1, 1e-12);       // from (0, 0) to (0, 1)
  EXPECT_NEAR(v["C"].data[n - 1], 2, 1e-12);    // from (0, 0) to (1, 1)
  double mass = 0;
  for (double x : v["a"].data) mass += x;
  EXPECT_NEAR(mass, 1, 1e-12);
  Tensor f{{Elem::kReal, {196}}, std::vector<double>(n)};
  for (std::size_t i = 0; i < n; ++i) f.data[i] = 0.05 * std::sin(static_cast<double>(i));
  v["f"] = f;
  const double eps = 0.01;
  std::vector<double> soft(n), update(n);
  for (std::size_t j = 0; j < n; ++j) {
    double s = 0;
    for (std::size_t i = 0; i < n; ++i) s += std::exp((f.data[i] - v["C"].data[n * i + j]) / eps);
    soft[j] = eps * std::log(s);
  }
  double expected = 0;
  for (std::size_t j = 0; j < n; ++j) expected += soft[j] * v["b"].data[j] - f.data[j] * v["a"].data[j];
  EXPECT_NEAR(Objective(built.program, v), expected, 1e-10);
  for (std::size_t i = 0; i < n; ++i) {
    double s = 0;
    for (std::size_t j = 0; j < n; ++j)
      s += std::exp((eps * std::log(v["b"].data[j]) - soft[j] - v["C"].data[n * i + j]) / eps);
    update[i] = eps * std::log(v["a"].data[i]) - eps * std::log(s);
  }
  const Values next = Evaluated(*built.program.update, v);
  for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(next.at("f").data[i], update[i], 1e-9);
  // The prediction has the size of the variable, and its weights chain.
  ASSERT_TRUE(built.program.model.predict);
  EXPECT_EQ(built.program.model.predict->type(built.program.model.predict->outputs[0].value),
            (Type{Elem::kReal, {196}}));
  EXPECT_EQ(built.program.weights.size(), 8u);
}

TEST(Build, ConstraintsGiveTheAmountsByWhichTheyFail) {
  Built built;
  BuildText(
      "amo 1\nproblem c\nvariable y : real[3] in simplex\nminimize sumsq(y)\nsubject to\n  cap: y <= 0.5\n  total: "
      "sum(y) == 2\n"
      "  band: 0 <= y[0] <= 0.25\n",
      built);
  ASSERT_EQ(Messages(built.diagnostics), "");
  const Values v{{"y", {{Elem::kReal, {3}}, {0.75, 0.5, 0.25}}}};
  EXPECT_EQ(Evaluated(built.program.constraints[0], v).at("amounts").data, (std::vector<double>{0.25, 0, 0}));
  EXPECT_EQ(Evaluated(built.program.constraints[1], v).at("amounts").data, (std::vector<double>{0.5}));
  EXPECT_EQ(Evaluated(built.program.constraints[2], v).at("amounts").data, (std::vector<double>{0, 0.5}));
}

// Projections: feasible, idempotent, and the variational inequality <x - Px, z - Px> <= 0 for z in the set.
TEST(Build, SetsProject) {
  std::mt19937_64 g(7);
  std::normal_distribution<double> normal;
  for (const char* set : {"box(-0.3, 0.4)", "nonnegative", "simplex", "ball(0.7)", "ballinf(0.2)", "capped_simplex(2)",
                          "halfspace([1, -2, 0.5, 0, 1, 0.1], 0.2)", "ball1(0.8)", "second_order_cone"}) {
    Built built;
    BuildText(std::string("amo 1\nproblem s\nvariable y : real[6] in ") + set + "\nminimize sumsq(y)\n", built);
    ASSERT_EQ(Messages(built.diagnostics), "") << set;
    const auto project = [&](const std::vector<double>& x) {
      return Evaluated(*built.program.project, {{"y", {{Elem::kReal, {6}}, x}}}).at("y").data;
    };
    for (int k = 0; k < 50; ++k) {
      std::vector<double> x(6), z(6);
      for (std::size_t i = 0; i < 6; ++i) x[i] = normal(g), z[i] = normal(g);
      const std::vector<double> p = project(x), pp = project(p), q = project(z);
      double inequality = 0;
      for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_NEAR(pp[i], p[i], 1e-12) << set;
        inequality += (x[i] - p[i]) * (q[i] - p[i]);
      }
      EXPECT_LE(inequality, 1e-12) << set;
    }
  }
}

// A set acts on the last axis, independently over the leading ones; `project` gives a set's own projection anywhere.
TEST(Build, SetsActOnTheLastAxis) {
  Built built;
  BuildText("amo 1\nproblem s\ncontext x : real[4]\nvariable Y : real[3, 4] in simplex\n"
            "minimize sum(i in 3: sumsq(Y[i] - project(x, simplex)))\n", built);
  ASSERT_EQ(Messages(built.diagnostics), "");
  std::vector<double> flat;
  for (int i = 0; i < 12; ++i) flat.push_back(std::sin(3.0 * i));
  const std::vector<double> all =
      Evaluated(*built.program.project, {{"Y", {{Elem::kReal, {3, 4}}, flat}}}).at("Y").data;
  for (int row = 0; row < 3; ++row) {
    Built one;
    BuildText("amo 1\nproblem s\nvariable y : real[4] in simplex\nminimize sumsq(y)\n", one);
    const std::vector<double> x(flat.begin() + 4 * row, flat.begin() + 4 * row + 4);
    const std::vector<double> p = Evaluated(*one.program.project, {{"y", {{Elem::kReal, {4}}, x}}}).at("y").data;
    for (int j = 0; j < 4; ++j) EXPECT_EQ(all[static_cast<std::size_t>(4 * row + j)], p[static_cast<std::size_t>(j)]);
  }
  const std::vector<double> x(flat.begin(), flat.begin() + 4), p(all.begin(), all.begin() + 4);
  std::vector<double> rows;
  for (int i = 0; i < 3; ++i) rows.insert(rows.end(), p.begin(), p.end());
  const Values v{{"x", {{Elem::kReal, {4}}, x}}, {"Y", {{Elem::kReal, {3, 4}}, rows}}};
  EXPECT_NEAR(Evaluated(*built.program.objective, v).at("objective").data[0], 0, 1e-30);
}

TEST(Build, CompileSizeDoesNotGrowWithN) {
  const auto nodes = [](int n) {
    Built built;
    BuildText("amo 1\nproblem chain\ndim n = " + std::to_string(n) + "\nvariable y : real[n]\n"
              "minimize sum(i in 0..n - 1: 100 * (y[i + 1] - y[i]^2)^2 + (1 - y[i])^2)\n", built);
    EXPECT_EQ(Messages(built.diagnostics), "");
    return Gradient(*built.program.objective, {0}).nodes.size();
  };
  EXPECT_EQ(nodes(100), nodes(10000));
}

TEST(Build, NamesMistakesAtTheirPlace) {
  const struct { const char* body; const char* expected;
  } kCases[] = {
      {"variable y : real[3]\nminimize sum(y .* zz)\n", "`zz` is not declared"},
      {"variable y : real[3]\nminimize sum(y) * residual\n", "`residual` here cannot be compiled yet"},
      {"variable y : real[3]\nvariable w : real[4]\nminimize sum(y + w)\n",
       "operands of `+` have shapes `[3]` and `[4]`"},
      {"variable y : real[3]\nminimize y\n", "the objective has shape `[3]`, not a single number"},
      {"variable y : real[3]\nminimize sum(y * y)\n", "`*` of two vectors is ambiguous"},
      {"variable y : real[3]\nminimize y[3]\n", "the index 3 leaves the axis of 3 entries"},
      {"variable y : real[3] in box(0, 1)[1] * sphere\nminimize sum(y)\n",
       "a curved surface in a product with other sets cannot be compiled yet"},
  };
  for (const auto& c : kCases) {
    Built built;
    BuildText(std::string("amo 1\nproblem p\n") + c.body, built);
    EXPECT_NE(Messages(built.diagnostics).find(c.expected), std::string::npos) << c.body << Messages(built.diagnostics);
  }
}

// A file without `model` has the model that `amo explain` prints.
TEST(Build, TheDefaultModelIsTheOneThatExplainPrints) {
  const std::string text =
      "amo 1\nproblem p\ncontext x : real[3] ~ normal(0, 1)\nvariable y : real[2]\nminimize sumsq(y) + sum(x)\n";
  Built left_out, written;
  BuildText(text, left_out);
  BuildText(text + "model " + lang::Defaults().model + "\n", written);
  ASSERT_TRUE(left_out.program.model.predict && written.program.model.predict);
  EXPECT_EQ(Print(*left_out.program.model.predict), Print(*written.program.model.predict));
}

// What stands in a file and is not built is said at its place.
TEST(Build, NothingIsPassedOver) {
  Built built;
  BuildText(
      "amo 1\nproblem p\ncontext x : real ~ normal(0, 1)\nvariable y : real\nminimize (y - x)^2\nsubject to\n  cap: y "
      "* y <= 1\nsolve zeros then ilqr(steps = 5)\n"
      "model mlp(hidden = [4]) then gradient(steps = learned(3))\nloss (y - x)^4 by magic\n",
      built);
  std::string all;
  for (const lang::Diagnostic& d : built.diagnostics.Sorted())
    all += std::string(CodeName(d.code)) + ": " + d.message + "\n";
  for (const char* part : {"`ilqr` moves one variable, the controls", "`steps` that is learned", "`by magic` cannot"}) {
    EXPECT_NE(all.find(part), std::string::npos) << part << " in\n" << all;
  }
  EXPECT_TRUE(built.diagnostics.has_errors());
}

// Forms that are right and not built: refused at their place, where a wrong function once came out, or none.
// A step whose condition fails leaves the state as it is.
TEST(Build, ScanWithACondition) {
  Built built;
  BuildText("amo 1\nproblem p\nvariable y : real\n"
            "minimize sum(i in 2: sum(scan(z = 1.0, t in 1..6 if (t + i) % 2 == 0: z * y + t)))\n", built);
  ASSERT_EQ(Messages(built.diagnostics), "");
  double expected = 0;
  for (int i = 0; i < 2; ++i) {
    double z = 1;
    expected += z;
    for (int t = 1; t < 6; ++t) {
      if ((t + i) % 2 == 0) z = z * 0.7 + t;
      expected += z;
    }
  }
  EXPECT_NEAR(Objective(built.program, {{"y", {{}, {0.7}}}}), expected, 1e-12);
}

// A const that is drawn is the same for all instances, and its arrays reach everything that data reach.
TEST(Build, ConstsAreDrawn) {
  Built built;
  BuildText("amo 1\nproblem p\nconst c ~ normal(0, 1)\nconst w : real[3] ~ uniform(1, 2)\ndata v : real[3] = c * w\n"
            "context x : real ~ normal(c, 1)\nvariable y : real\nminimize (y - x)^2 + sum(v) + w[0]\n", built);
  ASSERT_EQ(Messages(built.diagnostics), "");
  const Program& p = built.program;
  ASSERT_EQ(p.data.size(), 3u);
  ASSERT_EQ(p.draws.size(), 3u);
  const Values data = Evaluated(*p.data_function, {{"draw/c", {{}, {0.5}}}, {"draw/w", {{}, {0.1, 0.2, 0.3}}}});
  EXPECT_EQ(data.at("c").data[0], 0.5);
  EXPECT_NEAR(data.at("v").data[2], 0.5 * 1.3, 1e-15);
  Values v = data;
  v["x"] = v["y"] = {{}, {0.0}};
  EXPECT_NEAR(Objective(p, v), 0.5 * 3.6 + 1.1, 1e-15);
}

TEST(Build, FormsThatAreNotBuiltAreRefused) {
  const std::string x = "context x : real ~ normal(0, 1)\n";
  const struct { std::string body; const char* expected;
  } kCases[] = {
      {x + "variable y : real\nminimize (y - x)^2 + y(x = 5)\nmodel linear\n",
       "a variable under a replaced `x`"},
      {x + "variable y : real\nlet e = y - x\nminimize e^2\nmodel linear then lbfgs(steps = 2)\n"
           "report far = expect(e(x = 5))\n",
       "the model at another context, after `lbfgs`,"},
      {x + "variable y : real\nminimize (y - x)^2\nmodel linear then adam(steps = 2)\n"
           "report far = expect(objective(x = 5, step = x))\n",
       "a step that is neither a number nor an index"},
      {x + "variable y : real\nminimize (y - x)^2\nmodel linear then anderson(steps = 2)\n"
           "report far = expect(mean(i in 3: y(x = x + i)))\n",
       "the model at another context under a binder, after `anderson`,"},
      {x + "variable y : real\nminimize (y - x)^2\nupdate h : real = h + y from 0\nlet q = h * y\nloss q(step = 2)\n"
           "model linear then gradient(steps = 3)\n",
       "`q` reads the state `h`, which this model does not carry"},
      {"const n : int ~ uniform(integers(2, 3))\ndim m = n\n" + x + "variable y : real[m]\nminimize sumsq(y - x)\n",
       "the dim `m` is not known when the file is compiled"},
      {x + "variable y : real\nminimize (y - x)^2\nmodel linear then iterate(steps = 2)\n",
       "`iterate` without an `update`"},
      {x + "variable y : real\nminimize (y - x)^2\nsolve zeros then iterate(tol = 1e-6)\n",
       "`iterate` without an `update`"},
      {x + "variable y : real\nminimize (y - x)^2\nsubject to\n  c: y * y <= 1\nmodel linear then gradient(steps = "
           "3)\n",
       "`gradient` after a prediction, under the constraint `c`"},
  };
  for (const auto& c : kCases) {
    Built built;
    BuildText("amo 1\nproblem p\n" + c.body, built);
    EXPECT_NE(Messages(built.diagnostics).find(c.expected), std::string::npos) << c.body << Messages(built.diagnostics);
    EXPECT_TRUE(built.diagnostics.has_errors()) << c.body;
  }
  // Replacing the variable too says what it is there.
  Built fine;
  BuildText("amo 1\nproblem p\n" + x +
                "variable y : real\nminimize (y - x)^2\nmodel linear\nreport far = expect(objective(x = 5, y = 5))\n",
            fine);
  EXPECT_FALSE(fine.diagnostics.has_errors()) << Messages(fine.diagnostics);
}

// What a run gives is an input: answers, values after steps, means; the functions say which.
TEST(Build, ResultsOfRunsAreInputs) {
  Built built;
  BuildText("amo 1\nproblem p\ncontext x : real[2] ~ normal(0, 1)\nvariable y : real[2]\nminimize sumsq(y - x)\n"
            "model zeros then gradient(steps = 3, rate = 0.1)\nloss mean(t in 1..4: objective(step = t)) + regression\n"
            "report gap = expect(objective - objective(y = solved(y)))\nreport half = gap / 2\n", built);
  ASSERT_FALSE(built.diagnostics.has_errors()) << Messages(built.diagnostics);
  const Program& p = built.program;
  ASSERT_EQ(p.traces.size(), 1u);
  EXPECT_EQ(p.traces[0].first, 1);
  EXPECT_EQ(p.traces[0].count, 3);
  ASSERT_EQ(p.losses.size(), 1u);
  const int k = p.losses[0].value.FindInput("trace/0");
  ASSERT_GE(k, 0);
  EXPECT_EQ(p.losses[0].value.inputs[static_cast<std::size_t>(k)].type, (Type{Elem::kReal, {3}}));
  EXPECT_GE(p.losses[0].value.FindInput("solved/y"), 0);
  ASSERT_EQ(p.expects.size(), 1u);
  EXPECT_GE(p.expects[0].FindInput("solved/y"), 0);
  ASSERT_EQ(p.reports.size(), 2u);
  EXPECT_GE(p.reports[0].FindInput("expect/0"), 0);
  EXPECT_GE(p.reports[1].FindInput("report/gap"), 0);
}

// A method that compares values has no derivative but the implicit one, which a curved set has not: a loss on its answer
// is refused then, one on its start is not.
TEST(Build, LossesThroughMethodsAreRefused) {
  const std::string text =
      "amo 1\nproblem p\ncontext x : real[3] ~ normal(0, 1)\nvariable y : real[3] in sphere\nminimize sumsq(y - x)\n"
      "model linear then riemannian_gradient(steps = 2)\n";
  Built through, before, late, implicit;
  BuildText(text, through);
  EXPECT_NE(Messages(through.diagnostics).find("a loss on the answer of `riemannian_gradient`"), std::string::npos)
      << Messages(through.diagnostics);
  BuildText(text + "loss model: objective(step = 0)\n", before);
  EXPECT_FALSE(before.diagnostics.has_errors()) << Messages(before.diagnostics);
  BuildText(
      "amo 1\nproblem p\ncontext x : real ~ normal(0, 1)\nvariable y : real\nminimize (y - x)^2\nmodel linear then "
      "lbfgs(steps = 2)\n",
      implicit);
  EXPECT_FALSE(implicit.diagnostics.has_errors()) << Messages(implicit.diagnostics);
  BuildText(
      "amo 1\nproblem p\ncontext x : real ~ normal(0, 1)\nvariable y : real\nminimize (y - x)^2\nmodel linear\nloss "
      "objective(step = 1)\n",
      late);
  EXPECT_NE(Messages(late.diagnostics).find("there is no step 1"), std::string::npos) << Messages(late.diagnostics);
}

TEST(Build, EveryProgramBuildsOrIsRefused) {
  int built_count = 0, count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/programs")) {
    if (entry.path().extension() != ".amo") continue;
    Built built;
    BuildFile(entry.path().string(), {}, built);
    ++count;
    if (!built.diagnostics.has_errors()) ++built_count;
    for (const lang::Diagnostic& d : built.diagnostics.Sorted()) {
      EXPECT_GT(d.span.end, d.span.begin) << entry.path() << d.message;
    }
  }
  EXPECT_GE(count, 50);
  EXPECT_GE(built_count, 6);
}

}  // namespace
}  // namespace amo::compiler
