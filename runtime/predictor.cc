// SPDX-License-Identifier: Apache-2.0
// Stages of a model, one step at a time.
#include "runtime/predictor.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>

#include "compiler/check.h"
#include "compiler/compose.h"
#include "runtime/correct.h"
#include "runtime/function_kernels.h"
#include "runtime/implicit.h"
#include "runtime/solver.h"

namespace amo::runtime {
namespace {

using compiler::Passage;
using compiler::Refinement;
using compiler::StepsOf;

// A model takes its steps: no tolerance ends them unless the file gives one.
SolveOptions OptionsOfStage(const Refinement& r) {
  SolveOptions defaults;
  defaults.tolerance = 0;
  return OptionsOf(r, defaults);
}

class Stepper {
 public:
  Stepper(const Problem& problem, const Values& values, std::int64_t batch, at::Generator& draws)
      : p_(problem), stages_(p_.program.model), values_(values), batch_(batch), draws_(draws) {
    AMO_CHECK(stages_.predict.has_value());
    if (stages_.latent_start) {
      const Values start = Evaluate(p_, *stages_.latent_start, values_);
      for (const compiler::Named& z : stages_.latents)
        now_[z.name] = AlongBatch(start.at(z.name), z.type.shape, batch_);
    }
    Predict(now_);
    bare_ = now_;
    Keep(now_);
    if (stages_.refinements.empty()) StartStates(p_, values_, batch_, now_);
    else Enter(0);
  }

  // The variables and states as losses and reports see them: with the derivatives that the stage lets through.
  Values Seen() const {
    if (stages_.refinements.empty()) return now_;
    const Refinement& r = stages_.refinements[stage_];
    Values seen = now_;
    if (!IsDetached(r)) return seen;
    if (inside_ == 0) {  // nothing has been done yet: what came in, with the states of this stage
      for (const auto& [name, t] : entered_) seen[name] = t;
      return seen;
    }
    if (r.passage == Passage::kStraightThrough) {
      for (auto& [name, t] : seen)
        if (entered_.count(name)) t = entered_.at(name) + (t - entered_.at(name)).detach();
    }
    if (r.passage == Passage::kImplicit) Attach(r, seen);
    if (r.passage == Passage::kPerturbed) Perturb(r, seen);
    return seen;
  }
  // What the model answers: where the file's own steps went off the constraints, the nearest point that keeps them.
  Values Answer(Values seen) const {
    if (inside_ > 0 && Wanders(stages_.refinements[stage_])) Keep(seen);
    return seen;
  }
  const Values& bare() const { return bare_; }

  // Several steps at once where nobody looks in between: methods need not run again for each.
  void Step(std::int64_t count) {
    const std::vector<Refinement>& list = stages_.refinements;
    AMO_CHECK(count == 0 || !list.empty());
    while (count > 0) {
      while (inside_ >= StepsOf(list[stage_]) && stage_ + 1 < list.size()) Enter(stage_ + 1);
      const bool last = stage_ + 1 == list.size();
      const std::int64_t here = last ? count : std::min(count, StepsOf(list[stage_]) - inside_);
      if (list[stage_].step) for (std::int64_t k = 0; k < here; ++k) StepFormula(list[stage_]);
      else RunMethod(list[stage_], here);
      count -= here;
    }
  }

 private:
  static bool IsDetached(const Refinement& r) {
    switch (r.passage) {
      case Passage::kImplicit:
      case Passage::kPerturbed:
      case Passage::kStraightThrough:
      case Passage::kNone: return true;
      case Passage::kUnroll:
      case Passage::kTruncated:
      case Passage::kFirstOrder: return false;
    }
    return false;
  }

  bool HasLatents() const { return !stages_.latents.empty(); }

  // The file's own iteration is run as written beside constraints that need a projection onto all rows at once: an
  // algorithm's iterates may fail them (ADMM's do). Its answer is projected.
  bool Wanders(const Refinement& r) const {
    return r.name == "iterate" && !HasLatents() && !p_.program.projected.empty();
  }

  // The variables that the model predicts, from the latents where it searches over those.
  void Predict(Values& now) const {
    const Values y = Evaluate(p_, *stages_.predict, HasLatents() ? All(now) : values_);
    for (const compiler::Named& v : p_.program.variables)
      now[v.name] = AlongBatch(y.at(v.name), v.type.shape, batch_);
  }

  void Keep(Values& now) const {
    ProjectVariables(p_, values_, batch_, now);
    if (!p_.program.corrected) return;
    const Instances instances(p_, values_, batch_);
    for (auto& [name, t] : instances.Split(Correct(p_, values_, instances.Join(now)))) now[name] = t;
  }

  Values All(const Values& now) const {
    Values all = values_;
    for (const auto& [name, t] : now) all[name] = t;
    return all;
  }

  void Enter(std::size_t stage) {
    now_ = Answer(Seen());
    stage_ = stage, inside_ = 0;
    const Refinement& r = stages_.refinements[stage];
    entered_ = now_;
    if (IsDetached(r)) for (auto& [name, t] : now_) t = t.detach();
    const at::AutoGradMode record(at::GradMode::is_enabled() && !IsDetached(r));
    if (r.start) {
      const Values start = Evaluate(p_, *r.start, All(now_));
      for (const compiler::Named& s : r.states) now_[s.name] = AlongBatch(start.at(s.name), s.type.shape, batch_);
    }
    Fix(r);
  }

  // What no step of the stage changes is computed once.
  void Fix(const Refinement& r) {
    fixed_.clear(), hoisted_ = nullptr;
    if (!r.step || !p_.kernels || StepsOf(r) < 2) return;
    std::set<std::string> moving{"step"};
    for (const compiler::Input& in : r.step->inputs)
      if (now_.count(in.name) || IsStepDraw(p_, in.name)) moving.insert(in.name);
    hoisted_ = p_.kernels->FindHoisted(*r.step, moving);
    if (!hoisted_) return;
    for (const compiler::Function& before : hoisted_->before)
      for (auto& [name, t] : Evaluate(p_, before, All(now_))) fixed_[name] = t;
  }

  // One step of a formula: its draws are new, the projection onto all rows comes after it.
  void StepFormula(const Refinement& r) {
    const std::int64_t all = StepsOf(r);
    const bool early = r.passage == Passage::kTruncated && inside_ < all - r.through;
    const at::AutoGradMode record(at::GradMode::is_enabled() && !IsDetached(r) && !early);
    const Values before = now_;
    Values all_now = StepValues(r, All(now_));
    for (const auto& [name, t] : fixed_) all_now[name] = t;
    Values next = Evaluate(p_, hoisted_ ? hoisted_->rest : *r.step, all_now);
    for (const compiler::Output& o : r.step->outputs)
      now_[o.name] = AlongBatch(next.at(o.name), r.step->type(o.value).shape, batch_);
    if (early) for (auto& [name, t] : now_) t = t.detach();
    if (HasLatents()) {
      Predict(now_);
      Keep(now_);
    } else if (!Wanders(r) && (r.name == "iterate" || !p_.program.projected.empty())) {
      ProjectVariables(p_, values_, batch_, now_);
    }
    if (r.name == "iterate") Settle(OptionsOfStage(r).tolerance, before);
    ++inside_;
  }

  Values StepValues(const Refinement& r, Values all) const {
    all["step"] = at::full({}, inside_, at::TensorOptions(at::kLong));
    if (!r.step) return all;  // a method of the runtime draws nothing here
    for (auto& [name, t] : StepDraws(p_, *r.step, batch_, draws_)) all[name] = t;
    return all;
  }

  // An instance that no longer moves stays.
  void Settle(double tolerance, const Values& before) {
    if (tolerance <= 0) return;
    for (auto& [name, value] : now_) {
      const at::Tensor& old = before.at(name);
      const at::Tensor still = (value - old).detach().flatten(1).abs().amax(1).le(tolerance);
      std::vector<std::int64_t> sizes(static_cast<std::size_t>(value.dim()), 1);
      sizes[0] = batch_;
      value = at::where(still.view(sizes), old, value);
    }
  }

  // A method of the runtime: its first steps from where it began, all again.
  void RunMethod(const Refinement& r, std::int64_t steps) {
    const MethodRow* method = FindMethod(r.name);
    AMO_CHECK(method != nullptr, "(%s)", r.name.c_str());
    const c10::NoGradGuard no_grad;
    inside_ += steps;
    const Instances instances(p_, values_, batch_);
    SolveOptions options = OptionsOfStage(r);
    options.steps = inside_;
    const SolveSummary done = method->run(instances, instances.Join(entered_), options);
    for (auto& [name, t] : instances.Split(done.y)) now_[name] = t;
  }

  const std::vector<compiler::Named>& Moved() const { return HasLatents() ? stages_.latents : p_.program.variables; }

  // What is moved, as one vector an instance, and back.
  at::Tensor Join(const Values& v) const {
    std::vector<at::Tensor> parts;
    for (const compiler::Named& n : Moved())
      parts.push_back(v.at(n.name).reshape({batch_, compiler::Count(n.type.shape)}));
    return at::cat(parts, 1);
  }

  void Split(const at::Tensor& y, Values& into) const {
    std::int64_t from = 0;
    for (const compiler::Named& n : Moved()) {
      const std::int64_t count = compiler::Count(n.type.shape);
      std::vector<std::int64_t> sizes = n.type.shape;
      sizes.insert(sizes.begin(), batch_);
      into[n.name] = y.narrow(1, from, count).reshape(sizes);
      from += count;
    }
  }

  // The stage's steps so far again, from another start; nothing is recorded.
  at::Tensor Again(const Refinement& r, const at::Tensor& start) const {
    const c10::NoGradGuard no_grad;
    const std::int64_t steps = inside_;
    Stepper other = *this;
    Values begin;
    Split(start, begin);
    for (auto& [name, t] : begin) other.now_[name] = t;
    if (HasLatents()) other.Predict(other.now_);
    other.Keep(other.now_);
    other.inside_ = 0, other.entered_ = other.now_;
    if (r.start) {
      const Values states = Evaluate(p_, *r.start, All(other.now_));
      for (const compiler::Named& s : r.states)
        other.now_[s.name] = AlongBatch(states.at(s.name), s.type.shape, batch_);
    }
    other.Fix(r);
    if (r.step) for (std::int64_t k = 0; k < steps; ++k) other.StepFormula(r);
    else other.RunMethod(r, steps);
    return Join(other.now_);
  }

  // The answer with the derivative, by the stage's start, of its mean over starts beside that one.
  void Perturb(const Refinement& r, Values& seen) const {
    if (!at::GradMode::is_enabled()) return;
    const at::Tensor start = Join(entered_), here = Join(now_).detach();
    if (!start.requires_grad()) return;
    const at::Tensor fixed = start.detach();
    at::Tensor answer = here;
    for (std::int64_t k = 0; k < r.samples; ++k) {
      const at::Tensor z = at::randn(fixed.sizes(), draws_, fixed.options());
      const at::Tensor moved = Again(r, fixed + r.sigma * z) - here;
      const double weight = 1 / (r.sigma * static_cast<double>(r.samples));
      answer = answer + moved * (z * (start - fixed)).sum(1, true) * weight;
    }
    Split(answer, seen);
    if (!HasLatents()) return;
    Predict(seen);
    Keep(seen);
  }

  // The answer with the derivative of the fixed point that the stage has come to.
  void Attach(const Refinement& r, Values& seen) const {
    if (!r.map || !at::GradMode::is_enabled()) return;
    const Values base = StepValues(r, All(now_));
    const auto map = [&](const at::Tensor& y) {
      Values all = base;
      Split(y, all);
      Values next = Evaluate(p_, *r.map, all);
      for (const compiler::Named& n : Moved()) next[n.name] = AlongBatch(next.at(n.name), n.type.shape, batch_);
      if (!HasLatents() && !Wanders(r)) ProjectVariables(p_, values_, batch_, next);
      return Join(next);
    };
    ImplicitOptions options;
    options.solver = r.inner, options.steps = r.through, options.tolerance = r.inner_tolerance;
    Split(AtFixedPoint(map, Join(now_), options), seen);
    if (!HasLatents()) return;
    Predict(seen);
    Keep(seen);
  }

  const Problem& p_;
  const compiler::Stages& stages_;
  const Values& values_;
  std::int64_t batch_;
  at::Generator& draws_;
  Values now_, bare_, entered_;  // what is moved, variables and states: now, as predicted, where the stage began
  const compiler::Hoisted* hoisted_ = nullptr;  // the step of this stage, where part of it is fixed
  Values fixed_;
  std::size_t stage_ = 0;
  std::int64_t inside_ = 0;      // steps taken in this stage
};

}  // namespace

std::int64_t ModelSteps(const Problem& problem) {
  std::int64_t steps = 0;
  for (const Refinement& r : problem.program.model.refinements) steps += StepsOf(r);
  return steps;
}

ModelRun RunModel(const Problem& problem, const Values& values, std::int64_t batch, const RunOptions& options) {
  at::Generator own = at::make_generator<at::CPUGeneratorImpl>(kDeployedSeed);
  Stepper stepper(problem, values, batch, options.draws ? *options.draws : own);
  ModelRun run{stepper.bare(), stepper.Seen(), {}, {}};
  std::map<std::string, std::vector<at::Tensor>> histories;
  const std::int64_t planned = ModelSteps(problem);
  std::int64_t last = options.answer ? planned : 0;
  for (const compiler::Trace* t : options.traces) last = std::max(last, t->first + t->count - 1);
  // The next step that somebody looks at.
  const auto next_stop = [&](std::int64_t step) {
    std::int64_t next = last;
    if (options.answer && planned > step) next = std::min(next, planned);
    for (const compiler::Trace* t : options.traces) {
      if (t->first > step) next = std::min(next, t->first);
      else if (step + 1 < t->first + t->count) next = std::min(next, step + 1);
    }
    return next;
  };
  for (std::int64_t step = 0;;) {
    const bool looks = std::any_of(options.traces.begin(), options.traces.end(), [&](const compiler::Trace* t) {
      return step >= t->first && step < t->first + t->count;
    });
    const bool ends = options.answer && step == planned;
    const Values seen = looks || ends ? stepper.Seen() : Values{};
    if (ends) run.answer = stepper.Answer(seen);
    Values all;
    for (const compiler::Trace* t : options.traces) {
      if (step < t->first || step >= t->first + t->count) continue;
      if (all.empty()) {
        all = values;
        for (const auto& [name, value] : seen) all[name] = value;
        all["step"] = at::full({}, step, at::TensorOptions(at::kLong));
      }
      const at::Tensor value = EvaluateOne(problem, t->value, all, batch);
      if (t->axis) histories[t->input].push_back(value);
      else run.traces[t->input] = value;
    }
    if (step >= last) break;
    const std::int64_t next = next_stop(step);
    stepper.Step(next - step);
    step = next;
  }
  for (auto& [name, history] : histories) run.traces[name] = at::stack(history, 1);
  return run;
}

}  // namespace amo::runtime
