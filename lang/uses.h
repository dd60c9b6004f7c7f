// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_USES_H_
#define AMO_LANG_USES_H_

#include <functional>
#include <string>

#include "lang/ast.h"

// The names that expressions and declarations refer to: what ordering, binding times and unused declarations rest on.
namespace amo::lang {

struct Use {
  enum class Kind { kValue, kSet, kConstraint };
  std::string name;
  Span span;
  Kind kind = Kind::kValue;
  const Call* call = nullptr;  // the call whose callee the name is, directly or under an index
  bool shape_only = false;     // `weights(net)`, `~ init(net)`: its architecture, not its weights
  bool averaged = false;       // inside `expect(…)`
  bool constant = false;       // inside `stop(…)`
};
using OnUse = std::function<void(const Use&)>;

// Names bound inside (binders, `where`, parameters) are left out; so are words that are no values: builders, layers,
// distributions, the keywords of calls. Names of the language (`exp`, `pi`) are not.
void VisitUses(const Expr& expr, const OnUse& on_use);
void VisitSetUses(const Expr& set, const OnUse& on_use);                    // an expression after `in`
void VisitDistributionUses(const Expr& distribution, const OnUse& on_use);  // after `~`
void VisitUses(const TypeExpr& type, const OnUse& on_use);
void VisitUses(const Relation& relation, const OnUse& on_use);
void VisitUses(const Constraint& constraint, const OnUse& on_use);
void VisitUses(const Stages& stages, const OnUse& on_use);
void VisitRefinementUses(const Expr& refinement, const OnUse& on_use);
void VisitUses(const Decl& decl, const OnUse& on_use);

}  // namespace amo::lang

#endif  // AMO_LANG_USES_H_
