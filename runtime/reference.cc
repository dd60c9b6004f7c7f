// SPDX-License-Identifier: Apache-2.0
// The reference solver: a start, then methods, in chunks of instances.
#include "runtime/reference.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/check.h"
#include "compiler/classify.h"
#include "runtime/augmented_lagrangian.h"
#include "runtime/feasibility.h"
#include "runtime/quadratic.h"
#include "runtime/root.h"
#include "runtime/unbounded.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kMostDense = 500;  // variables of one instance for dense second derivatives

// The methods that run, in order: those written, else one that fits the sets.
std::vector<compiler::Refinement> MethodsOf(const Problem& problem) {
  const compiler::Program& p = problem.program;
  if (p.solve.written) return p.solve.refinements;
  if (IsQuadraticProgram(problem) || LiftedOf(problem)) return {{"qp", {}, {}}};
  if (p.equations && compiler::IsSmooth(p)) return {{"newton", {}, {}}};
  if (p.lagrangian && compiler::IsSmooth(p) && problem.VariableSize() <= kMostDense)
    return {{"interior_point", {}, {}}};
  const bool free =
      (!p.project || std::all_of(p.project->outputs.begin(), p.project->outputs.end(), [&](const compiler::Output& o) {
        const compiler::Node& n = p.project->node(o.value);
        return n.op == compiler::Op::kInput;
      })) && p.projected.empty();
  return {{!p.manifolds.empty() ? "riemannian_gradient" : free ? "lbfgs" : "projected_gradient", {}, {}}};
}

// The file's own iteration, or methods that are one: they need no objective.
bool OnlyFormulas(const Problem& problem) {
  const std::vector<compiler::Refinement>& methods = problem.program.solve.refinements;
  return !methods.empty() && std::all_of(methods.begin(), methods.end(),
                                         [](const compiler::Refinement& r) { return r.step.has_value(); });
}

// Equations as least squares, where methods need an objective.
const Problem& SolvedAs(const Problem& problem) {
  const Problem* least = OnlyFormulas(problem) ? nullptr : LeastSquaresOf(problem);
  return least ? *least : problem;
}

// A formula (the file's own iteration, a method that is one) to a tolerance on how far a step moves, or for its number
// of steps. An instance that no longer moves stays.
SolveSummary RunFormula(const Instances& instances, const at::Tensor& start, const compiler::Refinement& r,
                        const SolveOptions& o) {
  const Problem& p = instances.problem();
  const std::int64_t batch = instances.batch();
  at::Generator draws = at::make_generator<at::CPUGeneratorImpl>(o.seed);
  Values now = instances.Split(start);
  const auto together = [&] {
    Values all = instances.values();
    for (const auto& [name, t] : now) all[name] = t;
    return all;
  };
  if (r.start) {
    const Values first = Evaluate(p, *r.start, together());
    for (const compiler::Named& s : r.states) now[s.name] = AlongBatch(first.at(s.name), s.type.shape, batch);
  }
  SolveSummary summary;
  summary.y = start;
  summary.residual = at::full({batch}, INFINITY, start.options());
  summary.iterations.assign(static_cast<std::size_t>(batch), 0);
  for (std::int64_t k = 0; k < o.steps; ++k) {
    Values all = together();
    all["step"] = at::full({}, k, at::TensorOptions(at::kLong));
    for (auto& [name, t] : StepDraws(p, *r.step, batch, draws)) all[name] = t;
    const Values next = Evaluate(p, *r.step, all);
    for (const compiler::Output& out : r.step->outputs)
      now[out.name] = AlongBatch(next.at(out.name), r.step->type(out.value).shape, batch);
    ProjectVariables(p, instances.values(), batch, now);
    const at::Tensor y = instances.Join(now).contiguous();
    summary.residual = (y - summary.y).abs().amax(1);
    if (!r.again.empty())
      summary.residual = at::where(now.at(r.again) != 0, at::full_like(summary.residual, INFINITY), summary.residual);
    summary.y = y;
    const at::Tensor open = summary.residual.gt(o.tolerance).contiguous();
    const bool* is_open = open.const_data_ptr<bool>();
    for (std::size_t i = 0; i < summary.iterations.size(); ++i) summary.iterations[i] += is_open[i];
    if (!open.any().item<bool>()) break;
  }
  summary.objective = p.program.objective ? instances.Value(summary.y) : at::zeros({batch}, start.options());
  const at::Tensor solved = summary.residual.le(o.tolerance).contiguous();
  const at::Tensor finite = summary.y.isfinite().all(1).contiguous();
  const bool *is_solved = solved.const_data_ptr<bool>(), *is_finite = finite.const_data_ptr<bool>();
  for (std::int64_t i = 0; i < batch; ++i) {
    summary.status.push_back(!is_finite[i]  ? SolveStatus::kNotFinite
                             : is_solved[i] ? SolveStatus::kSolved
                                            : SolveStatus::kStepLimit);
  }
  return summary;
}

// What a method calls solved and is not: a heuristic's point of a discrete set, and one that the projection onto cones
// did not bring onto the constraints.
void Doubt(const Problem& problem, const Instances& instances, SolveSummary& done) {
  const compiler::Program& p = problem.program;
  const bool guessed = !p.discrete.empty() && !p.solve.written;
  if ((!guessed && !p.conic) || instances.batch() == 0) return;
  const at::Tensor worst = p.conic ? instances.Violation(done.y)
                                   : at::zeros({instances.batch()}, at::TensorOptions(at::kDouble));
  const at::Tensor size = 1 + done.y.abs().amax(1).to(at::kDouble);
  const at::Tensor fails = worst.gt((problem.dtype == at::kDouble ? 1e-6 : 1e-3) * size).contiguous();
  for (std::size_t i = 0; i < done.status.size(); ++i) {
    const bool doubtful = guessed || fails.const_data_ptr<bool>()[i];
    if (doubtful && done.status[i] == SolveStatus::kSolved) done.status[i] = SolveStatus::kStalled;
  }
}

// The methods, one after the other, from points in the sets. `warm`: the start is a guess.
SolveSummary RunMethods(const Instances& instances, const at::Tensor& start, const ReferenceOptions& o, bool warm) {
  const Problem& problem = instances.problem();
  SolveSummary done;
  done.y = start;
  std::vector<std::int64_t> iterations(static_cast<std::size_t>(instances.batch()), 0);
  const std::vector<compiler::Refinement> methods = MethodsOf(problem);
  for (const compiler::Refinement& r : methods) {
    const MethodRow* method = r.step ? nullptr : FindMethod(r.name);
    AMO_CHECK(method || r.step, "(%s)", r.name.c_str());
    SolveOptions options = OptionsOf(r);
    options.seed = o.seed, options.warm = warm || &r != methods.data();
    if (&r == methods.data()) options.multipliers = o.multipliers;
    if (o.tolerance > 0) options.tolerance = o.tolerance;
    if (o.steps > 0) options.steps = std::min(options.steps, o.steps);
    if (!method) done = RunFormula(instances, done.y, r, options);
    else if (problem.program.lagrangian && !method->smooth)
      done = AugmentedLagrangian(instances, done.y, *method, options);
    else done = method->run(instances, done.y, options);
    for (std::size_t i = 0; i < iterations.size(); ++i) iterations[i] += done.iterations[i];
  }
  if (methods.empty()) {  // `solve NAME = EXPR`: an answer
    const Instances::Point point = instances(done.y);
    done.objective = point.value;
    done.residual = instances.Residual(done.y, point.gradient);
    done.status.assign(static_cast<std::size_t>(instances.batch()), SolveStatus::kSolved);
  }
  done.iterations = std::move(iterations);
  Doubt(problem, instances, done);
  if (!methods.empty()) FindUnbounded(instances, start, done);
  return done;
}

at::Tensor RowsWhere(const std::vector<char>& which, bool value) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < which.size(); ++i)
    if ((which[i] != 0) == value) rows.push_back(static_cast<std::int64_t>(i));
  return at::tensor(rows, at::TensorOptions(at::kLong));
}

// Only the instances that have a point on their cones: a method would look for it at each of its steps.
SolveSummary RunFeasible(const Instances& instances, const at::Tensor& start, const ReferenceOptions& o, bool warm) {
  const Feasibility f = FeasibilityOf(instances, start);
  const at::Tensor feasible = RowsWhere(f.infeasible, false);
  if (feasible.size(0) == instances.batch()) return RunMethods(instances, f.y, o, warm);
  SolveSummary all;
  all.y = f.y, all.objective = instances.Value(f.y);
  all.residual = at::full({instances.batch()}, INFINITY, f.y.options());
  all.status.assign(f.infeasible.size(), SolveStatus::kInfeasible);
  all.iterations.assign(f.infeasible.size(), 0);
  if (feasible.size(0) == 0) return all;
  const SolveSummary some = RunMethods(instances.Select(feasible), f.y.index_select(0, feasible), o, warm);
  all.y = all.y.index_copy(0, feasible, some.y), all.objective = all.objective.index_copy(0, feasible, some.objective);
  all.residual = all.residual.index_copy(0, feasible, some.residual);
  if (some.directions.defined()) all.directions = at::zeros_like(all.y).index_copy(0, feasible, some.directions);
  for (std::int64_t k = 0; k < feasible.size(0); ++k) {
    const auto i = static_cast<std::size_t>(feasible[k].item<std::int64_t>());
    all.status[i] = some.status[static_cast<std::size_t>(k)];
    all.iterations[i] = some.iterations[static_cast<std::size_t>(k)];
  }
  return all;
}

// Instances that a method could not solve and that have no feasible point: they get one that fails by least.
void FindInfeasible(const Instances& instances, SolveSummary& done) {
  std::vector<char> open;
  for (const SolveStatus s : done.status) open.push_back(s == SolveStatus::kStalled || s == SolveStatus::kStepLimit);
  const at::Tensor rows = RowsWhere(open, true);
  if (rows.size(0) == 0) return;
  const Feasibility f = FeasibilityOf(instances.Select(rows), done.y.index_select(0, rows));
  const at::Tensor some = RowsWhere(f.infeasible, true);
  if (some.size(0) == 0) return;
  const at::Tensor which = rows.index_select(0, some);
  done.y = done.y.index_copy(0, which, f.y.index_select(0, some));
  done.objective = instances.Value(done.y);
  for (std::int64_t k = 0; k < which.size(0); ++k)
    done.status[static_cast<std::size_t>(which[k].item<std::int64_t>())] = SolveStatus::kInfeasible;
}

// Where least squares have ended beside the root.
void CheckRoots(const Problem& problem, const Instances& instances, SolveSummary& done) {
  Values all = instances.values();
  for (const auto& [name, t] : instances.Split(done.y)) all[name] = t;
  done.residual = EquationResidual(problem, all, instances.batch());
  done.objective = at::zeros_like(done.residual);
  const double tolerance = problem.dtype == at::kDouble ? 1e-6 : 1e-3;
  const at::Tensor beside = done.residual.gt(tolerance * (1 + done.y.abs().amax(1))).contiguous();
  for (std::size_t i = 0; i < done.status.size(); ++i) {
    SolveStatus& status = done.status[i];
    if (beside.const_data_ptr<bool>()[i] && status == SolveStatus::kSolved) status = SolveStatus::kStalled;
  }
}

SolveSummary SolveChunk(const Problem& given, const Values& values, std::int64_t batch, const ReferenceOptions& o,
                        const Values* start) {
  const Problem& problem = SolvedAs(given);
  const Instances instances(problem, values, batch);
  Values begin;
  if (start) {
    begin = *start;
  } else {
    AMO_CHECK(problem.program.solve.predict.has_value());
    begin = Evaluate(problem, *problem.program.solve.predict, values);
    for (const compiler::Named& v : problem.program.variables) {
      at::Tensor& t = begin.at(v.name);
      t = AlongBatch(t, v.type.shape, batch).to(problem.dtype);
    }
  }
  const at::Tensor from = instances.Project(instances.Join(begin).contiguous());
  if (problem.program.conic) return RunFeasible(instances, from, o, start && o.warm);
  SolveSummary done = RunMethods(instances, from, o, start && o.warm);
  FindInfeasible(instances, done);
  if (&problem != &given && batch > 0) CheckRoots(given, instances, done);
  return done;
}

}  // namespace

bool CanSolve(const Problem& problem) {
  const compiler::Program& p = problem.program;
  if (p.variables.empty() || !p.solve.predict) return false;
  if (p.objective || OnlyFormulas(problem)) return true;
  const Problem* least = LeastSquaresOf(problem);
  return least && (p.constraints.empty() || compiler::IsSmooth(least->program));
}

std::string ReferenceName(const Problem& given) {
  const Problem& problem = SolvedAs(given);
  std::string name;
  for (const compiler::Refinement& r : MethodsOf(problem)) name += (name.empty() ? "" : ", then ") + r.name;
  const std::vector<compiler::Refinement> methods = MethodsOf(problem);
  const MethodRow* first = methods.empty() ? nullptr : FindMethod(methods[0].name);
  const bool wrapped = first && !first->smooth;
  if (wrapped && problem.program.lagrangian) name = "augmented lagrangian with " + name;
  return name.empty() ? "the file's own answer" : name;
}

ReferenceSummary SolveReference(const Problem& problem, const Values& values, std::int64_t batch,
                                const ReferenceOptions& options, const Values* start) {
  const c10::NoGradGuard no_grad;
  ReferenceSummary all;
  std::vector<at::Tensor> y, objective, residual, multipliers, certificates, directions;
  const Instances whole(problem, values, batch);
  for (std::int64_t from = 0; from < batch || from == 0; from += options.chunk) {
    const std::int64_t count = std::min(options.chunk, batch - from);
    const at::Tensor rows = at::arange(from, from + count, at::TensorOptions(at::kLong));
    const Instances chunk = count == batch ? whole : whole.Select(rows);
    Values part;
    if (start) for (const auto& [name, t] : *start) part[name] = t.narrow(0, from, count);
    ReferenceOptions mine = options;
    if (options.multipliers.defined()) mine.multipliers = options.multipliers.narrow(0, from, count);
    SolveSummary s = SolveChunk(problem, chunk.values(), count, mine, start ? &part : nullptr);
    y.push_back(s.y), objective.push_back(s.objective), residual.push_back(s.residual);
    all.status.insert(all.status.end(), s.status.begin(), s.status.end());
    all.iterations.insert(all.iterations.end(), s.iterations.begin(), s.iterations.end());
    for (const auto& [from_chunk, list] : {std::pair{&s.multipliers, &multipliers},
                                           std::pair{&s.certificates, &certificates},
                                           std::pair{&s.directions, &directions}}) {
      if (from_chunk->defined()) list->push_back(*from_chunk);
    }
    if (options.progress) options.progress(from + count);
    if (batch == 0) break;
  }
  all.variables = whole.Split(at::cat(y, 0));
  if (!multipliers.empty()) all.multipliers = at::cat(multipliers, 0);
  if (!certificates.empty()) all.certificates = at::cat(certificates, 0);
  if (!directions.empty()) all.directions = at::cat(directions, 0);
  all.objective = at::cat(objective, 0), all.residual = at::cat(residual, 0);
  return all;
}

}  // namespace amo::runtime
