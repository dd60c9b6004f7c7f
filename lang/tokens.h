// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_TOKENS_H_
#define AMO_LANG_TOKENS_H_

#include <vector>

#include "lang/source.h"

// A source as tokens, for tools that work on the text: the formatter, highlighting.
namespace amo::lang {

enum class TokenKind {
  kKeyword,  // begins a declaration or a clause; reserved words
  kName,     // a name, and the words that are keywords only in their place
  kNumber,
  kString,
  kPunctuation,
  kComment,  // from `#` to the end of the line
  kUnknown,  // a character or a pair of characters that the language does not know
};

struct Token {
  TokenKind kind;
  Span span;
  bool hidden;  // the grammar does not see it: a comment
};

// In the order of the text; what lies between two tokens is white space. Empty when the source is not text
// (CheckText in text.h says why).
std::vector<Token> Tokenize(const Sources& sources, std::uint32_t source);

}  // namespace amo::lang

#endif  // AMO_LANG_TOKENS_H_
