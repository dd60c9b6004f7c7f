// SPDX-License-Identifier: Apache-2.0
// The file's own way to constraints (DC3: Donti, Rolnick, Kolter 2021). `complete` solves the equations, and `correct`
// descends on the inequalities along them. Which entries depend on which is not chosen: a point moves to the nearest
// one that keeps the (linearized) equations, so that every entry gives way.
#include "compiler/extract.h"
#include "compiler/refine.h"

namespace amo::compiler {
namespace {

constexpr int kNewtonSteps = 10, kHalvings = 8;
constexpr double kRegular = 1e-10;

class Feasibility {
 public:
  explicit Feasibility(Refine& r) : r_(r), s_(r.s) {
    std::vector<Term> parts;
    for (std::size_t k = 0; k < r.moved().size(); ++k) {
      parts.push_back(s_.Flat(s_.Real(r.now(k))));
      shapes_.push_back(r.moved()[k].type.shape);
    }
    now_ = s_.Concat(std::move(parts), 0, r.span());
    rows_ = s_.Own(Equal(now_))[0];
    for (const ConeRows& c : s_.program.cones) linear_ = linear_ && (c.cone != Cone::kZero || c.affine);
  }

  const Term& now() const { return now_; }
  bool has_equations() const { return rows_ > 0; }
  bool linear() const { return linear_; }

  Term Equal(const Term& y) { return At(y).equal; }
  Term Negative(const Term& y) { return At(y).negative; }

  // d -> J' (J J')^-1 d: the shortest step by which the linearized equations change by d. Of linear equations it
  // depends on no instance, and is computed once.
  struct Inverse {
    Term jacobian, back;
  };
  Inverse Linearized(const Term& y) {
    const Term j = s_.Jacobian(y, rows_, [&](const Term& x) { return Equal(x); });
    const Term turned = s_.Transposed(j, r_.span());
    // Equations that repeat others make the product singular; with a little of its mean diagonal it is not.
    const Term product = s_.Multiply(j, turned, r_.span());
    const Term mean = s_.Div(s_.ReduceAll(Op::kReduceSum, s_.Mul(j, j)), s_.Number(static_cast<double>(rows_)));
    const Term gram = s_.Add(product, s_.Mul(s_.Mul(s_.Number(kRegular), mean), s_.Identity(rows_)));
    const Term inverse = s_.LinearSolution(gram, s_.Identity(rows_));
    return {j, s_.Multiply(turned, inverse, r_.span())};
  }
  Term Stepped(const Term& y, const Inverse& at) {
    return s_.Sub(y, s_.Multiply(at.back, Equal(y), r_.span()));
  }
  // The same, or the half, the quarter, … of the step that leaves the least of the equations.
  Term Damped(const Term& y) {
    const Term d = s_.Multiply(Linearized(y).back, Equal(y), r_.span());
    return s_.Descended(y, d, kHalvings, [&](const Term& x) {
      const Term left = Equal(x);
      return s_.ReduceAll(Op::kReduceSum, s_.Mul(left, left));
    });
  }
  // The part that no linearized equation feels; twice, as the inverse is made regular.
  Term Along(const Term& d, const Inverse& at) {
    const auto once = [&](const Term& x) {
      return s_.Sub(x, s_.Multiply(at.back, s_.Multiply(at.jacobian, x, r_.span()), r_.span()));
    };
    return once(once(d));
  }

  void Move(const Term& y) { r_.Move(s_.Cut(y, shapes_)); }

 private:
  Scope::Demands At(const Term& y) {
    Scope::World world{s_.worlds.back().replaced, {}, s_.worlds.back().networks};
    const std::vector<Term> parts = s_.Cut(y, shapes_);
    for (std::size_t k = 0; k < parts.size(); ++k) world.replaced[r_.moved()[k].name] = parts[k];
    s_.worlds.push_back(std::move(world));
    const Scope::Demands d = s_.AllDemands();
    s_.worlds.pop_back();
    return d;
  }

  Refine& r_;
  Scope& s_;
  std::vector<Shape> shapes_;
  Term now_;
  std::int64_t rows_ = 0;
  bool linear_ = true;
};

}  // namespace

// Linear equations take one step, and one more against rounding. Others take damped Newton steps that derivatives do
// not see; at the point that they reach, derivatives are those of its tangent projection.
void StepComplete(Refine& r) {
  Feasibility f(r);
  Scope& s = r.s;
  if (!f.has_equations()) return f.Move(f.now());
  if (f.linear()) {
    const auto at = f.Linearized(f.now());
    return f.Move(f.Stepped(f.Stepped(f.now(), at), at));
  }
  const Term y = f.now();
  const auto step = [&](const Term& x) { return f.Damped(x); };
  const Term reached = s.Unary(Op::kStop, s.Repeated(s.Unary(Op::kStop, y), kNewtonSteps, step));
  auto at = f.Linearized(reached);
  at.jacobian = s.Unary(Op::kStop, at.jacobian), at.back = s.Unary(Op::kStop, at.back);
  const Term moved = f.Along(s.Sub(y, s.Unary(Op::kStop, y)), at);
  f.Move(s.Add(f.Stepped(reached, at), moved));
}

void BeginCorrect(Refine& r) {
  std::int64_t n = 0;
  for (const Named& v : r.moved()) n += Count(v.type.shape);
  r.Begin("velocity", r.s.Of(r.s.b.Filled(0, {n})));
}

// Gradient descent with momentum on the squared amounts by which inequalities fail, along the equations.
void StepCorrect(Refine& r) {
  Feasibility f(r);
  Scope& s = r.s;
  const Term y = f.now();
  const Term leaf{s.b.Placeholder(s.b.type(y.value)), y.axes, false, -1, 0};
  const Term excess = s.Binary(Op::kMax, f.Negative(leaf), s.Number(0), r.span(), "max");
  const Term total = s.ReduceAll(Op::kReduceSum, s.Mul(excess, excess));
  Term slope = s.Of(GradientAt(s.b, total.value, {leaf.value}, {y.value}, 1)[1]);
  const auto rate = r.Setting("rate"), momentum = r.Setting("momentum");
  const auto moved = [&](const Term& along) {
    const Term velocity = s.Add(s.Mul(momentum ? *momentum : s.Number(0), r.State("velocity")),
                                s.Mul(rate ? *rate : s.Number(1e-2), along));
    r.Next("velocity", velocity);
    return s.Sub(y, velocity);
  };
  if (!f.has_equations()) return f.Move(moved(slope));
  const auto at = f.Linearized(y);
  const Term next = moved(f.Along(slope, at));
  f.Move(f.linear() ? next : f.Stepped(next, at));
}

}  // namespace amo::compiler
