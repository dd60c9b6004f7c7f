// SPDX-License-Identifier: Apache-2.0
// Scans: text, interpretation, derivatives against central differences, simplification, and kernels whose code does not
// grow with the number of steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/kernel.h"
#include "compiler/simplify.h"
#include "compiler/text.h"
#include "tests/compiler/run_kernel.h"

namespace amo::compiler {
namespace {

// Inputs: z real[2] a start, u real[H,2] rows, w real[2,2] a constant. Output: a number.
Function Parsed(const std::string& attr, const std::string& inputs, const std::string& body, const std::string& rest) {
  const ParsedFunction p = ParseFunction(
      "function f\n%0 = input z : instance real[2]\n%1 = input u : instance real[4,2]\n"
      "%2 = input w : shared real[2,2]\n" +
      attr + "\nfunction step\n" + inputs + body + "end\n" + rest);
  EXPECT_EQ(p.error, "");
  return p.function;
}

const char* const kInputs =
    "%0 = input z : instance real[2]\n%1 = input u : instance real[2]\n%2 = input w : instance real[2,2]\n";
const char* const kPendulum =
    "%3 = dot %2 %0 {0,1,1,0} : real[2]\n%4 = sin %3 : real[2]\n%5 = add %4 %1 : real[2]\n%6 = mul %5 %0 : real[2]\n"
    "%7 = tanh %6 : real[2]\n%8 = reduce_sum %5 {0} : real\noutput z %7\noutput y %8\n";
const char* const kSum =
    "%4 = mul %3 %3 : real[6]\n%5 = cumsum %4 : real[6]\n%6 = sin %5 : real[6]\n%7 = reduce_sum %6 {0} : real\n"
    "output value %7\n";

Function Pendulum(bool reverse) {
  return Parsed(std::string("%3 = scan %0 %1 %2 {4,1,1,1,") + (reverse ? "1" : "0") + ",0} : real[6]", kInputs,
                kPendulum, kSum);
}

// The step's number, a nested scan of its own, two carries that change places, one of them by a stopped value.
Function Nested() {
  return Parsed("%3 = scan %0 %0 %1 %2 {4,2,1,1,0,1} : real[12]",
                "%0 = input a : instance real[2]\n%1 = input b : instance real[2]\n%2 = input u : instance real[2]\n"
                "%3 = input w : instance real[2,2]\n%4 = input t : instance int\n",
                "%5 = real %4 : real\n%6 = broadcast %5 {-1} : real[2]\n%7 = mul %6 %2 : real[2]\n"
                "%8 = scan %0 %3 %7 {2,1,1,0,1,0} : real[2]\n"
                "function inner\n%0 = input p : instance real[2]\n%1 = input row : instance real[2]\n"
                "%2 = input c : instance real[2]\n%3 = mul %0 %1 : real[2]\n%4 = add %3 %2 : real[2]\n"
                "%5 = cos %4 : real[2]\noutput p %5\nend\n"
                "%9 = add %8 %1 : real[2]\n%10 = sin %9 : real[2]\noutput a %10\noutput b %0\noutput y %9\n",
                "%4 = mul %3 %3 : real[12]\n%5 = sin %4 : real[12]\n%6 = reduce_sum %5 {0} : real\noutput value %6\n");
}

std::vector<Tensor> Draw(const Function& f, int seed) {
  std::mt19937_64 g(static_cast<std::uint64_t>(seed));
  std::uniform_real_distribution<double> u(-0.9, 0.9);
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs) {
    Tensor t{in.type, std::vector<double>(static_cast<std::size_t>(Count(in.type.shape)))};
    for (double& x : t.data) x = u(g);
    inputs.push_back(std::move(t));
  }
  return inputs;
}

TEST(Scan, StepsByHand) {
  for (bool reverse : {false, true}) {
    const Function f = Pendulum(reverse);
    const std::vector<Tensor> in = Draw(f, 1);
    std::vector<double> z = in[0].data, y(4);
    for (int s = 0; s < 4; ++s) {
      const int t = reverse ? 3 - s : s;
      double next[2];
      for (int i = 0; i < 2; ++i) {
        const double* w = &in[2].data[static_cast<std::size_t>(2 * i)];
        const double a = std::sin(w[0] * z[0] + w[1] * z[1]) + in[1].data[static_cast<std::size_t>(2 * t + i)];
        next[i] = std::tanh(a * z[static_cast<std::size_t>(i)]);
        y[static_cast<std::size_t>(t)] += a;
      }
      z = {next[0], next[1]};
    }
    Function open = f;
    open.outputs = {{"scan", {3}}};
    const std::vector<double> got = Interpret(open, in)[0].data;
    for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(got[i], z[i], 1e-14);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(got[2 + i], y[i], 1e-14);
  }
}

TEST(Scan, TextIsReadBack) {
  const std::string text = Print(Nested());
  EXPECT_EQ(Print(ParseFunction(text).function), text);
  EXPECT_NE(text.find("        function inner"), text.npos) << text;
}

TEST(Scan, WrongOnesAreRefused) {
  const auto error = [](const char* scan, const char* body) {
    return ParseFunction("function f\n%0 = input z : instance real[2]\n" + std::string(scan) + "\nfunction g\n" + body +
                         "end\noutput v %1\n").error;
  };
  const char* same = "%0 = input z : instance real[2]\noutput z %0\n";
  EXPECT_EQ(error("%1 = scan %0 {3,1,0,0,0,0} : real[2]", same), "");
  EXPECT_NE(error("%1 = scan %0 {3,1,0,0,0,0} : real[3]", same).find("has type"), std::string::npos);
  EXPECT_NE(error("%1 = scan %0 {3,1,0,1,0,0} : real[2]", same).find("number of outputs"), std::string::npos);
  EXPECT_NE(error("%1 = scan %0 {3,0,1,1,0,0} : real[2]", same).find("argument 0"), std::string::npos);
  EXPECT_NE(error("%1 = scan %0 {3,1,0,0,0,0} : real[2]",
                  "%0 = input z : instance real[2]\n%1 = lt %0 %0 : bool[2]\noutput z %1\n").find("type of a carry"),
            std::string::npos);
}

double Along(const std::vector<Tensor>& d, std::size_t first, const std::vector<Tensor>& v) {
  double s = 0;
  for (std::size_t k = 0; k < v.size(); ++k) {
    for (std::size_t i = 0; i < v[k].data.size(); ++i) s += d[first + k].data[i] * v[k].data[i];
  }
  return s;
}

// Gradient and Hessian-vector product by all inputs, before and after simplification.
void CheckDerivatives(const Function& f) {
  const std::vector<int> wrt{0, 1, 2};
  const Function g = Gradient(f, wrt), h = HessianVector(f, wrt);
  ASSERT_EQ(Verify(g), "");
  ASSERT_EQ(Verify(h), "");
  for (int seed = 0; seed < 6; ++seed) {
    const std::vector<Tensor> x = Draw(f, seed), v = Draw(f, seed + 100);
    std::vector<Tensor> all = x;
    all.insert(all.end(), v.begin(), v.end());
    const auto difference = [&](const Function& of, std::size_t first) {
      const double step = 1e-3;
      double d = 0;
      for (const auto& [s, weight] : {std::pair{-2 * step, 1.0}, {-step, -8.0}, {step, 8.0}, {2 * step, -1.0}}) {
        std::vector<Tensor> p = x;
        for (std::size_t k = 0; k < p.size(); ++k) {
          for (std::size_t i = 0; i < p[k].data.size(); ++i) p[k].data[i] += s * v[k].data[i];
        }
        const std::vector<Tensor> y = Interpret(of, p);
        d += weight / (12 * step) * (first ? Along(y, first, v) : y[0].data[0]);
      }
      return d;
    };
    const double slope = difference(f, 0), curve = difference(g, 1);
    EXPECT_NEAR(Along(Interpret(g, x), 1, v), slope, 1e-8 * (1 + std::fabs(slope)));
    EXPECT_NEAR(Along(Interpret(h, all), 4, v), curve, 1e-7 * (1 + std::fabs(curve)));
    EXPECT_NEAR(Interpret(Jvp(f, wrt), all)[0].data[0], slope, 1e-8 * (1 + std::fabs(slope)));
    const std::vector<Tensor> plain = Interpret(h, all), simple = Interpret(Simplify(h), all);
    for (std::size_t k = 0; k < plain.size(); ++k) {
      for (std::size_t i = 0; i < plain[k].data.size(); ++i) EXPECT_NEAR(simple[k].data[i], plain[k].data[i], 1e-12);
    }
  }
}

TEST(Scan, DerivativesAgreeWithDifferences) {
  CheckDerivatives(Pendulum(false));
  CheckDerivatives(Pendulum(true));
  CheckDerivatives(Nested());
}

// A step z ← tanh(0.2 W z + u): its entries are sums of 20 terms, which the reverse steps read instead of adding them up
// again. Counted over the body of the last scan.
Function LongProducts() {
  Builder body("step"), b("f");
  const Value s = body.Input("z", Role::kInstance, {Elem::kReal, {20}});
  const Value row = body.Input("u", Role::kInstance, {Elem::kReal, {20}});
  const Value m = body.Input("w", Role::kInstance, {Elem::kReal, {20, 20}});
  const Value turned = body.Mul(body.Filled(0.2, {20}), body.Dot(m, s, {0, 1}, {1}, {0}));
  body.Output("z", body.Unary(Op::kTanh, body.Add(turned, row)));
  const Value z = b.Input("z", Role::kInstance, {Elem::kReal, {20}});
  const Value u = b.Input("u", Role::kInstance, {Elem::kReal, {5, 20}});
  const Value w = b.Input("w", Role::kShared, {Elem::kReal, {20, 20}});
  ScanForm form;
  form.steps = 5, form.carries = 1, form.xs = 1;
  const Value all = b.Scan(form, std::make_shared<const Function>(body.Finish()), {z, u, w});
  b.Output("value", b.Reduce(Op::kReduceSum, b.Unary(Op::kSin, all), {0}));
  return b.Finish();
}

TEST(Scan, LongProductsAreStored) {
  CheckDerivatives(LongProducts());
  const Function g = Simplify(Gradient(LongProducts(), {0, 1, 2}));
  std::vector<std::size_t> dots;
  for (const Node& n : g.nodes) {
    if (n.op != Op::kScan) continue;
    const auto& body = n.body->nodes;
    dots.push_back(static_cast<std::size_t>(
        std::count_if(body.begin(), body.end(), [](const Node& x) { return x.op == Op::kDot; })));
  }
  EXPECT_EQ(dots, (std::vector<std::size_t>{1, 1}));  // forward W z; backward W' adjoint
}

// What nothing reads goes: the ys, the carry that stays, the constant that is a number.
TEST(Scan, SimplifierDropsWhatIsNotRead) {
  Builder body("step");
  const Value z = body.Input("z", Role::kInstance, {Elem::kReal, {2}}),
              stays = body.Input("s", Role::kInstance, {Elem::kReal, {2}});
  const Value dead = body.Input("d", Role::kInstance, {Elem::kReal, {}}),
              c = body.Input("c", Role::kInstance, {Elem::kReal, {2}});
  body.Output("z", body.Add(body.Mul(z, c), body.Unary(Op::kSin, stays)));
  body.Output("s", stays);
  body.Output("d", body.Unary(Op::kExp, dead));
  body.Output("y", body.Unary(Op::kCos, z));
  Builder b("f");
  const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {2}});
  ScanForm form;
  form.steps = 5, form.carries = 3, form.ys = 1;
  const Value v = b.Scan(form, std::make_shared<const Function>(body.Finish()),
                         {x, b.Unary(Op::kTanh, x), b.Number(0), b.Filled(1, {2})});
  b.Output("last", b.ScanPart(b.node(v), v, 0));
  const Function f = b.Finish(), simple = Simplify(f);
  int scans = 0;
  for (const Node& n : simple.nodes) {
    if (n.op != Op::kScan) continue;
    ++scans;
    EXPECT_EQ(n.attr, (std::vector<std::int64_t>{5, 1, 0, 0, 0, 0}));
    EXPECT_EQ(n.args.size(), 2u);
    EXPECT_EQ(n.body->nodes.size(), 4u) << Print(simple);  // two inputs, sin and add
  }
  EXPECT_EQ(scans, 1);
  const std::vector<Tensor> in = Draw(f, 3);
  EXPECT_EQ(Interpret(f, in)[0].data, Interpret(simple, in)[0].data);
}

void CheckKernel(const Function& f) {
  for (int lanes : {0, 1}) {
    const Kernel kernel = Compile(f, {.precision = Precision::kF64, .lanes = lanes, .cache_folder = ""});
    Batch inputs;
    for (int seed = 0; seed < 11; ++seed) {
      inputs.push_back(Draw(f, seed));
      for (std::size_t k = 0; k < f.inputs.size(); ++k) {
        if (f.inputs[k].role == Role::kShared) inputs.back()[k] = inputs[0][k];
      }
    }
    const Batch got = RunKernel(f, kernel, inputs, 0, 11);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::vector<Tensor> want = Interpret(f, inputs[i]);
      for (std::size_t k = 0; k < want.size(); ++k) {
        for (std::size_t e = 0; e < want[k].data.size(); ++e) {
          ASSERT_NEAR(got[i][k].data[e], want[k].data[e], 1e-11) << DumpLoops(f);
        }
      }
    }
  }
}

TEST(Scan, KernelsOfDerivatives) {
  for (const Function& f : {Pendulum(false), Pendulum(true), Nested()}) {
    CheckKernel(f);
    CheckKernel(Gradient(f, {0, 1, 2}));
    CheckKernel(Simplify(Gradient(f, {0, 1})));
    CheckKernel(Simplify(HessianVector(f, {0, 1, 2})));
  }
}

// A chain of H steps: the graph, the loops and the code are the same for every H.
TEST(Scan, CodeDoesNotDependOnTheNumberOfSteps) {
  const auto made = [](std::int64_t steps) {
    Builder body("step");
    const Value z = body.Input("z", Role::kInstance, {Elem::kReal, {3}}),
                u = body.Input("u", Role::kInstance, {Elem::kReal, {3}});
    body.Output("z", body.Unary(Op::kSin, body.Add(z, u)));
    body.Output("y", z);
    Builder b("chain");
    const Value u_all = b.Input("u", Role::kInstance, {Elem::kReal, {steps, 3}});
    ScanForm form;
    form.steps = steps, form.carries = form.xs = form.ys = 1;
    const Value v = b.Scan(form, std::make_shared<const Function>(body.Finish()), {b.Filled(0.1, {3}), u_all});
    const Value y = b.ScanPart(b.node(v), v, 1);
    b.Output("value", b.Reduce(Op::kReduceSum, b.Mul(y, y), {0, 1}));
    return Simplify(HessianVector(b.Finish(), {0}));
  };
  const Function few = made(20), many = made(2000);
  EXPECT_EQ(few.nodes.size(), many.nodes.size());
  for (bool optimized : {false, true}) {
    const auto size = [&](const Function& f) { return static_cast<double>(DumpLlvm(f, {}, optimized).size()); };
    EXPECT_NEAR(size(few), size(many), 0.03 * size(few));
  }
}

}  // namespace
}  // namespace amo::compiler
