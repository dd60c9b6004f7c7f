// SPDX-License-Identifier: Apache-2.0
// The training loop.
#include "runtime/train.h"

#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>

#include <fmt/format.h>

#include "compiler/check.h"

namespace amo::runtime {

namespace {

// A prediction from nothing that varies (zeros) is one answer for all: it is repeated along the batch.
void RepeatAlongBatch(const Problem& p, const Values& values, Values& y) {
  if (p.program.contexts.empty()) return;
  for (const compiler::Named& v : p.program.variables) {
    at::Tensor& t = y.at(v.name);
    if (t.dim() != static_cast<std::int64_t>(v.type.shape.size())) continue;
    std::vector<std::int64_t> shape{values.at(p.program.contexts[0].name).size(0)};
    shape.insert(shape.end(), v.type.shape.begin(), v.type.shape.end());
    t = t.expand(shape);
  }
}

struct Prediction {
  Values bare, projected;
};

Prediction PredictBoth(const Problem& p, const Values& values) {
  AMO_CHECK(p.program.predict.has_value() && p.program.project.has_value());
  Prediction y{Evaluate(p, *p.program.predict, values), {}};
  RepeatAlongBatch(p, values, y.bare);
  Values all = values;
  for (const auto& [name, t] : y.bare) all[name] = t;
  y.projected = Evaluate(p, *p.program.project, all);
  return y;
}

struct Losses {
  at::Tensor objective;  // mean of f(Π ŷ; x)
  at::Tensor training;   // plus the mean squared distance of ŷ to its sets
};

Losses MeanLoss(const Problem& p, const Values& sample, const Values& weights) {
  Values values = sample;
  values.insert(weights.begin(), weights.end());
  const Prediction y = PredictBoth(p, values);
  for (const auto& [name, t] : y.projected) values[name] = t;
  Losses l{Objective(p, values).mean(), {}};
  l.training = l.objective;
  for (const auto& [name, t] : y.bare) {
    const at::Tensor outside = t - y.projected.at(name);
    l.training = l.training + outside.mul(outside).sum() / t.size(0);
  }
  return l;
}

}  // namespace

Values Predict(const Problem& p, const Values& values) { return PredictBoth(p, values).projected; }

TrainSummary Train(const Problem& problem, const TrainOptions& o) {
  at::Generator start = at::make_generator<at::CPUGeneratorImpl>(o.seed);
  at::Generator draws = at::make_generator<at::CPUGeneratorImpl>(o.seed + 1);
  at::Generator held = at::make_generator<at::CPUGeneratorImpl>(o.seed + 2);
  Values weights = InitialWeights(problem, start);
  std::vector<at::Tensor> parameters;
  for (auto& [name, w] : weights) parameters.push_back(w.set_requires_grad(true));
  const Values validation = Sample(problem, o.validation, Split::kTrain, held);

  TrainSummary summary;
  summary.best = INFINITY;
  const auto look = [&](std::int64_t step, double loss) {
    double value;
    {
      const torch::NoGradGuard no_grad;
      value = MeanLoss(problem, validation, weights).objective.item<double>();
    }
    if (value < summary.best) {
      summary.best = value;
      for (const auto& [name, w] : weights) summary.weights[name] = w.detach().clone();
    }
    summary.history.push_back({step, o.steps, loss, value});
    if (o.progress) o.progress(summary.history.back());
  };

  torch::optim::Adam adam(parameters, torch::optim::AdamOptions(o.rate));
  look(0, NAN);
  for (std::int64_t step = 1; step <= o.steps; ++step) {
    adam.zero_grad();
    const Losses loss = MeanLoss(problem, Sample(problem, o.batch, Split::kTrain, draws), weights);
    const double value = loss.training.item<double>();
    if (!std::isfinite(value)) {
      summary.status = TrainStatus::kDiverged;
      summary.message = fmt::format("the loss is {} at step {}: a smaller rate or `clip` may help", value, step);
      return summary;
    }
    loss.training.backward();
    if (o.clip > 0) torch::nn::utils::clip_grad_norm_(parameters, o.clip);
    adam.step();
    if (step % o.check_every == 0 || step == o.steps) look(step, value);
  }
  return summary;
}

}  // namespace amo::runtime
