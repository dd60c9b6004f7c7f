// SPDX-License-Identifier: Apache-2.0
// Problem classes from curvatures.
#include "compiler/classify.h"

#include <algorithm>

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

bool IsSmooth(const Program& p) {
  return p.objective && !p.variables.empty() && !p.classes.empty() && p.rows_whole && p.manifolds.empty() &&
         std::all_of(p.classes.begin(), p.classes.end(), [](const Classified& c) { return c.curvature.smooth; }) &&
         std::all_of(p.variables.begin(), p.variables.end(), [](const Named& v) { return v.type.elem == Elem::kReal; });
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
  if (!p.objective || p.classes.empty()) return "";
  const Curvature& objective = p.classes[0].curvature;
  const bool constrained = p.classes.size() > 1;
  const bool equal =
      std::all_of(p.cones.begin(), p.cones.end(), [](const ConeRows& r) { return r.cone == Cone::kZero; });
  if (IsQuadraticProgram(p)) {
    if (p.cones.empty()) return "unconstrained quadratic problem";
    const bool linear = objective.degree <= Degree::kAffine;
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
    const bool convex = objective.convex;
    return (convex ? "convex " : "") + smooth + (sets || !p.rows_whole ? "problem over sets" : "unconstrained problem");
  }
  const bool linear = std::all_of(p.classes.begin() + 1, p.classes.end(), [](const Classified& c) {
    return c.curvature.degree <= Degree::kAffine;
  });
  if (linear && p.rows_whole)
    return (objective.convex ? "convex " : "nonlinear ") + smooth + "program with linear constraints";
  return smooth + "nonlinear program";
}

}  // namespace amo::compiler
