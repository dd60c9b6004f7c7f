// SPDX-License-Identifier: Apache-2.0
// Losses and reports: expressions of what a run gives. Each result of a run (an answer, a value after t steps, a mean
// over the test split) is an input; the runtime runs first and evaluates then.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/extract.h"

namespace amo::compiler {
namespace {

// A loss that reads the answer, or a late step, is trained through all refinements up to there; methods that choose
// their steps by comparing values have no derivative here.
void RefuseUntrainable(Parts& parts, const Loss& l) {
  const Program& program = parts.program;
  const auto reads = [&](const std::string& name) { return l.value.FindInput(name) >= 0; };
  bool late =
      std::any_of(program.variables.begin(), program.variables.end(), [&](const Named& v) { return reads(v.name); });
  for (const Trace& t : program.traces) late = late || (reads(t.input) && t.first + t.count > 1);
  if (!late) return;
  for (const Refinement& r : program.model.refinements) {
    const bool apart = r.passage == Passage::kNone || r.passage == Passage::kStraightThrough ||
                       r.passage == Passage::kPerturbed;
    if (r.step || r.map || apart) continue;
    parts.diagnostics
        .Error(lang::Code::kUnsupported, l.span,
               fmt::format("a loss on the answer of `{}` cannot be compiled yet: it has no derivative", r.name))
        .Help("train what `" + r.name + "` starts from: `loss model: objective(step = 0)`");
    return;
  }
}

// What stands after `by`. False: reported.
bool ReadEstimator(Parts& parts, const lang::Expr& e, Loss& out) {
  const auto* call = std::get_if<lang::Call>(&e.node);
  const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &e.node);
  const std::string name = word ? word->name.text : "";
  return parts.Make("estimator", {}, [&](Scope& s) {
    if (name == "smoothing") out.by = Estimator::kSmoothing;
    else if (name == "evolution") out.by = Estimator::kEvolution;
    else if (name == "score") out.by = Estimator::kScore;
    else if (name != "backprop") s.Unsupported(e.span, fmt::format("`by {}`", name));
    static const std::vector<lang::Argument> kNone;
    std::size_t place = 0;
    for (const lang::Argument& a : call ? call->args : kNone) {
      const bool first = place == 0 && out.by != Estimator::kScore;
      const std::string key = a.keyword ? a.keyword->text : first ? "sigma" : "samples";
      place += !a.keyword;
      const double n = s.Constant(*a.value, fmt::format("the setting `{}`", key));
      const auto refuse = [&](const char* what) {
        s.Refuse(lang::Code::kDomain, a.value->span, fmt::format("`{}` is {}, not {}", key, n, what));
      };
      if (key == "sigma" && !(n > 0)) refuse("above 0");
      if (key == "samples" && (n < 2 || std::fmod(n, 2) != 0)) refuse("an even number, at least 2");
      if (key == "sigma") out.sigma = n;
      else out.samples = static_cast<std::int64_t>(n);
    }
    if (out.by != Estimator::kSmoothing && out.by != Estimator::kScore) return true;
    for (const Trace& t : parts.program.traces) {
      if (out.value.FindInput(t.input) >= 0)
        s.Refuse(lang::Code::kUnsupported, out.span,
                 fmt::format("`by {}` moves the answer, and this loss reads steps", name),
                 "`by evolution` moves what is learned instead");
    }
    if (out.by == Estimator::kScore && !parts.program.model.refinements.empty())
      s.Refuse(lang::Code::kUnsupported, out.span, "`by score` draws predictions, and this model refines them",
               "`by evolution` moves what is learned instead");
    return true;
  }).has_value();
}

}  // namespace

Term Scope::InputOnce(const std::string& name, Role role, compiler::Type type) {
  const int k = b.function().FindInput(name);
  return Of(k >= 0 ? b.function().inputs[static_cast<std::size_t>(k)].value : b.Input(name, role, std::move(type)));
}

Term Scope::Solved(const std::string& name, lang::Span at) {
  const auto v = std::find_if(program.variables.begin(), program.variables.end(),
                              [&](const compiler::Named& n) { return n.name == name; });
  if (v == program.variables.end())
    Refuse(lang::Code::kTypeMismatch, at, fmt::format("`solved` takes a variable, `{}` is none", name));
  return InputOnce("solved/" + name, Role::kInstance, v->type);
}

Term Scope::Violation(const std::string& name, lang::Span at) {
  Term total;
  for (const lang::Constraint* c : problem.constraints) {
    if (!name.empty() && c->name.text != name) continue;
    const Term norm = Norm(Amounts(*c), at);
    total = total.value.index < 0 ? norm : Add(total, norm);
  }
  if (total.value.index < 0) Refuse(lang::Code::kUnknownName, at, fmt::format("there is no constraint `{}`", name));
  return total;
}

Term Scope::EquationSides() {
  std::vector<Term> parts;
  for (const lang::FindDecl* f : problem.finds) {
    const auto* sides = std::get_if<lang::Compare>(&f->relation.value->node);
    if (!sides || sides->rest.size() != 1 || sides->rest[0].first != lang::CompareOp::kEq)
      Unsupported(f->relation.value->span, "`find` of anything but one equation");
    parts.push_back(Flat(Sub(Real(Eval(*sides->first)), Real(Eval(*sides->rest[0].second)))));
  }
  return Concat(std::move(parts), 0, {});
}

// The norm of the two sides of `find`, or of how far a projected step of the gradient moves.
Term Scope::Residual(lang::Span at) {
  if (!results && !in_step && problem.finds.empty()) Unsupported(at, "`residual` here");
  std::vector<Term> parts;
  if (!problem.finds.empty()) {
    parts.push_back(EquationSides());
  } else {
    std::vector<Term> y;
    for (const compiler::Named& v : program.variables) y.push_back(EvalNamed(v.name, at));
    for (std::size_t k = 0; k < y.size(); ++k) {
      Term leaf = y[k];
      leaf.value = b.Placeholder(b.type(y[k].value));
      World world{worlds.back().replaced, {}, worlds.back().networks};
      world.replaced[program.variables[k].name] = leaf;
      worlds.push_back(std::move(world));
      const Value f = Objective(at).value;
      worlds.pop_back();
      const Term slope = Of(GradientAt(b, f, {leaf.value}, {y[k].value}, 1)[1]);
      Term moved = Sub(y[k], slope);
      const auto* v = std::get_if<lang::ValueDecl>(&problem.names.at(program.variables[k].name)->node);
      if (v->set) moved = Project(*v->set, moved);
      parts.push_back(Flat(Sub(y[k], moved)));
    }
  }
  return Norm(Concat(std::move(parts), 0, at), at);
}

Term Scope::Regression(lang::Span at) {
  Term total = Number(0);
  for (const compiler::Named& v : program.variables) {
    Term d = Sub(EvalNamed(v.name, at), Solved(v.name, at));
    total = Add(total, ReduceAll(Op::kReduceSum, Mul(d, d)));
  }
  return total;
}

// NAME(step = t): t a number, or the index of an open binder, plus a number.
Term Scope::Traced(const std::string& name, const lang::Expr& step) {
  if (at_start) {  // a state's start sees the prediction
    if (TryConstant(step) != 0.0)
      Refuse(lang::Code::kBindingTime, step.span, "a state's start knows `step = 0` only");
    return EvalNamed(name, step.span);
  }
  if (!results) Refuse(lang::Code::kBindingTime, step.span, "`step =` is known to losses and reports only");
  const Term t = Eval(step);
  Trace trace;
  const auto number = TryConstant(step);
  if (t.index_axis >= 0) {
    trace.axis = true;
    trace.first = t.index_offset;
    trace.count = Extent(t.index_axis);
  } else if (number && *number == std::floor(*number)) {
    trace.first = static_cast<std::int64_t>(*number);
  } else {
    Unsupported(step.span, "a step that is neither a number nor an index");
  }
  if (trace.first + trace.count > 1 && program.model.refinements.empty()) {
    Refuse(lang::Code::kMissingPart, step.span,
           fmt::format("there is no step {}: the model has no refinement", trace.first + trace.count - 1),
           "write `model … then iterate(steps = 0)`, or another refinement");
  }
  if (trace.first < 0)
    Refuse(lang::Code::kDomain, step.span, fmt::format("the step {} lies before the prediction, step 0", trace.first));
  Builder builder(fmt::format("trace/{}", program.traces.size()));
  Scope inner(builder, problem, tables, program, inputs_, diagnostics);
  inner.plan = plan;
  inner.in_step = true;
  const Term value = inner.EvalNamed(name, step.span);
  builder.Output("value", value.value);
  trace.value = Simplify(builder.Finish());
  const std::vector<Refinement>& stages = program.model.refinements;
  const bool carried = stages.empty() || std::any_of(stages.begin(), stages.end(),
                                                     [](const Refinement& r) { return r.name == "iterate"; });
  for (const compiler::Named& state : program.states) {
    if (!carried && trace.value.FindInput(state.name) >= 0)
      Refuse(lang::Code::kMissingPart, step.span,
             fmt::format("`{}` reads the state `{}`, which this model does not carry", name, state.name),
             "`then iterate(…)` follows the updates and their states");
  }
  const compiler::Type own = trace.value.type(trace.value.outputs[0].value);
  trace.input = trace.value.name;
  for (const Trace& known : program.traces) {  // one input for what is read twice
    if (known.first == trace.first && known.count == trace.count && known.axis == trace.axis &&
        traced_names_[known.input] == name) {
      trace.input = known.input;
    }
  }
  compiler::Type type = own;
  if (trace.axis) type.shape.insert(type.shape.begin(), trace.count);
  const std::string input = trace.input;
  if (input == trace.value.name) {
    program.traces.push_back(std::move(trace));
    traced_names_[input] = name;
  }
  Term result = InputOnce(input, Role::kInstance, type);
  if (t.index_axis >= 0) result.axes = {t.index_axis};
  return result;
}

Term Scope::Expect(const lang::Expr& e) {
  Builder builder(fmt::format("expect/{}", program.expects.size()));
  Scope inner(builder, problem, tables, program, kSeen, diagnostics);
  inner.plan = plan;
  inner.results = true;
  const Term value = inner.Real(inner.Eval(e));
  builder.Output("value", value.value);
  const Shape own = builder.shape(value.value);
  program.expects.push_back(Simplify(builder.Finish()));
  return InputOnce(program.expects.back().name, Role::kShared, {Elem::kReal, own});
}

void BuildLosses(Parts& parts) {
  Program& program = parts.program;
  const lang::Problem& problem = parts.problem;
  for (std::size_t k = 0; k < problem.losses.size(); ++k) {
    const lang::LossDecl& loss = *problem.losses[k];
    if (!loss.value) continue;
    bool scored = false;
    auto f = parts.Make(fmt::format("loss/{}", k), kSeen, [&](Scope& s) {
      std::vector<Term> logs;
      s.results = true, s.log_probabilities = &logs;
      const Term value = s.Real(s.Eval(*loss.value));
      if (!s.Own(value).empty())
        s.Refuse(lang::Code::kNotScalar, loss.value->span, "a loss is a single number", "sum it up, or take its mean");
      const Term with_scores = s.WithScores(value);
      scored = !(with_scores.value == value.value);
      s.b.Output("loss", with_scores.value);
      return true;
    });
    if (!f) continue;
    Loss out{{}, std::move(*f), false, loss.value->span};
    for (const lang::Ident& owner : loss.owners) out.owners.push_back(owner.text);
    const auto* name = std::get_if<lang::Name>(&loss.value->node);
    out.objective = name && name->name.text == "objective" && !scored;
    if (loss.estimator && !ReadEstimator(parts, *loss.estimator, out)) continue;
    program.losses.push_back(std::move(out));
  }
  if (problem.losses.empty() && !program.objective && !problem.finds.empty()) {
    auto f = parts.Make("loss/0", kSeen, [&](Scope& s) {
      s.b.Output("loss", s.Residual(problem.finds[0]->relation.value->span).value);
      return true;
    });
    if (f) program.losses.push_back({{}, std::move(*f), false, problem.finds[0]->relation.value->span});
  }
  if (problem.losses.empty() && program.objective) {
    Loss out{{}, *program.objective, true, problem.objectives[0]->value->span};
    out.value.name = "loss/0";
    const bool draws = std::any_of(out.value.inputs.begin(), out.value.inputs.end(),
                                   [](const Input& in) { return in.name.starts_with("draw/"); });
    auto scored = parts.Make("loss/0", kSeen, [&](Scope& s) {
      if (!draws) return false;
      std::vector<Term> logs;
      s.log_probabilities = &logs;
      const Term value = s.Objective(out.span), with_scores = s.WithScores(value);
      s.b.Output("loss", with_scores.value);
      return !(with_scores.value == value.value);
    });
    if (scored) out.value = std::move(*scored), out.objective = false;
    program.losses.push_back(std::move(out));
  }
  for (const Loss& l : program.losses) if (l.by != Estimator::kEvolution) RefuseUntrainable(parts, l);
  for (const lang::ReportDecl* r : problem.reports) {
    auto f = parts.Make("report/" + r->name.text, {lang::ValueKind::kData, lang::ValueKind::kParameter}, [&](Scope& s) {
      s.in_report = true;
      s.b.Output("report", s.Real(s.Eval(*r->value)).value);
      return true;
    });
    if (f) program.reports.push_back(std::move(*f));
  }
}

}  // namespace amo::compiler
