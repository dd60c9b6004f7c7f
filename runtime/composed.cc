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

#include "compiler/check.h"
#include "compiler/training_step.h"
#include "runtime/batch_product.h"
#include "runtime/predictor.h"
#include "runtime/tensor_kernel.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {

using compiler::BatchSum;

struct ComposedLosses::State {
  const Problem& problem;
  std::vector<const Task*> tasks;
  compiler::TrainingStep step;
  TensorKernel kernel;
  compiler::KernelOptions options;
  mutable std::optional<TensorKernel> value;  // of the losses alone, made at the first look
  mutable std::vector<BatchProduct> products;  // by part

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
    const auto drawn =
        std::find_if(step.draws.begin(), step.draws.end(), [&](const auto& d) { return d.input == in.name; });
    inputs.push_back(drawn == step.draws.end() ? Find(in.name, batch, learned, penalty)
                                          : DrawSteps(problem, drawn->draw, batch.size, drawn->steps, generator));
  }
  return run(inputs);
}

ComposedLosses::ComposedLosses(std::unique_ptr<State> state) : state_(std::move(state)) {}
ComposedLosses::~ComposedLosses() = default;

std::unique_ptr<ComposedLosses> ComposedLosses::Make(const Problem& p, const std::vector<const Task*>& tasks,
                                                     std::string& why) {
  std::vector<const compiler::Loss*> losses;
  std::vector<std::vector<std::string>> moves;
  for (const Task* t : tasks) losses.push_back(t->loss), moves.push_back(t->moves);
  std::optional<compiler::TrainingStep> step = compiler::MakeTrainingStep(p.program, losses, moves, why);
  if (!step) return nullptr;
  const compiler::KernelOptions options{
      .precision = p.dtype == at::kDouble ? compiler::Precision::kF64 : compiler::Precision::kF32,
      .cache_folder = compiler::KernelCacheFolder()};
  TensorKernel kernel(step->sum.each, options);
  std::vector<BatchProduct> products;
  for (const BatchSum::Part& part : step->sum.parts) products.emplace_back(part.labels, options);
  return std::unique_ptr<ComposedLosses>(new ComposedLosses(std::make_unique<State>(
      State{p, tasks, std::move(*step), std::move(kernel), options, {}, std::move(products)})));
}

std::vector<LossValue> ComposedLosses::Values(const Batch& batch, const runtime::Values& learned,
                                              double penalty) const {
  const c10::NoGradGuard no_grad;
  const State& s = *state_;
  if (!s.value) s.value.emplace(s.step.plain, s.options);
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
    return outputs[static_cast<std::size_t>(s.step.sum.each.FindOutput(name))];
  };
  LossGradients result;
  for (std::size_t k = 0; k < s.tasks.size(); ++k) {
    LossValue v{output(fmt::format("plain/{}", k)).mean(), {}};
    v.training = s.step.sum.each.FindOutput(fmt::format("training/{}", k)) >= 0
                     ? output(fmt::format("training/{}", k)).mean() : v.plain;
    result.values.push_back(std::move(v));
  }
  std::vector<at::Tensor> totals;
  for (const compiler::Input& in : s.step.sum.after.inputs) {
    if (!in.name.starts_with("part/")) {
      totals.push_back(s.Find(in.name, batch, learned, penalty));
      continue;
    }
    const auto k = static_cast<std::size_t>(std::stoi(in.name.substr(5)));
    const BatchSum::Part& part = s.step.sum.parts[k];
    totals.push_back(part.b.empty() ? at::sum(output(part.a), at::IntArrayRef{0})
                                    : s.products[k](output(part.a), output(part.b)));
  }
  const std::vector<at::Tensor> sums = TorchExecute(s.step.sum.after, totals);
  for (std::size_t k = 0; k < s.tasks.size(); ++k) {
    result.gradients.emplace_back();
    for (const std::string& name : s.tasks[k]->moves) {
      const int at = s.step.sum.after.FindOutput(fmt::format("d/{}/{}", k, name));
      result.gradients.back().push_back(
          at < 0 ? at::Tensor() : sums[static_cast<std::size_t>(at)] / static_cast<double>(batch.size));
    }
  }
  return result;
}

}  // namespace amo::runtime
