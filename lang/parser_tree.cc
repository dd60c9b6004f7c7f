// SPDX-License-Identifier: Apache-2.0
// Declarations: one function for each kind, from ANTLR's tree to the node of ast.h.
#include "lang/parser_tree.h"

#include <utility>

namespace amo::lang {
namespace {

using P = AmoParser;

bool StartsWith(antlr4::ParserRuleContext* tree, std::size_t type) { return tree->getStart()->getType() == type; }

}  // namespace

Decl TreeBuilder::ToDecl(P::DeclarationContext* tree) {
  broken_ = too_high_ = false;
  Decl decl{SpanOf(tree), SpanOf(tree->getStart()), false, ToNode(tree)};
  decl.broken = broken_;
  return decl;
}

std::optional<Constraint> TreeBuilder::ToConstraint(P::ConstraintContext* tree) {
  broken_ = too_high_ = false;
  Constraint constraint;
  constraint.name = Word(tree->constraintName());
  if (P::QuantifierContext* quantifier = tree->quantifier()) {
    for (P::LoopContext* loop : quantifier->loop()) constraint.index.push_back(ToLoop(loop));
    constraint.condition = Any(quantifier->expr());
  }
  constraint.relation = ToRelation(tree->relation());
  constraint.span = SpanOf(tree);
  if (broken_) return std::nullopt;
  return constraint;
}

DeclNode TreeBuilder::ToNode(P::DeclarationContext* tree) {
  auto* one = static_cast<antlr4::ParserRuleContext*>(tree->children[0]);
  switch (one->getRuleIndex()) {
    case P::RuleProblemDecl: {
      auto* d = tree->problemDecl();
      std::string doc;
      if (d->STRING() != nullptr) {
        const std::string_view text = tokens_[d->STRING()->getSymbol()->getTokenIndex()].text;
        doc = text.substr(1, text.size() - 2);
      }
      return ProblemDecl{Word(d->name()), doc};
    }
    case P::RuleVariantDecl:
      return VariantDecl{Word(tree->variantDecl()->name())};
    case P::RuleUseDecl: {
      const Lexeme& token = tokens_[tree->useDecl()->STRING()->getSymbol()->getTokenIndex()];
      return UseDecl{std::string(token.text.substr(1, token.text.size() - 2)), token.span};
    }
    case P::RuleDimDecl:
      return DimDecl{Word(tree->dimDecl()->name()), Body(tree->dimDecl()->body())};
    case P::RuleConstDecl: {
      auto* d = tree->constDecl();
      return ToValue(ValueKind::kConst, d->names(), d->indices(), d->type(), nullptr, d->origin());
    }
    case P::RuleValueDecl: {
      auto* d = tree->valueDecl();
      const ValueKind kind = StartsWith(d, P::K_DATA) ? ValueKind::kData : ValueKind::kParameter;
      return ToValue(kind, d->names(), d->indices(), d->type(), d->membership(), d->origin());
    }
    case P::RuleContextDecl: {
      auto* d = tree->contextDecl();
      const ValueKind kind = StartsWith(d, P::K_CONTEXT) ? ValueKind::kContext : ValueKind::kHidden;
      return ToValue(kind, d->names(), d->indices(), d->type(), d->membership(), d->origin());
    }
    case P::RuleVariableDecl: {
      auto* d = tree->variableDecl();
      return ToValue(ValueKind::kVariable, d->names(), d->indices(), d->type(), d->membership(), nullptr);
    }
    case P::RuleRandomDecl: {
      auto* d = tree->randomDecl();
      DeclNode node = ToValue(ValueKind::kRandom, d->names(), d->indices(), d->type(), nullptr, nullptr);
      std::get<ValueDecl>(node).origin = ValueDecl::Origin::kDrawn;
      std::get<ValueDecl>(node).value = Body(d->body());
      return node;
    }
    case P::RuleNetworkDecl:
      return ToNetwork(tree->networkDecl());
    case P::RuleFunctionDecl:
      return ToFunction(tree->functionDecl());
    case P::RuleSetDecl:
      return ToSet(tree->setDecl());
    case P::RuleLetDecl:
      return ToLet(tree->letDecl());
    case P::RuleObjectiveDecl: {
      auto* d = tree->objectiveDecl();
      return ObjectiveDecl{StartsWith(d, P::K_MAXIMIZE), Body(d->body())};
    }
    case P::RuleFindDecl:
      return FindDecl{ToRelation(tree->findDecl()->relation())};
    case P::RuleUpdateDecl:
      return ToUpdate(tree->updateDecl());
    case P::RuleModelDecl: {
      auto* d = tree->modelDecl();
      if (StartsWith(d, P::K_MODEL)) return ModelDecl{ToStages(d->stages())};
      return SolveDecl{ToStages(d->stages())};
    }
    case P::RuleLossDecl:
      return ToLoss(tree->lossDecl());
    case P::RuleTrainDecl:
      return ToTrain(tree->trainDecl());
    case P::RuleReportDecl:
      return ReportDecl{Word(tree->reportDecl()->name()), Body(tree->reportDecl()->body())};
    case P::RuleNextDecl: {
      auto* d = tree->nextDecl();
      return NextDecl{Word(d->name()), Body(d->body()), Any(d->expr())};
    }
    default:
      return SubjectDecl{};  // `subject to` is read constraint by constraint, see parser.cc
  }
}

DeclNode TreeBuilder::ToValue(ValueKind kind, P::NamesContext* names, P::IndicesContext* index, P::TypeContext* type,
                              P::MembershipContext* set, P::OriginContext* origin) {
  ValueDecl decl;
  decl.kind = kind;
  decl.names = Names(names);
  decl.index = Indices(index);
  decl.type = MaybeType(type);
  decl.set = Set(set);
  if (origin == nullptr) return decl;
  if (origin->source() != nullptr) {
    decl.origin = ValueDecl::Origin::kRead;
    decl.value = Source(origin->source());
  } else {
    decl.origin = StartsWith(origin, P::TILDE) ? ValueDecl::Origin::kDrawn : ValueDecl::Origin::kComputed;
    decl.value = Body(origin->body());
  }
  return decl;
}

DeclNode TreeBuilder::ToNetwork(P::NetworkDeclContext* tree) {
  NetworkDecl decl;
  decl.name = Word(tree->name());
  decl.index = Indices(tree->indices());
  decl.params = Params(tree->params());
  decl.result = Type(tree->type());
  decl.body = Builder(tree->builder());
  decl.source = Source(tree->source());
  return decl;
}

DeclNode TreeBuilder::ToFunction(P::FunctionDeclContext* tree) {
  return FunctionDecl{Word(tree->name()), Params(tree->params()), MaybeType(tree->type()), Body(tree->body())};
}

DeclNode TreeBuilder::ToSet(P::SetDeclContext* tree) {
  const std::vector<P::NameContext*> names = tree->name();
  SetDecl decl{Word(names[0]), Params(tree->params()), std::nullopt};
  if (tree->body() != nullptr) decl.project = ProjectRule{Word(names[1]), Body(tree->body())};
  return decl;
}

DeclNode TreeBuilder::ToLet(P::LetDeclContext* tree) {
  return LetDecl{Word(tree->name()), Indices(tree->indices()), MaybeType(tree->type()), Body(tree->body())};
}

DeclNode TreeBuilder::ToUpdate(P::UpdateDeclContext* tree) {
  const std::vector<P::BodyContext*> bodies = tree->body();
  UpdateDecl decl{Word(tree->name()), Indices(tree->indices()), MaybeType(tree->type()), Body(bodies[0]), nullptr};
  if (bodies.size() == 2) decl.from = Body(bodies[1]);
  return decl;
}

DeclNode TreeBuilder::ToLoss(P::LossDeclContext* tree) {
  return LossDecl{Owners(tree->owners()), Body(tree->body()), Builder(tree->builder())};
}

DeclNode TreeBuilder::ToTrain(P::TrainDeclContext* tree) {
  TrainDecl decl;
  decl.owners = Owners(tree->owners());
  for (P::SettingContext* setting : tree->setting()) {
    decl.settings.push_back({Word(setting->word()), Any(setting->expr())});
  }
  return decl;
}

Stages TreeBuilder::ToStages(P::StagesContext* tree) {
  Stages stages;
  stages.builder = Builder(tree->builder());
  for (P::DefinitionContext* prediction : tree->definition()) stages.predictions.push_back(ToDefinition(prediction));
  if (tree->where() != nullptr) {  // belongs to the prediction before it, which is the last one
    ExprPtr& last = stages.predictions.back().value;
    last = WithDefinitions(std::move(last), tree->where());
  }
  for (P::OverContext* over : tree->over()) {
    stages.over.push_back({Word(over->name()), Type(over->type()), Set(over->membership()), Any(over->expr())});
  }
  for (P::ThenContext* then : tree->then()) stages.refinements.push_back(Builder(then->builder()));
  return stages;
}

Relation TreeBuilder::ToRelation(P::RelationContext* tree) {
  return {Chain(tree->sum(), tree->relop()), Set(tree->membership())};
}

std::vector<Ident> TreeBuilder::Owners(P::OwnersContext* tree) {
  std::vector<Ident> owners;
  if (tree == nullptr) return owners;
  for (P::OwnerContext* owner : tree->owner()) owners.push_back(Word(owner));
  return owners;
}

std::vector<Param> TreeBuilder::Params(P::ParamsContext* tree) {
  std::vector<Param> params;
  if (tree == nullptr) return params;
  for (P::ParamContext* param : tree->param()) params.push_back({Word(param->name()), Type(param->type())});
  return params;
}

std::vector<Ident> TreeBuilder::Names(P::NamesContext* tree) {
  std::vector<Ident> names;
  for (P::NameContext* name : tree->name()) names.push_back(Word(name));
  return names;
}

}  // namespace amo::lang
