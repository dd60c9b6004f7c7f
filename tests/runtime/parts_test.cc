// SPDX-License-Identifier: Apache-2.0
// Functions of which only parts have kernels: values and derivatives against LibTorch alone.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/sum.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <utility>
#include <vector>

#include "runtime/predictor.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kBatch = 5;

// A step of ten Newton-like steps with one factorization, a network that chooses its damping, and a factor that is the
// same for all instances.
constexpr char kProgram[] = R"(
dim n = 6
data     B : real[n, n] ~ normal(0, 1)
data     S : real[n, n] = B * B' + eye(n)
context  c : real[n] ~ normal(0, 1)
variable y : real[n]
network  damping(o : real[2]) -> real = mlp(hidden = [8])
minimize 0.5 * quad(S, y) + sum(i in n: log(1 + exp(y[i]))) - dot(c, y)
let rho[i in n] = exp(0.1 * damping([y[i], c[i]]))
let K = inverse(S + diag(rho .* (1 + y .* y)))
let L = linsolve(S * S, c)
update y = last(scan(v = y, t in 10: v - K * (S * v + sigmoid(v) - c))) + 1e-3 * L
model zeros then iterate(steps = 3)
loss objective
)";

Values Drawn(const Problem& p) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(3);
  Values values = Sample(p, kBatch, Split::kTest, g);
  for (const auto& [name, t] : InitialLearned(p, g)) values[name] = t.detach().clone().set_requires_grad(true);
  return values;
}

TEST(Parts, AreThoseOfTheStep) {
  const Problem p = MakeProblem(kProgram);
  const compiler::Function& step = *p.program.model.refinements[0].step;
  std::size_t kernels = 0;
  for (const compiler::Part& part : p.kernels->FindParts(step)) kernels += part.kernel;
  EXPECT_GE(kernels, 2u);
  const compiler::Hoisted* hoisted = p.kernels->FindHoisted(step, {"y", "step"});  // L, which no step changes
  ASSERT_NE(hoisted, nullptr);
  ASSERT_EQ(hoisted->before.size(), 1u);
  EXPECT_GE(hoisted->before[0].FindInput("c"), 0);
  EXPECT_LT(hoisted->before[0].FindInput("y"), 0);
  std::size_t systems = 0;
  for (const compiler::Node& n : hoisted->rest.nodes) systems += n.op == compiler::Op::kSolve;
  EXPECT_EQ(systems, 1u);
}

TEST(Parts, GiveWhatLibTorchGives) {
  const Problem p = MakeProblem(kProgram);
  Problem plain = p;
  plain.kernels = nullptr;
  const Values values = Drawn(p);
  std::vector<at::Tensor> learned;
  for (const auto& [name, t] : values) if (t.requires_grad() && name != "trained") learned.push_back(t);
  const auto run = [&](const Problem& problem) {
    const at::Tensor y = RunModel(problem, values, kBatch).answer.at("y");
    std::vector<at::Tensor> all = torch::autograd::grad({(y * y).sum()}, learned, {}, {}, false, true);
    all.push_back(y.detach());
    return all;
  };
  const std::vector<at::Tensor> mixed = run(p), alone = run(plain);
  for (std::size_t k = 0; k < mixed.size(); ++k) {
    ASSERT_EQ(mixed[k].defined(), alone[k].defined());
    if (!mixed[k].defined()) continue;
    EXPECT_LT((mixed[k] - alone[k]).abs().max().item<double>(), 1e-10 * (1 + alone[k].abs().max().item<double>()));
  }
}

}  // namespace
}  // namespace amo::runtime
