// SPDX-License-Identifier: Apache-2.0
// Patterns hold every entry that can differ from zero; compressed Jacobians give each entry of the dense ones.
#include "compiler/sparsity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <string>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/simplify.h"
#include "compiler/text.h"
#include "tests/compiler/random_function.h"

namespace amo::compiler {
namespace {

std::vector<Tensor> Draw(const Function& f, std::mt19937_64& random) {
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs) inputs.push_back(RandomTensor(in.type, random));
  return inputs;
}

// Column by column, by forward products with unit vectors.
std::vector<std::vector<double>> Dense(const Function& f, std::size_t output, int wrt, std::vector<Tensor> inputs) {
  Function single = f;
  single.outputs = {f.outputs[output]};
  const Function product = Jvp(single, {wrt});
  const std::int64_t columns = Count(f.inputs[static_cast<std::size_t>(wrt)].type.shape);
  std::vector<std::vector<double>> by_column;
  Tensor unit{f.inputs[static_cast<std::size_t>(wrt)].type, std::vector<double>(static_cast<std::size_t>(columns))};
  for (std::size_t c = 0; c < unit.data.size(); ++c) {
    std::fill(unit.data.begin(), unit.data.end(), 0);
    unit.data[c] = 1;
    std::vector<Tensor> all = inputs;
    all.push_back(unit);
    by_column.push_back(Interpret(product, all).back().data);
  }
  return by_column;
}

// The pattern misses nothing, and the compressed Jacobian has each of its entries.
void Check(const Function& f, std::size_t output, int wrt, std::mt19937_64& random, const std::string& what) {
  const Pattern pattern = JacobianPattern(f, output, wrt);
  const std::vector<Tensor> inputs = Draw(f, random);
  const auto dense = Dense(f, output, wrt, inputs);
  ASSERT_EQ(static_cast<std::size_t>(pattern.columns), dense.size()) << what;
  for (std::size_t c = 0; c < dense.size(); ++c) {
    for (std::size_t r = 0; r < dense[c].size(); ++r) {
      const auto& row = pattern.entries[r];
      const bool has = std::binary_search(row.begin(), row.end(), static_cast<std::int32_t>(c));
      if (!has) {
        EXPECT_FALSE(std::isfinite(dense[c][r]) && dense[c][r] != 0) << what << ": " << r << ", " << c << "\n"
                                                                     << Print(f);
      }
    }
  }
  const std::vector<int> colours = ColourColumns(pattern);
  for (const auto& row : pattern.entries) {
    std::set<int> seen;
    for (std::int32_t c : row) EXPECT_TRUE(seen.insert(colours[static_cast<std::size_t>(c)]).second) << what;
  }
  const Function compressed = CompressedJacobian(f, output, wrt, colours);
  ASSERT_EQ(Verify(compressed), "") << what;
  std::vector<Tensor> with = inputs;
  Tensor colour{{Elem::kInt, {pattern.columns}}, {}};
  for (int k : colours) colour.data.push_back(k);
  with.push_back(colour);
  const Tensor values = Interpret(compressed, with)[0];
  for (std::int64_t r = 0; r < pattern.rows; ++r) {
    for (std::int32_t c : pattern.entries[static_cast<std::size_t>(r)]) {
      const double expected = dense[static_cast<std::size_t>(c)][static_cast<std::size_t>(r)];
      const double actual =
          values.data[static_cast<std::size_t>(colours[static_cast<std::size_t>(c)] * pattern.rows + r)];
      if (std::isfinite(expected)) {
        EXPECT_NEAR(actual, expected, 1e-9 * (1 + std::fabs(expected))) << what;
      }
    }
  }
}

// Rosenbrock's chain: its Hessian has three diagonals and needs three products, whatever its size.
TEST(Sparsity, AChainHasThreeDiagonals) {
  for (const std::int64_t n : {5, 400}) {
    Builder b("chain");
    const Value y = b.Input("y", Role::kInstance, {Elem::kReal, {n}});
    const Value a = b.Slice(y, {0}, {n - 1}), next = b.Slice(y, {1}, {n - 1});
    const Value d = b.Sub(next, b.Mul(a, a));
    b.Output("value", b.Reduce(Op::kReduceSum, b.Mul(d, d), {0}));
    const Function gradient = Simplify(Gradient(b.Finish(), {0}));
    const Pattern pattern = JacobianPattern(gradient, 1, 0);
    EXPECT_EQ(pattern.Count(), 3 * n - 2);
    const std::vector<int> colours = ColourColumns(pattern);
    EXPECT_EQ(*std::max_element(colours.begin(), colours.end()), 2);
    std::mt19937_64 random(7);
    if (n < 10) Check(gradient, 1, 0, random, "chain");
  }
}

// A state depends on the controls before it; what a step does with its own number is known.
TEST(Sparsity, AScanIsCausal) {
  const ParsedFunction f = ParseFunction(
      "function f\n%0 = input z : instance real[2]\n%1 = input u : instance real[5]\n"
      "%2 = scan %0 %1 {5,1,1,1,0,0} : real[12]\nfunction step\n%0 = input z : instance real[2]\n"
      "%1 = input u : instance real\n%2 = broadcast %1 {-1} : real[2]\n%3 = sin %0 : real[2]\n%4 = mul %3 %2 : "
      "real[2]\n"
      "output z %4\noutput y %0\nend\noutput states %2\n");
  ASSERT_EQ(f.error, "");
  const Pattern pattern = JacobianPattern(f.function, 0, 1);
  for (std::int32_t t = 0; t < 5; ++t) {
    for (std::size_t k = 0; k < 2; ++k) {
      EXPECT_EQ(static_cast<std::int32_t>(pattern.entries[2 + 2 * static_cast<std::size_t>(t) + k].size()), t);
    }
  }
  EXPECT_EQ(pattern.entries[0].size(), 5U);
  std::mt19937_64 random(3);
  Check(f.function, 0, 1, random, "scan");
  Check(f.function, 0, 0, random, "scan by its start");
}

TEST(Sparsity, RandomFunctions) {
  int sparse = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Function f = RandomFunction(seed, true);
    std::mt19937_64 random(seed);
    for (std::size_t output = 0; output < f.outputs.size(); ++output) {
      if (f.type(f.outputs[output].value).elem != Elem::kReal) continue;
      for (std::size_t k = 0; k < f.inputs.size(); ++k) {
        if (f.inputs[k].type.elem != Elem::kReal || Count(f.inputs[k].type.shape) == 0) continue;
        Check(f, output, static_cast<int>(k), random, "seed " + std::to_string(seed));
        const Pattern p = JacobianPattern(f, output, static_cast<int>(k));
        sparse += p.Count() > 0 && p.Count() < p.rows * p.columns;
      }
    }
  }
  EXPECT_GT(sparse, 20);
}

}  // namespace
}  // namespace amo::compiler
