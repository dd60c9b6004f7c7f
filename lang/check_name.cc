// SPDX-License-Identifier: Apache-2.0
// What names stand for: locals, declarations, dims, signatures; and what is said of a name that stands for nothing.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lang/checker.h"
#include "lang/evaluate.h"

namespace amo::lang {
namespace {

// More unknown names than are shown get no suggestions: finding them is work.
constexpr std::size_t kMaxSuggestions = 40;

}  // namespace

Checker::Checker(const Program& program, const Problem& problem, Diagnostics& out, Checked& checked)
    : program_(program), problem_(problem), main_out_(&out), out_(&out), checked_(checked) {
  file_ = program.files.size();
  for (const auto& [name, decl] : problem.names) {
    if (const auto* value = std::get_if<ValueDecl>(&decl->node)) {
      for (const Ident& ident : value->names) spans_.try_emplace(ident.text, ident.span);
    }
    std::visit(Overload{
                   [&](const DimDecl& d) { spans_[d.name.text] = d.name.span; },
                   [&](const NetworkDecl& d) { spans_[d.name.text] = d.name.span; },
                   [&](const FunctionDecl& d) { spans_[d.name.text] = d.name.span; },
                   [&](const LetDecl& d) { spans_[d.name.text] = d.name.span; },
                   [&](const UpdateDecl& d) { spans_[d.name.text] = d.name.span; },
                   [](const auto&) {},
               },
               decl->node);
  }
  // The problems that stand before this one may be called.
  std::size_t count = 0;
  for (const File& file : program.files) {
    for (const Decl& decl : file.decls) {
      const auto* other = std::get_if<ProblemDecl>(&decl.node);
      if (&decl == problem.decl) return;
      if (other != nullptr) called_before_[other->name.text] = ++count;
    }
  }
}

Checker::Scope::Scope(Checker& checker, bool fresh)
    : checker_(checker),
      locals_(checker.locals_),
      generics_(checker.generics_),
      file_(checker.file_),
      in_report_(checker.in_report_),
      out_(checker.out_) {
  if (!fresh) return;
  checker.out_ = checker.main_out_;
  checker.locals_.clear();
  checker.generics_.clear();
  checker.in_report_ = false;
}

Checker::Scope::~Scope() {
  checker_.locals_ = std::move(locals_);
  checker_.generics_ = std::move(generics_);
  checker_.file_ = file_;
  checker_.in_report_ = in_report_;
  checker_.out_ = out_;
}

// ---- finding

const Local* Checker::FindLocal(const std::string& name) const {
  const auto found = std::find_if(locals_.rbegin(), locals_.rend(), [&](const Local& l) { return l.name == name; });
  return found == locals_.rend() ? nullptr : &*found;
}

std::size_t Checker::FileOf(Span span) const {
  for (std::size_t i = 0; i < program_.files.size(); ++i) {
    if (program_.files[i].source == span.source) return i;
  }
  return program_.files.size();
}

bool Checker::IsStdlib(Span span) const { return program_.sources[span.source].path.starts_with("<stdlib>/"); }

const Decl* Checker::DeclOf(const std::string& name) const {
  const auto found = problem_.names.find(name);
  if (found == problem_.names.end() || FileOf(found->second->span) > file_) return nullptr;
  return found->second;
}

const ValueDecl* Checker::FindValue(const std::string& name) const {
  const Decl* decl = DeclOf(name);
  return decl == nullptr ? nullptr : std::get_if<ValueDecl>(&decl->node);
}

bool Checker::IsProblem(const std::string& name) const {
  return called_before_.contains(name) && FindLocal(name) == nullptr && DeclOf(name) == nullptr;
}

Span Checker::SpanOf(const std::string& name) const {
  const auto found = spans_.find(name);
  return found == spans_.end() ? Span{} : found->second;
}

Dim Checker::WeightsOf(const std::string& network) const {
  return Named(fmt::format("weights({})", network), kUnknownValue);
}

// ---- types of declared names

Type Checker::TypeOf(const std::string& name) {
  if (const auto known = checked_.values.find(name); known != checked_.values.end()) return known->second;
  const auto found = problem_.names.find(name);
  if (found == problem_.names.end() || found->second->broken || !open_.insert(name).second) return {};
  const Decl& decl = *found->second;
  if (problem_.twice.contains(name)) return checked_.values[name] = {};
  Type type;
  {
    Scope scope(*this, true);
    file_ = FileOf(decl.span);
    type = std::visit(Overload{
                          [&](const DimDecl&) { return problem_.numbers.contains(name) ? Scalar(Elem::kInt) : Type{}; },
                          [&](const ValueDecl& d) { return TypeOfValue(decl, d); },
                          [&](const LetDecl& d) { return TypeOfLet(d); },
                          [&](const UpdateDecl& d) { return TypeOfState(d); },
                          [](const FunctionDecl&) { return Scalar(Elem::kFunction); },
                          [](const NetworkDecl&) { return Scalar(Elem::kFunction); },
                          [](const auto&) { return Type{}; },
                      },
                      decl.node);
  }
  open_.erase(name);
  if (type.elem == Elem::kFunction) return type;
  if (const auto* value = std::get_if<ValueDecl>(&decl.node)) {
    for (const Ident& ident : value->names) {
      if (problem_.names.at(ident.text) == &decl) checked_.values[ident.text] = type;
    }
  }
  return checked_.values[name] = type;
}

Type Checker::TypeOfValue(const Decl&, const ValueDecl& value) {
  const std::optional<std::vector<Dim>> outer = BindIndices(value.index);
  const std::string& name = value.names[0].text;
  std::optional<Type> declared;
  if (value.type) declared = ToType(*value.type);
  const Type* want = declared ? &*declared : nullptr;
  Type type = declared.value_or(Type{});
  switch (value.origin) {
    case ValueDecl::Origin::kNone:
      break;
    case ValueDecl::Origin::kComputed: {
      const Type got = InferValue(*value.value);
      if (want == nullptr) {
        type = got;
      } else {
        Assign(*value.value, got, *want, true, name, value.type->span);
      }
      break;
    }
    case ValueDecl::Origin::kDrawn: {
      const Type got = CheckDistribution(*value.value, want, want == nullptr ? value.names[0].span : value.type->span);
      if (want == nullptr) type = got;
      break;
    }
    case ValueDecl::Origin::kRead:
      if (want == nullptr)
        type = std::holds_alternative<Member>(value.value->node) ? Infer(*value.value) : Scalar(Elem::kTable);
      break;
  }
  if (value.origin == ValueDecl::Origin::kNone && want == nullptr) {
    out_->Error(Code::kMissingPart, value.names[0].span, fmt::format("`{}` has no type", name))
        .Help("write `: real[n]`, or where it comes from: `= EXPR`, `~ DISTRIBUTION`, `from SOURCE`");
  }
  if (value.set != nullptr) CheckSet(*value.set, type, name, value.names[0].span);
  return type.elem == Elem::kTable ? type : Family(outer, type);
}

Type Checker::TypeOfLet(const LetDecl& let) {
  const std::optional<std::vector<Dim>> outer = BindIndices(let.index);
  Type type = InferValue(*let.value);
  if (let.type) {
    const Type want = ToType(*let.type);
    Assign(*let.value, type, want, true, let.name.text, let.type->span);
    type = want;
  }
  return Family(outer, type);
}

Type Checker::TypeOfState(const UpdateDecl& update) {
  if (update.type) {
    const std::optional<std::vector<Dim>> outer = BindIndices(update.index);
    return Family(outer, ToType(*update.type));
  }
  if (update.from != nullptr) return InferValue(*update.from);
  out_->Error(Code::kMissingPart, update.name.span, fmt::format("the state `{}` has no type", update.name.text))
      .Help(fmt::format("write `update {} : real[n] = …`, or name a variable", update.name.text));
  return {};
}

const Signature* Checker::SignatureOf(const Decl& decl) {
  if (const auto known = signatures_.find(&decl); known != signatures_.end()) return known->second.get();
  signatures_[&decl] = nullptr;  // a circle, reported by Order, ends here
  if (decl.broken) return nullptr;
  Scope scope(*this, true);
  file_ = FileOf(decl.span);
  const auto* function = std::get_if<FunctionDecl>(&decl.node);
  const auto* network = std::get_if<NetworkDecl>(&decl.node);
  const std::vector<Param>& params = function != nullptr ? function->params : network->params;
  const TypeExpr* result = network != nullptr ? &network->result : function->result ? &*function->result : nullptr;
  auto signature = std::make_unique<Signature>();
  if (function != nullptr) {
    signature->generics = generics_ = GenericsOf(params, result);
    WarnOfLoneGenerics(params, result);
  } else {
    BindIndices(network->index);
  }
  for (const Param& param : params) signature->params.push_back(ToType(param.type));
  if (result != nullptr) signature->result = ToType(*result);
  if (function != nullptr) {
    std::vector<Local> locals;
    for (std::size_t i = 0; i < params.size(); ++i)
      locals.push_back({params[i].name.text, params[i].name.span, signature->params[i], std::nullopt, std::nullopt});
    for (Local& local : locals) {
      // An `int` parameter is an index of unknown range.
      if (local.type.elem == Elem::kInt && local.type.is_scalar())
        local.symbol = Named(fmt::format("{}#{}", local.name, next_symbol_++), kUnknownValue);
      locals_.push_back(local);
    }
    const Type got = InferValue(*function->body);
    if (result == nullptr) {
      signature->result = got;
    } else {
      Assign(*function->body, got, signature->result, true, function->name.text, result->span);
    }
  }
  return (signatures_[&decl] = std::move(signature)).get();
}

// ---- dims

std::optional<double> Checker::NumberOf(const Expr& expr) const {
  return Evaluate(expr, [this](const std::string& name) -> std::optional<double> {
    if (FindLocal(name) != nullptr || generics_.contains(name)) return std::nullopt;
    const auto found = problem_.numbers.find(name);
    return found == problem_.numbers.end() || DeclOf(name) == nullptr ? std::nullopt : std::optional(found->second);
  });
}

std::optional<Dim> Checker::ToDim(const Expr& expr) const {
  if (const auto* paren = std::get_if<Paren>(&expr.node)) return ToDim(*paren->inner);
  if (const auto* node = std::get_if<Name>(&expr.node)) {
    const std::string& name = node->name.text;
    if (const Local* local = FindLocal(name)) return local->symbol;
    if (generics_.contains(name)) return Named(name, kUnknownValue);
    const auto dim = dims_.find(name);
    if (dim != dims_.end() && DeclOf(name) != nullptr) return dim->second;
  } else if (const auto* binary = std::get_if<Binary>(&expr.node)) {
    const std::optional<Dim> a = ToDim(*binary->left), b = ToDim(*binary->right);
    if (a && b) {
      if (binary->op == BinaryOp::kAdd) return *a + *b;
      if (binary->op == BinaryOp::kSub) return *a - *b;
      if (binary->op == BinaryOp::kMul) return *a * *b;
      if (binary->op == BinaryOp::kDiv) {
        if (std::optional<Dim> quotient = Divide(*a, *b)) return quotient;
      }
    }
  } else if (const auto* call = std::get_if<Call>(&expr.node)) {
    const auto* callee = std::get_if<Name>(&call->callee->node);
    const auto* arg = call->args.size() == 1 ? std::get_if<Name>(&call->args[0].value->node) : nullptr;
    if (callee != nullptr && arg != nullptr && callee->name.text == "weights") return WeightsOf(arg->name.text);
    if (callee != nullptr && arg != nullptr && callee->name.text == "size") {
      const Local* local = FindLocal(arg->name.text);
      const auto value = checked_.values.find(arg->name.text);
      const std::vector<Dim>* dims = local != nullptr                 ? &local->type.dims
                                     : value != checked_.values.end() ? &value->second.dims
                                                                      : nullptr;
      return dims == nullptr || dims->empty() ? std::nullopt : std::optional((*dims)[0]);
    }
  }
  const std::optional<double> number = NumberOf(expr);
  if (!number || std::abs(*number) > 1e12 || *number != std::floor(*number)) return std::nullopt;
  return Fixed(static_cast<std::int64_t>(*number));
}

std::optional<Dim> Checker::DimOf(const Expr& expr) {
  std::optional<Dim> dim = ToDim(expr);
  bool is_known = true;
  VisitUses(expr, [&](const Use& use) {
    const Decl* decl = DeclOf(use.name);
    const bool is_here = FindLocal(use.name) != nullptr || generics_.contains(use.name) || IsClosedName(use.name);
    if (decl == nullptr && !is_here) {
      ReportUnknown({use.name, use.span});
      is_known = false;
    } else if (decl != nullptr && FindLocal(use.name) == nullptr &&
               (decl->broken || problem_.twice.contains(use.name) ||
                (std::holds_alternative<DimDecl>(decl->node) && !problem_.numbers.contains(use.name)))) {
      is_known = false;  // reported where it is declared
    } else if (use.shape_only && (decl == nullptr || !std::holds_alternative<NetworkDecl>(decl->node))) {
      out_->Error(Code::kTypeMismatch, use.span, fmt::format("`weights` takes a network, `{}` is none", use.name));
      is_known = false;
    }
  });
  if (!is_known) return std::nullopt;
  const bool is_symbolic = dim && std::any_of(locals_.begin(), locals_.end(), [&](const Local& l) {
                             return l.symbol && Mentions(*dim, ToString(*l.symbol));
                           });
  if (!dim || is_symbolic) {
    out_->Error(Code::kTypeMismatch, expr.span, fmt::format("{} is no dim", Quote(expr)))
        .Help("a dim is a whole number, a `dim`, or made of these with `+ - * /`");
    return std::nullopt;
  }
  if (dim->value != kUnknownValue && dim->value < 0) {
    out_->Error(Code::kDomain, expr.span, fmt::format("the dim {} is {}", Quote(expr), dim->value));
    return std::nullopt;
  }
  return dim;
}

std::optional<Interval> Checker::IntervalOf(const Expr& expr) const {
  if (const std::optional<double> number = NumberOf(expr)) return Interval{*number, *number};
  if (const auto* paren = std::get_if<Paren>(&expr.node)) return IntervalOf(*paren->inner);
  if (const auto* node = std::get_if<Name>(&expr.node)) {
    const Local* local = FindLocal(node->name.text);
    return local == nullptr ? std::nullopt : local->range;
  }
  if (const auto* unary = std::get_if<Unary>(&expr.node); unary != nullptr && unary->op == UnaryOp::kNegate) {
    const std::optional<Interval> x = IntervalOf(*unary->operand);
    return x ? std::optional(Interval{-x->hi, -x->lo}) : std::nullopt;
  }
  const auto* binary = std::get_if<Binary>(&expr.node);
  if (binary == nullptr) return std::nullopt;
  const std::optional<Interval> a = IntervalOf(*binary->left), b = IntervalOf(*binary->right);
  if (!a || !b) return std::nullopt;
  switch (binary->op) {
    case BinaryOp::kAdd:
      return Interval{a->lo + b->lo, a->hi + b->hi};
    case BinaryOp::kSub:
      return Interval{a->lo - b->hi, a->hi - b->lo};
    case BinaryOp::kMul: {
      const double ends[] = {a->lo * b->lo, a->lo * b->hi, a->hi * b->lo, a->hi * b->hi};
      return Interval{*std::min_element(ends, ends + 4), *std::max_element(ends, ends + 4)};
    }
    case BinaryOp::kMod:
      if (b->lo == b->hi && b->lo > 0) return Interval{0, b->lo - 1};
      return std::nullopt;
    case BinaryOp::kDiv:
    case BinaryOp::kElementMul:
    case BinaryOp::kElementDiv:
    case BinaryOp::kPow:
    case BinaryOp::kElementPow:
    case BinaryOp::kAnd:
    case BinaryOp::kOr:
      return std::nullopt;
  }
  return std::nullopt;
}

// ---- written types

Type Checker::ToType(const TypeExpr& type) {
  Type result;
  const std::string& name = type.name.text;
  if (name == "real") result.elem = Elem::kReal;
  if (name == "int") result.elem = Elem::kInt;
  if (name == "bool") result.elem = Elem::kBool;
  if (result.is_error()) {
    Diagnostic& error = out_->Error(Code::kUnknownName, type.name.span, fmt::format("`{}` is no type", name));
    const std::string near = Nearest(name, {"real", "int", "bool"});
    error.Help(near.empty() ? "the types are `real`, `int`, `bool`, and arrays of them: `real[n, m]`"
                            : fmt::format("did you mean `{}`?", near));
  }
  bool good = !result.is_error();
  for (const ExprPtr& dim : type.dims) {
    if (std::optional<Dim> d = DimOf(*dim)) {
      result.dims.push_back(*d);
    } else {
      good = false;
    }
  }
  return good ? result : Type{};
}

std::set<std::string> Checker::GenericsOf(const std::vector<Param>& params, const TypeExpr* result) {
  std::set<std::string> generics;
  const OnUse on_use = [&](const Use& use) {
    if (DeclOf(use.name) == nullptr && !IsClosedName(use.name) && !use.shape_only) generics.insert(use.name);
  };
  for (const Param& param : params) VisitUses(param.type, on_use);
  // A dim of the result must come from a parameter.
  if (result != nullptr) {
    VisitUses(*result, [&](const Use& use) {
      if (DeclOf(use.name) == nullptr && !IsClosedName(use.name) && !generics.contains(use.name))
        ReportUnknown({use.name, use.span});
    });
  }
  return generics;
}

void Checker::WarnOfLoneGenerics(const std::vector<Param>& params, const TypeExpr* result) {
  std::map<std::string, std::pair<int, Span>> counts;
  const OnUse on_use = [&](const Use& use) {
    if (!generics_.contains(use.name)) return;
    ++counts[use.name].first;
    counts[use.name].second = use.span;
  };
  for (const Param& param : params) VisitUses(param.type, on_use);
  if (result != nullptr) VisitUses(*result, on_use);
  std::vector<std::string> known;
  for (const auto& dim : dims_) known.push_back(dim.first);
  for (const auto& [name, count] : counts) {
    if (count.first > 1 || IsStdlib(count.second)) continue;
    Diagnostic& warning = out_->Warning(Code::kGenericDim, count.second,
                                        fmt::format("the dim `{}` is not declared, so any size fits it", name));
    const std::string near = Nearest(name, known);
    warning.Help(near.empty() ? fmt::format("if it should be one size, write `dim {} = …`", name)
                              : fmt::format("did you mean `{}`?", near));
  }
}

// ---- words

std::string Checker::Quote(const Expr& expr) const {
  const std::string_view text = program_.sources.Text(expr.span);
  if (text.size() > 40 || text.find('\n') != std::string_view::npos) return "this";
  return fmt::format("`{}`", text);
}

std::string_view Checker::KindOf(const std::string& name) const {
  const Decl* decl = DeclOf(name);
  if (decl == nullptr) return "a name";
  return std::visit(Overload{
                        [](const DimDecl&) { return "a dim"; },
                        [](const ValueDecl& d) {
                          switch (d.kind) {
                            case ValueKind::kConst:
                              return "a const";
                            case ValueKind::kData:
                              return "data";
                            case ValueKind::kParameter:
                              return "a parameter";
                            case ValueKind::kHidden:
                              return "hidden";
                            case ValueKind::kContext:
                              return "a context";
                            case ValueKind::kVariable:
                              return "a variable";
                            case ValueKind::kRandom:
                              return "random";
                          }
                          return "";
                        },
                        [](const NetworkDecl&) { return "a network"; },
                        [](const FunctionDecl&) { return "a function"; },
                        [](const LetDecl&) { return "a `let`"; },
                        [](const UpdateDecl&) { return "a state of `update`"; },
                        [](const auto&) { return "a declaration"; },
                    },
                    decl->node);
}

void Checker::ReportUnknown(const Ident& name) {
  if (!unknown_.insert({name.text, name.span.source}).second) return;
  Diagnostic& error = out_->Error(Code::kUnknownName, name.span, fmt::format("nothing is called `{}`", name.text));
  for (const Space space : {Space::kDistribution, Space::kSet, Space::kBuilder, Space::kRefinement, Space::kLayer}) {
    if (FindBuiltin(space, name.text) == nullptr) continue;
    constexpr std::string_view kPlaces[] = {
        "", "after `~`", "after `in`", "in `model`, `solve` and `network`", "in `chain`", "", "after `then`"};
    error.message = fmt::format("`{}` is {}, which stands {}", name.text, SpaceText(space),
                                kPlaces[static_cast<std::size_t>(space)]);
    return;
  }
  if (problem_.sets.contains(name.text)) {
    error.message = fmt::format("`{}` is a set, which stands after `in`", name.text);
    return;
  }
  for (const Constraint* constraint : problem_.constraints) {
    if (constraint->name.text != name.text) continue;
    error.message = fmt::format("`{}` is a constraint, which has no value", name.text);
    error.Help(fmt::format("by how much it is broken is `violation({})`", name.text));
    return;
  }
  for (const ReportDecl* report : problem_.reports) {
    if (report->name.text != name.text) continue;
    error.message = fmt::format("`{}` is a report, which only reports use", name.text);
    return;
  }
  if (IsProblem(name.text)) {
    error.message = fmt::format("`{}` is a problem", name.text);
    error.Help(fmt::format("call it with its contexts and take a variable: `{}(x = …).y`", name.text));
    return;
  }
  const std::vector<std::string> problems = ProblemNames(program_);
  if (std::find(problems.begin(), problems.end(), name.text) != problems.end()) {
    error.message = name.text == problem_.name
                        ? fmt::format("the problem `{}` cannot call itself", name.text)
                        : fmt::format("the problem `{}` stands later: only earlier ones are called", name.text);
    return;
  }
  if (unknown_.size() > kMaxSuggestions) return;
  std::vector<std::string> known;
  for (const Local& local : locals_) known.push_back(local.name);
  for (const auto& entry : problem_.names) {
    if (DeclOf(entry.first) != nullptr) known.push_back(entry.first);
  }
  for (const std::string& generic : generics_) known.push_back(generic);
  for (const std::string& closed : ClosedNames()) known.push_back(closed);
  for (std::string& function : BuiltinNames(Space::kFunction)) known.push_back(std::move(function));
  for (const auto& problem : called_before_) known.push_back(problem.first);
  const std::string near = Nearest(name.text, known);
  if (near.empty()) return;
  error.Help(fmt::format("did you mean `{}`?", near));
  if (const auto declared = spans_.find(near); declared != spans_.end() && FindLocal(near) == nullptr)
    error.Label(declared->second, fmt::format("`{}` is declared here", near));
}

const DataSet* Checker::TableOf(const Expr& expr) const {
  const auto* name = std::get_if<Name>(&expr.node);
  if (name == nullptr) return nullptr;
  const std::string* text = &name->name.text;
  for (int depth = 0; depth < 8; ++depth) {
    for (const DataSet& set : DataSets()) {
      if (set.name == *text) return &set;
    }
    const ValueDecl* value = FindValue(*text);
    const bool is_read = value != nullptr && value->origin == ValueDecl::Origin::kRead && value->value != nullptr;
    const auto* source = is_read ? std::get_if<Name>(&value->value->node) : nullptr;
    if (source == nullptr) return nullptr;
    text = &source->name.text;
  }
  return nullptr;
}

}  // namespace amo::lang
