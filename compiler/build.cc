// SPDX-License-Identifier: Apache-2.0
// A chosen problem to functions: data, samples, objective, projection, prediction, update, constraints.
#include "compiler/build.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/conic.h"
#include "compiler/plan.h"
#include "compiler/ranges.h"
#include "compiler/refine.h"

namespace amo::compiler {
namespace {

using lang::ValueKind;

const lang::ValueDecl* AsValue(const lang::Decl* d) { return std::get_if<lang::ValueDecl>(&d->node); }

template <class F>
void ForEachValue(const lang::Problem& p, F f) {
  for (const lang::Decl* d : p.values) {
    const lang::ValueDecl* v = AsValue(d);
    if (!v || d->broken) continue;
    for (const lang::Ident& n : v->names) {
      const auto it = p.names.find(n.text);
      if (it != p.names.end() && it->second == d) f(n.text, *v);
    }
  }
}

// Declarations with several names stand once for each name in problem.values' order; each name is given once.
void Values(Parts& parts, std::vector<ValueKind> kinds, Scope::Kinds inputs, const std::string& name,
            std::optional<Function>& out) {
  std::vector<std::string> done;
  out = parts.Make(name, std::move(inputs), [&](Scope& s) {
    ForEachValue(parts.problem, [&](const std::string& n, const lang::ValueDecl& v) {
      if (!std::count(kinds.begin(), kinds.end(), KindOf(v)) || std::count(done.begin(), done.end(), n)) return;
      if (!v.type && v.origin == lang::ValueDecl::Origin::kRead) return;  // a table or its row: its fields are read
      if (v.origin == lang::ValueDecl::Origin::kNone) return;             // a problem that is only called
      done.push_back(n);
      s.b.Output(n, s.EvalNamed(n, v.names[0].span).value);
    });
    return !done.empty();
  });
}

// What stands in the file and nothing here builds: said at its place, never passed over. A warning where the rest means
// what it says without it; an error where the program would be another one.
void ReportLeftOut(const lang::Problem& p, const Program& program, lang::Diagnostics& diagnostics) {
  const auto refuse = [&](lang::Span at, const std::string& what) {
    diagnostics.Error(lang::Code::kUnsupported, at, fmt::format("{} cannot be compiled yet", what));
  };
  const bool predicts = !p.solve || p.model || !p.train.empty();
  for (const lang::Constraint* c : p.constraints) {
    if (!predicts || IsKept(program, c->name.text) || IsCompleted(p, program, c->name.text)) continue;
    diagnostics.Warning(
        lang::Code::kUnsupported, c->span,
        fmt::format("predictions are {} the constraint `{}`, without a guarantee",
                    program.corrected || WritesStage(p, "correct") ? "corrected towards" : "trained to keep",
                    c->name.text));
  }
  for (const std::string& name : program.discrete) {
    if (p.solve || p.objectives.empty()) continue;
    diagnostics
        .Warning(lang::Code::kUnsupported, AsVariable(p, name)->set->span,
                 fmt::format("no solver here finds the best point of a discrete set: what `solve` gives for `{}` is a "
                             "heuristic", name))
        .Help(fmt::format("`solve {} = EXPR` says the answer where the file knows it", name));
  }
  for (const lang::NextDecl* n : p.nexts) refuse(n->name.span, "`next`");
}

}  // namespace

std::int64_t StepsOf(const Refinement& r) {
  const auto it = r.settings.find("steps");
  return it == r.settings.end() ? kRefinementSteps : static_cast<std::int64_t>(it->second);
}

bool IsKept(const Program& p, const std::string& constraint) {
  return std::count(p.kept.begin(), p.kept.end(), constraint) ||
         std::count(p.projected.begin(), p.projected.end(), constraint);
}

std::vector<NamedFunction> FunctionsOf(const Program& p) {
  std::vector<NamedFunction> all;
  const auto add = [&](const std::optional<Function>& f, const char* role) {
    if (f) all.push_back({role, role, &*f});
  };
  const auto after = [](const std::string& name) { return name.substr(name.find('/') + 1); };
  add(p.data_function, "data");
  add(p.start_function, "start");
  add(p.sample_function, "sample");
  add(p.objective, "objective");
  add(p.equations, "equations");
  add(p.project, "project");
  add(p.model.predict, "predict");
  add(p.state_function, "states");
  add(p.update, "update");
  if (p.solve.written) add(p.solve.predict, "solve");
  for (const Function& c : p.constraints) all.push_back({after(c.name), "constraint", &c});
  if (p.conic) {
    for (const Function* f : {&p.conic->at, &p.conic->left, &p.conic->matrix, &p.conic->nearest, &p.conic->point})
      all.push_back({f->name, "projection", f});
  }
  add(p.lagrangian, "lagrangian");
  add(p.multipliers, "multipliers");
  add(p.sides, "sides");
  for (const Loss& l : p.losses) if (!l.objective) all.push_back({l.value.name, "loss", &l.value});
  for (const Trace& t : p.traces) all.push_back({t.input, "trace", &t.value});
  for (const Function& e : p.expects) all.push_back({e.name, "expect", &e});
  for (const Function& r : p.reports) all.push_back({r.name, "report", &r});
  return all;
}

Program Build(const lang::Program& source, const lang::Problem& problem, const Tables& tables,
              lang::Diagnostics& diagnostics) {
  Program program;
  program.name = problem.name;
  program.maximize = !problem.objectives.empty() && problem.objectives[0]->maximize;
  Parts parts{problem, tables, program, diagnostics, nullptr};
  parts.Make("declare", {}, [&](Scope& s) {
    ForEachValue(problem, [&](const std::string& n, const lang::ValueDecl& v) {
      const ValueKind kind = KindOf(v);
      const bool table = !v.type && v.origin != lang::ValueDecl::Origin::kDrawn;
      if (table || kind == ValueKind::kConst || kind == ValueKind::kRandom) return;
      auto& list = kind == ValueKind::kData        ? program.data
                   : kind == ValueKind::kParameter ? program.parameters
                   : kind == ValueKind::kContext   ? program.contexts
                   : kind == ValueKind::kHidden    ? program.hidden
                                                     : program.variables;
      if (std::any_of(list.begin(), list.end(), [&](const Named& x) { return x.name == n; })) return;
      list.push_back({n, v.type ? Type{s.ElemOf(*v.type), s.Dims(v)} : Type{}});
      if (v.set && IsManifold(problem, *v.set)) program.manifolds.push_back(n);
      if (v.set && IsDiscreteSet(problem, *v.set)) program.discrete.push_back(n);
    });
    for (const lang::UpdateDecl* u : problem.updates) {
      if (u->type) program.states.push_back({u->name.text, {s.ElemOf(*u->type), s.Dims(*u->type)}});
    }
    return true;
  });
  Values(parts, {ValueKind::kData}, {}, "data", program.data_function);
  Values(parts, {ValueKind::kParameter}, {ValueKind::kData}, "start", program.start_function);
  Values(parts, {ValueKind::kContext, ValueKind::kHidden}, {ValueKind::kData, ValueKind::kParameter}, "sample",
         program.sample_function);
  if (!problem.objectives.empty()) {
    program.objective = parts.Make("objective", kSeen, [&](Scope& s) {
      s.b.Output("objective", s.Objective(problem.objectives[0]->value->span).value);
      return true;
    });
  }
  if (!problem.finds.empty()) {
    lang::Diagnostics muted;  // a `find` that is no equation is refused where it is needed
    Parts aside{problem, tables, program, muted, nullptr};
    program.equations = aside.Make("equations", kSeen, [&](Scope& s) {
      s.b.Output("sides", s.EquationSides().value);
      return true;
    });
    program.fixed_point = std::all_of(program.variables.begin(), program.variables.end(),
                                      [&](const Named& v) { return FixedPointOf(problem, v.name) != nullptr; });
  }
  Plan plan = MakePlan(source, parts);
  parts.plan = &plan;
  program.project = parts.Make(
      "project", {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext, ValueKind::kVariable}, [&](Scope& s) {
        for (const Named& v : program.variables) {
          const lang::ValueDecl& d = *AsValue(problem.names.at(v.name));
          s.b.Output(v.name,
                     ProjectedVariable(parts, s, v.name, s.EvalNamed(v.name, d.names[0].span)).value);
        }
        return !program.variables.empty();
      });
  if (program.project) program.kept = plan.kept;
  for (const lang::Constraint* c : problem.constraints) {
    auto f = parts.Make("violation/" + c->name.text, kSeen, [&](Scope& s) {
      s.b.Output("amounts", s.Amounts(*c).value);
      return true;
    });
    if (f) program.constraints.push_back(std::move(*f));
  }
  BuildConic(parts, plan);
  BuildRows(parts);
  BuildRanges(parts);
  BuildLagrangian(parts);
  BuildStages(parts);
  BuildSettings(parts);
  BuildLosses(parts);
  BuildRead(parts);
  BuildSlow(parts);
  ReportLeftOut(problem, program, diagnostics);
  return program;
}

}  // namespace amo::compiler
