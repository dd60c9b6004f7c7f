// SPDX-License-Identifier: Apache-2.0
// The operations that slide windows: against their loop, each other, and differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "compiler/curvature.h"
#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/kernel.h"
#include "compiler/simplify.h"
#include "compiler/sparsity.h"

namespace amo::compiler {
namespace {

using Numbers = std::vector<double>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

Numbers Random(std::size_t n, int seed, double scale = 1) {
  std::mt19937_64 g(static_cast<std::uint64_t>(seed));
  std::normal_distribution<double> normal(0, scale);
  Numbers x(n);
  for (double& v : x) v = normal(g);
  return x;
}

Tensor Windowed(const Tensor& x, const Windows& s) {
  const Shape& shape = x.type.shape;
  const std::int64_t c = shape[0], h = shape[1], w = shape[2], oh = s.Count(h, s.kh), ow = s.Count(w, s.kw);
  Tensor out{{Elem::kReal, {c, s.kh, s.kw, oh, ow}}, {}};
  for (std::int64_t k = 0; k < c; ++k)
    for (std::int64_t a = 0; a < s.kh; ++a)
      for (std::int64_t b = 0; b < s.kw; ++b)
        for (std::int64_t i = 0; i < oh; ++i)
          for (std::int64_t j = 0; j < ow; ++j) {
            const std::int64_t row = i * s.stride + a - s.pad, column = j * s.stride + b - s.pad;
            const bool inside = row >= 0 && row < h && column >= 0 && column < w;
            out.data.push_back(inside ? x.data[Z((k * h + row) * w + column)] : 0);
          }
  return out;
}

const Windows kWindows[] = {{3, 3, 1, 0}, {2, 3, 2, 1}, {1, 2, 3, 0}, {5, 6, 1, 2}, {3, 2, 2, 0}};

Function UnfoldThenSquare(const Windows& s, bool fold) {
  Builder b("windows");
  const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {2, 5, 6}});
  Value y = b.Unary(Op::kSin, b.Unfold(x, s));
  if (fold) y = b.Unary(Op::kExp, b.Fold(y, s, 5, 6));
  std::vector<std::int64_t> all(b.shape(y).size());
  for (std::size_t d = 0; d < all.size(); ++d) all[d] = static_cast<std::int64_t>(d);
  b.Output("value", b.Reduce(Op::kReduceSum, b.Mul(y, y), all));
  return b.Finish();
}

TEST(Windows, UnfoldIsItsLoopAndFoldItsAdjoint) {
  for (const Windows& s : kWindows) {
    Builder b("f");
    const Tensor x{{Elem::kReal, {2, 5, 6}}, Random(60, 1)};
    const Value in = b.Input("x", Role::kInstance, x.type), unfolded = b.Unfold(in, s);
    const Value g = b.Input("g", Role::kInstance, b.type(unfolded));
    b.Output("unfolded", unfolded);
    b.Output("folded", b.Fold(g, s, 5, 6));
    const Function f = b.Finish();
    const Tensor expected = Windowed(x, s), y{expected.type, Random(expected.data.size(), 2)};
    const std::vector<Tensor> out = Interpret(f, {x, y});
    EXPECT_EQ(out[0].type, expected.type);
    EXPECT_EQ(out[0].data, expected.data);
    double left = 0, right = 0;
    for (std::size_t i = 0; i < y.data.size(); ++i) left += y.data[i] * out[0].data[i];
    for (std::size_t i = 0; i < x.data.size(); ++i) right += x.data[i] * out[1].data[i];
    EXPECT_NEAR(left, right, 1e-12);
    EXPECT_EQ(Uncompilable(f), "unfold");
    // Both are linear, and the patterns hold the entries that are not zero.
    for (const Curvature& c : Curvatures(f, {0, 1})) EXPECT_LE(c.degree, Degree::kAffine);
    const Pattern moved = JacobianPattern(f, 0, 0), added = JacobianPattern(f, 1, 1);
    EXPECT_EQ(moved.Count(), added.Count());
    for (std::size_t r = 0; r < moved.entries.size(); ++r) {
      for (std::int32_t c : moved.entries[r]) {
        const auto& row = added.entries[Z(c)];
        EXPECT_TRUE(std::count(row.begin(), row.end(), static_cast<std::int32_t>(r)));
        EXPECT_EQ(out[0].data[r], x.data[Z(c)]);
      }
    }
  }
}

TEST(Windows, DerivativesAgreeWithDifferences) {
  for (const Windows& s : kWindows) {
    for (bool fold : {false, true}) {
      const Function f = UnfoldThenSquare(s, fold), g = Gradient(f, {0}), h = HessianVector(f, {0});
      const Tensor x{{Elem::kReal, {2, 5, 6}}, Random(60, 3, 0.3)}, v{x.type, Random(60, 4)};
      const auto at = [&](const Function& of, double step) {
        Tensor moved = x;
        for (std::size_t i = 0; i < 60; ++i) moved.data[i] += step * v.data[i];
        return Interpret(of, {moved});
      };
      const double slope = (at(f, 1e-5)[0].data[0] - at(f, -1e-5)[0].data[0]) / 2e-5;
      const std::vector<Tensor> gradient = Interpret(g, {x});
      double along = 0;
      for (std::size_t i = 0; i < 60; ++i) along += gradient[1].data[i] * v.data[i];
      EXPECT_NEAR(along, slope, 1e-5 * (1 + std::fabs(slope)));
      EXPECT_NEAR(Interpret(Jvp(f, {0}), {x, v})[0].data[0], along, 1e-9 * (1 + std::fabs(along)));
      const std::vector<Tensor> up = at(g, 1e-5), down = at(g, -1e-5), product = Interpret(Simplify(h), {x, v});
      for (std::size_t i = 0; i < 60; ++i) {
        const double curve = (up[1].data[i] - down[1].data[i]) / 2e-5;
        EXPECT_NEAR(product[2].data[i], curve, 1e-4 * (1 + std::fabs(curve)));
      }
    }
  }
}

}  // namespace
}  // namespace amo::compiler
