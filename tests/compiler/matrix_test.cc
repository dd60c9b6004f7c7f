// SPDX-License-Identifier: Apache-2.0
// solve and eigen of the interpreter give what they promise; where eigenvalues are equal, derivatives of what does not
// depend on the choice of eigenvectors are right; and what cannot become a kernel says so.
#include "compiler/matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/kernel.h"

namespace amo::compiler {
namespace {

std::vector<double> Random(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> u(-1, 1);
  std::vector<double> x(count);
  for (double& v : x) v = u(random);
  return x;
}

TEST(Matrix, SolveGivesTheRightSide) {
  for (std::size_t n : {1, 2, 5, 30}) {
    const std::size_t k = 3;
    const std::vector<double> a = Random(n * n, 1), b = Random(n * k, 2);
    std::vector<double> x(n * k);
    SolveLinear(a.data(), b.data(), static_cast<std::int64_t>(n), 3, x.data());
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < k; ++j) {
        double sum = 0;
        for (std::size_t c = 0; c < n; ++c) sum += a[i * n + c] * x[c * k + j];
        EXPECT_NEAR(sum, b[i * k + j], 1e-10);
      }
    }
  }
}

TEST(Matrix, SingularSystemsHaveNoFiniteSolution) {
  const double a[] = {1, 2, 2, 4}, b[] = {1, 1};
  double x[2];
  SolveLinear(a, b, 2, 1, x);
  EXPECT_FALSE(std::isfinite(x[0]) && std::isfinite(x[1]));
}

TEST(Matrix, EigenvectorsAreOrthonormalAndGiveTheMatrix) {
  for (std::size_t n : {1, 2, 3, 8, 25}) {
    const std::vector<double> a = Random(n * n, 3);
    std::vector<double> y((n + 1) * n);
    SymmetricEigen(a.data(), static_cast<std::int64_t>(n), y.data());
    const auto v = [&](std::size_t i, std::size_t k) { return y[(i + 1) * n + k]; };
    for (std::size_t k = 1; k < n; ++k) EXPECT_LE(y[k - 1], y[k]);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        double product = 0, matrix = 0;
        for (std::size_t k = 0; k < n; ++k) product += v(k, i) * v(k, j), matrix += v(i, k) * y[k] * v(j, k);
        EXPECT_NEAR(product, i == j, 1e-13);
        EXPECT_NEAR(matrix, (a[i * n + j] + a[j * n + i]) / 2, 1e-13);
      }
    }
  }
}

TEST(Matrix, EigenOfSpecialMatrices) {
  const double zero[4] = {}, ones[] = {1, 1, 1, 1}, broken[] = {1, NAN, 0, 1};
  double y[6];
  SymmetricEigen(zero, 2, y);
  EXPECT_EQ(std::vector<double>(y, y + 6), (std::vector<double>{0, 0, 1, 0, 0, 1}));
  SymmetricEigen(ones, 2, y);
  EXPECT_NEAR(y[0], 0, 1e-15);
  EXPECT_NEAR(y[1], 2, 1e-15);
  EXPECT_GT(y[2], 0);  // the first of two entries of the same size
  EXPECT_GT(y[3], 0);
  SymmetricEigen(broken, 2, y);
  for (double entry : y) EXPECT_TRUE(std::isnan(entry));
}

// The sum of the eigenvalues is the trace, also where two of them are equal; forward mode agrees.
TEST(Matrix, DerivativeAtEqualEigenvalues) {
  Builder b("f");
  const Value a = b.Input("a", Role::kInstance, {Elem::kReal, {3, 3}});
  b.Output("value", b.Reduce(Op::kReduceSum, b.Slice(b.Eigen(a), {0, 0}, {1, 3}), {0, 1}));
  const Function f = b.Finish();
  const Tensor x{{Elem::kReal, {3, 3}}, {2, 0, 0, 0, 2, 0, 0, 0, 5}};
  const std::vector<Tensor> gradient = Interpret(Gradient(f, {0}), {x});
  for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(gradient[1].data[i], i % 4 == 0, 1e-14);
  const Tensor direction{{Elem::kReal, {3, 3}}, Random(9, 4)};
  const double slope = Interpret(Jvp(f, {0}), {x, direction})[0].data[0];
  EXPECT_NEAR(slope, direction.data[0] + direction.data[4] + direction.data[8], 1e-14);
}

TEST(Matrix, IsNoKernel) {
  Builder b("f");
  const Value a = b.Input("a", Role::kInstance, {Elem::kReal, {3, 3}});
  b.Output("x", b.Solve(a, a));
  EXPECT_EQ(Uncompilable(b.Finish()), "solve");
}

}  // namespace
}  // namespace amo::compiler
