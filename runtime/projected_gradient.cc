// SPDX-License-Identifier: Apache-2.0
// SPG2 on flat variables [B, n]; value and gradient come from one compiled kernel where the objective can be compiled.
#include "runtime/projected_gradient.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include "compiler/derive.h"
#include "compiler/kernel.h"
#include "compiler/simplify.h"
#include "runtime/kernel_function.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {
namespace {

class Instances {
 public:
  Instances(const Problem& problem, const Values& sample) : p_(problem), values_(sample) {
    const compiler::Function& f = *p_.program.objective;
    std::vector<int> wrt;
    for (const compiler::Named& v : p_.program.variables) wrt.push_back(f.FindInput(v.name));
    gradient_ = compiler::Simplify(compiler::Gradient(f, wrt));
    if (!compiler::Uncompilable(gradient_).empty()) return;
    const auto precision = p_.dtype == at::kDouble ? compiler::Precision::kF64 : compiler::Precision::kF32;
    kernel_ = compiler::Compile(gradient_, {.precision = precision, .cache_folder = compiler::KernelCacheFolder()});
  }

  Values Split(const at::Tensor& y) const {
    Values v;
    std::int64_t at = 0;
    for (const compiler::Named& named : p_.program.variables) {
      std::vector<std::int64_t> shape{y.size(0)};
      shape.insert(shape.end(), named.type.shape.begin(), named.type.shape.end());
      const std::int64_t count = compiler::Count(named.type.shape);
      v[named.name] = y.narrow(1, at, count).reshape(shape);
      at += count;
    }
    return v;
  }

  at::Tensor Join(const Values& v) const {
    std::vector<at::Tensor> parts;
    for (const compiler::Named& named : p_.program.variables) parts.push_back(v.at(named.name).flatten(1));
    return at::cat(parts, 1);
  }

  at::Tensor Project(const at::Tensor& y) {
    if (!p_.program.project) return y;
    Values v = values_;
    for (auto& [name, t] : Split(y)) v[name] = t;
    return Join(Evaluate(p_, *p_.program.project, v));
  }

  // Value [B] and gradient [B, n].
  std::pair<at::Tensor, at::Tensor> operator()(const at::Tensor& y) {
    Values v = values_;
    for (auto& [name, t] : Split(y)) v[name] = t.contiguous();
    std::vector<at::Tensor> inputs;
    for (const compiler::Input& in : gradient_.inputs) {
      const auto it = v.find(in.name);
      inputs.push_back(it != v.end() ? it->second : p_.shared.at(in.name));
    }
    const std::vector<at::Tensor> out = kernel_.run ? RunKernel(kernel_, gradient_, inputs) : TorchExecute(gradient_, inputs);
    std::vector<at::Tensor> parts;
    for (std::size_t k = 1; k < out.size(); ++k) {
      const at::Tensor& d = out[k];  // a gradient that does not vary by instance is one for all
      const compiler::Shape& shape = p_.program.variables[k - 1].type.shape;
      const bool one = d.dim() == static_cast<std::int64_t>(shape.size());
      parts.push_back(one ? d.flatten().expand({y.size(0), d.numel()}) : d.flatten(1));
    }
    const at::Tensor value = out[0].dim() ? out[0] : out[0].expand({y.size(0)});
    return {value, at::cat(parts, 1)};
  }

 private:
  const Problem& p_;
  Values values_;
  compiler::Function gradient_;
  compiler::Kernel kernel_;
};

at::Tensor Dot(const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(1); }

}  // namespace

SolveSummary ProjectedGradient(const Problem& problem, const Values& sample, const Values& start, const SolveOptions& o) {
  const c10::NoGradGuard no_grad;
  Instances instances(problem, sample);
  at::Tensor y = instances.Project(instances.Join(start)).clone();
  auto [f, g] = instances(y);
  f = f.clone(), g = g.clone();
  const std::int64_t batch = y.size(0);
  at::Tensor step = at::full({batch}, 1.0, y.options()), recent = f.unsqueeze(0);
  const auto residual_of = [&] { return at::amax((y - instances.Project(y - g)).abs(), {1}); };
  at::Tensor residual = residual_of(), iterations = at::zeros_like(f).to(at::kLong);
  for (std::int64_t k = 0; k < o.steps; ++k) {
    const at::Tensor open = (residual > o.tolerance).logical_and(at::isfinite(f));
    if (!open.any().item<bool>()) break;
    iterations += open.to(at::kLong);
    const at::Tensor d = instances.Project(y - step.unsqueeze(1) * g) - y, slope = Dot(d, g);
    const at::Tensor bar = at::amax(recent, {0});
    // Backtracking by halves; an instance that accepted, or is closed, waits for the others with its length fixed.
    at::Tensor length = at::full({batch}, 1.0, y.options()), waiting = open;
    at::Tensor y1 = y + d, f1, g1;
    for (int half = 0;; ++half) {
      std::tie(f1, g1) = instances(y1);
      waiting = waiting.logical_and((f1 <= bar + 1e-4 * length * slope).logical_not());
      if (half == 40 || !waiting.any().item<bool>()) break;
      length = at::where(waiting, length / 2, length);
      y1 = y + length.unsqueeze(1) * d;
    }
    const at::Tensor take = open.logical_and(waiting.logical_not());
    const at::Tensor s = y1 - y, change = g1 - g, curvature = Dot(s, change);
    const at::Tensor spectral = (Dot(s, s) / curvature).clamp(1e-10, 1e10);
    const at::Tensor next = at::where(curvature > 0, spectral, at::full({batch}, 1e10, y.options()).clamp_max(1e4));
    step = at::where(take, next, step / 4);
    y = at::where(take.unsqueeze(1), y1, y);
    g = at::where(take.unsqueeze(1), g1, g);
    f = at::where(take, f1, f);
    recent = at::cat({recent.size(0) < o.memory ? recent : recent.narrow(0, 1, o.memory - 1), f.unsqueeze(0)}, 0);
    residual = at::where(open, residual_of(), residual);
  }
  SolveSummary summary{instances.Split(y), f, residual, {}, {}};
  for (std::int64_t i = 0; i < batch; ++i) {
    const double r = residual[i].item<double>();
    summary.status.push_back(!std::isfinite(f[i].item<double>()) ? SolveStatus::kNotFinite
                             : r <= o.tolerance                  ? SolveStatus::kSolved
                                                                 : SolveStatus::kStepLimit);
    summary.iterations.push_back(iterations[i].item<std::int64_t>());
  }
  return summary;
}

}  // namespace amo::runtime
