// SPDX-License-Identifier: Apache-2.0
// Runs the generated lexer over a source and keeps its tokens with byte spans.
#include "lang/syntax.h"

#include "lang/text.h"
#include "lang/tokens.h"

namespace amo::lang {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string WithoutMark(std::string_view text) {
  return std::string(text.starts_with(kByteOrderMark) ? text.substr(3) : text);
}

// Byte offsets of code points, one more than there are; empty when all are one byte long.
std::vector<std::uint32_t> CodePointOffsets(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80; })) return {};
  std::vector<std::uint32_t> offsets;
  for (std::size_t i = text.starts_with(kByteOrderMark) ? 3 : 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) offsets.push_back(static_cast<std::uint32_t>(i));
  }
  offsets.push_back(static_cast<std::uint32_t>(text.size()));
  return offsets;
}

TokenKind KindOf(std::size_t type) {
  if (type >= AmoLexer::K_TO && type <= AmoLexer::K_AMO) return TokenKind::kName;
  if (type >= AmoLexer::K_PROBLEM && type <= AmoLexer::K_FALSE) return TokenKind::kKeyword;
  switch (type) {
    case AmoLexer::NAME:
      return TokenKind::kName;
    case AmoLexer::NUMBER:
      return TokenKind::kNumber;
    case AmoLexer::STRING:
      return TokenKind::kString;
    case AmoLexer::COMMENT:
      return TokenKind::kComment;
    case AmoLexer::GLUED:
    case AmoLexer::OPEN_STRING:
    case AmoLexer::FOREIGN:
    case AmoLexer::OTHER:
      return TokenKind::kUnknown;
    default:
      return TokenKind::kPunctuation;
  }
}

}  // namespace

Lexed::Lexed(const Sources& sources, std::uint32_t source)
    : input_(WithoutMark(sources[source].text)), lexer_(&input_) {
  lexer_.removeErrorListeners();
  const std::string_view text = sources[source].text;
  const std::vector<std::uint32_t> offsets = CodePointOffsets(text);
  const auto byte_at = [&](std::size_t point) {
    return offsets.empty() ? static_cast<std::uint32_t>(point) : offsets[point];
  };
  std::size_t last_line = 0;
  while (true) {
    std::unique_ptr<antlr4::Token> token = lexer_.nextToken();
    cut_ = visible_.size() + comments_.size() >= kMaxTokens;
    if (cut_) static_cast<antlr4::CommonToken&>(*token).setType(antlr4::Token::EOF);
    const std::size_t type = token->getType();
    if (type == antlr4::Token::EOF) {
      const std::uint32_t end = static_cast<std::uint32_t>(text.size());
      visible_.push_back({type, {end, end, source}, {}, true});
      tokens_.push_back(std::move(token));
      break;
    }
    const Span span{byte_at(token->getStartIndex()), byte_at(token->getStopIndex() + 1), source};
    const bool first_on_line = token->getLine() != last_line;
    last_line = token->getLine();
    const Lexeme lexeme{type, span, text.substr(span.begin, span.end - span.begin), first_on_line};
    if (type == AmoLexer::COMMENT) {
      comments_.push_back(lexeme);
    } else {
      static_cast<antlr4::CommonToken&>(*token).setTokenIndex(tokens_.size());
      visible_.push_back(lexeme);
      tokens_.push_back(std::move(token));
    }
  }
  static_cast<antlr4::CommonToken&>(*tokens_.back()).setTokenIndex(tokens_.size() - 1);
}

void Lexed::Retype(std::size_t position, std::size_t type) {
  visible_[position].type = type;
  static_cast<antlr4::CommonToken&>(*tokens_[position]).setType(type);
}

antlr4::Token* Lexed::LT(ssize_t k) {
  const ssize_t at = static_cast<ssize_t>(position_) + (k > 0 ? k - 1 : k);
  if (k == 0 || at < 0) return nullptr;
  return tokens_[std::min<std::size_t>(at, tokens_.size() - 1)].get();
}

size_t Lexed::LA(ssize_t k) {
  const antlr4::Token* token = LT(k);
  return token == nullptr ? antlr4::Token::INVALID_TYPE : token->getType();
}

void Lexed::consume() {
  if (position_ + 1 < tokens_.size()) ++position_;
}

std::vector<Token> Tokenize(const Sources& sources, std::uint32_t source) {
  Diagnostics ignored;
  if (!CheckText(sources, source, ignored)) return {};
  const Lexed lexed(sources, source);
  std::vector<Token> tokens;
  for (const Lexeme& lexeme : lexed.visible()) {
    if (lexeme.type != antlr4::Token::EOF) tokens.push_back({KindOf(lexeme.type), lexeme.span, false});
  }
  for (const Lexeme& lexeme : lexed.comments()) tokens.push_back({TokenKind::kComment, lexeme.span, true});
  std::sort(tokens.begin(), tokens.end(), [](const Token& a, const Token& b) { return a.span.begin < b.span.begin; });
  return tokens;
}

}  // namespace amo::lang
