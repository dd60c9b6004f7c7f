// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_PLAN_H_
#define AMO_COMPILER_PLAN_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "lang/problem.h"

// How each constraint is kept. By construction: bounds of the entries of one variable go into the projection onto the
// variable's set, which stays exact. Everything else is penalized in training, and `solve` keeps it to a tolerance.
namespace amo::compiler {

struct Parts;
class Scope;
struct Term;

// One side of a relation: every entry of a variable is at least, or at most, the entry of `value`.
struct Bound {
  const lang::Constraint* constraint = nullptr;
  const lang::Expr* value = nullptr;
  bool upper = false;
  std::vector<std::int64_t> order;  // for each axis of the variable the constraint's binder that runs over it
};

struct Plan {
  std::map<std::string, std::vector<Bound>> bounds;  // by variable
  std::vector<std::string> kept;                     // the constraints that these bounds are
  const lang::SetDecl* bounded = nullptr;            // the standard library's `bounded_simplex`
};

// Requires the variables, contexts, data and parameters of parts.program. `source`: the files of the problem.
Plan MakePlan(const lang::Program& source, const Parts& parts);

// The nearest point to `y` in the set of `variable` and within `bounds`. An instance whose bounds leave no point of the
// set gets a point of the set that breaks them evenly, so that the constraints show by how much they fail.
Term ProjectWithin(Scope& scope, const Plan& plan, const lang::ValueDecl& variable, const Term& y,
                   const std::vector<Bound>& bounds);

// What holds of each constraint, in the order of the file; for `amo explain`.
struct Guarantee {
  std::string name;
  bool kept = false;
  std::string how;
};
std::vector<Guarantee> Guarantees(const lang::Problem& problem, const Program& program);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_PLAN_H_
