// SPDX-License-Identifier: Apache-2.0
// Networks: each builder against its formulas, and weights that are given as a vector.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>

#include "compiler/build.h"
#include "compiler/curvature.h"
#include "compiler/interpret.h"
#include "lang/render.h"

namespace amo::compiler {
namespace {

using Numbers = std::vector<double>;
using Values = std::map<std::string, Tensor>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

Numbers Random(std::size_t n, int seed, double scale = 1) {
  std::mt19937_64 g(static_cast<std::uint64_t>(seed));
  std::normal_distribution<double> normal(0, scale);
  Numbers x(n);
  for (double& v : x) v = normal(g);
  return x;
}

struct Built {
  lang::Program source;
  lang::Diagnostics diagnostics;
  Program program;
  std::string errors;
};

void BuildText(const std::string& text, Built& built) {
  const std::string path = testing::TempDir() + "/network_test.amo";
  std::ofstream(path) << text;
  built.source = lang::Load(path, built.diagnostics);
  const lang::Problem p = lang::Choose(built.source, {}, built.diagnostics);
  built.program = Build(built.source, p, {}, built.diagnostics);
  for (const lang::Diagnostic& d : built.diagnostics.Sorted()) {
    if (d.severity == lang::Severity::kError) built.errors += d.message + "\n";
  }
}

// Inputs that are not given are normal.
Tensor Evaluated(const Function& f, const Values& given) {
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs) {
    const auto it = given.find(in.name);
    EXPECT_TRUE(it != given.end()) << in.name;
    inputs.push_back(it->second);
    EXPECT_EQ(inputs.back().data.size(), Z(Count(in.type.shape))) << in.name;
    inputs.back().type = in.type;
  }
  return Interpret(f, inputs)[0];
}

// Weights of all own networks, drawn within their bounds.
Values Weights(const Program& p, int seed = 5) {
  Values v;
  for (const Weight& w : p.weights) {
    Numbers x = Random(Z(Count(w.type.shape)), seed++);
    for (double& e : x) e = w.bound * std::sin(e);
    v[w.input] = {w.type, x};
  }
  return v;
}

// A network of one argument, as the objective: sum(net(y) .* u), with u a context.
std::string Objective(const std::string& network, const std::string& shape, const std::string& result) {
  return "amo 1\nproblem p\nnetwork net(y : real[" + shape + "]) -> real[" + result + "] = " + network +
         "\ncontext u : real[" + result + "] ~ normal(0, 1)\nvariable y : real[" + shape +
         "]\nminimize sum(net(y) .* u)\nmodel zeros\nloss net: objective\n";
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The value of row r of W x + b.
double Row(const Values& v, const std::string& matrix, const std::string& offset, std::size_t r, const Numbers& x) {
  double s = v.at(offset).data[r];
  for (std::size_t i = 0; i < x.size(); ++i) s += v.at(matrix).data[r * x.size() + i] * x[i];
  return s;
}

TEST(Network, ChainOfConvolutionsIsItsLoops) {
  Built built;
  BuildText(Objective("chain(conv(3, 2, stride = 2, pad = 1), relu, maxpool(2), deconv(1, 3), flatten, dense(4), tanh)",
                      "2, 6, 6", "4"),
            built);
  ASSERT_EQ(built.errors, "");
  const Program& p = built.program;
  ASSERT_EQ(p.weights.size(), 6u);
  EXPECT_EQ(p.weights[0].type.shape, (Shape{3, 2, 2, 2}));
  EXPECT_NEAR(p.weights[0].bound, 1 / std::sqrt(8.0), 1e-15);
  EXPECT_EQ(p.weights[2].type.shape, (Shape{3, 1, 3, 3}));
  Values v = Weights(p);
  const Numbers y = Random(72, 11), u = Random(4, 12);
  v["y"] = {{}, y}, v["u"] = {{}, u};
  const auto weight = [&](int k, std::size_t i) { return v.at("weight/net/" + std::to_string(k)).data[i]; };
  Numbers conv(3 * 16), pool(3 * 4), flat(16);
  for (std::size_t o = 0; o < 3; ++o)
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) {
        double s = weight(1, o);
        for (std::size_t c = 0; c < 2; ++c)
          for (int a = 0; a < 2; ++a)
            for (int b = 0; b < 2; ++b) {
              const int row = 2 * i + a - 1, column = 2 * j + b - 1;
              if (row < 0 || row >= 6 || column < 0 || column >= 6) continue;
              s += weight(0, ((o * 2 + c) * 2 + Z(a)) * 2 + Z(b)) * y[(c * 6 + Z(row)) * 6 + Z(column)];
            }
        conv[(o * 4 + Z(i)) * 4 + Z(j)] = std::max(s, 0.0);
      }
  for (std::size_t o = 0; o < 3; ++o)
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 2; ++j) {
        const auto at = [&](std::size_t a, std::size_t b) { return conv[(o * 4 + 2 * i + a) * 4 + 2 * j + b]; };
        pool[(o * 2 + i) * 2 + j] = std::max({at(0, 0), at(0, 1), at(1, 0), at(1, 1)});
      }
  std::fill(flat.begin(), flat.end(), weight(3, 0));
  for (std::size_t o = 0; o < 3; ++o)
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 2; ++j)
        for (std::size_t a = 0; a < 3; ++a)
          for (std::size_t b = 0; b < 3; ++b)
            flat[(i + a) * 4 + j + b] += pool[(o * 2 + i) * 2 + j] * weight(2, (o * 3 + a) * 3 + b);
  double expected = 0;
  for (std::size_t r = 0; r < 4; ++r) expected += u[r] * std::tanh(Row(v, "weight/net/4", "weight/net/5", r, flat));
  EXPECT_NEAR(Evaluated(*p.objective, v).data[0], expected, 1e-12);
}

TEST(Network, ConvolutionsUnderLoops) {
  Built built;
  BuildText(R"(amo 1
problem p
context  k1 : real[2, 1, 3] ~ normal(0, 1)
context  k2 : real[3, 1, 2, 2] ~ normal(0, 1)
variable y : real[4, 1, 5]
minimize sum(i in 4: sum(conv1d(y[i], k1, pad = 1, stride = 2)) + i * sum(maxpool(conv2d(reshape(y, [4, 1, 5, 1])[i], [o in 3, c in 1, a in 2, b in 1: k2[o, c, a, b]]), 1)))
)",
            built);
  ASSERT_EQ(built.errors, "");
  const Numbers y = Random(20, 1), k1 = Random(6, 2), k2 = Random(12, 3);
  double expected = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t o = 0; o < 2; ++o)
      for (int j = 0; j < 3; ++j)
        for (int b = 0; b < 3; ++b) {
          const int at = 2 * j + b - 1;
          if (at >= 0 && at < 5) expected += k1[o * 3 + Z(b)] * y[i * 5 + Z(at)];
        }
    for (std::size_t o = 0; o < 3; ++o)
      for (std::size_t j = 0; j < 4; ++j)
        for (std::size_t a = 0; a < 2; ++a)
          expected += static_cast<double>(i) * k2[(o * 2 + a) * 2] * y[i * 5 + j + a];
  }
  EXPECT_NEAR(Evaluated(*built.program.objective, {{"y", {{}, y}}, {"k1", {{}, k1}}, {"k2", {{}, k2}}}).data[0],
              expected, 1e-12);
}

const char* const kCell = R"(amo 1
problem p
network cell(h : real[STATE], i : real[3]) -> real[STATE] = KIND
context u : real[STATE] ~ normal(0, 1)
context x : real[3] ~ normal(0, 1)
variable y : real[STATE]
minimize sum(cell(y, x) .* u)
model zeros
loss cell: objective
)";

std::string Cell(const std::string& kind, const std::string& state) {
  std::string text = kCell;
  for (std::size_t at; (at = text.find("STATE")) != text.npos;) text.replace(at, 5, state);
  return text.replace(text.find("KIND"), 4, kind);
}

TEST(Network, GruIsItsFormulas) {
  Built built;
  BuildText(Cell("gru(layers = 2)", "8"), built);
  ASSERT_EQ(built.errors, "");
  ASSERT_EQ(built.program.weights.size(), 8u);
  Values v = Weights(built.program);
  Numbers x = Random(3, 1);
  const Numbers state = Random(8, 2), u = Random(8, 3);
  v["x"] = {{}, x}, v["y"] = {{}, state}, v["u"] = {{}, u};
  double expected = 0;
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const auto name = [&](std::size_t k) { return "weight/cell/" + std::to_string(4 * layer + k); };
    const Numbers h(state.begin() + static_cast<std::ptrdiff_t>(4 * layer),
                    state.begin() + static_cast<std::ptrdiff_t>(4 * layer + 4));
    Numbers next(4);
    for (std::size_t r = 0; r < 4; ++r) {
      const auto in = [&](std::size_t gate) { return Row(v, name(0), name(2), 4 * gate + r, x); };
      const auto own = [&](std::size_t gate) { return Row(v, name(1), name(3), 4 * gate + r, h); };
      const double reset = Sigmoid(in(0) + own(0)), keep = Sigmoid(in(1) + own(1));
      next[r] = (1 - keep) * std::tanh(in(2) + reset * own(2)) + keep * h[r];
      expected += u[4 * layer + r] * next[r];
    }
    x = next;
  }
  EXPECT_NEAR(Evaluated(*built.program.objective, v).data[0], expected, 1e-12);
}

TEST(Network, LstmIsItsFormulas) {
  Built built;
  BuildText(Cell("lstm", "8"), built);
  ASSERT_EQ(built.errors, "");
  Values v = Weights(built.program);
  const Numbers x = Random(3, 1), state = Random(8, 2), u = Random(8, 3), h(state.begin(), state.begin() + 4);
  v["x"] = {{}, x}, v["y"] = {{}, state}, v["u"] = {{}, u};
  double expected = 0;
  for (std::size_t r = 0; r < 4; ++r) {
    const auto sum = [&](std::size_t gate) {
      return Row(v, "weight/cell/0", "weight/cell/2", 4 * gate + r, x) +
             Row(v, "weight/cell/1", "weight/cell/3", 4 * gate + r, h);
    };
    const double c = Sigmoid(sum(1)) * state[4 + r] + Sigmoid(sum(0)) * std::tanh(sum(2));
    expected += u[r] * Sigmoid(sum(3)) * std::tanh(c) + u[4 + r] * c;
  }
  EXPECT_NEAR(Evaluated(*built.program.objective, v).data[0], expected, 1e-12);
}

TEST(Network, IcnnIsConvexAndMovesWithItsWeights) {
  for (const char* activation : {"relu", "elu", "softplus"}) {
    Built built;
    BuildText(std::string("amo 1\nproblem p\nnetwork net(y : real[5]) -> real = icnn(hidden = [8, 8], activation = ") +
                  activation + ")\nvariable y : real[5]\nminimize net(y)\nmodel zeros\nloss net: objective\n",
              built);
    ASSERT_EQ(built.errors, "");
    ASSERT_EQ(built.program.weights.size(), 8u);
    for (int seed = 0; seed < 20; ++seed) {
      Values v;
      for (const Weight& w : built.program.weights)
        v[w.input] = {w.type, Random(Z(Count(w.type.shape)), seed + 7 * static_cast<int>(v.size()), 2)};
      const Numbers a = Random(5, 2 * seed + 100), b = Random(5, 2 * seed + 101);
      const auto value = [&](double t) {
        Numbers y(5);
        for (std::size_t i = 0; i < 5; ++i) y[i] = (1 - t) * a[i] + t * b[i];
        v["y"] = {{}, y};
        return Evaluated(*built.program.objective, v).data[0];
      };
      for (double t : {0.2, 0.5, 0.9}) {
        const double chord = (1 - t) * value(0) + t * value(1);
        EXPECT_LE(value(t), chord + 1e-10 * (1 + std::fabs(chord))) << activation;
      }
      for (const Weight& w : built.program.weights) {
        const double before = value(0.3);
        Tensor& moved = v.at(w.input);
        const Numbers kept = moved.data;
        for (double& x : moved.data) x += 0.1;
        if (std::string(activation) != "relu") {
          EXPECT_NE(value(0.3), before) << w.input;
        }
        moved.data = kept;
      }
    }
  }
  Built tanh;
  BuildText(Objective("icnn(hidden = [4], activation = tanh)", "3", "1"), tanh);
  EXPECT_NE(tanh.errors.find("not convex"), std::string::npos);
}

TEST(Network, SoftplusIcnnIsConvexByTheRules) {
  Built built;
  BuildText("amo 1\nproblem p\nnetwork net(y : real[5]) -> real = icnn(hidden = [8, 8], activation = softplus)\n"
            "variable y : real[5]\nminimize net(y)\nmodel zeros\nloss net: objective\n", built);
  ASSERT_EQ(built.errors, "");
  const Function& f = *built.program.objective;
  EXPECT_TRUE(Curvatures(f, {f.FindInput("y")})[Z(f.outputs[0].value.index)].convex);
}

// Every builder: it builds, its weights can be given as one vector, under loops too, and `weights` counts them.
// NAME(f = g): the name as it is with another network in its place, also inside functions and below other replacements.
TEST(Network, ANetworkIsReplaced) {
  const std::string head =
      "amo 1\nproblem p\nnetwork f(y : real[3]) -> real[2] = mlp(hidden = [4])\n"
      "network g(y : real[3]) -> real[2] = mlp(hidden = [4])\nvariable y : real[3]\n"
      "function twice(z : real[3]) -> real = sum(f(z)) + sum(f(2 * z))\nlet v = twice(y)\nlet w = v + f(y)[0]\n";
  Built replaced, plain;
  BuildText(head + "minimize w(f = g) - 3 * w(f = g, y = 2 * y) + 0 * v\nmodel zeros\nloss f, g: objective\n", replaced);
  std::string by_hand = head;
  for (std::size_t at; (at = by_hand.find("f(", by_hand.find("function"))) != by_hand.npos;) by_hand.replace(at, 2, "g(");
  BuildText(by_hand + "minimize w - 3 * w(y = 2 * y) + 0 * f(y)[0]\nmodel zeros\nloss f, g: objective\n", plain);
  ASSERT_EQ(replaced.errors + plain.errors, "");
  const Values weights = Weights(plain.program);
  const auto value = [&](const Built& built) {
    Values v;
    for (const Input& in : built.program.objective->inputs)
      v[in.name] = in.name == "y" ? Tensor{{}, {0.3, -0.7, 1.1}} : weights.at(in.name);
    return Evaluated(*built.program.objective, v).data[0];
  };
  EXPECT_GT(std::fabs(value(plain)), 1e-6);
  EXPECT_NEAR(value(replaced), value(plain), 1e-12);
}

TEST(Network, GivenWeightsAreOwnWeightsOneAfterTheOther) {
  const struct {
    const char *builder, *shape, *result;
  } kCases[] = {
      {"mlp(hidden = [5], activation = gelu)", "3", "2"},
      {"linear", "3", "2"},
      {"chain(dense(6), silu, reshape(1, 2, 3), conv(2, 2), deconv(1, 2), flatten, dense(2))", "3", "2"},
      {"chain(reshape(1, 3), conv1d(2, 3, pad = 1), elu, flatten, dense(2))", "3", "2"},
      {"resnet(layers = 2, hidden = 4)", "3", "2"},
      {"convnet(channels = [2, 3], hidden = [4])", "1, 4, 4", "2"},
      {"transformer(layers = 1, heads = 2, hidden = 4)", "3, 2", "3, 2"},
      {"transformer(layers = 1, heads = 2, hidden = 4)", "3, 2", "2"},
      {"deepset(hidden = [4])", "3, 2", "2"},
      {"icnn(hidden = [4, 3])", "3", "2"},
  };
  for (const auto& c : kCases) {
    const std::string net = std::string("network net(y : real[") + c.shape + "]) -> real[" + c.result + "] = " +
                            c.builder + "\n";
    const std::string tail = std::string("variable y : real[") + c.shape + "]\n";
    Built own, given;
    BuildText("amo 1\nproblem p\n" + net + tail + "minimize sum(sin(net(y)))\nmodel zeros\nloss net: objective\n", own);
    ASSERT_EQ(own.errors, "") << c.builder;
    BuildText("amo 1\nproblem p\n" + net + "data w : real[2, weights(net)] ~ init(net)\n" +
                  "data w1 : real[weights(net) + 1] = zeros(weights(net) + 1)\n" + tail +
                  "minimize sum(i in 2: (i + 1) * sum(sin(net((i + 1) * y; w[i]))))\n",
              given);
    ASSERT_EQ(given.errors, "") << c.builder;
    EXPECT_TRUE(given.program.weights.empty()) << c.builder;
    Values v = Weights(own.program);
    Numbers flat, bounds;
    for (const Weight& w : own.program.weights) {
      const Numbers& x = v.at(w.input).data;
      flat.insert(flat.end(), x.begin(), x.end());
      bounds.insert(bounds.end(), x.size(), w.bound);
    }
    std::int64_t size = 1;
    for (const Named& n : own.program.variables) size = Count(n.type.shape);
    const Numbers y = Random(Z(size), 17);
    v["y"] = {{}, y};
    const double first = Evaluated(*own.program.objective, v).data[0];
    for (double& x : v.at("y").data) x *= 2;
    const double second = Evaluated(*own.program.objective, v).data[0];
    EXPECT_GT(std::fabs(first), 1e-6) << c.builder;
    Numbers both = flat;
    both.insert(both.end(), flat.begin(), flat.end());
    EXPECT_NEAR(Evaluated(*given.program.objective, {{"y", {{}, y}}, {"w", {{}, both}}}).data[0], first + 2 * second,
                1e-11)
        << c.builder;
    // The start: bounds times 2 u - 1.
    const Function& data = *given.program.data_function;
    ASSERT_EQ(given.program.draws.size(), 1u);
    EXPECT_EQ(given.program.draws[0].type.shape, (Shape{2, static_cast<std::int64_t>(flat.size())}));
    EXPECT_EQ(given.program.draws[0].base, Draw::Base::kUniform);
    const Numbers u(2 * flat.size(), 0.75);
    const Tensor start = Evaluated(data, {{given.program.draws[0].input, {{}, u}}});
    for (std::size_t i = 0; i < start.data.size(); ++i)
      EXPECT_NEAR(start.data[i], bounds[i % bounds.size()] / 2, 1e-12) << c.builder;
    EXPECT_EQ(given.program.data[1].type.shape, (Shape{static_cast<std::int64_t>(flat.size()) + 1}));
  }
}

// Two layers by hand; a list of edges is the matrix that counts them.
TEST(Network, GnnIsItsFormulas) {
  const std::string head = "amo 1\nproblem p\nvariable y : real[3, 2]\nnetwork net(h : real[3, 2], ";
  const std::string tail = "model zeros\nloss net: objective\n";
  Built matrix, list;
  BuildText(head + "A : real[3, 3], c : real) -> real[3] = gnn(layers = 1, hidden = 4, activation = tanh)\n"
            "context A : real[3, 3]\nminimize dot(net(y, A, 0.7), [1, 2, 3])\n" + tail, matrix);
  BuildText(head + "E : int[4, 2], c : real) -> real[3] = gnn(layers = 1, hidden = 4, activation = tanh)\n"
            "context E : int[4, 2]\nminimize dot(net(y, E, 0.7), [1, 2, 3])\n" + tail, list);
  ASSERT_EQ(matrix.errors + list.errors, "");
  Values v = Weights(matrix.program);
  const Numbers y = Random(6, 3);
  const Numbers a = {0, 2, 0, 0, 0, 1, 1, 0, 0};  // [to, from]: 1 -> 0 twice, 2 -> 1, 0 -> 2
  v["y"] = {{}, y}, v["A"] = {{}, a}, v["E"] = {{}, {1, 0, 2, 1, 1, 0, 0, 2}};
  const auto weight = [&](int k, std::size_t i) { return v.at("weight/net/" + std::to_string(k)).data[i]; };
  double expected = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto feature = [&](std::size_t node, std::size_t d) { return d < 2 ? y[node * 2 + d] : 0.7; };
    double out = weight(4, 0);
    for (std::size_t h = 0; h < 4; ++h) {
      double s = weight(1, h);
      for (std::size_t d = 0; d < 3; ++d) {
        s += weight(0, h * 3 + d) * feature(i, d);
        for (std::size_t j = 0; j < 3; ++j) s += weight(2, h * 3 + d) * a[i * 3 + j] * feature(j, d);
      }
      out += weight(3, h) * std::tanh(s);
    }
    expected += static_cast<double>(i + 1) * out;
  }
  EXPECT_NEAR(Evaluated(*matrix.program.objective, v).data[0], expected, 1e-12);
  EXPECT_NEAR(Evaluated(*list.program.objective, v).data[0], expected, 1e-12);
}

// He et al.'s count: 18 layers are 17 convolutions and a linear one, beside those that bring a picture to its half.
TEST(Network, ResnetOfAnImage) {
  Built built;
  BuildText(Objective("resnet(layers = 18, hidden = 2)", "1, 16, 16", "3"), built);
  ASSERT_EQ(built.errors, "");
  const auto& w = built.program.weights;
  ASSERT_EQ(w.size(), 2u * (17 + 3 + 1));
  EXPECT_EQ(w[w.size() - 2].type.shape, (Shape{3, 16}));
  EXPECT_EQ(std::count_if(w.begin(), w.end(), [](const Weight& x) { return x.bound == 0; }), 2 * 8);
  // Blocks begin as the identity: a network of 4 layers is its first convolution, then the mean and the linear layer.
  Built small;
  BuildText(Objective("resnet(layers = 4, hidden = 2)", "1, 3, 3", "1"), small);
  ASSERT_EQ(small.errors, "");
  Values v = Weights(small.program);
  const Numbers y = Random(9, 2);
  v["y"] = {{}, y}, v["u"] = {{}, {1}};
  const auto weight = [&](int k, std::size_t i) { return v.at("weight/net/" + std::to_string(k)).data[i]; };
  double expected = weight(7, 0);
  for (std::size_t c = 0; c < 2; ++c) {
    double mean = 0;
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) {
        double s = weight(1, c);
        for (int a = -1; a <= 1; ++a)
          for (int b = -1; b <= 1; ++b)
            if (i + a >= 0 && i + a < 3 && j + b >= 0 && j + b < 3)
              s += weight(0, c * 9 + Z((a + 1) * 3 + b + 1)) * y[Z((i + a) * 3 + j + b)];
        mean += std::max(s, 0.0) / 9;
      }
    expected += weight(6, c) * mean;
  }
  EXPECT_NEAR(Evaluated(*small.program.objective, v).data[0], expected, 1e-12);
}

TEST(Network, MistakesAreSaidAtTheirPlace) {
  const struct {
    const char *body, *expected;
  } kCases[] = {
      {"network net(t : real) -> real = mlp(hidden = [2])\nvariable w : real[6]\nminimize net(1.0; w)\n", "6"},
      {"network net(t : real) -> real = mlp(hidden = [2])\nvariable w : real[8]\nminimize net(1.0; w)\n", "8"},
      {"network net(h : real[3]) -> real[3] = gru\nvariable y : real[3]\nminimize sum(net(y))\nmodel zeros\n"
       "loss net: objective\n",
       "takes its state, then its input"},
      {"variable y : real[3]\nminimize weights(y) * sum(y)\n", "`y` is no network"},
      {"network net(h : real[3]) -> real[3] from \"net.safetensors\"\nvariable y : real[3]\n"
       "minimize sum(net(y))\n",
       "the file gives the weights of `net`, and nothing its layers"},
      {"network net(h : real[3]) -> real[3] = gnn\nvariable y : real[3]\nminimize sum(net(y))\nmodel zeros\n"
       "loss net: objective\n",
       "`gnn` takes the features of nodes, and a graph"},
      {"network net(h : real[3], A : real[3, 4]) -> real[3] = gnn\nvariable y : real[3]\ndata A : real[3, 4] ~ "
       "normal(0, 1)\nminimize sum(net(y, A))\nmodel zeros\nloss net: objective\n",
       "`gnn` of 3 nodes over a graph of shape `[3, 4]`"},
      {"network Q(s : real[3]) -> real = mlp(hidden = [8])\nnetwork T(s : real[2]) -> real = slow(Q)\n"
       "variable y : real[3]\nminimize Q(y) + T(y[0..2])\nmodel zeros\nloss Q: objective\n",
       "`T` follows `Q`, whose weights have other shapes"},
      {"network net(h : real[1, 8, 8]) -> real[3] = resnet(layers = 5)\nvariable y : real[1, 8, 8]\n"
       "minimize sum(net(y))\nmodel zeros\nloss net: objective\n",
       "a `resnet` of 5 layers over an image"},
  };
  for (const auto& c : kCases) {
    Built built;
    BuildText(std::string("amo 1\nproblem p\n") + c.body, built);
    EXPECT_NE(built.errors.find(c.expected), std::string::npos) << c.body << built.errors;
  }
}

}  // namespace
}  // namespace amo::compiler
