// SPDX-License-Identifier: Apache-2.0
// Steps along the gradient with a given rate: gradient descent, momentum, Adam. After each the values are projected
// onto their sets.
#include "compiler/refine.h"

#include <utility>

namespace amo::compiler {
namespace {

constexpr double kRate = 1e-2;  // where the file gives none: what runtime/solver.h takes too

Term RateOf(Refine& r) {
  const auto rate = r.Setting("rate");
  return rate ? *rate : r.s.Number(kRate);
}

// The gradient, shortened to the norm `clip` where it is longer; over all moved values together.
std::vector<Term> Clipped(Refine& r, std::vector<Term> g) {
  const auto bound = r.Setting("clip");
  if (!bound) return g;
  Scope& s = r.s;
  Term square = s.Number(0);
  for (const Term& t : g) square = s.Add(square, s.ReduceAll(Op::kReduceSum, s.Mul(t, t)));
  const Term norm = s.Unary(Op::kSqrt, s.Add(square, s.Number(1e-24)));
  const Term factor = s.Binary(Op::kMin, s.Number(1), s.Div(*bound, norm), r.span(), "min");
  for (Term& t : g) t = s.Mul(factor, t);
  return g;
}

void Descend(Refine& r, const std::vector<Term>& direction) {
  const Term rate = RateOf(r);
  std::vector<Term> next;
  for (std::size_t k = 0; k < direction.size(); ++k)
    next.push_back(r.s.Sub(r.now(k), r.s.Mul(rate, direction[k])));
  r.Move(r.Project(std::move(next)));
}

std::vector<Term> GradientNow(Refine& r) {
  std::vector<Term> at;
  for (std::size_t k = 0; k < r.moved().size(); ++k) at.push_back(r.now(k));
  return Clipped(r, r.Gradient(at).by);
}

void BeginZeros(Refine& r, const char* name) {
  for (const Named& v : r.moved())
    r.Begin(name + ("/" + v.name), r.s.Of(r.s.b.Filled(0, v.type.shape)));
}

// The two numbers of `betas`, what LibTorch takes where there are none.
std::pair<Term, Term> BetasOf(Refine& r) {
  Scope& s = r.s;
  const auto written = r.Setting("betas");
  if (!written) return {s.Number(0.9), s.Number(0.999)};
  if (s.Own(*written) != Shape{2})
    s.Refuse(lang::Code::kShapeMismatch, r.span(), "`betas` are two numbers", "as in `adam(betas = [0.9, 0.99])`");
  const auto entry = [&](std::int64_t k) { return s.Of(s.b.Reshape(s.b.Slice(written->value, {k}, {1}), {})); };
  return {entry(0), entry(1)};
}

}  // namespace

void BeginNothing(Refine&) {}

void StepGradient(Refine& r) { Descend(r, GradientNow(r)); }

// On a manifold: along the gradient's tangent part, then back by the projection (Absil, Mahony, Sepulchre 2008). On the
// positive definite matrices along the geodesic of the metric that no change of basis changes (Pennec, Fillard, Ayache
// 2006): M <- R exp(-rate R G R) R with R the root of M, which never leaves them. Any other set: projected.
void StepRiemannian(Refine& r) {
  Scope& s = r.s;
  const std::vector<Term> g = GradientNow(r);
  const Term rate = RateOf(r);
  std::vector<Term> next;
  for (std::size_t k = 0; k < g.size(); ++k) {
    const Term& y = r.now(k);
    const lang::Expr* set = r.SetOf(k);
    const auto* word = set ? std::get_if<lang::Name>(&set->node) : nullptr;
    const std::string name = word && s.problem.library_sets.count(word->name.text) ? word->name.text : "";
    const auto rank = static_cast<std::int64_t>(s.Own(y).size());
    if ((name == "stiefel" || name == "spd") && rank != 2)
      s.Unsupported(r.span(), "`riemannian_gradient` over more than one matrix");
    const auto symmetric = [&](const Term& t) {
      return s.Mul(s.Number(0.5), s.Add(t, s.Transposed(t, r.span())));
    };
    const auto product = [&](const Term& a, const Term& b) { return s.Multiply(a, b, r.span()); };
    if (name == "spd") {
      const auto of_eigenvalues = [&](const char* f, const Term& t) {
        return s.Spectral(lang::Name{{f, r.span()}}, t, *set);
      };
      const Term root = of_eigenvalues("sqrt", y);
      const Term turned = product(product(root, symmetric(g[k])), root);
      const Term moved = of_eigenvalues("exp", s.Mul(s.Unary(Op::kNeg, rate), turned));
      next.push_back(symmetric(product(product(root, moved), root)));
      continue;
    }
    Term along = g[k];
    if (name == "sphere") {
      std::vector<std::int64_t> map;
      for (std::int64_t d = 0; d < rank; ++d) map.push_back(d + 1 < rank ? d : -1);
      const Term radial = s.ReduceOwn(Op::kReduceSum, s.Mul(g[k], y), {rank - 1});
      along = s.Sub(along, s.Mul(s.Spread(radial, map, s.Own(y)), y));
    } else if (name == "stiefel") {
      along = s.Sub(along, product(y, symmetric(product(s.Transposed(y, r.span()), g[k]))));
    }
    next.push_back(r.Project(k, s.Sub(y, s.Mul(rate, along))));
  }
  r.Move(next);
}

void BeginMomentum(Refine& r) { BeginZeros(r, "velocity"); }

// v <- decay v + g, y <- y - rate v: the heavy ball (Polyak 1964), as LibTorch's SGD writes it.
void StepMomentum(Refine& r) {
  const auto written = r.Setting("decay");
  const Term decay = written ? *written : r.s.Number(0.9);
  std::vector<Term> g = GradientNow(r);
  for (std::size_t k = 0; k < g.size(); ++k) {
    const std::string name = "velocity/" + r.moved()[k].name;
    g[k] = r.s.Add(r.s.Mul(decay, r.State(name)), g[k]);
    r.Next(name, g[k]);
  }
  Descend(r, g);
}

void BeginAdam(Refine& r) {
  BeginZeros(r, "mean");
  BeginZeros(r, "square");
  r.Begin("first", r.s.Number(1));
  r.Begin("second", r.s.Number(1));
}

// Kingma, Ba 2015. The corrections 1 - beta^t are states, so that a step is the same formula at any t.
void StepAdam(Refine& r) {
  Scope& s = r.s;
  constexpr double kEpsilon = 1e-8;
  const auto [beta1, beta2] = BetasOf(r);
  const Term rest1 = s.Sub(s.Number(1), beta1), rest2 = s.Sub(s.Number(1), beta2);
  std::vector<Term> g = GradientNow(r);
  const Term first = s.Mul(beta1, r.State("first")), second = s.Mul(beta2, r.State("second"));
  r.Next("first", first);
  r.Next("second", second);
  for (std::size_t k = 0; k < g.size(); ++k) {
    const std::string& name = r.moved()[k].name;
    const Term m = s.Add(s.Mul(beta1, r.State("mean/" + name)), s.Mul(rest1, g[k]));
    const Term v =
        s.Add(s.Mul(beta2, r.State("square/" + name)), s.Mul(rest2, s.Mul(g[k], g[k])));
    r.Next("mean/" + name, m);
    r.Next("square/" + name, v);
    // The root of a zero has no slope; a number far below the rounding of the root keeps derivatives finite.
    const Term root = s.Unary(Op::kSqrt, s.Add(s.Div(v, s.Sub(s.Number(1), second)), s.Number(1e-30)));
    g[k] = s.Div(s.Div(m, s.Sub(s.Number(1), first)), s.Add(root, s.Number(kEpsilon)));
  }
  Descend(r, g);
}

}  // namespace amo::compiler
