// SPDX-License-Identifier: Apache-2.0
// Finds the constraints that are bounds of one variable's entries, and projects within them: onto a box by its entries,
// onto a simplex as `bounded_simplex`.
#include "compiler/plan.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "lang/factors.h"

namespace amo::compiler {
namespace {

using lang::CompareOp;

// The name of the variable that a side of a relation is, entry by entry: `w`, or `w[i, j]` under binders i and j of the
// constraint, each in one place. "" for any other expression.
std::string VariableOf(const lang::Problem& problem, const lang::Constraint& c, const lang::Expr& e,
                       std::vector<std::int64_t>& order) {
  if (const auto* p = std::get_if<lang::Paren>(&e.node)) return VariableOf(problem, c, *p->inner, order);
  const auto binder = [&](const std::string& name) {
    const auto found = std::find_if(c.index.begin(), c.index.end(), [&](const auto& x) { return x.name.text == name; });
    return found == c.index.end() ? -1 : static_cast<std::int64_t>(found - c.index.begin());
  };
  const auto* index = std::get_if<lang::Index>(&e.node);
  const auto* name = std::get_if<lang::Name>(index ? &index->base->node : &e.node);
  if (!name || (index == nullptr) != c.index.empty()) return "";
  const lang::ValueDecl* v = AsVariable(problem, name->name.text);
  if (!v || !v->type || !v->index.empty()) return "";
  if (!index) return name->name.text;
  if (index->items.size() != c.index.size() || index->items.size() != v->type->dims.size()) return "";
  order.clear();
  for (const lang::IndexItem& item : index->items) {
    const auto* at = item.kind == lang::IndexItem::Kind::kAt ? std::get_if<lang::Name>(&item.at->node) : nullptr;
    const std::int64_t k = at ? binder(at->name.text) : -1;
    if (k < 0 || std::count(order.begin(), order.end(), k)) return "";
    order.push_back(k);
  }
  return name->name.text;
}

// A constraint every part of which bounds the same variable: `w <= u`, `l <= w <= u`, `c[i in n]: w[i] >= l[i]`.
struct Bounds {
  std::string variable;
  std::vector<Bound> bounds;
};

std::optional<Bounds> BoundsOf(const lang::Problem& problem, const lang::Constraint& c) {
  if (!c.relation.value || c.condition || c.relation.set) return std::nullopt;
  const auto* chain = std::get_if<lang::Compare>(&c.relation.value->node);
  if (!chain) return std::nullopt;
  Bounds out;
  const lang::Expr* left = chain->first.get();
  for (const auto& [op, right] : chain->rest) {
    if (op != CompareOp::kLe && op != CompareOp::kGe) return std::nullopt;
    std::vector<std::int64_t> order, right_order;
    const std::string of_left = VariableOf(problem, c, *left, order);
    const std::string of_right = VariableOf(problem, c, *right, right_order);
    if (of_left.empty() == of_right.empty()) return std::nullopt;
    const std::string& variable = of_left.empty() ? of_right : of_left;
    if (!out.variable.empty() && out.variable != variable) return std::nullopt;
    out.variable = variable;
    const bool upper = (op == CompareOp::kLe) == of_right.empty();
    out.bounds.push_back({&c, of_left.empty() ? left : right.get(), upper, of_left.empty() ? right_order : order});
    left = right.get();
  }
  return out;
}

// The bound's entries in the order of the variable's axes, or one for all.
Term Evaluated(Scope& s, const Bound& bound) {
  const Term t = s.Real(s.Family(bound.constraint->index, *bound.value));
  const Shape own = s.Own(t);
  if (bound.order.empty() || own.size() != bound.order.size()) return t;
  Shape turned;
  for (const std::int64_t k : bound.order) turned.push_back(own[static_cast<std::size_t>(k)]);
  std::vector<std::int64_t> axes(own.size());  // a broadcast's output axis d is the variable's axis d
  std::copy(bound.order.begin(), bound.order.end(), axes.begin());
  return s.Spread(t, axes, turned);
}

// Whether the bound goes with the variable's entries, and is known with data, parameters and contexts alone: it is
// built once, aside, with everything an input, and its inputs are looked at.
bool IsKnown(const Parts& parts, const lang::ValueDecl& variable, const Bound& bound) {
  using K = lang::ValueKind;
  lang::Diagnostics muted;
  Program aside = parts.program;
  Builder b("bound");
  Scope s(b, parts.problem, parts.tables, aside,
          {K::kData, K::kParameter, K::kHidden, K::kContext, K::kVariable, K::kRandom}, muted);
  try {
    for (const lang::Binder& binder : bound.constraint->index) {
      if (binder.kind != lang::Binder::Kind::kIn || (binder.lo && s.TryConstant(*binder.lo) != 0.0)) return false;
    }
    const Shape shape = s.Dims(variable);
    const Term t = Evaluated(s, bound);
    const Shape own = s.Own(t);
    if (own != shape && !(own.empty() && bound.order.empty())) return false;
  } catch (const Refused&) {
    return false;
  }
  const auto is_input_of = [](const std::vector<Named>& values, const std::string& name) {
    return std::any_of(values.begin(), values.end(), [&](const Named& v) { return v.name == name; });
  };
  const Program& p = parts.program;
  return std::all_of(b.function().inputs.begin(), b.function().inputs.end(), [&](const Input& in) {
    return is_input_of(p.data, in.name) || is_input_of(p.parameters, in.name) || is_input_of(p.contexts, in.name);
  });
}

bool IsStdlib(const lang::Program& source, lang::Span span) {
  return source.sources[span.source].path.starts_with("<stdlib>/");
}

const lang::SetDecl* FindBoundedSimplex(const lang::Program& source) {
  for (const lang::File& file : source.files) {
    for (const lang::Decl& d : file.decls) {
      const auto* set = std::get_if<lang::SetDecl>(&d.node);
      if (set && set->name.text == "bounded_simplex" && IsStdlib(source, d.span)) return set;
    }
  }
  return nullptr;
}

// The sets whose points are bounds, and for some a total, of their entries.
enum class SetKind { kNone, kBox, kTotal };

struct KnownSet {
  const char* name;
  SetKind kind;
};
constexpr KnownSet kKnownSets[] = {
    {"box", SetKind::kBox},         {"nonnegative", SetKind::kBox},      {"ballinf", SetKind::kBox},
    {"simplex", SetKind::kTotal},   {"capped_simplex", SetKind::kTotal}, {"bounded_simplex", SetKind::kTotal},
};

SetKind KindOf(const lang::Problem& problem, const lang::Expr& set) {
  const auto* call = std::get_if<lang::Call>(&set.node);
  const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &set.node);
  if (!word || !problem.library_sets.count(word->name.text)) return SetKind::kNone;
  for (const KnownSet& known : kKnownSets) {
    if (word->name.text == known.name) return known.kind;
  }
  return SetKind::kNone;
}

// A variable that may be anything, or in a set that takes further bounds.
bool TakesBounds(const lang::Problem& problem, const lang::ValueDecl& v) {
  if (v.type->name.text != "real") return false;
  if (!v.set) return true;
  const SetKind kind = KindOf(problem, *v.set);
  return kind == SetKind::kBox || (kind == SetKind::kTotal && v.type->dims.size() == 1);
}

struct OwnBounds {
  std::optional<Term> lo, hi, total;
};

OwnBounds OwnBoundsOf(Scope& s, const lang::Expr& e) {
  const Scope::Set set = s.SetOf(e);
  const std::string& name = set.decl->name.text;
  if (name == "box") return {set.args[0], set.args[1], std::nullopt};
  if (name == "nonnegative") return {s.Number(0), std::nullopt, std::nullopt};
  if (name == "ballinf") return {s.Unary(Op::kNeg, s.Real(set.args[0])), set.args[0], std::nullopt};
  if (name == "simplex") return {s.Number(0), s.Number(1), s.Number(1)};
  if (name == "capped_simplex") return {s.Number(0), s.Number(1), s.Real(set.args[0])};
  return {set.args[0], set.args[1], s.Real(set.args[2])};
}

// One for all entries of a variable of this shape, or for its last axes.
Term Fitted(Scope& s, const Term& t, const Shape& shape) {
  const std::size_t rank = s.Own(t).size(), skipped = shape.size() - std::min(rank, shape.size());
  if (rank == 0) return s.Widen(s.Real(t), t.axes, shape);
  std::vector<std::int64_t> map(shape.size(), -1);
  std::iota(map.begin() + static_cast<std::ptrdiff_t>(skipped), map.end(), 0);
  return s.Spread(s.Real(t), map, shape);
}

// `bound` where a total within it exists. Else the point with that total on the way from the set's own bound to it.
Term Reaching(Scope& s, const Term& bound, const Term& own, const Term& total, bool upper, lang::Span at) {
  const Term sum = s.ReduceAll(Op::kReduceSum, bound), own_sum = s.ReduceAll(Op::kReduceSum, own);
  const Term beyond = s.Binary(Op::kLt, upper ? sum : total, upper ? total : sum, at, "<");
  const Term gap = s.Sub(sum, own_sum);
  const Term empty = s.Binary(Op::kEq, gap, s.Number(0), at, "==");
  const Term part = s.Div(s.Sub(total, own_sum), s.Select(empty, s.Number(1), gap, at));
  const Term kept = s.Binary(Op::kMax, part, s.Number(0), at, "max");
  return s.Select(beyond, s.Add(own, s.Mul(s.Sub(bound, own), kept)), bound, at);
}

}  // namespace

namespace {

const lang::Name* WordOf(const lang::Expr& set) {
  const auto* call = std::get_if<lang::Call>(&set.node);
  return std::get_if<lang::Name>(call ? &call->callee->node : &set.node);
}

SetSides SidesOfRowSet(Scope& s, const lang::Expr& set, const Term& v) {
  const std::string& name = WordOf(set)->name.text;
  const Shape shape = s.Own(v);
  SetSides sides;
  if (name == "birkhoff") {
    const auto rank = static_cast<std::int64_t>(shape.size());
    sides.negative.push_back(s.Flat(s.Unary(Op::kNeg, v)));
    for (const std::int64_t axis : {rank - 1, rank - 2})
      sides.equal.push_back(s.Flat(s.Sub(s.ReduceOwn(Op::kReduceSum, v, {axis}), s.Number(1))));
    return sides;
  }
  const auto* call = std::get_if<lang::Call>(&set.node);
  if (!call || call->args.size() != 2) s.Unsupported(set.span, fmt::format("`{}` without its rows", name));
  const Term A = s.Real(s.Eval(*call->args[0].value)), b = s.Real(s.Eval(*call->args[1].value));
  const std::int64_t m = s.Own(A)[0], n = shape.back(), vectors = Count(shape) / std::max<std::int64_t>(n, 1);
  const Term rows = s.Multiply(s.Reshaped(v, {vectors, n}), s.Transposed(A, set.span), set.span);
  const Term bound = s.Own(b).empty() ? s.Widen(b, b.axes, {vectors, m}) : s.Spread(b, {-1, 0}, {vectors, m});
  (name == "affine" ? sides.equal : sides.negative).push_back(s.Flat(s.Sub(rows, bound)));
  return sides;
}

}  // namespace

namespace {

// Whether the set is one of the language's own, and among `names`.
template <std::size_t N>
bool IsOneOf(const lang::Problem& problem, const lang::Expr& set, const char* const (&names)[N]) {
  const lang::Name* word = WordOf(set);
  if (!word) return false;
  const std::string& name = word->name.text;
  if (problem.sets.count(name) && !problem.library_sets.count(name)) return false;
  return std::any_of(std::begin(names), std::end(names), [&](const char* n) { return name == n; });
}

}  // namespace

namespace {

template <class F>
bool AllFactors(const lang::Expr& set, const F& fn) {
  const std::vector<lang::SetFactor> factors = lang::FactorsOf(set);
  return std::all_of(factors.begin(), factors.end(), [&](const lang::SetFactor& f) { return fn(*f.set); });
}

template <class F>
bool AnyFactor(const lang::Expr& set, const F& fn) {
  return !AllFactors(set, [&](const lang::Expr& factor) { return !fn(factor); });
}

}  // namespace

bool IsRowSet(const lang::Problem& problem, const lang::Expr& set) {
  return AnyFactor(set, [&](const lang::Expr& f) { return IsOneOf(problem, f, {"affine", "polyhedron", "birkhoff"}); });
}

bool IsPolyhedron(const lang::Problem& problem, const lang::Expr& set) {
  return AllFactors(set, [&](const lang::Expr& f) {
    return IsOneOf(problem, f, {"affine", "polyhedron", "birkhoff"}) || KindOf(problem, f) != SetKind::kNone;
  });
}

bool IsConvexSet(const lang::Problem& problem, const lang::Expr& set) {
  return AllFactors(set, [&](const lang::Expr& f) {
    return IsOneOf(problem, f,
                   {"box", "nonnegative", "simplex", "bounded_simplex", "capped_simplex", "ball", "ball1", "ballinf",
                    "halfspace", "second_order_cone", "psd", "spd", "exponential_cone", "permutahedron"});
  });
}

bool IsDiscreteSet(const lang::Problem& problem, const lang::Expr& set) {
  return AnyFactor(
      set, [&](const lang::Expr& f) { return IsOneOf(problem, f, {"binary", "integers", "one_of", "permutation"}); });
}

bool IsManifold(const lang::Problem& problem, const lang::Expr& set) {
  return AllFactors(set, [&](const lang::Expr& f) { return IsOneOf(problem, f, {"sphere", "stiefel"}); });
}

std::optional<SetSides> SidesOfSet(Scope& s, const lang::Expr& set, const Term& v) {
  if (lang::IsProduct(set)) {
    SetSides all;
    for (const SetPart& part : s.Factors(set, v)) {
      const std::optional<SetSides> one = SidesOfSet(s, *part.set, part.value);
      if (!one) return std::nullopt;
      all.negative.insert(all.negative.end(), one->negative.begin(), one->negative.end());
      all.equal.insert(all.equal.end(), one->equal.begin(), one->equal.end());
    }
    return all;
  }
  if (IsRowSet(s.problem, set)) return SidesOfRowSet(s, set, v);
  const SetKind kind = KindOf(s.problem, set);
  if (kind == SetKind::kNone) return std::nullopt;
  const Shape shape = s.Own(v);
  OwnBounds own = OwnBoundsOf(s, set);
  const bool simplex = s.SetOf(set).decl->name.text == "simplex";
  if (simplex) own.hi.reset();  // it follows from the others
  SetSides sides;
  if (own.lo) sides.negative.push_back(s.Flat(s.Sub(Fitted(s, *own.lo, shape), v)));
  if (own.hi) sides.negative.push_back(s.Flat(s.Sub(v, Fitted(s, *own.hi, shape))));
  if (own.total) {
    const Term sum = s.ReduceOwn(Op::kReduceSum, v, {static_cast<std::int64_t>(shape.size()) - 1});
    sides.equal.push_back(s.Flat(s.Sub(sum, *own.total)));
  }
  return sides;
}

Plan MakePlan(const lang::Program& source, const Parts& parts) {
  Plan plan;
  plan.bounded = FindBoundedSimplex(source);
  if (WritesItsPlan(parts.problem)) return plan;  // its steps leave bounds again
  for (const lang::Constraint* c : parts.problem.constraints) {
    const auto found = BoundsOf(parts.problem, *c);
    if (!found) continue;
    const lang::ValueDecl& v = *AsVariable(parts.problem, found->variable);
    const bool good = TakesBounds(parts.problem, v) &&
                      std::all_of(found->bounds.begin(), found->bounds.end(),
                                  [&](const Bound& bound) { return IsKnown(parts, v, bound); });
    if (!good) continue;
    std::vector<Bound>& bounds = plan.bounds[found->variable];
    bounds.insert(bounds.end(), found->bounds.begin(), found->bounds.end());
    plan.kept.push_back(c->name.text);
  }
  return plan;
}

Term ProjectWithin(Scope& s, const Plan& plan, const lang::ValueDecl& variable, const Term& y,
                   const std::vector<Bound>& bounds) {
  const lang::Span at = variable.set ? variable.set->span : variable.names[0].span;
  const Shape shape = s.Own(y);
  const auto fitted = [&](const Term& t) { return Fitted(s, t, shape); };
  OwnBounds own = variable.set ? OwnBoundsOf(s, *variable.set) : OwnBounds{};
  if (own.lo) own.lo = fitted(*own.lo);
  if (own.hi) own.hi = fitted(*own.hi);
  std::optional<Term> lo, hi;
  for (const Bound& bound : bounds) {
    const Term t = fitted(Evaluated(s, bound));
    std::optional<Term>& side = bound.upper ? hi : lo;
    side = !side ? t : s.Binary(bound.upper ? Op::kMin : Op::kMax, *side, t, at, "bounds");
  }
  // Bounds that leave the set end at its own; of two that cross the lower one stands.
  for (std::optional<Term>* side : {&lo, &hi}) {
    if (*side && own.lo) *side = s.Binary(Op::kMax, **side, *own.lo, at, "bounds");
    if (*side && own.hi) *side = s.Binary(Op::kMin, **side, *own.hi, at, "bounds");
  }
  if (lo && hi) hi = s.Binary(Op::kMax, *hi, *lo, at, "bounds");
  if (own.total) {
    const Term low = lo ? Reaching(s, *lo, *own.lo, *own.total, false, at) : *own.lo;
    const Term high = hi ? Reaching(s, *hi, *own.hi, *own.total, true, at) : *own.hi;
    return s.ProjectOnto({plan.bounded, {low, high, *own.total}}, y);
  }
  if (!lo) lo = own.lo;
  if (!hi) hi = own.hi;
  Term t = y;
  if (lo) t = s.Binary(Op::kMax, t, *lo, at, "bounds");
  if (hi) t = s.Binary(Op::kMin, t, *hi, at, "bounds");
  return t;
}

namespace {

// The nearest point of a discrete set does not move with y. What moves in its place, for derivatives: within bounds y
// itself, and beyond them a tenth of it (the straight-through estimator of Bengio, Léonard, Courville 2013); of a unit
// vector or a permutation what its choice depends on, y less its means along the axes whose sums are fixed, and without
// its length (Sahoo, Paulus, Vlastelica, Musil, Kuleshov, Martius 2023).
Term Through(Scope& s, const lang::Expr& set, Term y) {
  constexpr double kBeyond = 0.1;
  const Scope::Set known = s.SetOf(set);
  const std::string& name = known.decl->name.text;
  if (name == "binary" || name == "integers") {
    const Term lo = known.args.empty() ? s.Number(0) : s.Real(known.args[0]);
    const Term hi = known.args.empty() ? s.Number(1) : s.Real(known.args[1]);
    const Term inside = s.Binary(Op::kMin, s.Binary(Op::kMax, y, lo, set.span, "max"), hi, set.span, "min");
    return s.Add(inside, s.Mul(s.Number(kBeyond), s.Sub(y, inside)));
  }
  const Shape shape = s.Own(y);
  const auto rank = static_cast<std::int64_t>(shape.size());
  const std::int64_t fixed = name == "one_of" ? 1 : 2;
  const auto spread = [&](const Term& t, const std::vector<std::int64_t>& over) {
    std::vector<std::int64_t> map;
    for (std::int64_t d = 0, k = 0; d < rank; ++d) map.push_back(std::count(over.begin(), over.end(), d) ? -1 : k++);
    return s.Spread(t, map, shape);
  };
  std::vector<std::int64_t> axes;
  for (std::int64_t axis = rank - fixed; axis < rank; ++axis) {
    const auto extent = static_cast<double>(shape[static_cast<std::size_t>(axis)]);
    y = s.Sub(y, spread(s.Div(s.ReduceOwn(Op::kReduceSum, y, {axis}), s.Number(extent)), {axis}));
    axes.push_back(axis);
  }
  const Term square = s.Add(s.ReduceOwn(Op::kReduceSum, s.Mul(y, y), axes), s.Number(1e-24));
  return s.Div(y, spread(s.Unary(Op::kSqrt, square), axes));
}

}  // namespace

Term ProjectedVariable(Parts& parts, Scope& s, const std::string& name, const Term& y) {
  const lang::ValueDecl& v = *AsVariable(parts.problem, name);
  const auto bounds = parts.plan->bounds.find(name);
  if (bounds != parts.plan->bounds.end()) return ProjectWithin(s, *parts.plan, v, y, bounds->second);
  if (!v.set || IsRowSet(parts.problem, *v.set)) return y;
  std::vector<Term> nearest;
  for (const SetPart& part : s.Factors(*v.set, y)) {
    if (IsManifold(parts.problem, *part.set) && !IsManifold(parts.problem, *v.set))
      s.Unsupported(part.set->span, "a curved surface in a product with other sets");
    Term point = s.Project(*part.set, part.value);
    if (IsDiscreteSet(parts.problem, *part.set)) {
      const Term through = Through(s, *part.set, part.value);
      point = s.Add(point, s.Sub(through, s.Unary(Op::kStop, through)));
    }
    nearest.push_back(std::move(point));
  }
  if (nearest.size() == 1) return nearest[0];
  return s.Concat(std::move(nearest), static_cast<std::int64_t>(s.Own(y).size()) - 1, v.set->span);
}

bool IsCompleted(const lang::Problem& problem, const Program& program, const std::string& constraint) {
  bool equations = false, others = false;
  for (const ConeRows& rows : program.cones) {
    if (rows.set || rows.name != constraint) continue;
    (rows.cone == Cone::kZero ? equations : others) = true;
  }
  return equations && !others && WritesStage(problem, "complete");
}

std::vector<Guarantee> Guarantees(const lang::Problem& problem, const Program& program) {
  std::vector<Guarantee> all;
  for (const lang::Constraint* c : problem.constraints) {
    const std::string& name = c->name.text;
    const bool bound = std::count(program.kept.begin(), program.kept.end(), name) > 0;
    const auto bounds = bound ? BoundsOf(problem, *c) : std::nullopt;
    all.push_back(
        {name, IsKept(program, name),
         bounds                  ? fmt::format("kept by construction: part of the projection of `{}`", bounds->variable)
         : IsKept(program, name) ? "kept to rounding by the projection onto all linear constraints and sets at once"
         : IsCompleted(problem, program, name) ? "the model's `complete` solves for it"
         : WritesStage(problem, "correct") ? "the model's `correct` descends on its violation: no guarantee"
         : program.corrected     ? "predictions are corrected by Gauss-Newton steps on linearized rows: no guarantee"
                                 : "penalized in training: no guarantee"});
  }
  return all;
}

}  // namespace amo::compiler
