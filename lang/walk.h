// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_WALK_H_
#define AMO_LANG_WALK_H_

#include <functional>
#include <set>
#include <string>

#include "lang/ast.h"

// Walks over expressions: their children, and the names they use.
namespace amo::lang {

// Calls `visit` for each direct child that is present, in the order of the text.
void ForEachChild(const Expr& expr, const std::function<void(const Expr&)>& visit);

// Calls `visit` for each name that `expr` uses and does not bind itself: values, functions, networks, dims.
// Keywords of calls, words after a point and names after `~` are no uses.
void ForEachFreeName(const Expr& expr, const std::function<void(const Ident&)>& visit);

}  // namespace amo::lang

#endif  // AMO_LANG_WALK_H_
