// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_PARSER_H_
#define AMO_LANG_PARSER_H_

#include "lang/ast.h"
#include "lang/diagnostic.h"
#include "lang/source.h"

// Text to syntax tree. Never throws; good declarations survive bad ones, and every mistake is one diagnostic.
namespace amo::lang {

// `next_id` numbers expressions densely over all files of one run; it is advanced.
File Parse(const Sources& sources, std::uint32_t source, ExprId& next_id, Diagnostics& diagnostics);

// One expression or one declaration from a command line (`--set n=100`, `--model "…"`).
ExprPtr ParseExpr(const Sources& sources, std::uint32_t source, ExprId& next_id, Diagnostics& diagnostics);

}  // namespace amo::lang

#endif  // AMO_LANG_PARSER_H_
