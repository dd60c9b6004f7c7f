// SPDX-License-Identifier: Apache-2.0
// Problem classes from curvatures.
#include "compiler/classify.h"

#include <algorithm>

#include "compiler/derive.h"
#include "compiler/simplify.h"
#include "compiler/sparsity.h"

namespace amo::compiler {

Classified ClassOfOutput(const Program& program, const Function& f, std::size_t output, std::string name) {
  std::vector<int> wrt;
  for (const Named& v : program.variables) if (const int k = f.FindInput(v.name); k >= 0) wrt.push_back(k);
  const Curvature c = Curvatures(f, wrt)[static_cast<std::size_t>(f.outputs[output].value.index)];
  return {std::move(name), c, c.by >= 0 ? f.nodes[static_cast<std::size_t>(c.by)].span : lang::Span{}};
}

bool IsQuadraticProgram(const Program& p) {
  const bool real =
      std::all_of(p.variables.begin(), p.variables.end(), [](const Named& v) { return v.type.elem == Elem::kReal; });
  return p.objective && !p.classes.empty() && p.classes[0].curvature.degree <= Degree::kQuadratic && p.rows_whole &&
         real && p.manifolds.empty() &&
         std::all_of(p.cones.begin(), p.cones.end(), [](const ConeRows& r) { return r.affine; });
}

std::optional<Program> LeastSquares(const Program& p) {
  if (p.objective || !p.equations || p.classes.empty()) return std::nullopt;
  const Function& f = *p.equations;
  Builder b("objective");
  std::vector<Value> inputs;
  for (const Input& in : f.inputs) inputs.push_back(b.Input(in.name, in.role, in.type));
  const Value sides = Inline(b, f, inputs)[static_cast<std::size_t>(f.outputs[0].value.index)];
  const Value half = b.Broadcast(b.Number(0.5), {-1}, b.shape(sides));
  b.Output("objective", b.Reduce(Op::kReduceSum, b.Mul(b.Mul(half, sides), sides), {0}));
  Program least = p;
  least.objective = Simplify(b.Finish());
  least.classes[0] = ClassOfOutput(least, *least.objective, 0, "");
  return least;
}

bool IsSmooth(const Program& p) {
  return p.objective && !p.variables.empty() && !p.classes.empty() && p.rows_whole && p.manifolds.empty() &&
         std::all_of(p.classes.begin(), p.classes.end(), [](const Classified& c) { return c.curvature.smooth; }) &&
         std::all_of(p.variables.begin(), p.variables.end(), [](const Named& v) { return v.type.elem == Elem::kReal; });
}

bool IsBox(const Program& p) {
  if (!p.rows_whole || p.cones.empty() || !p.sides || !p.manifolds.empty()) return false;
  for (std::size_t k = 0; k < p.cones.size(); ++k) {
    if (!p.cones[k].affine || p.cones[k].cone != Cone::kNegative) return false;
    std::vector<std::size_t> entries(static_cast<std::size_t>(p.cones[k].count));
    for (const Named& v : p.variables) {
      const int wrt = p.sides->FindInput(v.name);
      if (wrt < 0) continue;
      const Pattern pattern = JacobianPattern(*p.sides, k, wrt);
      for (std::size_t i = 0; i < entries.size(); ++i) entries[i] += pattern.entries[i].size();
    }
    if (std::any_of(entries.begin(), entries.end(), [](std::size_t n) { return n > 1; })) return false;
  }
  return true;
}

bool IsSeparable(const Program& p) {
  constexpr std::int64_t kMost = 1000;
  if (!p.objective) return false;
  std::vector<int> wrt;
  std::int64_t size = 0;
  for (const Named& v : p.variables) {
    if (v.type.elem != Elem::kReal) return false;
    if (const int k = p.objective->FindInput(v.name); k >= 0) wrt.push_back(k), size += Count(v.type.shape);
  }
  if (size < 2 || size > kMost) return false;
  const Function gradient = Gradient(*p.objective, wrt);
  for (std::size_t a = 0; a < wrt.size(); ++a) {
    for (std::size_t b = 0; b < wrt.size(); ++b) {
      const std::string& name = p.objective->inputs[static_cast<std::size_t>(wrt[b])].name;
      const int by = gradient.FindInput(name);
      if (by < 0) continue;
      const Pattern pattern = JacobianPattern(gradient, a + 1, by);
      for (std::size_t i = 0; i < pattern.entries.size(); ++i)
        for (const std::int32_t j : pattern.entries[i]) if (a != b || static_cast<std::size_t>(j) != i) return false;
    }
  }
  return true;
}

bool IsConvex(const Program& p) {
  if (!p.objective || p.classes.empty() || !p.classes[0].curvature.convex || !p.rows_whole) return false;
  std::size_t next = 1;  // of Program::classes, which sets are not among
  return std::all_of(p.cones.begin(), p.cones.end(), [&](const ConeRows& r) {
    const bool convex = r.set || p.classes[next++].curvature.convex;
    return r.affine || (convex && r.cone == Cone::kNegative);
  });
}

std::string ProblemClass(const Program& p) {
  if (!p.objective && p.equations) {
    if (p.fixed_point) return "fixed point";
    const bool linear = ClassOfOutput(p, *p.equations, 0, "").curvature.degree <= Degree::kAffine;
    return linear ? "root of linear equations" : "root";
  }
  if (!p.objective || p.classes.empty()) return "";
  const Curvature& objective = p.classes[0].curvature;
  const bool constrained = p.classes.size() > 1;
  const bool equal =
      std::all_of(p.cones.begin(), p.cones.end(), [](const ConeRows& r) { return r.cone == Cone::kZero; });
  if (IsQuadraticProgram(p)) {
    if (p.cones.empty()) return "unconstrained quadratic problem";
    const bool linear = objective.degree <= Degree::kAffine;
    if (IsBox(p)) return linear ? "linear program over a box" : "quadratic program over a box";
    return linear ? "linear program" : equal ? "quadratic program with equalities only" : "quadratic program";
  }
  if (!p.discrete.empty()) return "discrete problem";
  if (!p.manifolds.empty()) return "problem on a manifold";
  const bool all_kept = std::all_of(p.classes.begin() + 1, p.classes.end(),
                                    [&](const Classified& c) { return IsKept(p, c.name); });
  if (p.conic && all_kept && objective.convex && objective.degree <= Degree::kQuadratic)
    return p.conic->kind + " program" + (objective.degree <= Degree::kAffine ? "" : " with a quadratic objective");
  const bool sets = std::any_of(p.cones.begin(), p.cones.end(), [](const ConeRows& r) { return r.set; });
  const std::string smooth = objective.smooth ? "" : "nonsmooth ";
  if (!constrained) {
    const char* over = IsBox(p) ? "problem over a box" : "problem over sets";
    return (objective.convex ? "convex " : "") + smooth + (sets || !p.rows_whole ? over : "unconstrained problem");
  }
  const bool linear = std::all_of(p.classes.begin() + 1, p.classes.end(), [](const Classified& c) {
    return c.curvature.degree <= Degree::kAffine;
  });
  if (linear && p.rows_whole)
    return (objective.convex ? "convex " : "nonlinear ") + smooth + "program with linear constraints";
  return smooth + "nonlinear program";
}

}  // namespace amo::compiler
