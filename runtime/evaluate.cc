// SPDX-License-Identifier: Apache-2.0
// Gaps, violations, times and reports on test draws.
#include "runtime/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/quantile.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "runtime/answer.h"
#include "runtime/predictor.h"

namespace amo::runtime {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

bool Reads(const compiler::Function& f, const std::string& prefix) {
  return std::any_of(f.inputs.begin(), f.inputs.end(),
                     [&](const compiler::Input& in) { return in.name.starts_with(prefix); });
}

Values Rows(const Values& values, std::int64_t from, std::int64_t count) {
  Values part;
  for (const auto& [name, t] : values) part[name] = t.narrow(0, from, count);
  return part;
}

class Evaluator {
 public:
  Evaluator(const Problem& problem, const Values& learned, const EvaluateOptions& options)
      : p_(problem), learned_(learned), o_(options) {
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(o_.seed);
    n_ = o_.instances;
    sample_ = Sample(p_, n_, o_.split ? Split::kTest : Split::kAll, g);
    sample_.merge(DrawRandoms(p_, n_, g));
    has_model_ = p_.program.model.predict.has_value();
  }

  Evaluation Run() {
    e_.instances = n_, e_.threads = at::get_num_threads(), e_.training_seconds = o_.training_seconds;
    const bool labels = std::any_of(p_.program.expects.begin(), p_.program.expects.end(),
                                    [](const compiler::Function& f) { return Reads(f, "solved/"); });
    const bool solver = (o_.solver || labels) && CanSolve(p_);
    if (has_model_) {
      TimeModel();
    }
    if (solver) Reference();
    if (has_model_) Compare(solver);
    if (o_.curves) Curves(solver);
    if (o_.starts && solver) Starts();
    Reports();
    return e_;
  }

 private:
  Values With(const Values& sample) const {
    Values all = sample;
    for (const auto& [name, t] : learned_) all[name] = t;
    return all;
  }

  void Say(const std::string& what, std::int64_t done, std::int64_t all) const {
    if (o_.progress) o_.progress(what, done, all);
  }

  // run(values, batch) on single instances and on the first `count` of `sample`, `least` times at least.
  template <class F>
  Timing TimeOf(const Values& sample, std::int64_t count, int least, const F& run) const {
    constexpr std::int64_t kSingles = 30;
    Timing timing;
    std::vector<double> singles;
    for (std::int64_t k = 0; k < kSingles + 5; ++k) {
      const Values one = With(Rows(sample, k % n_, 1));
      const auto start = Clock::now();
      run(one, std::int64_t{1});
      if (k >= 5) singles.push_back(Seconds(start));
      if (k >= 8 && singles.back() > 0.3) break;
    }
    std::sort(singles.begin(), singles.end());
    timing.batch_1 = singles[singles.size() / 2];
    const Values all = With(count == n_ ? sample : Rows(sample, 0, count));
    double best = INFINITY;
    const auto begun = Clock::now();
    for (int k = 0; k < 20 && (k < least || Seconds(begun) < 1); ++k) {
      const auto start = Clock::now();
      run(all, count);
      best = std::min(best, Seconds(start));
    }
    timing.batch_n = best / static_cast<double>(count);
    return timing;
  }

  void TimeModel() {
    e_.model = TimeOf(sample_, n_, 3, [&](const Values& v, std::int64_t batch) { RunModel(p_, v, batch); });
    answer_ = RunModel(p_, With(sample_), n_).answer;
    Values answered = sample_;
    for (const auto& [name, t] : answer_) answered[name] = t;
    const auto certificate = [&](CertificateLevel level) {
      constexpr std::int64_t kMost = 1024;
      return TimeOf(answered, std::min(n_, kMost), 1,
                    [&](const Values& v, std::int64_t batch) { Certify(p_, v, batch, level); });
    };
    Say("certifying", 0, n_);
    e_.certificate = certificate(CertificateLevel::kFull);
    e_.violations = certificate(CertificateLevel::kViolations);
    Say("certifying", n_, n_);
  }

  void Reference() {
    e_.reference = ReferenceName(p_);
    ReferenceOptions options;
    options.seed = o_.seed;
    std::vector<double> singles;
    const auto begun = Clock::now();
    for (std::int64_t k = 0; k < std::min<std::int64_t>(n_, 20) && (k < 2 || Seconds(begun) < 5); ++k) {
      const Values one = With(Rows(sample_, k, 1));
      const auto start = Clock::now();
      SolveReference(p_, one, 1, options);
      if (k > 0 || n_ == 1) singles.push_back(Seconds(start));  // the first one compiles
    }
    std::sort(singles.begin(), singles.end());
    e_.solver.batch_1 = singles[singles.size() / 2];
    options.progress = [&](std::int64_t done) { Say("solving", done, n_); };
    Say("solving", 0, n_);
    const auto start = Clock::now();
    reference_ = SolveReference(p_, With(sample_), n_, options);
    e_.solver.batch_n = Seconds(start) / static_cast<double>(n_);
    if (p_.program.objective) e_.reference_objective = reference_.objective.mean().item<double>();
    e_.reference_residual = SpreadOf(reference_.residual);
    for (SolveStatus s : reference_.status) ++e_.statuses[std::string(NameOf(s))];
    std::vector<double> iterations(reference_.iterations.begin(), reference_.iterations.end());
    e_.iterations = SpreadOf(at::tensor(iterations, at::TensorOptions(at::kDouble)));
    for (const auto& [name, t] : reference_.variables) sample_["solved/" + name] = t;
    Values all = With(sample_);
    for (const auto& [name, t] : reference_.variables) all[name] = t;
    for (const auto& [name, v] : Violations(p_, all, n_)) e_.reference_violations[name] = SpreadOf(v);
    if (e_.model.batch_n < e_.solver.batch_n && has_model_) {
      e_.break_even = o_.training_seconds / (e_.solver.batch_n - e_.model.batch_n);
    }
  }

  void Compare(bool solver) {
    Values all = With(sample_);
    for (const auto& [name, t] : answer_) all[name] = t;
    const Certificate c = Certify(p_, all, n_);
    if (c.residual) e_.model_residual = SpreadOf(*c.residual);
    if (c.objective) e_.model_objective = c.objective->mean().item<double>();
    for (const auto& [name, v] : c.violations) e_.model_violations[name] = SpreadOf(v);
    if (!solver || !c.objective) return;
    const at::Tensor gaps = (*c.objective - reference_.objective).to(at::kDouble).contiguous();
    e_.gap = SpreadOf(gaps);
    if (o_.curves) e_.gaps.assign(gaps.const_data_ptr<double>(), gaps.const_data_ptr<double>() + gaps.numel());
    const Instances instances(p_, With(sample_), n_);
    const at::Tensor start = instances.Project(at::zeros({n_, instances.size()}, at::TensorOptions(p_.dtype)));
    e_.start_gap = SpreadOf(instances.Value(start) - reference_.objective).mean;
  }

  void Curves(bool solver) {
    if (!p_.program.objective) return;
    constexpr std::int64_t kInstances = 256;
    const std::int64_t count = std::min(n_, kInstances);
    const Values some = With(Rows(sample_, 0, count));
    Say("curves", 0, 2);
    if (has_model_) e_.model_curve = ModelCurve(p_, some, count);
    Say("curves", 1, 2);
    if (!solver) return;
    e_.curve_reference = reference_.objective.narrow(0, 0, count).mean().item<double>();
    ReferenceOptions options;
    options.seed = o_.seed;
    e_.solver_curve = SolverCurve(p_, some, count, static_cast<std::int64_t>(e_.iterations.max), options);
    if (!has_model_) return;
    Values answered = some;
    for (const auto& [name, t] : answer_) answered[name] = t.narrow(0, 0, count);
    const double own = Objective(p_, answered, count).mean().item<double>();
    e_.solver_reaches = SolverReaches(p_, some, count, e_.solver_curve, own, options);
    Say("curves", 2, 2);
  }

  void Starts() {
    constexpr std::int64_t kInstances = 256, kKnown = 1024;
    Say("starts", 0, 1);
    const std::int64_t count = std::min(n_, kInstances);
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(o_.seed + 1);
    Values training = Sample(p_, kKnown, o_.split ? Split::kTrain : Split::kAll, g);
    training.merge(DrawRandoms(p_, kKnown, g));
    Values answer;
    for (const auto& [name, t] : answer_) answer[name] = t.narrow(0, 0, count);
    ReferenceOptions options;
    options.seed = o_.seed;
    e_.starts = CompareStarts(p_, With(Rows(sample_, 0, count)), count, With(training), kKnown,
                              has_model_ ? &answer : nullptr, options);
    Say("starts", 1, 1);
  }

  // Means over the test draws, in chunks: histories of long runs are large.
  void Reports() {
    const compiler::Program& program = p_.program;
    Values shared = learned_;
    constexpr std::int64_t kChunk = 250;
    std::vector<const compiler::Trace*> traces;
    for (const compiler::Trace& t : program.traces) {
      const bool used = std::any_of(program.expects.begin(), program.expects.end(),
                                    [&](const compiler::Function& f) { return f.FindInput(t.input) >= 0; });
      if (used) traces.push_back(&t);
    }
    for (std::int64_t from = 0; from < n_ && !program.expects.empty(); from += kChunk) {
      Say("reports", from, n_);
      const std::int64_t count = std::min(kChunk, n_ - from);
      Values values = With(Rows(sample_, from, count));
      if (has_model_) {
        const ModelRun run = RunModel(p_, values, count, {traces, true});
        for (const Values* more : {&run.answer, &run.traces}) for (const auto& [name, t] : *more) values[name] = t;
      }
      for (const compiler::Function& f : program.expects) {
        const at::Tensor part = EvaluateOne(p_, f, values, count).to(at::kDouble).sum(0) / static_cast<double>(n_);
        const auto it = shared.find(f.name);
        if (it == shared.end()) shared[f.name] = part;
        else it->second = it->second + part;
      }
    }
    for (const compiler::Function& f : program.expects)
      if (shared.count(f.name)) shared[f.name] = shared[f.name].to(p_.dtype);
    for (const compiler::Function& f : program.reports) {
      const at::Tensor value = EvaluateOne(p_, f, shared, 1);
      shared[f.name] =
          value.dim() > static_cast<std::int64_t>(f.type(f.outputs[0].value).shape.size()) ? value.select(0, 0) : value;
      e_.reports.emplace_back(f.name.substr(f.name.find('/') + 1), shared[f.name]);
    }
  }

  const Problem& p_;
  const Values& learned_;
  const EvaluateOptions& o_;
  std::int64_t n_ = 0;
  bool has_model_ = false;
  Values sample_, answer_;
  ReferenceSummary reference_;
  Evaluation e_;
};

}  // namespace

Spread SpreadOf(const at::Tensor& values) {
  const at::Tensor all = values.detach().to(at::kDouble).flatten();
  const at::Tensor finite = all.index_select(0, at::isfinite(all).nonzero().flatten());
  if (finite.numel() == 0) return {NAN, NAN, NAN, NAN};
  const at::Tensor q = at::quantile(finite, at::tensor({0.5, 0.95}, finite.options()));
  return {finite.mean().item<double>(), q[0].item<double>(), q[1].item<double>(), finite.max().item<double>()};
}

Evaluation Evaluate(const Problem& problem, const Values& learned, const EvaluateOptions& options) {
  const c10::NoGradGuard no_grad;
  return Evaluator(problem, learned, options).Run();
}

}  // namespace amo::runtime
