// SPDX-License-Identifier: Apache-2.0
// One function for each objective; contexts are [B, ...], data [...].
#include "bench/eager.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arctan2.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/logsumexp.h>

#include <algorithm>
#include <iterator>

namespace amo::bench {
namespace {

using at::Tensor;

constexpr std::int64_t kAny = INT64_MAX;

Tensor Quad(const Values& v) {
  const Tensor& y = v.at("y");
  return (y.matmul(v.at("A")) * y).sum(1) * 0.5 + (v.at("x") * y).sum(1);
}

Tensor LogSumExp(const Values& v) { return at::logsumexp(v.at("x") + v.at("y"), {1}); }

Tensor Rosenbrock(const Values& v) {
  const Tensor& y = v.at("y");
  const Tensor a = y.narrow(1, 0, y.size(1) - 1), d = y.narrow(1, 1, y.size(1) - 1) - a * a, e = 1 - a;
  return v.at("x") * (d * d).sum(1) + (e * e).sum(1);
}

Tensor Trig(const Values& v) { return (v.at("y").sin() * (v.at("x") + v.at("y")).cos()).sum(1); }

Tensor Sphere(const Values& v) {
  const Tensor y = v.at("y").unsqueeze(1), &z = v.at("z");
  const Tensor d = 2 * at::arctan2(at::linalg_vector_norm(y - z, 2, at::IntArrayRef{2}),
                                   at::linalg_vector_norm(y + z, 2, at::IntArrayRef{2}));
  return -0.5 * at::logsumexp((d * d * 0.5 + v.at("alpha")) * -2, {1});
}

Tensor CartCost(const std::vector<Tensor>& s) {
  return s[0] * s[0] + 0.1 * s[1] * s[1] + 2 * (1 - s[2].cos()) + 0.1 * s[3] * s[3];
}

Tensor Cartpole(const Values& v) {
  std::vector<Tensor> s = v.at("s0").unbind(1);
  const Tensor& u = v.at("u");
  Tensor total = (u * u).sum(1) * 0.01;
  for (std::int64_t t = 0; t < u.size(1); ++t) {
    total = total + CartCost(s);
    const Tensor sin = s[2].sin(), cos = s[2].cos();
    const Tensor push = (u.select(1, t) + 0.05 * s[3] * s[3] * sin) / 1.1;
    const Tensor turn = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3 - cos * cos * (0.1 / 1.1)));
    s = {s[0] + 0.05 * s[1], s[1] + 0.05 * (push - 0.05 / 1.1 * turn * cos), s[2] + 0.05 * s[3], s[3] + 0.05 * turn};
  }
  return total + 10 * CartCost(s);
}

Tensor Lasso(const Values& v) {
  const Tensor r = v.at("y").matmul(v.at("A").t()) - v.at("b");
  return (r * r).sum(1) * 0.5 + v.at("y").abs().sum(1) * 0.1;
}

Tensor Portfolio(const Values& v) {
  const Tensor& w = v.at("w");
  return (w.matmul(v.at("S")) * w).sum(1) * 0.5 - (v.at("mu") * w).sum(1) + (w - v.at("w0")).abs().sum(1) * 0.002;
}

Tensor Transport(const Values& v) {
  const Tensor soft = at::logsumexp((v.at("f").unsqueeze(2) - v.at("C")) * 100, {1}) * 0.01;
  return (soft * v.at("b")).sum(1) - (v.at("f") * v.at("a")).sum(1);
}

constexpr Eager kRows[] = {
    {"quad16", kAny, Quad},           {"quad64", kAny, Quad},           {"lse32", kAny, LogSumExp},
    {"rosen10", kAny, Rosenbrock},    {"trig16", kAny, Trig},           {"sphere", kAny, Sphere},
    {"lasso50x100", kAny, Lasso},     {"portfolio50", kAny, Portfolio}, {"ot196", 1024, Transport},
    {"cartpole20", kAny, Cartpole},   {"chain200", kAny, Rosenbrock},   {"chain1000", kAny, Rosenbrock},
    {"chain10000", kAny, Rosenbrock},
};

}  // namespace

const Eager* FindEager(std::string_view kernel) {
  const auto* found = std::find_if(std::begin(kRows), std::end(kRows),
                                   [&](const Eager& e) { return kernel == e.kernel; });
  return found == std::end(kRows) ? nullptr : found;
}

}  // namespace amo::bench
