// SPDX-License-Identifier: Apache-2.0
// Declarations: each on its own, then what a problem must have.
#include <fmt/format.h>

#include <algorithm>

#include "lang/checker.h"
#include "lang/order.h"

namespace amo::lang {
namespace {

bool HasValue(const Relation& relation) { return relation.value != nullptr; }

}  // namespace

Span Checker::SpanOfProblem() const {
  if (problem_.decl != nullptr) return std::get<ProblemDecl>(problem_.decl->node).name.span;
  return {0, 0, problem_.source};
}

void Checker::CheckDecl(const Decl& decl) {
  if (decl.broken) return;
  if (const auto* value = std::get_if<ValueDecl>(&decl.node)) {
    for (const Ident& name : value->names) {
      const auto found = problem_.names.find(name.text);
      if (found != problem_.names.end() && found->second == &decl) TypeOf(name.text);
    }
    if (value->origin == ValueDecl::Origin::kRead) CheckSource(*value);
  } else if (const auto* let = std::get_if<LetDecl>(&decl.node)) {
    TypeOf(let->name.text);
  } else if (const auto* dim = std::get_if<DimDecl>(&decl.node)) {
    Scope scope(*this, true);
    file_ = FileOf(decl.span);
    TypeOf(dim->name.text);
    VisitUses(*dim->value, [&](const Use& use) {
      if (DeclOf(use.name) == nullptr && !IsClosedName(use.name)) ReportUnknown({use.name, use.span});
    });
  } else if (std::holds_alternative<FunctionDecl>(decl.node)) {
    SignatureOf(decl);
  } else if (const auto* network = std::get_if<NetworkDecl>(&decl.node)) {
    CheckNetwork(*network, decl);
  } else if (std::holds_alternative<SetDecl>(decl.node) && !IsStdlib(decl.span)) {
    ElementOf(decl);
  }
}

// data A from qp.A; hidden r from mnist; context x from "x.npy"
void Checker::CheckSource(const ValueDecl& value) {
  const Expr* source = value.value.get();
  while (const auto* member = std::get_if<Member>(&source->node)) source = member->base.get();
  if (std::holds_alternative<String>(source->node)) return;
  if (std::holds_alternative<Call>(source->node)) {
    FindPart(*source, Space::kSimulator);
    return;
  }
  const auto* name = std::get_if<Name>(&source->node);
  if (name == nullptr) return;
  std::vector<std::string> known;
  for (const DataSet& set : DataSets()) known.emplace_back(set.name);
  if (std::find(known.begin(), known.end(), name->name.text) != known.end()) return;
  const Decl* decl = DeclOf(name->name.text);
  if (decl != nullptr && decl->broken) return;
  if (decl != nullptr && TypeOf(name->name.text).elem == Elem::kTable) return;
  if (decl != nullptr) {
    out_->Error(Code::kTypeMismatch, name->name.span,
                fmt::format("`{}` is {}, nothing is read from it", name->name.text, KindOf(name->name.text)))
        .Label(SpanOf(name->name.text), "declared here")
        .Help(
            "`from` takes a file's name in quotes, a table, or a registered data set; what is computed stands after "
            "`=`");
    return;
  }
  if (!unknown_.insert({name->name.text, name->name.span.source}).second) return;
  for (const auto& [other, d] : problem_.names) {
    if (TypeOf(other).elem == Elem::kTable) known.push_back(other);
  }
  Diagnostic& error = out_->Error(Code::kUnknownName, name->name.span,
                                  fmt::format("no table or data set is called `{}`", name->name.text));
  const std::string near = Nearest(name->name.text, known);
  error.Help(near.empty() ? fmt::format("a table is declared by `data {} from \"FILE\"`", name->name.text)
                          : fmt::format("did you mean `{}`?", near));
}

void Checker::CheckScalar(const Expr& expr, std::string_view what) {
  const Type type = InferNumber(expr);
  if (type.is_error() || type.is_scalar()) return;
  const Expr* shown = &expr;
  if (const auto* where = std::get_if<Where>(&expr.node)) shown = where->body.get();
  out_->Error(Code::kNotScalar, shown->span,
              fmt::format("{} is a single number, this has shape `{}`", what, ShapeText(type)))
      .Help("`sum(…)` or `mean(…)` makes one of it");
}

void Checker::CheckObjective(const ObjectiveDecl& objective) {
  Scope scope(*this, true);
  if (objective.value != nullptr) CheckScalar(*objective.value, "the objective");
}

void Checker::CheckFind(const FindDecl& find) {
  Scope scope(*this, true);
  if (!HasValue(find.relation)) return;
  InferValue(*find.relation.value);
  const auto* compare = std::get_if<Compare>(&find.relation.value->node);
  const bool is_equation = compare != nullptr && compare->rest.size() == 1 && compare->rest[0].first == CompareOp::kEq;
  if (is_equation && find.relation.set == nullptr) return;
  out_->Error(Code::kRelation, find.relation.value->span, "`find` takes one equation")
      .Help("`find a == b`; other relations stand after `subject to`");
}

void Checker::CheckRelation(const Relation& relation, const std::string& name, Span at) {
  if (!HasValue(relation)) return;
  const auto* compare = std::get_if<Compare>(&relation.value->node);
  if (relation.set != nullptr) {
    if (compare != nullptr) {
      InferValue(*relation.value);
      out_->Error(Code::kRelation, relation.value->span,
                  fmt::format("the constraint `{}` is a comparison and a membership", name))
          .Help("make two constraints of it");
      return;
    }
    const Type type = InferNumber(*relation.value);
    CheckSet(*relation.set, type, Quote(*relation.value) == "this" ? "what is constrained" : Quote(*relation.value),
             at);
    return;
  }
  const Type type = InferValue(*relation.value);
  if (compare == nullptr) {
    if (problem_.broken) return;
    out_->Error(Code::kRelation, relation.value->span, fmt::format("the constraint `{}` is no relation", name))
        .Under(type.is_error() ? "" : fmt::format("this is `{}`", ToString(type)))
        .Help("`a == b`, `a <= b`, `l <= a <= u` or `a in SET`");
    return;
  }
  if (type.is_error()) return;
  for (const auto& [op, operand] : compare->rest) {
    if (op == CompareOp::kLt || op == CompareOp::kGt) {
      out_->Error(Code::kRelation, relation.value->span, fmt::format("the constraint `{}` is strict", name))
          .Help(fmt::format("write `{}`: a set without its border has no nearest point",
                            op == CompareOp::kLt ? "<=" : ">="));
      return;
    }
    if (op == CompareOp::kNe) {
      out_->Error(Code::kRelation, relation.value->span, fmt::format("the constraint `{}` is an inequation", name))
          .Help("constraints are `==`, `<=`, `>=` and `in SET`");
      return;
    }
  }
}

void Checker::CheckConstraint(const Constraint& constraint) {
  Scope scope(*this, true);
  for (const Binder& binder : constraint.index) Bind(binder, nullptr);
  if (constraint.condition != nullptr) {
    Condition(*constraint.condition, fmt::format("`{}`", constraint.name.text));
    Guard(*constraint.condition);
  }
  CheckRelation(constraint.relation, constraint.name.text, constraint.name.span);
}

void Checker::CheckUpdate(const UpdateDecl& update) {
  const std::string& name = update.name.text;
  const Type want = TypeOf(name);
  const Decl* decl = DeclOf(name);
  const bool is_variable = decl != nullptr && std::holds_alternative<ValueDecl>(decl->node);
  Scope scope(*this, true);
  {
    Scope inner(*this);
    const std::optional<std::vector<Dim>> outer = BindIndices(update.index);
    const Type got = Family(outer, InferNumber(*update.value));
    Assign(*update.value, got, want, true, name, SpanOf(name));
  }
  if (is_variable && update.type) {
    const Type written = ToType(*update.type);
    if (!written.is_error() && !want.is_error() && !SameDims(written.dims, want.dims))
      out_->Error(Code::kShapeMismatch, update.type->span,
                  fmt::format("`{}` is `{}`, not `{}`", name, ToString(want), ToString(written)))
          .Label(SpanOf(name), "declared here");
  }
  if (update.from == nullptr) return;
  if (is_variable) {
    out_->Error(Code::kDuplicatePart, update.from->span,
                fmt::format("the start of the variable `{}` is the model's prediction", name))
        .Help(fmt::format("write `model {} = …`", name));
    return;
  }
  const Type start = update.type ? InferNumber(*update.from) : want;
  Assign(*update.from, start, want, true, name, update.type ? update.type->span : SpanOf(name));
}

void Checker::CheckLoss(const LossDecl& loss) {
  Scope scope(*this, true);
  CheckScalar(*loss.value, "a loss");
  if (loss.estimator == nullptr) return;
  if (const Builtin* estimator = FindPart(*loss.estimator, Space::kEstimator))
    CheckSettings(*loss.estimator, *estimator);
}

void Checker::CheckTrain(const std::string& owner, const std::vector<const Setting*>& settings) {
  Scope scope(*this, true);
  std::vector<std::string> known;
  for (const Parameter& param : TrainKeys()) known.emplace_back(param.name);
  for (const Setting* setting : settings) {
    const std::string& key = setting->key.text;
    const Parameter* param = FindParameter(TrainKeys(), key);
    if (param == nullptr) {
      Infer(*setting->value);
      Diagnostic& error =
          out_->Error(Code::kUnknownKeyword, setting->key.span, fmt::format("`train` has no key `{}`", key));
      const std::string near = Nearest(key, known);
      error.Help(near.empty() ? fmt::format("its keys are `{}`", fmt::join(known, "`, `"))
                              : fmt::format("did you mean `{}`?", near));
      continue;
    }
    CheckSetting(*setting->value, *param);
    const bool with_next = key == "replay" || key == "warmup" || key == "episode";
    if (with_next && !HasNext() && !problem_.broken) {
      out_->Error(Code::kMissingPart, setting->key.span,
                  fmt::format("`{}` is for problems with a `next`, and this has none", key));
    }
    const bool of_file = key == "steps" || key == "epochs" || key == "split" || key == "precision" || key == "seed" ||
                         key == "infeasible" || key == "constraints" || with_next;
    if (!owner.empty() && of_file) {
      out_->Error(Code::kUnknownKeyword, setting->key.span,
                  fmt::format("`{}` is one for the whole training, not for `{}`", key, owner))
          .Help(fmt::format("write `train {} = …`", key));
    }
    if (key == "precision") {
      const std::optional<double> bits = NumberOf(*setting->value);
      if (bits && *bits != 32 && *bits != 64)
        out_->Error(Code::kDomain, setting->value->span, fmt::format("`precision` is 32 or 64, here it is {}", *bits));
    }
  }
}

void Checker::CheckReport(const ReportDecl& report) {
  Scope scope(*this, true);
  in_report_ = true;
  CheckScalar(*report.value, "a report");
}

void Checker::CheckNext(const NextDecl& next) {
  Scope scope(*this, true);
  const std::string& name = next.name.text;
  const ValueDecl* value = FindValue(name);
  const Type got = InferValue(*next.value);
  if (next.until != nullptr) Condition(*next.until, "`until`");
  if (value != nullptr && value->kind == ValueKind::kContext) {
    Assign(*next.value, got, TypeOf(name), true, name, SpanOf(name));
    return;
  }
  const Decl* decl = DeclOf(name);
  if (decl != nullptr && decl->broken) return;
  if (decl == nullptr) return ReportUnknown(next.name);
  out_->Error(Code::kTypeMismatch, next.name.span,
              fmt::format("`next` is for a context, `{}` is {}", name, KindOf(name)))
      .Label(SpanOf(name), "declared here");
}

// What a problem must have.
void Checker::CheckParts() {
  if (problem_.broken) return;
  const bool has_variable = std::any_of(problem_.names.begin(), problem_.names.end(), [](const auto& entry) {
    const auto* value = std::get_if<ValueDecl>(&entry.second->node);
    return value != nullptr && value->kind == ValueKind::kVariable;
  });
  if (!has_variable) {
    out_->Error(Code::kMissingPart, SpanOfProblem(), "this problem has no variable")
        .Help("write `variable y : real[n]`: what is optimized");
  } else if (problem_.objectives.empty() && problem_.finds.empty() && problem_.losses.empty() &&
             problem_.solve == nullptr) {
    out_->Error(Code::kMissingPart, SpanOfProblem(), "this problem says nothing of what is sought")
        .Help("write `minimize …`, `maximize …`, `find a == b`, or a `loss`");
  }
}

// ---- all of it

// A dim made of others is these others; the rest stand for themselves.
void Checker::SetDim(const DimDecl& dim) {
  const std::string& name = dim.name.text;
  const auto number = problem_.numbers.find(name);
  if (number == problem_.numbers.end()) return;
  const Expr* expr = dim.value.get();
  for (const Override& o : program_.overrides) {
    if (o.name == name) expr = o.value.get();
  }
  Dim value = Named(name, static_cast<std::int64_t>(number->second));
  const std::optional<Dim> made = expr == nullptr ? std::nullopt : ToDim(*expr);
  if (made && !IsFixed(*made) && !Mentions(*made, name) && made->value == value.value) {
    value = *made;
    value.label = name;
  }
  dims_[name] = std::move(value);
}

void Checker::Run() {
  Diagnostics circles;  // reported when the problem was chosen
  order_ = Order(program_, problem_, circles);
  for (const Decl* decl : order_) {
    if (const auto* dim = std::get_if<DimDecl>(&decl->node)) SetDim(*dim);
  }
  for (const Decl* decl : order_) CheckDecl(*decl);
  for (const ObjectiveDecl* objective : problem_.objectives) CheckObjective(*objective);
  for (const FindDecl* find : problem_.finds) CheckFind(*find);
  for (const Constraint* constraint : problem_.constraints) CheckConstraint(*constraint);
  for (const UpdateDecl* update : problem_.updates) CheckUpdate(*update);
  if (problem_.model != nullptr) CheckStages(*problem_.model, "model");
  if (problem_.solve != nullptr) CheckStages(*problem_.solve, "solve");
  for (const LossDecl* loss : problem_.losses) CheckLoss(*loss);
  for (const auto& [owner, settings] : problem_.train) CheckTrain(owner, settings);
  for (const NextDecl* next : problem_.nexts) CheckNext(*next);
  for (const ReportDecl* report : problem_.reports) CheckReport(*report);
  CheckParts();
  CheckTimes();
  checked_.types.resize(std::max<std::size_t>(checked_.types.size(), program_.expr_count));
}

Checked Check(const Program& program, const Problem& problem, Diagnostics& diagnostics) {
  Checked checked;
  checked.types.resize(program.expr_count);
  Diagnostics found;
  Checker(program, problem, found, checked).Run();
  // Shared declarations are checked once for each problem that sees them: the same is said once.
  for (const Diagnostic& d : found.all()) {
    const bool is_known = std::any_of(diagnostics.all().begin(), diagnostics.all().end(), [&](const Diagnostic& other) {
      return other.code == d.code && other.span == d.span && other.message == d.message;
    });
    if (is_known) continue;
    Diagnostic& copy = d.severity == Severity::kError ? diagnostics.Error(d.code, d.span, d.message)
                                                      : diagnostics.Warning(d.code, d.span, d.message);
    copy = d;
  }
  return checked;
}

}  // namespace amo::lang
