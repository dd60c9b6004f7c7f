// SPDX-License-Identifier: Apache-2.0
// Proximal gradient and, with `accelerate`, FISTA (Beck, Teboulle 2009): a step along the smooth part of the objective,
// then the proximal operator of its absolute values, which is soft thresholding.
#include "compiler/refine.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "compiler/derive.h"
#include "compiler/extract.h"
#include "compiler/simplify.h"

namespace amo::compiler {
namespace {

// One sum of absolute values of a moved value, with the factor that stands before it.
struct Kink {
  Value node, factor;
};

// The objective at leaves of its own, its sums of absolute values taken apart.
struct Split {
  std::vector<Value> leaves;
  Value whole;
  std::vector<std::vector<Kink>> kinks;  // by moved value
};

void Walk(Builder& b, Split& split, Value v, Value factor) {
  const Node n = b.node(v);
  if (n.op == Op::kAdd || n.op == Op::kSub) {
    Walk(b, split, n.args[0], factor);
    Walk(b, split, n.args[1], n.op == Op::kAdd ? factor : b.Neg(factor));
    return;
  }
  if (n.op == Op::kNeg) return Walk(b, split, n.args[0], b.Neg(factor));
  if (n.op == Op::kDiv) return Walk(b, split, n.args[0], b.Div(factor, n.args[1]));
  if (n.op == Op::kMul) {
    if (!DependsOn(b, n.args[0], split.leaves)) return Walk(b, split, n.args[1], b.Mul(factor, n.args[0]));
    if (!DependsOn(b, n.args[1], split.leaves)) return Walk(b, split, n.args[0], b.Mul(factor, n.args[1]));
    return;
  }
  if (n.op != Op::kReduceSum || b.shape(v) != Shape{}) return;
  const Node& abs = b.node(n.args[0]);
  if (abs.op != Op::kAbs) return;
  for (std::size_t k = 0; k < split.leaves.size(); ++k) {
    if (abs.args[0] == split.leaves[k]) split.kinks[k].push_back({v, factor});
  }
}

Split SplitObjective(Refine& r) {
  Scope& s = r.s;
  Split split;
  std::vector<Term> at;
  for (const Named& v : r.moved()) {
    split.leaves.push_back(s.b.Placeholder(v.type));
    at.push_back(s.Of(split.leaves.back()));
  }
  split.kinks.resize(at.size());
  split.whole = r.Objective(at).value;
  Walk(s.b, split, split.whole, s.b.Number(1));
  return split;
}

// Leaves of the smooth part: those of the objective, then the kinks, which are zero there.
std::vector<Value> SmoothLeaves(const Split& split) {
  std::vector<Value> leaves = split.leaves;
  for (const auto& list : split.kinks) for (const Kink& k : list) leaves.push_back(k.node);
  return leaves;
}

Refine::Slope SmoothAt(Refine& r, const Split& split, const std::vector<Term>& y) {
  Scope& s = r.s;
  std::vector<Value> at;
  for (const Term& t : y) at.push_back(t.value);
  const std::vector<Value> leaves = SmoothLeaves(split);
  while (at.size() < leaves.size()) at.push_back(s.b.Number(0));
  const std::vector<Value> d = GradientAt(s.b, split.whole, leaves, at, y.size());
  Refine::Slope slope{s.Of(d[0]), {}};
  for (std::size_t k = 1; k < d.size(); ++k) slope.by.push_back(s.Of(d[k]));
  return slope;
}

// sign(v) max(|v| - w, 0), w the rate times the factors before the absolute values.
Term Shrink(Refine& r, const Split& split, std::size_t k, const Term& v, const Term& rate) {
  Scope& s = r.s;
  if (split.kinks[k].empty()) return v;
  if (!r.IsBox(k))
    s.Refuse(lang::Code::kUnsupported, r.span(),
             fmt::format("`proximal_gradient` of an absolute value of `{}` inside its set", r.moved()[k].name),
             "sets of bounds on each entry are kept exactly; `solve zeros then projected_gradient` takes any set");
  Term weight = s.Number(0);
  for (const Kink& kink : split.kinks[k]) weight = s.Add(weight, s.Of(kink.factor));
  const Term over = s.Sub(s.Unary(Op::kAbs, v), s.Mul(rate, weight));
  return s.Mul(s.Unary(Op::kSign, v), s.Binary(Op::kMax, over, s.Number(0), r.span(), "max"));
}

// The largest curvature of the smooth part at `y`, by power iteration with exact products of its Hessian.
Term LargestCurvature(Refine& r, const Split& split, const std::vector<Term>& y) {
  constexpr std::int64_t kIterations = 50;
  Scope& s = r.s;
  std::vector<Value> around, at;
  for (const Term& t : y) at.push_back(t.value);
  const std::vector<Value> leaves = SmoothLeaves(split);
  while (at.size() < leaves.size()) at.push_back(s.b.Number(0));
  std::vector<int> wrt(y.size());
  for (std::size_t k = 0; k < wrt.size(); ++k) wrt[k] = static_cast<int>(k);
  const Function product = Simplify(HessianVector(Extract(s.b, {split.whole}, leaves, around), wrt));
  at.insert(at.end(), around.begin(), around.end());
  // The direction as one flat vector, and the length of its image.
  std::int64_t n = 0;
  for (const Named& v : r.moved()) n += Count(v.type.shape);
  Builder body("power");
  const Value direction = body.Input("direction", Role::kInstance, {Elem::kReal, {n}});
  const Value unused = body.Input("length", Role::kInstance, {});
  std::vector<Value> inputs;
  for (std::size_t k = 0; k < at.size(); ++k)
    inputs.push_back(body.Input(fmt::format("in{}", k), Role::kInstance, s.b.type(at[k])));
  std::int64_t from = 0;
  for (const Named& v : r.moved()) {
    const std::int64_t count = Count(v.type.shape);
    inputs.push_back(body.Reshape(body.Slice(direction, {from}, {count}), v.type.shape));
    from += count;
  }
  const std::vector<Value> values = Inline(body, product, inputs);
  std::vector<Value> parts;
  for (const Output& o : product.outputs) {
    if (!o.name.starts_with("h/")) continue;
    const Value h = values[static_cast<std::size_t>(o.value.index)];
    parts.push_back(body.Reshape(h, {Count(body.shape(h))}));
  }
  const Value image = body.Concat(parts, 0);
  const Value length = body.Unary(Op::kSqrt, body.Dot(image, image, {0}, {0}, {}));
  const Value safe = body.Binary(Op::kMax, length, body.Number(1e-300));
  body.Output("direction", body.Div(image, body.Fill(safe, {n})));
  body.Output("length", body.Add(length, body.Mul(body.Number(0), unused)));
  ScanForm form;
  form.steps = kIterations, form.carries = 2;
  // A start that no symmetry of the problem makes orthogonal to the answer.
  const Value i = s.b.ToReal(s.b.Iota(n, 1));
  const Value start = s.b.Unary(Op::kSin, i);
  const Value norm = s.b.Unary(Op::kSqrt, s.b.Dot(start, start, {0}, {0}, {}));
  std::vector<Value> args{s.b.Div(start, s.b.Fill(norm, {n})), s.b.Number(0)};
  args.insert(args.end(), at.begin(), at.end());
  const Value ends = s.b.Scan(form, std::make_shared<const Function>(body.Finish()), args);
  return s.Unary(Op::kStop, s.Of(s.b.Reshape(s.b.Slice(ends, {n}, {1}), {})));
}

std::vector<Term> Now(Refine& r) {
  std::vector<Term> y;
  for (std::size_t k = 0; k < r.moved().size(); ++k) y.push_back(r.now(k));
  return y;
}

}  // namespace

void BeginProximal(Refine& r) {
  if (!r.Setting("rate")) {
    const Split split = SplitObjective(r);
    const Term found = LargestCurvature(r, split, Now(r));
    r.Begin("curvature", r.s.Binary(Op::kMax, r.s.Mul(r.s.Number(1.001), found), r.s.Number(1e-12), r.span(), "max"));
  }
  if (!r.Flag("accelerate")) return;
  for (std::size_t k = 0; k < r.moved().size(); ++k) r.Begin("ahead/" + r.moved()[k].name, r.now(k));
  r.Begin("momentum", r.s.Number(1));
}

// Without a rate a step is taken with the curvature known so far; where that was too little it is doubled and the step
// taken again with that.
void StepProximal(Refine& r) {
  Scope& s = r.s;
  const bool accelerate = r.Flag("accelerate");
  const Split split = SplitObjective(r);
  std::vector<Term> from = Now(r);
  if (accelerate) for (std::size_t k = 0; k < from.size(); ++k) from[k] = r.State("ahead/" + r.moved()[k].name);
  const Refine::Slope slope = SmoothAt(r, split, from);
  const auto stepped = [&](const Term& rate) {
    std::vector<Term> next;
    for (std::size_t k = 0; k < from.size(); ++k)
      next.push_back(r.Project(k, Shrink(r, split, k, s.Sub(from[k], s.Mul(rate, slope.by[k])), rate)));
    return next;
  };
  std::vector<Term> next;
  if (const auto given = r.Setting("rate")) {
    next = stepped(*given);
  } else {
    const Term curvature = r.State("curvature"), twice = s.Mul(s.Number(2), curvature);
    next = stepped(s.Div(s.Number(1), curvature));
    const std::vector<Term> shorter = stepped(s.Div(s.Number(1), twice));
    Term bound = slope.value, distance = s.Number(0);
    for (std::size_t k = 0; k < next.size(); ++k) {
      const Term d = s.Sub(next[k], from[k]);
      bound = s.Add(bound, s.ReduceAll(Op::kReduceSum, s.Mul(slope.by[k], d)));
      distance = s.Add(distance, s.ReduceAll(Op::kReduceSum, s.Mul(d, d)));
    }
    bound = s.Add(bound, s.Mul(s.Number(0.5), s.Mul(curvature, distance)));
    const Term reached = SmoothAt(r, split, next).value;
    const Term room = s.Add(s.Number(1e-10), s.Mul(s.Number(1e-10), s.Unary(Op::kAbs, bound)));
    const Term good = s.Binary(Op::kLe, reached, s.Add(bound, room), r.span(), "<=");
    r.Next("curvature", s.Select(good, curvature, twice, r.span()));
    for (std::size_t k = 0; k < next.size(); ++k) next[k] = s.Select(good, next[k], shorter[k], r.span());
  }
  if (accelerate) {
    const Term t = r.State("momentum");
    const Term root = s.Unary(Op::kSqrt, s.Add(s.Number(1), s.Mul(s.Number(4), s.Mul(t, t))));
    const Term after = s.Mul(s.Number(0.5), s.Add(s.Number(1), root));
    const Term factor = s.Div(s.Sub(t, s.Number(1)), after);
    for (std::size_t k = 0; k < next.size(); ++k)
      r.Next("ahead/" + r.moved()[k].name, s.Add(next[k], s.Mul(factor, s.Sub(next[k], r.now(k)))));
    r.Next("momentum", after);
  }
  r.Move(next);
}

}  // namespace amo::compiler
