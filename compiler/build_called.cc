// SPDX-License-Identifier: Apache-2.0
// PROBLEM(context = E, …).variable: the answer of an earlier problem as an expression. One that writes
// `solve NAME = EXPR` answers with that expression; one that is smooth, convex and free is minimized by Newton steps,
// and differentiated at the answer by the implicit function theorem.
#include <algorithm>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/curvature.h"
#include "compiler/extract.h"

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

// Why Newton steps would not find the minimum of the problem; "" where they do. `quadratic`: the first one does.
std::string WhyNoNewton(const lang::Problem& called, const Tables& tables, bool& quadratic) {
  if (called.objectives.empty()) return "it minimizes nothing";
  if (!called.constraints.empty()) return "it has constraints";
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
    if (v->set || !v->type || v->type->name.text != "real") return fmt::format("`{}` is in a set", name);
    if (const int k = objective->FindInput(name); k >= 0) wrt.push_back(k);
  }
  const Curvature c = Curvatures(*objective, wrt)[static_cast<std::size_t>(objective->outputs[0].value.index)];
  if (!c.smooth || !c.convex) return "it is not known to be smooth and convex";
  quadratic = c.degree <= Degree::kQuadratic;
  return "";
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

  std::map<std::string, Term> Cut(const Term& w) {
    std::map<std::string, Term> named;
    const std::vector<Term> parts = s_.Cut(w, shapes_);
    for (std::size_t k = 0; k < parts.size(); ++k) named[names_[k]] = parts[k];
    return named;
  }

 private:
  Value Total(const Term& f) { return s_.ReduceAll(Op::kReduceSum, Term{f.value, {}, false, -1, 0}).value; }

  Scope& s_;
  std::vector<int> around_;
  std::vector<std::string> names_;
  std::vector<Shape> shapes_;
  std::int64_t n_ = 0;
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
  bool quadratic = false;
  const std::string why = WhyNoNewton(called, tables, quadratic);
  if (!why.empty())
    Refuse(lang::Code::kUnsupported, at,
           fmt::format("the problem `{}` cannot be solved inside an expression: {}", called.name, why),
           "a called problem writes its answer, `solve NAME = EXPR`, or is smooth, convex and without constraints");
  std::vector<int> axes;  // the loops on which its contexts depend
  for (const auto& [name, term] : worlds.back().replaced) {
    std::vector<int> all;
    std::set_union(axes.begin(), axes.end(), term.axes.begin(), term.axes.end(), std::back_inserter(all));
    axes = all;
  }
  Newton newton(*this, called, axes);
  Term w = newton.Start();
  if (quadratic) return newton.Cut(newton.Stepped(w)).at(variable);
  w = Unary(Op::kStop, Repeated(w, kNewtonSteps, [&](const Term& x) { return newton.Descended(x); }));
  // Derivatives are those of two more steps: each doubles the order to which the answer follows its contexts.
  return newton.Cut(newton.Stepped(newton.Stepped(w))).at(variable);
}

}  // namespace amo::compiler
