// SPDX-License-Identifier: Apache-2.0
// iLQR (Li, Todorov 2004; Tassa, Erez, Todorov 2012): the scan that the controls drive is linearized, the cost is taken
// to second order in states and controls, a backward pass gives a linear feedback law, and the controls are those of
// the best of halved steps along it, rolled out through the dynamics as they are. Where none of them lowers the cost,
// the next step damps the curvature of the controls more, as Levenberg and Marquardt do. Costs couple no two times but
// through the states; the curvature of the dynamics is left out.
#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/format.h>

#include "compiler/extract.h"
#include "compiler/refine.h"

namespace amo::compiler {
namespace {

constexpr double kHalvings = 8;
constexpr double kLeastCurvature = 1e-8;  // of the controls, against the largest
// Of the damping, in units of the largest second derivative of the cost: where it begins, and ends.
constexpr double kFirstDamping = 1e-3, kLastDamping = 1e-5, kMostDamping = 1e6, kDampingFactor = 10;

class Ilqr {
 public:
  explicit Ilqr(Refine& r) : r_(r), s_(r.s), b_(r.s.b), shape_(r.moved()[0].type.shape) {
    const bool variable = AsVariable(s_.problem, r.moved()[0].name) != nullptr;
    if (r.moved().size() != 1 || !variable || shape_.empty() || shape_[0] < 1)
      s_.Refuse(lang::Code::kShapeMismatch, r.span(), "`ilqr` moves one variable, the controls, a row for each time");
    steps_ = shape_[0], m_ = Count(shape_) / steps_;
    u_ = s_.Reshaped(r.now(0), {steps_, m_});
    cost_ = Cost(u_, r.now(0).value, dynamics_);
    if (dynamics_.found != 1 || dynamics_.steps != steps_)
      s_.Refuse(lang::Code::kUnsupported, r.span(),
                fmt::format("`ilqr` over {} times, and {} such `scan`s of states that the controls drive", steps_,
                            dynamics_.found),
                "the objective reads the states of one `scan(z = START, t in H: STEP)` whose step reads `u[t]`");
    ReadsRowByRow();
    state_ = Shape(b_.shape(dynamics_.states.value).begin() + 1, b_.shape(dynamics_.states.value).end());
    n_ = Count(state_);
    z_ = s_.Reshaped(dynamics_.states, {steps_ + 1, n_});
  }

  void Step() {
    Linearize();
    Expand();
    Backward();
    Forward();
  }

 private:
  // At the controls u [H, m], which `moved` stands behind.
  Term Cost(const Term& u, Value moved, Scope::Dynamics& d) {
    d.name = r_.moved()[0].name, d.moved = moved;
    s_.dynamics = &d;
    const Term f = r_.Objective({s_.Reshaped(u, shape_)});
    s_.dynamics = nullptr;
    return f;
  }

  // A step sees its own row of the controls alone: they are linearized and rolled out row by row.
  void ReadsRowByRow() {
    const Value u = b_.Placeholder({Elem::kReal, shape_}), t = b_.Placeholder({Elem::kInt, {}});
    const Term z{b_.Placeholder({Elem::kReal, Shape(b_.shape(dynamics_.states.value).begin() + 1,
                                                    b_.shape(dynamics_.states.value).end())}), {}, false, -1, 0};
    const Term next = dynamics_.step(z, Raw(t), Raw(u));
    std::vector<bool> needed(static_cast<std::size_t>(next.value.index) + 1), whole(needed.size());
    needed.back() = true;
    if (static_cast<std::size_t>(u.index) >= needed.size()) return;
    for (std::size_t i = needed.size(); i-- > 0;)
      if (needed[i])
        for (Value a : b_.node({static_cast<std::int32_t>(i)}).args) needed[static_cast<std::size_t>(a.index)] = true;
    whole[static_cast<std::size_t>(u.index)] = true;
    for (std::size_t i = static_cast<std::size_t>(u.index) + 1; i < whole.size(); ++i) {
      const Node& n = b_.node({static_cast<std::int32_t>(i)});
      const bool reads = needed[i] && std::any_of(n.args.begin(), n.args.end(), [&](Value a) {
        return whole[static_cast<std::size_t>(a.index)];
      });
      if (!reads || (n.op == Op::kGather && n.attr[0] == 0 && n.args[1] == t)) continue;
      if (n.op == Op::kBroadcast && Count(n.type.shape) == Count(shape_) && n.type.shape == shape_) whole[i] = true;
      else
        s_.Refuse(lang::Code::kUnsupported, r_.span(),
                  fmt::format("`ilqr` where a step reads more of `{}` than its own row", r_.moved()[0].name),
                  "a step of the `scan` reads `u[t]` with its own index t, from 0 on");
    }
  }

  Term Leaf(const Term& t) { return {b_.Placeholder(b_.type(t.value)), t.axes, false, -1, 0}; }
  Term Total(const Term& f) { return s_.ReduceAll(Op::kReduceSum, Term{f.value, {}, false, -1, 0}); }
  Term Raw(Value v) { return {v, {}, false, -1, 0}; }  // what were loops are own axes

  // The state after a step from z [n] at time t, where the controls of that time are u [m].
  Term Next(const Term& z, const Term& t, const Term& u) {
    const Term all = s_.Reshaped(s_.Spread(u, {-1, 0}, {steps_, m_}), shape_);
    return s_.Reshaped(s_.Real(dynamics_.step(s_.Reshaped(z, state_), t, all)), {n_});
  }

  // A [H, n, n] and B [H, n, m]: the derivatives of each step.
  void Linearize() {
    const int time = s_.OpenRange(steps_), row = s_.OpenRange(n_);
    const std::vector<int> axes{time, row};
    Term z{b_.Slice(z_.value, {0, 0}, {steps_, n_}), {time}, false, -1, 0}, u = u_;
    u.axes = {time};
    z = s_.Widen(z, axes, {n_}), u = s_.Widen(u, axes, {m_});
    const Term leaf_z = Leaf(z), leaf_u = Leaf(u);
    Term unit = s_.Identity(n_);
    unit.axes = {row};
    const Term total = Total(s_.Widen(s_.Mul(Next(leaf_z, s_.Counter(time), leaf_u), unit), axes, {n_}));
    const std::vector<Value> d =
        GradientAt(b_, total.value, {leaf_z.value, leaf_u.value}, {z.value, u.value}, 2);
    s_.CloseLoops(2);
    a_ = Raw(d[1]), bu_ = Raw(d[2]);
  }

  // The gradient of the cost by controls and states, as if the states were free.
  std::pair<Term, Term> Gradient(const Term& u, const Term& z) {
    const Term leaf_u = Leaf(u), leaf_z = Leaf(z);
    Shape rows = state_;
    rows.insert(rows.begin(), steps_ + 1);
    Scope::Dynamics d;
    d.given = s_.Reshaped(leaf_z, rows);
    const Term f = Cost(leaf_u, leaf_u.value, d);
    const std::vector<Value> g =
        GradientAt(b_, Total(f).value, {leaf_u.value, leaf_z.value}, {u.value, z.value}, 2);
    return {Term{g[1], u.axes, false, -1, 0}, Term{g[2], z.axes, false, -1, 0}};
  }

  // Its second derivatives, block by block: one direction at all times at once.
  void Expand() {
    std::tie(gu_, gz_) = Gradient(u_, z_);
    const std::int64_t all = n_ + m_;
    const int direction = s_.OpenRange(all);
    const Term u = s_.Widen(u_, {direction}, {steps_, m_}), z = s_.Widen(z_, {direction}, {steps_ + 1, n_});
    const Term leaf_u = Leaf(u), leaf_z = Leaf(z);
    const auto [gu, gz] = Gradient(leaf_u, leaf_z);
    const Term id = s_.Identity(all);
    const auto along = [&](std::int64_t from, std::int64_t count, std::int64_t times) {
      Term unit{b_.Slice(id.value, {0, from}, {all, count}), {direction}, false, -1, 0};
      return s_.Spread(unit, {-1, 0}, {times, count});
    };
    const Term total = s_.Add(Total(s_.Mul(gz, along(0, n_, steps_ + 1))), Total(s_.Mul(gu, along(n_, m_, steps_))));
    const std::vector<Value> h = GradientAt(b_, total.value, {leaf_u.value, leaf_z.value}, {u.value, z.value}, 2);
    s_.CloseLoops(1);
    last_ = Raw(b_.Reshape(b_.Slice(h[2], {0, steps_, 0}, {n_, 1, n_}), {n_, n_}));
    const Value inner = b_.Slice(h[2], {0, 0, 0}, {all, steps_, n_});
    hessian_ = Raw(b_.Transpose(b_.Concat({inner, h[1]}, 2), {1, 0, 2}));  // [H, n + m, n + m]
  }

  // The rows of x from the last to the first.
  Term Reversed(const Term& x) {
    const std::int64_t rows = s_.Own(x)[0];
    const Value at = b_.Binary(Op::kSub, b_.Fill(b_.Number(static_cast<double>(rows - 1), Elem::kInt), {rows}),
                               b_.Iota(rows));
    return Raw(b_.Gather(x.value, at, 0));
  }

  Term Inverse(const Term& q) {  // of |q|, whose curvatures are positive and not too small
    const auto floor = [&](const Term& l, const Term& least) {
      return s_.Binary(Op::kMax, s_.Unary(Op::kAbs, l), least, r_.span(), "max");
    };
    if (m_ == 1) return s_.Div(s_.Number(1), floor(q, s_.Number(kLeastCurvature)));
    const Term eigen = Raw(b_.Eigen(q.value));
    const Term values = Raw(b_.Reshape(b_.Slice(eigen.value, {0, 0}, {1, m_}), {m_}));
    const Term vectors = Raw(b_.Slice(eigen.value, {1, 0}, {m_, m_}));
    const Term largest = s_.ReduceAll(Op::kReduceMax, s_.Unary(Op::kAbs, values));
    const Term l = floor(values, s_.Mul(s_.Number(kLeastCurvature), s_.Add(s_.Number(1), largest)));
    return s_.Contract(s_.Div(vectors, s_.Spread(l, {-1, 0}, {m_, m_})), vectors, {0, 1}, {2, 1}, {0, 2});
  }

  // From the last time to the first: the value's derivatives, and what the controls do about the state.
  void Backward() {
    const Term scale = s_.ReduceAll(Op::kReduceMax, s_.Unary(Op::kAbs, hessian_));
    const Term damping = s_.Mul(s_.Mul(r_.State("damping"), scale), s_.Identity(m_));
    const Term a = Reversed(a_), bu = Reversed(bu_), h = Reversed(hessian_), gu = Reversed(gu_);
    const Term gz = Reversed(Raw(b_.Slice(gz_.value, {0, 0}, {steps_, n_})));
    const Term end = Raw(b_.Reshape(b_.Slice(gz_.value, {steps_, 0}, {1, n_}), {n_}));
    const std::vector<Shape> shapes{{n_, n_}, {n_}, {m_, n_}, {m_}};
    const auto joined = [&](std::vector<Term> parts) {
      for (Term& p : parts) p = s_.Flat(p);
      return s_.Concat(std::move(parts), 0, r_.span());
    };
    const Term start = joined({last_, end, Raw(b_.Filled(0, {m_, n_})), Raw(b_.Filled(0, {m_}))});
    const auto product = [&](const Term& x, const Term& y) { return s_.Contract(x, y, {0, 1}, {1, 2}, {0, 2}); };
    const auto turned = [&](const Term& x, const Term& y) { return s_.Contract(x, y, {1, 0}, {1, 2}, {0, 2}); };
    const auto applied = [&](const Term& x, const Term& v) { return s_.Contract(x, v, {1, 0}, {1}, {0}); };  // x' v
    const Term rows = s_.History(start, steps_, [&](const Term& x, const Term& k) {
      const std::vector<Term> now = s_.Cut(x, shapes);
      const Term &curve = now[0], &slope = now[1];
      const auto at = [&](const Term& all) { return s_.GatherOne(all, 0, k); };
      const Term at_a = at(a), at_b = at(bu), at_h = at(h);
      const auto block = [&](std::int64_t i, std::int64_t j, Shape size) {
        return Raw(b_.Slice(at_h.value, {i, j}, std::move(size)));
      };
      const Term zz = s_.Add(block(0, 0, {n_, n_}), turned(at_a, product(curve, at_a)));
      const Term uz = s_.Add(block(n_, 0, {m_, n_}), turned(at_b, product(curve, at_a)));
      const Term uu = s_.Add(block(n_, n_, {m_, m_}), turned(at_b, product(curve, at_b)));
      const Term qz = s_.Add(at(gz), applied(at_a, slope)), qu = s_.Add(at(gu), applied(at_b, slope));
      const Term inverse = Inverse(s_.Add(uu, damping));
      const Term gain = s_.Unary(Op::kNeg, product(inverse, uz));
      const Term open = s_.Unary(Op::kNeg, s_.Contract(inverse, qu, {0, 1}, {1}, {0}));
      const Term half = turned(gain, uz);
      const Term next = s_.Add(s_.Add(zz, turned(gain, product(uu, gain))),
                               s_.Add(half, Raw(b_.Transpose(half.value, {1, 0}))));
      const Term change = s_.Add(s_.Contract(uu, open, {0, 1}, {1}, {0}), qu);
      return joined({next, s_.Add(s_.Add(qz, applied(gain, change)), applied(uz, open)), gain, open});
    });
    const std::int64_t before = n_ * n_ + n_;
    const auto part = [&](std::int64_t from, Shape own) {
      own.insert(own.begin(), steps_);
      const std::int64_t size = Count(own) / steps_;
      return Raw(b_.Reshape(Reversed(Raw(b_.Slice(rows.value, {1, from}, {steps_, size}))).value, own));
    };
    gain_ = part(before, {m_, n_}), open_ = part(before + m_ * n_, {m_});
  }

  void Forward() {
    const double halvings = r_.Number("halvings", kHalvings);
    if (halvings < 0 || halvings > 60)
      s_.Refuse(lang::Code::kDomain, r_.span(), fmt::format("{} halvings", halvings), "from 0 to 60");
    const auto count = static_cast<std::int64_t>(halvings) + 1;
    const int halving = s_.OpenRange(count);
    const auto share = [&](const Term& k) { return s_.Binary(Op::kPow, s_.Number(0.5), s_.Real(k), r_.span(), "^"); };
    Term costs = s_.Widen(r_.Objective({RolledOut(share(s_.Counter(halving)), {halving})}), {halving}, {});
    costs = s_.Select(s_.Binary(Op::kEq, costs, costs, r_.span(), "=="), costs, s_.Number(1e300), r_.span());
    s_.CloseLoops(1);
    costs.axes.clear();
    // The chosen one once more: derivatives go through it alone.
    const Term best = Raw(b_.Arg(Op::kArgMin, costs.value));
    const Term falls = s_.Binary(Op::kLt, s_.GatherOne(costs, 0, best), cost_, r_.span(), "<");
    const Term taken = RolledOut(s_.Select(falls, share(best), s_.Number(0), r_.span()), {});
    const Term now = r_.State("damping"), less = s_.Div(now, s_.Number(kDampingFactor));
    const Term more = s_.Binary(
        Op::kMin, s_.Number(kMostDamping),
        s_.Binary(Op::kMax, s_.Mul(now, s_.Number(kDampingFactor)), s_.Number(kFirstDamping), r_.span(), "max"),
        r_.span(), "min");
    const Term none = s_.Binary(Op::kLt, less, s_.Number(kLastDamping), r_.span(), "<");
    r_.Next("damping", s_.Select(falls, s_.Select(none, s_.Number(0), less, r_.span()), more, r_.span()));
    const Term damped = s_.Binary(Op::kLt, now, s_.Number(kMostDamping), r_.span(), "<");
    r_.Again(s_.Binary(Op::kAnd, s_.Unary(Op::kNot, falls), damped, r_.span(), "and"));
    r_.Move({s_.Select(falls, taken, r_.now(0), r_.span())});
  }

  // The controls, in their set, that follow the feedback with a share of its open part, under `loops`.
  Term RolledOut(const Term& share, const std::vector<int>& loops) {
    const Term first = Raw(b_.Reshape(b_.Slice(z_.value, {0, 0}, {1, n_}), {n_}));
    const Term start = s_.Widen(s_.Concat({first, Raw(b_.Filled(0, {m_}))}, 0, r_.span()), loops, {n_ + m_});
    const Term rows = s_.History(start, steps_, [&](const Term& x, const Term& t) {
      const std::vector<Term> now = s_.Cut(x, {{n_}, {m_}});
      const auto at = [&](const Term& all) { return s_.GatherOne(all, 0, t); };
      const Term away = s_.Contract(at(gain_), s_.Sub(now[0], at(z_)), {0, 1}, {1}, {0});
      const Term u = s_.Add(s_.Add(at(u_), s_.Mul(share, at(open_))), away);
      return s_.Widen(s_.Concat({Next(now[0], t, u), u}, 0, r_.span()), loops, {n_ + m_});
    });
    std::vector<std::int64_t> starts(loops.size(), 0);
    Shape part(b_.shape(rows.value).begin(), b_.shape(rows.value).begin() + static_cast<std::ptrdiff_t>(loops.size()));
    starts.insert(starts.end(), {1, n_}), part.insert(part.end(), {steps_, m_});
    const Term u{b_.Slice(rows.value, starts, part), loops, false, -1, 0};
    return s_.Widen(r_.Project(0, s_.Reshaped(u, shape_)), loops, shape_);
  }

  Refine& r_;
  Scope& s_;
  Builder& b_;
  Shape shape_, state_;
  std::int64_t steps_ = 0, m_ = 0, n_ = 0;
  Scope::Dynamics dynamics_;
  Term u_, z_, cost_;              // [H, m], [H + 1, n]
  Term a_, bu_;                    // of the dynamics
  Term gu_, gz_, hessian_, last_;  // of the cost; the last state's block apart
  Term gain_, open_;               // [H, m, n], [H, m]
};

}  // namespace

void BeginIlqr(Refine& r) {
  r.Begin("damping", r.s.Number(0));
  r.BeginAgain();
}

void StepIlqr(Refine& r) { Ilqr(r).Step(); }

}  // namespace amo::compiler
