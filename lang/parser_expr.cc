// SPDX-License-Identifier: Apache-2.0
// Expressions: collapses ANTLR's one level for each precedence into the nodes of ast.h.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "lang/name.h"
#include "lang/parser_tree.h"

namespace amo::lang {
namespace {

// Bounds the stack that recursion over a tree needs, in this file and in all that read trees.
constexpr std::size_t kMaxHeight = 1000;

BinaryOp ToBinaryOp(std::size_t type) {
  switch (type) {
    case AmoParser::PLUS:
      return BinaryOp::kAdd;
    case AmoParser::MINUS:
      return BinaryOp::kSub;
    case AmoParser::STAR:
      return BinaryOp::kMul;
    case AmoParser::SLASH:
      return BinaryOp::kDiv;
    case AmoParser::PERCENT:
      return BinaryOp::kMod;
    case AmoParser::DOT_STAR:
      return BinaryOp::kElementMul;
    case AmoParser::DOT_SLASH:
      return BinaryOp::kElementDiv;
    case AmoParser::CARET:
      return BinaryOp::kPow;
    case AmoParser::DOT_CARET:
      return BinaryOp::kElementPow;
    case AmoParser::K_AND:
      return BinaryOp::kAnd;
    default:
      return BinaryOp::kOr;
  }
}

CompareOp ToCompareOp(std::size_t type) {
  switch (type) {
    case AmoParser::EQ:
      return CompareOp::kEq;
    case AmoParser::NE:
      return CompareOp::kNe;
    case AmoParser::LT:
      return CompareOp::kLt;
    case AmoParser::LE:
      return CompareOp::kLe;
    case AmoParser::GT:
      return CompareOp::kGt;
    default:
      return CompareOp::kGe;
  }
}

// The token at an odd child of `operand (operator operand)*`.
antlr4::Token* OperatorAt(antlr4::ParserRuleContext* tree, std::size_t i) {
  return static_cast<antlr4::tree::TerminalNode*>(tree->children[i])->getSymbol();
}

}  // namespace

template <class Node>
ExprPtr TreeBuilder::Make(Span span, std::size_t below, Node node) {
  auto e = std::make_unique<Expr>();
  e->id = next_id_++;
  e->span = span;
  if (below < kMaxHeight) {
    e->node = std::move(node);
  } else {
    if (!std::exchange(too_high_, true)) {
      diagnostics_.Error(Code::kNesting, span, fmt::format("more than {} operators in one expression", kMaxHeight))
          .Help("write `sum(i in n: …)`, or name parts of it with `let`");
    }
    broken_ = true;
    e->node = Number{0, true};
    below = 0;
  }
  heights_.push_back(static_cast<std::uint16_t>(below + 1));
  return e;
}

std::size_t TreeBuilder::Height(const std::vector<Binder>& binders) const {
  std::size_t height = 0;
  for (const Binder& b : binders) height = std::max({height, Height(b.lo), Height(b.hi), Height(b.value)});
  return height;
}

Span TreeBuilder::SpanOf(antlr4::ParserRuleContext* tree) const {
  return Join(SpanOf(tree->getStart()), SpanOf(tree->getStop()));
}

Ident TreeBuilder::Word(antlr4::ParserRuleContext* tree) {
  const Lexeme& token = tokens_[tree->getStart()->getTokenIndex()];
  return {NormalizeName(token.text), token.span};
}

void TreeBuilder::Mistake(Span span, std::string message, std::string help) {
  broken_ = true;
  diagnostics_.Error(Code::kSyntax, span, std::move(message)).Help(std::move(help));
}

ExprPtr TreeBuilder::ToBinary(BinaryOp op, Span op_span, ExprPtr left, ExprPtr right) {
  const Span span = Join(left->span, right->span);
  const std::size_t below = std::max(Height(left), Height(right));
  return Make(span, below, Binary{op, op_span, std::move(left), std::move(right)});
}

// ---- levels, loosest first

ExprPtr TreeBuilder::Body(P::BodyContext* tree) {
  if (tree == nullptr) return nullptr;
  return WithDefinitions(Any(tree->expr()), tree->where());
}

ExprPtr TreeBuilder::WithDefinitions(ExprPtr body, P::WhereContext* where) {
  if (where == nullptr) return body;
  std::vector<Definition> definitions = Definitions(where);
  std::size_t below = Height(body);
  for (const Definition& d : definitions) below = std::max({below, Height(d.value), Height(d.index)});
  const Span span = Join(body->span, SpanOf(where));
  return Make(span, below, Where{std::move(body), std::move(definitions)});
}

ExprPtr TreeBuilder::Any(P::ExprContext* tree) {
  if (tree == nullptr) return nullptr;
  if (P::DisjunctionContext* operand = tree->disjunction()) return Disjunction(operand);
  const std::vector<P::ExprContext*> parts = tree->expr();
  ExprPtr condition = Any(parts[0]), then = Any(parts[1]), otherwise = Any(parts[2]);
  const std::size_t below = std::max({Height(condition), Height(then), Height(otherwise)});
  return Make(SpanOf(tree), below, If{std::move(condition), std::move(then), std::move(otherwise)});
}

ExprPtr TreeBuilder::Disjunction(P::DisjunctionContext* tree) {
  const std::vector<P::ConjunctionContext*> operands = tree->conjunction();
  ExprPtr left = Conjunction(operands[0]);
  for (std::size_t i = 1; i < operands.size(); ++i) {
    const Span op = SpanOf(OperatorAt(tree, 2 * i - 1));
    left = ToBinary(BinaryOp::kOr, op, std::move(left), Conjunction(operands[i]));
  }
  return left;
}

ExprPtr TreeBuilder::Conjunction(P::ConjunctionContext* tree) {
  const std::vector<P::NegationContext*> operands = tree->negation();
  ExprPtr left = Negation(operands[0]);
  for (std::size_t i = 1; i < operands.size(); ++i) {
    const Span op = SpanOf(OperatorAt(tree, 2 * i - 1));
    left = ToBinary(BinaryOp::kAnd, op, std::move(left), Negation(operands[i]));
  }
  return left;
}

ExprPtr TreeBuilder::Negation(P::NegationContext* tree) {
  if (P::ComparisonContext* operand = tree->comparison()) return Chain(operand->sum(), operand->relop());
  ExprPtr operand = Negation(tree->negation());
  const std::size_t below = Height(operand);
  return Make(SpanOf(tree), below, Unary{UnaryOp::kNot, std::move(operand)});
}

ExprPtr TreeBuilder::Chain(const std::vector<P::SumContext*>& sums, const std::vector<P::RelopContext*>& ops) {
  ExprPtr first = Sum(sums[0]);
  if (ops.empty()) return first;
  std::size_t below = Height(first);
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    rest.emplace_back(ToCompareOp(ops[i]->getStart()->getType()), Sum(sums[i + 1]));
    below = std::max(below, Height(rest.back().second));
  }
  const Span span = Join(first->span, rest.back().second->span);
  return Make(span, below, Compare{std::move(first), std::move(rest)});
}

ExprPtr TreeBuilder::Sum(P::SumContext* tree) {
  const std::vector<P::TermContext*> operands = tree->term();
  ExprPtr left = Term(operands[0]);
  for (std::size_t i = 1; i < operands.size(); ++i) {
    antlr4::Token* op = OperatorAt(tree, 2 * i - 1);
    left = ToBinary(ToBinaryOp(op->getType()), SpanOf(op), std::move(left), Term(operands[i]));
  }
  return left;
}

ExprPtr TreeBuilder::Term(P::TermContext* tree) {
  const std::vector<P::FactorContext*> operands = tree->factor();
  ExprPtr left = Factor(operands[0]);
  for (std::size_t i = 1; i < operands.size(); ++i) {
    antlr4::Token* op = OperatorAt(tree, 2 * i - 1);
    left = ToBinary(ToBinaryOp(op->getType()), SpanOf(op), std::move(left), Factor(operands[i]));
  }
  return left;
}

ExprPtr TreeBuilder::Factor(P::FactorContext* tree) {
  if (P::PowerContext* operand = tree->power()) return Power(operand);
  ExprPtr operand = Factor(tree->factor());
  const std::size_t below = Height(operand);
  return Make(SpanOf(tree), below, Unary{UnaryOp::kNegate, std::move(operand)});
}

ExprPtr TreeBuilder::Power(P::PowerContext* tree) {
  ExprPtr base = Postfix(tree->postfix());
  if (tree->factor() == nullptr) return base;
  antlr4::Token* op = OperatorAt(tree, 1);
  return ToBinary(ToBinaryOp(op->getType()), SpanOf(op), std::move(base), Factor(tree->factor()));
}

// ---- operands

ExprPtr TreeBuilder::Postfix(P::PostfixContext* tree) {
  ExprPtr e;
  if (P::NameContext* name = tree->name()) {
    e = Make(SpanOf(name), 0, Name{Word(name)});
  } else if (P::BodyContext* body = tree->body()) {
    ExprPtr inner = Body(body);
    const std::size_t below = Height(inner);
    e = Make(Join(SpanOf(tree->LPAREN()->getSymbol()), SpanOf(tree->RPAREN()->getSymbol())), below,
             Paren{std::move(inner)});
  } else if (P::ArrayContext* array = tree->array()) {
    e = ToArray(array);
  } else {
    return Literal(tree);
  }
  for (antlr4::tree::ParseTree* child : tree->children) {
    auto* part = dynamic_cast<antlr4::ParserRuleContext*>(child);
    if (part == nullptr) continue;
    if (part->getRuleIndex() == P::RuleCallTail) {
      P::ArgumentsContext* arguments = static_cast<P::CallTailContext*>(part)->arguments();
      e = ToCall(std::move(e), arguments, SpanOf(part));
    } else if (part->getRuleIndex() == P::RuleTail) {
      e = WithTail(std::move(e), static_cast<P::TailContext*>(part));
    } else if (part->getRuleIndex() == P::RuleTransposed) {
      const std::size_t below = Height(e);
      const Span span = Join(e->span, SpanOf(part));
      e = Make(span, below, Transpose{std::move(e)});
    }
  }
  return e;
}

ExprPtr TreeBuilder::Literal(P::PostfixContext* tree) {
  const Lexeme& token = tokens_[tree->getStart()->getTokenIndex()];
  if (token.type == P::STRING)
    return Make(token.span, 0, String{std::string(token.text.substr(1, token.text.size() - 2))});
  if (token.type != P::NUMBER) return Make(token.span, 0, Boolean{token.type == P::K_TRUE});
  double value = 0;
  const auto result = std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
  // Out of range is too large or too small; a number that is too small is 0.
  if (result.ec == std::errc::result_out_of_range) {
    const std::size_t exponent = token.text.find_first_of("eE");
    const bool tiny = exponent != std::string_view::npos && token.text[exponent + 1] == '-';
    if (!tiny) Mistake(token.span, fmt::format("`{}` is larger than the largest number", token.text));
    value = 0;
  }
  return Make(token.span, 0, Number{value, token.text.find_first_of(".eE") == std::string_view::npos});
}

ExprPtr TreeBuilder::ToArray(P::ArrayContext* tree) {
  P::ComprehensionContext* comprehension = tree->comprehension();
  if (comprehension == nullptr) {
    std::vector<ExprPtr> items;
    std::size_t below = 0;
    for (P::ExprContext* item : tree->expr()) {
      items.push_back(Any(item));
      below = std::max(below, Height(items.back()));
    }
    return Make(SpanOf(tree), below, Array{std::move(items)});
  }
  std::vector<Binder> binders;
  for (P::BinderContext* binder : comprehension->binder()) {
    binders.push_back(ToBinder(binder));
    if (binders.back().kind == Binder::Kind::kInit) {
      Mistake(SpanOf(binder), fmt::format("an array has no state: `{}` is a start of `scan`", binders.back().name.text),
              "write `scan(z = START, t in n: …)`, or an index such as `i in n`");
    }
  }
  P::ClosingContext* closing = comprehension->closing();
  ExprPtr condition = Any(closing->expr()), body = Body(closing->body());
  const std::size_t below = std::max({Height(binders), Height(condition), Height(body)});
  return Make(SpanOf(tree), below, Comprehension{std::move(binders), std::move(condition), std::move(body)});
}

ExprPtr TreeBuilder::WithTail(ExprPtr base, P::TailContext* tail) {
  const Span span = Join(base->span, SpanOf(tail));
  std::size_t below = Height(base);
  if (tail->transposed() != nullptr) return Make(span, below, Transpose{std::move(base)});
  if (tail->word() != nullptr) return Make(span, below, Member{std::move(base), Word(tail->word())});
  std::vector<IndexItem> items;
  for (P::IndexContext* item : tail->index()) {
    items.push_back(ToIndexItem(item));
    below = std::max({below, Height(items.back().at), Height(items.back().lo), Height(items.back().hi)});
  }
  return Make(span, below, Index{std::move(base), std::move(items)});
}

IndexItem TreeBuilder::ToIndexItem(P::IndexContext* tree) {
  const Span span = SpanOf(tree);
  const std::vector<P::ExprContext*> bounds = tree->expr();
  if (tree->COLON() != nullptr) return {IndexItem::Kind::kAll, nullptr, nullptr, nullptr, span};
  if (tree->DOTS() == nullptr) return {IndexItem::Kind::kAt, Any(bounds[0]), nullptr, nullptr, span};
  IndexItem item{IndexItem::Kind::kRange, nullptr, nullptr, nullptr, span};
  if (tree->getStart()->getType() == P::DOTS) {
    item.hi = Any(bounds[0]);
  } else {
    item.lo = Any(bounds[0]);
    if (bounds.size() == 2) item.hi = Any(bounds[1]);
  }
  return item;
}

// ---- calls

ExprPtr TreeBuilder::ToCall(ExprPtr callee, P::ArgumentsContext* arguments, Span end) {
  const Span span = Join(callee->span, end);
  const Expr* called = callee.get();
  if (const auto* index = std::get_if<Index>(&called->node)) called = index->base.get();
  if (const auto* member = std::get_if<Member>(&called->node)) called = member->base.get();
  if (!std::holds_alternative<Name>(called->node)) {
    Mistake({end.begin, end.begin + 1, end.source}, "only a name is called",
            "an operator may be missing before `(`; what a call gives is called by a name of its own: `let f = …`");
  }
  std::vector<P::ItemsContext*> items;
  P::WeightsContext* weights = arguments == nullptr ? nullptr : arguments->weights();
  for (P::ItemsContext* item = arguments == nullptr ? nullptr : arguments->items(); item != nullptr;) {
    items.push_back(item);
    P::MoreContext* more = item->more();
    item = more == nullptr ? nullptr : more->items();
    if (more != nullptr && more->weights() != nullptr) weights = more->weights();
  }
  if (!items.empty() && items.back()->closing() != nullptr) return ToBinderCall(std::move(callee), items, span);

  std::size_t below = Height(callee);
  Call call{std::move(callee), {}, {}};
  for (P::ItemsContext* item : items) {
    Argument argument;
    P::BindableContext* bindable = item->bindable();
    if (bindable == nullptr) {
      argument.value = Any(item->expr());
    } else if (bindable->word() != nullptr) {
      argument.keyword = Word(bindable->word());
      argument.value = Any(bindable->expr());
    } else {
      const Span at = SpanOf(bindable);
      if (!broken_)
        Mistake({at.end, at.end + 1, at.source}, "expected `:` and what is to be computed for each index",
                "as in `sum(i in n: x[i])`");
      continue;
    }
    below = std::max(below, Height(argument.value));
    call.args.push_back(std::move(argument));
  }
  AddWeights(weights, call, below);
  return Make(span, below, std::move(call));
}

void TreeBuilder::AddWeights(P::WeightsContext* tree, Call& call, std::size_t& below) {
  if (tree == nullptr) return;
  for (P::ExprContext* e : tree->expr()) {
    call.weights.push_back(Any(e));
    below = std::max(below, Height(call.weights.back()));
  }
}

ExprPtr TreeBuilder::ToBinderCall(ExprPtr callee, const std::vector<P::ItemsContext*>& items, Span span) {
  BinderCall call;
  if (const auto* name = std::get_if<Name>(&callee->node)) {
    call.callee = name->name;
  } else if (!broken_) {
    Mistake(callee->span, "only a name takes a comprehension", "as in `sum(i in n: x[i])`");
  }
  bool loops = false;
  for (P::ItemsContext* item : items) {
    P::BindableContext* bindable = item->bindable();
    if (bindable == nullptr) {
      Mistake(SpanOf(item->expr()), "a comprehension holds indices only: expected one such as `i in n`");
    } else if (P::LoopingContext* looping = bindable->looping()) {
      call.binders.push_back(ToLooping(looping));
      loops = true;
    } else {
      Binder start{Binder::Kind::kInit, Word(bindable->word()), nullptr, nullptr, std::nullopt, Any(bindable->expr())};
      call.binders.push_back(std::move(start));
    }
  }
  if (!loops && !broken_) Mistake(span, "a comprehension needs an index such as `i in n` before its `:`");
  P::ClosingContext* closing = items.back()->closing();
  call.condition = Any(closing->expr());
  call.body = Body(closing->body());
  const std::size_t below = std::max({Height(call.binders), Height(call.condition), Height(call.body)});
  return Make(span, below, std::move(call));
}

ExprPtr TreeBuilder::Builder(P::BuilderContext* tree) {
  if (tree == nullptr) return nullptr;
  ExprPtr name = Make(SpanOf(tree->name()), 0, Name{Word(tree->name())});
  if (tree->LPAREN() == nullptr) return name;
  const Span end = Join(SpanOf(tree->LPAREN()->getSymbol()), SpanOf(tree->RPAREN()->getSymbol()));
  return ToCall(std::move(name), tree->arguments(), end);
}

ExprPtr TreeBuilder::Source(P::SourceContext* tree) {
  if (tree == nullptr) return nullptr;
  ExprPtr e = Builder(tree->builder());
  if (e == nullptr) {
    const Lexeme& token = tokens_[tree->getStart()->getTokenIndex()];
    e = Make(token.span, 0, String{std::string(token.text.substr(1, token.text.size() - 2))});
  }
  for (P::WordContext* word : tree->word()) {
    const std::size_t below = Height(e);
    const Span span = Join(e->span, SpanOf(word));
    e = Make(span, below, Member{std::move(e), Word(word)});
  }
  return e;
}

ExprPtr TreeBuilder::Set(P::MembershipContext* tree) { return tree == nullptr ? nullptr : Sum(tree->sum()); }

// ---- binders, definitions, types

Binder TreeBuilder::ToLoop(P::LoopContext* tree) {
  const std::vector<P::SumContext*> bounds = tree->sum();
  Binder binder{Binder::Kind::kIn, Word(tree->name()), nullptr, nullptr, std::nullopt, nullptr};
  if (bounds.size() == 2) binder.lo = Sum(bounds[0]);
  binder.hi = Sum(bounds.back());
  return binder;
}

Binder TreeBuilder::ToLooping(P::LoopingContext* tree) {
  if (P::LoopContext* loop = tree->loop()) return ToLoop(loop);
  return {Binder::Kind::kDraw, Word(tree->name()), nullptr, nullptr, Type(tree->type()), Any(tree->expr())};
}

Binder TreeBuilder::ToBinder(P::BinderContext* tree) {
  if (P::LoopingContext* looping = tree->looping()) return ToLooping(looping);
  return {Binder::Kind::kInit, Word(tree->name()), nullptr, nullptr, std::nullopt, Any(tree->expr())};
}

std::vector<Binder> TreeBuilder::Indices(P::IndicesContext* tree) {
  std::vector<Binder> binders;
  if (tree == nullptr) return binders;
  for (P::LoopContext* loop : tree->loop()) binders.push_back(ToLoop(loop));
  return binders;
}

Definition TreeBuilder::ToDefinition(P::DefinitionContext* tree) {
  return {Word(tree->name()), Indices(tree->indices()), Any(tree->expr())};
}

std::vector<Definition> TreeBuilder::Definitions(P::WhereContext* tree) {
  std::vector<Definition> definitions;
  for (P::DefinitionContext* d : tree->definition()) definitions.push_back(ToDefinition(d));
  return definitions;
}

TypeExpr TreeBuilder::Type(P::TypeContext* tree) {
  TypeExpr type{Word(tree->name()), {}, SpanOf(tree)};
  for (P::ExprContext* dim : tree->expr()) type.dims.push_back(Any(dim));
  return type;
}

std::optional<TypeExpr> TreeBuilder::MaybeType(P::TypeContext* tree) {
  if (tree == nullptr) return std::nullopt;
  return Type(tree);
}

}  // namespace amo::lang
