// SPDX-License-Identifier: Apache-2.0
// Stages of a model, one step at a time.
#include "runtime/predictor.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "compiler/check.h"
#include "runtime/correct.h"
#include "runtime/solver.h"

namespace amo::runtime {
namespace {

using compiler::Refinement;

// What is chosen where a refinement does not say its number of steps.
constexpr std::int64_t kSteps = 10;

std::int64_t StepsOf(const Refinement& r) {
  const auto it = r.settings.find("steps");
  return it == r.settings.end() ? kSteps : static_cast<std::int64_t>(it->second);
}

// A model takes its steps: no tolerance ends them unless the file gives one.
SolveOptions OptionsOfStage(const Refinement& r) {
  SolveOptions defaults;
  defaults.tolerance = 0;
  return OptionsOf(r, defaults);
}

class Stepper {
 public:
  Stepper(const Problem& problem, const Values& values, std::int64_t batch)
      : p_(problem), values_(values), batch_(batch) {
    AMO_CHECK(p_.program.model.predict.has_value());
    now_ = Evaluate(p_, *p_.program.model.predict, values_);
    for (const compiler::Named& v : p_.program.variables)
      now_[v.name] = AlongBatch(now_.at(v.name), v.type.shape, batch_);
    bare_ = now_;
    ProjectVariables(p_, values_, batch_, now_);
    if (p_.program.corrected) CorrectVariables();
    StartStates(p_, values_, batch_, now_);
    Enter(0);
  }

  const Values& now() const { return now_; }
  const Values& bare() const { return bare_; }

  void Step() {
    const std::vector<Refinement>& list = p_.program.model.refinements;
    AMO_CHECK(!list.empty());
    while (inside_ >= StepsOf(list[stage_]) && stage_ + 1 < list.size()) Enter(stage_ + 1);
    const Refinement& r = list[stage_];
    ++inside_;
    if (r.name == "iterate") return Iterate(r);
    if (r.name == "gradient") return Gradient(r);
    // A method of its own: its first `inside_` steps from where it began.
    const MethodRow* method = FindMethod(r.name);
    AMO_CHECK(method != nullptr, "(%s)", r.name.c_str());
    const c10::NoGradGuard no_grad;
    const Instances instances(p_, values_, batch_);
    SolveOptions options = OptionsOfStage(r);
    options.steps = inside_;
    const SolveSummary done = method->run(instances, instances.Join(entered_), options);
    for (auto& [name, t] : instances.Split(done.y)) now_[name] = t;
  }

  // Several steps at once where nobody looks in between: methods need not run again for each.
  void Step(std::int64_t count) {
    const std::vector<Refinement>& list = p_.program.model.refinements;
    while (count > 0) {
      while (inside_ >= StepsOf(list[stage_]) && stage_ + 1 < list.size()) Enter(stage_ + 1);
      const bool last = stage_ + 1 == list.size();
      const std::int64_t here = last ? count : std::min(count, StepsOf(list[stage_]) - inside_);
      if (FindMethod(list[stage_].name) && list[stage_].name != "gradient") {
        inside_ += here - 1;
        Step();
      } else {
        for (std::int64_t k = 0; k < here; ++k) Step();
      }
      count -= here;
    }
  }

 private:
  void CorrectVariables() {
    const Instances instances(p_, values_, batch_);
    for (auto& [name, t] : instances.Split(Correct(p_, values_, instances.Join(now_)))) now_[name] = t;
  }

  void Enter(std::size_t stage) { stage_ = stage, inside_ = 0, entered_ = now_; }

  Values All() const {
    Values all = values_;
    for (const auto& [name, t] : now_) all[name] = t;
    return all;
  }

  void Iterate(const Refinement& r) {
    const Values before = now_;
    StepUpdate(p_, values_, batch_, now_);
    const double tolerance = OptionsOfStage(r).tolerance;
    if (tolerance <= 0) return;
    for (auto& [name, value] : now_) {  // an instance that no longer moves stays
      const at::Tensor& old = before.at(name);
      const at::Tensor still = (value - old).detach().flatten(1).abs().amax(1).le(tolerance);
      std::vector<std::int64_t> sizes(static_cast<std::size_t>(value.dim()), 1);
      sizes[0] = batch_;
      value = at::where(still.view(sizes), old, value);
    }
  }

  void Gradient(const Refinement& r) {
    const double rate = OptionsOfStage(r).rate;
    const bool record = at::GradMode::is_enabled() &&
                        std::any_of(now_.begin(), now_.end(), [](const auto& v) { return v.second.requires_grad(); });
    if (!record) {
      const Instances instances(p_, values_, batch_);
      const at::Tensor y = instances.Join(now_);
      for (auto& [name, t] : instances.Split(instances.Project(y - rate * instances(y).gradient))) now_[name] = t;
      return;
    }
    std::vector<at::Tensor> variables;
    for (const compiler::Named& v : p_.program.variables) variables.push_back(now_.at(v.name));
    const at::Tensor total = Objective(p_, All(), batch_).sum();
    const auto gradient = torch::autograd::grad({total}, variables, {}, true, true, true);
    for (std::size_t k = 0; k < variables.size(); ++k) {
      if (gradient[k].defined()) now_[p_.program.variables[k].name] = variables[k] - rate * gradient[k];
    }
    ProjectVariables(p_, values_, batch_, now_);
  }

  const Problem& p_;
  const Values& values_;
  std::int64_t batch_;
  Values now_, bare_, entered_;  // the variables and states now, of the bare prediction, where the stage began
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
  Stepper stepper(problem, values, batch);
  ModelRun run{stepper.bare(), stepper.now(), {}, {}};
  std::map<std::string, std::vector<at::Tensor>> histories;
  const std::int64_t own = ModelSteps(problem);
  std::int64_t last = options.answer ? own : 0;
  for (const compiler::Trace* t : options.traces) last = std::max(last, t->first + t->count - 1);
  // The next step that somebody looks at.
  const auto next_stop = [&](std::int64_t step) {
    std::int64_t next = last;
    if (options.answer && own > step) next = std::min(next, own);
    for (const compiler::Trace* t : options.traces) {
      if (t->first > step) next = std::min(next, t->first);
      else if (step + 1 < t->first + t->count) next = std::min(next, step + 1);
    }
    return next;
  };
  for (std::int64_t step = 0;;) {
    if (options.answer && step == own) run.answer = stepper.now();
    Values all;
    for (const compiler::Trace* t : options.traces) {
      if (step < t->first || step >= t->first + t->count) continue;
      if (all.empty()) {
        all = values;
        for (const auto& [name, value] : stepper.now()) all[name] = value;
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
