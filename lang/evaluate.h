// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_EVALUATE_H_
#define AMO_LANG_EVALUATE_H_

#include <functional>
#include <optional>
#include <string>

#include "lang/ast.h"

// The number that an expression of numbers is, before anything runs. Truth is 1, falsehood 0.
namespace amo::lang {

// The number that a name stands for, or "weights(NETWORK)"; none where it is no number or not known yet.
using Lookup = std::function<std::optional<double>(const std::string&)>;

// Arithmetic, comparisons, `if`, `where`, functions of numbers, `sum prod min max` over indices. None where the
// expression holds anything else, or where a sum runs over more than a million indices.
std::optional<double> Evaluate(const Expr& expr, const Lookup& lookup);

}  // namespace amo::lang

#endif  // AMO_LANG_EVALUATE_H_
