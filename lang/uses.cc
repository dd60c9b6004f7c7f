// SPDX-License-Identifier: Apache-2.0
// One walk over expressions that knows which names are bound where.
#include "lang/uses.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "lang/builtins.h"
#include "lang/factors.h"

namespace amo::lang {
namespace {

const Ident* CalleeName(const Expr& callee) {
  if (const auto* name = std::get_if<Name>(&callee.node)) return &name->name;
  if (const auto* index = std::get_if<Index>(&callee.node)) return CalleeName(*index->base);
  if (const auto* member = std::get_if<Member>(&callee.node)) return CalleeName(*member->base);
  return nullptr;
}

class Walker {
 public:
  explicit Walker(const OnUse& on_use) : on_use_(on_use) {}

  void Visit(const ExprPtr& e) {
    if (e != nullptr) Visit(*e);
  }

  void Visit(const Expr& e) {
    std::visit(Overload{
                   [](const Number&) {},
                   [](const String&) {},
                   [](const Boolean&) {},
                   [&](const Name& node) { Report(node.name, Use::Kind::kValue, nullptr); },
                   [&](const Member& node) { Visit(node.base); },
                   [&](const Index& node) { VisitIndex(node, nullptr); },
                   [&](const Transpose& node) { Visit(node.base); },
                   [&](const Call& node) { VisitCall(node); },
                   [&](const BinderCall& node) {
                     const std::size_t before = bound_.size();
                     VisitBinders(node.binders);
                     Visit(node.condition);
                     Visit(node.body);
                     bound_.resize(before);
                   },
                   [&](const Array& node) {
                     for (const ExprPtr& item : node.items) Visit(item);
                   },
                   [&](const Comprehension& node) {
                     const std::size_t before = bound_.size();
                     VisitBinders(node.binders);
                     Visit(node.condition);
                     Visit(node.body);
                     bound_.resize(before);
                   },
                   [&](const Unary& node) { Visit(node.operand); },
                   [&](const Binary& node) {
                     Visit(node.left);
                     Visit(node.right);
                   },
                   [&](const Compare& node) {
                     Visit(node.first);
                     for (const auto& operand : node.rest) Visit(operand.second);
                   },
                   [&](const If& node) {
                     Visit(node.condition);
                     Visit(node.then);
                     Visit(node.otherwise);
                   },
                   [&](const Where& node) {
                     const std::size_t before = bound_.size();
                     VisitDefinitions(node.definitions);
                     Visit(node.body);
                     bound_.resize(before);
                   },
                   [&](const Paren& node) { Visit(node.inner); },
               },
               e.node);
  }

  void VisitSet(const ExprPtr& e) {
    if (e != nullptr) VisitSet(*e);
  }

  void VisitSet(const Expr& e) {
    if (IsProduct(e)) {
      for (const SetFactor& factor : FactorsOf(e)) {
        VisitSet(*factor.set);
        if (factor.size != nullptr) Visit(*factor.size);
      }
    } else if (const auto* name = std::get_if<Name>(&e.node)) {
      Report(name->name, Use::Kind::kSet, nullptr);
    } else if (const auto* call = std::get_if<Call>(&e.node)) {
      if (const Ident* name = CalleeName(*call->callee)) Report(*name, Use::Kind::kSet, call);
      for (const Argument& argument : call->args) Visit(argument.value);
    } else if (const auto* paren = std::get_if<Paren>(&e.node)) {
      VisitSet(paren->inner);
    } else {
      Visit(e);
    }
  }

  void VisitDistribution(const Expr& e) {
    if (const auto* where = std::get_if<Where>(&e.node)) {
      const std::size_t before = bound_.size();
      VisitDefinitions(where->definitions);
      VisitDistribution(*where->body);
      bound_.resize(before);
      return;
    }
    const auto* call = std::get_if<Call>(&e.node);
    if (call == nullptr) {
      if (!std::holds_alternative<Name>(e.node)) Visit(e);
      return;
    }
    const Ident* name = CalleeName(*call->callee);
    const bool of_set = name != nullptr && name->text == "uniform" && call->args.size() == 1;
    const bool of_network = name != nullptr && name->text == "init";
    const bool outer = std::exchange(shape_only_, shape_only_ || of_network);
    for (const Argument& argument : call->args) of_set ? VisitSet(argument.value) : Visit(argument.value);
    shape_only_ = outer;
  }

  void VisitBinders(const std::vector<Binder>& binders) {
    for (const Binder& binder : binders) {
      Visit(binder.lo);
      Visit(binder.hi);
      if (binder.type) VisitType(*binder.type);
      if (binder.value != nullptr)
        binder.kind == Binder::Kind::kDraw ? VisitDistribution(*binder.value) : Visit(binder.value);
      bound_.push_back(binder.name.text);
    }
  }

  // Every name of a `where` is bound in all of it.
  void VisitDefinitions(const std::vector<Definition>& definitions) {
    for (const Definition& definition : definitions) bound_.push_back(definition.name.text);
    for (const Definition& definition : definitions) VisitDefinition(definition);
  }

  void VisitDefinition(const Definition& definition) {
    const std::size_t before = bound_.size();
    VisitBinders(definition.index);
    Visit(definition.value);
    bound_.resize(before);
  }

  void VisitType(const TypeExpr& type) {
    for (const ExprPtr& dim : type.dims) Visit(dim);
  }

  void VisitStages(const Stages& stages) {
    if (stages.builder != nullptr) VisitBuilder(*stages.builder);
    for (const Over& over : stages.over) {
      VisitType(over.type);
      VisitSet(over.set);
      Visit(over.from);
    }
    const std::size_t before = bound_.size();
    for (const Over& over : stages.over) bound_.push_back(over.name.text);
    for (const Definition& prediction : stages.predictions) VisitDefinition(prediction);
    bound_.resize(before);
    for (const ExprPtr& refinement : stages.refinements) VisitBuilder(*refinement);
  }

  // Builders, layers, refinements, estimators, gradient modes: their own names are words, their arguments are not.
  void VisitBuilder(const Expr& e) {
    const auto* call = std::get_if<Call>(&e.node);
    if (call == nullptr) {
      if (!std::holds_alternative<Name>(e.node)) Visit(e);
      return;
    }
    const Ident* name = CalleeName(*call->callee);
    const Builtin* builtin = nullptr;
    for (const Space space :
         {Space::kBuilder, Space::kLayer, Space::kRefinement, Space::kGradient, Space::kEstimator}) {
      if (name != nullptr && builtin == nullptr) builtin = FindBuiltin(space, name->text);
    }
    const bool is_chain = name != nullptr && name->text == "chain";
    for (std::size_t i = 0; i < call->args.size(); ++i) {
      const Argument& argument = call->args[i];
      const Parameter* param = nullptr;
      if (builtin != nullptr && argument.keyword) param = FindParameter(builtin->params, argument.keyword->text);
      if (builtin != nullptr && !argument.keyword && i < builtin->params.size()) param = &builtin->params[i];
      const bool is_word =
          param != nullptr && (param->accepts == Accepts::kActivation || param->accepts == Accepts::kGradient ||
                               param->accepts == Accepts::kWord);
      is_chain || is_word ? VisitBuilder(*argument.value) : Visit(argument.value);
    }
  }

  void Bind(const std::string& name) { bound_.push_back(name); }

  void VisitParams(const std::vector<Param>& params) {
    for (const Param& param : params) VisitType(param.type);
    for (const Param& param : params) bound_.push_back(param.name.text);
  }

 private:
  void Report(const Ident& name, Use::Kind kind, const Call* call) {
    if (kind == Use::Kind::kValue && std::find(bound_.begin(), bound_.end(), name.text) != bound_.end()) return;
    on_use_({name.text, name.span, kind, call, shape_only_, averaged_, constant_});
  }

  void VisitIndex(const Index& node, const Call* call) {
    if (const auto* name = std::get_if<Name>(&node.base->node)) {
      Report(name->name, Use::Kind::kValue, call);
    } else {
      Visit(node.base);
    }
    for (const IndexItem& item : node.items) {
      Visit(item.at);
      Visit(item.lo);
      Visit(item.hi);
    }
  }

  void VisitCall(const Call& node) {
    const Ident* name = CalleeName(*node.callee);
    if (const auto* index = std::get_if<Index>(&node.callee->node)) {
      VisitIndex(*index, &node);
    } else if (name != nullptr) {
      Report(*name, Use::Kind::kValue, &node);
    }
    const std::string_view callee = name == nullptr ? "" : std::string_view(name->text);
    const bool outer_shape = std::exchange(shape_only_, shape_only_ || callee == "weights");
    const bool outer_average = std::exchange(averaged_, averaged_ || callee == "expect");
    const bool outer_constant = std::exchange(constant_, constant_ || callee == "stop");
    for (std::size_t i = 0; i < node.args.size(); ++i) {
      const ExprPtr& value = node.args[i].value;
      if (callee == "project" && i == 1) {
        VisitSet(value);
      } else if (callee == "violation") {
        VisitConstraintName(value);
      } else {
        Visit(value);
      }
    }
    for (const ExprPtr& weights : node.weights) Visit(weights);
    shape_only_ = outer_shape;
    averaged_ = outer_average;
    constant_ = outer_constant;
  }

  void VisitConstraintName(const ExprPtr& e) {
    if (const auto* name = std::get_if<Name>(&e->node)) {
      Report(name->name, Use::Kind::kConstraint, nullptr);
    } else if (const auto* index = std::get_if<Index>(&e->node)) {
      VisitConstraintName(index->base);
      for (const IndexItem& item : index->items) Visit(item.at);
    } else {
      Visit(e);
    }
  }

  const OnUse& on_use_;
  std::vector<std::string> bound_;
  bool shape_only_ = false, averaged_ = false, constant_ = false;
};

void VisitValue(Walker& walker, const ValueDecl& d) {
  if (d.type) walker.VisitType(*d.type);
  walker.VisitSet(d.set);
  walker.VisitBinders(d.index);
  if (d.value == nullptr) return;
  d.origin == ValueDecl::Origin::kDrawn ? walker.VisitDistribution(*d.value) : walker.Visit(d.value);
}

void VisitConstraint(Walker walker, const Constraint& constraint) {
  walker.VisitBinders(constraint.index);
  walker.Visit(constraint.condition);
  walker.Visit(constraint.relation.value);
  walker.VisitSet(constraint.relation.set);
}

}  // namespace

void VisitUses(const Expr& expr, const OnUse& on_use) { Walker(on_use).Visit(expr); }
void VisitSetUses(const Expr& set, const OnUse& on_use) { Walker(on_use).VisitSet(set); }
void VisitDistributionUses(const Expr& distribution, const OnUse& on_use) {
  Walker(on_use).VisitDistribution(distribution);
}
void VisitUses(const TypeExpr& type, const OnUse& on_use) { Walker(on_use).VisitType(type); }
void VisitUses(const Constraint& constraint, const OnUse& on_use) { VisitConstraint(Walker(on_use), constraint); }
void VisitUses(const Stages& stages, const OnUse& on_use) { Walker(on_use).VisitStages(stages); }
void VisitRefinementUses(const Expr& refinement, const OnUse& on_use) { Walker(on_use).VisitBuilder(refinement); }
void VisitUses(const Relation& relation, const OnUse& on_use) {
  Walker walker(on_use);
  walker.Visit(relation.value);
  walker.VisitSet(relation.set);
}

void VisitUses(const Decl& decl, const OnUse& on_use) {
  Walker walker(on_use);
  std::visit(Overload{
                 [](const ProblemDecl&) {},
                 [](const VariantDecl&) {},
                 [](const UseDecl&) {},
                 [&](const DimDecl& d) { walker.Visit(d.value); },
                 [&](const ValueDecl& d) { VisitValue(walker, d); },
                 [&](const NetworkDecl& d) {
                   walker.VisitBinders(d.index);
                   walker.VisitParams(d.params);
                   walker.VisitType(d.result);
                   if (d.body != nullptr) walker.VisitBuilder(*d.body);
                   if (d.source != nullptr && !std::holds_alternative<Call>(d.source->node)) walker.Visit(d.source);
                 },
                 [&](const FunctionDecl& d) {
                   walker.VisitParams(d.params);
                   if (d.result) walker.VisitType(*d.result);
                   walker.Visit(d.body);
                 },
                 [&](const SetDecl& d) {
                   walker.VisitParams(d.params);
                   if (d.project) walker.Bind(d.project->argument.text);
                   if (d.project) walker.Visit(d.project->body);
                 },
                 [&](const LetDecl& d) {
                   if (d.type) walker.VisitType(*d.type);
                   walker.VisitBinders(d.index);
                   walker.Visit(d.value);
                 },
                 [&](const ObjectiveDecl& d) { walker.Visit(d.value); },
                 [&](const FindDecl& d) {
                   walker.Visit(d.relation.value);
                   walker.VisitSet(d.relation.set);
                 },
                 [&](const SubjectDecl& d) {
                   for (const Constraint& constraint : d.constraints) VisitConstraint(walker, constraint);
                 },
                 [&](const UpdateDecl& d) {
                   if (d.type) walker.VisitType(*d.type);
                   walker.Visit(d.from);
                   walker.VisitBinders(d.index);
                   walker.Visit(d.value);
                 },
                 [&](const ModelDecl& d) { walker.VisitStages(d.stages); },
                 [&](const SolveDecl& d) { walker.VisitStages(d.stages); },
                 [&](const LossDecl& d) {
                   walker.Visit(d.value);
                   if (d.estimator != nullptr) walker.VisitBuilder(*d.estimator);
                 },
                 [&](const TrainDecl& d) {
                   for (const Setting& setting : d.settings) walker.Visit(setting.value);
                 },
                 [&](const ReportDecl& d) { walker.Visit(d.value); },
                 [&](const NextDecl& d) {
                   walker.Visit(d.value);
                   walker.Visit(d.until);
                 },
             },
             decl.node);
}

}  // namespace amo::lang
