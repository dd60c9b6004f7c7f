// SPDX-License-Identifier: Apache-2.0
// Calls of what a file declares: functions, networks, names with replacements, other problems.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lang/checker.h"

namespace amo::lang {
namespace {

constexpr int kMaxDepth = 50;

}  // namespace

// ---- signatures against arguments

bool Checker::Unify(const Dim& pattern, const Dim& actual, const std::set<std::string>& generics,
                    std::map<std::string, Dim>& bound) const {
  const Dim rest = Bound({Elem::kInt, {pattern}, false}, {}, bound).dims[0];
  std::string open;
  double coefficient = 0;
  for (const auto& [monomial, c] : rest.terms) {
    const bool is_open = std::any_of(monomial.begin(), monomial.end(), [&](const std::string& name) {
      return generics.contains(name) && !bound.contains(name);
    });
    if (!is_open) continue;
    if (monomial.size() != 1 || !open.empty()) return true;  // products of unknown dims are not solved for
    open = monomial[0];
    coefficient = c;
  }
  if (open.empty()) return SameDim(rest, actual);
  // c * g + others = actual
  Dim others = rest;
  others.terms.erase({open});
  if (IsFixed(others)) others = Fixed(FixedValue(others));
  const Dim known = Bound({Elem::kInt, {others}, false}, {}, {}).dims[0];
  const std::optional<Dim> solved = Divide(actual - known, Fixed(static_cast<std::int64_t>(coefficient)));
  if (!solved || (solved->value != kUnknownValue && solved->value < 0)) return false;
  bound[open] = *solved;
  return true;
}

bool Checker::Unify(const Type& pattern, const Type& actual, const std::set<std::string>& generics,
                    std::map<std::string, Dim>& bound) const {
  const bool fits = pattern.elem == actual.elem || (pattern.elem == Elem::kReal && actual.elem == Elem::kInt);
  if (!fits || pattern.dims.size() != actual.dims.size()) return false;
  for (std::size_t i = 0; i < pattern.dims.size(); ++i) {
    if (!Unify(pattern.dims[i], actual.dims[i], generics, bound)) return false;
  }
  return true;
}

// `type` with the dims that a call has bound, and with the values of the problem's own.
Type Checker::Bound(const Type& type, const Signature& signature, const std::map<std::string, Dim>& bound) const {
  std::map<std::string, Dim> by;
  for (const auto& [name, dim] : dims_) {
    if (dim.terms.size() == 1 && dim.terms.contains({name})) by[name] = dim;
  }
  for (const auto& [name, dim] : bound) by[name] = dim;
  Type result{type.elem, {}, type.row};
  for (const Dim& dim : type.dims) {
    const bool changes = std::any_of(bound.begin(), bound.end(), [&](const auto& b) { return Mentions(dim, b.first); });
    result.dims.push_back(changes || dim.value == kUnknownValue ? Replace(dim, by) : dim);
  }
  for (const std::string& generic : signature.generics) {
    for (const Dim& dim : type.dims) {
      if (!bound.contains(generic) && Mentions(dim, generic)) return {};
    }
  }
  return result;
}

Span Checker::OpeningOf(const Call& node, const Expr& expr) {
  return {node.callee->span.end, expr.span.end, expr.span.source};
}

bool Checker::StartsLine(Span span) const {
  const std::string& text = program_.sources[span.source].text;
  std::uint32_t at = span.begin;
  const std::uint32_t end = span.end;
  bool crossed = false;  // the span may begin with the white space before its bracket
  for (; at < end && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n'); ++at)
    crossed = crossed || text[at] == '\n';
  return crossed;
}

void Checker::ReportCount(const Call& node, const Expr& expr, std::string_view usage, int min_args, int max_args) {
  const std::string name(usage.substr(0, usage.find('(')));
  const std::string want = min_args == max_args ? fmt::format("{}", min_args)
                           : max_args < 0       ? fmt::format("at least {}", min_args)
                                                : fmt::format("{} to {}", min_args, max_args);
  out_->Error(Code::kArgumentCount, OpeningOf(node, expr),
              fmt::format("`{}` takes {} {}, here {} {}", name, want,
                          min_args == 1 && max_args == 1 ? "argument" : "arguments",
                          node.args.size() == 1 ? "is" : "are", node.args.size()))
      .Help(fmt::format("`{}`", usage));
}

Type Checker::CallFunction(const Call& node, const Expr& expr, const Ident& name, const Decl& decl) {
  std::vector<Type> args;
  bool good = true;
  for (const Argument& argument : node.args) {
    if (!argument.keyword) {
      args.push_back(InferValue(*argument.value));
      good = good && !args.back().is_error();
      continue;
    }
    CheckReplacement(argument, expr);
  }
  std::vector<Type> weights;
  for (const ExprPtr& w : node.weights) weights.push_back(InferValue(*w));
  const Signature* signature = SignatureOf(decl);
  if (signature == nullptr) return {};
  const auto* network = std::get_if<NetworkDecl>(&decl.node);
  const std::vector<Param>& params = network != nullptr ? network->params : std::get<FunctionDecl>(decl.node).params;
  if (args.size() != params.size()) {
    std::string usage;
    for (const Param& param : params) usage += (usage.empty() ? "" : ", ") + param.name.text;
    out_->Error(
            Code::kArgumentCount, OpeningOf(node, expr),
            fmt::format("`{}` takes {} {}, here {} {}", name.text, params.size(),
                        params.size() == 1 ? "argument" : "arguments", args.size() == 1 ? "is" : "are", args.size()))
        .Label(SpanOf(name.text), fmt::format("`{}({})`", name.text, usage));
    return {};
  }
  if (!weights.empty() && network == nullptr) {
    out_->Error(Code::kArgumentCount, node.weights[0]->span,
                fmt::format("`{}` is a function, it has no weights", name.text));
    return {};
  }
  std::map<std::string, Dim> bound;
  std::size_t i = 0;
  for (const Argument& argument : node.args) {
    if (argument.keyword) continue;
    const Type& want = signature->params[i];
    const Type& got = args[i];
    const Param& param = params[i];
    ++i;
    if (got.is_error() || want.is_error()) continue;
    // A function of one number maps over an array.
    const bool maps = network == nullptr && params.size() == 1 && want.is_scalar() && signature->result.is_scalar() &&
                      !signature->result.is_error() && !got.is_scalar() && got.elem != Elem::kBool;
    if (maps && Unify(want, Scalar(got.elem), {}, bound)) return {signature->result.elem, got.dims, false};
    if (Unify(want, got, signature->generics, bound)) continue;
    good = false;
    const Type shown = Bound(want, {}, bound);
    Diagnostic& error = out_->Error(
        want.dims.size() == got.dims.size() && SameDims(shown.dims, got.dims) ? Code::kTypeMismatch
                                                                              : Code::kShapeMismatch,
        argument.value->span,
        fmt::format("`{}` of `{}` is `{}`, this is `{}`", param.name.text, name.text, ToString(shown), ToString(got)));
    error.Label(param.type.span, "declared here");
    LabelOrigin(error, *argument.value, got);
  }
  if (network != nullptr && !weights.empty()) {
    const Type want{Elem::kReal, {WeightsOf(name.text)}, false};
    if (weights.size() > 1) {
      out_->Error(Code::kArgumentCount, node.weights[1]->span, "a network takes one array of weights after `;`");
    } else if (!weights[0].is_error() && !SameDims(weights[0].dims, want.dims)) {
      out_->Error(
          Code::kShapeMismatch, node.weights[0]->span,
          fmt::format("the weights of `{}` are `{}`, this is `{}`", name.text, ToString(want), ToString(weights[0])));
    }
  }
  return good ? Bound(signature->result, *signature, bound) : Type{};
}

// ---- V(s = next(s)): a name with other names replaced

void Checker::CheckReplacement(const Argument& argument, const Expr&) {
  const Ident& key = *argument.keyword;
  if (key.text == "step") {
    InferWhole(*argument.value, "`step`");
    return;
  }
  const Decl* decl = DeclOf(key.text);
  if (decl != nullptr && (decl->broken || problem_.twice.contains(key.text))) {
    Infer(*argument.value);
    return;
  }
  const auto* network = decl == nullptr ? nullptr : std::get_if<NetworkDecl>(&decl->node);
  if (network != nullptr) {
    const auto* other_name = std::get_if<Name>(&argument.value->node);
    const Decl* other = other_name == nullptr ? nullptr : DeclOf(other_name->name.text);
    if (other == nullptr || !std::holds_alternative<NetworkDecl>(other->node)) {
      if (other_name != nullptr && other == nullptr) return ReportUnknown(other_name->name);
      out_->Error(Code::kTypeMismatch, argument.value->span,
                  fmt::format("`{}` is a network: only another network replaces it", key.text));
      return;
    }
    const Signature* want = SignatureOf(*decl);
    const Signature* got = SignatureOf(*other);
    if (want == nullptr || got == nullptr) return;
    bool same = want->params.size() == got->params.size() && SameDims(want->result.dims, got->result.dims);
    for (std::size_t i = 0; same && i < want->params.size(); ++i)
      same = SameDims(want->params[i].dims, got->params[i].dims);
    if (!same) {
      out_->Error(Code::kShapeMismatch, argument.value->span,
                  fmt::format("`{}` and `{}` differ in what they take or give", key.text, other_name->name.text))
          .Label(SpanOf(key.text), "one is declared here")
          .Label(SpanOf(other_name->name.text), "the other here");
    }
    return;
  }
  const Type got = InferValue(*argument.value);
  const auto* value = decl == nullptr ? nullptr : std::get_if<ValueDecl>(&decl->node);
  const bool replaceable =
      value != nullptr && (value->kind == ValueKind::kContext || value->kind == ValueKind::kHidden ||
                           value->kind == ValueKind::kVariable || value->kind == ValueKind::kRandom);
  if (replaceable) {
    const Type want = TypeOf(key.text);
    if (got.is_error() || want.is_error() || want.elem == Elem::kTable) return;
    std::map<std::string, Dim> bound;
    if (Unify(want, got, {}, bound)) return;
    out_->Error(Code::kShapeMismatch, argument.value->span,
                fmt::format("`{}` is `{}`, what replaces it is `{}`", key.text, ToString(want), ToString(got)))
        .Label(SpanOf(key.text), "declared here");
    return;
  }
  if (decl != nullptr) {
    out_->Error(Code::kUnknownKeyword, key.span,
                fmt::format("`{}` is {}, which a call does not replace", key.text, KindOf(key.text)))
        .Label(SpanOf(key.text), "declared here")
        .Help("replaced are contexts, hidden, variables, randoms, networks and `step`");
    return;
  }
  std::vector<std::string> known{"step"};
  for (const auto& [name, d] : problem_.names) {
    const auto* v = std::get_if<ValueDecl>(&d->node);
    if (std::holds_alternative<NetworkDecl>(d->node) || (v != nullptr && v->kind >= ValueKind::kHidden))
      known.push_back(name);
  }
  Diagnostic& error =
      out_->Error(Code::kUnknownKeyword, key.span, fmt::format("nothing is called `{}`, to be replaced", key.text));
  const std::string near = Nearest(key.text, known);
  if (!near.empty()) error.Help(fmt::format("did you mean `{}`?", near));
}

Type Checker::CallReplaced(const Call& node, const Expr& expr, const std::string&, const Type& type) {
  for (const Argument& argument : node.args) CheckReplacement(argument, expr);
  for (const ExprPtr& w : node.weights) {
    Infer(*w);
    out_->Error(Code::kCallOfValue, w->span, "only networks take weights after `;`");
  }
  return type;
}

Type Checker::CallOfValue(const Call& node, const Ident& name) {
  for (const Argument& argument : node.args) Infer(*argument.value);
  const Local* local = FindLocal(name.text);
  const Span declared = local != nullptr ? local->span : SpanOf(name.text);
  const Span end = node.args.empty() ? name.span : node.args.back().value->span;
  const Span opening{name.span.end, end.end, name.span.source};
  Diagnostic& error = out_->Error(Code::kCallOfValue, name.span, fmt::format("`{}` is no function", name.text));
  if (declared.end > declared.begin) error.Label(declared, "declared here");
  if (StartsLine(opening)) {
    error.Help(fmt::format("the `(` of the next line is read as its arguments: an operator may be missing after `{}`",
                           name.text));
  } else if (node.args.size() == 1) {
    error.Help(
        fmt::format("a product is written `{} * (…)`, an entry `{}[…]`; a call of a value replaces names: `{}(x = …)`",
                    name.text, name.text, name.text));
  }
  return {};
}

// ---- ridge(lambda = 0.1).w

CalledProblem* Checker::Called(const std::string& name) {
  std::unique_ptr<CalledProblem>& called = (*called_)[name];
  if (called != nullptr) return called.get();
  called = std::make_unique<CalledProblem>();
  called->problem.broken = true;
  if (depth_ >= kMaxDepth) {
    main_out_->Error(Code::kNesting, SpanOfProblem(),
                     fmt::format("problems call one another deeper than {}", kMaxDepth));
    return called.get();
  }
  called->problem = ChooseCalled(program_, name, *main_out_);
  called->checked.types = std::move(checked_.types);
  Checker checker(program_, called->problem, *main_out_, called->checked);
  checker.called_ = called_;
  checker.depth_ = depth_ + 1;
  checker.Run();
  checked_.types = std::move(called->checked.types);
  return called.get();
}

// A type of another problem: dims that both share keep their names, others are numbers here.
Type Checker::Import(const Type& type, const CalledProblem& called) const {
  std::map<std::string, Dim> by;
  for (const auto& [name, number] : called.problem.numbers) {
    const Decl* theirs = called.problem.names.at(name);
    const auto ours = problem_.names.find(name);
    const bool is_shared = ours != problem_.names.end() && ours->second == theirs;
    by[name] = is_shared && dims_.contains(name) ? dims_.at(name) : Fixed(static_cast<std::int64_t>(number));
  }
  Type result{type.elem, {}, type.row};
  for (const Dim& dim : type.dims) result.dims.push_back(Replace(dim, by));
  return result;
}

Type Checker::CallProblem(const Call& node, const Expr& expr, const Ident& name, const Ident* field) {
  CalledProblem& called = *Called(name.text);
  std::vector<std::string> contexts, variables;
  std::set<std::string> given;
  bool good = true;
  for (const auto& [other, decl] : called.problem.names) {
    const auto* value = std::get_if<ValueDecl>(&decl->node);
    if (value == nullptr || decl->broken) continue;
    if (value->kind == ValueKind::kContext || value->kind == ValueKind::kHidden) contexts.push_back(other);
    if (value->kind == ValueKind::kVariable) variables.push_back(other);
  }
  for (const Argument& argument : node.args) {
    const Type got = InferValue(*argument.value);
    if (!argument.keyword) {
      out_->Error(Code::kArgumentCount, argument.value->span,
                  fmt::format("the problem `{}` takes its contexts by name", name.text))
          .Help(fmt::format("`{}({} = …)`", name.text, contexts.empty() ? "x" : contexts[0]));
      return {};
    }
    const std::string& key = argument.keyword->text;
    if (std::find(contexts.begin(), contexts.end(), key) == contexts.end()) {
      if (called.problem.broken) continue;
      Diagnostic& error = out_->Error(Code::kUnknownKeyword, argument.keyword->span,
                                      fmt::format("the problem `{}` has no context `{}`", name.text, key));
      const std::string near = Nearest(key, contexts);
      error.Help(near.empty() ? fmt::format("its contexts are `{}`", fmt::join(contexts, "`, `"))
                              : fmt::format("did you mean `{}`?", near));
      good = false;
      continue;
    }
    given.insert(key);
    const auto type = called.checked.values.find(key);
    if (type == called.checked.values.end() || type->second.is_error() || got.is_error()) continue;
    const Type want = Import(type->second, called);
    std::map<std::string, Dim> bound;
    if (Unify(want, got, {}, bound)) continue;
    out_->Error(
        Code::kShapeMismatch, argument.value->span,
        fmt::format("the context `{}` of `{}` is `{}`, this is `{}`", key, name.text, ToString(want), ToString(got)));
  }
  for (const std::string& context : contexts) {
    const auto& value = std::get<ValueDecl>(called.problem.names.at(context)->node);
    if (!good || value.origin != ValueDecl::Origin::kNone || given.contains(context)) continue;
    out_->Error(Code::kArgumentCount, OpeningOf(node, expr),
                fmt::format("the problem `{}` needs its context `{}`", name.text, context))
        .Label(value.names[0].span, "declared without `~`, `=` or `from`");
  }
  if (field == nullptr) {
    out_->Error(Code::kTypeMismatch, expr.span,
                fmt::format("`{}(…)` is all of an answer: take a variable of it", name.text))
        .Help(fmt::format("`{}(…).{}`", name.text, variables.empty() ? "y" : variables[0]));
    return {};
  }
  if (std::find(variables.begin(), variables.end(), field->text) == variables.end()) {
    if (called.problem.broken) return {};
    Diagnostic& error = out_->Error(Code::kUnknownName, field->span,
                                    fmt::format("the problem `{}` has no variable `{}`", name.text, field->text));
    const std::string near = Nearest(field->text, variables);
    error.Help(near.empty() ? fmt::format("its variables are `{}`", fmt::join(variables, "`, `"))
                            : fmt::format("did you mean `{}`?", near));
    return {};
  }
  const auto type = called.checked.values.find(field->text);
  return type == called.checked.values.end() ? Type{} : Import(type->second, called);
}

// ---- any call

Type Checker::InferCall(const Call& node, const Expr& expr) {
  const Expr* callee = node.callee.get();
  const auto* index = std::get_if<Index>(&callee->node);
  if (index != nullptr) callee = index->base.get();
  const auto* callee_name = std::get_if<Name>(&callee->node);
  const auto infer_arguments = [&] {
    for (const Argument& argument : node.args) Infer(*argument.value);
  };
  if (callee_name == nullptr) {  // a field: what it gives is no function
    Infer(*node.callee);
    infer_arguments();
    out_->Error(Code::kCallOfValue, node.callee->span, fmt::format("{} is no function", Quote(*node.callee)));
    return {};
  }
  const Ident& name = callee_name->name;
  const bool is_local = FindLocal(name.text) != nullptr || generics_.contains(name.text);
  const Decl* decl = is_local ? nullptr : DeclOf(name.text);
  const bool replaces = !node.args.empty() && std::all_of(node.args.begin(), node.args.end(),
                                                          [](const Argument& a) { return a.keyword.has_value(); });
  if (decl != nullptr && (decl->broken || problem_.twice.contains(name.text))) {
    infer_arguments();
    return {};
  }
  const bool is_function = decl != nullptr && std::holds_alternative<FunctionDecl>(decl->node);
  const auto* network = decl == nullptr ? nullptr : std::get_if<NetworkDecl>(&decl->node);
  if (network != nullptr) {
    const std::size_t given = index == nullptr ? 0 : index->items.size();
    if (index != nullptr) {
      for (const IndexItem& item : index->items) {
        if (item.at != nullptr) InferWhole(*item.at, "the index of a network");
      }
    }
    if (given != network->index.size()) {
      infer_arguments();
      out_->Error(Code::kArgumentCount, node.callee->span,
                  network->index.empty() ? fmt::format("`{}` is one network, it has no index", name.text)
                                         : fmt::format("`{}` is a family of networks: one is called", name.text))
          .Label(network->name.span, "declared here")
          .Help(network->index.empty() ? "" : fmt::format("`{}[{}](…)`", name.text, network->index[0].name.text));
      return {};
    }
    return CallFunction(node, expr, name, *decl);
  }
  if (index != nullptr) {
    const Type type = Infer(*node.callee);
    if (replaces && decl != nullptr && !is_function) return CallReplaced(node, expr, name.text, type);
    return type.is_error() ? Type{} : CallOfValue(node, name);
  }
  if (is_function) return CallFunction(node, expr, name, *decl);
  if (is_local || decl != nullptr) {
    if (is_local || !replaces) return CallOfValue(node, name);
    return CallReplaced(node, expr, name.text, TypeOf(name.text));
  }
  if (name.text == "violation" && !replaces) {
    for (const Argument& argument : node.args) {
      const Expr* constraint = argument.value.get();
      if (const auto* of = std::get_if<Index>(&constraint->node)) constraint = of->base.get();
      const auto* constraint_name = std::get_if<Name>(&constraint->node);
      std::vector<std::string> known;
      for (const Constraint* c : problem_.constraints) known.push_back(c->name.text);
      if (constraint_name != nullptr &&
          std::find(known.begin(), known.end(), constraint_name->name.text) != known.end())
        continue;
      if (problem_.broken) continue;
      Diagnostic& error = out_->Error(Code::kUnknownName, argument.value->span,
                                      fmt::format("no constraint is called {}", Quote(*argument.value)));
      const std::string near = constraint_name == nullptr ? "" : Nearest(constraint_name->name.text, known);
      if (!near.empty()) error.Help(fmt::format("did you mean `{}`?", near));
    }
    if (node.args.size() != 1) ReportCount(node, expr, "violation(NAME)", 1, 1);
    return Scalar(Elem::kReal);
  }
  if (name.text == "objective" || name.text == "residual" || name.text == "violation" || name.text == "regression") {
    const Type type = Infer(*node.callee);
    if (type.is_error()) return type;
    return replaces ? CallReplaced(node, expr, name.text, type) : CallOfValue(node, name);
  }
  if (const Builtin* builtin = FindBuiltin(Space::kFunction, name.text)) {
    if (node.callee->id >= checked_.types.size()) checked_.types.resize(node.callee->id + 1);
    checked_.types[node.callee->id] = Scalar(Elem::kFunction);
    return CallBuiltin(node, expr, *builtin);
  }
  if (IsProblem(name.text)) return CallProblem(node, expr, name, nullptr);
  if (IsClosedName(name.text)) return CallOfValue(node, name);
  infer_arguments();
  ReportUnknown(name);
  return {};
}

}  // namespace amo::lang
