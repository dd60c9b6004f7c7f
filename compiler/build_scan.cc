// SPDX-License-Identifier: Apache-2.0
// scan(z = START, t in n: STEP). The step is evaluated among the nodes around it, with placeholders for z and t; what
// depends on them is then moved into a body, and what it uses from outside becomes the scan's arguments.
#include <algorithm>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "compiler/scope.h"

namespace amo::compiler {
namespace {

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }
std::int64_t I(std::size_t i) { return static_cast<std::int64_t>(i); }

class Closing {
 public:
  Closing(Builder& b, std::string name, Value state, Value step, std::int64_t steps)
      : b_(b), name_(std::move(name)), state_(state), step_(step) {
    form_.steps = steps;
    form_.carries = form_.ys = 1;
  }

  // The scan whose one carry goes from `start` to `next` in a step; its ys are the carry before each step.
  Value Close(Value start, Value next) {
    depends_.assign(Z(next.index) + 1, false);
    for (std::size_t i = 0; i < depends_.size(); ++i) {
      const Value v{static_cast<std::int32_t>(i)};
      depends_[i] = v == state_ || v == step_;
      for (Value a : b_.node(v).args) depends_[i] = depends_[i] || depends_[Z(a.index)];
    }
    Visit(next);
    Builder body(name_);
    std::vector<Value> args{start};
    inner_[state_.index] = body.Input("state", Role::kInstance, b_.type(state_));
    form_.xs = rows_.size();
    for (const auto& [node, source] : rows_) {
      const auto& [x, from] = source;
      compiler::Type type = b_.type({node});
      inner_[node] = body.Input(fmt::format("row{}", args.size()), Role::kInstance, type);
      std::vector<std::int64_t> starts(b_.shape(x).size());
      Shape shape = b_.shape(x);
      starts[0] = from;
      shape[0] = form_.steps;
      args.push_back(b_.Slice(x, starts, shape));
    }
    for (std::int32_t node : constants_) {
      inner_[node] = body.Input(fmt::format("constant{}", args.size()), Role::kInstance, b_.type({node}));
      args.push_back({node});
    }
    form_.index = used_.count(step_.index) > 0;
    if (form_.index) inner_[step_.index] = body.Input("t", Role::kInstance, {Elem::kInt, {}});
    for (const auto& [node, used] : used_) {
      if (inner_.count(node)) continue;
      std::vector<Value> in;
      for (Value a : b_.node({node}).args) in.push_back(inner_.at(a.index));
      inner_[node] = body.Copy(b_.node({node}), std::move(in));
    }
    body.Output("state", inner_.at(next.index));
    body.Output("before", inner_.at(state_.index));
    return b_.Scan(form_, std::make_shared<const Function>(body.Finish()), std::move(args));
  }

 private:
  bool Depends(Value v) const { return depends_[Z(v.index)]; }

  // The number that is added to the step in this index, if it is nothing else.
  std::optional<std::int64_t> Shift(Value v) const {
    if (v == step_) return 0;
    const Node& n = b_.node(v);
    if (n.op != Op::kAdd && n.op != Op::kSub) return std::nullopt;
    const auto number = [&](Value a) -> std::optional<std::int64_t> {
      if (b_.node(a).op != Op::kNumber) return std::nullopt;
      return static_cast<std::int64_t>(b_.node(a).number);
    };
    const auto left = Shift(n.args[0]);
    if (const auto c = number(n.args[1]); left && c) return n.op == Op::kAdd ? *left + *c : *left - *c;
    const auto right = n.op == Op::kAdd ? Shift(n.args[1]) : std::nullopt;
    if (const auto c = number(n.args[0]); right && c) return *right + *c;
    return std::nullopt;
  }

  // What is cheap to have in every step, and what repeats values: their adjoints are summed up in the step.
  bool Repeated(const Node& n) const { return n.op == Op::kNumber || n.op == Op::kIota || n.op == Op::kBroadcast; }

  void Visit(Value v) {
    if (used_.count(v.index)) return;
    const Node n = b_.node(v);
    if (!Depends(v) && !Repeated(n)) {
      if (!std::count(constants_.begin(), constants_.end(), v.index)) constants_.push_back(v.index);
      return;
    }
    if (v == state_) return;
    if (n.op == Op::kGather && n.attr[0] == 0 && !Depends(n.args[0])) {
      const auto from = Shift(n.args[1]);
      if (from && *from >= 0 && *from + form_.steps <= b_.shape(n.args[0])[0]) {
        rows_.emplace(v.index, std::pair(n.args[0], *from));
        return;
      }
    }
    used_[v.index] = true;
    for (Value a : n.args) Visit(a);
  }

  Builder& b_;
  std::string name_;
  Value state_, step_;
  ScanForm form_;
  std::vector<bool> depends_;
  std::map<std::int32_t, bool> used_;                                // nodes of the body, in order
  std::map<std::int32_t, std::pair<Value, std::int64_t>> rows_;      // x[t + c]: x and c
  std::vector<std::int32_t> constants_;
  std::map<std::int32_t, Value> inner_;
};

}  // namespace

Term Scope::Scan(const lang::BinderCall& call, const lang::Expr& e) {
  const lang::Binder *state = nullptr, *index = nullptr;
  for (const lang::Binder& binder : call.binders) {
    if (binder.kind == lang::Binder::Kind::kInit) state = &binder;
    if (binder.kind == lang::Binder::Kind::kIn) index = &binder;
  }
  if (!state || !index) {
    Refuse(lang::Code::kArgumentCount, e.span, "`scan` takes one state and one index",
           "`scan(z = START, t in n: STEP)`");
  }
  const double lo = index->lo ? Constant(*index->lo, "the start of a range") : 0;
  const auto steps = static_cast<std::int64_t>(std::max(0.0, Constant(*index->hi, "the end of a range") - lo));
  Term start = Eval(*state->value);
  const Shape own = Own(start);
  Shape one = own;
  one.insert(one.begin(), 1);
  if (steps == 0) return Reshaped(start, one);
  Dynamics* const outer = dynamics;
  dynamics = nullptr;  // not the scans inside a step
  // A step may bring what the start lacks: loops around the scan, and real numbers. Then it is evaluated once more.
  std::vector<int> axes = start.axes;
  bool whole = Type(start) == Elem::kInt;
  const Value t = b.Placeholder({Elem::kInt, {}});
  Value held;
  Term next;
  for (bool again = true; again;) {
    frames.push_back({});
    compiler::Type type{Elem::kReal, {}};
    for (int a : axes) type.shape.push_back(Extent(a));
    type.shape.insert(type.shape.end(), own.begin(), own.end());
    held = b.Placeholder(type);
    const Term at = Of(lo == 0 ? t : b.Add(t, b.Number(lo, Elem::kInt)));
    frames.back().locals[state->name.text] = {whole ? b.Unary(Op::kToInt, held) : held, axes, false, -1, 0};
    frames.back().locals[index->name.text] = at;
    for (const lang::Binder& binder : call.binders) {
      if (binder.kind == lang::Binder::Kind::kDraw) DrawForSteps(binder, steps, Of(t));
    }
    next = Eval(*call.body);
    if (call.condition) {  // a step that does not count leaves the state as it is
      const Term before = frames.back().locals[state->name.text];
      next = Select(Eval(*call.condition), next, before, call.condition->span);
    }
    frames.pop_back();
    b.At(e.span);
    if (Own(next) != own) {
      Refuse(lang::Code::kShapeMismatch, call.body->span,
             fmt::format("a step of `scan` has shape `[{}]`, its state `[{}]`", fmt::join(Own(next), ", "),
                         fmt::join(own, ", ")));
    }
    std::vector<int> all;
    std::set_union(axes.begin(), axes.end(), next.axes.begin(), next.axes.end(), std::back_inserter(all));
    again = all != axes || (whole && Type(next) == Elem::kReal);
    axes = all;
    whole = whole && Type(next) != Elem::kReal;
  }
  const Value first = Widen(Real(start), axes, own).value;
  const Value v = Closing(b, "step", held, t, steps).Close(first, Widen(Real(next), axes, own).value);
  const Term states = AllStates(v, axes, own);
  dynamics = outer;
  if (whole) return Unary(Op::kToInt, states);
  return dynamics ? Opened(call, states, steps, lo) : states;
}

// The states, or what stands for them, where the moved variable drives them; says how they take a step.
Term Scope::Opened(const lang::BinderCall& call, const Term& states, std::int64_t steps, double lo) {
  std::vector<bool> needed(Z(states.value.index) + 1);
  needed.back() = true;
  for (std::size_t i = needed.size(); i-- > 0;)
    if (needed[i]) for (Value a : b.node({static_cast<std::int32_t>(i)}).args) needed[Z(a.index)] = true;
  const auto moved = Z(dynamics->moved.index);
  if (moved >= needed.size() || !needed[moved]) return states;
  ++dynamics->found;
  if (!dynamics->given && !states.axes.empty())
    Unsupported(call.body->span, "`ilqr` over a `scan` under a binder");
  if (dynamics->given) return *dynamics->given;
  dynamics->states = states, dynamics->steps = steps;
  const auto seen = frames;
  const auto around = worlds;
  const std::string name = dynamics->name;
  dynamics->step = [this, &call, seen, around, lo, name](const Term& z, const Term& t, const Term& u) {
    auto frames_now = std::move(frames);
    auto worlds_now = std::move(worlds);
    frames = seen, worlds = around;
    worlds.back().memo.clear();
    worlds.back().replaced[name] = u;
    frames.push_back({});
    for (const lang::Binder& binder : call.binders) {
      if (binder.kind == lang::Binder::Kind::kInit) frames.back().locals[binder.name.text] = z;
      if (binder.kind == lang::Binder::Kind::kIn)
        frames.back().locals[binder.name.text] = lo == 0 ? t : Add(t, Number(lo, Elem::kInt));
      if (binder.kind == lang::Binder::Kind::kDraw) Unsupported(binder.name.span, "a draw in the steps of `ilqr`");
    }
    Term next = Eval(*call.body);
    if (call.condition) next = Select(Eval(*call.condition), next, z, call.condition->span);
    frames = std::move(frames_now), worlds = std::move(worlds_now);
    return next;
  };
  return states;
}

// The states of a scan `v` made by Closing, before its first step and after each: [H + 1, own..].
Term Scope::AllStates(Value v, const std::vector<int>& axes, const Shape& own) {
  const Node node = b.node(v);
  Shape one = own;
  one.insert(one.begin(), 1);
  // The steps' axis comes after the loops'.
  std::vector<std::int64_t> order;
  for (std::size_t d = 0; d < axes.size(); ++d) order.push_back(I(d) + 1);
  order.push_back(0);
  for (std::size_t d = 0; d < own.size(); ++d) order.push_back(I(axes.size() + d) + 1);
  const Term before{b.Transpose(b.ScanPart(node, v, 1), order), axes, false, -1, 0};
  const Term last = Reshaped({b.ScanPart(node, v, 0), axes, false, -1, 0}, one);
  return Concat({before, last}, 0, {});
}

Term Scope::Repeated(const Term& start, std::int64_t steps, const std::function<Term(const Term&)>& step) {
  const Value held = b.Placeholder(b.type(start.value)), t = b.Placeholder({Elem::kInt, {}});
  const Term next = step({held, start.axes, false, -1, 0});
  const Value all = Closing(b, "step", held, t, steps).Close(start.value, next.value);
  return {b.ScanPart(b.node(all), all, 0), start.axes, false, -1, 0};
}

Term Scope::History(const Term& start, std::int64_t steps,
                    const std::function<Term(const Term&, const Term&)>& step) {
  const Shape own = Own(start);
  Shape one = own;
  one.insert(one.begin(), 1);
  if (steps == 0) return Reshaped(start, one);
  const Value held = b.Placeholder(b.type(start.value)), t = b.Placeholder({Elem::kInt, {}});
  const Term next = step({held, start.axes, false, -1, 0}, Of(t));
  const Value all = Closing(b, "step", held, t, steps).Close(start.value, next.value);
  return AllStates(all, start.axes, own);
}

// A draw of its own for each step: one more loop around it, whose axis the step indexes.
void Scope::DrawForSteps(const lang::Binder& binder, std::int64_t steps, const Term& t) {
  const int id = next_loop_++;
  loops_[id] = steps;
  open_.push_back(id);
  OpenLoop(binder);
  open_.pop_back();
  Term& drawn = frames.back().locals[binder.name.text];
  if (drawn.axes.empty() || drawn.axes.back() != id) return;
  drawn.axes.pop_back();
  drawn = GatherOne(drawn, 0, t);
}

}  // namespace amo::compiler
