// SPDX-License-Identifier: Apache-2.0
// A batch of instances on compiled kernels, or on LibTorch's autograd where something learned stands in the objective.
#include "runtime/instances.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "compiler/check.h"

namespace amo::runtime {

namespace {

at::Tensor ValueOf(const Problem& problem, Goal goal, const Values& values, std::int64_t batch) {
  return goal == Goal::kObjective ? Objective(problem, values, batch) : Lagrangian(problem, values, batch);
}

}  // namespace

Instances::Instances(const Problem& problem, Values values, std::int64_t batch, Goal goal)
    : problem_(problem), values_(std::move(values)), batch_(batch), size_(problem.VariableSize()), goal_(goal) {}

at::Tensor Instances::Join(const Values& variables) const {
  std::vector<at::Tensor> parts;
  for (const compiler::Named& v : problem_.program.variables) {
    const at::Tensor& t = variables.at(v.name);
    parts.push_back(t.reshape({batch_, compiler::Count(v.type.shape)}));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

Values Instances::Split(const at::Tensor& y) const {
  Values v;
  std::int64_t at = 0;
  for (const compiler::Named& named : problem_.program.variables) {
    std::vector<std::int64_t> shape{y.size(0)};
    shape.insert(shape.end(), named.type.shape.begin(), named.type.shape.end());
    const std::int64_t count = compiler::Count(named.type.shape);
    v[named.name] = y.narrow(1, at, count).view(shape);
    at += count;
  }
  return v;
}

at::Tensor Instances::Project(const at::Tensor& y) const {
  if (!problem_.program.project) return y;
  Values v = Split(y);
  ProjectVariables(problem_, values_, y.size(0), v);
  return Join(v);
}

at::Tensor Instances::Value(const at::Tensor& y) const {
  const c10::NoGradGuard no_grad;
  Values v = values_;
  for (auto& [name, t] : Split(y)) v[name] = t;
  return ValueOf(problem_, goal_, v, batch_).contiguous();
}

at::Tensor Instances::Violation(const at::Tensor& y) const {
  const c10::NoGradGuard no_grad;
  Values all = values_;
  for (auto& [name, t] : Split(y)) all[name] = t;
  at::Tensor sum = at::zeros({batch_}, at::TensorOptions(at::kDouble));
  for (const auto& [name, v] : Violations(problem_, all, batch_)) sum += v.to(at::kDouble);
  return sum;
}

Instances::Point Instances::operator()(const at::Tensor& y) const {
  Values v = values_;
  const bool plain = goal_ == Goal::kObjective;
  const compiler::Function& f = plain ? *problem_.program.objective : *problem_.program.lagrangian;
  if (const KernelObjective* kernel = (plain ? problem_.kernel : problem_.lagrangian).get()) {
    const c10::NoGradGuard no_grad;
    for (auto& [name, t] : Split(y)) v[name] = t;
    std::vector<at::Tensor> inputs;
    for (const compiler::Input& in : f.inputs) {
      const auto it = v.find(in.name);
      inputs.push_back(it != v.end() ? it->second : problem_.shared.at(in.name));
    }
    const std::map<std::string, at::Tensor> out = kernel->ValueAndGradient(inputs);
    Values gradient;
    for (const compiler::Named& named : problem_.program.variables) {
      const auto it = out.find("d/" + named.name);
      std::vector<std::int64_t> shape{batch_};
      shape.insert(shape.end(), named.type.shape.begin(), named.type.shape.end());
      gradient[named.name] = it != out.end() ? it->second.expand(shape) : at::zeros(shape, y.options());
    }
    const at::Tensor& value = out.at("value");
    return {value.dim() ? value : value.expand({batch_}).contiguous(), Join(gradient)};
  }
  const at::AutoGradMode record(true);
  const at::Tensor leaf = y.detach().requires_grad_(true);
  for (auto& [name, t] : Split(leaf)) v[name] = t;
  const at::Tensor value = ValueOf(problem_, goal_, v, batch_);
  const at::Tensor gradient = torch::autograd::grad({value.sum()}, {leaf}, {}, false, false, true)[0];
  return {value.detach().contiguous(), gradient.defined() ? gradient : at::zeros_like(y)};
}

at::Tensor Instances::Tangent(const at::Tensor& y, const at::Tensor& g) const {
  if (!problem_.program.project) return g;
  const at::AutoGradMode record(true);
  const at::Tensor leaf = y.detach().requires_grad_(true);
  const at::Tensor product = (Project(leaf) * g).sum();
  return torch::autograd::grad({product}, {leaf})[0];
}

at::Tensor Instances::Residual(const at::Tensor& y, const at::Tensor& g) const {
  if (size_ == 0) return at::zeros({batch_}, y.options());
  return Residual(y, g, y - Project(y - g));
}

at::Tensor Instances::Residual(const at::Tensor& y, const at::Tensor& g, at::Tensor moved) const {
  const std::vector<std::string>& curved = problem_.program.manifolds;
  if (!curved.empty()) {
    Values parts = Split(moved), tangent = Split(Tangent(y, g));
    for (const std::string& name : curved) parts[name] = tangent.at(name);
    moved = Join(parts);
  }
  return at::amax(moved.abs(), {1});
}

Instances Instances::Select(const at::Tensor& rows) const {
  Values chosen;
  for (const auto& [name, t] : values_) {
    const auto is = [&](const compiler::Named& n) { return n.name == name; };
    const compiler::Program& p = problem_.program;
    const bool per_instance = std::any_of(p.contexts.begin(), p.contexts.end(), is) ||
                              std::any_of(p.hidden.begin(), p.hidden.end(), is) || name.starts_with("draw/") ||
                              name.starts_with("multiplier/") || name == "penalty";
    chosen[name] = per_instance ? t.index_select(0, rows) : t;
  }
  return Instances(problem_, std::move(chosen), rows.size(0), goal_);
}

void Instances::Redraw(at::Generator& generator) {
  for (auto& [name, draw] : DrawRandoms(problem_, batch_, generator)) values_[name] = draw;
}

}  // namespace amo::runtime
