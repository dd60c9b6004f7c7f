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
    {"quad16", kAny, Quad},           {"quad64", kAny, Quad},          {"lse32", kAny, LogSumExp},
    {"rosen10", kAny, Rosenbrock},    {"trig16", kAny, Trig},          {"sphere", kAny, Sphere},
    {"lasso50x100", kAny, Lasso},     {"portfolio50", kAny, Portfolio}, {"ot196", 1024, Transport},
    {"chain200", kAny, Rosenbrock},   {"chain1000", kAny, Rosenbrock}, {"chain10000", kAny, Rosenbrock},
};

}  // namespace

const Eager* FindEager(std::string_view kernel) {
  const auto* found = std::find_if(std::begin(kRows), std::end(kRows),
                                   [&](const Eager& e) { return kernel == e.kernel; });
  return found == std::end(kRows) ? nullptr : found;
}

}  // namespace amo::bench
