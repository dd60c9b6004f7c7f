// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_ORDER_H_
#define AMO_LANG_ORDER_H_

#include <vector>

#include "lang/problem.h"
#include "lang/uses.h"

// All named declarations of a problem and its sets in an order in which each uses only earlier ones; circles are
// reported, with the way round spelled out. Variables and the states of updates are sources: they have values before
// anything is computed. Broken declarations are left out.
namespace amo::lang {

std::vector<const Decl*> Order(const Program& program, const Problem& problem, Diagnostics& diagnostics);

}  // namespace amo::lang

#endif  // AMO_LANG_ORDER_H_
