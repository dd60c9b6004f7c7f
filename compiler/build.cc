// SPDX-License-Identifier: Apache-2.0
// A chosen problem to functions: data, samples, objective, projection, prediction, update, constraints.
#include "compiler/build.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/scope.h"
#include "compiler/simplify.h"

namespace amo::compiler {
namespace {

using lang::ValueKind;

struct Parts {
  const lang::Problem& problem;
  const Tables& tables;
  Program& program;
  lang::Diagnostics& diagnostics;

  // One function; nullopt when a part was refused (the diagnostic stands).
  template <class F>
  std::optional<Function> Make(const std::string& name, Scope::Kinds inputs, F body) {
    Builder b(name);
    Scope scope(b, problem, tables, program, std::move(inputs), diagnostics);
    try {
      if (!body(scope)) return std::nullopt;
    } catch (const Refused&) {
      return std::nullopt;
    }
    return Simplify(b.Finish());
  }
};

const Scope::Kinds kSeen = {ValueKind::kData, ValueKind::kParameter, ValueKind::kHidden, ValueKind::kContext, ValueKind::kVariable};

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
void Values(Parts& parts, std::vector<ValueKind> kinds, Scope::Kinds inputs, const std::string& name, std::optional<Function>& out) {
  std::vector<std::string> done;
  out = parts.Make(name, std::move(inputs), [&](Scope& s) {
    ForEachValue(parts.problem, [&](const std::string& n, const lang::ValueDecl& v) {
      if (!std::count(kinds.begin(), kinds.end(), v.kind) || std::count(done.begin(), done.end(), n)) return;
      if (!v.type && v.origin == lang::ValueDecl::Origin::kRead) return;  // a table or its row: its fields are read
      if (v.origin == lang::ValueDecl::Origin::kNone) return;             // a problem that is only called
      done.push_back(n);
      s.b.Output(n, s.EvalNamed(n, v.names[0].span).value);
    });
    return !done.empty();
  });
}

// The amounts by which a relation fails, flat: max(l - r, 0) for l <= r, |l - r| for l == r, v - project(v) for `in`.
Term Amounts(Scope& s, const lang::Relation& r) {
  std::vector<Term> parts;
  Term last;
  if (const auto* chain = std::get_if<lang::Compare>(&r.value->node)) {
    last = s.Eval(*chain->first);
    for (const auto& [op, e] : chain->rest) {
      const Term right = s.Eval(*e);
      const bool greater = op == lang::CompareOp::kGe || op == lang::CompareOp::kGt;
      const Term gap = s.Sub(s.Real(greater ? right : last), s.Real(greater ? last : right));
      const bool equality = op == lang::CompareOp::kEq;
      if (op == lang::CompareOp::kNe) s.Unsupported(r.value->span, "a constraint with `!=`");
      parts.push_back(equality ? s.Unary(Op::kAbs, gap) : s.Binary(Op::kMax, gap, s.Number(0), e->span, "max"));
      last = right;
    }
  } else {
    last = s.Eval(*r.value);
  }
  if (r.set) parts.push_back(s.Sub(last, s.Project(*r.set, last)));
  if (parts.empty()) s.Refuse(lang::Code::kRelation, r.value->span, "a constraint needs a relation", "write `==`, `<=`, `>=` or `in`");
  for (Term& t : parts) t = s.Flat(t);
  return s.Concat(parts, 0, r.value->span);
}

std::optional<Function> Prediction(Parts& parts) {
  const lang::Stages* m = parts.problem.model;
  if (parts.program.variables.empty() || (!m && parts.program.contexts.empty())) return std::nullopt;
  return parts.Make("predict", {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext}, [&](Scope& s) {
    if (m && !m->over.empty()) s.Unsupported(m->over[0].name.span, "`over`");
    if (m && !m->builder) {
      for (const lang::Definition& d : m->predictions) {
        const auto it = parts.problem.names.find(d.name.text);
        const lang::ValueDecl* v = it == parts.problem.names.end() ? nullptr : AsValue(it->second);
        if (!v || v->kind != ValueKind::kVariable) s.Refuse(lang::Code::kUnknownName, d.name.span, fmt::format("`{}` is no variable", d.name.text));
        s.b.Output(d.name.text, s.Declared(s.Family(d.index, *d.value), *v->type, d.value->span).value);
      }
      return true;
    }
    const lang::Expr* builder = m ? m->builder.get() : nullptr;
    const lang::Span at_model = builder ? builder->span : parts.problem.decl ? parts.problem.decl->span : lang::Span{};
    const auto* call = builder ? std::get_if<lang::Call>(&builder->node) : nullptr;
    const auto* word = builder ? std::get_if<lang::Name>(call ? &call->callee->node : &builder->node) : nullptr;
    std::int64_t total = 0;
    for (const Named& v : parts.program.variables) total += Count(v.type.shape);
    Term flat;
    if (word && word->name.text == "zeros") {
      flat = s.Of(s.b.Filled(0, {total}));
    } else {
      std::vector<Term> contexts;
      for (const Named& c : parts.program.contexts) contexts.push_back(s.EvalNamed(c.name, at_model));
      if (contexts.empty()) s.Unsupported(at_model, "a network without contexts");
      flat = s.Network("model", builder, contexts, {total}, at_model);
    }
    std::int64_t at = 0;
    for (const Named& v : parts.program.variables) {
      const std::int64_t count = Count(v.type.shape);
      s.b.Output(v.name, s.b.Reshape(s.b.Slice(flat.value, {at}, {count}), v.type.shape));
      at += count;
    }
    return true;
  });
}

// What stands in the file and nothing here builds: said at its place, never passed over. A warning where the rest means
// what it says without it; an error where the program would be another one.
void ReportLeftOut(const lang::Problem& p, lang::Diagnostics& diagnostics) {
  const auto warn = [&](lang::Span at, const std::string& what) {
    diagnostics.Warning(lang::Code::kUnsupported, at, fmt::format("{} is left out: it cannot be compiled yet", what));
  };
  const auto refuse = [&](lang::Span at, const std::string& what) {
    diagnostics.Error(lang::Code::kUnsupported, at, fmt::format("{} cannot be compiled yet", what));
  };
  for (const lang::ReportDecl* r : p.reports) warn(r->name.span, fmt::format("the report `{}`", r->name.text));
  if (p.solve) {
    const lang::ExprPtr& first = p.solve->builder ? p.solve->builder : p.solve->predictions.empty() ? p.solve->builder : p.solve->predictions[0].value;
    if (first) warn(first->span, "`solve`");
  }
  if (p.model) for (const lang::ExprPtr& r : p.model->refinements) warn(r->span, "a refinement of the model");
  for (const lang::Constraint* c : p.constraints) {
    diagnostics.Warning(lang::Code::kUnsupported, c->span, fmt::format("the constraint `{}` is measured, and nothing keeps it yet", c->name.text));
  }
  for (const lang::FindDecl* f : p.finds) refuse(f->relation.value->span, "`find`");
  for (const lang::NextDecl* n : p.nexts) refuse(n->name.span, "`next`");
  for (const lang::LossDecl* l : p.losses) {
    const auto* name = l->value ? std::get_if<lang::Name>(&l->value->node) : nullptr;
    const bool plain = name && name->name.text == "objective" && !l->estimator;
    if (!plain && l->value) refuse(l->value->span, "a loss other than `objective`");
  }
  for (const auto& [owner, settings] : p.train) {
    for (const lang::Setting* s : settings) warn(s->key.span, fmt::format("the setting `{}`, which the caller of Train gives,", s->key.text));
  }
}

}  // namespace

Program Build(const lang::Program&, const lang::Problem& problem, const Tables& tables, lang::Diagnostics& diagnostics) {
  Program program;
  program.name = problem.name;
  program.maximize = !problem.objectives.empty() && problem.objectives[0]->maximize;
  Parts parts{problem, tables, program, diagnostics};
  parts.Make("declare", {}, [&](Scope& s) {
    ForEachValue(problem, [&](const std::string& n, const lang::ValueDecl& v) {
      if (!v.type) return;
      auto& list = v.kind == ValueKind::kData ? program.data : v.kind == ValueKind::kContext ? program.contexts : v.kind == ValueKind::kHidden ? program.hidden : program.variables;
      if (v.kind == ValueKind::kConst || v.kind == ValueKind::kParameter || v.kind == ValueKind::kRandom) return;
      if (std::any_of(list.begin(), list.end(), [&](const Named& x) { return x.name == n; })) return;
      list.push_back({n, {s.ElemOf(*v.type), s.Dims(*v.type)}});
    });
    return true;
  });
  Values(parts, {ValueKind::kData}, {}, "data", program.data_function);
  Values(parts, {ValueKind::kContext, ValueKind::kHidden}, {ValueKind::kData, ValueKind::kParameter}, "sample", program.sample_function);
  if (!problem.objectives.empty()) {
    program.objective = parts.Make("objective", kSeen, [&](Scope& s) {
      s.b.Output("objective", s.Objective(problem.objectives[0]->value->span).value);
      return true;
    });
  }
  program.project = parts.Make("project", {ValueKind::kData, ValueKind::kParameter, ValueKind::kContext, ValueKind::kVariable}, [&](Scope& s) {
    for (const Named& v : program.variables) {
      const lang::ValueDecl& d = *AsValue(problem.names.at(v.name));
      const Term y = s.EvalNamed(v.name, d.names[0].span);
      s.b.Output(v.name, d.set ? s.Project(*d.set, y).value : y.value);
    }
    return !program.variables.empty();
  });
  if (!problem.updates.empty()) {
    program.update = parts.Make("update", kSeen, [&](Scope& s) {
      for (const lang::UpdateDecl* u : problem.updates) s.b.Output(u->name.text, s.Real(s.Family(u->index, *u->value)).value);
      return true;
    });
  }
  for (const lang::Constraint* c : problem.constraints) {
    auto f = parts.Make(c->name.text, kSeen, [&](Scope& s) {
      if (!c->index.empty() || c->condition) s.Unsupported(c->span, "an indexed constraint");
      s.b.Output("amounts", Amounts(s, c->relation).value);
      return true;
    });
    if (f) program.constraints.push_back(std::move(*f));
  }
  program.predict = Prediction(parts);
  ReportLeftOut(problem, diagnostics);
  return program;
}

}  // namespace amo::compiler
