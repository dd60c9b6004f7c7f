// SPDX-License-Identifier: Apache-2.0
// ŷ where contexts or networks are replaced, and what follows from it: y(x = x + e), V(step = 3, s = r). Predictions
// and refinement steps of the model are written out in place, as a scan for each stage.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/plan.h"
#include "compiler/refine.h"

namespace amo::compiler {
namespace {

using Env = std::map<std::string, Term>;

Scope::World Replacing(const Scope& s, const Env& more) {
  Scope::World world{s.worlds.back().replaced, {}, s.worlds.back().networks};
  for (const auto& [name, t] : more) world.replaced[name] = t;
  return world;
}

class Run {
 public:
  Run(Parts& parts, Scope& s, lang::Span at) : parts_(parts), p_(parts.program), s_(s), at_(at) {
    for (const auto& [name, t] : s.worlds.back().replaced) {
      std::vector<int> all;
      std::set_union(axes_.begin(), axes_.end(), t.axes.begin(), t.axes.end(), std::back_inserter(all));
      axes_ = all;
    }
  }

  // Variables and states of `update` after each step from 0 to `last`, or as many as the model takes where `last` is
  // less: [steps + 1, ..] by name.
  Env After(std::int64_t last) {
    Begin();
    Env rows;
    Append(rows, Rows(Visible()));
    const auto& stages = p_.model.refinements;
    std::int64_t step = 0;
    for (std::size_t k = 0; k < stages.size() && step < last; ++k) {
      const bool final = k + 1 == stages.size();
      const std::int64_t end = final ? last : std::min(last, step + StepsOf(stages[k]));
      Stage(stages[k], *parts_.problem.model->refinements[k], k, end - step, rows);
      step = end;
    }
    return rows;
  }

 private:
  // ---- the prediction
  void Begin() {
    const lang::Stages* model = parts_.problem.model;
    if (model) {
      for (const lang::Over& over : model->over) {
        const Shape shape = s_.Dims(over.type);
        Term z = over.from ? s_.Declared(s_.Real(s_.Eval(*over.from)), over.type, over.from->span)
                           : s_.Of(s_.b.Filled(0, shape));
        if (over.set) z = s_.Project(*over.set, z);
        Set(over.name.text, z, shape);
      }
    }
    if (moved_.empty()) {
      const std::vector<Term> y = Predictions(parts_, s_, model, true);
      for (std::size_t k = 0; k < y.size(); ++k) Set(p_.variables[k].name, y[k], p_.variables[k].type.shape);
      Keep();
    } else {
      latent_ = true;
    }
    if (p_.model.refinements.empty()) BeginStates();
  }

  void Set(const std::string& name, const Term& t, const Shape& shape) {
    moved_.push_back(name);
    now_[name] = s_.Widen(s_.Real(t), axes_, shape);
  }

  // Of the file's own `update`, before its first step.
  void BeginStates() {
    for (const std::string& name : states_) now_.erase(name);
    states_.clear();
    s_.worlds.push_back(Replacing(s_, Visible()));
    const bool before = s_.at_start;
    s_.at_start = true;
    Env starts;
    for (const lang::UpdateDecl* u : parts_.problem.updates) {
      if (!u->type) continue;
      const Shape shape = s_.Dims(*u->type);
      const Term t = u->from ? s_.Declared(s_.Real(s_.Eval(*u->from)), *u->type, u->from->span)
                             : s_.Of(s_.b.Filled(0, shape));
      starts[u->name.text] = s_.Widen(t, axes_, shape);
    }
    s_.at_start = before;
    s_.worlds.pop_back();
    for (const auto& [name, t] : starts) now_[name] = t, states_.push_back(name);
  }

  // The variables, brought into their sets and onto the constraints that are kept.
  void Keep() {
    if (!p_.projected.empty()) return KeepRows(now_);
    for (const Named& v : p_.variables)
      now_[v.name] = s_.Widen(ProjectedVariable(parts_, s_, v.name, now_.at(v.name)), axes_, v.type.shape);
  }

  void KeepRows(Env& env) {
    for (const lang::Constraint* c : parts_.problem.constraints)
      if (!IsKept(p_, c->name.text))
        s_.Unsupported(at_, fmt::format("the model at another context beside the constraint `{}`", c->name.text));
    std::vector<Shape> shapes;
    std::vector<Term> flat;
    for (const Named& v : p_.variables) shapes.push_back(v.type.shape), flat.push_back(s_.Flat(env.at(v.name)));
    const Term w = s_.Concat(std::move(flat), 0, at_);
    const auto cut = [&](const Term& x) {
      Env named;
      const std::vector<Term> parts = s_.Cut(x, shapes);
      for (std::size_t k = 0; k < parts.size(); ++k) named[p_.variables[k].name] = parts[k];
      return named;
    };
    const LinearRows rows = LinearRowsOf(s_, s_.Widen(s_.Of(s_.b.Filled(0, {s_.Own(w)[0]})), axes_, s_.Own(w)), cut);
    constexpr std::int64_t kMostRows = 200;
    if (s_.Own(rows.bound)[0] > kMostRows)
      s_.Unsupported(at_, fmt::format("the model at another context under {} rows", s_.Own(rows.bound)[0]));
    for (const auto& [name, t] : cut(NearestOnRows(s_, rows, w))) env[name] = t;
  }

  // What an expression sees: the variables, and the states.
  Env Visible() {
    Env seen;
    for (const std::string& name : states_) seen[name] = now_.at(name);
    if (!latent_) {
      for (const std::string& name : moved_) seen[name] = now_.at(name);
      return seen;
    }
    s_.frames.push_back({});
    for (const std::string& z : moved_) s_.frames.back().locals[z] = now_.at(z);
    const std::vector<Term> y = Predictions(parts_, s_, parts_.problem.model, true);
    s_.frames.pop_back();
    for (std::size_t k = 0; k < y.size(); ++k) {
      const Named& v = p_.variables[k];
      const Term point = p_.projected.empty() ? ProjectedVariable(parts_, s_, v.name, y[k]) : y[k];
      seen[v.name] = s_.Widen(s_.Real(point), axes_, v.type.shape);
    }
    if (!p_.projected.empty()) KeepRows(seen);
    return seen;
  }

  // ---- steps
  void Stage(const Refinement& r, const lang::Expr& written, std::size_t place, std::int64_t n, Env& rows) {
    if (!r.step || r.passage == Passage::kPerturbed)
      s_.Unsupported(at_, fmt::format("the model at another context, after `{}`,", r.name));
    for (const Draw& d : p_.draws)
      if (d.random && r.step->FindInput(d.input) >= 0)
        s_.Unsupported(at_, fmt::format("the model at another context, after `{}` whose steps draw,", r.name));
    if (r.passage == Passage::kImplicit && s_.log_probabilities)  // of a loss
      s_.Unsupported(at_, "derivatives of the model at another context through `implicit`");
    if (r.name == "iterate" && !p_.projected.empty())
      s_.Unsupported(at_, "the model at another context, after `iterate` and under the projection onto all rows,");
    static const std::set<std::string> kUnderLoops = {"gradient", "momentum", "adam", "iterate", "newton"};
    if (!axes_.empty() && !kUnderLoops.count(r.name))
      s_.Unsupported(at_, fmt::format("the model at another context under a binder, after `{}`,", r.name));
    const std::string prefix = fmt::format("model/{}", place);
    const bool apart = r.passage == Passage::kNone || r.passage == Passage::kStraightThrough;
    const Env entered = now_;
    if (apart) Stop(now_);
    std::vector<std::string> carried = moved_;
    if (r.name == "iterate") {
      BeginStates();
      for (const std::string& name : states_) {  // what stands before this stage: its start
        Shape own = s_.Own(now_.at(name));
        const std::int64_t before = s_.Own(rows.at(p_.variables[0].name))[0];
        std::vector<std::int64_t> map{-1};
        for (std::size_t d = 0; d < own.size(); ++d) map.push_back(static_cast<std::int64_t>(d));
        own.insert(own.begin(), before);
        rows[name] = s_.Spread(now_.at(name), map, own);
      }
      carried.insert(carried.end(), states_.begin(), states_.end());
    } else {
      for (const auto& [name, t] : Placed(r, written, prefix, true, {})) now_[name] = t, carried.push_back(name);
    }
    std::int64_t done = 0;
    const auto advance = [&](std::int64_t count) {
      std::vector<Shape> shapes;
      for (const std::string& name : carried) shapes.push_back(s_.Own(now_.at(name)));
      const auto joined = [&] {
        std::vector<Term> flat;
        for (const std::string& name : carried) flat.push_back(s_.Flat(now_.at(name)));
        return s_.Concat(std::move(flat), 0, at_);
      };
      const auto cut = [&](const Term& x) {
        const std::vector<Term> parts = s_.Cut(x, shapes);
        for (std::size_t k = 0; k < parts.size(); ++k) now_[carried[k]] = parts[k];
      };
      const std::int64_t before = done;
      const Term history = s_.History(joined(), count, [&](const Term& x, const Term& t) {
        cut(x);
        const Term inside = before == 0 ? t : s_.Add(t, s_.Number(static_cast<double>(before), Elem::kInt));
        for (const auto& [name, next] : Next(r, written, prefix, inside))
          now_[name] = s_.Widen(next, axes_, s_.Own(next));
        return joined();
      });
      done += count;
      // All rows but the first, which stands there already; then the last.
      const std::int64_t size = s_.Own(history)[1];
      const auto part = [&](std::int64_t from, std::int64_t length) {
        std::vector<std::int64_t> starts(axes_.size() + 2);
        Shape shape = s_.b.shape(history.value);
        starts[axes_.size()] = from, shape[axes_.size()] = length;
        return Term{s_.b.Slice(history.value, starts, shape), axes_, false, -1, 0};
      };
      const int loop = s_.OpenRange(count);
      Term each = part(1, count);
      each.axes.push_back(loop);
      const std::vector<int> around = axes_;
      axes_.push_back(loop);
      cut(each);
      if (apart) Detach(r, entered);
      const Env seen = Visible();
      axes_ = around;
      s_.CloseLoops(1);
      Append(rows, RowsUnder(loop, seen));
      cut(s_.Reshaped(part(count, 1), {size}));
    };
    const std::int64_t early = r.passage == Passage::kTruncated ? std::min(n, StepsOf(r) - r.through) : 0;
    if (early > 0) advance(early), Stop(now_);
    if (n > done) advance(n - done);
    if (apart) Detach(r, entered);
    for (const std::string& name : carried) {
      const auto in = [&](const std::vector<std::string>& all) { return std::count(all.begin(), all.end(), name) > 0; };
      if (!in(moved_) && !in(states_)) now_.erase(name);
    }
  }

  // The method's step, or the states before its first one, at what is carried.
  Env Placed(const Refinement& r, const lang::Expr& written, const std::string& prefix, bool begin, const Env& more) {
    Env seen = latent_ ? more : now_;
    for (const auto& [name, t] : more) seen[name] = t;
    s_.worlds.push_back(Replacing(s_, seen));
    s_.frames.push_back({});
    if (latent_) for (const std::string& z : moved_) s_.frames.back().locals[z] = now_.at(z);
    Refinement scratch = r;
    if (begin) scratch.states.clear();
    RefineValues values{now_, {}};
    const bool before = s_.in_step;
    {
      Refine refine(parts_, s_, *parts_.problem.model, written, scratch, prefix, begin, &values);
      const Method method = MethodOf(written);
      begin ? method.begin(refine) : method.step(refine);
      refine.Finish();
    }
    s_.in_step = before;
    s_.frames.pop_back();
    s_.worlds.pop_back();
    return values.next;
  }

  Env Next(const Refinement& r, const lang::Expr& written, const std::string& prefix, const Term& step) {
    if (r.name != "iterate") {
      Env next = Placed(r, written, prefix, false, {{"step", step}});
      if (p_.projected.empty() || latent_) return next;
      for (const auto& [name, t] : next) now_[name] = t;
      KeepRows(now_);
      for (auto& [name, t] : next) t = now_.at(name);
      return next;
    }
    Env seen = now_;
    seen["step"] = step;
    s_.worlds.push_back(Replacing(s_, seen));
    const bool before = s_.in_step;
    s_.in_step = true;
    const Env next = UpdatedValues(parts_, s_);
    s_.in_step = before;
    s_.worlds.pop_back();
    const Env old = now_;
    for (const auto& [name, t] : next) now_[name] = s_.Widen(t, axes_, s_.Own(t));
    if (!latent_)
      for (const Named& v : p_.variables)
        now_[v.name] = s_.Widen(ProjectedVariable(parts_, s_, v.name, now_.at(v.name)), axes_, v.type.shape);
    if (const auto tol = r.settings.find("tol"); tol != r.settings.end() && tol->second > 0) {
      Term moved = s_.Number(0);
      for (const std::string& name : moved_)
        moved = s_.Binary(Op::kMax, moved,
                          s_.ReduceAll(Op::kReduceMax, s_.Unary(Op::kAbs, s_.Sub(now_.at(name), old.at(name)))), at_,
                          "max");
      const Term keeps = s_.Binary(Op::kLe, moved, s_.Number(tol->second), at_, "<=");
      for (auto& [name, t] : now_) t = s_.Select(keeps, old.at(name), t, at_);
    }
    return now_;
  }

  // ---- derivatives that a stage does not let through
  void Stop(Env& values) {
    for (auto& [name, t] : values) t = s_.Unary(Op::kStop, t);
  }

  void Detach(const Refinement& r, const Env& entered) {
    for (const std::string& name : moved_) {
      Term& t = now_.at(name);
      t = s_.Unary(Op::kStop, t);
      if (r.passage == Passage::kStraightThrough)
        t = s_.Add(entered.at(name), s_.Unary(Op::kStop, s_.Sub(t, entered.at(name))));
    }
  }

  // ---- rows of steps
  // The steps as a first own axis: of one step, or of those that the last of the loops around runs over.
  Env Rows(const Env& seen) {
    Env rows;
    for (const auto& [name, t] : seen) {
      Shape own = s_.Own(t);
      own.insert(own.begin(), 1);
      rows[name] = s_.Reshaped(t, own);
    }
    return rows;
  }

  Env RowsUnder(int loop, const Env& seen) {
    Env rows;
    std::vector<int> inside = axes_;
    inside.push_back(loop);
    for (const auto& [name, t] : seen) {
      rows[name] = s_.Widen(t, inside, s_.Own(t));
      rows[name].axes = axes_;
    }
    return rows;
  }

  void Append(Env& rows, const Env& more) {
    for (const auto& [name, t] : more) {
      const auto [it, fresh] = rows.emplace(name, t);
      if (!fresh) it->second = s_.Concat({it->second, t}, 0, at_);
    }
  }

  Parts& parts_;
  const Program& p_;
  Scope& s_;
  lang::Span at_;
  std::vector<int> axes_;  // the loops on which what is replaced depends
  std::vector<std::string> moved_, states_;
  bool latent_ = false;
  Env now_;
};

}  // namespace

bool Scope::IsElsewhere(lang::Span at) {
  if (caller_) return false;
  for (const auto& [other, term] : worlds.back().replaced) {
    const auto it = problem.names.find(other);
    const auto* o = it == problem.names.end() ? nullptr : std::get_if<lang::ValueDecl>(&it->second->node);
    if (!o || (o->kind != lang::ValueKind::kContext && o->kind != lang::ValueKind::kHidden)) continue;
    if (!results) Unsupported(at, fmt::format("a variable under a replaced `{}`", other));
    if (o->kind == lang::ValueKind::kContext) return true;  // no model sees what is hidden
  }
  const auto reads = [](const std::optional<Function>& f, const std::string& network) {
    return f && std::any_of(f->inputs.begin(), f->inputs.end(),
                            [&](const Input& in) { return in.name.starts_with("weight/" + network + "/"); });
  };
  for (const auto& [network, other] : worlds.back().networks) {
    if (!results || network == other->name.text) continue;
    bool any = reads(program.model.predict, network) || reads(program.model.latent_start, network) ||
               reads(program.state_function, network);
    for (const Refinement& r : program.model.refinements)
      any = any || reads(r.step, network) || reads(r.start, network);
    if (any) return true;
  }
  return false;
}

void Scope::RunElsewhere(lang::Span at, const Term* step) {
  if (!plan || program.conic || program.corrected)
    Unsupported(at, "the model at another context, under these constraints,");
  Parts parts{problem, tables, program, diagnostics, plan};
  std::int64_t first = 0, count = 1;
  for (const Refinement& r : program.model.refinements) first += StepsOf(r);
  if (step) {
    const Node& number = b.node(step->value);
    if (step->index_axis >= 0) first = step->index_offset, count = Extent(step->index_axis);
    else if (number.op == Op::kNumber && number.number == std::floor(number.number))
      first = static_cast<std::int64_t>(number.number);
    else Unsupported(at, "a step that is neither a number nor an index");
    if (first < 0)
      Refuse(lang::Code::kDomain, at, fmt::format("the step {} lies before the prediction, step 0", first));
    if (first + count > 1 && program.model.refinements.empty())
      Refuse(lang::Code::kMissingPart, at,
             fmt::format("there is no step {}: the model has no refinement", first + count - 1),
             "write `model … then iterate(steps = 0)`, or another refinement");
  }
  const bool was_results = results;
  results = false;  // names of variables are values here, not results
  Frame closed;  // the model sees no binder of the place that asks
  closed.opaque = true;
  frames.push_back(std::move(closed));
  std::vector<int> around;
  around.swap(open_);
  const std::map<std::string, Term> rows = Run(parts, *this, at).After(first + count - 1);
  around.swap(open_);
  frames.pop_back();
  results = was_results;
  World& world = worlds.back();
  for (const auto& [name, all] : rows) {
    if (world.replaced.count(name)) continue;
    std::vector<std::int64_t> starts(all.axes.size() + Own(all).size());
    Shape shape = b.shape(all.value), own = Own(all);
    starts[all.axes.size()] = first, shape[all.axes.size()] = count;
    Term part{b.Slice(all.value, starts, shape), all.axes, false, -1, 0};
    own.erase(own.begin());
    if (step && step->index_axis >= 0) {  // the steps' axis is the index's loop
      Term index = *step;
      if (first != 0) index = Sub(index, Number(static_cast<double>(first), Elem::kInt));
      world.memo[name] = GatherOne(part, 0, index);
    } else {
      world.memo[name] = Reshaped(part, own);
    }
  }
}

}  // namespace amo::compiler
