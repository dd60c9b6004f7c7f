// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_FACTORS_H_
#define AMO_LANG_FACTORS_H_

#include <vector>

#include "lang/ast.h"

// Products of sets: `second_order_cone[3] * nonnegative` is the cone over the first three entries of the last axis, and
// nonnegative over what is left.
namespace amo::lang {

struct SetFactor {
  const Expr* set = nullptr;   // a set's name, or a call of it
  const Expr* size = nullptr;  // how many entries of the last axis; null: what the others leave
};

// In their order; a plain set is its only factor, without a size.
std::vector<SetFactor> FactorsOf(const Expr& set);

// Whether it is written as a product, or with a size.
bool IsProduct(const Expr& set);

}  // namespace amo::lang

#endif  // AMO_LANG_FACTORS_H_
