// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_PARSER_TREE_H_
#define AMO_LANG_PARSER_TREE_H_

#include <optional>
#include <vector>

#include "lang/ast.h"
#include "lang/diagnostic.h"
#include "lang/syntax.h"

// From ANTLR's parse trees to the syntax tree, and the few mistakes that only show when a tree is built. Private to
// the parser. Expressions are in parser_expr.cc, declarations in parser_tree.cc.
namespace amo::lang {

class TreeBuilder {
 public:
  TreeBuilder(const std::vector<Lexeme>& tokens, ExprId& next_id, Diagnostics& diagnostics)
      : tokens_(tokens), next_id_(next_id), first_id_(next_id), diagnostics_(diagnostics) {}

  // Decl::broken is set when a mistake was reported inside.
  Decl ToDecl(AmoParser::DeclarationContext* tree);
  std::optional<Constraint> ToConstraint(
      AmoParser::ConstraintContext* tree);     // none when a mistake was reported inside
  ExprPtr Body(AmoParser::BodyContext* tree);  // null gives null

 private:
  using P = AmoParser;

  // ---- declarations
  DeclNode ToValue(ValueKind kind, P::NamesContext* names, P::IndicesContext* index, P::TypeContext* type,
                   P::MembershipContext* set, P::OriginContext* origin);
  DeclNode ToNetwork(P::NetworkDeclContext* tree);
  DeclNode ToFunction(P::FunctionDeclContext* tree);
  DeclNode ToSet(P::SetDeclContext* tree);
  DeclNode ToLet(P::LetDeclContext* tree);
  DeclNode ToUpdate(P::UpdateDeclContext* tree);
  DeclNode ToLoss(P::LossDeclContext* tree);
  DeclNode ToTrain(P::TrainDeclContext* tree);
  DeclNode ToNode(P::DeclarationContext* tree);
  Stages ToStages(P::StagesContext* tree);
  Relation ToRelation(P::RelationContext* tree);
  std::vector<Ident> Owners(P::OwnersContext* tree);
  std::vector<Param> Params(P::ParamsContext* tree);
  std::vector<Ident> Names(P::NamesContext* tree);

  // ---- expressions; every function accepts null and gives null
  ExprPtr Any(P::ExprContext* tree);
  ExprPtr Disjunction(P::DisjunctionContext* tree);
  ExprPtr Conjunction(P::ConjunctionContext* tree);
  ExprPtr Negation(P::NegationContext* tree);
  ExprPtr Sum(P::SumContext* tree);
  ExprPtr Term(P::TermContext* tree);
  ExprPtr Factor(P::FactorContext* tree);
  ExprPtr Power(P::PowerContext* tree);
  ExprPtr Postfix(P::PostfixContext* tree);
  ExprPtr Literal(P::PostfixContext* tree);
  ExprPtr ToArray(P::ArrayContext* tree);
  ExprPtr Source(P::SourceContext* tree);
  ExprPtr Builder(P::BuilderContext* tree);
  ExprPtr Set(P::MembershipContext* tree);
  ExprPtr Chain(const std::vector<P::SumContext*>& sums, const std::vector<P::RelopContext*>& ops);

  ExprPtr ToCall(ExprPtr callee, P::ArgumentsContext* arguments, Span end);
  ExprPtr ToBinderCall(ExprPtr callee, const std::vector<P::ItemsContext*>& items, Span span);
  void AddWeights(P::WeightsContext* tree, Call& call, std::size_t& below);
  ExprPtr WithTail(ExprPtr base, P::TailContext* tail);
  ExprPtr WithDefinitions(ExprPtr body, P::WhereContext* where);
  Definition ToDefinition(P::DefinitionContext* tree);
  std::vector<Definition> Definitions(P::WhereContext* tree);
  Binder ToLoop(P::LoopContext* tree);
  Binder ToLooping(P::LoopingContext* tree);
  Binder ToBinder(P::BinderContext* tree);
  std::vector<Binder> Indices(P::IndicesContext* tree);
  IndexItem ToIndexItem(P::IndexContext* tree);
  TypeExpr Type(P::TypeContext* tree);
  std::optional<TypeExpr> MaybeType(P::TypeContext* tree);

  // ---- making nodes
  // `below` counts the levels below. A tree that is too high is reported, and a number stands for it.
  template <class Node>
  ExprPtr Make(Span span, std::size_t below, Node node);
  std::size_t Height(const ExprPtr& e) const { return e == nullptr ? 0 : heights_[e->id - first_id_]; }
  std::size_t Height(const std::vector<Binder>& binders) const;
  ExprPtr ToBinary(BinaryOp op, Span op_span, ExprPtr left, ExprPtr right);
  Ident Word(antlr4::ParserRuleContext* tree);
  Span SpanOf(antlr4::ParserRuleContext* tree) const;
  Span SpanOf(antlr4::Token* token) const { return tokens_[token->getTokenIndex()].span; }
  void Mistake(Span span, std::string message, std::string help = {});

  const std::vector<Lexeme>& tokens_;
  ExprId& next_id_;
  const ExprId first_id_;
  Diagnostics& diagnostics_;
  std::vector<std::uint16_t> heights_;  // by ExprId - first_id_
  bool too_high_ = false;               // reported already
  bool broken_ = false;                 // a mistake was reported in the declaration that is being built
};

}  // namespace amo::lang

#endif  // AMO_LANG_PARSER_TREE_H_
