// SPDX-License-Identifier: Apache-2.0
// When things are known and what they rest on: binding times, what a prediction may read, whether the objective rests
// on its variables, what nothing uses.
#include <fmt/format.h>

#include <algorithm>

#include "lang/checker.h"

namespace amo::lang {
namespace {

// const < data < parameter < context, hidden < variable < random
enum Time { kConstTime, kDataTime, kParameterTime, kContextTime, kVariableTime, kRandomTime };

Time TimeOfKind(ValueKind kind) {
  switch (kind) {
    case ValueKind::kConst:
      return kConstTime;
    case ValueKind::kData:
      return kDataTime;
    case ValueKind::kParameter:
      return kParameterTime;
    case ValueKind::kHidden:
    case ValueKind::kContext:
      return kContextTime;
    case ValueKind::kVariable:
      return kVariableTime;
    case ValueKind::kRandom:
      return kRandomTime;
  }
  return kConstTime;
}

std::string_view TimeText(int time) {
  constexpr std::string_view kTexts[] = {
      "known when the file is compiled", "known once per file", "learned",
      "new for each instance",           "what is optimized",   "drawn for each evaluation"};
  return kTexts[time];
}

const Ident* NameOfCallee(const Expr& expr) {
  if (const auto* name = std::get_if<Name>(&expr.node)) return &name->name;
  if (const auto* call = std::get_if<Call>(&expr.node)) return NameOfCallee(*call->callee);
  return nullptr;
}

}  // namespace

// ---- what things rest on

int Checker::TimeOf(const std::string& root) const {
  const auto found = problem_.names.find(root);
  if (found != problem_.names.end()) {
    if (const auto* value = std::get_if<ValueDecl>(&found->second->node)) return TimeOfKind(value->kind);
    if (std::holds_alternative<UpdateDecl>(found->second->node)) return kVariableTime;
    if (std::holds_alternative<NetworkDecl>(found->second->node)) return kParameterTime;
  }
  if (root == "trained") return kParameterTime;
  if (root == "ended") return kContextTime;
  return kVariableTime;  // step
}

Roots Checker::RootsOf(const std::function<void(const OnUse&)>& visit) {
  Roots roots;
  visit([&](const Use& use) { AddRoots(use, roots); });
  return roots;
}

void Checker::AddRoots(const Use& use, Roots& roots) {
  Roots found;
  const auto add_all = [&](const Roots& more) {
    for (const auto& root : more) found.try_emplace(root.first, use.span);
  };
  const auto decl_at = problem_.names.find(use.name);
  const Decl* decl = decl_at == problem_.names.end() ? nullptr : decl_at->second;
  if (use.kind == Use::Kind::kConstraint) {
    add_all(RootsOf("constraint " + use.name));
  } else if (use.kind == Use::Kind::kSet) {
    if (problem_.sets.contains(use.name)) add_all(RootsOf("set " + use.name));
  } else if (decl == nullptr) {
    const bool is_whole =
        use.name == "objective" || use.name == "residual" || use.name == "violation" || use.name == "regression";
    if (is_whole) add_all(RootsOf(use.name));
    if (use.name == "trained" || use.name == "step" || use.name == "ended") found.try_emplace(use.name, use.span);
  } else if (std::holds_alternative<NetworkDecl>(decl->node)) {
    const bool has_weights = use.call != nullptr && !use.call->weights.empty();
    if (!use.shape_only && !has_weights) found.try_emplace(use.name, use.span);
  } else if (std::holds_alternative<ValueDecl>(decl->node) || std::holds_alternative<UpdateDecl>(decl->node)) {
    found.try_emplace(use.name, use.span);
  } else if (!std::holds_alternative<DimDecl>(decl->node)) {
    add_all(RootsOf(use.name));
  }
  if (use.call != nullptr && use.kind == Use::Kind::kValue) {
    for (const Argument& argument : use.call->args) {
      if (argument.keyword && argument.keyword->text != use.name) found.erase(argument.keyword->text);
    }
  }
  for (const auto& [name, span] : found) {
    if (!use.averaged || TimeOf(name) < kContextTime) roots.try_emplace(name, span);
  }
}

// Of a let, a function, "objective", "residual", "violation", "constraint NAME", "set NAME".
const Roots& Checker::RootsOf(const std::string& name) {
  if (const auto known = roots_.find(name); known != roots_.end()) return known->second;
  static const Roots& none = *new Roots;
  if (!roots_open_.insert(name).second) return none;
  Roots roots = RootsOf([&](const OnUse& on_use) {
    const auto visit_constraints = [&](const std::string& which) {
      for (const Constraint* constraint : problem_.constraints) {
        if (which.empty() || constraint->name.text == which) VisitUses(*constraint, on_use);
      }
    };
    const bool is_residual = name == "residual";
    if (name == "objective" || is_residual) {
      for (const ObjectiveDecl* objective : problem_.objectives) {
        if (objective->value != nullptr) VisitUses(*objective->value, on_use);
      }
    }
    if (is_residual) {
      for (const FindDecl* find : problem_.finds) VisitUses(find->relation, on_use);
    }
    if (name == "violation") visit_constraints("");
    if (name == "regression") {
      for (const auto& [other, decl] : problem_.names) {
        const auto* value = std::get_if<ValueDecl>(&decl->node);
        if (value != nullptr && value->kind == ValueKind::kVariable) on_use({other, SpanOf(other)});
      }
    }
    if (name.starts_with("constraint ")) return visit_constraints(name.substr(11));
    const bool is_set = name.starts_with("set ");
    const auto& table = is_set ? problem_.sets : problem_.names;
    const auto decl = table.find(is_set ? name.substr(4) : name);
    if (decl != table.end() && !decl->second->broken) VisitUses(*decl->second, on_use);
  });
  roots_open_.erase(name);
  return roots_[name] = std::move(roots);
}

// ---- binding times

// Reports the first root that is known only after `latest`; `what` says whose rule it is.
void Checker::CheckLatest(const Roots& roots, int latest, const std::string& what, Span declared, std::string help) {
  const std::pair<const std::string, Span>* late = nullptr;
  for (const auto& root : roots) {
    if (TimeOf(root.first) > latest && (late == nullptr || root.second.begin < late->second.begin)) late = &root;
  }
  if (late == nullptr) return;
  const auto& [name, span] = *late;
  const bool is_declared = problem_.names.contains(name);
  // "the context `x`", "hidden `h`", "`step`"
  std::string kind = is_declared ? fmt::format("{} `{}`", KindOf(name), name) : fmt::format("`{}`", name);
  if (kind.starts_with("a ")) kind.replace(0, 1, "the");
  Diagnostic& error =
      out_->Error(Code::kBindingTime, span, fmt::format("{}, and rests on {}, {}", what, kind, TimeText(TimeOf(name))));
  const std::string_view text = program_.sources.Text(span);
  if (text != name) error.Under(fmt::format("`{}` rests on `{}`", text, name));
  if (is_declared && SpanOf(name) != span) error.Label(SpanOf(name), fmt::format("`{}` is declared here", name));
  if (declared.end > declared.begin) error.Label(declared, "and this here");
  error.Help(std::move(help));
}

void Checker::CheckTimeOf(const Decl& decl) {
  if (decl.broken) return;
  file_ = program_.files.size();
  if (const auto* function = std::get_if<FunctionDecl>(&decl.node)) {
    CheckLatest(RootsOf(function->name.text), kParameterTime,
                fmt::format("the function `{}` sees consts, data, parameters and networks", function->name.text), {},
                "pass it as an argument");
    return;
  }
  const auto* value = std::get_if<ValueDecl>(&decl.node);
  if (value == nullptr) return;
  const std::string& name = value->names[0].text;
  if (value->kind == ValueKind::kVariable) {
    if (value->set == nullptr) return;
    const Roots roots = RootsOf([&](const OnUse& on_use) { VisitSetUses(*value->set, on_use); });
    CheckLatest(roots, kContextTime, fmt::format("the set of `{}` is {}", name, TimeText(kContextTime)), {},
                "what joins several variables stands after `subject to`");
    for (const auto& [root, span] : roots) {
      const ValueDecl* hidden = FindValue(root);
      if (hidden == nullptr || hidden->kind != ValueKind::kHidden) continue;
      out_->Error(Code::kHiddenAtDeployment, span,
                  fmt::format("the set of `{}` needs `{}`, which is hidden", name, root))
          .Label(SpanOf(root), "not known when an answer is asked for")
          .Help("make it a `context`");
    }
    return;
  }
  const int latest = value->kind == ValueKind::kHidden && HasNext() ? kRandomTime : TimeOfKind(value->kind);
  constexpr std::string_view kKinds[] = {"a const",   "data",       "a parameter", "hidden",
                                         "a context", "a variable", "random"};
  const std::string_view kind = kKinds[static_cast<std::size_t>(value->kind)];
  const bool learned = value->kind == ValueKind::kParameter;
  CheckLatest(RootsOf([&](const OnUse& on_use) { VisitUses(decl, on_use); }), latest,
              learned ? fmt::format("`{}` is {}: its start is one for all instances", name, kind)
                      : fmt::format("`{}` is {}, {}", name, kind, TimeText(TimeOfKind(value->kind))),
              {},
              latest == kContextTime ? "what rests on a variable is a `let`; with `next`, a `hidden` records it"
                                     : "a `let` is computed whenever it is needed");
}

// ---- variables, deployment

void Checker::CheckVariablesUsed() {
  if (problem_.objectives.empty() && problem_.finds.empty()) return;
  const bool has_objective = !problem_.objectives.empty();
  Roots roots = RootsOf(std::string("residual"));
  for (const auto& root : RootsOf(std::string("violation"))) roots.insert(root);
  for (const auto& [name, decl] : problem_.names) {
    const auto* value = std::get_if<ValueDecl>(&decl->node);
    if (value == nullptr || value->kind != ValueKind::kVariable || roots.contains(name)) continue;
    Diagnostic& error =
        out_->Error(Code::kUnusedVariable, SpanOf(name),
                    has_objective ? fmt::format("the objective does not depend on the variable `{}`", name)
                                  : fmt::format("the equation does not depend on the variable `{}`", name));
    if (has_objective && problem_.objectives[0]->value != nullptr)
      error.Label(problem_.objectives[0]->value->span, "the objective");
  }
  if (main_out_->has_errors()) return;
  for (const Constraint* constraint : problem_.constraints) {
    const Roots& of = RootsOf("constraint " + constraint->name.text);
    const bool is_constraint =
        std::any_of(of.begin(), of.end(), [&](const auto& root) { return TimeOf(root.first) == kVariableTime; });
    if (!is_constraint)
      out_->Warning(Code::kRelation, constraint->name.span,
                    fmt::format("the constraint `{}` holds no variable", constraint->name.text));
  }
}

void Checker::CheckDeployment() {
  if (problem_.model == nullptr) return;
  const Stages& model = *problem_.model;
  const auto check = [&](const Roots& roots, const std::string& what, std::optional<Span> at) {
    for (const auto& [name, span] : roots) {
      const ValueDecl* value = FindValue(name);
      if (value == nullptr || value->kind != ValueKind::kHidden) continue;
      const std::string_view text = program_.sources.Text(span);
      Diagnostic& error = out_->Error(Code::kHiddenAtDeployment, at.value_or(span),
                                      fmt::format("{} needs `{}`, which is hidden from it", what, name));
      if (!at && text != name) error.Under(fmt::format("`{}` rests on `{}`", text, name));
      error.Label(SpanOf(name), "not known when an answer is asked for");
      error.Help("make it a `context`; or let only the loss use it");
      return;
    }
  };
  std::set<std::string> bound;
  for (const Over& over : model.over) bound.insert(over.name.text);
  for (const Definition& prediction : model.predictions) {
    std::set<std::string> inner = bound;
    for (const Binder& binder : prediction.index) inner.insert(binder.name.text);
    const Roots roots = RootsOf([&](const OnUse& on_use) {
      VisitUses(*prediction.value, [&](const Use& use) {
        if (!inner.contains(use.name)) on_use(use);
      });
    });
    check(roots, fmt::format("the prediction of `{}`", prediction.name.text), std::nullopt);
  }
  for (const ExprPtr& refinement : model.refinements) {
    const Ident* name = NameOfCallee(*refinement);
    const Builtin* builtin = name == nullptr ? nullptr : FindBuiltin(Space::kRefinement, name->text);
    check(RootsOf([&](const OnUse& on_use) { VisitRefinementUses(*refinement, on_use); }), "the refinement",
          std::nullopt);
    if (builtin == nullptr) continue;
    const bool follows_update = (name->text == "iterate" || name->text == "anderson") && !problem_.updates.empty();
    if (follows_update) {
      for (const UpdateDecl* update : problem_.updates) {
        const Roots roots = RootsOf([&](const OnUse& on_use) {
          VisitUses(*update->value, on_use);
          if (update->from != nullptr) VisitUses(*update->from, on_use);
        });
        check(roots, fmt::format("the update of `{}`", update->name.text), std::nullopt);
      }
    } else if (name->text == "complete" || name->text == "correct") {
      check(RootsOf(std::string("violation")), fmt::format("`{}` follows the constraints, which it", name->text),
            name->span);
    } else {
      check(RootsOf(std::string("residual")), fmt::format("`{}` follows the objective, which", name->text), name->span);
    }
  }
}

// ---- unused

// A name counts as used when any declaration of its file refers to it, whatever problem or variant that belongs to.
void Checker::CheckUnused() {
  std::set<std::string> used, used_sets;
  for (const File& file : program_.files) {
    if (file.source != problem_.source) continue;
    for (const Decl& decl : file.decls) {
      std::set<std::string> own;
      if (const auto* let = std::get_if<LetDecl>(&decl.node)) own.insert(let->name.text);
      if (const auto* function = std::get_if<FunctionDecl>(&decl.node)) own.insert(function->name.text);
      VisitUses(decl, [&](const Use& use) {
        if (!own.contains(use.name)) (use.kind == Use::Kind::kSet ? used_sets : used).insert(use.name);
      });
      if (const auto* next = std::get_if<NextDecl>(&decl.node)) used.insert(next->name.text);
    }
  }
  for (const auto& [name, decl] : problem_.names) {
    const auto* value = std::get_if<ValueDecl>(&decl->node);
    const bool is_variable = value != nullptr && value->kind == ValueKind::kVariable;
    if (decl->span.source != problem_.source || decl->broken || is_variable || used.contains(name)) continue;
    if (std::holds_alternative<UpdateDecl>(decl->node)) continue;
    out_->Warning(Code::kUnused, SpanOf(name), fmt::format("`{}` is never used", name));
  }
  for (const auto& [name, decl] : problem_.sets) {
    if (decl->span.source != problem_.source || decl->broken || used_sets.contains(name)) continue;
    out_->Warning(Code::kUnused, std::get<SetDecl>(decl->node).name.span,
                  fmt::format("the set `{}` is never used", name));
  }
}

void Checker::CheckTimes() {
  Scope scope(*this, true);
  // In order, so that what each rests on is known before it is asked for.
  for (const Decl* decl : order_) {
    if (const auto* let = std::get_if<LetDecl>(&decl->node)) RootsOf(let->name.text);
    if (const auto* function = std::get_if<FunctionDecl>(&decl->node)) RootsOf(function->name.text);
    if (const auto* set = std::get_if<SetDecl>(&decl->node)) RootsOf("set " + set->name.text);
    CheckTimeOf(*decl);
  }
  for (const auto& [owner, settings] : problem_.train) {
    for (const Setting* setting : settings) {
      const Roots roots = RootsOf([&](const OnUse& on_use) { VisitUses(*setting->value, on_use); });
      CheckLatest(roots, kParameterTime, fmt::format("`{}` is one for all instances", setting->key.text), {},
                  "schedules are expressions of `trained`");
    }
  }
  for (const ReportDecl* report : problem_.reports) {
    const Roots roots = RootsOf([&](const OnUse& on_use) { VisitUses(*report->value, on_use); });
    CheckLatest(roots, kParameterTime,
                fmt::format("the report `{}` is one number for the whole test split", report->name.text), {},
                "`expect(…)` is the mean over it");
  }
  CheckDeployment();
  CheckOwners();
  if (problem_.broken) return;
  CheckVariablesUsed();
  if (!main_out_->has_errors()) CheckUnused();
}

}  // namespace amo::lang
