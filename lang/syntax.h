// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_SYNTAX_H_
#define AMO_LANG_SYNTAX_H_

#include <antlr4-runtime.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lang/AmoLexer.h"
#include "lang/AmoParser.h"
#include "lang/source.h"

// The border to ANTLR, private to the parser: a source as tokens, with byte spans, and as the stream that the
// generated parser reads. Only parser*.cc and syntax.cc include this.
namespace amo::lang {

inline constexpr std::size_t kMaxTokens = 1'000'000;  // bounds the memory that parse trees take, about 2 kB for a token

struct Lexeme {
  std::size_t type;  // AmoLexer's token type
  Span span;
  std::string_view text;
  bool first_on_line;
};

// All tokens of one source. Requires CheckText.
class Lexed final : public antlr4::TokenStream {
 public:
  Lexed(const Sources& sources, std::uint32_t source);

  // What the parser reads; the last one is the end of the file. Positions everywhere are indices into it.
  const std::vector<Lexeme>& visible() const { return visible_; }
  const std::vector<Lexeme>& comments() const { return comments_; }
  bool cut() const { return cut_; }  // there are more than kMaxTokens; the rest is not here
  // Makes a misspelt keyword the keyword, so that its declaration can be parsed on.
  void Retype(std::size_t position, std::size_t type);

  // The stream of visible tokens.
  antlr4::Token* LT(ssize_t k) override;
  size_t LA(ssize_t i) override;
  antlr4::Token* get(size_t index) const override { return tokens_[index].get(); }
  void consume() override;
  ssize_t mark() override { return 0; }
  void release(ssize_t) override {}
  size_t index() override { return position_; }
  void seek(size_t index) override { position_ = std::min(index, tokens_.size() - 1); }
  size_t size() override { return tokens_.size(); }
  std::string getSourceName() const override { return {}; }
  antlr4::TokenSource* getTokenSource() const override { return &lexer_; }
  std::string getText() override { return {}; }
  std::string getText(const antlr4::misc::Interval&) override { return {}; }
  std::string getText(antlr4::RuleContext*) override { return {}; }
  std::string getText(antlr4::Token*, antlr4::Token*) override { return {}; }

 private:
  antlr4::ANTLRInputStream input_;
  mutable AmoLexer lexer_;
  std::vector<std::unique_ptr<antlr4::Token>> tokens_;  // one for each of visible_
  std::vector<Lexeme> visible_, comments_;
  std::size_t position_ = 0;
  bool cut_ = false;
};

}  // namespace amo::lang

#endif  // AMO_LANG_SYNTAX_H_
