// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_FORMAT_H_
#define AMO_LANG_FORMAT_H_

#include <cstdint>
#include <string>

#include "lang/source.h"

// `amo fmt`: the same program in the house's layout.
//  - each declaration, constraint and description on a line of its own; what belongs to a variant is indented
//  - one way of spacing; line breaks inside an expression stay where the writer put them, indented canonically
//  - in runs of declarations without a blank line, keywords and short names are padded to columns
//  - comments are kept; those behind code stand in columns
// Format is idempotent, and what it returns parses to the same tree. A text with a syntax error comes back unchanged.
namespace amo::lang {

std::string Format(const Sources& sources, std::uint32_t source);

}  // namespace amo::lang

#endif  // AMO_LANG_FORMAT_H_
