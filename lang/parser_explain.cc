// SPDX-License-Identifier: Apache-2.0
// The table of syntax mistakes and their messages. The first rule that recognizes the mistake writes the message.
#include "lang/parser_explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "lang/parser_walls.h"

namespace amo::lang {
namespace {

using L = AmoLexer;
using P = AmoParser;

struct Message {
  std::string text, help;
  std::optional<Span> span;  // default: the token that does not fit
};
using Answer = std::optional<Message>;

// ---- looking at the mistake

std::size_t TypeAt(const Mistake& m, std::size_t i) {
  return i < m.tokens.size() ? m.tokens[i].type : antlr4::Token::EOF;
}
std::size_t Found(const Mistake& m) { return TypeAt(m, m.at); }
std::size_t Next(const Mistake& m) { return TypeAt(m, m.at + 1); }
std::size_t Before(const Mistake& m) { return m.at > m.first ? TypeAt(m, m.at - 1) : antlr4::Token::INVALID_TYPE; }
bool InRule(const Mistake& m, std::size_t rule) {
  return std::find(m.rules.begin(), m.rules.end(), rule) != m.rules.end();
}
bool Expects(const Mistake& m, std::size_t type) { return m.expected.count(type) > 0; }

std::string Quoted(const Mistake& m, std::size_t i) {
  if (TypeAt(m, i) == antlr4::Token::EOF) return "the end of the file";
  return fmt::format("`{}`", m.tokens[i].text);
}
std::string FoundText(const Mistake& m) { return Quoted(m, m.at); }
std::string BeforeText(const Mistake& m) { return Quoted(m, m.at - 1); }

bool IsBinaryOperator(std::size_t type) {
  return (type >= L::PLUS && type <= L::GT) || type == L::K_AND || type == L::K_OR;
}

// Nothing can follow the token without an operand between.
bool AsksForOperand(std::size_t type) {
  return IsBinaryOperator(type) || type == L::EQUAL || type == L::TILDE || type == L::LPAREN || type == L::LBRACK ||
         type == L::COMMA || type == L::COLON || type == L::SEMICOLON || type == L::DOTS || type == L::K_IF ||
         type == L::K_THEN || type == L::K_ELSE || type == L::K_NOT || type == L::K_MINIMIZE || type == L::K_MAXIMIZE ||
         type == L::K_FIND || type == L::K_LOSS || type == L::K_IN || type == L::K_UNTIL || type == L::K_FROM;
}

// The innermost bracket that is open at the mistake, or none.
std::optional<std::size_t> OpenBracket(const Mistake& m) {
  std::size_t closed = 0;
  for (std::size_t i = m.at; i-- > m.first;) {
    const std::size_t type = m.tokens[i].type;
    if (type == L::RPAREN || type == L::RBRACK) ++closed;
    if ((type == L::LPAREN || type == L::LBRACK) && closed-- == 0) return i;
  }
  return std::nullopt;
}

// Whether `type` stands between the mistake and the end of its bracket, at the same level.
bool Ahead(const Mistake& m, std::size_t type) {
  std::size_t open = 0;
  for (std::size_t i = m.at; i < m.tokens.size() && !BeginsDecl(m.tokens, i); ++i) {
    const std::size_t t = m.tokens[i].type;
    if (t == L::LPAREN || t == L::LBRACK) ++open;
    if ((t == L::RPAREN || t == L::RBRACK) && open-- == 0) return false;
    if (open == 0 && t == type) return true;
  }
  return false;
}

// Whether `type` stands between the start and the mistake, outside brackets that are closed there.
bool Holds(const Mistake& m, std::size_t type) {
  const std::size_t begin = OpenBracket(m).value_or(m.first);
  std::size_t open = 0;
  for (std::size_t i = begin + 1; i < m.at; ++i) {
    const std::size_t t = m.tokens[i].type;
    if (t == L::LPAREN || t == L::LBRACK) ++open;
    if ((t == L::RPAREN || t == L::RBRACK) && open > 0) --open;
    if (open == 0 && t == type) return true;
  }
  return false;
}

// ---- the mistakes

struct Foreign {
  std::string_view text, message;
};

constexpr Foreign kForeign[] = {
    {";", "amo has no semicolons: a declaration ends where the next one starts"},
    {"{", "amo has no braces: a declaration ends where the next one starts"},
    {"}", "amo has no braces: a declaration ends where the next one starts"},
    {"**", "the power is written `^`"},
    {"--", "`--` is read as a slip: write `- -x`, or one `-`"},
    {"++", "`++` is read as a slip: write one `+`"},
    {"&&", "`&&` is written `and`"},
    {"||", "`||` is written `or`; the absolute value is `abs(x)`, the norm is `norm2(x)`"},
    {"&", "`&` is written `and`"},
    {"|", "the absolute value is `abs(x)`, the norm is `norm2(x)`"},
    {"!", "`!` is written `not`"},
    {":=", "`:=` is written `=`"},
    {"=>", "`=>` is written `>=`"},
    {"=<", "`=<` is written `<=`"},
    {"<>", "`<>` is written `!=`"},
    {"===", "`===` is written `==`"},
    {"+=", "there is no `+=`: an `update` writes the whole new value"},
    {"-=", "there is no `-=`: an `update` writes the whole new value"},
    {"*=", "there is no `*=`: an `update` writes the whole new value"},
    {"//", "a comment starts with `#`"},
    {"\\", "a linear system is solved by `linsolve(A, b)`"},
    {"@", "the product of matrices is written `*`"},
    {"?", "a choice is written `if c then a else b`"},
    {"$", "`$` has no meaning in amo"},
    {"\u2264", "`\u2264` is written `<=`"},
    {"\u2265", "`\u2265` is written `>=`"},
    {"\u2260", "`\u2260` is written `!=`"},
    {"\u2212", "this minus sign is written `-`"},
    {"\u00D7", "`\u00D7` is written `*`"},
    {"\u00B7", "`\u00B7` is written `*`, or `dot(a, b)`"},
    {"\u2208", "`\u2208` is written `in`"},
    {"\u2032", "this prime is written `'`"},
    {"\u223C", "`\u223C` is written `~`"},
    {"\u2192", "`\u2192` is written `->`"},
    {"\u00B2", "the power is written `^2`"},
    {"\u00B3", "the power is written `^3`"},
    {"\u2211", "`\u2211` is written `sum(i in n: \u2026)`"},
    {"\u221A", "`\u221A` is written `sqrt(x)`"},
    {"\u201C", "a string takes straight double quotes: \"\u2026\""},
    {"\u201D", "a string takes straight double quotes: \"\u2026\""},
    {"\u2018", "a string takes straight double quotes: \"\u2026\""},
    {"\u2019", "the transpose is written `'`"},
};

Answer ForeignToken(const Mistake& m) {
  const std::string_view text = m.tokens[m.at].text;
  switch (Found(m)) {
    case L::SEMICOLON:
      if (OpenBracket(m)) return std::nullopt;  // `net(t; w)`
      [[fallthrough]];
    case L::FOREIGN:
      for (const Foreign& foreign : kForeign) {
        if (foreign.text == text) return Message{std::string(foreign.message), {}, {}};
      }
      return std::nullopt;
    case L::OTHER:
      return Message{fmt::format("`{}` has no meaning in amo", text), {}, {}};
    case L::OPEN_STRING:
      return Message{"the string is never closed: expected `\"` before the end of the line", {}, {}};
    case L::GLUED: {
      const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
      const std::string_view number = text.substr(0, digits), rest = text.substr(digits);
      if (rest.starts_with("_"))
        return Message{"the digits of a number are not grouped", "write `1000000` or `1e6`", {}};
      if (rest.size() == 1 && (rest == "e" || rest == "E")) {
        return Message{fmt::format("expected digits after `{}`, as in `{}3`", text, text), {}, {}};
      }
      return Message{fmt::format("expected an operator between `{}` and `{}`", number, rest),
                     fmt::format("a product is written `{} * {}`", number, rest),
                     {}};
    }
    default:
      return std::nullopt;
  }
}

Answer PointWithoutDigit(const Mistake& m) {
  const char* help = "a number has a digit on both sides of its point: `1.0`, `0.5`";
  if (Found(m) == L::DOT && Next(m) == L::NUMBER) return Message{"expected a digit before the point", help, {}};
  if (Found(m) == L::DOT && Before(m) == L::NUMBER) return Message{"expected a digit after the point", help, {}};
  return std::nullopt;
}

Answer QuoteForString(const Mistake& m) {
  const std::size_t before = Before(m);
  const bool wants_operand = AsksForOperand(before) || before == L::K_USE;
  if (Found(m) != L::PRIME || !wants_operand) return std::nullopt;
  return Message{"a string takes double quotes: \"\u2026\"", {}, {}};
}

// The place of a name that is declared: after `let`, `variable a,` …
bool WantsName(const Mistake& m) {
  if (m.rules.empty() || m.complete) return false;
  const std::size_t before = Before(m);
  if (m.at == m.first + 1 && !AsksForOperand(before)) return Expects(m, L::NAME) || before == L::K_MODEL;
  return before == L::COMMA && Expects(m, L::NAME) && !Expects(m, L::NUMBER);
}

Answer KeywordAsName(const Mistake& m) {
  if (!IsHardWord(Found(m)) || Found(m) == L::K_TRUE || Found(m) == L::K_FALSE || Found(m) == L::K_IF)
    return std::nullopt;
  const bool names = Next(m) == L::EQUAL || Next(m) == L::COLON || Next(m) == L::COMMA || Next(m) == L::LPAREN ||
                     Next(m) == L::LBRACK || m.at == m.first + 1;
  const bool declared = WantsName(m) && names && !m.tokens[m.at].first_on_line;
  const bool used = AsksForOperand(Before(m)) && IsDeclKeyword(Found(m)) && !m.tokens[m.at].first_on_line &&
                    !IsNameLike(Next(m)) && !StartsOperand(Next(m));
  const bool item = m.in_constraint && m.at == m.first;
  if (!declared && !used && !item) return std::nullopt;
  return Message{fmt::format("{} is a keyword: choose another name", FoundText(m)), {}, {}};
}

Answer EqualInRelation(const Mistake& m) {
  if (Found(m) != L::EQUAL) return std::nullopt;
  const std::size_t keyword = TypeAt(m, m.first);
  const bool in_formula = m.in_constraint || keyword == L::K_FIND || OpenBracket(m).has_value() || m.complete;
  if (!in_formula || !EndsOperand(Before(m))) return std::nullopt;
  if (m.in_constraint && m.at == m.first + 1) return std::nullopt;
  return Message{"`=` defines a name; an equation is written `==`", {}, {}};
}

Answer DefinitionWithoutLet(const Mistake& m) {
  const bool starts = m.complete || (m.in_constraint && m.at == m.first + 1 && Found(m) == L::EQUAL);
  if (!starts) return std::nullopt;
  const std::size_t name = m.complete ? m.at : m.first;
  if (!IsNameLike(TypeAt(m, name)) || TypeAt(m, name + 1) != L::EQUAL) return std::nullopt;
  if (TypeAt(m, m.first) == L::K_TRAIN) return std::nullopt;
  if (!m.tokens[name].first_on_line && Holds(m, L::K_WHERE)) {
    return Message{fmt::format("expected `,` between definitions, before {}", FoundText(m)), {}, {}};
  }
  return Message{
      fmt::format("a definition starts with `let`: `let {} = \u2026`", m.tokens[name].text), {}, m.tokens[name].span};
}

Answer FunctionByLet(const Mistake& m) {
  if (TypeAt(m, m.first) != L::K_LET || m.at != m.first + 2 || Found(m) != L::LPAREN) return std::nullopt;
  return Message{
      fmt::format("a function is declared by `function`: `function {}(x : real) = \u2026`", m.tokens[m.first + 1].text),
      {},
      m.tokens[m.first].span};
}

Answer ConstraintWithoutName(const Mistake& m) {
  if (!m.in_constraint || m.complete) return std::nullopt;
  const bool at_start = m.at <= m.first + 1 || InRule(m, P::RuleQuantifier);
  if (!at_start || Found(m) == antlr4::Token::EOF || BeginsDecl(m.tokens, m.at)) return std::nullopt;
  std::string text(m.tokens[m.first].text);
  return Message{fmt::format("a constraint needs a name: `NAME: {} \u2026`", text), {}, m.tokens[m.first].span};
}

Answer ForInComprehension(const Mistake& m) {
  if (Found(m) != L::NAME || m.tokens[m.at].text != "for" || !OpenBracket(m)) return std::nullopt;
  return Message{"a comprehension puts its index first: `sum(i in n: \u2026)`", {}, {}};
}

Answer IndexWithoutIn(const Mistake& m) {
  if (!EndsOperand(Before(m)) || !StartsOperand(Found(m)) || m.at < 2) return std::nullopt;
  const std::size_t two_before = TypeAt(m, m.at - 2);
  const bool at_item = two_before == L::LPAREN || two_before == L::LBRACK || two_before == L::COMMA;
  if (!at_item || !IsNameLike(Before(m)) || !OpenBracket(m) || !Ahead(m, L::COLON)) return std::nullopt;
  const std::string_view index = m.tokens[m.at - 1].text;
  return Message{fmt::format("expected `in` between the index `{}` and {}", index, FoundText(m)),
                 fmt::format("as in `sum({} in {}: \u2026)`", index, m.tokens[m.at].text),
                 {}};
}

Answer IfAsOperand(const Mistake& m) {
  if (Found(m) != L::K_IF || !IsBinaryOperator(Before(m))) return std::nullopt;
  return Message{fmt::format("an `if` inside an expression needs parentheses: `\u2026 {} (if c then a else b)`",
                             m.tokens[m.at - 1].text),
                 {},
                 {}};
}

Answer SliceByColon(const Mistake& m) {
  const std::optional<std::size_t> open = OpenBracket(m);
  if (Found(m) != L::COLON || !open || TypeAt(m, *open) != L::LBRACK || *open == m.first) return std::nullopt;
  if (!EndsOperand(TypeAt(m, *open - 1))) return std::nullopt;
  return Message{"a slice is written `a[lo..hi]`", {}, {}};
}

Answer ComprehensionInIndex(const Mistake& m) {
  const std::optional<std::size_t> open = OpenBracket(m);
  if (Found(m) != L::K_IN || !open || TypeAt(m, *open) != L::LBRACK || *open == m.first) return std::nullopt;
  const Lexeme& callee = m.tokens[*open - 1];
  if (!IsNameLike(callee.type)) return std::nullopt;
  return Message{fmt::format("a comprehension takes parentheses: `{}({} in \u2026: \u2026)`", callee.text,
                             m.tokens[m.at - 1].text),
                 {},
                 m.tokens[*open].span};
}

Answer ComprehensionWithoutColon(const Mistake& m) {
  if (!OpenBracket(m) || !Holds(m, L::K_IN) || Holds(m, L::COLON)) return std::nullopt;
  if (!EndsOperand(Before(m)) || !StartsOperand(Found(m)) || Found(m) == L::MINUS) return std::nullopt;
  return Message{fmt::format("expected `:` between the index and what is computed for it, before {}", FoundText(m)),
                 "as in `sum(i in n: x[i])`",
                 {}};
}

Answer MissingOperand(const Mistake& m) {
  if (m.complete || WantsName(m) || !AsksForOperand(Before(m))) return std::nullopt;
  const bool in_expression = m.expected.empty() || Expects(m, L::NUMBER) || Before(m) == L::LPAREN;
  if (!in_expression || (StartsOperand(Found(m)) && !BeginsDecl(m.tokens, m.at))) return std::nullopt;
  return Message{fmt::format("expected an expression after {}, found {}", BeforeText(m), FoundText(m)), {}, {}};
}

Answer MissingName(const Mistake& m) {
  if (!WantsName(m)) return std::nullopt;
  return Message{fmt::format("expected a name after {}, found {}", BeforeText(m), FoundText(m)), {}, {}};
}

Answer TrainSetting(const Mistake& m) {
  if (TypeAt(m, m.first) != L::K_TRAIN || m.complete || OpenBracket(m)) return std::nullopt;
  // The next declaration's keyword was taken for the key: `train` stands alone.
  const std::size_t key = m.at - 1;
  if (key > m.first && BeginsDecl(m.tokens, key)) {
    return Message{fmt::format("expected a setting after {}, found {}", Quoted(m, key - 1), Quoted(m, key)),
                   "a setting is written `steps = 1000`", m.tokens[key].span};
  }
  if (Before(m) == L::COLON || m.at == m.first + 1) {
    return Message{fmt::format("expected a setting after {}, found {}", BeforeText(m), FoundText(m)),
                   "a setting is written `steps = 1000`",
                   {}};
  }
  if (!IsNameLike(Before(m)) || Found(m) == L::EQUAL) return std::nullopt;
  if (Holds(m, L::EQUAL) && TypeAt(m, m.at - 2) != L::COMMA) return std::nullopt;
  return Message{fmt::format("expected `=` after {}, found {}", BeforeText(m), FoundText(m)), {}, {}};
}

Answer SettingWithoutComma(const Mistake& m) {
  if (Next(m) != L::EQUAL || !EndsOperand(Before(m))) return std::nullopt;
  if (!IsNameLike(Found(m)) && !IsHardWord(Found(m))) return std::nullopt;
  const std::size_t keyword = TypeAt(m, m.first);
  const bool in_call = OpenBracket(m).has_value();
  if (!in_call && (keyword != L::K_TRAIN || !m.complete)) return std::nullopt;
  const char* what = in_call ? "arguments" : "settings";
  return Message{fmt::format("expected `,` between {}, before {}", what, FoundText(m)), {}, {}};
}

Answer RefinementWithoutThen(const Mistake& m) {
  const std::size_t keyword = TypeAt(m, m.first);
  if ((keyword != L::K_MODEL && keyword != L::K_SOLVE) || !m.complete || Found(m) != L::NAME) return std::nullopt;
  if (m.tokens[m.at].first_on_line && Next(m) != L::LPAREN) return std::nullopt;
  return Message{fmt::format("a refinement follows `then`: `\u2026 then {}`", m.tokens[m.at].text), {}, {}};
}

Answer ElseMissing(const Mistake& m) {
  if (!Expects(m, L::K_ELSE) && !Expects(m, L::K_THEN)) return std::nullopt;
  if (!InRule(m, P::RuleExpr) || StartsOperand(Found(m))) return std::nullopt;
  const char* word = Expects(m, L::K_ELSE) ? "else" : "then";
  return Message{fmt::format("expected `{}` after {}, found {}", word, BeforeText(m), FoundText(m)),
                 "a choice is written `if c then a else b`",
                 {}};
}

Answer WordOutOfPlace(const Mistake& m) {
  if (!m.complete) return std::nullopt;
  switch (Found(m)) {
    case L::K_WHERE:
      return Message{"`where` belongs to an expression; here the definition needs a `let` of its own", {}, {}};
    case L::K_THEN:
      return Message{"`then` adds a refinement to `model` or `solve`, or belongs to an `if`", {}, {}};
    case L::K_ELSE:
      return Message{"`else` has no `if`", {}, {}};
    case L::K_IN:
      return Message{"`in` names the set of a declared value, or makes a constraint of an expression", {}, {}};
    case L::K_FROM:
    case L::TILDE:
      return Message{fmt::format("{} has no place here: the declaration is whole before it", FoundText(m)), {}, {}};
    case L::K_AMO:
      if (Next(m) == L::NUMBER) return Message{"`amo 1` stands on the first line only", {}, {}};
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

Answer CommaBetween(const Mistake& m) {
  if (!m.complete || Found(m) != L::COMMA) return std::nullopt;
  if (m.in_constraint) return Message{"constraints have no `,` between them: each starts with its name", {}, {}};
  if (TypeAt(m, m.first) == L::K_LET) return Message{"each definition has a `let` of its own", {}, {}};
  return std::nullopt;
}

Answer BoundOnVariable(const Mistake& m) {
  const std::size_t found = Found(m);
  if (TypeAt(m, m.first) != L::K_VARIABLE || !m.complete || found < L::EQ || found > L::GT) return std::nullopt;
  return Message{"a bound on a variable is a set: `in box(lo, hi)`, `in nonnegative`", {}, {}};
}

// `hidden r mnist`: only names so far, and the declaration would be whole without the rest.
Answer OriginWithoutSign(const Mistake& m) {
  const std::size_t keyword = TypeAt(m, m.first);
  if (!m.complete || (keyword != L::K_CONTEXT && keyword != L::K_HIDDEN)) return std::nullopt;
  for (std::size_t i = m.first + 1; i < m.at; ++i) {
    if (!IsNameLike(TypeAt(m, i)) && TypeAt(m, i) != L::COMMA) return std::nullopt;
  }
  if (m.tokens[m.at].first_on_line) return std::nullopt;
  return Message{
      fmt::format("expected `:`, `=`, `~` or `from` after {}, found {}", BeforeText(m), FoundText(m)), {}, {}};
}

Answer NotADeclaration(const Mistake& m) {
  const bool operand = IsNameLike(Found(m)) || Found(m) == L::NUMBER || Found(m) == L::STRING || Found(m) == L::LPAREN;
  if (!m.complete || !m.tokens[m.at].first_on_line || !operand) return std::nullopt;
  return Message{fmt::format("{} starts no declaration", FoundText(m)),
                 "a declaration starts with a keyword such as `let`, `variable`, `minimize`",
                 {}};
}

Answer MissingOperator(const Mistake& m) {
  if (!EndsOperand(Before(m)) || !StartsOperand(Found(m)) || IsHardWord(Found(m))) return std::nullopt;
  // What is asked for is something else than an operator, unless it is the end of the bracket.
  const bool at_end = Expects(m, L::RPAREN) || Expects(m, L::RBRACK);
  if (!m.complete && !m.expected.empty() && !Expects(m, L::PLUS) && !at_end && m.expected.size() < 4)
    return std::nullopt;
  const std::size_t keyword = TypeAt(m, m.first);
  if (keyword == L::K_PROBLEM || keyword == L::K_VARIANT || keyword == L::K_USE) return std::nullopt;
  const char* what = OpenBracket(m) ? "`,` or an operator" : "an operator";
  return Message{
      fmt::format("expected {} between {} and {}", what, BeforeText(m), FoundText(m)), "a product is written `*`", {}};
}

// ---- what remains: "expected A or B after P, found T"

std::string Shown(std::size_t type) {
  switch (type) {
    case L::NAME:
      return "a name";
    case L::NUMBER:
      return "a number";
    case L::STRING:
      return "a string";
    case antlr4::Token::EOF:
      return "";
    default:
      break;
  }
  static antlr4::ANTLRInputStream nothing;
  const std::string literal = AmoLexer(&nothing).getVocabulary().getLiteralName(type);  // 'let', with its quotes
  return literal == "'\\''" ? "`'`" : fmt::format("`{}`", literal.substr(1, literal.size() - 2));
}

Message Expected(const Mistake& m) {
  std::vector<std::string> names;
  const bool operand = Expects(m, L::NUMBER) && Expects(m, L::LPAREN) && Expects(m, L::NAME);
  const bool operators = Expects(m, L::PLUS) && Expects(m, L::STAR);
  if (operand) names.push_back("an expression");
  if (operators) names.push_back("an operator");
  // Signs before words: "expected `=`, `~` or `from`".
  std::vector<std::size_t> order(m.expected.begin(), m.expected.end());
  std::stable_partition(order.begin(), order.end(), [](std::size_t type) { return !IsHardWord(type); });
  for (const std::size_t type : order) {
    if (operand && StartsOperand(type)) continue;
    if (operators &&
        (IsBinaryOperator(type) || type == L::PRIME || type == L::LPAREN || type == L::LBRACK || type == L::DOT))
      continue;
    if (IsDeclKeyword(type) || (type != L::NAME && IsNameLike(type) && Expects(m, L::NAME))) continue;
    if (const std::string shown = Shown(type); !shown.empty()) names.push_back(shown);
  }
  const std::string where = m.at > 0 ? fmt::format(" after {}", BeforeText(m)) : "";
  if (names.empty() || names.size() > 4) { return {fmt::format("{} does not fit{}", FoundText(m), where), {}, {}}; }
  std::string list = names[0];
  for (std::size_t i = 1; i < names.size(); ++i) list += (i + 1 == names.size() ? " or " : ", ") + names[i];
  return {fmt::format("expected {}{}, found {}", list, where, FoundText(m)), {}, {}};
}

using Rule = Answer (*)(const Mistake&);
constexpr Rule kRules[] = {
    ForeignToken,    PointWithoutDigit,    QuoteForString,      FunctionByLet,         TrainSetting,
    KeywordAsName,   DefinitionWithoutLet, EqualInRelation,     ConstraintWithoutName, ForInComprehension,
    IndexWithoutIn,  IfAsOperand,          SliceByColon,        ComprehensionInIndex,  ComprehensionWithoutColon,
    MissingOperand,  MissingName,          SettingWithoutComma, RefinementWithoutThen, ElseMissing,
    WordOutOfPlace,  CommaBetween,         BoundOnVariable,     OriginWithoutSign,     NotADeclaration,
    MissingOperator,
};

}  // namespace

void Explain(const Mistake& mistake, std::set<std::string>& reported_words, Diagnostics& diagnostics) {
  Span span = mistake.tokens[mistake.at].span;
  // The end of the file is reported behind the last token, not on an empty line further down.
  if (Found(mistake) == antlr4::Token::EOF && mistake.at > 0)
    span.begin = span.end = mistake.tokens[mistake.at - 1].span.end;
  for (const Rule rule : kRules) {
    const Answer answer = rule(mistake);
    if (!answer) continue;
    if (rule == KeywordAsName && !reported_words.insert(std::string(mistake.tokens[mistake.at].text)).second) return;
    diagnostics.Error(Code::kSyntax, answer->span.value_or(span), answer->text).Help(answer->help);
    return;
  }
  const Message message = Expected(mistake);
  diagnostics.Error(Code::kSyntax, span, message.text).Help(message.help);
}

}  // namespace amo::lang
