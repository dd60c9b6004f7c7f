// SPDX-License-Identifier: Apache-2.0
// Who moves what is learned: everything learned that is reached has exactly one loss.
#include <fmt/format.h>

#include <algorithm>

#include "lang/checker.h"

namespace amo::lang {
namespace {

const Ident* NameOfCallee(const Expr& expr) {
  if (const auto* name = std::get_if<Name>(&expr.node)) return &name->name;
  if (const auto* call = std::get_if<Call>(&expr.node)) return NameOfCallee(*call->callee);
  return nullptr;
}

bool IsSlow(const NetworkDecl& network) {
  const Ident* name = network.body == nullptr ? nullptr : NameOfCallee(*network.body);
  return name != nullptr && name->text == "slow";
}

const ValueDecl* AsParameter(const Decl& decl) {
  const auto* value = std::get_if<ValueDecl>(&decl.node);
  return value != nullptr && value->kind == ValueKind::kParameter ? value : nullptr;
}

}  // namespace

bool Checker::IsLearned(const std::string& name) const {
  const auto decl = problem_.names.find(name);
  if (decl == problem_.names.end()) return false;
  const ValueDecl* parameter = AsParameter(*decl->second);
  const auto* network = std::get_if<NetworkDecl>(&decl->second->node);
  return (parameter != nullptr && parameter->origin != ValueDecl::Origin::kRead) ||
         (network != nullptr && network->source == nullptr && !IsSlow(*network));
}

// What is learned and reached by the model, its updates, the losses.
std::set<std::string> Checker::LearnedReached() {
  Roots roots;
  const auto add = [&](const Roots& more) { roots.insert(more.begin(), more.end()); };
  if (problem_.model != nullptr) {
    add(RootsOf([&](const OnUse& on_use) { VisitUses(*problem_.model, on_use); }));
    for (const ExprPtr& refinement : problem_.model->refinements) {
      const Ident* name = NameOfCallee(*refinement);
      const bool follows_update = name != nullptr && (name->text == "iterate" || name->text == "anderson");
      if (!follows_update) continue;
      for (const UpdateDecl* update : problem_.updates) {
        add(RootsOf([&](const OnUse& on_use) {
          VisitUses(*update->value, on_use);
          if (update->from != nullptr) VisitUses(*update->from, on_use);
        }));
      }
    }
  }
  for (const LossDecl* loss : problem_.losses)
    add(RootsOf([&](const OnUse& on_use) { VisitUses(*loss->value, on_use); }));
  if (problem_.losses.empty()) add(RootsOf(std::string("residual")));
  std::set<std::string> learned;
  for (const auto& root : roots) {
    if (IsLearned(root.first)) learned.insert(root.first);
  }
  return learned;
}

// Whether the model has weights without a name: those of its builder, those of `learned(…)`.
bool Checker::ModelLearns() {
  if (problem_.model == nullptr) return true;  // the default model is a network
  const Ident* name = problem_.model->builder == nullptr ? nullptr : NameOfCallee(*problem_.model->builder);
  const Builtin* builtin = name == nullptr ? nullptr : FindBuiltin(Space::kBuilder, name->text);
  bool learns = name != nullptr && (builtin == nullptr || builtin->learns);
  VisitUses(*problem_.model, [&](const Use& use) { learns = learns || use.name == "learned"; });
  return learns;
}

bool Checker::CheckOwner(const Ident& owner, std::string_view what) {
  if (owner.text == "model") return true;
  const Decl* decl = DeclOf(owner.text);
  if (decl == nullptr) {
    std::vector<std::string> known{"model"};
    for (const auto& [name, d] : problem_.names) {
      if (std::holds_alternative<NetworkDecl>(d->node) || AsParameter(*d) != nullptr) known.push_back(name);
    }
    const std::string near = Nearest(owner.text, known);
    out_->Error(Code::kUnknownName, owner.span, fmt::format("nothing that is learned is called `{}`", owner.text))
        .Help(!near.empty() ? fmt::format("did you mean `{}`?", near)
                            : "a loss names parameters, networks or `model`; without a name it moves all that is left");
    return false;
  }
  if (decl->broken || AsParameter(*decl) != nullptr) return true;
  const auto* network = std::get_if<NetworkDecl>(&decl->node);
  if (network != nullptr && !IsSlow(*network)) return true;
  out_->Error(Code::kOwner, owner.span,
              network != nullptr
                  ? fmt::format("the network `{}` follows another one slowly, {} cannot move it", owner.text, what)
                  : fmt::format("`{}` is {}: {} moves parameters, networks and `model`", owner.text, KindOf(owner.text),
                                what))
      .Label(SpanOf(owner.text), "declared here");
  return false;
}

// A loss rests on what it moves.
void Checker::CheckMoves(const LossDecl& loss) {
  if (loss.estimator != nullptr) return;  // an estimator may see what no derivative does
  const Roots roots = RootsOf([&](const OnUse& on_use) { VisitUses(*loss.value, on_use); });
  const bool has_answer = std::any_of(roots.begin(), roots.end(), [&](const auto& root) {
    const ValueDecl* value = FindValue(root.first);
    const Decl* decl = DeclOf(root.first);
    return (value != nullptr && value->kind == ValueKind::kVariable) || root.first == "step" ||
           (decl != nullptr && std::holds_alternative<UpdateDecl>(decl->node));
  });
  if (has_answer) return;  // an answer rests on the model and its updates
  if (loss.owners.empty()) {
    if (std::any_of(roots.begin(), roots.end(), [&](const auto& root) { return IsLearned(root.first); })) return;
    out_->Error(Code::kOwner, loss.value->span, "this loss rests on nothing that is learned");
    return;
  }
  for (const Ident& owner : loss.owners) {
    if (roots.contains(owner.text)) continue;
    out_->Error(Code::kOwner, loss.value->span, fmt::format("the loss of `{}` does not rest on it", owner.text))
        .Label(owner.span, "what it is to move");
  }
}

void Checker::CheckOwners() {
  std::map<std::string, Span> owners;
  bool all_named = !problem_.losses.empty(), all_good = true;
  for (const LossDecl* loss : problem_.losses) {
    all_named = all_named && !loss->owners.empty();
    bool good = true;
    for (const Ident& owner : loss->owners) {
      if (!CheckOwner(owner, "a loss")) {
        good = false;
        continue;
      }
      const auto [first, is_new] = owners.try_emplace(owner.text, owner.span);
      if (is_new) continue;
      out_->Error(Code::kOwner, owner.span, fmt::format("two losses move `{}`", owner.text))
          .Label(first->second, "the other one");
    }
    all_good = all_good && good;
    if (good && !problem_.broken && !out_->has_errors()) CheckMoves(*loss);
  }
  for (const File& file : program_.files) {
    if (file.source != problem_.source) continue;
    for (const Decl& decl : file.decls) {
      const auto* train = std::get_if<TrainDecl>(&decl.node);
      if (train == nullptr || decl.broken) continue;
      for (const Ident& owner : train->owners) {
        const auto settings = problem_.train.find(owner.text);
        const bool is_ours =
            settings != problem_.train.end() &&
            std::find(settings->second.begin(), settings->second.end(), &train->settings[0]) != settings->second.end();
        if (!is_ours || !CheckOwner(owner, "training") || owners.contains(owner.text) || problem_.broken) continue;
        out_->Error(Code::kOwner, owner.span,
                    fmt::format("no loss names `{}`, so it is trained with the rest", owner.text))
            .Help(fmt::format("write `loss {}: …`", owner.text));
      }
    }
  }
  const bool model_learns = ModelLearns();
  // Everything learned and reached that no loss names goes to the loss without a name.
  std::vector<std::string> rest;
  for (const std::string& name : LearnedReached()) {
    if (!owners.contains(name)) rest.push_back(name);
  }
  if (model_learns && !owners.contains("model")) rest.push_back("model");
  for (const LossDecl* loss : problem_.losses) {
    std::vector<std::string> named;
    for (const Ident& owner : loss->owners) named.push_back(owner.text);
    checked_.moves.push_back(loss->owners.empty() ? rest : named);
  }
  if (problem_.losses.empty()) checked_.moves.push_back(rest);
  if (owners.contains("model") && !model_learns) {
    out_->Error(Code::kOwner, owners.at("model"), "the model has no weights of its own for a loss to move")
        .Help("its parameters and networks have names: `loss NAME: …`");
  }
  if (!all_named || !all_good || problem_.broken) return;
  for (const std::string& name : rest) {
    if (name == "model") continue;
    out_->Error(Code::kOwner, SpanOf(name), fmt::format("no loss moves `{}`", name))
        .Help(fmt::format("write `loss {}: …`, or a `loss` without a name for all that no other names", name));
  }
  if (model_learns && problem_.model != nullptr && !owners.contains("model")) {
    out_->Error(Code::kOwner, problem_.model->builder == nullptr ? SpanOfProblem() : problem_.model->builder->span,
                "no loss moves the model's own weights")
        .Help("write `loss model: …`, or a `loss` without a name");
  }
}

}  // namespace amo::lang
