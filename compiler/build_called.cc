// SPDX-License-Identifier: Apache-2.0
// PROBLEM(context = E, …).variable: the answer of an earlier problem as an expression. One that writes
// `solve NAME = EXPR` answers with that expression; one that is smooth and convex is minimized by Newton steps, each
// over the rows of its linear constraints and sets where it has some, and differentiated at the answer by the implicit
// function theorem.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/curvature.h"
#include "compiler/extract.h"
#include "compiler/plan.h"

namespace amo::compiler {

Scope::Scope(Scope& caller, const lang::Problem& called)
    : b(caller.b),
      problem(called),
      tables(caller.tables),
      program(caller.program),
      diagnostics(caller.diagnostics),
      frames(1),
      worlds(1),
      caller_(&caller),
      open_(caller.open_),
      loops_(caller.loops_),
      next_loop_(caller.next_loop_) {}

Term Scope::FromOutside(const std::string& name, lang::Span at) {
  Frame closed;
  closed.opaque = true;
  frames.push_back(std::move(closed));
  const Term t = EvalNamed(name, at);
  frames.pop_back();
  return t;
}

Term Scope::Called(const lang::Member& m, const lang::Call& call, const lang::Expr& e) {
  const auto* callee = std::get_if<lang::Name>(&call.callee->node);
  if (!callee || problem.names.count(callee->name.text)) Unsupported(e.span, "a field of this expression");
  lang::Diagnostics muted;  // the checker has said what is wrong with it
  const lang::Problem called = lang::ChooseCalled(*problem.program, callee->name.text, muted);
  if (called.names.empty() || !AsVariable(called, m.field.text)) Unsupported(e.span, "a field of this expression");
  Scope inner(*this, called);
  for (const lang::Argument& a : call.args) {
    const auto it = a.keyword ? called.names.find(a.keyword->text) : called.names.end();
    const auto* v = it == called.names.end() ? nullptr : std::get_if<lang::ValueDecl>(&it->second->node);
    if (!v || !v->type) Refuse(lang::Code::kUnknownKeyword, a.value->span, "a problem is called with its contexts");
    inner.worlds.back().replaced[a.keyword->text] = inner.Declared(Eval(*a.value), *v, a.value->span);
  }
  const Term answer = inner.Solution(called, m.field.text, e.span);
  loops_ = inner.loops_;
  next_loop_ = inner.next_loop_;
  b.At(e.span);
  return answer;
}

namespace {

constexpr int kNewtonSteps = 30, kHalvings = 12;
constexpr std::int64_t kMostRows = 200;
// Of the identity, beside the Hessian of a step over rows, in units of the mean curvature and of the slope over the
// length of the rows' sides: linear programs have no curvature, and each such step is one of the proximal point method
// (Rockafellar 1976), whose error falls by this factor over the Hessian's least eigenvalue.
constexpr double kProximity = 1e-7;
constexpr int kProximalSteps = 3;  // before those that have derivatives

// What Newton steps have to know of a called problem.
struct Steps {
  bool affine = false, quadratic = false;  // the objective: then the first step is the last
  bool rows = false;       // it has sets or constraints
};

// Why its sets and constraints are no rows of a polyhedron; "" where they are.
std::string WhyNoRows(const lang::Problem& called, Parts& parts) {
  const auto demands = parts.Make("demands", kSeen, [&](Scope& s) {
    const Scope::Demands d = s.AllDemands();
    s.b.Output("negative", d.negative.value);
    s.b.Output("equal", d.equal.value);
    return true;
  });
  if (!demands) return "its constraints cannot be compiled";
  std::vector<int> wrt;
  for (std::size_t k = 0; k < demands->inputs.size(); ++k)
    if (AsVariable(called, demands->inputs[k].name)) wrt.push_back(static_cast<int>(k));
  const std::vector<Curvature> c = Curvatures(*demands, wrt);
  std::int64_t rows = 0;
  for (const Output& o : demands->outputs) {
    if (c[static_cast<std::size_t>(o.value.index)].degree > Degree::kAffine) return "a constraint is not linear";
    rows += Count(demands->type(o.value).shape) * (o.name == "equal" ? 2 : 1);
  }
  return rows > kMostRows ? fmt::format("it has {} rows of constraints, more than {}", rows, kMostRows) : "";
}

// Why Newton steps would not find the minimum of the problem; "" where they do.
std::string WhyNoNewton(const lang::Problem& called, const Tables& tables, Steps& steps) {
  if (called.objectives.empty()) return "it minimizes nothing";
  Program program;
  lang::Diagnostics muted;
  Parts parts{called, tables, program, muted, nullptr};
  const auto objective = parts.Make("objective", kSeen, [&](Scope& s) {
    s.b.Output("objective", s.Objective({}).value);
    return true;
  });
  if (!objective) return "its objective cannot be compiled";
  std::vector<int> wrt;
  for (const auto& [name, decl] : called.names) {
    const lang::ValueDecl* v = AsVariable(called, name);
    if (!v) continue;
    if (!v->type || v->type->name.text != "real") return fmt::format("`{}` is not real", name);
    if (v->set && !IsPolyhedron(called, *v->set)) return fmt::format("`{}` is in a set that is no polyhedron", name);
    steps.rows = steps.rows || v->set;
    if (const int k = objective->FindInput(name); k >= 0) wrt.push_back(k);
  }
  const Curvature c = Curvatures(*objective, wrt)[static_cast<std::size_t>(objective->outputs[0].value.index)];
  if (!c.smooth || !c.convex) return "it is not known to be smooth and convex";
  steps.affine = c.degree <= Degree::kAffine, steps.quadratic = c.degree <= Degree::kQuadratic;
  steps.rows = steps.rows || !called.constraints.empty();
  return steps.rows ? WhyNoRows(called, parts) : "";
}

// Newton's method for a called problem, whose variables are one vector. Each value may vary with the loops that are
// open around the call.
class Newton {
 public:
  Newton(Scope& s, const lang::Problem& called, std::vector<int> around) : s_(s), around_(std::move(around)) {
    for (const auto& [name, decl] : called.names) {
      const lang::ValueDecl* v = AsVariable(called, name);
      if (!v) continue;
      const Shape shape = s.Dims(*v);
      names_.push_back(name), shapes_.push_back(shape);
      n_ += Count(shape);
    }
  }

  Term Start() { return s_.Widen(s_.Of(s_.b.Filled(0, {n_})), around_, {n_}); }

  // The objective at `w` real[n]: under every loop of w.
  Term Objective(const Term& w) {
    Scope::World world{s_.worlds.back().replaced, {}, s_.worlds.back().networks};
    for (const auto& [name, term] : Cut(w)) world.replaced[name] = term;
    s_.worlds.push_back(std::move(world));
    const Term f = s_.Objective({});
    s_.worlds.pop_back();
    return f;
  }

  Term Gradient(const Term& w) {
    const Term leaf{s_.b.Placeholder(s_.b.type(w.value)), w.axes, false, -1, 0};
    const Value total = Total(Objective(leaf));
    return {GradientAt(s_.b, total, {leaf.value}, {w.value}, 1)[1], w.axes, false, -1, 0};
  }

  Term Hessian(const Term& w) {
    return s_.Jacobian(w, n_, [&](const Term& x) { return Gradient(x); });
  }

  Term Descended(const Term& w) {
    const Term d = s_.LinearSolution(Hessian(w), Gradient(w));
    return s_.Descended(w, d, kHalvings, [&](const Term& x) { return Objective(x); });
  }

  Term Stepped(const Term& w) { return s_.Sub(w, s_.LinearSolution(Hessian(w), Gradient(w))); }

  // Zeros, moved to the nearest point that keeps all rows.
  Term StartOnRows() {
    const Term w = Start();
    rows_ = LinearRowsOf(s_, w, [this](const Term& x) { return Cut(x); });
    return NearestOnRows(s_, rows_, w);
  }

  // The minimum over the rows of the quadratic model at `w`: with H = L L', the nearest point in z = L' (x - w).
  Term SteppedOnRows(const Term& w, double share = kProximity) {
    const Term slope = Gradient(w);
    Term h = Hessian(w);
    const auto largest = [&](const Term& x) { return s_.ReduceAll(Op::kReduceMax, s_.Unary(Op::kAbs, x)); };
    const Term curve = s_.Div(s_.ReduceAll(Op::kReduceSum, s_.Mul(s_.Unary(Op::kAbs, h), s_.Identity(n_))),
                              s_.Number(static_cast<double>(n_)));
    const Term unit = s_.Add(s_.Add(curve, s_.Div(largest(slope), Length())), s_.Number(1e-100));
    h = s_.Add(h, s_.Mul(s_.Unary(Op::kStop, s_.Mul(s_.Number(share), unit)), s_.Identity(n_)));
    const Term l = s_.Cholesky(h);
    const Term target = s_.Unary(Op::kNeg, s_.LinearSolution(l, slope));
    const Term rows = s_.Transposed(s_.LinearSolution(l, s_.Transposed(rows_.matrix, {})), {});
    const Term room = s_.Sub(rows_.bound, s_.Contract(rows_.matrix, w, {0, 1}, {1}, {0}));
    const Term z = NearestOnRows(s_, {rows, room}, target);
    return s_.Add(w, s_.LinearSolution(s_.Transposed(l, {}), z));
  }

  // `w`, or NaN where it fails rows, since no point keeps them, or where a step of such a `share` still moves it on
  // from `before`, since the objective has no end: by about the rows' length over the share.
  Term OrNone(const Term& w, const Term& before, double share) {
    constexpr double kTolerance = 1e-6, kMoves = 1e-3;
    const auto largest = [&](const Term& x) { return s_.ReduceAll(Op::kReduceMax, x); };
    const Term fails = largest(s_.Sub(s_.Contract(rows_.matrix, w, {0, 1}, {1}, {0}), rows_.bound));
    const Term room = s_.Mul(s_.Number(kTolerance), s_.Add(s_.Number(1), largest(s_.Unary(Op::kAbs, rows_.bound))));
    const Term moves = largest(s_.Unary(Op::kAbs, s_.Sub(w, before)));
    const Term size = s_.Add(largest(s_.Unary(Op::kAbs, w)), Length());
    const Term bound = s_.Mul(s_.Number(kMoves), share < 1 ? size : Length());
    const Term good = s_.Binary(Op::kAnd, s_.Binary(Op::kLe, fails, room, {}, "<="),
                                s_.Binary(Op::kLe, moves, bound, {}, "<="), {}, "and");
    return s_.Select(good, w, s_.Number(std::numeric_limits<double>::quiet_NaN()), {});
  }

  Term DescendedOnRows(const Term& w) {
    return s_.Descended(w, s_.Sub(w, SteppedOnRows(w)), kHalvings, [&](const Term& x) { return Objective(x); });
  }

  std::map<std::string, Term> Cut(const Term& w) {
    std::map<std::string, Term> named;
    const std::vector<Term> parts = s_.Cut(w, shapes_);
    for (std::size_t k = 0; k < parts.size(); ++k) named[names_[k]] = parts[k];
    return named;
  }

 private:
  // Of the rows' sides: the scale of the points that are between them.
  Term Length() { return s_.Add(s_.ReduceAll(Op::kReduceMax, s_.Unary(Op::kAbs, rows_.bound)), s_.Number(1e-3)); }

  Value Total(const Term& f) { return s_.ReduceAll(Op::kReduceSum, Term{f.value, {}, false, -1, 0}).value; }

  Scope& s_;
  std::vector<int> around_;
  std::vector<std::string> names_;
  std::vector<Shape> shapes_;
  std::int64_t n_ = 0;
  LinearRows rows_;
};

}  // namespace

Term Scope::Solution(const lang::Problem& called, const std::string& variable, lang::Span at) {
  const lang::Stages* written = called.solve;
  if (written && !written->builder && written->refinements.empty()) {
    const auto is = [&](const lang::Definition& d) { return d.name.text == variable; };
    const auto d = std::find_if(written->predictions.begin(), written->predictions.end(), is);
    if (d != written->predictions.end())
      return Declared(Family(d->index, *d->value), *AsVariable(called, variable), d->value->span);
  }
  Steps steps;
  const std::string why = WhyNoNewton(called, tables, steps);
  if (!why.empty())
    Refuse(lang::Code::kUnsupported, at,
           fmt::format("the problem `{}` cannot be solved inside an expression: {}", called.name, why),
           "a called problem writes its answer, `solve NAME = EXPR`, or is smooth and convex, under linear "
           "constraints");
  std::vector<int> axes;  // the loops on which its contexts depend
  for (const auto& [name, term] : worlds.back().replaced) {
    std::vector<int> all;
    std::set_union(axes.begin(), axes.end(), term.axes.begin(), term.axes.end(), std::back_inserter(all));
    axes = all;
  }
  Newton newton(*this, called, axes);
  Term w = steps.rows ? newton.StartOnRows() : newton.Start();
  w = Widen(w, axes, Own(w));
  if (steps.quadratic && !steps.rows) return newton.Cut(newton.Stepped(w)).at(variable);
  if (steps.quadratic)
    w = Repeated(w, kProximalSteps, [&](const Term& x) { return newton.SteppedOnRows(x); });
  else
    w = Repeated(w, kNewtonSteps,
                 [&](const Term& x) { return steps.rows ? newton.DescendedOnRows(x) : newton.Descended(x); });
  w = Unary(Op::kStop, w);
  // Derivatives are those of two more steps: each doubles the order to which the answer follows its contexts, and
  // divides what the steps over rows lack. Those of a linear program stay where they are, however short they are.
  const double share = steps.affine ? 1 : kProximity;
  Term before;
  for (int k = 0; k < 2; ++k) {
    before = w;
    w = steps.rows ? newton.SteppedOnRows(w, share) : newton.Stepped(w);
  }
  if (steps.rows) w = newton.OrNone(w, before, share);
  return newton.Cut(w).at(variable);
}

}  // namespace amo::compiler
