// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_PARSER_EXPLAIN_H_
#define AMO_LANG_PARSER_EXPLAIN_H_

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "lang/diagnostic.h"
#include "lang/syntax.h"

// One good message for each syntax error: a table of common mistakes, tried in order. Private to the parser.
namespace amo::lang {

// What the parser knew when it could not go on.
struct Mistake {
  const std::vector<Lexeme>& tokens;
  std::size_t first = 0;  // the keyword of the declaration, or the start of the constraint
  std::size_t at = 0;     // the token that does not fit
  bool complete = false;  // all before `at` is a whole declaration or constraint
  bool in_constraint = false;
  std::vector<std::size_t> rules;  // the grammar's rules that were open, innermost last
  std::set<std::size_t> expected;  // token types that could stand at `at`; empty when not known
};

// `reported_words` holds keywords that were used as names and reported; they are not reported again.
void Explain(const Mistake& mistake, std::set<std::string>& reported_words, Diagnostics& diagnostics);

}  // namespace amo::lang

#endif  // AMO_LANG_PARSER_EXPLAIN_H_
