// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_PARSER_WALLS_H_
#define AMO_LANG_PARSER_WALLS_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "lang/diagnostic.h"
#include "lang/syntax.h"

// What can be said of a token sequence before it is parsed: where declarations and constraints begin (the walls that
// errors do not pass), which brackets do not match, what is nested too deep. Private to the parser.
namespace amo::lang {

// After so many mistakes the text is hardly a program: reading on helps nobody.
inline constexpr std::size_t kMaxMistakes = 200;

using Lexemes = std::vector<Lexeme>;

bool IsDeclKeyword(std::size_t type);  // reserved words that begin a declaration; not `solve`, `next`
bool IsHardWord(std::size_t type);     // any reserved word
bool IsNameLike(std::size_t type);     // a name, or a word that is a keyword only in its place
bool EndsOperand(std::size_t type);    // `)`, a name, a number …: what an operator may follow
bool StartsOperand(std::size_t type);  // what may follow an operator

// A keyword stands at `i` and begins a declaration wherever it is met: no correct declaration holds one inside.
bool BeginsDecl(const Lexemes& tokens, std::size_t i);
// A constraint's name seems to begin at `i`: first on its line, then `:` or `[…]:`.
bool BeginsItem(const Lexemes& tokens, std::size_t i);
// The position of the first wall after `i`: a declaration, or the end of the file.
std::size_t WallAfter(const Lexemes& tokens, std::size_t i);

// The keyword that the name at `i` may be meant to be, judged by its letters and by what follows.
struct Misspelling {
  std::size_t type;
  std::string keyword;  // as it should be written: "minimize", "subject to"
};
std::optional<Misspelling> NearKeyword(const Lexemes& tokens, std::size_t i);

// Tokens [begin, end) that must not be parsed, because their brackets are wrong or nested too deep.
struct Muted {
  std::size_t begin, end;
};
std::vector<Muted> CheckBrackets(const Sources& sources, const Lexemes& tokens, Diagnostics& diagnostics);

}  // namespace amo::lang

#endif  // AMO_LANG_PARSER_WALLS_H_
