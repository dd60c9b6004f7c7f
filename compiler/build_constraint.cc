// SPDX-License-Identifier: Apache-2.0
// Constraints and sets: by how much they fail, the augmented Lagrangian of those that no projection keeps, and all of
// them as rows.
#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/classify.h"
#include "compiler/curvature.h"
#include "compiler/plan.h"

namespace amo::compiler {
namespace {

std::vector<Gap> Gaps(Scope& s, const lang::Relation& r) {
  std::vector<Gap> gaps;
  Term last;
  if (const auto* chain = std::get_if<lang::Compare>(&r.value->node)) {
    last = s.Eval(*chain->first);
    for (const auto& [op, e] : chain->rest) {
      const Term right = s.Eval(*e);
      if (op == lang::CompareOp::kNe) s.Unsupported(r.value->span, "a constraint with `!=`");
      const bool greater = op == lang::CompareOp::kGe || op == lang::CompareOp::kGt;
      const Term gap = s.Sub(s.Real(greater ? right : last), s.Real(greater ? last : right));
      gaps.push_back(
          {op == lang::CompareOp::kEq ? Gap::Kind::kZero : Gap::Kind::kNegative, s.Flat(gap), nullptr, e->span});
      last = right;
    }
  } else {
    last = s.Eval(*r.value);
  }
  if (r.set) gaps.push_back({Gap::Kind::kSet, s.Real(last), r.set.get(), r.set->span});
  if (gaps.empty())
    s.Refuse(lang::Code::kRelation, r.value->span, "a constraint needs a relation", "write `==`, `<=`, `>=` or `in`");
  return gaps;
}

// v minus the nearest point of the cone, flat; an amount has no sign.
Term Excess(Scope& s, const Gap& gap, const Term& v, bool amount) {
  switch (gap.kind) {
    case Gap::Kind::kZero: return amount ? s.Unary(Op::kAbs, v) : v;
    case Gap::Kind::kNegative: return s.Binary(Op::kMax, v, s.Number(0), gap.span, "max");
    case Gap::Kind::kSet: return s.Flat(s.Sub(v, s.Project(*gap.set, v)));
  }
  return v;
}

}  // namespace

std::vector<Term> OverGaps(Scope& s, const lang::Constraint& c,
                           const std::function<Term(const Gap&, const std::vector<int>&)>& of) {
  if (c.index.empty() && c.condition) s.Unsupported(c.condition->span, "a condition without an index");
  s.frames.push_back({});
  std::vector<int> ids;
  s.OpenLoops(c.index, ids);
  std::vector<Term> parts;
  for (const Gap& gap : Gaps(s, c.relation)) {
    Term t = of(gap, ids);
    if (c.condition) t = s.Select(s.Eval(*c.condition), t, s.Number(0), c.condition->span);
    parts.push_back(t);
  }
  s.frames.pop_back();
  s.CloseLoops(ids.size());
  for (Term& t : parts) {
    std::vector<int> axes = t.axes;
    for (int id : ids) if (!std::count(axes.begin(), axes.end(), id)) axes.push_back(id);
    std::sort(axes.begin(), axes.end());
    t = s.Widen(t, axes, s.Own(t));
    t.axes.resize(axes.size() - ids.size());
    t = s.Flat(t);
  }
  return parts;
}

namespace {

bool IsBuilt(const Program& program, const lang::Constraint& c) {
  return std::any_of(program.constraints.begin(), program.constraints.end(),
                     [&](const Function& f) { return f.name == "violation/" + c.name.text; });
}

}  // namespace

Term Scope::Amounts(const lang::Constraint& c, bool shifted) {
  std::int64_t all = 0;  // the multipliers' number: of one gap after the other
  if (shifted) {
    Builder aside("sizes");
    Scope s(aside, problem, tables, program, inputs_, diagnostics);
    for (const Term& t : OverGaps(s, c, [](const Gap& gap, const auto&) { return gap.value; })) all += Count(s.Own(t));
  }
  std::int64_t at = 0;
  const auto excess = [&](const Gap& gap, const std::vector<int>& ids) {
    if (!shifted) return Excess(*this, gap, gap.value, true);
    Shape shape;
    for (const int id : ids) shape.push_back(Extent(id));
    const Shape own = Own(gap.value);
    shape.insert(shape.end(), own.begin(), own.end());
    const Term multipliers = InputOnce("multiplier/" + c.name.text, Role::kInstance, {Elem::kReal, {all}});
    const Value mine = b.Reshape(b.Slice(multipliers.value, {at}, {Count(shape)}), shape);
    at += Count(shape);
    const Term shift = Div(Term{mine, ids, false, -1, 0}, InputOnce("penalty", Role::kInstance, {}));
    return Excess(*this, gap, Add(gap.value, shift), false);
  };
  return Concat(OverGaps(*this, c, excess), 0, c.relation.value->span);
}

namespace {

// Whether steps on linearized rows can bring predictions to what no projection keeps: all is smooth, and known of them.
bool CanCorrect(const Program& program) {
  constexpr std::int64_t kMost = 500;
  std::int64_t variables = 0;
  for (const Named& v : program.variables) variables += Count(v.type.shape);
  if (!program.rows_whole || !program.manifolds.empty() || variables > kMost || !program.sides) return false;
  const bool known = std::none_of(program.sides->inputs.begin(), program.sides->inputs.end(), [&](const Input& in) {
    const auto is = [&](const Named& n) { return n.name == in.name; };
    return std::any_of(program.hidden.begin(), program.hidden.end(), is) || in.name.starts_with("draw/") ||
           in.name.starts_with("row/");
  });
  return known && std::all_of(program.classes.begin() + 1, program.classes.end(),
                              [](const Classified& c) { return c.curvature.smooth; });
}

}  // namespace

void BuildLagrangian(Parts& parts) {
  Program& program = parts.program;
  std::vector<const lang::Constraint*> open;
  for (const lang::Constraint* c : parts.problem.constraints) {
    if (!IsKept(program, c->name.text) && IsBuilt(program, *c)) open.push_back(c);
  }
  if (open.empty() || !program.objective) return;
  program.corrected = !WritesItsPlan(parts.problem) && CanCorrect(program);
  program.lagrangian = parts.Make("lagrangian", kSeen, [&](Scope& s) {
    Term total = s.Objective(parts.problem.objectives[0]->value->span);
    Term squares = s.Number(0);
    for (const lang::Constraint* c : open) {
      const Term a = s.Amounts(*c, true);
      squares = s.Add(squares, s.ReduceAll(Op::kReduceSum, s.Mul(a, a)));
    }
    total = s.Add(total, s.Mul(s.Number(0.5), s.Mul(s.InputOnce("penalty", Role::kInstance, {}), squares)));
    s.b.Output("lagrangian", total.value);
    return true;
  });
  program.multipliers = parts.Make("multipliers", kSeen, [&](Scope& s) {
    const Term penalty = s.InputOnce("penalty", Role::kInstance, {});
    for (const lang::Constraint* c : open)
      s.b.Output("multiplier/" + c->name.text, s.Mul(s.Amounts(*c, true), penalty).value);
    return true;
  });
}

namespace {

// More rows or variables than this are not worth dense matrices.
constexpr std::int64_t kMostRows = 4000, kMostVariables = 2000;

// Classes of all rows, and the function of those that are affine.
void ClassifyRows(Program& program) {
  Function affine = *program.sides;
  affine.name = "rows", affine.outputs.clear();
  for (std::size_t k = 0; k < program.cones.size(); ++k) {
    Classified c = ClassOfOutput(program, *program.sides, k, program.cones[k].name);
    program.cones[k].affine = c.curvature.degree <= Degree::kAffine;
    if (program.cones[k].affine) affine.outputs.push_back(program.sides->outputs[k]);
    if (!program.cones[k].set) program.classes.push_back(std::move(c));
  }
  if (!affine.outputs.empty()) program.affine = Simplify(affine);
}

// Whether a prediction can be projected onto the rows: they ask for nothing that is hidden from it, they are all that
// the variables' sets demand, and a constraint among them is not kept already.
void ChooseProjected(Program& program, bool sets_are_rows, const std::vector<std::string>& row_sets) {
  std::int64_t rows = 0, variables = 0;
  for (const ConeRows& r : program.cones) if (r.affine) rows += r.count;
  for (const Named& v : program.variables) variables += Count(v.type.shape);
  if (!sets_are_rows || rows > kMostRows || variables > kMostVariables) return;
  for (const Input& in : program.affine->inputs) {
    const auto is = [&](const Named& n) { return n.name == in.name; };
    for (const auto* list : {&program.hidden, &program.parameters})
      if (std::any_of(list->begin(), list->end(), is)) return;
    if (in.name.starts_with("weight/") || in.name.starts_with("draw/") || in.name.starts_with("row/")) return;
  }
  const auto moves = [&](const std::string& name) {  // else no projection can keep it
    bool some = false, all = true;
    for (std::size_t k = 1; k < program.classes.size(); ++k) {
      if (program.classes[k].name != name) continue;
      some = some || program.classes[k].curvature.degree == Degree::kAffine;
      all = all && program.classes[k].curvature.degree <= Degree::kAffine;
    }
    return some && all;
  };
  for (const ConeRows& r : program.cones) {
    const bool known = r.set || !moves(r.name) || std::count(program.kept.begin(), program.kept.end(), r.name) ||
                       std::count(program.projected.begin(), program.projected.end(), r.name);
    if (!known) program.projected.push_back(r.name);
  }
  for (const std::string& variable : row_sets) program.projected.push_back("the set of " + variable);
}

}  // namespace

Scope::Demands Scope::AllDemands() {
  std::vector<Term> negative{Of(b.Filled(0, {0}))}, equal = negative;
  for (const lang::Constraint* c : problem.constraints) {
    std::vector<Cone> cones;
    const auto side = [&](const Gap& gap, const std::vector<int>&) {
      if (gap.kind == Gap::Kind::kSet) Unsupported(gap.span, "`in SET` beside `complete` and `correct`");
      cones.push_back(gap.kind == Gap::Kind::kZero ? Cone::kZero : Cone::kNegative);
      return gap.value;
    };
    const std::vector<Term> terms = OverGaps(*this, *c, side);
    for (std::size_t k = 0; k < terms.size(); ++k)
      (cones[k] == Cone::kZero ? equal : negative).push_back(Flat(terms[k]));
  }
  for (const auto& [name, decl] : problem.names) {
    const lang::ValueDecl* v = AsVariable(problem, name);
    const auto sides = v && v->set ? SidesOfSet(*this, *v->set, EvalNamed(name, v->set->span)) : std::nullopt;
    if (!sides) continue;
    negative.insert(negative.end(), sides->negative.begin(), sides->negative.end());
    equal.insert(equal.end(), sides->equal.begin(), sides->equal.end());
  }
  return {Concat(std::move(negative), 0, {}), Concat(std::move(equal), 0, {})};
}

void BuildRows(Parts& parts) {
  Program& program = parts.program;
  bool sets_are_rows = true;
  std::vector<std::string> row_sets;
  program.classes.push_back(program.objective ? ClassOfOutput(program, *program.objective, 0, "") : Classified{});
  program.rows_whole = !program.variables.empty();
  lang::Diagnostics muted;  // what is refused here was reported when the constraint itself was built
  Parts aside{parts.problem, parts.tables, parts.program, muted};
  program.sides = aside.Make("sides", kSeen, [&](Scope& s) {
    const auto add = [&](const std::string& name, bool set, const Term& t, Cone cone) {
      const std::string output = fmt::format("side/{}", program.cones.size());
      program.cones.push_back({name, set, cone, Count(s.Own(t)), output});
      s.b.Output(output, s.Flat(t).value);
    };
    for (const lang::Constraint* c : parts.problem.constraints) {
      if (!IsBuilt(program, *c)) {
        program.rows_whole = false;
        continue;
      }
      std::vector<Cone> cones;
      bool whole = true;
      const auto side = [&](const Gap& gap, const std::vector<int>&) {
        cones.push_back(gap.kind == Gap::Kind::kZero ? Cone::kZero : Cone::kNegative);
        if (gap.kind != Gap::Kind::kSet) return gap.value;
        const auto sides = SidesOfSet(s, *gap.set, gap.value);
        whole = whole && sides && sides->equal.empty();
        return sides && !sides->negative.empty() ? s.Concat(sides->negative, 0, gap.span) : s.Flat(gap.value);
      };
      const std::vector<Term> terms = OverGaps(s, *c, side);
      program.rows_whole = program.rows_whole && whole;
      for (std::size_t k = 0; k < terms.size() && whole; ++k) add(c->name.text, false, terms[k], cones[k]);
    }
    for (const Named& v : program.variables) {
      const lang::ValueDecl& d = *AsVariable(parts.problem, v.name);
      sets_are_rows = sets_are_rows && v.type.elem == Elem::kReal;
      if (!d.set) continue;
      const auto sides = SidesOfSet(s, *d.set, s.EvalNamed(v.name, d.set->span));
      sets_are_rows = sets_are_rows && sides;
      if (!sides) continue;
      if (IsRowSet(parts.problem, *d.set)) row_sets.push_back(v.name);
      for (const Term& t : sides->negative) add(v.name, true, t, Cone::kNegative);
      for (const Term& t : sides->equal) add(v.name, true, t, Cone::kZero);
    }
    return true;
  });
  if (!program.sides) program.cones.clear();
  program.rows_whole = program.rows_whole && sets_are_rows && program.sides;
  if (program.cones.empty()) return program.sides.reset();
  ClassifyRows(program);
  if (program.affine && !program.conic && !WritesItsPlan(parts.problem))
    ChooseProjected(program, sets_are_rows, row_sets);
  if (!row_sets.empty() && program.projected.empty()) {
    const lang::ValueDecl& d = *AsVariable(parts.problem, row_sets[0]);
    parts.diagnostics.Error(
        lang::Code::kUnsupported, d.set->span,
        "this set cannot be kept yet beside what is hidden, learned or no polyhedron, or at this size");
  }
}

}  // namespace amo::compiler
