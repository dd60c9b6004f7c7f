// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_PLAN_H_
#define AMO_COMPILER_PLAN_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "compiler/scope.h"
#include "lang/problem.h"

// How each constraint is kept. By construction: bounds of the entries of one variable go into the projection onto the
// variable's set, which stays exact. Everything else is penalized in training, and `solve` keeps it to a tolerance.
namespace amo::compiler {

struct Parts;

// One side of a relation: every entry of a variable is at least, or at most, the entry of `value`.
struct Bound {
  const lang::Constraint* constraint = nullptr;
  const lang::Expr* value = nullptr;
  bool upper = false;
  std::vector<std::int64_t> order;  // for each axis of the variable the constraint's binder that runs over it
};

struct Plan {
  std::map<std::string, std::vector<Bound>> bounds;  // by variable
  std::vector<const lang::Constraint*> conic;        // kept together with the sets: compiler/conic.h
  std::vector<std::string> kept;                     // the constraints that these bounds are
  const lang::SetDecl* bounded = nullptr;            // the standard library's `bounded_simplex`
};

// Requires the variables, contexts, data and parameters of parts.program. `source`: the files of the problem.
Plan MakePlan(const lang::Program& source, const Parts& parts);

// The nearest point to `y` in the set of `variable` and within `bounds`. An instance whose bounds leave no point of the
// set gets a point of the set that breaks them evenly, so that the constraints show by how much they fail.
Term ProjectWithin(Scope& scope, const Plan& plan, const lang::ValueDecl& variable, const Term& y,
                   const std::vector<Bound>& bounds);

// The nearest point to `y` in the set of the variable `name` and within the bounds that the plan puts there; `y` itself
// where it has none, or one that only the projection onto all rows keeps. Requires Parts::plan.
Term ProjectedVariable(Parts& parts, Scope& scope, const std::string& name, const Term& y);

// A set's points as inequalities and equations: v is in it where the entries of `negative` are <= 0, those of `equal`
// 0. Nothing where it is no polyhedron that is known here.
struct SetSides {
  std::vector<Term> negative, equal;  // flat
};
// Sets that have no projection of their own: they are kept by the projection onto all rows.
bool IsRowSet(const lang::Problem& problem, const lang::Expr& set);
bool IsPolyhedron(const lang::Problem& problem, const lang::Expr& set);  // its sides are known: SidesOfSet
bool IsConvexSet(const lang::Problem& problem, const lang::Expr& set);   // and has a projection
// Sets of separate points: binary, integers, one_of, permutation.
bool IsDiscreteSet(const lang::Problem& problem, const lang::Expr& set);
// Smooth surfaces: sphere, stiefel.
bool IsManifold(const lang::Problem& problem, const lang::Expr& set);

std::optional<SetSides> SidesOfSet(Scope& scope, const lang::Expr& set, const Term& v);

// Whether the constraint is equations, and the model's own `complete` solves them.
bool IsCompleted(const lang::Problem& problem, const Program& program, const std::string& constraint);

// What holds of each constraint, in the order of the file; for `amo explain`.
struct Guarantee {
  std::string name;
  bool kept = false;
  std::string how;
};
std::vector<Guarantee> Guarantees(const lang::Problem& problem, const Program& program);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_PLAN_H_
