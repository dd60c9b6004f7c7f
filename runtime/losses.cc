// SPDX-License-Identifier: Apache-2.0
// Losses on a batch, and their gradients by derivatives or from values at random points.
#include "runtime/losses.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include "runtime/predictor.h"

namespace amo::runtime {
namespace {

// The owner of a learned value: a network, "model", or the parameter itself.
std::string OwnerOf(const std::string& learned) {
  if (!learned.starts_with("weight/")) return learned;
  const std::size_t from = learned.find('/') + 1;
  return learned.substr(from, learned.rfind('/') - from);
}

bool Reads(const compiler::Function& f, const std::string& name) { return f.FindInput(name) >= 0; }

// Whether the model, its steps or the loss read what is learned under this name; what none reads is not moved.
bool IsReached(const compiler::Program& p, const compiler::Loss& l, const std::string& name) {
  const auto reads = [&](const std::optional<compiler::Function>& f) { return f && Reads(*f, name); };
  if (Reads(l.value, name) || reads(p.model.predict) || reads(p.model.latent_start) || reads(p.project) ||
      reads(p.state_function) || (l.objective && (reads(p.objective) || reads(p.lagrangian))))
    return true;
  const auto in_trace = [&](const compiler::Trace& t) { return Reads(l.value, t.input) && Reads(t.value, name); };
  const auto in_step = [&](const compiler::Refinement& r) { return reads(r.start) || reads(r.step) || reads(r.map); };
  return std::any_of(p.traces.begin(), p.traces.end(), in_trace) ||
         std::any_of(p.model.refinements.begin(), p.model.refinements.end(), in_step);
}

// The loss of each instance, [batch], where the run's results are in `values`; what training minimizes is its mean. An
// objective has a quadratic penalty for what no projection keeps.
at::Tensor Each(const Problem& p, const Task& t, const Values& values, std::int64_t batch, double penalty) {
  if (!t.loss->objective) return EvaluateOne(p, t.loss->value, values, batch);
  if (!p.program.lagrangian) return Objective(p, values, batch);
  Values at = values, none = NoMultipliers(p, batch, penalty);
  for (auto& [name, t] : none)  // those of the training are the same for all instances
    if (const auto known = at.find(name); known != at.end()) known->second = known->second.expand_as(t);
  at.merge(none);
  return Lagrangian(p, at, batch);
}

// An answer whose derivative is that of the loss smoothed over it. By score (Williams 1992): over the predictions,
// which are then means of normal laws; what is drawn is brought into the sets. Pairs of draws are their own baseline.
at::Tensor Smoothed(const Problem& p, const Task& t, Values values, const Values& bare, std::int64_t batch,
                    double penalty, at::Generator* draws) {
  const bool score = t.loss->by == compiler::Estimator::kScore;
  std::vector<at::Tensor> answers, slopes;
  for (const compiler::Named& v : p.program.variables) {
    answers.push_back(score ? bare.at(v.name) : values.at(v.name));
    slopes.push_back(at::zeros_like(answers.back()));
  }
  {
    const c10::NoGradGuard no_grad;
    for (std::int64_t pair = 0; pair < t.loss->samples / 2; ++pair) {
      std::vector<at::Tensor> points;
      const auto generator = draws ? std::optional<at::Generator>(*draws) : std::nullopt;
      for (const at::Tensor& y : answers) points.push_back(at::randn(y.sizes(), generator, y.options()));
      const auto value = [&](double sign) {
        for (std::size_t k = 0; k < answers.size(); ++k)
          values[p.program.variables[k].name] = answers[k] + sign * t.loss->sigma * points[k];
        if (score) {
          Values now;
          for (const compiler::Named& v : p.program.variables) now[v.name] = values.at(v.name);
          ProjectVariables(p, values, batch, now);
          for (const auto& [name, y] : now) values[name] = y;
        }
        return Each(p, t, values, batch, penalty);
      };
      const at::Tensor along = (value(1) - value(-1)) / (static_cast<double>(t.loss->samples) * t.loss->sigma);
      for (std::size_t k = 0; k < answers.size(); ++k) {
        std::vector<std::int64_t> sizes(static_cast<std::size_t>(points[k].dim()), 1);
        sizes[0] = batch;
        slopes[k] += along.view(sizes) * points[k];
      }
    }
  }
  at::Tensor total;
  for (std::size_t k = 0; k < answers.size(); ++k) {
    const at::Tensor part = (answers[k] * slopes[k]).sum() / static_cast<double>(batch);
    total = total.defined() ? total + part : part;
  }
  return total - total.detach();  // the derivative alone
}

}  // namespace

std::vector<Task> TasksOf(const compiler::Program& program, const Values& learned, const TrainSettings& settings) {
  std::set<std::string> named;
  for (const compiler::Loss& l : program.losses) named.insert(l.owners.begin(), l.owners.end());
  named.insert(program.read.begin(), program.read.end());  // fixed where no loss names it
  for (const compiler::SlowNetwork& s : program.slow) named.insert(s.name);
  named.insert(compiler::nearest::kOwner);
  std::vector<Task> tasks;
  for (const compiler::Loss& l : program.losses) {
    Task t{&l, {}, {}, false, settings.clip, settings.decay};
    for (const auto& [name, value] : learned) {
      if (name == "trained") continue;
      const std::string owner = OwnerOf(name);
      const bool mine =
          l.owners.empty() ? !named.count(owner) : std::count(l.owners.begin(), l.owners.end(), owner) > 0;
      if (mine && IsReached(program, l, name)) t.moves.push_back(name);
    }
    if (t.moves.empty()) continue;
    for (const compiler::Trace& trace : program.traces) if (Reads(l.value, trace.input)) t.traces.push_back(&trace);
    for (const compiler::Named& v : program.variables) t.answer = t.answer || Reads(l.value, v.name);
    for (const compiler::Named& s : program.states) t.answer = t.answer || Reads(l.value, s.name);
    for (const std::string& owner :
         l.owners.empty() ? std::vector<std::string>{""} : std::vector<std::string>{"", l.owners[0]}) {
      const auto it = program.train.find(owner);
      if (it == program.train.end()) continue;
      if (it->second.rate) t.rate = &*it->second.rate;
      const auto number = [&](const char* key, double& value) {
        if (const auto n = it->second.numbers.find(key); n != it->second.numbers.end()) value = n->second;
      };
      number("clip", t.clip), number("decay", t.decay), number("updates", t.updates);
      number("beta1", t.beta1), number("beta2", t.beta2);
    }
    tasks.push_back(std::move(t));
  }
  return tasks;
}

double RateOf(const Problem& p, const Task& t, std::int64_t trained, double otherwise) {
  if (!t.rate) return otherwise;
  const Values values = {{"trained", at::full({}, static_cast<double>(trained), at::TensorOptions(p.dtype))}};
  return Evaluate(p, *t.rate, values).at("rate").item<double>();
}

std::vector<LossValue> LossesOf(const Problem& p, const std::vector<const Task*>& tasks, const Batch& batch,
                                const Values& learned, double penalty, at::Generator* draws) {
  RunOptions run_options;
  run_options.answer = false;
  run_options.draws = draws;
  for (const Task* t : tasks) {
    run_options.answer = run_options.answer || t->answer;
    run_options.traces.insert(run_options.traces.end(), t->traces.begin(), t->traces.end());
  }
  Values values = batch.values;
  for (const auto& [name, t] : learned) values[name] = t;
  ModelRun run;
  if (p.program.model.predict) run = RunModel(p, values, batch.size, run_options);
  for (const Values* more : {&run.answer, &run.traces}) for (const auto& [name, t] : *more) values[name] = t;
  std::vector<LossValue> losses;
  for (const Task* t : tasks) {
    LossValue l;
    l.plain = Each(p, *t, values, batch.size, penalty).mean();
    const bool smoothed =
        t->loss->by == compiler::Estimator::kSmoothing || t->loss->by == compiler::Estimator::kScore;
    if (smoothed && t->answer && at::GradMode::is_enabled()) {
      l.plain = l.plain.detach();
      l.training = l.plain + Smoothed(p, *t, values, run.bare, batch.size, penalty, draws);
    } else {
      l.training = l.plain;
    }
    const bool bare = t->answer || !t->traces.empty();
    for (const compiler::Named& v : p.program.variables) {
      if (!bare || !run.bare.count(v.name) || !run.bare.at(v.name).requires_grad()) continue;
      if (std::count(p.program.discrete.begin(), p.program.discrete.end(), v.name)) continue;
      const at::Tensor outside = run.bare.at(v.name) - run.projected.at(v.name);
      l.training = l.training + outside.mul(outside).sum() / batch.size;
    }
    losses.push_back(std::move(l));
  }
  return losses;
}

namespace {

// The gradients of one task's loss from its values around what is learned.
void Evolve(const Problem& p, const Task& t, const Batch& batch, const Values& learned, double penalty,
            at::Generator& draws, LossValue& value, std::vector<at::Tensor>& gradient) {
  const c10::NoGradGuard no_grad;
  const at::Generator same = draws.clone();
  const auto at = [&](const Values& where) {
    at::Generator own = same.clone();
    return LossesOf(p, {&t}, batch, where, penalty, &own)[0];
  };
  value = at(learned);
  gradient.clear();
  for (const std::string& name : t.moves) gradient.push_back(at::zeros_like(learned.at(name)));
  std::int64_t pairs = 0;
  for (std::int64_t pair = 0; pair < t.loss->samples / 2; ++pair) {
    Values up = learned, down = learned;
    std::vector<at::Tensor> points;
    for (const std::string& name : t.moves) {
      const at::Tensor& now = learned.at(name);
      points.push_back(at::randn(now.sizes(), draws, now.options()));
      up[name] = now + t.loss->sigma * points.back(), down[name] = now - t.loss->sigma * points.back();
    }
    const double along = (at(up).training - at(down).training).item<double>();
    if (!std::isfinite(along)) continue;  // a point where the run blows up tells no slope
    ++pairs;
    for (std::size_t k = 0; k < points.size(); ++k) gradient[k].add_(points[k], along / (2 * t.loss->sigma));
  }
  if (pairs == 0) value.plain = value.training = at::full_like(value.plain, NAN);  // nothing to go by
  else for (at::Tensor& g : gradient) g.div_(static_cast<double>(pairs));
}

}  // namespace

LossGradients GradientsOf(const Problem& p, const std::vector<const Task*>& tasks, const Batch& batch,
                          const Values& learned, double penalty, at::Generator& draws) {
  LossGradients out;
  out.values.resize(tasks.size());
  out.gradients.resize(tasks.size());
  std::vector<const Task*> derived;
  std::vector<std::size_t> places;
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    if (tasks[k]->loss->by == compiler::Estimator::kEvolution) {
      Evolve(p, *tasks[k], batch, learned, penalty, draws, out.values[k], out.gradients[k]);
      continue;
    }
    derived.push_back(tasks[k]);
    places.push_back(k);
  }
  if (derived.empty()) return out;
  Values leaves = learned;
  for (const Task* t : derived)
    for (const std::string& name : t->moves) leaves[name] = learned.at(name).detach().requires_grad_(true);
  const std::vector<LossValue> values = LossesOf(p, derived, batch, leaves, penalty, &draws);
  for (std::size_t k = 0; k < derived.size(); ++k) {
    std::vector<at::Tensor> moved;
    for (const std::string& name : derived[k]->moves) moved.push_back(leaves.at(name));
    std::vector<at::Tensor>& gradient = out.gradients[places[k]];
    gradient.resize(moved.size());
    out.values[places[k]] = values[k];
    if (values[k].training.requires_grad())
      gradient = torch::autograd::grad({values[k].training}, moved, {}, k + 1 < derived.size(), false, true);
  }
  return out;
}

}  // namespace amo::runtime
