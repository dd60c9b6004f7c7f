// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_DUMP_H_
#define AMO_LANG_DUMP_H_

#include <string>

#include "lang/ast.h"

// The syntax tree as text, for `amo dump --ast` and tests: one node on a line, children indented by two. Spans and
// ids are left out, so two texts with the same meaning have the same dump.
namespace amo::lang {

std::string Dump(const File& file);
std::string Dump(const Decl& decl);
std::string Dump(const Expr& expr);

}  // namespace amo::lang

#endif  // AMO_LANG_DUMP_H_
