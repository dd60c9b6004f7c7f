// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_BUILD_PARTS_H_
#define AMO_COMPILER_BUILD_PARTS_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "compiler/build.h"
#include "compiler/scope.h"
#include "compiler/simplify.h"

// What the parts of Build share: one function after another is made from the same problem.
namespace amo::compiler {

struct Plan;

struct Parts {
  const lang::Problem& problem;
  const Tables& tables;
  Program& program;
  lang::Diagnostics& diagnostics;
  const Plan* plan = nullptr;  // once it is made

  // One function; nullopt when a part was refused (the diagnostic stands).
  template <class F>
  std::optional<Function> Make(const std::string& name, Scope::Kinds inputs, F body) {
    Builder b(name);
    Scope scope(b, problem, tables, program, std::move(inputs), diagnostics);
    scope.plan = plan;
    try {
      if (!body(scope)) return std::nullopt;
    } catch (const Refused&) {
      return std::nullopt;
    }
    return Simplify(b.Finish());
  }
};

// Values that are inputs where everything of an instance is known.
const Scope::Kinds kSeen = {lang::ValueKind::kData, lang::ValueKind::kParameter, lang::ValueKind::kHidden,
                            lang::ValueKind::kContext, lang::ValueKind::kVariable};

// When the value is known: a const that is drawn or read has the file's own seed or file, as data have.
inline lang::ValueKind KindOf(const lang::ValueDecl& v) {
  const bool once = v.kind == lang::ValueKind::kConst && v.origin != lang::ValueDecl::Origin::kComputed;
  return once ? lang::ValueKind::kData : v.kind;
}

const lang::ValueDecl* AsVariable(const lang::Problem& problem, const std::string& name);  // null: it is none

// Whether the model has a stage of this name, or, with `complete` or `correct`, sees to the constraints by itself.
bool WritesStage(const lang::Problem& problem, const char* name);
bool WritesItsPlan(const lang::Problem& problem);

// One comparison or membership of a relation: `value` is in a cone where it holds, l - r <= 0, l - r == 0, v in SET.
struct Gap {
  enum class Kind : std::uint8_t { kNegative, kZero, kSet } kind;
  Term value;                 // flat, of kSet as it is
  const lang::Expr* set;      // of kSet
  lang::Span span;
};

// of(gap, loops) for each comparison of a constraint, under the loops of its index; each flat, the index outermost.
std::vector<Term> OverGaps(Scope& s, const lang::Constraint& c,
                           const std::function<Term(const Gap&, const std::vector<int>&)>& of);

// A draw that is uniform over a set; nothing where it cannot be drawn so. `base`: base draws of the shape, by suffixes
// of their names; `axes`: their loops. build_uniform.cc
std::optional<Term> UniformIn(Scope& s, const lang::Expr& set, const Shape& shape, const std::vector<int>& axes,
                              const std::function<Term(Draw::Base, const std::string&)>& base);

// All that sets and constraints demand, as matrix w <= bound, of all variables in one vector w; they are affine in it.
// `zeros`: such a vector, with the loops that the rows may differ by. `cut`: the variables in it, by name.
// build_rows.cc
struct LinearRows {
  Term matrix, bound;
};
LinearRows LinearRowsOf(Scope& s, const Term& zeros,
                        const std::function<std::map<std::string, Term>(const Term&)>& cut);
// The nearest point that keeps them, by the standard library's `polyhedron`.
Term NearestOnRows(Scope& s, const LinearRows& rows, const Term& w);

void BuildStages(Parts& parts);    // build_stages.cc: model, solve, update and its states
void BuildSettings(Parts& parts);  // build_stages.cc: train
void BuildLagrangian(Parts& parts);  // build_constraint.cc: the constraints that no projection keeps
void BuildRows(Parts& parts);  // build_constraint.cc: all constraints and sets as rows
void BuildLosses(Parts& parts);    // build_result.cc: losses, reports
void BuildSlow(Parts& parts);      // build_slow.cc: networks that follow others
void BuildRead(Parts& parts);      // build_read.cc: what is learned, or not, and starts from files

}  // namespace amo::compiler

#endif  // AMO_COMPILER_BUILD_PARTS_H_
