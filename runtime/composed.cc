// SPDX-License-Identifier: Apache-2.0
// Training steps as kernels.
#include "runtime/composed.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sum.h>

#include <fmt/format.h>

#include "compiler/batch_sum.h"
#include "compiler/check.h"
#include "compiler/compose.h"
#include "compiler/derive.h"
#include "compiler/simplify.h"
#include "runtime/predictor.h"
#include "runtime/tensor_kernel.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {

using compiler::BatchSum;
using compiler::Composed;
using compiler::Function;
using compiler::Role;

namespace {

// Kernels read what is shared once for a few instances at a time; beyond what the caches hold, LibTorch's blocked matrix
// products are faster.
constexpr std::int64_t kMostShared = 1 << 18;

std::int64_t SharedOf(const Function& f) {
  std::int64_t count = 0;
  for (const compiler::Input& in : f.inputs)
    if (in.role == Role::kShared) count += compiler::Count(in.type.shape);
  return count;
}

}  // namespace

struct ComposedLosses::State {
  const Problem& problem;
  std::vector<const Task*> tasks;
  std::vector<compiler::StepDraw> draws;
  BatchSum sum;
  TensorKernel kernel;
  compiler::KernelOptions options;
  Function plain;
  mutable std::optional<TensorKernel> value;  // of `plain`, made at the first look

  std::vector<at::Tensor> Run(const TensorKernel& kernel, const Batch& batch, const runtime::Values& learned,
                              double penalty, at::Generator& draws) const;
  at::Tensor Find(const std::string& name, const Batch& batch, const runtime::Values& learned, double penalty) const;
};

at::Tensor ComposedLosses::State::Find(const std::string& name, const Batch& batch, const runtime::Values& learned,
                                       double penalty) const {
  if (name == "penalty") return at::full({}, penalty, at::TensorOptions(problem.dtype));
  for (const runtime::Values* values : {&learned, &batch.values, &problem.shared})
    if (const auto it = values->find(name); it != values->end()) return it->second;
  AMO_CHECK(false, "(no value for %s)", name.c_str());
}

std::vector<at::Tensor> ComposedLosses::State::Run(const TensorKernel& run, const Batch& batch,
                                                   const runtime::Values& learned, double penalty,
                                                   at::Generator& generator) const {
  std::vector<at::Tensor> inputs;
  for (const compiler::Input& in : run.function().inputs) {
    const auto drawn = std::find_if(draws.begin(), draws.end(), [&](const auto& d) { return d.input == in.name; });
    inputs.push_back(drawn == draws.end() ? Find(in.name, batch, learned, penalty)
                                          : DrawSteps(problem, drawn->draw, batch.size, drawn->steps, generator));
  }
  return run(inputs);
}

ComposedLosses::ComposedLosses(std::unique_ptr<State> state) : state_(std::move(state)) {}
ComposedLosses::~ComposedLosses() = default;

std::unique_ptr<ComposedLosses> ComposedLosses::Make(const Problem& p, const std::vector<const Task*>& tasks,
                                                     std::string& why) {
  std::vector<const compiler::Loss*> losses;
  for (const Task* t : tasks) {
    if (t->loss->by != compiler::Estimator::kBackprop) {
      why = "a loss is estimated from values";
      return nullptr;
    }
    losses.push_back(t->loss);
  }
  std::optional<Composed> composed = compiler::ComposeLosses(p.program, losses, why);
  if (!composed) return nullptr;
  const Function& f = composed->function;
  if (std::none_of(f.inputs.begin(), f.inputs.end(), [](const auto& in) { return in.role == Role::kInstance; })) {
    why = "nothing varies by instance";
    return nullptr;
  }
  if (SharedOf(f) > kMostShared) {
    why = fmt::format("its {} weights and shared entries are more than the caches hold", SharedOf(f));
    return nullptr;
  }
  std::vector<int> outputs;
  std::vector<std::vector<int>> wrt;
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    outputs.push_back(f.FindOutput(fmt::format("training/{}", k)));
    wrt.emplace_back();
    for (const std::string& name : tasks[k]->moves)
      if (const int in = f.FindInput(name); in >= 0) wrt.back().push_back(in);
  }
  BatchSum sum = compiler::SumOverBatch(compiler::Simplify(compiler::Gradients(f, outputs, wrt)), "d/");
  if (const std::string op = compiler::Uncompilable(sum.each); !op.empty()) {
    why = fmt::format("`{}` has no kernel", op);
    return nullptr;
  }
  const compiler::KernelOptions options{
      .precision = p.dtype == at::kDouble ? compiler::Precision::kF64 : compiler::Precision::kF32,
      .cache_folder = compiler::KernelCacheFolder()};
  TensorKernel kernel(sum.each, options);
  Function plain = f;
  std::erase_if(plain.outputs, [](const compiler::Output& o) { return !o.name.starts_with("plain/"); });
  return std::unique_ptr<ComposedLosses>(
      new ComposedLosses(std::make_unique<State>(State{p, tasks, std::move(composed->draws), std::move(sum),
                                                       std::move(kernel), options, compiler::Simplify(plain), {}})));
}

std::vector<LossValue> ComposedLosses::Values(const Batch& batch, const runtime::Values& learned,
                                              double penalty) const {
  const c10::NoGradGuard no_grad;
  const State& s = *state_;
  if (!s.value) s.value.emplace(s.plain, s.options);
  at::Generator draws = at::make_generator<at::CPUGeneratorImpl>(kDeployedSeed);
  std::vector<LossValue> values;
  for (const at::Tensor& each : s.Run(*s.value, batch, learned, penalty, draws))
    values.push_back({each.mean(), each.mean()});
  return values;
}

LossGradients ComposedLosses::operator()(const Batch& batch, const runtime::Values& learned, double penalty,
                                         at::Generator& draws) const {
  const c10::NoGradGuard no_grad;
  const State& s = *state_;
  const std::vector<at::Tensor> outputs = s.Run(s.kernel, batch, learned, penalty, draws);
  const auto output = [&](const std::string& name) {
    return outputs[static_cast<std::size_t>(s.sum.each.FindOutput(name))];
  };
  LossGradients result;
  for (std::size_t k = 0; k < s.tasks.size(); ++k) {
    LossValue v{output(fmt::format("plain/{}", k)).mean(), {}};
    v.training = s.sum.each.FindOutput(fmt::format("training/{}", k)) >= 0
                     ? output(fmt::format("training/{}", k)).mean() : v.plain;
    result.values.push_back(std::move(v));
  }
  std::vector<at::Tensor> totals;
  for (const compiler::Input& in : s.sum.after.inputs) {
    if (!in.name.starts_with("part/")) {
      totals.push_back(s.Find(in.name, batch, learned, penalty));
      continue;
    }
    const BatchSum::Part& part = s.sum.parts[static_cast<std::size_t>(std::stoi(in.name.substr(5)))];
    totals.push_back(part.b.empty() ? at::sum(output(part.a), at::IntArrayRef{0})
                                    : SumOfProducts(output(part.a), output(part.b), part.labels));
  }
  const std::vector<at::Tensor> sums = TorchExecute(s.sum.after, totals);
  for (std::size_t k = 0; k < s.tasks.size(); ++k) {
    result.gradients.emplace_back();
    for (const std::string& name : s.tasks[k]->moves) {
      const int at = s.sum.after.FindOutput(fmt::format("d/{}/{}", k, name));
      result.gradients.back().push_back(
          at < 0 ? at::Tensor() : sums[static_cast<std::size_t>(at)] / static_cast<double>(batch.size));
    }
  }
  return result;
}

}  // namespace amo::runtime
