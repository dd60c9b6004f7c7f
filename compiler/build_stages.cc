// SPDX-License-Identifier: Apache-2.0
// Models and solvers: predictions as functions, refinements and training settings as numbers.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/classify.h"
#include "compiler/lift.h"

namespace amo::compiler {

const lang::ValueDecl* AsVariable(const lang::Problem& problem, const std::string& name) {
  const auto it = problem.names.find(name);
  const auto* v = it == problem.names.end() ? nullptr : std::get_if<lang::ValueDecl>(&it->second->node);
  return v && v->kind == lang::ValueKind::kVariable ? v : nullptr;
}

namespace {

using lang::ValueKind;

// The refinements that run, with the settings that each reads.
struct Known {
  const char* name;
  std::vector<std::string> settings;
};
const std::vector<Known> kRefinements = {
    {"gradient", {"steps", "rate"}},
    {"iterate", {"steps", "tol"}},
    {"adam", {"steps", "rate", "tol"}},
    {"lbfgs", {"steps", "tol", "memory"}},
    {"projected_gradient", {"steps", "tol", "memory"}},
    {"riemannian_gradient", {"steps", "tol"}},
    {"qp", {"steps", "tol"}},
    {"admm", {"steps", "tol"}},
    {"interior_point", {"steps", "tol"}},
    {"newton", {"steps", "tol"}},
    {"ipopt", {"steps", "tol"}},
};

Refinement ReadRefinement(Scope& s, const lang::Expr& e) {
  const auto* call = std::get_if<lang::Call>(&e.node);
  const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &e.node);
  const std::string name = word ? word->name.text : "";
  const auto known =
      std::find_if(kRefinements.begin(), kRefinements.end(), [&](const Known& k) { return name == k.name; });
  if (known == kRefinements.end()) s.Unsupported(e.span, fmt::format("the refinement `{}`", name));
  if ((name == "qp" || name == "admm") && !IsQuadraticProgram(s.program) && !Lift(s.program)) {
    const std::string kind = ProblemClass(s.program);
    s.Refuse(lang::Code::kUnsupported, e.span,
             fmt::format("`{}` solves linear and quadratic programs; the class here: {}", name, kind),
             "`amo explain` says which part makes it so; `solve zeros then projected_gradient` takes any objective");
  }
  if ((name == "interior_point" || name == "newton" || name == "ipopt") && !IsSmooth(s.program)) {
    s.Refuse(
        lang::Code::kUnsupported, e.span,
        fmt::format("`{}` needs second derivatives of objective and constraints, and sets that are rows; the class here: {}",
                    name, ProblemClass(s.program)),
        "`amo explain` says which part has a kink");
  }
  if (name == "iterate" && s.problem.updates.empty()) s.Unsupported(e.span, "`iterate` without an `update`");
  Refinement r{name, {}, e.span};
  static const std::vector<lang::Argument> kNone;
  for (const lang::Argument& a : call ? call->args : kNone) {
    if (!a.keyword) s.Unsupported(a.value->span, fmt::format("`{}` with a setting that has no name", name));
    const std::string& key = a.keyword->text;
    if (!std::count(known->settings.begin(), known->settings.end(), key)) {
      s.Unsupported(a.keyword->span, fmt::format("the setting `{}` of `{}`", key, name));
    }
    const auto number = s.TryConstant(*a.value);
    if (!number) s.Unsupported(a.value->span, fmt::format("a setting `{}` that is learned or varies", key));
    const bool counts = key == "steps" || key == "memory";
    if (counts && (*number < 0 || *number != std::floor(*number))) {
      s.Refuse(lang::Code::kDomain, a.value->span, fmt::format("`{}` is {}, not a whole number", key, *number));
    }
    r.settings[key] = *number;
  }
  return r;
}

// The answer that one builder gives for all variables, cut into them.
void CutIntoVariables(Scope& s, const Term& flat, const std::vector<Named>& variables) {
  std::int64_t at = 0;
  for (const Named& v : variables) {
    const std::int64_t count = Count(v.type.shape);
    s.b.Output(v.name, s.b.Reshape(s.b.Slice(flat.value, {at}, {count}), v.type.shape));
    at += count;
  }
}

std::optional<Function> Prediction(Parts& parts, const lang::Stages* written, const std::string& name,
                                   Scope::Kinds inputs) {
  const std::vector<Named>& variables = parts.program.variables;
  const bool is_model = name == "model";
  if (variables.empty() || (is_model && !written && parts.program.contexts.empty())) return std::nullopt;
  return parts.Make(name, std::move(inputs), [&](Scope& s) {
    if (written && !written->over.empty()) s.Unsupported(written->over[0].name.span, "`over`");
    std::int64_t total = 0;
    for (const Named& v : variables) total += Count(v.type.shape);
    if (written && !written->builder) {
      for (const Named& v : variables) {
        const auto d = std::find_if(written->predictions.begin(), written->predictions.end(),
                                    [&](const lang::Definition& x) { return x.name.text == v.name; });
        if (d == written->predictions.end()) {  // what is not predicted starts at zero
          s.b.Output(v.name, s.b.Filled(0, v.type.shape));
          continue;
        }
        const lang::TypeExpr& type = *AsVariable(parts.problem, v.name)->type;
        s.b.Output(v.name, s.Declared(s.Family(d->index, *d->value), type, d->value->span).value);
      }
      return true;
    }
    const lang::Expr* builder = written ? written->builder.get() : nullptr;
    const auto* call = builder ? std::get_if<lang::Call>(&builder->node) : nullptr;
    const auto* word = builder ? std::get_if<lang::Name>(call ? &call->callee->node : &builder->node) : nullptr;
    const lang::Span at = builder ? builder->span : parts.problem.decl ? parts.problem.decl->span : lang::Span{};
    if ((word && word->name.text == "zeros") || (!written && !is_model)) {
      CutIntoVariables(s, s.Of(s.b.Filled(0, {total})), variables);
      return true;
    }
    if (!is_model) s.Unsupported(at, "a network as the start of `solve`");
    std::vector<Term> contexts;
    for (const Named& c : parts.program.contexts) contexts.push_back(s.EvalNamed(c.name, at));
    if (contexts.empty()) s.Unsupported(at, "a network without contexts");
    CutIntoVariables(s, s.Network("model", builder, contexts, {total}, at), variables);
    return true;
  });
}

Stages BuildOne(Parts& parts, const lang::Stages* written, const std::string& name, Scope::Kinds inputs) {
  Stages stages;
  stages.written = written != nullptr;
  stages.predict = Prediction(parts, written, name, std::move(inputs));
  if (!written) return stages;
  Builder scratch(name);
  Scope s(scratch, parts.problem, parts.tables, parts.program, {}, parts.diagnostics);
  for (const lang::ExprPtr& e : written->refinements) {
    try {
      stages.refinements.push_back(ReadRefinement(s, *e));
      // `solve` wraps its methods in an augmented Lagrangian; a model's steps lower the objective alone.
      const Refinement& r = stages.refinements.back();
      if (name != "model" || !parts.program.multipliers || r.name == "iterate") continue;
      const std::string open = parts.program.multipliers->outputs[0].name;
      s.Unsupported(r.span, fmt::format("`{}` after a prediction, under the constraint `{}`,", r.name,
                                        open.substr(open.find('/') + 1)));
    } catch (const Refused&) {
    }
  }
  return stages;
}

}  // namespace

void BuildStages(Parts& parts) {
  const lang::Problem& problem = parts.problem;
  Program& program = parts.program;
  program.model =
      BuildOne(parts, problem.model, "model", {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext});
  program.solve = BuildOne(parts, problem.solve, "solve",
                           {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext, ValueKind::kHidden});
  if (problem.updates.empty()) return;
  program.update = parts.Make("update", kSeen, [&](Scope& s) {
    for (const lang::UpdateDecl* u : problem.updates) {
      const lang::ValueDecl* v = AsVariable(problem, u->name.text);
      const Term next = s.Real(s.Family(u->index, *u->value));
      const lang::TypeExpr* type = v ? &*v->type : u->type ? &*u->type : nullptr;
      s.b.Output(u->name.text, (type ? s.Declared(next, *type, u->value->span) : next).value);
    }
    return true;
  });
  if (program.states.empty()) return;
  program.state_function =
      parts.Make("states", {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext}, [&](Scope& s) {
        for (const lang::UpdateDecl* u : problem.updates) {
          if (!u->type) continue;
          const Shape shape = s.Dims(*u->type);
          s.b.Output(u->name.text,
                     u->from ? s.Declared(s.Eval(*u->from), *u->type, u->from->span).value : s.b.Filled(0, shape));
        }
        return true;
      });
}

void BuildSettings(Parts& parts) {
  for (const auto& [owner, settings] : parts.problem.train) {
    Settings& out = parts.program.train[owner];
    for (const lang::Setting* setting : settings) {
      const std::string& key = setting->key.text;
      if (key == "rate") {
        out.rate = parts.Make(owner.empty() ? "rate" : "rate/" + owner, {ValueKind::kData}, [&](Scope& s) {
          const Term rate = s.Real(s.Eval(*setting->value));
          if (!s.Own(rate).empty()) s.Refuse(lang::Code::kNotScalar, setting->value->span, "`rate` is a single number");
          s.b.Output("rate", rate.value);
          return true;
        });
        continue;
      }
      const auto* word = std::get_if<lang::Name>(&setting->value->node);
      if (key == "split" && word && word->name.text == "none") {
        out.split = false;
        continue;
      }
      if (key == "split") {
        parts.Make("setting", {}, [&](Scope& s) {
          const double share = s.Constant(*setting->value, "the setting `split`");
          if (!(share > 0 && share < 1))
            s.Refuse(lang::Code::kDomain, setting->value->span, fmt::format("`split` is {}, not a share", share),
                     "the share of the rows that is held out to test, between 0 and 1; or `none`");
          out.test_share = share;
          return true;
        });
        continue;
      }
      parts.Make("setting", {}, [&](Scope& s) {
        static const std::vector<std::string> kNumbers = {"steps", "epochs", "batch",    "clip",
                                                          "decay", "seed",   "precision"};
        if (!std::count(kNumbers.begin(), kNumbers.end(), key))
          s.Unsupported(setting->key.span, fmt::format("the setting `{}`", key));
        const double n = s.Constant(*setting->value, fmt::format("the setting `{}`", key));
        const auto refuse = [&](const char* what) {
          s.Refuse(lang::Code::kDomain, setting->value->span, fmt::format("`{}` is {}, not {}", key, n, what));
        };
        const bool whole = n == std::floor(n);
        if ((key == "steps" || key == "batch" || key == "seed") && (!whole || n < (key == "batch" ? 1 : 0)))
          refuse("a whole number");
        if (key == "precision" && n != 32 && n != 64) refuse("32 or 64");
        if ((key == "epochs" || key == "clip" || key == "decay") && !(n >= 0)) refuse("at least 0");
        out.numbers[key] = n;
        return true;
      });
    }
  }
}

}  // namespace amo::compiler
