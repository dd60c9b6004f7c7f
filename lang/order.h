// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_ORDER_H_
#define AMO_LANG_ORDER_H_

#include "lang/problem.h"

// Fills problem.values: every value and let after what it uses. A circle of declarations is an error that spells it out.
namespace amo::lang {

void OrderValues(Problem& problem, Diagnostics& diagnostics);

}  // namespace amo::lang

#endif  // AMO_LANG_ORDER_H_
