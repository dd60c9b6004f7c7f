// SPDX-License-Identifier: Apache-2.0
// Walls, near-keywords, brackets and nesting over a token sequence.
#include "lang/parser_walls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace amo::lang {
namespace {

using L = AmoLexer;

constexpr std::size_t kMaxNesting = 256;  // brackets, and operators that nest to the right
constexpr std::size_t kMaxCommas = 1000;  // in all calls that are open at one place: the grammar recurses over them

// What people write for a keyword, beyond slips of the hand.
constexpr std::pair<std::string_view, std::size_t> kSynonyms[] = {
    {"minimise", L::K_MINIMIZE},  {"min", L::K_MINIMIZE},         {"maximise", L::K_MAXIMIZE}, {"max", L::K_MAXIMIZE},
    {"param", L::K_PARAMETER},    {"parameters", L::K_PARAMETER}, {"var", L::K_VARIABLE},      {"vars", L::K_VARIABLE},
    {"variables", L::K_VARIABLE}, {"given", L::K_CONTEXT},        {"input", L::K_CONTEXT},     {"latent", L::K_HIDDEN},
    {"constraint", L::K_SUBJECT}, {"constraints", L::K_SUBJECT},  {"st", L::K_SUBJECT},        {"import", L::K_USE},
    {"include", L::K_USE},        {"def", L::K_FUNCTION},         {"func", L::K_FUNCTION},     {"fn", L::K_FUNCTION},
    {"constant", L::K_CONST},     {"dimension", L::K_DIM},        {"define", L::K_LET},        {"net", L::K_NETWORK},
    {"print", L::K_REPORT},       {"metric", L::K_REPORT},        {"training", L::K_TRAIN},    {"noise", L::K_RANDOM},
};

constexpr std::pair<std::string_view, std::size_t> kDeclKeywords[] = {
    {"problem", L::K_PROBLEM},
    {"variant", L::K_VARIANT},
    {"use", L::K_USE},
    {"dim", L::K_DIM},
    {"const", L::K_CONST},
    {"data", L::K_DATA},
    {"parameter", L::K_PARAMETER},
    {"hidden", L::K_HIDDEN},
    {"context", L::K_CONTEXT},
    {"variable", L::K_VARIABLE},
    {"random", L::K_RANDOM},
    {"network", L::K_NETWORK},
    {"function", L::K_FUNCTION},
    {"set", L::K_SET},
    {"let", L::K_LET},
    {"minimize", L::K_MINIMIZE},
    {"maximize", L::K_MAXIMIZE},
    {"find", L::K_FIND},
    {"subject to", L::K_SUBJECT},
    {"update", L::K_UPDATE},
    {"model", L::K_MODEL},
    {"loss", L::K_LOSS},
    {"train", L::K_TRAIN},
    {"report", L::K_REPORT},
};

// Optimal string alignment distance, cut off at 3.
std::size_t Distance(std::string_view a, std::string_view b) {
  if (a.size() > b.size() + 2 || b.size() > a.size() + 2 || a.size() > 16) return 3;
  std::array<std::array<std::size_t, 20>, 20> d{};
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::size_t Closer(std::size_t opener) { return opener == L::LPAREN ? L::RPAREN : L::RBRACK; }

// The checks of one pass over the tokens between two walls.
class BracketPass {
 public:
  BracketPass(const Sources& sources, const Lexemes& tokens, Diagnostics& diagnostics)
      : sources_(sources), tokens_(tokens), diagnostics_(diagnostics) {}

  std::vector<Muted> Run() {
    for (std::size_t i = 0; i < tokens_.size() && !stopped_; ++i) {
      if (tokens_[i].type == antlr4::Token::EOF || BeginsDecl(tokens_, i) || IsItemWall(i)) Wall(i);
      if (!done_) Token(i);
    }
    return std::move(muted_);
  }

 private:
  struct Level {
    std::size_t opener = 0;  // position; unused for the ground level
    std::size_t run = 0;     // operators open at this level that nest to the right
    std::size_t ifs = 0;
    std::size_t commas = 0;
  };

  // A constraint's name, unless the text before it asks for more: `mean(i in 4,` then `e : real ~ …)`.
  bool IsItemWall(std::size_t i) const {
    return i > 0 && in_constraints_ && BeginsItem(tokens_, i) && EndsOperand(tokens_[i - 1].type);
  }

  void Wall(std::size_t i) {
    if (!done_ && levels_.size() > 1) {
      const Lexeme& opener = tokens_[levels_.back().opener];
      const char* closer = opener.type == L::LPAREN ? ")" : "]";
      const bool at_end = tokens_[i].type == antlr4::Token::EOF;
      const std::string before = at_end ? "the end of the file"
                                        : fmt::format("`{}` on line {}", tokens_[i].text,
                                                      sources_.At(tokens_[i].span.source, tokens_[i].span.begin).line);
      diagnostics_.Error(Code::kSyntax, opener.span,
                         fmt::format("`{}` is never closed: expected `{}` before {}", opener.text, closer, before));
      Mute();
    }
    if (muting_) muted_.push_back({begin_, i});
    if (muted_.size() >= kMaxMistakes) {
      muted_.back().end = tokens_.size();
      stopped_ = true;
    }
    begin_ = i;
    done_ = muting_ = false;
    levels_.assign(1, Level{});
    nesting_ = commas_ = 0;
    if (tokens_[i].type == L::K_SUBJECT) {
      in_constraints_ = true;
    } else if (BeginsDecl(tokens_, i)) {
      in_constraints_ = false;
    }
  }

  void Mute() { done_ = muting_ = true; }

  void Token(std::size_t i) {
    Level& level = levels_.back();
    switch (tokens_[i].type) {
      case L::LPAREN:
      case L::LBRACK:
        levels_.push_back({i});
        ++nesting_;
        break;
      case L::RPAREN:
      case L::RBRACK:
        Close(i);
        return;
      case L::COMMA:
        if (levels_.size() > 1 && tokens_[level.opener].type == L::LPAREN) ++level.commas, ++commas_;
        EndRun(level), EndIfs(level);
        break;
      case L::COLON:
      case L::EQUAL:
      case L::SEMICOLON:
        EndRun(level), EndIfs(level);
        return;
      case L::K_IF:
        ++level.ifs, ++nesting_;
        break;
      case L::K_NOT:
      case L::CARET:
      case L::DOT_CARET:
        ++level.run, ++nesting_;
        break;
      case L::MINUS:
        // A sign nests; a difference does not, and ends what nested before it.
        if (i > begin_ && EndsOperand(tokens_[i - 1].type)) {
          EndRun(level);
        } else {
          ++level.run, ++nesting_;
        }
        break;
      case L::PLUS:
      case L::STAR:
      case L::SLASH:
      case L::PERCENT:
      case L::DOT_STAR:
      case L::DOT_SLASH:
      case L::EQ:
      case L::NE:
      case L::LE:
      case L::GE:
      case L::LT:
      case L::GT:
      case L::K_AND:
      case L::K_OR:
      case L::K_THEN:
      case L::K_ELSE:
        EndRun(level);
        return;
      default:
        return;
    }
    if (nesting_ > kMaxNesting) {
      diagnostics_.Error(Code::kNesting, tokens_[i].span, fmt::format("nested deeper than {}", kMaxNesting))
          .Help("name parts of it with `let`");
      Mute();
    } else if (commas_ > kMaxCommas) {
      diagnostics_.Error(Code::kNesting, tokens_[i].span, fmt::format("more than {} arguments", kMaxCommas))
          .Help("pass them as one array");
      Mute();
    }
  }

  void Close(std::size_t i) {
    const Lexeme& found = tokens_[i];
    if (levels_.size() == 1) {
      diagnostics_.Error(Code::kSyntax, found.span, fmt::format("`{}` closes nothing", found.text));
      Mute();
      return;
    }
    const Lexeme& opener = tokens_[levels_.back().opener];
    if (found.type != Closer(opener.type)) {
      diagnostics_
          .Error(Code::kSyntax, found.span,
                 fmt::format("expected `{}` to close the `{}`, found `{}`", opener.type == L::LPAREN ? ")" : "]",
                             opener.text, found.text))
          .Label(opener.span, "opened here");
      Mute();
      return;
    }
    EndRun(levels_.back()), EndIfs(levels_.back());
    commas_ -= levels_.back().commas;
    --nesting_;
    levels_.pop_back();
  }

  void EndRun(Level& level) { nesting_ -= std::exchange(level.run, 0); }
  void EndIfs(Level& level) { nesting_ -= std::exchange(level.ifs, 0); }

  const Sources& sources_;
  const Lexemes& tokens_;
  Diagnostics& diagnostics_;
  std::vector<Muted> muted_;
  std::vector<Level> levels_{Level{}};
  std::size_t begin_ = 0;
  std::size_t nesting_ = 0;  // open brackets, runs and ifs of all levels
  std::size_t commas_ = 0;   // of all levels
  bool done_ = false, muting_ = false, in_constraints_ = false, stopped_ = false;
};

}  // namespace

bool IsDeclKeyword(std::size_t type) { return type >= L::K_PROBLEM && type <= L::K_REPORT; }
bool IsHardWord(std::size_t type) { return type >= L::K_PROBLEM && type <= L::K_FALSE; }
bool IsNameLike(std::size_t type) { return type == L::NAME || (type >= L::K_TO && type <= L::K_AMO); }

bool EndsOperand(std::size_t type) {
  return IsNameLike(type) || type == L::RPAREN || type == L::RBRACK || type == L::NUMBER || type == L::STRING ||
         type == L::PRIME || type == L::K_TRUE || type == L::K_FALSE;
}

bool StartsOperand(std::size_t type) {
  return IsNameLike(type) || type == L::LPAREN || type == L::LBRACK || type == L::NUMBER || type == L::STRING ||
         type == L::MINUS || type == L::K_NOT || type == L::K_IF || type == L::K_TRUE || type == L::K_FALSE;
}

bool BeginsDecl(const Lexemes& tokens, std::size_t i) {
  const std::size_t type = tokens[i].type;
  const std::size_t next = i + 1 < tokens.size() ? tokens[i + 1].type : antlr4::Token::EOF;
  if (type == L::K_SOLVE || type == L::K_NEXT) {
    // As names they are never followed by a name; after `project`, `over`, `update` … a name is declared.
    return next == L::NAME && (i == 0 || tokens[i].first_on_line || EndsOperand(tokens[i - 1].type));
  }
  if (!IsDeclKeyword(type)) return false;
  if (i > 0 && tokens[i - 1].type == L::DOT) return false;
  // Before `=` a word of a call or a setting; before `:` and `,` the owner `model`.
  if (next == L::EQUAL || next == L::DOT || next == L::COLON || next == L::COMMA) return false;
  if (i == 0 || tokens[i].first_on_line) return true;
  if (type == L::K_SUBJECT) return next == L::K_TO;
  const std::size_t after = i + 2 < tokens.size() ? tokens[i + 2].type : antlr4::Token::EOF;
  return IsNameLike(next) && (after == L::COLON || after == L::EQUAL);
}

bool BeginsItem(const Lexemes& tokens, std::size_t i) {
  if (!tokens[i].first_on_line || !IsNameLike(tokens[i].type) || i + 1 >= tokens.size()) return false;
  std::size_t at = i + 1;
  if (tokens[at].type == L::LBRACK) {
    for (std::size_t depth = 0; at < tokens.size() && at < i + 64; ++at) {
      if (tokens[at].type == L::LBRACK) ++depth;
      if (tokens[at].type == L::RBRACK && --depth == 0) break;
    }
    ++at;
  }
  return at < tokens.size() && tokens[at].type == L::COLON;
}

std::size_t WallAfter(const Lexemes& tokens, std::size_t i) {
  for (++i; i < tokens.size() - 1; ++i) {
    if (BeginsDecl(tokens, i)) return i;
  }
  return tokens.size() - 1;
}

std::optional<Misspelling> NearKeyword(const Lexemes& tokens, std::size_t i) {
  if (tokens[i].type != L::NAME || i + 1 >= tokens.size()) return std::nullopt;
  const std::size_t next = tokens[i + 1].type;
  if (!StartsOperand(next) && !IsHardWord(next)) return std::nullopt;
  const std::string_view word = tokens[i].text;
  for (const auto& [synonym, meant] : kSynonyms) {
    for (const auto& [keyword, type] : kDeclKeywords) {
      if (word == synonym && type == meant) return Misspelling{type, std::string(keyword)};
    }
  }
  std::size_t best = word.size() < 5 ? 2 : 3;
  std::optional<Misspelling> nearest;
  for (const auto& [keyword, type] : kDeclKeywords) {
    const std::size_t distance = Distance(word, keyword.substr(0, keyword.find(' ')));
    if (distance >= best) continue;
    best = distance;
    nearest = Misspelling{type, std::string(keyword)};
  }
  return nearest;
}

std::vector<Muted> CheckBrackets(const Sources& sources, const Lexemes& tokens, Diagnostics& diagnostics) {
  return BracketPass(sources, tokens, diagnostics).Run();
}

}  // namespace amo::lang
