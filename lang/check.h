// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_CHECK_H_
#define AMO_LANG_CHECK_H_

#include <map>
#include <string>
#include <vector>

#include "lang/problem.h"
#include "lang/type.h"

// Names, types, named dims, shapes and binding times of a chosen problem. Reports every mistake it finds; an
// expression that is already in error has the error type and reports nothing more.
namespace amo::lang {

struct Checked {
  std::vector<Type> types;             // by ExprId; the error type where nothing is known
  std::map<std::string, Type> values;  // by the name of a dim, value, let or update state
  // For each loss, in the order of Problem::losses, what it moves: networks, parameters, "model" for the model's own
  // weights. Without a loss one entry: what the objective, the default, moves.
  std::vector<std::vector<std::string>> moves;
};

Checked Check(const Program& program, const Problem& problem, Diagnostics& diagnostics);

}  // namespace amo::lang

#endif  // AMO_LANG_CHECK_H_
