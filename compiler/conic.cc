// SPDX-License-Identifier: Apache-2.0
// min |y - v|² / 2 over y in C with r(y) = J y + r0 in K: y = P_C(v - J'l) for the multipliers l with r = P_K(r + l).
// The functions whose root runtime/conic.cc finds.
#include "compiler/conic.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "compiler/curvature.h"
#include "compiler/plan.h"
#include "lang/factors.h"

namespace amo::compiler {
namespace {

constexpr std::int64_t kMostRows = 200;

// What one comparison or membership of a constraint demands of its part of r: zero, not positive, or in a set.
struct Piece {
  Gap::Kind kind;
  const lang::Expr* set;
  Shape shape;  // the constraint's index, then the set's own axes
};

// r at the variables that the scope sees, and its pieces.
Term Rows(Scope& s, const std::vector<const lang::Constraint*>& constraints, std::vector<Piece>& pieces) {
  std::vector<Term> all;
  pieces.clear();
  for (const lang::Constraint* c : constraints) {
    const auto side = [&](const Gap& gap, const std::vector<int>& loops) {
      Piece piece{gap.kind, gap.set, {}};
      for (const int id : loops) piece.shape.push_back(s.Extent(id));
      const Shape own = s.Own(gap.value);
      piece.shape.insert(piece.shape.end(), own.begin(), own.end());
      pieces.push_back(std::move(piece));
      return s.Flat(gap.value);
    };
    for (const Term& t : OverGaps(s, *c, side)) all.push_back(s.Flat(t));
  }
  return s.Concat(std::move(all), 0, {});
}

class Dual {
 public:
  Dual(Parts& parts, Scope& s) : parts_(parts), s_(s) {
    for (const Named& v : parts.program.variables) shapes_.push_back(v.type.shape);
    std::vector<Term> y;
    for (const Named& v : parts.program.variables) y.push_back(s.EvalNamed(v.name, {}));
    v_ = Joined(y);
    zero_ = s.Of(s.b.Filled(0, {s.Own(v_)[0]}));
    offset_ = At(zero_);
    rows_ = s.Own(offset_)[0];
  }

  std::int64_t rows() const { return rows_; }
  const Term& offset() const { return offset_; }
  Term Jacobian() { return s_.Jacobian(zero_, rows_, [&](const Term& x) { return At(x); }); }
  void Use(const Term& jacobian, const Term& offset) { jacobian_ = jacobian, offset_ = offset; }

  // y for the multipliers l; both flat.
  Term Point(const Term& l) { return InSets(s_.Sub(v_, s_.Multiply(s_.Transposed(jacobian_, {}), l, {}))); }

  Term InSets(const Term& flat) {
    const std::vector<Term> y = s_.Cut(flat, shapes_);
    std::vector<Term> in_sets;
    for (std::size_t k = 0; k < y.size(); ++k)
      in_sets.push_back(ProjectedVariable(parts_, s_, parts_.program.variables[k].name, y[k]));
    return Joined(in_sets);
  }

  Term Kept(const Term& r) {
    std::vector<Shape> shapes;
    for (const Piece& p : pieces_) shapes.push_back(p.shape);
    std::vector<Term> parts = s_.Cut(r, shapes);
    for (std::size_t k = 0; k < parts.size(); ++k) {
      switch (pieces_[k].kind) {
        case Gap::Kind::kZero: parts[k] = s_.Of(s_.b.Filled(0, pieces_[k].shape)); break;
        case Gap::Kind::kNegative: parts[k] = s_.Binary(Op::kMin, parts[k], s_.Number(0), {}, "min"); break;
        case Gap::Kind::kSet: parts[k] = s_.Project(*pieces_[k].set, parts[k]); break;
      }
      parts[k] = s_.Flat(parts[k]);
    }
    return s_.Concat(std::move(parts), 0, {});
  }

  // r - P_K(r + l), zero at the answer.
  Term Left(const Term& l) {
    const Term r = s_.Add(s_.Multiply(jacobian_, Point(l), {}), offset_);
    return s_.Sub(r, Kept(s_.Add(r, l)));
  }

  Term Matrix(const Term& l) { return s_.Jacobian(l, rows_, [&](const Term& x) { return Left(x); }); }
  std::vector<Term> Variables(const Term& y) { return s_.Cut(y, shapes_); }

 private:
  Term Joined(const std::vector<Term>& y) {
    std::vector<Term> flat;
    for (const Term& t : y) flat.push_back(s_.Flat(s_.Real(t)));
    return s_.Concat(std::move(flat), 0, {});
  }

  Term At(const Term& y) {
    Scope::World world{s_.worlds.back().replaced, {}, s_.worlds.back().networks};
    const std::vector<Term> cut = s_.Cut(y, shapes_);
    for (std::size_t k = 0; k < cut.size(); ++k) world.replaced[parts_.program.variables[k].name] = cut[k];
    s_.worlds.push_back(std::move(world));
    const Term r = Rows(s_, parts_.plan->conic, pieces_);
    s_.worlds.pop_back();
    return r;
  }

  Parts& parts_;
  Scope& s_;
  std::vector<Shape> shapes_;
  std::vector<Piece> pieces_;
  Term v_, zero_, offset_, jacobian_;
  std::int64_t rows_ = 0;
};

// Whether the sides are affine in the variables and known with what a prediction sees.
bool IsAffine(const Parts& parts, const lang::Constraint& c, std::int64_t& rows) {
  lang::Diagnostics muted;
  Program aside = parts.program;
  Parts scratch{parts.problem, parts.tables, aside, muted, parts.plan};
  const auto f = scratch.Make("rows", kSeen, [&](Scope& s) {
    std::vector<Piece> pieces;
    const Term r = Rows(s, {&c}, pieces);
    rows += s.Own(r)[0];
    for (const Piece& p : pieces)  // the set without the constraint's index
      if (p.kind == Gap::Kind::kSet) s.Project(*p.set, s.Of(s.b.Filled(0, p.shape)));
    s.b.Output("rows", r.value);
    return true;
  });
  if (!f) return false;
  std::vector<int> wrt;
  const auto is_in = [](const std::vector<Named>& list, const std::string& name) {
    return std::any_of(list.begin(), list.end(), [&](const Named& n) { return n.name == name; });
  };
  const Program& p = parts.program;
  for (std::size_t k = 0; k < f->inputs.size(); ++k) {
    const std::string& name = f->inputs[k].name;
    if (is_in(p.variables, name)) wrt.push_back(static_cast<int>(k));
    else if (!is_in(p.data, name) && !is_in(p.contexts, name)) return false;
  }
  const Curvature curvature = Curvatures(*f, wrt)[static_cast<std::size_t>(f->outputs[0].value.index)];
  return !wrt.empty() && curvature.degree <= Degree::kAffine;
}

std::vector<const lang::Constraint*> Chosen(const Parts& parts, ConicProjection& out) {
  if (parts.problem.constraints.empty() || WritesItsPlan(parts.problem)) return {};
  bool polyhedra = true;
  const auto note = [&](const lang::Expr& set) {  // later ones of the table are harder
    static constexpr std::pair<const char*, const char*> kKinds[] = {{"ball", "second-order cone"},
                                                                     {"second_order_cone", "second-order cone"},
                                                                     {"psd", "semidefinite"},
                                                                     {"spd", "semidefinite"},
                                                                     {"exponential_cone", "exponential cone"}};
    const auto rank = [&](const std::string& kind) {
      return std::find_if(std::begin(kKinds), std::end(kKinds), [&](const auto& k) { return kind == k.second; }) -
             std::begin(kKinds);
    };
    for (const lang::SetFactor& f : lang::FactorsOf(set)) {
      const auto* call = std::get_if<lang::Call>(&f.set->node);
      const auto* word = std::get_if<lang::Name>(call ? &call->callee->node : &f.set->node);
      for (const auto& [name, kind] : kKinds)
        if (word && word->name.text == name && (out.kind.empty() || rank(kind) > rank(out.kind))) out.kind = kind;
    }
  };
  for (const Named& v : parts.program.variables) {
    const lang::ValueDecl& d = *AsVariable(parts.problem, v.name);
    if (v.type.elem != Elem::kReal) return {};
    if (d.set && !IsConvexSet(parts.problem, *d.set)) return {};
    polyhedra = polyhedra && (!d.set || IsPolyhedron(parts.problem, *d.set));
    if (d.set) note(*d.set);
  }
  std::vector<const lang::Constraint*> found;
  std::int64_t rows = 0;
  for (const lang::Constraint* c : parts.problem.constraints) {
    const lang::Expr* set = c->relation.set.get();
    const auto& kept = parts.plan->kept;
    if (std::count(kept.begin(), kept.end(), c->name.text)) continue;
    if (set && !IsConvexSet(parts.problem, *set)) continue;
    std::int64_t more = 0;
    if (!IsAffine(parts, *c, more) || rows + more > kMostRows) continue;
    rows += more;
    polyhedra = polyhedra && (!set || IsPolyhedron(parts.problem, *set));
    if (set) note(*set);
    found.push_back(c);
    out.constraints.push_back({c->name.text, more});
  }
  if (out.kind.empty()) out.kind = "convex";
  return polyhedra ? std::vector<const lang::Constraint*>{} : found;
}

}  // namespace

void BuildConic(Parts& parts, Plan& plan) {
  ConicProjection out;
  plan.conic = Chosen(parts, out);
  if (plan.conic.empty()) return;
  bool shared = true;  // rows that depend on data alone are the same for every instance
  const auto rows = parts.Make("conic rows", kSeen, [&](Scope& s) {
    Dual dual(parts, s);
    out.rows = dual.rows();
    s.b.Output("conic/jacobian", dual.Jacobian().value);
    s.b.Output("conic/offset", dual.offset().value);
    return true;
  });
  if (!rows) return plan.conic.clear();
  for (const Input& in : rows->inputs) shared = shared && in.role == Role::kShared;
  const Role role = shared ? Role::kShared : Role::kInstance;
  const auto make = [&](const char* name, const std::function<void(Scope&, Dual&, const Term&)>& body) {
    return parts.Make(name, kSeen, [&](Scope& s) {
      Dual dual(parts, s);
      const std::int64_t n = s.b.shape(dual.Jacobian().value)[1];
      dual.Use(s.InputOnce("conic/jacobian", role, {Elem::kReal, {out.rows, n}}),
               s.InputOnce("conic/offset", role, {Elem::kReal, {out.rows}}));
      body(s, dual, s.InputOnce("conic/multipliers", Role::kInstance, {Elem::kReal, {out.rows}}));
      return true;
    });
  };
  const auto left = make("conic left", [&](Scope& s, Dual& dual, const Term& l) {
    s.b.Output("left", dual.Left(l).value);
  });
  const auto matrix = make("conic matrix", [&](Scope& s, Dual& dual, const Term& l) {
    s.b.Output("matrix", dual.Matrix(l).value);
  });
  // A Newton step from the root, which is there for its derivative.
  const auto point = make("conic point", [&](Scope& s, Dual& dual, const Term& l) {
    const Term inverse = s.InputOnce("conic/inverse", Role::kInstance, {Elem::kReal, {out.rows, out.rows}});
    const std::vector<Term> y = dual.Variables(dual.Point(s.Sub(l, s.Multiply(inverse, dual.Left(l), {}))));
    for (std::size_t k = 0; k < y.size(); ++k) s.b.Output(parts.program.variables[k].name, y[k].value);
  });
  const auto nearest = parts.Make("conic nearest", kSeen, [&](Scope& s) {
    Dual dual(parts, s);
    const std::int64_t n = s.b.shape(dual.Jacobian().value)[1];
    s.b.Output("conic/y", dual.InSets(s.InputOnce("conic/y", Role::kInstance, {Elem::kReal, {n}})).value);
    s.b.Output("conic/r", dual.Kept(s.InputOnce("conic/r", Role::kInstance, {Elem::kReal, {out.rows}})).value);
    return true;
  });
  if (!left || !matrix || !point || !nearest) return plan.conic.clear();
  out.nearest = *nearest;
  out.at = *rows, out.left = *left, out.matrix = *matrix, out.point = *point;
  parts.program.conic = std::move(out);
  for (const lang::Constraint* c : plan.conic) parts.program.projected.push_back(c->name.text);
}

}  // namespace amo::compiler
