// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_NUMBER_H_
#define AMO_LANG_NUMBER_H_

#include <map>
#include <optional>
#include <string>

#include "lang/ast.h"

// The number that an expression of numbers, dims and scalar constants has when the file is compiled.
namespace amo::lang {

// nullopt where the expression uses anything else. `numbers` holds the names that are known; `pi` always is.
// Truth values are 1 and 0.
std::optional<double> Evaluate(const Expr& expr, const std::map<std::string, double>& numbers);

}  // namespace amo::lang

#endif  // AMO_LANG_NUMBER_H_
