// SPDX-License-Identifier: Apache-2.0
// Distributions as expressions of base draws, and projections onto sets. Both act on the last axes, independently over
// the leading ones.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/scope.h"
#include "lang/builtins.h"
#include "lang/factors.h"
#include "lang/uses.h"

namespace amo::compiler {
namespace {

struct Named {
  std::string name;
  lang::Span span;
  const std::vector<lang::Argument>* args = nullptr;
};

// normal(0, 1), simplex, …: a word, called or not.
std::optional<Named> WordOf(const lang::Expr& e) {
  if (const auto* n = std::get_if<lang::Name>(&e.node)) return Named{n->name.text, n->name.span, nullptr};
  const auto* c = std::get_if<lang::Call>(&e.node);
  const auto* n = c ? std::get_if<lang::Name>(&c->callee->node) : nullptr;
  if (!n) return std::nullopt;
  return Named{n->name.text, n->name.span, &c->args};
}

}  // namespace

Term Scope::Draw(const lang::Expr& distribution, const Shape& shape, const std::string& name, Role role,
                 const std::vector<int>& axes, bool random) {
  const auto word = WordOf(distribution);
  if (!word) Refuse(lang::Code::kTypeMismatch, distribution.span, "a distribution is expected after `~`");
  const std::size_t count = word->args ? word->args->size() : 0;
  const auto arg = [&](std::size_t k, double otherwise) {
    return k < count ? Real(Eval(*(*word->args)[k].value)) : Number(otherwise);
  };
  const auto base = [&](compiler::Draw::Base kind, double parameter = 1, const std::string& suffix = "") {
    Shape all;
    for (int a : axes) all.push_back(Extent(a));
    all.insert(all.end(), shape.begin(), shape.end());
    compiler::Draw d{kind, parameter, "draw/" + name + suffix, {Elem::kReal, all}, random};
    const bool known = std::any_of(program.draws.begin(), program.draws.end(),
                                   [&](const compiler::Draw& x) { return x.input == d.input; });
    if (!known) program.draws.push_back(d);
    Term t = InputOnce(d.input, role, d.type);
    t.axes = axes;
    return t;
  };
  const auto over_last = [&](const Term& t) {  // the sum over the last axis, repeated along it
    const auto rank = static_cast<std::int64_t>(Own(t).size());
    std::vector<std::int64_t> map;
    for (std::int64_t d = 0; d + 1 < rank; ++d) map.push_back(d);
    map.push_back(-1);
    return Spread(ReduceOwn(Op::kReduceSum, t, {rank - 1}), map, Own(t));
  };
  using Base = compiler::Draw::Base;
  if (word->name == "normal") return Add(arg(0, 0), Mul(arg(1, 1), base(Base::kNormal)));
  if (word->name == "lognormal") return Unary(Op::kExp, Add(arg(0, 0), Mul(arg(1, 1), base(Base::kNormal))));
  if (word->name == "exponential") return Div(base(Base::kExponential), arg(0, 1));
  const auto log_of = [&](const Term& p) {
    return Unary(Op::kLog, Binary(Op::kMax, p, Number(1e-300), distribution.span, "max"));
  };
  if (word->name == "bernoulli") {
    const Term p = arg(0, 0.5), x = Real(Binary(Op::kLt, base(Base::kUniform), p, distribution.span, "<"));
    if (log_probabilities) {
      const Term no = Sub(Number(1), x);
      log_probabilities->push_back(Add(Mul(x, log_of(p)), Mul(no, log_of(Sub(Number(1), p)))));
    }
    return x;
  }
  if (word->name == "gamma")
    return Div(base(Base::kGamma, count ? Constant(*(*word->args)[0].value, "the shape of a gamma draw") : 1),
               arg(1, 1));
  if (word->name == "dirichlet") {
    if (shape.empty()) Refuse(lang::Code::kShapeMismatch, distribution.span, "`dirichlet` draws vectors");
    const Term g = base(Base::kGamma, count ? Constant(*(*word->args)[0].value, "the weight of a dirichlet draw") : 1);
    return Div(g, over_last(g));
  }
  if (word->name == "categorical") {  // the number of partial sums that a uniform draw has passed
    const Term p = arg(0, 1);
    const Shape of = Own(p);  // one vector for all entries, or one for each
    const bool each = of.size() == shape.size() + 1 && std::equal(shape.begin(), shape.end(), of.begin());
    if (of.size() != 1 && !each)
      Refuse(lang::Code::kShapeMismatch, distribution.span,
             fmt::format("probabilities `[{}]` of categories for entries `[{}]`", fmt::join(of, ", "),
                         fmt::join(shape, ", ")),
             "one vector of them, or one for each entry");
    const std::int64_t n = of.back(), rank = static_cast<std::int64_t>(shape.size());
    const Term sums{b.Along(Op::kCumSum, p.value), p.axes, false, -1, 0};
    Shape own = shape;
    own.push_back(n);
    std::vector<std::int64_t> along, across(shape.size(), -1);
    for (std::int64_t d = 0; d < rank; ++d) along.push_back(d);
    along.push_back(-1), across.push_back(0);
    const auto spread = [&](const Term& t) { return of.size() == 1 ? Spread(t, across, own) : t; };
    const Term u = Spread(base(Base::kUniform), along, own), bar = spread(sums);
    const Term total = ReduceOwn(Op::kReduceSum, p, {static_cast<std::int64_t>(of.size()) - 1});
    const Term whole = of.size() == 1 ? total : Spread(total, along, own);
    const Term passed = Real(Binary(Op::kLe, bar, Mul(u, whole), distribution.span, "<="));
    const Term count = ReduceOwn(Op::kReduceSum, passed, {rank});
    if (log_probabilities) {
      const Term places = Real(Of(b.Iota(n, 0)));
      const Term last = Binary(Op::kMin, count, Number(static_cast<double>(n - 1)), distribution.span, "min");
      const Term drawn = Spread(last, along, own), place = Spread(places, across, own);
      const Term hit = Real(Binary(Op::kEq, drawn, place, distribution.span, "=="));
      const Term logs = of.size() == 1 ? Sub(log_of(p), log_of(total)) : Sub(log_of(p), log_of(whole));
      log_probabilities->push_back(Mul(hit, spread(logs)));
    }
    return Unary(Op::kToInt, Binary(Op::kMin, count, Number(static_cast<double>(n - 1)), distribution.span, "min"));
  }
  if (word->name == "init") {  // a network's usual start, over the last axis
    const auto* net = count == 1 ? std::get_if<lang::Name>(&(*word->args)[0].value->node) : nullptr;
    const lang::NetworkDecl* network = net ? FindNetwork(net->name.text) : nullptr;
    if (!network) Unsupported(word->span, "`init` of this");
    const std::int64_t all = WeightCount(*network);
    if (shape.empty() || shape.back() != all)
      Refuse(lang::Code::kShapeMismatch, word->span,
             fmt::format("`{}` has {} weights, drawn is shape `[{}]`", net->name.text, all, fmt::join(shape, ", ")));
    std::vector<Term> parts;
    for (const NetworkWeights::Array& a : WeightArrays(*network)) parts.push_back(Of(b.Filled(a.bound, {a.count})));
    std::vector<std::int64_t> map(shape.size(), -1);
    map.back() = 0;
    const Term bound = Spread(Concat(std::move(parts), 0, word->span), map, shape);
    return Mul(bound, Sub(Mul(Number(2), base(Base::kUniform)), Number(1)));
  }
  if (word->name == "permutation") return Term{b.Along(Op::kArgSort, base(Base::kUniform).value), axes, false, -1, 0};
  if (word->name == "uniform" && count == 2) {
    const Term lo = arg(0, 0);
    return Add(lo, Mul(Sub(arg(1, 1), lo), base(Base::kUniform)));
  }
  if (word->name == "uniform" && count == 1) {
    const auto t = UniformIn(*this, *(*word->args)[0].value, shape, axes, [&](Base kind, const std::string& suffix) {
      return base(kind, 1, suffix);
    });
    if (t) return *t;
  }
  Unsupported(word->span, fmt::format("the distribution `{}`", word->name));
}

Scope::Set Scope::SetOf(const lang::Expr& set) {
  const auto word = WordOf(set);
  if (!word) Unsupported(set.span, "this set");
  const auto it = problem.sets.find(word->name);
  if (it == problem.sets.end()) Unsupported(word->span, fmt::format("the set `{}`", word->name));
  const auto& decl = std::get<lang::SetDecl>(it->second->node);
  const std::size_t count = word->args ? word->args->size() : 0;
  if (count != decl.params.size()) {
    Refuse(lang::Code::kArgumentCount, word->span,
           fmt::format("the set `{}` takes {} parameters, {} are given", word->name, decl.params.size(), count));
  }
  if (!decl.project) Unsupported(word->span, fmt::format("the set `{}` without a projection", word->name));
  Set out{&decl, std::vector<Term>(count)};
  for (std::size_t k = 0; k < count; ++k) {
    const lang::Argument& a = (*word->args)[k];
    std::size_t place = k;
    for (std::size_t p = 0; a.keyword && p < count; ++p) if (decl.params[p].name.text == a.keyword->text) place = p;
    out.args[place] = Eval(*a.value);
  }
  return out;
}

namespace {

// How many last axes a set acts on: two for sets of matrices, else one. A file's own set is one of matrices when its
// rule asks for eigenvalues.
std::size_t RankOf(const lang::SetDecl& decl) {
  if (const lang::Builtin* known = lang::FindBuiltin(lang::Space::kSet, decl.name.text)) {
    return std::max<std::size_t>(1, static_cast<std::size_t>(known->rank));
  }
  std::size_t rank = 1;
  lang::VisitUses(*decl.project->body, [&](const lang::Use& use) {
    const lang::Builtin* f = use.call ? lang::FindBuiltin(lang::Space::kFunction, use.name) : nullptr;
    if (f && (f->rule == lang::Rule::kSpectral || f->rule == lang::Rule::kEigvals)) rank = 2;
  });
  return rank;
}

}  // namespace

std::vector<SetPart> Scope::Factors(const lang::Expr& set, const Term& v) {
  const Shape own = Own(v);
  if (!lang::IsProduct(set)) return {{&set, v}};
  if (own.empty()) Unsupported(set.span, "a product of sets for a number");
  const std::vector<lang::SetFactor> factors = lang::FactorsOf(set);
  std::int64_t left = own.back();
  std::vector<std::int64_t> sizes;
  for (const lang::SetFactor& f : factors) {
    const double size = f.size ? Constant(*f.size, "the size of a factor") : 0;  // 0: what is left
    if (f.size && !(size >= 1)) Refuse(lang::Code::kDomain, f.size->span, "a factor takes at least one entry");
    sizes.push_back(static_cast<std::int64_t>(size));
    left -= sizes.back();
  }
  const bool open = std::count(sizes.begin(), sizes.end(), 0) > 0;
  if (left < (open ? 1 : 0))
    Refuse(lang::Code::kShapeMismatch, set.span, "the factors take more entries than there are");
  if (!open && left > 0) Refuse(lang::Code::kShapeMismatch, set.span, "the factors take fewer entries than there are");
  std::vector<SetPart> parts;
  Shape starts(b.shape(v.value).size(), 0), extents = b.shape(v.value);
  for (std::size_t k = 0; k < factors.size(); ++k) {
    extents.back() = sizes[k] == 0 ? left : sizes[k];
    parts.push_back({factors[k].set, {b.Slice(v.value, starts, extents), v.axes}});
    starts.back() += extents.back();
  }
  return parts;
}

Term Scope::Project(const lang::Expr& set, Term v) {
  if (!lang::IsProduct(set)) return ProjectPart(set, std::move(v));
  std::vector<Term> parts;
  for (const SetPart& part : Factors(set, v)) parts.push_back(ProjectPart(*part.set, part.value));
  return Concat(std::move(parts), static_cast<std::int64_t>(Own(v).size()) - 1, set.span);
}

// The axes before those that a set acts on become loops of their own for the length of its rule.
Term Scope::ProjectPart(const lang::Expr& set, Term v) {
  Set known = SetOf(set);
  const Shape own = Own(v);
  const std::size_t rank = RankOf(*known.decl);
  if (own.size() <= rank) return ProjectOnto(known, v);
  const std::vector<int> axes = v.axes;
  std::vector<int> inside = axes;
  for (std::size_t d = 0; d + rank < own.size(); ++d) {
    loops_[next_loop_] = own[d];
    open_.push_back(next_loop_);
    inside.push_back(next_loop_++);
  }
  const auto under_loops = [&](Term t) {
    t = Widen(t, axes, own);
    t.axes = inside;
    return t;
  };
  for (Term& arg : known.args) if (Own(arg) == own) arg = under_loops(arg);
  Term t = ProjectOnto(known, under_loops(v));
  CloseLoops(own.size() - rank);
  t = Widen(t, inside, {own.end() - static_cast<std::ptrdiff_t>(rank), own.end()});
  t.axes = axes;
  return t;
}

Term Scope::ProjectOnto(const Set& set, const Term& v) {
  const Shape own = Own(v);
  Frame frame;
  frame.opaque = true;
  std::map<std::string, std::int64_t> dims;  // as the other parameters have them
  const auto dim_of = [](const lang::Param& p, std::size_t d) {
    const auto* name = std::get_if<lang::Name>(&p.type.dims[d]->node);
    return name ? name->name.text : "";
  };
  for (std::size_t k = 0; k < set.args.size(); ++k) {
    const Shape shape = Own(set.args[k]);
    for (std::size_t d = 0; d < shape.size() && shape.size() == set.decl->params[k].type.dims.size(); ++d)
      dims[dim_of(set.decl->params[k], d)] = shape[d];
  }
  for (std::size_t k = 0; k < set.args.size(); ++k) {
    const lang::Param& p = set.decl->params[k];
    const Term& t = set.args[k];
    Shape all;  // one number for all entries
    if (Own(t).empty())
      for (std::size_t d = 0; d < p.type.dims.size(); ++d)
        if (const auto known = dims.find(dim_of(p, d)); known != dims.end()) all.push_back(known->second);
    const bool known = !all.empty() && all.size() == p.type.dims.size();
    const bool one_for_all = Own(t).empty() && !own.empty() && p.type.dims.size() == own.size();
    frame.locals[p.name.text] = known ? Widen(t, t.axes, all) : one_for_all ? Widen(t, t.axes, own) : t;
  }
  frame.locals[set.decl->project->argument.text] = v;
  frames.push_back(std::move(frame));
  Term t = Real(Eval(*set.decl->project->body));
  frames.pop_back();
  return Own(t) == own ? t : Widen(t, t.axes, own);
}

}  // namespace amo::compiler
