// SPDX-License-Identifier: Apache-2.0
// The training loop.
#include "runtime/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <fmt/format.h>

#include "compiler/check.h"
#include "runtime/predictor.h"
#include "runtime/reference.h"

namespace amo::runtime {
namespace {

// The owner of a learned value: a network, "model", or the parameter itself.
std::string OwnerOf(const std::string& learned) {
  if (!learned.starts_with("weight/")) return learned;
  const std::size_t from = learned.find('/') + 1;
  return learned.substr(from, learned.rfind('/') - from);
}

bool Reads(const compiler::Function& f, const std::string& prefix) {
  return std::any_of(f.inputs.begin(), f.inputs.end(),
                     [&](const compiler::Input& in) { return in.name.starts_with(prefix); });
}

// A loss with what it moves and what it needs from a run.
struct Task {
  const compiler::Loss* loss;
  std::vector<std::string> moves;
  std::vector<const compiler::Trace*> traces;
  bool answer = false;  // it reads the variables
  double clip, decay;
  const compiler::Function* rate;  // null: the default
};

std::vector<Task> TasksOf(const compiler::Program& program, const Values& learned, const TrainSettings& settings) {
  std::set<std::string> named;
  for (const compiler::Loss& l : program.losses) named.insert(l.owners.begin(), l.owners.end());
  std::vector<Task> tasks;
  for (const compiler::Loss& l : program.losses) {
    Task t{&l, {}, {}, false, settings.clip, settings.decay, nullptr};
    for (const auto& [name, value] : learned) {
      if (name == "trained") continue;
      const std::string owner = OwnerOf(name);
      const bool mine =
          l.owners.empty() ? !named.count(owner) : std::count(l.owners.begin(), l.owners.end(), owner) > 0;
      if (mine) t.moves.push_back(name);
    }
    for (const compiler::Trace& trace : program.traces) if (Reads(l.value, trace.input)) t.traces.push_back(&trace);
    for (const compiler::Named& v : program.variables) t.answer = t.answer || l.value.FindInput(v.name) >= 0;
    for (const compiler::Named& s : program.states) t.answer = t.answer || l.value.FindInput(s.name) >= 0;
    for (const std::string& owner :
         l.owners.empty() ? std::vector<std::string>{""} : std::vector<std::string>{"", l.owners[0]}) {
      const auto it = program.train.find(owner);
      if (it == program.train.end()) continue;
      if (it->second.rate) t.rate = &*it->second.rate;
      const auto number = [&](const char* key, double& value) {
        if (const auto n = it->second.numbers.find(key); n != it->second.numbers.end()) value = n->second;
      };
      number("clip", t.clip), number("decay", t.decay);
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

// Everything a batch needs beside what is learned.
struct Batch {
  Values values;  // contexts, hidden values, randoms, labels
  std::int64_t size;
};

class Trainer {
 public:
  Trainer(const Problem& problem, const TrainOptions& options) : p_(problem), o_(options) {
    at::Generator start = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed);
    draws_ = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed + 1);
    initial_ = InitialLearned(p_, start);
    if (o_.resume) {
      s_ = *o_.resume;
      for (auto* values : {&s_.learned, &s_.best_learned, &s_.moments}) for (auto& [n, t] : *values) t = t.clone();
      draws_.set_state(s_.generators.at("draws"));
    } else {
      for (const auto& [name, t] : initial_) s_.learned[name] = t.clone();  // steps write in place
      s_.best = INFINITY;
    }
    tasks_ = TasksOf(p_.program, s_.learned, o_.settings);
    for (const Task& t : tasks_) {
      for (const std::string& name : t.moves) {
        if (s_.moments.count("m/" + name)) continue;
        s_.moments["m/" + name] = at::zeros_like(s_.learned.at(name));
        s_.moments["v/" + name] = at::zeros_like(s_.learned.at(name));
      }
    }
    std::erase_if(tasks_, [](const Task& t) { return t.moves.empty(); });
  }

  bool nothing_learned() const { return tasks_.empty(); }

  TrainSummary Untrained() {
    s_.best_learned = s_.learned;
    s_.best = NAN;
    return {TrainStatus::kNothingLearned, "nothing in the program is learned", s_};
  }

  // Labels and validation draws come from generators of their own: a resumed run makes the same ones.
  // False: asked to stop meanwhile.
  bool Prepare() {
    const bool labels =
        std::any_of(tasks_.begin(), tasks_.end(), [](const Task& t) { return Reads(t.loss->value, "solved/"); });
    at::Generator held = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed + 2);
    validation_ = Draw(o_.validation, o_.settings.split ? Split::kValidation : Split::kAll, held);
    if (!labels) return true;
    at::Generator pool = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed + 3);
    const std::int64_t count = std::max(o_.settings.batch, std::min(o_.labels, o_.settings.steps * o_.settings.batch));
    pool_ = Draw(count, TrainSplit(), pool);
    return Label(pool_, 0, count + validation_.size) && Label(validation_, count, count + validation_.size);
  }

  TrainSummary Run() {
    clock_ = std::chrono::steady_clock::now();
    started_ = s_.seconds;
    if (!o_.resume) TakeLook();
    double saved = s_.seconds;
    for (TrainStatus end;;) {
      if (s_.step >= o_.settings.steps) return End(TrainStatus::kDone);
      std::string problem;
      if (!Step(problem)) return End(TrainStatus::kDiverged, problem);
      const std::int64_t every = std::max<std::int64_t>(1, o_.settings.steps / std::max<std::int64_t>(1, o_.looks));
      if (s_.step % every == 0 || s_.step == o_.settings.steps) TakeLook();
      Clock();
      if (o_.progress) Report();
      end = TrainStatus::kDone;
      if (o_.patience > 0 && s_.stale >= o_.patience) end = TrainStatus::kEarly;
      if (o_.stop && o_.stop->load() && s_.step < o_.settings.steps) end = TrainStatus::kStopped;
      const bool due = s_.seconds - saved >= o_.checkpoint_seconds;
      if (o_.checkpoint && (due || end == TrainStatus::kStopped)) {
        const Result<Done> written = o_.checkpoint(State());
        if (!written.ok()) return End(TrainStatus::kFailed, written.message());
        saved = s_.seconds;
      }
      if (end != TrainStatus::kDone) return End(end);
    }
  }

 private:
  Split TrainSplit() const { return o_.settings.split ? Split::kTrain : Split::kAll; }

  Batch Draw(std::int64_t n, Split split, at::Generator& g) const {
    Batch b{Sample(p_, n, split, g), n};
    b.values.merge(DrawRandoms(p_, n, g));
    return b;
  }

  // Labels are those of the start: a resumed run makes the same ones. False: asked to stop before all were made.
  bool Label(Batch& b, std::int64_t before, std::int64_t all) const {
    constexpr std::int64_t kChunk = 1024;
    ReferenceOptions options;
    options.seed = o_.settings.seed;
    std::map<std::string, std::vector<at::Tensor>> parts;
    for (std::int64_t from = 0; from < b.size; from += kChunk) {
      if (o_.stop && o_.stop->load()) return false;
      const std::int64_t count = std::min(kChunk, b.size - from);
      Values values = initial_;
      for (const auto& [name, t] : b.values) values[name] = t.narrow(0, from, count);
      for (auto& [name, t] : SolveReference(p_, values, count, options).variables) parts[name].push_back(t);
      if (o_.labelling) o_.labelling(before + from + count, all);
    }
    for (const auto& [name, part] : parts) b.values["solved/" + name] = at::cat(part, 0);
    return true;
  }

  Batch Next() {
    if (pool_.values.empty()) return Draw(o_.settings.batch, TrainSplit(), draws_);
    Batch b{{}, o_.settings.batch};
    const at::Tensor rows = at::randint(pool_.size, {b.size}, draws_, at::TensorOptions(at::kLong));
    for (const auto& [name, t] : pool_.values) b.values[name] = t.index_select(0, rows);
    b.values.merge(DrawRandoms(p_, b.size, draws_));
    return b;
  }

  // One value for each task: the mean loss over the batch, and what training minimizes.
  struct Loss {
    at::Tensor plain, training;
  };
  std::vector<Loss> Losses(const Batch& batch, const Values& learned, at::Generator* draws) const {
    RunOptions run_options;
    run_options.answer = false;
    run_options.draws = draws;
    for (const Task& t : tasks_) {
      run_options.answer = run_options.answer || t.answer;
      run_options.traces.insert(run_options.traces.end(), t.traces.begin(), t.traces.end());
    }
    Values values = batch.values;
    for (const auto& [name, t] : learned) values[name] = t;
    ModelRun run;
    if (p_.program.model.predict) run = RunModel(p_, values, batch.size, run_options);
    for (const Values* more : {&run.answer, &run.traces}) for (const auto& [name, t] : *more) values[name] = t;
    std::vector<Loss> losses;
    for (const Task& t : tasks_) {
      const at::Tensor each =
          t.loss->objective ? Objective(p_, values, batch.size) : EvaluateOne(p_, t.loss->value, values, batch.size);
      Loss l{each.mean(), {}};
      l.training = l.plain;
      if (t.loss->objective && p_.program.lagrangian) {  // a quadratic penalty for what no projection keeps
        Values at = values;
        at.merge(NoMultipliers(p_, batch.size, o_.penalty));
        l.training = l.plain = Lagrangian(p_, at, batch.size).mean();
      }
      const bool bare = t.answer || !t.traces.empty();
      for (const compiler::Named& v : p_.program.variables) {
        if (!bare || !run.bare.count(v.name) || !run.bare.at(v.name).requires_grad()) continue;
        const at::Tensor outside = run.bare.at(v.name) - run.projected.at(v.name);
        l.training = l.training + outside.mul(outside).sum() / batch.size;
      }
      losses.push_back(std::move(l));
    }
    return losses;
  }

  bool Step(std::string& problem) {
    const Batch batch = Next();
    Values learned;
    for (const auto& [name, t] : s_.learned) learned[name] = t.detach();
    for (const Task& t : tasks_) for (const std::string& name : t.moves) learned[name].requires_grad_(true);
    const std::vector<Loss> losses = Losses(batch, learned, &draws_);
    double total = 0;
    for (std::size_t k = 0; k < tasks_.size(); ++k) {
      const double value = losses[k].training.item<double>();
      if (!std::isfinite(value)) {
        problem = fmt::format("the loss is {} at step {}: a smaller rate or `clip` may help", value, s_.step + 1);
        return false;
      }
      total += losses[k].plain.item<double>();
    }
    // All gradients first: a step is one for all owners, and it writes where the losses were computed from.
    std::vector<std::vector<at::Tensor>> gradients(tasks_.size());
    for (std::size_t k = 0; k < tasks_.size(); ++k) {
      std::vector<at::Tensor> moved;
      for (const std::string& name : tasks_[k].moves) moved.push_back(learned.at(name));
      gradients[k].resize(moved.size());
      if (!losses[k].training.requires_grad()) continue;
      gradients[k] = torch::autograd::grad({losses[k].training}, moved, {}, k + 1 < tasks_.size(), false, true);
    }
    for (std::size_t k = 0; k < tasks_.size(); ++k) {
      rate_ = RateOf(p_, tasks_[k], s_.step, o_.settings.rate);
      Move(tasks_[k], gradients[k]);
    }
    ++s_.step;
    s_.learned["trained"] = at::full({}, static_cast<double>(s_.step), at::TensorOptions(p_.dtype));
    s_.loss_sum += total, ++s_.loss_count;
    last_loss_ = total;
    return true;
  }

  // Adam, with the gradient's norm bounded and decoupled decay.
  void Move(const Task& t, std::vector<at::Tensor>& gradient) {
    const c10::NoGradGuard no_grad;
    double scale = 1;
    if (t.clip > 0) {
      double sum = 0;
      for (const at::Tensor& g : gradient) if (g.defined()) sum += g.mul(g).sum().item<double>();
      scale = std::min(1.0, t.clip / (std::sqrt(sum) + 1e-12));
    }
    constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
    const double n = static_cast<double>(s_.step) + 1;
    const double first = 1 - std::pow(kBeta1, n), second = 1 - std::pow(kBeta2, n);
    for (std::size_t k = 0; k < t.moves.size(); ++k) {
      if (!gradient[k].defined()) continue;
      const at::Tensor g = scale == 1 ? gradient[k] : gradient[k].mul(scale);
      at::Tensor &m = s_.moments.at("m/" + t.moves[k]), &v = s_.moments.at("v/" + t.moves[k]);
      m.mul_(kBeta1).add_(g, 1 - kBeta1);
      v.mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
      at::Tensor y = s_.learned.at(t.moves[k]).detach();
      if (t.decay > 0) y.mul_(1 - rate_ * t.decay);
      y.addcdiv_(m, v.sqrt().div_(std::sqrt(second)).add_(kEpsilon), -rate_ / first);
      s_.learned[t.moves[k]] = y;
    }
  }

  void TakeLook() {
    const c10::NoGradGuard no_grad;
    Values learned = s_.learned;
    // Schedules of `trained` are judged at their end: else a look early on would be measured by another loss.
    learned["trained"] = at::full({}, static_cast<double>(o_.settings.steps), at::TensorOptions(p_.dtype));
    double value = 0;
    for (const Loss& l : Losses(validation_, learned, nullptr)) value += l.plain.item<double>();
    ++s_.stale;
    if (value < s_.best || s_.history.empty()) {
      s_.best = std::isfinite(value) ? value : INFINITY, s_.stale = 0;
      for (const auto& [name, t] : s_.learned) s_.best_learned[name] = t.detach().clone();
    }
    s_.history.push_back({s_.step, s_.loss_count ? s_.loss_sum / static_cast<double>(s_.loss_count) : value, value});
    s_.loss_sum = 0, s_.loss_count = 0;
  }

  void Clock() {
    s_.seconds = started_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - clock_).count();
  }

  void Report() const {
    o_.progress({s_.step, o_.settings.steps, last_loss_, s_.history.empty() ? NAN : s_.history.back().validation, rate_,
                 s_.seconds});
  }

  const TrainState& State() {
    s_.generators["draws"] = draws_.get_state();
    return s_;
  }

  TrainSummary End(TrainStatus status, std::string message = "") {
    Clock();
    State();
    for (auto* values : {&s_.learned, &s_.best_learned}) for (auto& [name, t] : *values) t = t.detach();
    // The count of updates belongs to the whole run: what is evaluated later is the trained model, schedules at their
    // end.
    if (status == TrainStatus::kDone || status == TrainStatus::kEarly)
      s_.best_learned["trained"] = s_.learned.at("trained");
    return {status, std::move(message), s_};
  }

  const Problem& p_;
  const TrainOptions& o_;
  TrainState s_;
  Values initial_;
  std::vector<Task> tasks_;
  Batch validation_{}, pool_{};
  at::Generator draws_;
  std::chrono::steady_clock::time_point clock_;
  double started_ = 0, rate_ = 0, last_loss_ = 0;
};

}  // namespace

std::int64_t PrecisionOf(const compiler::Program& program) {
  const auto all = program.train.find("");
  if (all == program.train.end() || !all->second.numbers.count("precision")) return TrainSettings{}.precision;
  return static_cast<std::int64_t>(all->second.numbers.at("precision"));
}

Result<TrainSettings> SettingsOf(const compiler::Program& program, const std::map<std::string, Table>& tables) {
  TrainSettings s;
  const auto all = program.train.find("");
  if (all == program.train.end()) return s;
  const auto number = [&](const char* key, auto& value) {
    const auto it = all->second.numbers.find(key);
    if (it == all->second.numbers.end()) return false;
    value = static_cast<std::remove_reference_t<decltype(value)>>(it->second);
    return true;
  };
  number("batch", s.batch), number("clip", s.clip), number("decay", s.decay), number("seed", s.seed);
  number("precision", s.precision);
  s.split = all->second.split;
  double epochs = 0;
  if (!number("steps", s.steps) && number("epochs", epochs)) {
    std::int64_t rows = 0;
    for (const auto& [name, t] : tables) rows = std::max(rows, t.train_rows);
    if (rows == 0) return Error{"`epochs` counts rows of a table, and the problem draws from none: give `steps`"};
    s.steps = static_cast<std::int64_t>(std::ceil(epochs * static_cast<double>(rows) / static_cast<double>(s.batch)));
  }
  return s;
}

TrainSummary Train(const Problem& problem, const TrainOptions& options) {
  Trainer trainer(problem, options);
  if (trainer.nothing_learned()) return trainer.Untrained();
  if (!trainer.Prepare()) return {TrainStatus::kStopped, "stopped while labels were made", {}};
  return trainer.Run();
}

}  // namespace amo::runtime
