// SPDX-License-Identifier: Apache-2.0
// What stands after `then`: the methods that run, the settings of each, and how derivatives pass its steps.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/classify.h"
#include "compiler/lift.h"
#include "compiler/refine.h"

namespace amo::compiler {
namespace {

using lang::ValueKind;

// A formula has a step; the others are methods of the runtime, which choose their steps by comparing values. A formula
// of a model may be a method where `solve` says it: `solves` is true where it is a formula there, too.
struct Known {
  const char* name;
  std::vector<std::string> settings;
  void (*begin)(Refine&) = nullptr;
  void (*step)(Refine&) = nullptr;
  bool solves = false;
};
const std::vector<Known> kRefinements = {
    {"gradient", {"steps", "rate", "clip", "tol"}, BeginNothing, StepGradient},
    {"momentum", {"steps", "rate", "decay", "clip", "tol"}, BeginMomentum, StepMomentum, true},
    {"adam", {"steps", "rate", "betas", "clip", "tol"}, BeginAdam, StepAdam},
    {"proximal_gradient", {"steps", "rate", "accelerate", "tol"}, BeginProximal, StepProximal, true},
    {"cem", {"steps", "samples", "elites", "sigma", "temperature", "tol"}, BeginCem, StepCem, true},
    {"ilqr", {"steps", "halvings", "tol"}, BeginIlqr, StepIlqr, true},
    {"anderson", {"steps", "memory", "relaxation", "rate", "tol"}, BeginAnderson, StepAnderson, true},
    {"complete", {}, BeginNothing, StepComplete},
    {"correct", {"steps", "rate", "momentum"}, BeginCorrect, StepCorrect},
    {"iterate", {"steps", "tol"}},
    {"lbfgs", {"steps", "tol", "memory"}},
    {"projected_gradient", {"steps", "tol", "memory"}},
    {"riemannian_gradient", {"steps", "tol"}},
    {"qp", {"steps", "tol"}},
    {"admm", {"steps", "tol"}},
    {"interior_point", {"steps", "tol"}},
    {"newton", {"steps", "tol"}},
    {"ipopt", {"steps", "tol"}},
};
// With a rate, or derivatives that pass through steps, these are formulas: gradient descent, whose steps are projected
// or follow the manifold; Newton's method and L-BFGS, at step lengths that are chosen among halved ones.
const Known kAtRate[] = {
    {"projected_gradient", {"steps", "rate", "clip", "tol"}, BeginNothing, StepGradient, true},
    {"riemannian_gradient", {"steps", "rate", "clip", "tol"}, BeginNothing, StepRiemannian, true},
    {"newton", {"steps", "rate", "damping", "halvings", "tol"}, BeginNothing, StepNewton, true},
    {"lbfgs", {"steps", "rate", "memory", "halvings", "tol"}, BeginLbfgs, StepLbfgs, true},
};

const Known* FindKnown(const std::string& name, bool rated) {
  const Known* known = nullptr;
  for (const Known& k : kRefinements) if (name == k.name) known = &k;
  for (const Known& k : kAtRate) if (rated && name == k.name) known = &k;
  return known;
}

struct PassageRow {
  const char* name;
  Passage passage;
};
constexpr PassageRow kPassages[] = {
    {"unroll", Passage::kUnroll},         {"truncated", Passage::kTruncated},
    {"first_order", Passage::kFirstOrder}, {"implicit", Passage::kImplicit},
    {"perturbed", Passage::kPerturbed},    {"straight_through", Passage::kStraightThrough},
    {"none", Passage::kNone},
};

bool PassesSteps(const lang::Expr& e) {
  const auto* call = std::get_if<lang::Call>(&e.node);
  const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &e.node);
  return word && (word->name.text == "unroll" || word->name.text == "truncated" || word->name.text == "first_order");
}

bool IsRated(const std::vector<lang::Argument>& args) {
  return std::any_of(args.begin(), args.end(), [](const lang::Argument& a) {
    return a.keyword && (a.keyword->text == "rate" || (a.keyword->text == "gradient" && PassesSteps(*a.value)));
  });
}

void ReadPassage(Scope& s, const lang::Expr& e, Refinement& r) {
  const auto* call = std::get_if<lang::Call>(&e.node);
  const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &e.node);
  const auto row = std::find_if(std::begin(kPassages), std::end(kPassages),
                                [&](const PassageRow& p) { return word && word->name.text == p.name; });
  if (row == std::end(kPassages))
    s.Unsupported(e.span, fmt::format("the gradient `{}`", word ? word->name.text : "this"));
  r.passage = row->passage;
  static const std::vector<lang::Argument> kNone;
  if (r.passage == Passage::kPerturbed) {
    std::size_t place = 0;
    for (const lang::Argument& a : call ? call->args : kNone) {
      const std::string key = a.keyword ? a.keyword->text : place == 0 ? "sigma" : "samples";
      place += !a.keyword;
      const double n = s.Constant(*a.value, fmt::format("the setting `{}`", key));
      if (!(n > 0) || (key == "samples" && n != std::floor(n)))
        s.Refuse(lang::Code::kDomain, a.value->span, fmt::format("`{}` is {}", key, n),
                 "a deviation above 0, and a number of samples");
      if (key == "sigma") r.sigma = n;
      else r.samples = static_cast<std::int64_t>(n);
    }
    return;
  }
  for (const lang::Argument& a : call ? call->args : kNone) {
    const auto* n = std::get_if<lang::Name>(&a.value->node);
    const auto number = s.TryConstant(*a.value);
    if (a.keyword && a.keyword->text == "tol") r.inner_tolerance = number.value_or(0);
    else if (number) r.through = static_cast<std::int64_t>(*number);
    else if (n) r.inner = n->name.text;
  }
  if (r.passage == Passage::kTruncated && r.through < 1) r.through = 1;
  if (r.passage != Passage::kImplicit) return;
  if (r.inner.empty()) r.inner = "anderson";
  if (r.inner != "cg" && r.inner != "anderson" && r.inner != "dense")
    s.Refuse(lang::Code::kUnknownName, e.span, fmt::format("`{}` solves no linear system here", r.inner),
             "cg, anderson and dense do");
}

void RefuseUnfit(Scope& s, const std::string& name, lang::Span at) {
  const std::optional<Program> least = LeastSquares(s.program);
  const Program& program = least ? *least : s.program;
  if ((name == "qp" || name == "admm") && !IsQuadraticProgram(program) && !Lift(program)) {
    const std::string kind = ProblemClass(program);
    s.Refuse(lang::Code::kUnsupported, at,
             fmt::format("`{}` solves linear and quadratic programs; the class here: {}", name, kind),
             "`amo explain` says which part makes it so; `solve zeros then projected_gradient` takes any objective");
  }
  if ((name == "interior_point" || name == "newton" || name == "ipopt") && !IsSmooth(program)) {
    s.Refuse(lang::Code::kUnsupported, at,
             fmt::format("`{}` needs second derivatives of objective and constraints, and sets that are rows; the "
                         "class here: {}",
                         name, ProblemClass(program)),
             "`amo explain` says which part has a kink");
  }
  if (name == "iterate" && s.problem.updates.empty() && s.problem.finds.empty())
    s.Unsupported(at, "`iterate` without an `update`");
}

// What a step of a model reads is there when it is deployed.
void RefuseHidden(Scope& s, const Function& f, lang::Span at) {
  for (const Named& h : s.program.hidden) {
    if (f.FindInput(h.name) < 0) continue;
    s.Refuse(lang::Code::kBindingTime, at, fmt::format("the refinement needs `{}`, which is hidden", h.name),
             "a model's steps read contexts, variables and what is learned; `solve` may read hidden values");
  }
}

}  // namespace

Method MethodOf(const lang::Expr& written) {
  const auto* call = std::get_if<lang::Call>(&written.node);
  const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &written.node);
  const Known* known = word ? FindKnown(word->name.text, call && IsRated(call->args)) : nullptr;
  return known ? Method{known->begin, known->step} : Method{};
}

Refinement ReadRefinement(Parts& parts, const lang::Stages& stages, const lang::Expr& e, bool is_model,
                          std::size_t place) {
  Builder scratch("refinement");
  Scope s(scratch, parts.problem, parts.tables, parts.program, {}, parts.diagnostics);
  const auto* call = std::get_if<lang::Call>(&e.node);
  const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &e.node);
  const std::string name = word ? word->name.text : "";
  static const std::vector<lang::Argument> kNone;
  const std::vector<lang::Argument>& args = call ? call->args : kNone;
  const bool rated = IsRated(args);
  const Known* known = FindKnown(name, rated);
  if (!known) s.Unsupported(e.span, fmt::format("the refinement `{}`", name));
  if (!known->step) RefuseUnfit(s, name, e.span);
  Refinement r;
  r.name = name;
  r.span = e.span;
  if (name == "complete") r.settings["steps"] = 1;
  if ((name == "complete" || name == "correct") && !is_model)
    s.Refuse(lang::Code::kUnsupported, e.span, fmt::format("`{}` is a stage of a model", name),
             "`solve` keeps constraints by itself: leave it out");
  for (const lang::Argument& a : args) {
    if (!a.keyword) s.Unsupported(a.value->span, fmt::format("`{}` with a setting that has no name", name));
    const std::string& key = a.keyword->text;
    if (key == "gradient") {
      ReadPassage(s, *a.value, r);
      continue;
    }
    const bool formula = known->step && (is_model || known->solves);
    if (key == "safeguard" && formula) continue;
    if (!std::count(known->settings.begin(), known->settings.end(), key))
      s.Unsupported(a.keyword->span, fmt::format("the setting `{}` of `{}`", key, name));
    const bool counts = key == "steps" || key == "memory" || key == "samples" || key == "elites";
    const auto number = s.TryConstant(*a.value);
    if (!number && (counts || !known->step))
      s.Unsupported(a.value->span, fmt::format("a setting `{}` that is learned or varies", key));
    if (counts && (*number < 0 || *number != std::floor(*number)))
      s.Refuse(lang::Code::kDomain, a.value->span, fmt::format("`{}` is {}, not a whole number", key, *number));
    if (number) r.settings[key] = *number;
  }
  const std::string prefix = fmt::format("{}/{}", is_model ? "model" : "solve", place);
  const bool varies = known->step && rated && !r.settings.count("rate");
  const bool formula = known->step && (is_model || known->solves || varies);
  if (formula) {
    const auto make = [&](const std::string& what, bool begin, void (*method)(Refine&)) {
      return parts.Make(prefix + "/" + what, kSeen, [&](Scope& scope) {
        Refine refine(parts, scope, stages, e, r, prefix, begin);
        method(refine);
        refine.Finish();
        return true;
      });
    };
    r.start = make("begin", true, known->begin);
    r.step = make("step", false, known->step);
    if (!r.start || !r.step) throw Refused{};
    if (r.start->outputs.empty()) r.start.reset();
    if (is_model) RefuseHidden(s, *r.step, e.span);
  } else if (name == "iterate") {
    r.states = parts.program.states;
    r.start = parts.program.state_function;
    r.step = parts.program.update;
    if (!r.step) throw Refused{};
    if (is_model) RefuseHidden(s, *r.step, e.span);
  }
  const bool fixed_point = name == "iterate" || name == "anderson";
  const bool tells = std::any_of(args.begin(), args.end(), [](const lang::Argument& a) {
    return a.keyword && a.keyword->text == "gradient";
  });
  if (is_model && !r.step && !tells && parts.program.objective && parts.program.manifolds.empty()) {
    r.passage = Passage::kImplicit;  // it solves: what it comes to is a stationary point
    r.inner = "anderson";
  }
  if (r.passage != Passage::kImplicit) return r;
  r.map = parts.Make(prefix + "/map", kSeen, [&](Scope& scope) {
    Refinement no_states;
    Refine refine(parts, scope, stages, e, no_states, prefix, true);
    std::vector<Term> at;
    for (std::size_t k = 0; k < refine.moved().size(); ++k) at.push_back(refine.now(k));
    at = refine.FixedPointMap(at, scope.Number(1), !fixed_point);
    for (std::size_t k = 0; k < at.size(); ++k) scope.b.Output(refine.moved()[k].name, at[k].value);
    return true;
  });
  if (!r.map) throw Refused{};
  return r;
}

}  // namespace amo::compiler
