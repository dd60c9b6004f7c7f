// SPDX-License-Identifier: Apache-2.0
// What all refinements share: their settings, the objective and its gradient where the moved values are, projections,
// states, and what ends every step.
#include "compiler/refine.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/extract.h"
#include "compiler/plan.h"

namespace amo::compiler {
namespace {

const lang::Call* CallOf(const lang::Expr& e) { return std::get_if<lang::Call>(&e.node); }

const lang::Name* WordOf(const lang::Expr& e) {
  const lang::Call* call = CallOf(e);
  return std::get_if<lang::Name>(call ? &call->callee->node : &e.node);
}

const lang::Expr* Find(const lang::Expr& written, const std::string& key) {
  const lang::Call* call = CallOf(written);
  if (!call) return nullptr;
  for (const lang::Argument& a : call->args) if (a.keyword && a.keyword->text == key) return a.value.get();
  return nullptr;
}

}  // namespace

const lang::Expr* FixedPointOf(const lang::Problem& problem, const std::string& variable) {
  const auto is_variable = [&](const lang::Expr& e) {
    const auto* n = std::get_if<lang::Name>(&e.node);
    return n && n->name.text == variable;
  };
  for (const lang::FindDecl* f : problem.finds) {
    const auto* relation = std::get_if<lang::Compare>(&f->relation.value->node);
    if (!relation || relation->rest.size() != 1 || relation->rest[0].first != lang::CompareOp::kEq) continue;
    if (is_variable(*relation->first)) return relation->rest[0].second.get();
    if (is_variable(*relation->rest[0].second)) return relation->first.get();
  }
  return nullptr;
}

Refine::Refine(Parts& parts, Scope& scope, const lang::Stages& stages, const lang::Expr& written, Refinement& out,
               std::string prefix, bool begin, RefineValues* values)
    : s(scope), parts_(parts), stages_(stages), written_(written), out_(out), prefix_(std::move(prefix)),
      begin_(begin), values_(values) {
  s.in_step = !begin;
  for (const lang::Over& over : stages.over) {
    moved_.push_back({over.name.text, {s.ElemOf(over.type), s.Dims(over.type)}});
    now_.push_back(Read(over.name.text, moved_.back().type));
  }
  if (!stages.over.empty()) return;
  for (const Named& v : parts.program.variables) {
    moved_.push_back(v);
    now_.push_back(Read(v.name, v.type));
  }
}

Term Refine::Read(const std::string& name, const Type& type) {
  return values_ ? values_->now.at(name) : s.InputOnce(name, Role::kInstance, type);
}

void Refine::Write(const std::string& name, const Term& value) {
  if (values_) values_->next[name] = value;
  else s.b.Output(name, value.value);
}

std::optional<Term> Refine::Setting(const std::string& key) {
  const lang::Expr* e = Find(written_, key);
  if (!e) return std::nullopt;
  const lang::Call* call = CallOf(*e);
  const lang::Name* word = WordOf(*e);
  if (call && word && word->name.text == "learned" && call->args.size() == 1) {
    // An anonymous parameter, which belongs to the model.
    const double start = s.Constant(*call->args[0].value, "the start of a learned setting");
    const std::string input = fmt::format("weight/model/{}.{}", prefix_.substr(prefix_.rfind('/') + 1), key);
    const bool known = std::any_of(parts_.program.weights.begin(), parts_.program.weights.end(),
                                   [&](const Weight& w) { return w.input == input; });
    if (!known) parts_.program.weights.push_back({input, {}, 0, start});
    return s.InputOnce(input, Role::kShared, {});
  }
  return s.Real(s.Eval(*e));
}

double Refine::Number(const std::string& key, double otherwise) {
  const lang::Expr* e = Find(written_, key);
  return e ? s.Constant(*e, fmt::format("the setting `{}`", key)) : otherwise;
}

bool Refine::Flag(const std::string& key) {
  const lang::Expr* e = Find(written_, key);
  return e && s.TryConstant(*e).value_or(0) != 0;
}

std::vector<Term> Refine::Predicted(const std::vector<Term>& at) {
  for (std::size_t k = 0; k < at.size(); ++k) s.frames.back().locals[moved_[k].name] = at[k];
  std::vector<Term> y = Predictions(parts_, s, &stages_, true);
  for (std::size_t k = 0; k < y.size(); ++k)
    y[k] = ProjectedVariable(parts_, s, parts_.program.variables[k].name, y[k]);
  return y;
}

Term Refine::Objective(const std::vector<Term>& at) {
  Scope::World world{s.worlds.back().replaced, {}, s.worlds.back().networks};
  const std::vector<Term> y = stages_.over.empty() ? at : Predicted(at);
  for (std::size_t k = 0; k < y.size(); ++k) world.replaced[parts_.program.variables[k].name] = y[k];
  s.worlds.push_back(std::move(world));
  const Term f = s.EvalNamed("objective", written_.span);
  s.worlds.pop_back();
  return f;
}

Refine::Slope Refine::Gradient(const std::vector<Term>& at, bool constant) {
  std::vector<Value> leaves, points;
  std::vector<Term> terms;
  for (const Term& t : at) {
    leaves.push_back(s.b.Placeholder(s.b.type(t.value)));
    points.push_back(t.value);
    terms.push_back(t);
    terms.back().value = leaves.back();
  }
  // Under loops each copy of the values has the gradient of its own objective.
  const Term f = Objective(terms);
  const Value total = f.axes.empty() ? f.value : s.ReduceAll(Op::kReduceSum, s.Of(f.value)).value;
  const std::vector<Value> d = GradientAt(s.b, total, leaves, points, leaves.size());
  Slope slope{s.Of(d[0]), {}};
  for (std::size_t k = 1; k < d.size(); ++k) {
    const Term g{d[k], at[k - 1].axes, false, -1, 0};
    slope.by.push_back(constant && FirstOrder() ? s.Unary(Op::kStop, g) : g);
  }
  return slope;
}

Term Refine::Project(std::size_t k, const Term& y) {
  if (stages_.over.empty())
    return parts_.program.projected.empty() ? ProjectedVariable(parts_, s, moved_[k].name, y) : y;
  const lang::ExprPtr& set = stages_.over[k].set;
  return set ? s.Project(*set, y) : y;
}

std::vector<Term> Refine::Project(std::vector<Term> y) {
  for (std::size_t k = 0; k < y.size(); ++k) y[k] = Project(k, y[k]);
  return y;
}

const lang::Expr* Refine::SetOf(std::size_t k) const {
  if (!stages_.over.empty()) return stages_.over[k].set.get();
  const lang::ValueDecl* v = AsVariable(parts_.problem, moved_[k].name);
  return v && v->set ? v->set.get() : nullptr;
}

bool Refine::IsBox(std::size_t k) const {
  if (stages_.over.empty() && !parts_.program.projected.empty()) return false;
  const lang::Expr* set = SetOf(k);
  const lang::Name* word = set ? WordOf(*set) : nullptr;
  return !set || (word && (word->name.text == "box" || word->name.text == "nonnegative" ||
                           word->name.text == "ballinf"));
}

void Refine::Begin(const std::string& name, const Term& start) {
  Write(StateName(name), s.Real(start));
  out_.states.push_back({StateName(name), {Elem::kReal, s.Own(start)}});
}

Term Refine::State(const std::string& name) {
  for (const Named& known : out_.states) {
    if (known.name == StateName(name)) return Read(known.name, known.type);
  }
  s.Refuse(lang::Code::kMissingPart, written_.span, fmt::format("the state `{}` has no start", name));
}

void Refine::Next(const std::string& name, const Term& value) { next_states_[StateName(name)] = value; }

void Refine::BeginAgain() {
  Begin("again", s.Number(0));
  out_.again = StateName("again");
}

void Refine::Again(const Term& rejected) { Next("again", s.Real(rejected)); }

void Refine::Move(const std::vector<Term>& next) { next_ = next; }

Term Refine::Noise(std::size_t k, int loop) {
  if (values_) s.Unsupported(span(), "draws of a refinement at another context");
  const Named& v = moved_[k];
  Shape all = v.type.shape;
  all.insert(all.begin(), s.Extent(loop));
  const Draw d{Draw::Base::kNormal, 1, "draw/" + StateName("noise/" + v.name), {Elem::kReal, all}, true, true};
  const bool known = std::any_of(parts_.program.draws.begin(), parts_.program.draws.end(),
                                 [&](const Draw& x) { return x.input == d.input; });
  if (!known) parts_.program.draws.push_back(d);
  Term t = s.InputOnce(d.input, Role::kInstance, d.type);
  t.axes = {loop};
  return t;
}

std::vector<Term> Refine::FixedPointMap(const std::vector<Term>& at, const Term& rate, bool descent) {
  const lang::Problem& problem = parts_.problem;
  const auto replaced = [&] {
    Scope::World world{s.worlds.back().replaced, {}, s.worlds.back().networks};
    for (std::size_t k = 0; k < at.size(); ++k) world.replaced[moved_[k].name] = at[k];
    return world;
  };
  std::vector<Term> next = at;
  bool any = false;
  if (stages_.over.empty() && !descent) {
    s.worlds.push_back(replaced());
    for (std::size_t k = 0; k < at.size(); ++k) {
      const lang::Expr* map = FixedPointOf(problem, moved_[k].name);
      for (const lang::UpdateDecl* u : problem.updates)
        if (!map && problem.finds.empty() && u->name.text == moved_[k].name) map = u->value.get();
      if (!map) continue;
      any = true;
      next[k] = s.Declared(s.Real(s.Eval(*map)), *AsVariable(problem, moved_[k].name), map->span);
    }
    s.worlds.pop_back();
  }
  if (any) return Project(std::move(next));
  const Slope slope = Gradient(at);
  for (std::size_t k = 0; k < at.size(); ++k) next[k] = s.Sub(at[k], s.Mul(rate, slope.by[k]));
  return Project(std::move(next));
}

void Refine::Finish() {
  if (begin_) return;
  std::optional<Term> keeps;  // where it holds nothing changes
  if (const auto tolerance = Setting("tol")) {
    Term moved = s.Number(0);
    for (std::size_t k = 0; k < next_.size(); ++k)
      moved = s.Binary(Op::kMax, moved, s.ReduceAll(Op::kReduceMax, s.Unary(Op::kAbs, s.Sub(next_[k], now_[k]))),
                       span(), "max");
    keeps = s.Binary(Op::kLe, moved, *tolerance, span(), "<=");
  }
  if (Flag("safeguard")) {
    const Term rises = s.Binary(Op::kLt, Objective(now_), Objective(next_), span(), "<");
    keeps = keeps ? s.Binary(Op::kOr, *keeps, rises, span(), "or") : rises;
  }
  for (std::size_t k = 0; k < next_.size(); ++k) {
    Term next = s.Widen(next_[k], now_[k].axes, moved_[k].type.shape);
    if (keeps) next = s.Select(*keeps, now_[k], next, span());
    Write(moved_[k].name, next);
  }
  for (const Named& state : out_.states) {
    const auto it = next_states_.find(state.name);
    const Term old = Read(state.name, state.type);
    Write(state.name, it == next_states_.end() ? old : s.Widen(it->second, old.axes, state.type.shape));
  }
}

}  // namespace amo::compiler
