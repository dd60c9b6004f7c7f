// SPDX-License-Identifier: Apache-2.0
// Distributions by their moments and their ranges, on 20,000 draws; splits of tables are disjoint.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lang/problem.h"
#include "runtime/problem.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kDraws = 20000;

at::Tensor Draws(const std::string& declaration) {
  lang::Diagnostics diagnostics;
  const lang::Program source =
      lang::LoadText("t.amo", "amo 1\nproblem p\n" + declaration + "\nvariable y : real\nminimize y^2\n", diagnostics);
  compiler::Program program = compiler::Build(source, lang::Choose(source, {}, diagnostics), {}, diagnostics);
  for (const lang::Diagnostic& d : diagnostics.all())
    EXPECT_NE(d.severity, lang::Severity::kError) << declaration << d.message;
  Result<Problem> p = OpenProblem(std::move(program), std::map<std::string, Table>{}, at::kDouble, 1);
  EXPECT_TRUE(p.ok());
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{3});
  return Sample(*p, kDraws, Split::kTrain, g).at("x");
}

TEST(Sample, MomentsOfScalars) {
  const struct {
    const char* distribution;
    double mean, variance;
  } kCases[] = {
      {"normal(2, 3)", 2, 9},          {"uniform(-1, 3)", 1, 16.0 / 12},  {"exponential(2)", 0.5, 0.25},
      {"gamma(3, 2)", 1.5, 0.75},      {"lognormal(0, 0.5)", std::exp(0.125), (std::exp(0.25) - 1) * std::exp(0.25)},
      {"bernoulli(0.3)", 0.3, 0.21},
  };
  for (const auto& c : kCases) {
    const at::Tensor x = Draws(std::string("context x : real ~ ") + c.distribution);
    const double n = std::sqrt(static_cast<double>(kDraws));
    EXPECT_NEAR(x.mean().item<double>(), c.mean, 5 * std::sqrt(c.variance) / n) << c.distribution;
    EXPECT_NEAR(x.var().item<double>(), c.variance, 0.1 * c.variance) << c.distribution;
  }
}

TEST(Sample, Categorical) {
  const at::Tensor x = Draws("const p = [0.2, 0.5, 0.3]\ncontext x : int ~ categorical(p)");
  EXPECT_EQ(x.scalar_type(), at::kLong);
  const double expected[] = {0.2, 0.5, 0.3};
  for (int k = 0; k < 3; ++k) EXPECT_NEAR(x.eq(k).to(at::kDouble).mean().item<double>(), expected[k], 0.02) << k;
  const at::Tensor rows = Draws("const p = [0.5, 0.5]\ncontext x : int[4] ~ categorical(p)");
  EXPECT_EQ(rows.sizes(), (at::IntArrayRef{kDraws, 4}));
  EXPECT_FALSE(rows.select(1, 0).equal(rows.select(1, 1)));
}

TEST(Sample, SetsAndSimplices) {
  const at::Tensor sphere = Draws("context x : real[2, 3] ~ uniform(sphere)");
  EXPECT_LT((sphere.norm(2, {2}, false) - 1).abs().max().item<double>(), 1e-12);
  EXPECT_LT(sphere.mean({0}).abs().max().item<double>(), 0.03);
  const at::Tensor ball = Draws("context x : real[3] ~ uniform(ball(2))"), radius = ball.norm(2, {1}, false);
  EXPECT_LE(radius.max().item<double>(), 2);
  EXPECT_NEAR(radius.mean().item<double>(), 2 * 0.75, 0.02);  // n / (n + 1) of the radius
  const at::Tensor simplex = Draws("context x : real[4] ~ uniform(simplex)");
  EXPECT_LT((simplex.sum({1}) - 1).abs().max().item<double>(), 1e-12);
  EXPECT_NEAR(simplex.mean().item<double>(), 0.25, 0.01);
  const at::Tensor dirichlet = Draws("context x : real[4] ~ dirichlet(2)");
  EXPECT_LT((dirichlet.sum({1}) - 1).abs().max().item<double>(), 1e-12);
  EXPECT_NEAR(dirichlet.var({0}).mean().item<double>(), 0.25 * 0.75 / 9, 0.001);
  const at::Tensor cube = Draws("context x : real[2] ~ uniform(ballinf(3))");
  EXPECT_LE(cube.abs().max().item<double>(), 3);
  EXPECT_NEAR(cube.var({0}).mean().item<double>(), 3, 0.1);
  const at::Tensor ball1 = Draws("context x : real[3] ~ uniform(ball1(2))"), norm = ball1.abs().sum({1});
  EXPECT_LE(norm.max().item<double>(), 2);
  EXPECT_NEAR(norm.mean().item<double>(), 2 * 0.75, 0.02);
  EXPECT_LT(ball1.mean({0}).abs().max().item<double>(), 0.03);
  const at::Tensor turn = Draws("context x : real[2, 3, 2] ~ uniform(stiefel)");
  const at::Tensor gram = turn.transpose(2, 3).matmul(turn);
  EXPECT_LT((gram - at::eye(2, at::kDouble)).abs().max().item<double>(), 1e-10);
  EXPECT_LT(turn.mean({0}).abs().max().item<double>(), 0.04);
  EXPECT_NEAR(turn.mul(turn).mean().item<double>(), 1.0 / 3, 0.01);
  const at::Tensor bits = Draws("context x : real[2] ~ uniform(binary)");
  const at::Tensor unit = Draws("context x : real[4] ~ uniform(one_of)");
  EXPECT_TRUE(((bits == 0) | (bits == 1)).all().item<bool>());
  EXPECT_NEAR(bits.mean().item<double>(), 0.5, 0.02);
  EXPECT_EQ(unit.sum().item<double>(), kDraws);
  EXPECT_LT((unit.mean({0}) - 0.25).abs().max().item<double>(), 0.03);
  const at::Tensor order = Draws("context x : real[3, 3] ~ uniform(permutation)");
  EXPECT_TRUE((order.sum({1}) == 1).all().item<bool>() && (order.sum({2}) == 1).all().item<bool>());
  EXPECT_LT((order.mean({0}) - 1.0 / 3).abs().max().item<double>(), 0.03);
  const at::Tensor permutation = Draws("context x : int[5] ~ permutation");
  EXPECT_EQ(permutation.sum({1}).eq(10).sum().item<std::int64_t>(), kDraws);
}

TEST(Sample, SplitsAreDisjointAndRowsAreWhole) {
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::LoadText("t.amo",
                                              "amo 1\nproblem p\nhidden r from \"t.npz\"\ncontext x : real = "
                                              "r.a\ncontext z : real = r.b\nvariable y : real\nminimize (y - x)^2\n",
                                              diagnostics);
  const compiler::Tables types = {{"t.npz", {{"a", {compiler::Elem::kReal, {}}}, {"b", {compiler::Elem::kReal, {}}}}}};
  compiler::Program program = compiler::Build(source, lang::Choose(source, {}, diagnostics), types, diagnostics);
  ASSERT_FALSE(diagnostics.has_errors());
  const at::Tensor rows = at::arange(100, at::TensorOptions(at::kDouble));
  std::map<std::string, Table> tables = {{"t.npz", {{{"a", rows}, {"b", rows * 2}}, 70, 10}}};
  Result<Problem> p = OpenProblem(std::move(program), std::move(tables), at::kDouble, 1);
  ASSERT_TRUE(p.ok());
  const struct {
    Split split;
    double lo, hi;
  } kParts[] = {{Split::kTrain, 0, 69}, {Split::kValidation, 70, 79}, {Split::kTest, 80, 99}, {Split::kAll, 0, 99}};
  for (const auto& part : kParts) {
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{3});
    const Values v = Sample(*p, 3000, part.split, g);
    EXPECT_EQ(v.at("x").min().item<double>(), part.lo);
    EXPECT_EQ(v.at("x").max().item<double>(), part.hi);
    EXPECT_TRUE(v.at("z").equal(v.at("x") * 2));  // one draw takes one row for all its fields
  }
}

}  // namespace
}  // namespace amo::runtime
