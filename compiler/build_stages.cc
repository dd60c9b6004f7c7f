// SPDX-License-Identifier: Apache-2.0
// Models and solvers: predictions as functions, refinements and training settings as numbers.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/plan.h"
#include "compiler/refine.h"

namespace amo::compiler {

const lang::ValueDecl* AsVariable(const lang::Problem& problem, const std::string& name) {
  const auto it = problem.names.find(name);
  const auto* v = it == problem.names.end() ? nullptr : std::get_if<lang::ValueDecl>(&it->second->node);
  return v && v->kind == lang::ValueKind::kVariable ? v : nullptr;
}

bool WritesStage(const lang::Problem& problem, const char* name) {
  static const std::vector<lang::ExprPtr> kNone;
  const std::vector<lang::ExprPtr>& stages = problem.model ? problem.model->refinements : kNone;
  return std::any_of(stages.begin(), stages.end(), [&](const lang::ExprPtr& e) {
    const auto* call = std::get_if<lang::Call>(&e->node);
    const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &e->node);
    return word && word->name.text == name;
  });
}

bool WritesItsPlan(const lang::Problem& problem) {
  return WritesStage(problem, "complete") || WritesStage(problem, "correct");
}

namespace {

using lang::ValueKind;

// The answer that one builder gives for all variables, cut into them.
std::vector<Term> CutIntoVariables(Scope& s, const Term& flat, const std::vector<Named>& variables) {
  std::vector<Shape> shapes;
  for (const Named& v : variables) shapes.push_back(v.type.shape);
  return s.Cut(flat, shapes);
}

// What the model searches instead of the variables, as inputs that its predictions see.
void OpenLatents(Scope& s, const std::vector<Named>& latents) {
  for (const Named& z : latents)
    s.frames.back().locals[z.name] = s.InputOnce(z.name, Role::kInstance, z.type);
}

std::optional<Function> Prediction(Parts& parts, const lang::Stages* written, const std::string& name,
                                   Scope::Kinds inputs, const std::vector<Named>& latents) {
  const std::vector<Named>& variables = parts.program.variables;
  const bool is_model = name == "model";
  if (variables.empty() || (is_model && !written && parts.program.contexts.empty())) return std::nullopt;
  return parts.Make(name, std::move(inputs), [&](Scope& s) {
    OpenLatents(s, latents);
    const std::vector<Term> y = Predictions(parts, s, written, is_model);
    for (std::size_t k = 0; k < y.size(); ++k) s.b.Output(variables[k].name, y[k].value);
    return true;
  });
}

// `over z : T in SET from EXPR`: the values that refinements move, and where they start.
void BuildLatents(Parts& parts, const lang::Stages& written, const Scope::Kinds& inputs, Stages& stages) {
  if (written.over.empty()) return;
  stages.latent_start = parts.Make("latents", inputs, [&](Scope& s) {
    for (const lang::Over& over : written.over) {
      const Shape shape = s.Dims(over.type);
      stages.latents.push_back({over.name.text, {s.ElemOf(over.type), shape}});
      Term start = over.from ? s.Declared(s.Real(s.Eval(*over.from)), over.type, over.from->span)
                             : s.Of(s.b.Filled(0, shape));
      if (over.set) start = s.Project(*over.set, start);
      s.b.Output(over.name.text, start.value);
    }
    return true;
  });
}

Stages BuildOne(Parts& parts, const lang::Stages* written, const std::string& name, Scope::Kinds inputs) {
  Stages stages;
  stages.written = written != nullptr;
  if (written) BuildLatents(parts, *written, inputs, stages);
  stages.predict = Prediction(parts, written, name, std::move(inputs), stages.latents);
  if (!written) return stages;
  for (const lang::ExprPtr& e : written->refinements) {
    try {
      const bool is_model = name == "model";
      stages.refinements.push_back(ReadRefinement(parts, *written, *e, is_model, stages.refinements.size()));
      // `solve` wraps its methods in an augmented Lagrangian; a model's steps lower the objective alone.
      const Refinement& r = stages.refinements.back();
      Builder scratch(name);
      Scope s(scratch, parts.problem, parts.tables, parts.program, {}, parts.diagnostics);
      if (!stages.latents.empty() && !r.step)
        s.Unsupported(r.span, fmt::format("`{}` over values that are no variables", r.name));
      if (!is_model || !parts.program.multipliers || r.name == "iterate") continue;
      if (r.name == "complete" || r.name == "correct") continue;
      const std::string open = parts.program.multipliers->outputs[0].name;
      s.Unsupported(r.span, fmt::format("`{}` after a prediction, under the constraint `{}`,", r.name,
                                        open.substr(open.find('/') + 1)));
    } catch (const Refused&) {
    }
  }
  return stages;
}

// The file's own iteration, one step on, and the states it starts with.
void BuildUpdate(Parts& parts) {
  const lang::Problem& problem = parts.problem;
  Program& program = parts.program;
  if (problem.updates.empty() && problem.finds.empty()) return;
  program.update = parts.Make("update", kSeen, [&](Scope& s) {
    s.in_step = true;
    for (const auto& [name, t] : UpdatedValues(parts, s)) s.b.Output(name, t.value);
    return !s.b.function().outputs.empty();
  });
  if (program.states.empty()) return;
  program.state_function =
      parts.Make("states", {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext, ValueKind::kVariable},
                 [&](Scope& s) {
        s.at_start = true;
        for (const lang::UpdateDecl* u : problem.updates) {
          if (!u->type) continue;
          const Shape shape = s.Dims(*u->type);
          s.b.Output(u->name.text,
                     u->from ? s.Declared(s.Eval(*u->from), *u->type, u->from->span).value : s.b.Filled(0, shape));
        }
        return true;
      });
}

}  // namespace

namespace {

Term NearestSolution(Scope& s, const lang::Call* settings, const std::vector<Term>& contexts, std::int64_t entries) {
  constexpr std::int64_t kRemembered = 1000;
  std::int64_t count = kRemembered;
  if (settings)
    for (const lang::Argument& a : settings->args)
      count = static_cast<std::int64_t>(s.Constant(*a.value, "the setting `count`"));
  s.program.nearest = count;
  std::vector<Term> flat;
  for (const Term& c : contexts) flat.push_back(s.Flat(s.Real(c)));
  const Term x = s.Concat(std::move(flat), 0, {});
  const std::int64_t width = s.Own(x)[0];
  const auto remembered = [&](const char* input, Shape shape) {
    const Type type{Elem::kReal, std::move(shape)};
    std::vector<Weight>& all = s.program.weights;
    if (std::none_of(all.begin(), all.end(), [&](const Weight& w) { return w.input == input; }))
      all.push_back({input, type});
    return s.InputOnce(input, Role::kShared, type);
  };
  const Term scaled = s.Mul(x, remembered(nearest::kScale, {width}));
  const Term products = s.Contract(remembered(nearest::kContexts, {count, width}), scaled, {0, 1}, {1}, {0});
  const Term distances = s.Sub(remembered(nearest::kNorms, {count}), products);  // half the squares, less a constant
  const Term at{s.b.Arg(Op::kArgMin, distances.value), distances.axes, false, -1, 0};
  return s.GatherOne(remembered(nearest::kSolutions, {count, entries}), 0, at);
}

}  // namespace

std::vector<Term> Predictions(Parts& parts, Scope& s, const lang::Stages* written, bool is_model) {
  const std::vector<Named>& variables = parts.program.variables;
  std::vector<Term> y;
  if (written && !written->builder) {
    for (const Named& v : variables) {
      const auto d = std::find_if(written->predictions.begin(), written->predictions.end(),
                                  [&](const lang::Definition& x) { return x.name.text == v.name; });
      if (d == written->predictions.end()) {  // what is not predicted starts at zero
        y.push_back(s.Of(s.b.Filled(0, v.type.shape)));
        continue;
      }
      const lang::ValueDecl& declared = *AsVariable(parts.problem, v.name);
      y.push_back(s.Declared(s.Family(d->index, *d->value), declared, d->value->span));
    }
    return y;
  }
  std::int64_t total = 0;
  for (const Named& v : variables) total += Count(v.type.shape);
  const lang::Expr* builder = written ? written->builder.get() : nullptr;
  const auto* call = builder ? std::get_if<lang::Call>(&builder->node) : nullptr;
  const auto* word = builder ? std::get_if<lang::Name>(call ? &call->callee->node : &builder->node) : nullptr;
  const lang::Span at = builder ? builder->span : parts.problem.decl ? parts.problem.decl->span : lang::Span{};
  if ((word && word->name.text == "zeros") || (!written && !is_model))
    return CutIntoVariables(s, s.Of(s.b.Filled(0, {total})), variables);
  if (!is_model)
    s.Unsupported(at, fmt::format("`{}` as the start of `solve`", word ? word->name.text : std::string("a network")));
  std::vector<Term> contexts;
  for (const Named& c : parts.program.contexts) contexts.push_back(s.EvalNamed(c.name, at));
  if (contexts.empty()) s.Unsupported(at, "a network without contexts");
  if (word && word->name.text == "nearest")
    return CutIntoVariables(s, NearestSolution(s, call, contexts, total), variables);
  return CutIntoVariables(s, s.Network("model", builder, contexts, {total}, at), variables);
}

std::map<std::string, Term> UpdatedValues(Parts& parts, Scope& s) {
  const lang::Problem& problem = parts.problem;
  std::map<std::string, Term> next;
  for (const lang::UpdateDecl* u : problem.updates) {
    const lang::ValueDecl* v = AsVariable(problem, u->name.text);
    const Term t = s.Real(s.Family(u->index, *u->value));
    next[u->name.text] = v         ? s.Declared(t, *v, u->value->span)
                         : u->type ? s.Declared(t, *u->type, u->value->span)
                                   : t;
  }
  if (!problem.updates.empty()) return next;
  bool any = false;  // `find y == T(y)` as an iteration
  for (const Named& v : parts.program.variables) any = any || FixedPointOf(problem, v.name);
  for (const Named& v : parts.program.variables) {
    if (!any) break;
    const lang::Expr* map = FixedPointOf(problem, v.name);
    const lang::ValueDecl& d = *AsVariable(problem, v.name);
    next[v.name] = map ? s.Declared(s.Real(s.Eval(*map)), d, map->span) : s.EvalNamed(v.name, d.names[0].span);
  }
  return next;
}

void BuildStages(Parts& parts) {
  const lang::Problem& problem = parts.problem;
  Program& program = parts.program;
  BuildUpdate(parts);
  program.model =
      BuildOne(parts, problem.model, "model", {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext});
  program.solve = BuildOne(parts, problem.solve, "solve",
                           {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext, ValueKind::kHidden});
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
      if (key == "betas") {
        parts.Make("setting", {}, [&](Scope& s) {
          const auto* list = std::get_if<lang::Array>(&setting->value->node);
          if (!list || list->items.size() != 2)
            s.Refuse(lang::Code::kShapeMismatch, setting->value->span, "`betas` are two numbers", "as in [0.9, 0.999]");
          for (const int k : {0, 1}) {
            const lang::Expr& e = *list->items[static_cast<std::size_t>(k)];
            const double beta = s.Constant(e, "the setting `betas`");
            if (!(beta >= 0 && beta < 1))
              s.Refuse(lang::Code::kDomain, e.span, fmt::format("a beta is {}, not between 0 and 1", beta));
            out.numbers[k == 0 ? "beta1" : "beta2"] = beta;
          }
          return true;
        });
        continue;
      }
      const auto* word = std::get_if<lang::Name>(&setting->value->node);
      if (key == "split" && word && word->name.text == "none") {
        out.split = false;
        continue;
      }
      if (key == "constraints") {
        out.lagrangian = word && word->name.text == "lagrangian";
        continue;
      }
      if (key == "infeasible") {
        out.skip_infeasible = word && word->name.text == "skip";
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
                                                          "decay", "seed",   "precision", "updates"};
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
        if (key == "updates" && !(n > 0)) refuse("above 0");
        if ((key == "epochs" || key == "clip" || key == "decay") && !(n >= 0)) refuse("at least 0");
        out.numbers[key] = n;
        return true;
      });
    }
  }
}

}  // namespace amo::compiler
