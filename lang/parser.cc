// SPDX-License-Identifier: Apache-2.0
// The driver: reads a file declaration by declaration, so that good declarations survive bad ones, and explains each
// mistake once. ANTLR's own recovery is off; walls (parser_walls.h) are where parsing starts anew.
#include "lang/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "lang/name.h"
#include "lang/parser_explain.h"
#include "lang/parser_tree.h"
#include "lang/parser_walls.h"
#include "lang/syntax.h"
#include "lang/text.h"

namespace amo::lang {
namespace {

using L = AmoLexer;

// Notes the first error and gives up; the driver goes on at the next wall.
class StopAtError final : public antlr4::DefaultErrorStrategy {
 public:
  void reset(antlr4::Parser*) override {}
  void sync(antlr4::Parser*) override {}
  void reportError(antlr4::Parser*, const antlr4::RecognitionException& error) override {
    at = error.getOffendingToken()->getTokenIndex();
  }
  void recover(antlr4::Parser* parser, std::exception_ptr) override { Stop(parser); }
  antlr4::Token* recoverInline(antlr4::Parser* parser) override {
    at = parser->getCurrentToken()->getTokenIndex();
    Stop(parser);
  }

  std::size_t at = 0;
  std::vector<std::size_t> rules;
  std::set<std::size_t> expected;

 private:
  [[noreturn]] void Stop(antlr4::Parser* parser) {
    rules.clear();
    expected.clear();
    for (antlr4::RuleContext* context = parser->getContext(); context != nullptr;
         context = static_cast<antlr4::RuleContext*>(context->parent)) {
      rules.insert(rules.begin(), context->getRuleIndex());
    }
    // What is expected is known for the parser's own place only, not for the tokens it looked ahead to.
    if (parser->getCurrentToken()->getTokenIndex() == at) {
      for (const ssize_t type : parser->getExpectedTokens().toList()) {
        if (type > 0) expected.insert(static_cast<std::size_t>(type));
      }
    }
    throw antlr4::ParseCancellationException();
  }
};

class FileParser {
 public:
  FileParser(const Sources& sources, std::uint32_t source, ExprId& next_id, Diagnostics& diagnostics)
      : sources_(sources),
        lexed_(sources, source),
        tokens_(lexed_.visible()),
        parser_(&lexed_),
        strategy_(std::make_shared<StopAtError>()),
        builder_(tokens_, next_id, diagnostics),
        diagnostics_(diagnostics),
        reported_before_(diagnostics.all().size()) {
    file_.source = source;
    parser_.removeErrorListeners();
    parser_.setErrorHandler(strategy_);
  }

  File ParseFile() {
    if (IsTooLong()) return std::move(file_);
    at_ = Version();
    CorrectKeywords();
    muted_ = CheckBrackets(sources_, tokens_, diagnostics_);
    while (!AtEnd() && !IsHopeless()) {
      if (IsDeclStart(at_)) {
        Declaration();
      } else {
        Stray(at_ == 0 ? 0 : at_ - 1);
      }
    }
    return std::move(file_);
  }

  ExprPtr ParseExpression() {
    if (IsTooLong()) return nullptr;
    muted_ = CheckBrackets(sources_, tokens_, diagnostics_);
    if (!muted_.empty()) return nullptr;
    ExprPtr e;
    if (!Try(0, false, [&] { e = builder_.Body(parser_.expression()->body()); })) return nullptr;
    return e;
  }

 private:
  bool AtEnd() const { return at_ + 1 >= tokens_.size(); }
  std::size_t TypeAt(std::size_t i) const { return tokens_[std::min(i, tokens_.size() - 1)].type; }

  // A keyword at a place where a declaration is expected; looser than BeginsDecl, which holds anywhere.
  bool IsDeclStart(std::size_t i) const {
    const std::size_t type = TypeAt(i);
    return IsDeclKeyword(type) || ((type == L::K_SOLVE || type == L::K_NEXT) && TypeAt(i + 1) != L::EQUAL);
  }

  bool IsHopeless() const { return diagnostics_.all().size() >= reported_before_ + kMaxMistakes; }

  bool IsTooLong() {
    if (!lexed_.cut()) return false;
    diagnostics_
        .Error(Code::kEncoding, {0, 0, file_.source}, fmt::format("the file has more than {} tokens", kMaxTokens))
        .Help("keep numbers in a data file: `data NAME : TYPE from \"FILE\"`");
    return true;
  }

  std::size_t Version() {
    if (TypeAt(0) != L::K_AMO || TypeAt(1) != L::NUMBER) return 0;
    if (tokens_[1].text != "1") {
      diagnostics_.Error(Code::kSyntax, tokens_[1].span,
                         fmt::format("this amo reads version 1 of the language, not {}", tokens_[1].text));
    }
    return 2;
  }

  // A misspelt keyword that is followed by an operand is one wherever it stands: two names never stand side by side.
  void CorrectKeywords() {
    for (std::size_t i = at_; i + 1 < tokens_.size() && !IsHopeless(); ++i) {
      const std::size_t next = TypeAt(i + 1);
      const bool beside = IsNameLike(next) || next == L::NUMBER || next == L::STRING;
      if (tokens_[i].type == L::NAME && tokens_[i].first_on_line && beside && !tokens_[i + 1].first_on_line) Correct(i);
    }
  }

  bool Correct(std::size_t i) {
    const std::optional<Misspelling> meant = NearKeyword(tokens_, i);
    if (!meant) return false;
    diagnostics_.Error(Code::kSyntax, tokens_[i].span,
                       fmt::format("`{}` starts no declaration: did you mean `{}`?", tokens_[i].text, meant->keyword));
    lexed_.Retype(i, meant->type);
    return true;
  }

  const Muted* MutedAt(std::size_t i) const {
    const auto after =
        std::upper_bound(muted_.begin(), muted_.end(), i, [](std::size_t at, const Muted& m) { return at < m.begin; });
    return after != muted_.begin() && i < std::prev(after)->end ? &*std::prev(after) : nullptr;
  }

  // Runs one rule of the grammar from `first` on; on a mistake explains it and leaves at_ there.
  template <class Rule>
  bool Try(std::size_t first, bool in_constraint, Rule rule) {
    parser_.reset();
    lexed_.seek(first);
    try {
      rule();
      at_ = lexed_.index();
      return true;
    } catch (const antlr4::ParseCancellationException&) {
      at_ = strategy_->at;
      Report(first, in_constraint, false);
      return false;
    }
  }

  void Report(std::size_t first, bool in_constraint, bool complete) {
    Mistake mistake{tokens_, first, at_, complete, in_constraint, {}, {}};
    if (!complete) {
      mistake.rules = strategy_->rules;
      mistake.expected = strategy_->expected;
    }
    Explain(mistake, reported_words_, diagnostics_);
  }

  void Declaration() {
    const std::size_t first = at_;
    if (const Muted* muted = MutedAt(first); muted != nullptr && TypeAt(first) != L::K_SUBJECT) {
      at_ = std::max(muted->end, first + 1);
      file_.decls.push_back(Broken(first, at_));
      return;
    }
    if (TypeAt(first) == L::K_SUBJECT) return Constraints();
    Decl decl;
    if (!Try(first, false, [&] { decl = builder_.ToDecl(parser_.declaration()); })) {
      const std::size_t end = Resume(first);
      file_.decls.push_back(Broken(first, end));
      at_ = end;
      return;
    }
    file_.decls.push_back(std::move(decl));
    if (AtEnd() || IsDeclStart(at_)) return;
    // What follows is no declaration. On the same line it belongs to the one before, which is then not whole.
    if (!tokens_[at_].first_on_line) file_.decls.back().broken = true;
    Stray(first);
  }

  // A token where a declaration should begin: explains it and goes to the next wall.
  void Stray(std::size_t first) {
    if (tokens_[at_].type == L::NAME && tokens_[at_].first_on_line && TypeAt(at_ + 1) != L::EQUAL && Correct(at_))
      return;
    if (const Muted* muted = MutedAt(at_)) {
      at_ = muted->end;
      return;
    }
    Report(first, false, true);
    // `b = 3 * x` lacks its keyword: its name is declared, or every use of it would be a mistake too.
    if (tokens_[at_].type == L::NAME && TypeAt(at_ + 1) == L::EQUAL) {
      const Ident name{NormalizeName(tokens_[at_].text), tokens_[at_].span};
      file_.decls.push_back({name.span, name.span, true, LetDecl{name, {}, std::nullopt, nullptr}});
    }
    at_ = NextWall(at_ + 1);
  }

  // Where to go on after a mistake inside the declaration or constraint at `first`.
  std::size_t Resume(std::size_t first) const { return NextWall(std::max(at_, first + 1)); }

  std::size_t NextWall(std::size_t i) const {
    if (i >= tokens_.size() || BeginsDecl(tokens_, i)) return std::min(i, tokens_.size() - 1);
    return WallAfter(tokens_, i);
  }

  // ---- `subject to`, constraint by constraint

  void Constraints() {
    const std::size_t first = at_;
    SubjectDecl good, bad;
    const bool misspelt = tokens_[first].text != "subject";  // `constraints`: no `to` follows
    at_ = first + 1;
    if (TypeAt(at_) == L::K_TO) {
      ++at_;
    } else if (!misspelt) {
      diagnostics_.Error(Code::kSyntax, tokens_[first].span, "expected `to` after `subject`");
    }
    const std::size_t start = at_;
    std::size_t end = at_;
    // A keyword before `:` is meant as a constraint's name, which is then reported.
    while (!AtEnd() && (!IsDeclStart(at_) || TypeAt(at_ + 1) == L::COLON)) {
      if (at_ > start && tokens_[at_].type == L::NAME && !BeginsItem(tokens_, at_) && TypeAt(at_ + 1) != L::EQUAL &&
          tokens_[at_].first_on_line && Correct(at_)) {
        break;
      }
      if (at_ > start && !IsConstraintStart(at_)) {
        Stray(first);
        break;
      }
      OneConstraint(good, bad);
      end = at_;
    }
    if (at_ == start && (AtEnd() || IsDeclStart(at_))) {
      diagnostics_.Error(Code::kSyntax, tokens_[first].span, "expected a constraint after `subject to`")
          .Help("a constraint has a name: `NAME: y <= 1`");
    }
    const Span span = Join(tokens_[first].span, tokens_[std::max(end, first + 1) - 1].span);
    if (!good.constraints.empty()) file_.decls.push_back({span, tokens_[first].span, false, std::move(good)});
    if (!bad.constraints.empty()) file_.decls.push_back({span, tokens_[first].span, true, std::move(bad)});
  }

  bool IsConstraintStart(std::size_t i) const { return IsNameLike(TypeAt(i)) && TypeAt(i + 1) != L::EQUAL; }

  void OneConstraint(SubjectDecl& good, SubjectDecl& bad) {
    const std::size_t first = at_;
    const auto keep_name = [&] {
      if (!IsNameLike(TypeAt(first)) || (TypeAt(first + 1) != L::COLON && TypeAt(first + 1) != L::LBRACK)) return;
      Constraint constraint;
      constraint.name = {NormalizeName(tokens_[first].text), tokens_[first].span};
      constraint.span = tokens_[first].span;
      bad.constraints.push_back(std::move(constraint));
    };
    if (const Muted* muted = MutedAt(first)) {
      keep_name();
      at_ = std::max(muted->end, first + 1);
      return;
    }
    std::optional<Constraint> constraint;
    if (!Try(first, true, [&] { constraint = builder_.ToConstraint(parser_.constraint()); })) {
      keep_name();
      at_ = NextItem(std::max(at_, first + 1));
      return;
    }
    if (constraint) {
      good.constraints.push_back(std::move(*constraint));
    } else {
      keep_name();
    }
    if (AtEnd() || IsDeclStart(at_) || BeginsItem(tokens_, at_)) return;
    const bool starts_item = tokens_[at_].first_on_line || TypeAt(at_ + 1) == L::COLON || TypeAt(at_ + 1) == L::LBRACK;
    if (IsNameLike(TypeAt(at_)) && starts_item) return;  // the loop in Constraints judges it
    Report(first, true, true);
    at_ = NextItem(at_ + 1);
  }

  std::size_t NextItem(std::size_t i) const {
    for (; i + 1 < tokens_.size() && !BeginsDecl(tokens_, i); ++i) {
      if (BeginsItem(tokens_, i)) return i;
    }
    return i;
  }

  // ---- broken declarations: their names are declared, the rest is unknown

  Decl Broken(std::size_t first, std::size_t end) const {
    std::vector<Ident> names;
    for (std::size_t i = first + 1; i < end && IsNameLike(TypeAt(i)); i += 2) {
      names.push_back({NormalizeName(tokens_[i].text), tokens_[i].span});
      if (TypeAt(i + 1) != L::COMMA) break;
    }
    const Span span = Join(tokens_[first].span, tokens_[std::max(end, first + 1) - 1].span);
    return {span, tokens_[first].span, true, BrokenNode(TypeAt(first), std::move(names))};
  }

  static DeclNode BrokenNode(std::size_t type, std::vector<Ident> names) {
    const Ident name = names.empty() ? Ident{} : names[0];
    const auto value = [&](ValueKind kind) {
      ValueDecl decl;
      decl.kind = kind;
      decl.names = std::move(names);
      return decl;
    };
    switch (type) {
      case L::K_PROBLEM:
        return ProblemDecl{name, {}};
      case L::K_VARIANT:
        return VariantDecl{name};
      case L::K_USE:
        return UseDecl{};
      case L::K_DIM:
        return DimDecl{name, nullptr};
      case L::K_CONST:
        return value(ValueKind::kConst);
      case L::K_DATA:
        return value(ValueKind::kData);
      case L::K_PARAMETER:
        return value(ValueKind::kParameter);
      case L::K_HIDDEN:
        return value(ValueKind::kHidden);
      case L::K_CONTEXT:
        return value(ValueKind::kContext);
      case L::K_VARIABLE:
        return value(ValueKind::kVariable);
      case L::K_RANDOM:
        return value(ValueKind::kRandom);
      case L::K_NETWORK:
        return NetworkDecl{name, {}, {}, {}, nullptr, nullptr};
      case L::K_FUNCTION:
        return FunctionDecl{name, {}, std::nullopt, nullptr};
      case L::K_SET:
        return SetDecl{name, {}, std::nullopt};
      case L::K_LET:
        return LetDecl{name, {}, std::nullopt, nullptr};
      case L::K_MINIMIZE:
        return ObjectiveDecl{false, nullptr};
      case L::K_MAXIMIZE:
        return ObjectiveDecl{true, nullptr};
      case L::K_FIND:
        return FindDecl{};
      case L::K_UPDATE:
        return UpdateDecl{name, {}, std::nullopt, nullptr, nullptr};
      case L::K_MODEL:
        return ModelDecl{};
      case L::K_SOLVE:
        return SolveDecl{};
      case L::K_LOSS:
        return LossDecl{};
      case L::K_TRAIN:
        return TrainDecl{};
      case L::K_REPORT:
        return ReportDecl{name, nullptr};
      case L::K_NEXT:
        return NextDecl{name, nullptr, nullptr};
      default:
        return SubjectDecl{};
    }
  }

  const Sources& sources_;
  Lexed lexed_;
  const Lexemes& tokens_;
  AmoParser parser_;
  std::shared_ptr<StopAtError> strategy_;
  TreeBuilder builder_;
  Diagnostics& diagnostics_;
  const std::size_t reported_before_;
  std::vector<Muted> muted_;
  std::set<std::string> reported_words_;
  File file_;
  std::size_t at_ = 0;
};

}  // namespace

File Parse(const Sources& sources, std::uint32_t source, ExprId& next_id, Diagnostics& diagnostics) {
  if (!CheckText(sources, source, diagnostics)) return {source, 1, {}};
  return FileParser(sources, source, next_id, diagnostics).ParseFile();
}

ExprPtr ParseExpr(const Sources& sources, std::uint32_t source, ExprId& next_id, Diagnostics& diagnostics) {
  if (!CheckText(sources, source, diagnostics)) return nullptr;
  return FileParser(sources, source, next_id, diagnostics).ParseExpression();
}

}  // namespace amo::lang
