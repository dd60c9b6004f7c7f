// SPDX-License-Identifier: Apache-2.0
// A depth-first walk over what declarations use. Variables and states are sources: what moves them is no use.
#include "lang/order.h"

#include <algorithm>

#include <fmt/format.h>

#include "lang/walk.h"

namespace amo::lang {
namespace {

class Orderer {
 public:
  Orderer(Problem& problem, Diagnostics& diagnostics) : p_(problem), diagnostics_(diagnostics) {}

  void Run() {
    for (const auto& [name, decl] : p_.names) Visit(name, *decl);
  }

 private:
  void Visit(const std::string& name, const Decl& d) {
    const auto it = state_.find(&d);
    if (it != state_.end()) {
      if (it->second == State::kOpen) ReportCycle(d);
      return;
    }
    state_[&d] = State::kOpen;
    path_.push_back({name, &d});
    ForEachUse(d, [&](const Ident& use, const std::vector<std::string>& bound) {
      if (std::count(bound.begin(), bound.end(), use.text)) return;
      const auto other = p_.names.find(use.text);
      if (other != p_.names.end()) Visit(use.text, *other->second);
    });
    path_.pop_back();
    state_[&d] = State::kDone;
    const bool value = std::holds_alternative<ValueDecl>(d.node) || std::holds_alternative<LetDecl>(d.node);
    if (value) p_.values.push_back(&d);
  }

  template <class F>
  void ForEachUse(const Decl& d, F use) {
    std::vector<std::string> bound;
    const auto expr = [&](const ExprPtr& e) {
      if (e) ForEachFreeName(*e, [&](const Ident& n) { use(n, bound); });
    };
    const auto type = [&](const std::optional<TypeExpr>& t) {
      if (t) for (const ExprPtr& dim : t->dims) expr(dim);
    };
    const auto binders = [&](const std::vector<Binder>& index) {
      for (const Binder& b : index) expr(b.lo), expr(b.hi), bound.push_back(b.name.text);
    };
    const auto params = [&](const std::vector<Param>& list) {
      for (const Param& q : list) bound.push_back(q.name.text);
    };
    if (const auto* v = std::get_if<ValueDecl>(&d.node)) {
      binders(v->index), type(v->type);
      if (v->set) Distribution(*v->set, expr);
      if (v->origin == ValueDecl::Origin::kComputed) expr(v->value);
      if (v->origin == ValueDecl::Origin::kDrawn && v->value) Distribution(*v->value, expr);
      // `q from mnist`: a registered data set unless the file declares the table.
      if (v->origin == ValueDecl::Origin::kRead) expr(v->value);
    } else if (const auto* l = std::get_if<LetDecl>(&d.node)) {
      binders(l->index), type(l->type), expr(l->value);
    } else if (const auto* f = std::get_if<FunctionDecl>(&d.node)) {
      params(f->params), expr(f->body);
    } else if (const auto* dim = std::get_if<DimDecl>(&d.node)) {
      expr(dim->value);
    }
  }

  // The word of a distribution or set is no use; its arguments are.
  template <class F>
  static void Distribution(const Expr& e, F expr) {
    if (const auto* call = std::get_if<Call>(&e.node)) {
      for (const Argument& a : call->args) {
        const bool word = a.value && std::holds_alternative<Name>(a.value->node);
        if (!word || !a.keyword) expr(a.value);
      }
    } else if (const auto* product = std::get_if<Binary>(&e.node)) {  // sets: A * B
      if (product->left) Distribution(*product->left, expr);
      if (product->right) Distribution(*product->right, expr);
    }
  }

  void ReportCycle(const Decl& d) {
    const auto from = std::find_if(path_.begin(), path_.end(), [&](const auto& entry) { return entry.second == &d; });
    std::vector<std::string> names;
    for (auto it = from; it != path_.end(); ++it) names.push_back("`" + it->first + "`");
    names.push_back(names.front());
    Diagnostic& report = diagnostics_.Error(Code::kCycle, d.span, fmt::format("{} depends on itself", names.front()));
    if (names.size() > 2) report.Help(fmt::format("{}", fmt::join(names, " uses ")));
  }

  enum class State { kOpen, kDone };
  Problem& p_;
  Diagnostics& diagnostics_;
  std::map<const Decl*, State> state_;
  std::vector<std::pair<std::string, const Decl*>> path_;
};

}  // namespace

void OrderValues(Problem& problem, Diagnostics& diagnostics) { Orderer(problem, diagnostics).Run(); }

}  // namespace amo::lang
