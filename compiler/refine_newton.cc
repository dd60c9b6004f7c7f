// SPDX-License-Identifier: Apache-2.0
// Newton's method and L-BFGS as formulas: steps that have derivatives. All moved values are one vector.
#include "compiler/refine.h"

#include <fmt/format.h>

namespace amo::compiler {
namespace {

constexpr std::int64_t kMostDense = 200;  // entries for which Hessians are written out
constexpr double kHalvings = 8, kDamping = 1e-8;

class Flat {
 public:
  explicit Flat(Refine& r) : r_(r) {
    for (std::size_t k = 0; k < r.moved().size(); ++k) {
      shapes_.push_back(r.moved()[k].type.shape);
      size_ += Count(shapes_.back());
      now_.push_back(r.now(k));
    }
  }

  std::int64_t size() const { return size_; }
  Term Now() const { return Joined(now_); }
  Term Gradient(const Term& x, bool constant) const { return Joined(r_.Gradient(Cut(x), constant).by); }
  std::vector<Term> Cut(const Term& x) const { return r_.s.Cut(x, shapes_); }

  // x - rate * d where `halvings` is 0, else the best of so many halved steps.
  void Move(const Term& x, Term d) const {
    const auto rate = r_.Setting("rate");
    if (rate) d = r_.s.Mul(*rate, d);
    const double halvings = r_.Number("halvings", kHalvings);
    if (halvings < 0 || halvings > 60)
      r_.s.Refuse(lang::Code::kDomain, r_.span(), fmt::format("{} halvings", halvings), "from 0 to 60");
    const auto value = [&](const Term& at) { return r_.Objective(r_.Project(Cut(at))); };
    const Term next = halvings < 1 ? r_.s.Sub(x, d)
                                   : r_.s.Descended(x, d, static_cast<std::int64_t>(halvings), value);
    r_.Move(r_.Project(Cut(next)));
  }

 private:
  Term Joined(const std::vector<Term>& parts) const {
    std::vector<Term> flat;
    for (const Term& t : parts) flat.push_back(r_.s.Flat(r_.s.Real(t)));
    return r_.s.Concat(std::move(flat), 0, r_.span());
  }

  Refine& r_;
  std::vector<Shape> shapes_;
  std::vector<Term> now_;
  std::int64_t size_ = 0;
};

Term Inner(Scope& s, const Term& x, const Term& y) { return s.ReduceAll(Op::kReduceSum, s.Mul(x, y)); }

}  // namespace

// x <- x - rate (H + damping I)^-1 g.
void StepNewton(Refine& r) {
  Scope& s = r.s;
  const Flat flat(r);
  const std::int64_t n = flat.size();
  if (n > kMostDense)
    r.s.Refuse(lang::Code::kUnsupported, r.span(),
               fmt::format("`newton` with a rate over {} entries writes their Hessian out", n),
               fmt::format("up to {}; `lbfgs` takes any number", kMostDense));
  const Term x = flat.Now();
  Term H = s.Jacobian(x, n, [&](const Term& at) { return flat.Gradient(at, false); });
  if (r.FirstOrder()) H = s.Unary(Op::kStop, H);
  const auto written = r.Setting("damping");
  const Term damping = written ? *written : s.Number(kDamping);
  flat.Move(x, s.LinearSolution(s.Add(H, s.Mul(damping, s.Identity(n))), flat.Gradient(x, true)));
}

void BeginLbfgs(Refine& r) {
  Scope& s = r.s;
  const std::int64_t n = Flat(r).size(), m = MemoryOf(r, "pairs");
  for (const char* name : {"steps", "slopes"}) r.Begin(name, s.Of(s.b.Filled(0, {m, n})));
  for (const char* name : {"point", "slope"}) r.Begin(name, s.Of(s.b.Filled(0, {n})));
  r.Begin("count", s.Number(0));
}

// The two loops of Nocedal 1980, over the last pairs whose curvature is positive.
void StepLbfgs(Refine& r) {
  Scope& s = r.s;
  const Flat flat(r);
  const std::int64_t n = flat.size(), m = MemoryOf(r, "pairs");
  const Term x = flat.Now(), g = flat.Gradient(x, true), count = r.State("count");
  const Term started = s.Binary(Op::kLt, s.Number(0), count, r.span(), "<");
  const auto pushed = [&](const char* pairs, const Term& now, const char* before) {
    const Term old = r.State(pairs);
    return s.Select(started, Shifted(s, s.Sub(now, r.State(before)), old), old, r.span());
  };
  const Term steps = pushed("steps", x, "point"), slopes = pushed("slopes", g, "slope");
  const auto row = [&](const Term& t, std::int64_t i) {
    return s.Of(s.b.Reshape(s.b.Slice(t.value, {i, 0}, {1, n}), {n}));
  };
  std::vector<Term> rho, share;
  Term q = g, scale;
  for (std::int64_t i = 0; i < m; ++i) {
    const Term step = row(steps, i), slope = row(slopes, i), curvature = Inner(s, step, slope);
    const Term bends = s.Binary(Op::kLt, s.Number(1e-14), curvature, r.span(), "<");
    const auto over = [&](const Term& up, const Term& down, const Term& otherwise) {
      return s.Select(bends, s.Div(up, s.Select(bends, down, s.Number(1), r.span())), otherwise, r.span());
    };
    rho.push_back(over(s.Number(1), curvature, s.Number(0)));
    share.push_back(s.Mul(rho.back(), Inner(s, step, q)));
    q = s.Sub(q, s.Mul(share.back(), slope));
    if (i > 0) continue;
    const Term length = s.Unary(Op::kSqrt, s.Add(Inner(s, g, g), s.Number(1e-24)));
    const Term plain = s.Div(s.Number(1), s.Binary(Op::kMax, s.Number(1), length, r.span(), "max"));
    scale = over(curvature, Inner(s, slope, slope), plain);
  }
  Term d = s.Mul(scale, q);
  for (std::int64_t i = m; i-- > 0;) {
    const auto k = static_cast<std::size_t>(i);
    const Term back = s.Mul(rho[k], Inner(s, row(slopes, i), d));
    d = s.Add(d, s.Mul(s.Sub(share[k], back), row(steps, i)));
  }
  r.Next("steps", steps), r.Next("slopes", slopes), r.Next("point", x), r.Next("slope", g);
  r.Next("count", s.Add(count, s.Number(1)));
  flat.Move(x, d);
}

}  // namespace amo::compiler
