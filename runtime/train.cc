// SPDX-License-Identifier: Apache-2.0
// The training loop.
#include "runtime/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <set>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <fmt/format.h>

#include "compiler/check.h"
#include "runtime/adam_step.h"
#include "runtime/composed.h"
#include "runtime/feasibility.h"
#include "runtime/losses.h"
#include "runtime/nearest.h"
#include "runtime/predictor.h"
#include "runtime/reference.h"

namespace amo::runtime {
namespace {

bool Reads(const compiler::Function& f, const std::string& prefix) {
  return std::any_of(f.inputs.begin(), f.inputs.end(),
                     [&](const compiler::Input& in) { return in.name.starts_with(prefix); });
}

// Whether a lower value means a better model: what `stop` holds still moves with training, so that a loss with it (one
// side of a game, as in a minimax problem) may fall or rise on the way to the solution.
bool Measures(const Task& t) {
  const auto& nodes = t.loss->value.nodes;
  return std::none_of(nodes.begin(), nodes.end(),
                      [](const compiler::Node& n) { return n.op == compiler::Op::kStop; });
}

class Trainer {
 public:
  Trainer(const Problem& problem, const TrainOptions& options) : p_(problem), o_(options) {
    at::Generator start = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed);
    draws_ = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed + 1);
    initial_ = InitialLearned(p_, start);
    if (o_.resume) {
      s_ = *o_.resume;
      for (auto* values : {&s_.learned, &s_.best_learned, &s_.moments})
        for (auto& [n, t] : *values) t = t.clone(at::MemoryFormat::Contiguous);
      draws_.set_state(s_.generators.at("draws"));
    } else {
      // Copies: steps write in place.
      for (const auto& [name, t] : initial_) s_.learned[name] = t.clone(at::MemoryFormat::Contiguous);
      s_.best = INFINITY;
    }
    tasks_ = TasksOf(p_.program, s_.learned, o_.settings);
    measured_ = !HasMultipliers() && std::all_of(tasks_.begin(), tasks_.end(), Measures);
    for (const Task& t : tasks_) {
      for (const std::string& name : t.moves) {
        if (s_.moments.count("m/" + name)) continue;
        s_.moments["m/" + name] = at::zeros_like(s_.learned.at(name));
        s_.moments["v/" + name] = at::zeros_like(s_.learned.at(name));
      }
    }
  }

  // What `model nearest` remembers. False: it remembers nothing, and `why` says why.
  bool RememberSolutions(TrainSummary& why) {
    if (!p_.program.nearest || o_.resume) return true;
    constexpr std::int64_t kPiece = 128;  // between two words of progress
    at::Generator own = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed + 4);
    const Batch known = Draw(*p_.program.nearest, TrainSplit(), own);
    Values variables;
    std::vector<SolveStatus> statuses;
    if (!Solve(known, kPiece, 0, known.size, variables, statuses)) {
      why = {TrainStatus::kStopped, "stopped while labels were made", {}, {}};
      return false;
    }
    if (Remember(p_, known.values, variables, statuses, s_.learned) > 0) return true;
    why = {TrainStatus::kInfeasible, fmt::format("none of {} draws has a solution to remember", known.size), {}, {}};
    return false;
  }

  bool nothing_learned() const { return tasks_.empty(); }

  TrainSummary Untrained() {
    s_.best_learned = s_.learned;
    s_.best = NAN;
    return {TrainStatus::kNothingLearned, "nothing in the program is learned", {}, s_};
  }

  // Labels and validation draws come from generators of their own: a resumed run makes the same ones.
  // False: asked to stop meanwhile.
  bool Prepare() {
    const bool labels =
        std::any_of(tasks_.begin(), tasks_.end(), [](const Task& t) { return Reads(t.loss->value, "solved/"); });
    at::Generator held = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed + 2);
    const std::int64_t count = std::clamp<std::int64_t>(16 * o_.settings.batch, 64, 512);
    const Split split = o_.settings.split ? Split::kValidation : Split::kAll;
    validation_ = Draw(o_.validation > 0 ? o_.validation : count, split, held);
    if (!labels) return true;
    at::Generator pool = at::make_generator<at::CPUGeneratorImpl>(o_.settings.seed + 3);
    const std::int64_t seen = o_.settings.steps * o_.settings.batch;
    const std::int64_t labelled = std::max(o_.settings.batch, std::min(o_.labels, seen));
    pool_ = Draw(labelled, TrainSplit(), pool);
    return Label(pool_, 0, labelled + validation_.size) && Label(validation_, labelled, labelled + validation_.size);
  }

  TrainSummary Run() {
    clock_ = std::chrono::steady_clock::now();
    started_ = s_.seconds;
    if (!o_.resume && starved_.empty()) TakeLook();
    double saved = s_.seconds;
    for (TrainStatus end;;) {
      if (!starved_.empty()) return End(TrainStatus::kInfeasible, starved_);
      if (s_.step >= o_.settings.steps) return End(TrainStatus::kDone);
      std::string problem;
      if (!Step(problem)) return End(TrainStatus::kDiverged, problem);
      const std::int64_t every = std::max<std::int64_t>(1, o_.settings.steps / std::max<std::int64_t>(1, o_.looks));
      if (s_.step % every == 0 || s_.step == o_.settings.steps) TakeLook(), MoveMultipliers();
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

  Batch DrawAny(std::int64_t n, Split split, at::Generator& g) const {
    Batch b{Sample(p_, n, split, g), n};
    b.values.merge(DrawRandoms(p_, n, g));
    return b;
  }

  // Draws until there are n; of those that have a feasible point alone, where the file says so.
  Batch Draw(std::int64_t n, Split split, at::Generator& g) {
    if (!o_.settings.skip_infeasible) return DrawAny(n, split, g);
    constexpr int kRounds = 50;
    std::map<std::string, std::vector<at::Tensor>> parts;
    std::int64_t got = 0;
    for (int round = 0; round < kRounds && got < n; ++round) {
      const Batch b = DrawAny(n, split, g);
      Values values = initial_;
      for (const auto& [name, t] : b.values) values[name] = t;
      const Instances instances(p_, values, n);
      const at::Tensor zeros = at::zeros({n, p_.VariableSize()}, at::TensorOptions(p_.dtype));
      const Feasibility f = FeasibilityOf(instances, instances.Project(zeros));
      std::vector<std::int64_t> good;
      for (std::int64_t i = 0; i < n; ++i) if (!f.infeasible[static_cast<std::size_t>(i)]) good.push_back(i);
      const auto count = std::min<std::int64_t>(static_cast<std::int64_t>(good.size()), n - got);
      infeasible_ += n - static_cast<std::int64_t>(good.size());
      good.resize(static_cast<std::size_t>(count));
      const at::Tensor rows = at::tensor(good, at::TensorOptions(at::kLong));
      for (const auto& [name, t] : b.values) parts[name].push_back(t.index_select(0, rows));
      got += count;
    }
    if (got < n) {
      starved_ = fmt::format("{} of {} draws have a feasible point: `infeasible = skip` leaves too few", got,
                             kRounds * n);
      return DrawAny(n, split, g);
    }
    Batch b{{}, n};
    for (const auto& [name, list] : parts) b.values[name] = at::cat(list, 0);
    return b;
  }

  // Labels are those of the start: a resumed run makes the same ones. False: asked to stop before all were made.
  bool Label(Batch& b, std::int64_t before, std::int64_t all) const {
    constexpr std::int64_t kPiece = 1024;
    Values variables;
    std::vector<SolveStatus> statuses;
    if (!Solve(b, kPiece, before, all, variables, statuses)) return false;
    for (auto& [name, t] : variables) b.values["solved/" + name] = t;
    return true;
  }

  // What the reference solver gives at the start of training. Progress is told as of `all` instances, `before` of which
  // stand already. False: asked to stop before all were solved.
  bool Solve(const Batch& b, std::int64_t piece, std::int64_t before, std::int64_t all, Values& variables,
             std::vector<SolveStatus>& statuses) const {
    ReferenceOptions options;
    options.seed = o_.settings.seed;
    std::map<std::string, std::vector<at::Tensor>> parts;
    for (std::int64_t from = 0; from < b.size; from += piece) {
      if (o_.stop && o_.stop->load()) return false;
      const std::int64_t count = std::min(piece, b.size - from);
      Values values = initial_;
      for (const auto& [name, t] : b.values) values[name] = t.narrow(0, from, count);
      const ReferenceSummary solved = SolveReference(p_, values, count, options);
      for (const auto& [name, t] : solved.variables) parts[name].push_back(t);
      statuses.insert(statuses.end(), solved.status.begin(), solved.status.end());
      if (o_.labelling) o_.labelling(before + from + count, all);
    }
    for (const auto& [name, part] : parts) variables[name] = at::cat(part, 0);
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

  // A step is one gradient step for each owner, or as many, or as rarely, as its `updates` says; each round draws anew.
  bool Step(std::string& problem) {
    double total = 0;
    std::set<const Task*> counted;
    for (std::int64_t round = 0;; ++round) {
      std::vector<const Task*> now;
      for (const Task& t : tasks_) if (round < RoundsOf(t)) now.push_back(&t);
      if (now.empty()) break;
      // All gradients first: a step is one for all owners, and it writes where the losses were computed from.
      const Batch batch = Next();
      const ComposedLosses* composed = ComposedFor(now);
      Values with;
      const Values& seen = HasMultipliers() ? with = WithMultipliers(s_.learned, true) : s_.learned;
      LossGradients g = composed ? (*composed)(batch, seen, o_.penalty, draws_)
                                 : GradientsOf(p_, now, batch, seen, o_.penalty, draws_);
      for (std::size_t k = 0; k < now.size(); ++k) {
        const double value = g.values[k].training.item<double>(), slope = SquaredNorm(g.gradients[k]);
        if (!std::isfinite(value) || !std::isfinite(slope)) {
          const double bad = std::isfinite(value) ? slope : value;
          problem = fmt::format("{} is {} at step {}: a smaller rate or `clip` may help",
                                std::isfinite(value) ? "the gradient of the loss" : "the loss",
                                std::isnan(bad) ? "nan" : bad < 0 ? "-inf" : "inf", s_.step + 1);
          FindFault(*now[k]->loss, batch);
          return false;
        }
        if (counted.insert(now[k]).second) total += g.values[k].plain.item<double>();
      }
      for (std::size_t k = 0; k < now.size(); ++k) {
        rate_ = RateOf(p_, *now[k], s_.step, o_.settings.rate);
        Move(*now[k], g.gradients[k], CountOf(*now[k]) + round + 1);
      }
    }
    FollowSlowly(p_, s_.learned, false);
    ++s_.step;
    s_.learned["trained"] = at::full({}, static_cast<double>(s_.step), at::TensorOptions(p_.dtype));
    s_.loss_sum += total, ++s_.loss_count;
    last_loss_ = total;
    return true;
  }

  static double SquaredNorm(const std::vector<at::Tensor>& gradient) {
    double sum = 0;
    for (const at::Tensor& g : gradient) if (g.defined()) sum += runtime::SquaredNorm(g);
    return sum;
  }

  // The first instance of the batch that shows where its numbers went wrong.
  void FindFault(const compiler::Loss& loss, const Batch& batch) {
    constexpr std::int64_t kMostLooked = 256;  // an interpreter looks: large models take seconds for an instance
    constexpr std::chrono::seconds kLongest(5);
    const auto begun = std::chrono::steady_clock::now();
    Values values = batch.values;
    for (const auto& [name, t] : WithMultipliers(s_.learned, true)) values[name] = t;
    for (std::int64_t i = 0; i < std::min(batch.size, kMostLooked) && !fault_; ++i) {
      if (std::chrono::steady_clock::now() - begun > kLongest) return;
      fault_ = FaultOfModel(p_, values, i, &loss);
    }
  }

  // One kernel for these losses together, where there is one.
  const ComposedLosses* ComposedFor(const std::vector<const Task*>& tasks) {
    const auto [it, fresh] = composed_.try_emplace(tasks);
    std::string why;
    if (fresh) it->second = ComposedLosses::Make(p_, tasks, why);
    return it->second.get();
  }

  // The gradient steps of a task before this step, and in it.
  std::int64_t CountOf(const Task& t, std::int64_t step) const {
    return static_cast<std::int64_t>(std::floor(t.updates * static_cast<double>(step) + 1e-9));
  }
  std::int64_t CountOf(const Task& t) const { return CountOf(t, s_.step); }
  std::int64_t RoundsOf(const Task& t) const { return CountOf(t, s_.step + 1) - CountOf(t); }

  // The count-th step of Adam, with the gradient's norm bounded and decoupled decay.
  void Move(const Task& t, const std::vector<at::Tensor>& gradient, std::int64_t count) {
    AdamSettings settings{rate_, t.beta1, t.beta2, t.decay, 1, count};
    if (t.clip > 0) settings.scale = std::min(1.0, t.clip / (std::sqrt(SquaredNorm(gradient)) + 1e-12));
    for (std::size_t k = 0; k < t.moves.size(); ++k) {
      if (!gradient[k].defined()) continue;
      AdamStep(settings, gradient[k], s_.learned.at(t.moves[k]), s_.moments.at("m/" + t.moves[k]),
               s_.moments.at("v/" + t.moves[k]));
    }
  }

  bool HasMultipliers() const { return o_.settings.lagrangian && p_.program.multipliers.has_value(); }

  // What losses read, with the multipliers of constraints. Those of looks are zero, so that looks can be compared; the
  // best of them would be one that keeps to the penalty: the model is the last one.
  Values WithMultipliers(Values values, bool own) const {
    if (!HasMultipliers()) return values;
    for (const compiler::Output& o : p_.program.multipliers->outputs) {
      const auto it = s_.moments.find(o.name);
      const bool known = own && it != s_.moments.end();
      values[o.name] = known ? it->second : at::zeros(p_.program.multipliers->type(o.value).shape,
                                                      at::TensorOptions(p_.dtype));
    }
    return values;
  }

  // One step of the method of multipliers on the mean over the validation draws: what instances have in common is kept
  // without a penalty that grows.
  void MoveMultipliers() {
    if (!HasMultipliers() || !p_.program.model.predict) return;
    const c10::NoGradGuard no_grad;
    Values values = validation_.values;
    for (const auto& [name, t] : s_.learned) values[name] = t;
    for (const auto& [name, t] : RunModel(p_, values, validation_.size).answer) values[name] = t;
    const Values now = WithMultipliers({}, true);
    for (const auto& [name, none] : NoMultipliers(p_, validation_.size, o_.penalty))
      values[name] = now.count(name) ? now.at(name).expand_as(none) : none;
    for (const auto& [name, t] : Evaluate(p_, *p_.program.multipliers, values))
      s_.moments[name] = t.dim() > 1 ? t.mean(0) : t.clone();
  }

  void TakeLook() {
    const c10::NoGradGuard no_grad;
    Values learned = WithMultipliers(s_.learned, false);
    // Schedules of `trained` are judged at their end: else a look early on would be measured by another loss.
    learned["trained"] = at::full({}, static_cast<double>(o_.settings.steps), at::TensorOptions(p_.dtype));
    double value = 0;
    std::vector<const Task*> all;
    for (const Task& t : tasks_) all.push_back(&t);
    const ComposedLosses* composed = ComposedFor(all);
    for (const LossValue& l : composed ? composed->Values(validation_, learned, o_.penalty)
                                       : LossesOf(p_, all, validation_, learned, o_.penalty, nullptr))
      value += l.plain.item<double>();
    ++s_.stale;
    if (!measured_ || value < s_.best || s_.history.empty()) {
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
    return {status, std::move(message), fault_, s_, infeasible_};
  }

  const Problem& p_;
  const TrainOptions& o_;
  TrainState s_;
  Values initial_;
  std::vector<Task> tasks_;
  std::optional<NotFinite> fault_;
  std::int64_t infeasible_ = 0;
  std::string starved_;   // why there are no more draws
  bool measured_ = true;  // else the model is that of the last look, not of the best
  std::map<std::vector<const Task*>, std::unique_ptr<ComposedLosses>> composed_;
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
  s.split = all->second.split, s.lagrangian = all->second.lagrangian, s.skip_infeasible = all->second.skip_infeasible;
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
  TrainSummary why;
  if (!trainer.RememberSolutions(why)) return why;
  if (trainer.nothing_learned()) return trainer.Untrained();
  if (!trainer.Prepare()) return {TrainStatus::kStopped, "stopped while labels were made", {}, {}};
  return trainer.Run();
}

}  // namespace amo::runtime
