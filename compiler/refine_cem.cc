// SPDX-License-Identifier: Apache-2.0
// The cross-entropy method, and with a temperature its differentiable form (Amos, Yarats 2020): a normal of its own for
// each entry is fitted to the best of a sample, step by step; the answer is its mean.
#include "compiler/refine.h"

#include <fmt/format.h>

namespace amo::compiler {
namespace {

constexpr double kSamples = 100, kElites = 10;
constexpr std::int64_t kHalvings = 50;  // of the interval of the multiplier: to the last digits of a double

// The entries of a term's only loop as its first axis.
Term Opened(Term t) {
  t.axes.clear();
  return t;
}

// Weights in (0, 1) that sum to `elites`: sigmoid(score + nu), the limited multi-label projection (Amos, Koltun, Kolter
// 2019). nu is found by halving; one Newton step from there gives it the implicit derivative.
Term SoftElites(Refine& r, const Term& score, double elites) {
  Scope& s = r.s;
  const std::int64_t n = s.Own(score)[0];
  const auto weights = [&](const Term& nu) {
    return s.Unary(Op::kSigmoid, s.Add(score, s.Spread(nu, {-1}, {n})));
  };
  const Term fixed = s.Unary(Op::kStop, score);
  // At the largest score alone the sum would exceed `elites`, at the smallest all together stay below: both with room.
  const Term lo = s.Sub(s.Unary(Op::kNeg, s.ReduceAll(Op::kReduceMax, fixed)), s.Number(40));
  const Term hi = s.Add(s.Unary(Op::kNeg, s.ReduceAll(Op::kReduceMin, fixed)), s.Number(40));
  Builder body("halve");
  const Value state = body.Input("state", Role::kInstance, {Elem::kReal, {2}});
  const Value known = body.Input("score", Role::kInstance, {Elem::kReal, {n}});
  const Value low = body.Reshape(body.Slice(state, {0}, {1}), {}), high = body.Reshape(body.Slice(state, {1}, {1}), {});
  const Value middle = body.Mul(body.Number(0.5), body.Add(low, high));
  const Value sum = body.Reduce(Op::kReduceSum, body.Unary(Op::kSigmoid, body.Add(known, body.Fill(middle, {n}))), {0});
  const Value above = body.Binary(Op::kLt, body.Number(elites), sum);
  body.Output("state", body.Concat({body.Reshape(body.Select(above, low, middle), {1}),
                                    body.Reshape(body.Select(above, middle, high), {1})},
                                   0));
  ScanForm form;
  form.steps = kHalvings, form.carries = 1;
  const Value start = s.b.Concat({s.b.Reshape(lo.value, {1}), s.b.Reshape(hi.value, {1})}, 0);
  const Value ends = s.b.Scan(form, std::make_shared<const Function>(body.Finish()), {start, fixed.value});
  const Term nu = s.Unary(
      Op::kStop, s.Mul(s.Number(0.5), s.ReduceAll(Op::kReduceSum, s.Of(ends))));
  const Term w = weights(nu);
  const Term slope = s.Unary(Op::kStop, s.ReduceAll(Op::kReduceSum, s.Mul(w, s.Sub(s.Number(1), w))));
  const Term excess = s.Sub(s.ReduceAll(Op::kReduceSum, w), s.Number(elites));
  return weights(s.Sub(nu, s.Div(excess, s.Add(slope, s.Number(1e-30)))));
}

// 1 for the `elites` least values, 0 for the others.
Term HardElites(Refine& r, const Term& value, double elites) {
  Scope& s = r.s;
  const std::int64_t n = s.Own(value)[0], k = static_cast<std::int64_t>(elites);
  const Value order = s.b.Along(Op::kArgSort, value.value);
  const Value best = s.b.Slice(order, {0}, {k});
  return s.Unary(Op::kStop, s.Of(s.b.Scatter(best, s.b.Filled(1, {k}), 0, n)));
}

}  // namespace

void BeginCem(Refine& r) {
  const auto sigma = r.Setting("sigma");
  for (const Named& v : r.moved()) {
    Term start = sigma ? *sigma : r.s.Number(1);
    if (r.s.Own(start) != v.type.shape) {
      if (!r.s.Own(start).empty())
        r.s.Refuse(lang::Code::kShapeMismatch, r.span(),
                   fmt::format("`sigma` has shape `[{}]`, `{}` has `[{}]`", fmt::join(r.s.Own(start), ", "), v.name,
                               fmt::join(v.type.shape, ", ")),
                   "a single number is the same deviation for each entry");
      start = r.s.Widen(start, {}, v.type.shape);
    }
    r.Begin("sigma/" + v.name, start);
  }
}

void StepCem(Refine& r) {
  Scope& s = r.s;
  const double samples = r.Number("samples", kSamples), elites = r.Number("elites", kElites);
  if (elites > samples)
    s.Refuse(lang::Code::kDomain, r.span(), fmt::format("{} elites of {} samples", elites, samples),
             "`elites` is at most `samples`");
  const int loop = s.OpenRange(static_cast<std::int64_t>(samples));
  std::vector<Term> x;
  for (std::size_t k = 0; k < r.moved().size(); ++k) {
    const Term sigma = r.State("sigma/" + r.moved()[k].name);
    x.push_back(r.Project(k, s.Add(r.now(k), s.Mul(sigma, r.Noise(k, loop)))));
  }
  Term f = r.Objective(x);
  s.CloseLoops(1);
  const Shape many{static_cast<std::int64_t>(samples)};
  f = Opened(s.Widen(f, {loop}, {}));
  Term weight;
  if (const auto temperature = r.Setting("temperature")) {
    const Term mean = s.Div(s.ReduceAll(Op::kReduceSum, f), s.Number(samples));
    const Term off = s.Sub(f, s.Spread(mean, {-1}, many));
    const Term variance = s.Div(s.ReduceAll(Op::kReduceSum, s.Mul(off, off)), s.Number(samples - 1));
    const Term deviation = s.Add(s.Unary(Op::kSqrt, s.Add(variance, s.Number(1e-20))), s.Number(1e-6));
    weight = SoftElites(r, s.Unary(Op::kNeg, s.Div(off, s.Mul(deviation, *temperature))), elites);
  } else {
    weight = HardElites(r, f, elites);
  }
  weight = s.Div(weight, s.Number(elites));
  std::vector<Term> next;
  for (std::size_t k = 0; k < r.moved().size(); ++k) {
    const Shape& own = r.moved()[k].type.shape;
    Term all = Opened(s.Widen(x[k], {loop}, own));
    std::vector<std::int64_t> labels{0}, rest, map{-1};
    for (std::size_t d = 0; d < own.size(); ++d) {
      labels.push_back(static_cast<std::int64_t>(d) + 1), rest.push_back(static_cast<std::int64_t>(d) + 1);
      map.push_back(static_cast<std::int64_t>(d));
    }
    Shape wide = own;
    wide.insert(wide.begin(), many[0]);
    const Term mean = s.Contract(weight, all, {0}, labels, rest);
    const Term off = s.Sub(all, s.Spread(mean, map, wide));
    const Term variance = s.Contract(weight, s.Mul(off, off), {0}, labels, rest);
    r.Next("sigma/" + r.moved()[k].name, s.Unary(Op::kSqrt, s.Add(variance, s.Number(1e-20))));
    next.push_back(mean);
  }
  r.Move(r.Project(std::move(next)));
}

}  // namespace amo::compiler
