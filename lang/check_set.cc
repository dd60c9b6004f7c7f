// SPDX-License-Identifier: Apache-2.0
// Sets after `in` and distributions after `~`: their names, their arguments, the shapes they act on.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lang/checker.h"
#include "lang/factors.h"

namespace amo::lang {
namespace {

// Whether an argument of shape `arg` goes with entries of shape `whole`: one for all, or the last axes.
bool IsSuffix(const std::vector<Dim>& arg, const std::vector<Dim>& whole) {
  return arg.size() <= whole.size() && std::equal(arg.rbegin(), arg.rend(), whole.rbegin(), SameDim);
}

struct Callee {
  const Ident* name = nullptr;
  const Call* call = nullptr;  // null: without arguments
};

Callee CalleeOf(const Expr& expr) {
  if (const auto* name = std::get_if<Name>(&expr.node)) return {&name->name, nullptr};
  if (const auto* call = std::get_if<Call>(&expr.node)) {
    if (const auto* name = std::get_if<Name>(&call->callee->node)) return {&name->name, call};
  }
  return {};
}

}  // namespace

// A parameter that is a number before anything runs is looked at now.
void Checker::CheckDomain(const Expr& value, const Parameter& param) {
  const std::optional<double> number = NumberOf(value);
  if (!number || IsIn(param.domain, *number)) return;
  out_->Error(Code::kDomain, value.span,
              fmt::format("`{}` is {}, it must be {}", param.name, *number, DomainText(param.domain)));
}

void Checker::CheckRange(std::optional<double> lo, std::optional<double> hi, std::string_view name, Span at) {
  if (!lo || !hi || *lo < *hi) return;
  if (*lo > *hi) {
    out_->Error(Code::kDomain, at, fmt::format("this `{}` is empty: it runs from {} to {}", name, *lo, *hi));
  } else {
    out_->Warning(Code::kDomain, at, fmt::format("this `{}` holds nothing but {}", name, *lo));
  }
}

// ---- sets

// Each factor of a product with its part of the last axis.
void Checker::CheckProduct(const Expr& set, const Type& of, const std::string& name, Span declared) {
  const std::vector<SetFactor> factors = FactorsOf(set);
  if (!of.is_error() && of.dims.empty()) {
    out_->Error(Code::kShapeMismatch, set.span, fmt::format("a product of sets holds vectors, `{}` is a number", name));
    return;
  }
  std::vector<std::optional<Dim>> sizes;
  Dim together = Fixed(0);
  const Expr* open = nullptr;  // the factor that has what is left
  bool known = true;
  for (const SetFactor& factor : factors) {
    sizes.push_back(factor.size != nullptr ? DimOf(*factor.size) : std::nullopt);
    if (sizes.back() && IsFixed(*sizes.back()) && FixedValue(*sizes.back()) < 1) {
      out_->Error(Code::kDomain, factor.size->span, "a factor of a product takes at least one entry");
      known = false;
    }
    if (sizes.back()) together = together + *sizes.back();
    if (factor.size != nullptr) {
      known = known && sizes.back();
    } else if (open == nullptr) {
      open = factor.set;
    } else {
      out_->Error(Code::kShapeMismatch, factor.set->span, "only one factor of a product has what the others leave")
          .Label(open->span, "it is this one")
          .Help("write how many entries of the last axis it takes: `simplex[3] * box(0, 1)`");
      known = false;
    }
  }
  if (open == nullptr && known && !of.is_error() && !SameDim(together, of.dims.back())) {
    out_->Error(Code::kShapeMismatch, set.span,
                fmt::format("the factors take {} entries together, the last axis of `{}` has {}", CountText(together),
                            name, CountText(of.dims.back())))
        .Label(declared, "declared here");
    known = false;
  }
  for (std::size_t k = 0; k < factors.size(); ++k) {
    Type part = known ? of : Type{};
    if (!part.is_error()) part.dims.back() = sizes[k] ? *sizes[k] : of.dims.back() - together;
    const bool counted = !part.is_error() && of.dims.back().value != kUnknownValue && together.value != kUnknownValue;
    if (counted && !sizes[k] && together.value >= of.dims.back().value) {
      out_->Error(Code::kShapeMismatch, factors[k].set->span,
                  fmt::format("the other factors leave nothing of the last axis of `{}`, {}", name,
                              CountText(of.dims.back())));
      part = Type{};
    }
    const Callee callee = CalleeOf(*factors[k].set);
    const Builtin* builtin = callee.name != nullptr ? FindBuiltin(Space::kSet, callee.name->text) : nullptr;
    if (builtin != nullptr && builtin->rank > 1) {
      out_->Error(Code::kShapeMismatch, factors[k].set->span,
                  fmt::format("`{}` is a set of matrices: a product cuts the last axis into vectors", builtin->name));
      continue;
    }
    CheckSet(*factors[k].set, part, name, declared);
  }
}

void Checker::CheckSet(const Expr& set, const Type& of, const std::string& name, Span declared) {
  if (IsProduct(set)) return CheckProduct(set, of, name, declared);
  if (const auto* paren = std::get_if<Paren>(&set.node)) return CheckSet(*paren->inner, of, name, declared);
  const Callee callee = CalleeOf(set);
  if (callee.name == nullptr) {
    const Type type = Infer(set);
    if (type.is_error()) return;
    out_->Error(Code::kTypeMismatch, set.span, fmt::format("{} is no set", Quote(set)))
        .Help("a set is `box(0, 1)`, `simplex`, …, or a product of them: `simplex[3] * box(0, 1)`");
    return;
  }
  if (of.elem == Elem::kBool || of.elem == Elem::kTable) {
    out_->Error(Code::kTypeMismatch, set.span, fmt::format("a set holds numbers, `{}` is `{}`", name, ToString(of)));
    return;
  }
  const auto found = problem_.sets.find(callee.name->text);
  const Decl* decl = found == problem_.sets.end() ? nullptr : found->second;
  const Builtin* builtin = FindBuiltin(Space::kSet, callee.name->text);
  if (decl != nullptr && (builtin == nullptr || !IsStdlib(decl->span))) return CheckOwnSet(set, *decl, of, name);
  if (builtin != nullptr) return CheckKnownSet(set, *builtin, of, name);
  if (callee.call != nullptr) {
    for (const Argument& argument : callee.call->args) Infer(*argument.value);
  }
  std::vector<std::string> known = BuiltinNames(Space::kSet);
  for (const auto& own : problem_.sets) known.push_back(own.first);
  if (!unknown_.insert({callee.name->text, callee.name->span.source}).second) return;
  Diagnostic& error =
      out_->Error(Code::kUnknownName, callee.name->span, fmt::format("no set is called `{}`", callee.name->text));
  const std::string near = Nearest(callee.name->text, known);
  if (!near.empty()) error.Help(fmt::format("did you mean `{}`?", near));
}

void Checker::CheckKnownSet(const Expr& set, const Builtin& builtin, const Type& of, const std::string& name) {
  const Callee callee = CalleeOf(set);
  std::vector<const Expr*> args(builtin.params.size());
  std::vector<Type> types(builtin.params.size());
  std::size_t given = 0;
  if (callee.call != nullptr) {
    for (std::size_t i = 0; i < callee.call->args.size(); ++i) {
      const Argument& argument = callee.call->args[i];
      std::size_t at = i;
      if (argument.keyword) {
        const Parameter* param = FindParameter(builtin.params, argument.keyword->text);
        if (param == nullptr) {
          Infer(*argument.value);
          out_->Error(Code::kUnknownKeyword, argument.keyword->span,
                      fmt::format("the set `{}` has no parameter `{}`", builtin.name, argument.keyword->text))
              .Help(fmt::format("`{}`", builtin.usage));
          return;
        }
        at = static_cast<std::size_t>(param - builtin.params.data());
      }
      const Type type = InferNumber(*argument.value);
      ++given;
      if (at < args.size()) {
        args[at] = argument.value.get();
        types[at] = type;
      }
    }
  }
  if (given != args.size() || std::find(args.begin(), args.end(), nullptr) != args.end()) {
    if (callee.call != nullptr) {
      ReportCount(*callee.call, set, builtin.usage, builtin.min_args, builtin.max_args);
    } else {
      out_->Error(Code::kArgumentCount, set.span, fmt::format("the set `{}` needs its parameters", builtin.name))
          .Help(fmt::format("`{}`", builtin.usage));
    }
    return;
  }
  for (std::size_t i = 0; i < args.size(); ++i) CheckDomain(*args[i], builtin.params[i]);
  if (of.is_error()) return;
  const std::size_t rank = static_cast<std::size_t>(builtin.rank);
  const std::string subject =
      name.starts_with('`') || name.find(' ') != std::string::npos ? name : fmt::format("`{}`", name);
  if (of.dims.size() < rank) {
    out_->Error(Code::kShapeMismatch, set.span,
                fmt::format("`{}` is a set of {}, {} is `{}`", builtin.name, rank == 1 ? "vectors" : "matrices",
                            subject, ToString(of)));
    return;
  }
  if (builtin.square && !SameDim(of.dims[of.dims.size() - 1], of.dims[of.dims.size() - 2])) {
    out_->Error(Code::kShapeMismatch, set.span,
                fmt::format("`{}` is a set of square matrices, {} is `{}`", builtin.name, subject, ToString(of)));
    return;
  }
  if (builtin.name == "exponential_cone" && of.dims.back().value >= 0 && of.dims.back().value != 3) {
    out_->Error(Code::kShapeMismatch, set.span,
                fmt::format("`exponential_cone` is a set of vectors of three, {} is `{}`", subject, ToString(of)));
    return;
  }
  const auto check_shape = [&](std::size_t i, bool good) {
    if (good || types[i].is_error()) return;
    Diagnostic& error =
        out_->Error(Code::kShapeMismatch, args[i]->span,
                    fmt::format("`{}` of `{}` is `{}`, which does not go with {}, a `{}`", builtin.params[i].name,
                                builtin.name, ToString(types[i]), subject, ToString(of)));
    LabelOrigin(error, *args[i], types[i]);
  };
  const std::string_view set_name = builtin.name;
  if (set_name == "affine" || set_name == "polyhedron") {
    const bool matrix = types[0].dims.size() == 2 && SameDim(types[0].dims[1], of.dims.back());
    check_shape(0, matrix);
    if (matrix)
      check_shape(1,
                  types[1].is_scalar() || (types[1].dims.size() == 1 && SameDim(types[1].dims[0], types[0].dims[0])));
  } else if (set_name == "halfspace") {
    check_shape(0, types[0].dims.size() == 1 && SameDim(types[0].dims[0], of.dims.back()));
    check_shape(1, types[1].is_scalar());
  } else {
    for (std::size_t i = 0; i < args.size(); ++i) {
      check_shape(
          i, builtin.params[i].accepts == Accepts::kNumber ? types[i].is_scalar() : IsSuffix(types[i].dims, of.dims));
    }
  }
  if (set_name == "box" || set_name == "integers") {
    const std::optional<double> lo = NumberOf(*args[0]), hi = NumberOf(*args[1]);
    CheckRange(lo, hi, set_name, set.span);
  }
}

void Checker::CheckOwnSet(const Expr& set, const Decl& decl, const Type& of, const std::string& name) {
  const auto& own = std::get<SetDecl>(decl.node);
  const Callee callee = CalleeOf(set);
  std::vector<Type> args;
  if (callee.call != nullptr) {
    for (const Argument& argument : callee.call->args) args.push_back(InferNumber(*argument.value));
  }
  const Type* element = ElementOf(decl);
  if (decl.broken) return;
  if (args.size() != own.params.size()) {
    out_->Error(Code::kArgumentCount, set.span,
                fmt::format("the set `{}` takes {} {}, here {} {}", own.name.text, own.params.size(),
                            own.params.size() == 1 ? "argument" : "arguments", args.size() == 1 ? "is" : "are",
                            args.size()))
        .Label(own.name.span, "declared here");
    return;
  }
  if (element == nullptr || of.is_error()) return;
  if (of.dims.size() < element->dims.size()) {
    out_->Error(
        Code::kShapeMismatch, set.span,
        fmt::format("the set `{}` holds `{}`, `{}` is `{}`", own.name.text, ToString(*element), name, ToString(of)));
    return;
  }
  Scope scope(*this, true);
  file_ = FileOf(decl.span);
  const std::set<std::string> generics = generics_ = GenericsOf(own.params, nullptr);
  std::set<std::string> open = generics;
  for (const Dim& dim : element->dims) {
    for (const auto& term : dim.terms) open.insert(term.first.begin(), term.first.end());
  }
  for (const auto& dim : dims_) open.erase(dim.first);
  std::map<std::string, Dim> bound;
  const Type tail{
      Elem::kReal, {of.dims.end() - static_cast<std::ptrdiff_t>(element->dims.size()), of.dims.end()}, false};
  if (!Unify(*element, tail, open, bound)) {
    out_->Error(
        Code::kShapeMismatch, set.span,
        fmt::format("the set `{}` holds `{}`, `{}` is `{}`", own.name.text, ToString(*element), name, ToString(of)));
    return;
  }
  for (std::size_t i = 0; i < args.size(); ++i) {
    const Type want = ToType(own.params[i].type);
    if (args[i].is_error() || want.is_error() || (args[i].is_scalar() && args[i].elem != Elem::kBool)) continue;
    if (Unify(want, args[i], open, bound)) continue;
    out_->Error(Code::kShapeMismatch, callee.call->args[i].value->span,
                fmt::format("`{}` of `{}` is `{}`, this is `{}`", own.params[i].name.text, own.name.text,
                            ToString(Bound(want, {}, bound)), ToString(args[i])))
        .Label(own.params[i].type.span, "declared here");
  }
}

// The type of `v` in `project v = …` is not written. It is the first of these with which the body gives its own type
// back: a parameter's type, a number, a vector, a matrix, a square matrix.
const Type* Checker::ElementOf(const Decl& decl) {
  if (const auto known = set_elements_.find(&decl); known != set_elements_.end()) return known->second.get();
  set_elements_[&decl] = nullptr;
  if (decl.broken) return nullptr;
  const auto& set = std::get<SetDecl>(decl.node);
  Scope scope(*this, true);
  file_ = FileOf(decl.span);
  generics_ = GenericsOf(set.params, nullptr);
  const std::string own = fmt::format("{}'s n", set.name.text), other = fmt::format("{}'s m", set.name.text);
  const Dim n = Named(own, kUnknownValue), m = Named(other, kUnknownValue);
  std::vector<Type> candidates;
  for (const Param& param : set.params) {
    const Type type = ToType(param.type);
    if (type.dims.size() == 1) candidates.push_back(type);
    locals_.push_back({param.name.text, param.name.span, type, std::nullopt, std::nullopt});
  }
  for (const std::vector<Dim>& dims : {std::vector<Dim>{}, {n}, {n, m}, {n, n}})
    candidates.push_back({Elem::kReal, dims, false});
  if (!set.project) {
    out_->Error(Code::kMissingPart, set.name.span,
                fmt::format("the set `{}` does not say how to project", set.name.text))
        .Help("write `project v = …`: the nearest point of the set");
    return nullptr;
  }
  const auto type_with = [&](const Type& element) {
    locals_.push_back({set.project->argument.text, set.project->argument.span, element, std::nullopt, std::nullopt});
    const Type type = InferValue(*set.project->body);
    locals_.pop_back();
    return type;
  };
  const auto is_good = [](const Type& got, const Type& element) {
    return !got.is_error() && got.elem != Elem::kBool && SameDims(got.dims, element.dims);
  };
  for (const Type& element : candidates) {
    Diagnostics muted;
    Diagnostics* const out = std::exchange(out_, &muted);
    const std::set<std::pair<std::string, std::uint32_t>> unknown = unknown_;
    const Type got = type_with(element);
    unknown_ = unknown;
    out_ = out;
    if (!is_good(got, element) || muted.has_errors()) continue;
    type_with(element);  // the types of this look stay
    return (set_elements_[&decl] = std::make_unique<Type>(element)).get();
  }
  const Type& shown = candidates[candidates.size() - 3];  // a vector: what most sets hold
  const Type got = type_with(shown);
  if (!got.is_error() && !is_good(got, shown)) {
    out_->Error(Code::kShapeMismatch, set.project->body->span,
                fmt::format("a projection gives a point of the shape it takes: for a vector `{}` this is `{}`",
                            set.project->argument.text, ToString(got)));
  }
  return nullptr;
}

// ---- distributions

// ~ init(network): as many numbers as the network has weights.
void Checker::CheckInit(const Expr& distribution, const Call& call, const Type* declared, Span at, Type& shape) {
  const Expr& arg = *call.args[0].value;
  const auto* net = std::get_if<Name>(&arg.node);
  const Decl* decl = net == nullptr ? nullptr : DeclOf(net->name.text);
  if (net != nullptr && decl == nullptr) {
    ReportUnknown(net->name);
  } else if (decl == nullptr || (!decl->broken && !std::holds_alternative<NetworkDecl>(decl->node))) {
    out_->Error(Code::kTypeMismatch, arg.span, fmt::format("`init` takes a network, {} is none", Quote(arg)));
  } else {
    shape.dims = {WeightsOf(net->name.text)};
    if (declared != nullptr && !declared->is_error() && !SameDim(declared->dims.back(), shape.dims[0])) {
      out_->Error(Code::kShapeMismatch, distribution.span,
                  fmt::format("`init({})` draws `real[weights({})]`, declared is `{}`", net->name.text, net->name.text,
                              ToString(*declared)))
          .Label(at, "declared here");
    }
  }
}

// The parameters of a distribution go with what is drawn; `shape` becomes what they give where nothing is declared.
void Checker::CheckParameters(const Expr& distribution, const Call& call, const Builtin& builtin, const Type* declared,
                              Type& shape) {
  for (std::size_t i = 0; i < call.args.size(); ++i) {
    const Argument& argument = call.args[i];
    const Type type = InferNumber(*argument.value);
    const Parameter* param =
        argument.keyword ? FindParameter(builtin.params, argument.keyword->text) : &builtin.params[i];
    if (param == nullptr) {
      out_->Error(Code::kUnknownKeyword, argument.keyword->span,
                  fmt::format("the distribution `{}` has no parameter `{}`", builtin.name, argument.keyword->text))
          .Help(fmt::format("`{}`", builtin.usage));
      continue;
    }
    CheckDomain(*argument.value, *param);
    if (type.is_error()) continue;
    const bool of_categories = builtin.name == "categorical";
    std::vector<Dim> dims = type.dims;
    if (of_categories && dims.empty()) {
      out_->Error(Code::kShapeMismatch, argument.value->span,
                  "`categorical` takes a vector of probabilities, here is one number")
          .Help("`bernoulli(p)` draws 0 or 1");
      continue;
    }
    if (of_categories) dims.pop_back();
    if (declared != nullptr && !declared->is_error() && !IsSuffix(dims, declared->dims)) {
      Diagnostic& error = out_->Error(Code::kShapeMismatch, argument.value->span,
                                      fmt::format("`{}` of `{}` is `{}`, which does not go with draws of `{}`",
                                                  param->name, builtin.name, ToString(type), ToString(*declared)));
      LabelOrigin(error, *argument.value, type);
    } else if (declared == nullptr && dims.size() > shape.dims.size()) {
      shape.dims = dims;
    }
  }
  if (builtin.name == "uniform") {
    const std::optional<double> lo = NumberOf(*call.args[0].value), hi = NumberOf(*call.args[1].value);
    CheckRange(lo, hi, builtin.name, distribution.span);
  }
}

// The type of what is drawn: as declared, else what the parameters give.
Type Checker::CheckDistribution(const Expr& distribution, const Type* declared, Span at) {
  if (const auto* where = std::get_if<Where>(&distribution.node)) {
    Scope scope(*this);
    for (const Definition& definition : where->definitions) Define(definition);
    return CheckDistribution(*where->body, declared, at);
  }
  const Callee callee = CalleeOf(distribution);
  const Type result = declared == nullptr ? Type{} : *declared;
  if (callee.name == nullptr) {
    const Type type = Infer(distribution);
    if (!type.is_error()) {
      out_->Error(Code::kTypeMismatch, distribution.span, fmt::format("{} is no distribution", Quote(distribution)))
          .Help("after `~` stands a distribution such as `normal(0, 1)`; what is computed stands after `=`");
    }
    return result;
  }
  const Builtin* builtin = FindBuiltin(Space::kDistribution, callee.name->text);
  if (builtin == nullptr) {
    if (callee.call != nullptr) {
      for (const Argument& argument : callee.call->args) Infer(*argument.value);
    }
    Diagnostic& error = out_->Error(Code::kUnknownName, callee.name->span,
                                    fmt::format("no distribution is called `{}`", callee.name->text));
    const std::string near = Nearest(callee.name->text, BuiltinNames(Space::kDistribution));
    const bool is_set =
        FindBuiltin(Space::kSet, callee.name->text) != nullptr || problem_.sets.contains(callee.name->text);
    if (is_set) {
      error.Help(fmt::format("`{}` is a set: `uniform({})` draws from it", callee.name->text,
                             Quote(distribution) == "this"
                                 ? callee.name->text
                                 : Quote(distribution).substr(1, Quote(distribution).size() - 2)));
    } else if (!near.empty()) {
      error.Help(fmt::format("did you mean `{}`?", near));
    }
    return result;
  }
  const std::size_t given = callee.call == nullptr ? 0 : callee.call->args.size();
  if (given < static_cast<std::size_t>(builtin->min_args) || given > static_cast<std::size_t>(builtin->max_args)) {
    if (callee.call != nullptr) {
      ReportCount(*callee.call, distribution, builtin->usage, builtin->min_args, builtin->max_args);
    } else {
      out_->Error(Code::kArgumentCount, distribution.span,
                  fmt::format("the distribution `{}` needs its parameters", builtin->name))
          .Help(fmt::format("`{}`", builtin->usage));
    }
    return result;
  }
  const std::size_t rank = static_cast<std::size_t>(builtin->rank);
  if (declared != nullptr && !declared->is_error() && declared->dims.size() < rank) {
    out_->Error(Code::kShapeMismatch, at,
                fmt::format("`{}` draws vectors, here is `{}`", builtin->name, ToString(*declared)));
    return result;
  }
  bool draws_ints = builtin->elem == Elem::kInt;
  Type shape = Scalar(builtin->elem);
  if (builtin->name == "uniform" && given == 1) {
    const Expr& set = *callee.call->args[0].value;
    CheckSet(set, result, "what is drawn", at);
    const Callee of = CalleeOf(set);
    draws_ints = of.name != nullptr && (of.name->text == "integers" || of.name->text == "binary");
    if (draws_ints) shape.elem = Elem::kInt;
  } else if (builtin->name == "init") {
    CheckInit(distribution, *callee.call, declared, at, shape);
  } else if (callee.call != nullptr) {
    CheckParameters(distribution, *callee.call, *builtin, declared, shape);
  }
  if (declared == nullptr) return shape;
  if ((declared->elem == Elem::kInt && !draws_ints) ||
      (declared->elem == Elem::kBool && builtin->name != "bernoulli")) {
    out_->Error(Code::kTypeMismatch, distribution.span,
                fmt::format("`{}` draws `real`, declared is `{}`", builtin->name, ToString(*declared)))
        .Label(at, "declared here")
        .Help("ints come from `categorical(p)`, `bernoulli(p)`, `uniform(integers(lo, hi))`");
  }
  return result;
}

}  // namespace amo::lang
