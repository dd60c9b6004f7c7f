// SPDX-License-Identifier: Apache-2.0
// A program in one function. What is done here once, as nodes, runtime/predictor.cc does with tensors, step by step.
#include "compiler/compose.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "compiler/check.h"
#include "compiler/derive.h"
#include "compiler/extract.h"
#include "compiler/simplify.h"

namespace amo::compiler {
namespace {

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

using Env = std::map<std::string, Value>;

struct NoFormula {
  std::string why;
};

bool Reads(const Function& f, const std::string& name) { return f.FindInput(name) >= 0; }

class Composer {
 public:
  explicit Composer(const Program& program) : p_(program), b_("training") {}

  // Runs the model as far as the traces and the answer need.
  void Run(const std::vector<const Trace*>& traces, bool answer) {
    traces_ = traces;
    const Stages& model = p_.model;
    if (!p_.projected.empty()) throw NoFormula{"the projection onto several constraints at once iterates"};
    if (p_.corrected) throw NoFormula{"correction steps end when the constraints hold"};
    for (const Refinement& r : model.refinements) RefuseMethod(r);
    if (model.latent_start) now_ = Call(*model.latent_start, {});
    Predict(now_);
    bare_ = now_;
    Keep(now_);
    projected_ = now_;
    if (model.refinements.empty() && p_.state_function)
      for (const auto& [name, v] : Call(*p_.state_function, now_)) now_[name] = v;
    std::int64_t planned = 0, last = 0;
    for (const Refinement& r : model.refinements) planned += StepsOf(r);
    if (answer) last = planned;
    for (const Trace* t : traces) last = std::max(last, t->first + t->count - 1);
    std::set<std::int64_t> stops{last};
    if (answer) stops.insert(planned);
    for (const Trace* t : traces) stops.insert({t->first, t->first + t->count - 1});
    std::int64_t step = 0;
    Look(step, answer && planned == 0);
    for (std::size_t k = 0; k < model.refinements.size() && step < last; ++k) {
      const Refinement& r = model.refinements[k];
      const std::int64_t begin = step, planned_end = begin + StepsOf(r);
      const std::int64_t end = k + 1 == model.refinements.size() ? last : std::min(last, planned_end);
      std::set<std::int64_t> cuts{end};
      for (std::int64_t s : stops) if (s > begin && s < end) cuts.insert(s);
      if (r.passage == Passage::kTruncated && planned_end - r.through > begin && planned_end - r.through < end)
        cuts.insert(planned_end - r.through);
      Enter(r);
      for (const std::int64_t cut : cuts) {
        const bool early = r.passage == Passage::kTruncated && step < planned_end - r.through;
        Advance(r, step - begin, step, cut - step);
        if (early) Stop(now_);
        step = cut;
        Look(step, answer && step == planned);
      }
      now_ = Seen();
      entered_.clear();
    }
  }

  Env Call(const Function& f, const Env& env) {
    std::vector<Value> inputs;
    for (const Input& in : f.inputs) {
      const auto it = env.find(in.name);
      inputs.push_back(it != env.end() ? it->second : Leaf(in.name, in.role, in.type));
    }
    const std::vector<Value> values = Inline(b_, f, inputs);
    Env out;
    for (const Output& o : f.outputs) out[o.name] = values[Z(o.value.index)];
    return out;
  }

  Value Leaf(const std::string& name, Role role, const Type& type) {
    const auto [it, fresh] = leaves_.emplace(name, Value{});
    if (fresh) it->second = b_.Input(name, role, type);
    return it->second;
  }

  // The answer, and the traces by their inputs.
  Env Results() {
    Env all = answer_;
    for (const auto& [name, pieces] : rows_) all[name] = pieces.size() == 1 ? pieces[0] : b_.Concat(pieces, 0);
    return all;
  }

  // The squared distance of the prediction from its projection.
  Value Outside() {
    Value total;
    for (const Named& v : p_.variables) {
      if (!p_.project || bare_.at(v.name) == projected_.at(v.name)) continue;
      if (std::count(p_.discrete.begin(), p_.discrete.end(), v.name)) continue;
      const Value d = b_.Sub(bare_.at(v.name), projected_.at(v.name));
      std::vector<std::int64_t> axes;
      for (std::size_t k = 0; k < v.type.shape.size(); ++k) axes.push_back(static_cast<std::int64_t>(k));
      const Value sum = b_.Reduce(Op::kReduceSum, b_.Mul(d, d), axes);
      total = total.index < 0 ? sum : b_.Add(total, sum);
    }
    return total;
  }

  Composed Finish() { return {Simplify(b_.Finish()), draws_}; }
  Builder& builder() { return b_; }

 private:
  void RefuseMethod(const Refinement& r) const {
    if (!r.step) throw NoFormula{fmt::format("`{}` compares values to choose its steps", r.name)};
    if (r.passage == Passage::kImplicit)
      throw NoFormula{fmt::format("`{}` is differentiated where it ends, by a linear solver", r.name)};
    if (r.passage == Passage::kPerturbed)
      throw NoFormula{fmt::format("`{}` is differentiated by its answers to other starts", r.name)};
    const auto tol = r.settings.find("tol");
    if (r.name == "iterate" && tol != r.settings.end() && tol->second > 0)
      throw NoFormula{"`iterate` with a tolerance ends where it has settled"};
  }

  bool HasLatents() const { return !p_.model.latents.empty(); }

  void Predict(Env& now) {
    for (const auto& [name, v] : Call(*p_.model.predict, HasLatents() ? now : Env{})) now[name] = v;
  }

  void Keep(Env& now) {
    if (!p_.project) return;
    for (const auto& [name, v] : Call(*p_.project, now)) now[name] = v;
  }

  bool IsDetached(const Refinement& r) const {
    return r.passage == Passage::kNone || r.passage == Passage::kStraightThrough;
  }

  void Stop(Env& values) {
    for (auto& [name, v] : values) v = b_.Unary(Op::kStop, v);
  }

  void Enter(const Refinement& r) {
    stage_ = &r;
    entered_ = now_;
    if (IsDetached(r)) Stop(now_);
    if (!r.start) return;
    Env start = Call(*r.start, now_);
    if (IsDetached(r)) Stop(start);
    for (const auto& [name, v] : start) now_[name] = v;
  }

  // With the derivatives that the stage lets through.
  Env Seen() { return stage_ ? SeenFrom(now_) : now_; }

  Env SeenFrom(const Env& now) {
    Env seen = now;
    if (!IsDetached(*stage_)) return seen;
    for (auto& [name, v] : seen) {
      v = b_.Unary(Op::kStop, v);
      const auto at = entered_.find(name);
      if (stage_->passage == Passage::kStraightThrough && at != entered_.end())
        v = b_.Add(at->second, b_.Unary(Op::kStop, b_.Sub(v, at->second)));
    }
    return seen;
  }

  // What is read after `step` steps, but for the rows of a scan.
  void Look(std::int64_t step, bool answers) {
    const Env seen = step == 0 || !stage_ ? now_ : Seen();
    if (answers) answer_ = seen;
    for (const Trace* t : traces_) {
      const bool row = t->axis && step == t->first + t->count - 1;
      if (!row && (t->axis || t->first != step)) continue;
      const Value v = At(*t, seen, b_.Number(static_cast<double>(step), Elem::kInt));
      rows_[t->input].push_back(t->axis ? OneRow(v) : v);
    }
  }

  Value At(const Trace& t, Env seen, Value step) {
    seen["step"] = step;
    return Call(t.value, seen).at("value");
  }

  Value OneRow(Value v) {
    Shape shape = b_.shape(v);
    shape.insert(shape.begin(), 1);
    return b_.Reshape(v, shape);
  }

  // `n` steps of a refinement that has taken `inside` of its own, and the model `step`.
  void Advance(const Refinement& r, std::int64_t inside, std::int64_t step, std::int64_t n) {
    std::vector<const Trace*> rows;
    for (const Trace* t : traces_)
      if (t->axis && t->first <= step && t->first + t->count - 1 >= step + n) rows.push_back(t);
    const auto index = [&](Value t, std::int64_t from) {
      return from == 0 ? t : b_.Add(t, b_.Number(static_cast<double>(from), Elem::kInt));
    };
    if (n == 1) {
      for (const Trace* t : rows)
        rows_[t->input].push_back(OneRow(At(*t, Seen(), b_.Number(static_cast<double>(step), Elem::kInt))));
      Env drawn;
      for (const auto& [name, v] : DrawsOf(r, step, 1)) {
        const Shape shape(b_.shape(v).begin() + 1, b_.shape(v).end());
        drawn[name] = b_.Reshape(v, shape);
      }
      for (const auto& [name, v] : Next(r, now_, b_.Number(static_cast<double>(inside), Elem::kInt), drawn))
        now_[name] = v;
      Follow();
      return;
    }
    const Value t = b_.Placeholder({Elem::kInt, {}});
    std::vector<Value> carried, drawn_rows, leaves, outputs;
    std::vector<std::string> names;
    Env here = now_, drawn;
    for (const Output& o : r.step->outputs) {
      names.push_back(o.name);
      carried.push_back(now_.at(o.name));
      leaves.push_back(here[o.name] = b_.Placeholder(r.step->type(o.value)));
    }
    for (const auto& [name, v] : DrawsOf(r, step, n)) {
      const Shape shape(b_.shape(v).begin() + 1, b_.shape(v).end());
      drawn_rows.push_back(v);
      leaves.push_back(drawn[name] = b_.Placeholder({Elem::kReal, shape}));
    }
    const Env next = Next(r, here, index(t, inside), drawn);
    for (const std::string& name : names) outputs.push_back(next.at(name));
    if (!rows.empty()) {
      Env seen = here;
      if (HasLatents()) Predict(seen), Keep(seen);
      seen = SeenFrom(seen);
      for (const Trace* trace : rows) outputs.push_back(At(*trace, seen, index(t, step)));
    }
    const Node scan = Close(n, carried, drawn_rows, leaves, t, outputs);
    const Value all = last_;
    for (std::size_t k = 0; k < names.size(); ++k) now_[names[k]] = b_.ScanPart(scan, all, k);
    for (std::size_t k = 0; k < rows.size(); ++k)
      rows_[rows[k]->input].push_back(b_.ScanPart(scan, all, names.size() + k));
    Follow();
  }

  // The variables after the latents moved.
  void Follow() {
    if (!HasLatents()) return;
    Predict(now_);
    Keep(now_);
  }

  Env Next(const Refinement& r, Env here, Value step, const Env& drawn) {
    here["step"] = step;
    for (const auto& [name, v] : drawn) here[name] = v;
    Env next = Call(*r.step, here);
    if (r.name != "iterate" || !p_.project || HasLatents()) return next;
    Env moved = here;
    for (const auto& [name, v] : next) moved[name] = v;
    for (const auto& [name, v] : Call(*p_.project, moved)) if (next.count(name)) next[name] = v;
    return next;
  }

  Env DrawsOf(const Refinement& r, std::int64_t step, std::int64_t n) {
    Env drawn;
    for (const Input& in : r.step->inputs) {
      const auto d = std::find_if(p_.draws.begin(), p_.draws.end(),
                                  [&](const Draw& x) { return x.input == in.name && x.random; });
      if (d == p_.draws.end()) continue;
      Type type = d->type;
      type.shape.insert(type.shape.begin(), n);
      const std::string input = fmt::format("steps/{}/{}", step, in.name);
      drawn[in.name] = Leaf(input, Role::kInstance, type);
      draws_.push_back({input, in.name, n});
    }
    return drawn;
  }

  Node Close(std::int64_t n, const std::vector<Value>& carried, const std::vector<Value>& rows,
             std::vector<Value> leaves, Value t, const std::vector<Value>& outputs) {
    leaves.push_back(t);
    std::vector<Value> around;
    const Function part = Extract(b_, outputs, leaves, around);
    Builder body("steps");
    ScanForm form;
    form.steps = n, form.carries = carried.size(), form.xs = rows.size(), form.ys = outputs.size() - carried.size();
    form.index = true;
    std::vector<Value> inputs, args = carried;
    args.insert(args.end(), rows.begin(), rows.end());
    args.insert(args.end(), around.begin(), around.end());
    const std::size_t given = leaves.size() - 1;
    for (std::size_t k = 0; k < given; ++k)
      inputs.push_back(body.Input(fmt::format("in{}", k), Role::kInstance, b_.type(leaves[k])));
    inputs.push_back({});
    for (std::size_t k = 0; k < around.size(); ++k)
      inputs.push_back(body.Input(fmt::format("around{}", k), Role::kInstance, b_.type(around[k])));
    inputs[given] = body.Input("t", Role::kInstance, {Elem::kInt, {}});
    const std::vector<Value> values = Inline(body, part, inputs);
    for (std::size_t k = 0; k < part.outputs.size(); ++k)
      body.Output(fmt::format("out{}", k), values[Z(part.outputs[k].value.index)]);
    last_ = b_.Scan(form, std::make_shared<const Function>(body.Finish()), std::move(args));
    return b_.node(last_);
  }

  const Program& p_;
  Builder b_;
  std::vector<const Trace*> traces_;
  std::map<std::string, Value> leaves_;
  const Refinement* stage_ = nullptr;
  Env now_, bare_, projected_, entered_, answer_;
  std::map<std::string, std::vector<Value>> rows_;
  std::vector<StepDraw> draws_;
  Value last_;
};

Value LossOf(Composer& c, const Program& p, const Loss& l, const Env& results) {
  if (!l.objective) return c.Call(l.value, results).begin()->second;
  if (!p.lagrangian) return c.Call(*p.objective, results).begin()->second;
  Env all = results;  // a quadratic penalty for what no projection keeps, with multipliers where the file asks for them
  const auto settings = p.train.find("");
  const bool multipliers = settings != p.train.end() && settings->second.lagrangian;
  all["penalty"] = c.Leaf("penalty", Role::kShared, {});
  for (const Output& o : p.multipliers->outputs) {
    const Type& type = p.multipliers->type(o.value);
    all[o.name] = multipliers ? c.Leaf(o.name, Role::kShared, type) : c.builder().Filled(0, type.shape);
  }
  return c.Call(*p.lagrangian, all).begin()->second;
}

}  // namespace

std::optional<Composed> ComposeLosses(const Program& p, const std::vector<const Loss*>& losses, std::string& why) {
  Composer c(p);
  std::vector<const Trace*> traces;
  const auto reads_answer = [&](const Loss& l) {
    const auto reads = [&](const Named& n) { return Reads(l.value, n.name); };
    return std::any_of(p.variables.begin(), p.variables.end(), reads) ||
           std::any_of(p.states.begin(), p.states.end(), reads);
  };
  const auto reads_trace = [&](const Loss& l) {
    return std::any_of(p.traces.begin(), p.traces.end(), [&](const Trace& t) { return Reads(l.value, t.input); });
  };
  bool answer = false;
  for (const Loss* l : losses) answer = answer || reads_answer(*l);
  for (const Trace& t : p.traces)
    if (std::any_of(losses.begin(), losses.end(), [&](const Loss* l) { return Reads(l->value, t.input); }))
      traces.push_back(&t);
  try {
    if (p.model.predict) c.Run(traces, answer);
  } catch (const NoFormula& no) {
    why = no.why;
    return std::nullopt;
  }
  const Env results = c.Results();
  for (std::size_t k = 0; k < losses.size(); ++k) {
    const Value plain = LossOf(c, p, *losses[k], results);
    Value training = plain;
    if (p.model.predict && (reads_answer(*losses[k]) || reads_trace(*losses[k]))) {
      const Value outside = c.Outside();
      if (outside.index >= 0) training = c.builder().Add(plain, outside);
    }
    c.builder().Output(fmt::format("plain/{}", k), plain);
    c.builder().Output(fmt::format("training/{}", k), training);
  }
  return c.Finish();
}

}  // namespace amo::compiler
