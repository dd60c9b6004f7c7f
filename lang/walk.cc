// SPDX-License-Identifier: Apache-2.0
// Children and free names of expressions.
#include "lang/walk.h"

#include <vector>

namespace amo::lang {
namespace {

using Visit = std::function<void(const Expr&)>;

void Give(const ExprPtr& e, const Visit& visit) {
  if (e) visit(*e);
}

void GiveBinders(const std::vector<Binder>& binders, const Visit& visit) {
  for (const Binder& b : binders) {
    Give(b.lo, visit);
    Give(b.hi, visit);
    if (b.type) for (const ExprPtr& d : b.type->dims) Give(d, visit);
    Give(b.value, visit);
  }
}

// The scope of a walk: names that enclosing binders and `where`s bind.
struct FreeNames {
  const std::function<void(const Ident&)>& visit;
  std::vector<std::string> bound;

  bool IsBound(const std::string& name) const {
    for (const std::string& b : bound) if (b == name) return true;
    return false;
  }

  void Binders(const std::vector<Binder>& binders) {
    for (const Binder& b : binders) {
      if (b.lo) Walk(*b.lo);
      if (b.hi) Walk(*b.hi);
      if (b.type) for (const ExprPtr& d : b.type->dims) Walk(*d);
      if (b.value) b.kind == Binder::Kind::kDraw ? Distribution(*b.value) : Walk(*b.value);
      bound.push_back(b.name.text);
    }
  }

  // The word after `~` is no use; its arguments are.
  void Distribution(const Expr& e) {
    if (const auto* call = std::get_if<Call>(&e.node)) {
      for (const Argument& a : call->args) if (a.value && !std::holds_alternative<Name>(a.value->node)) Walk(*a.value);
      for (const Argument& a : call->args) {
        if (a.value && std::holds_alternative<Name>(a.value->node)) Walk(*a.value);
      }
    } else if (!std::holds_alternative<Name>(e.node)) {
      Walk(e);
    }
  }

  void Walk(const Expr& e) {
    const std::size_t mark = bound.size();
    if (const auto* name = std::get_if<Name>(&e.node)) {
      if (!IsBound(name->name.text)) visit(name->name);
    } else if (const auto* reduce = std::get_if<BinderCall>(&e.node)) {
      visit(reduce->callee);
      Binders(reduce->binders);
      if (reduce->condition) Walk(*reduce->condition);
      if (reduce->body) Walk(*reduce->body);
    } else if (const auto* c = std::get_if<Comprehension>(&e.node)) {
      Binders(c->binders);
      if (c->condition) Walk(*c->condition);
      if (c->body) Walk(*c->body);
    } else if (const auto* where = std::get_if<Where>(&e.node)) {
      for (const Definition& d : where->definitions) bound.push_back(d.name.text);
      for (const Definition& d : where->definitions) {
        const std::size_t inner = bound.size();
        Binders(d.index);
        if (d.value) Walk(*d.value);
        bound.resize(inner);
      }
      if (where->body) Walk(*where->body);
    } else {
      ForEachChild(e, [&](const Expr& child) { Walk(child); });
    }
    bound.resize(mark);
  }
};

}  // namespace

void ForEachChild(const Expr& expr, const Visit& visit) {
  std::visit(Overload{
                 [](const Number&) {}, [](const String&) {}, [](const Boolean&) {}, [](const Name&) {},
                 [&](const Member& m) { Give(m.base, visit); },
                 [&](const Index& x) {
                   Give(x.base, visit);
                   for (const IndexItem& i : x.items) Give(i.at, visit), Give(i.lo, visit), Give(i.hi, visit);
                 },
                 [&](const Transpose& t) { Give(t.base, visit); },
                 [&](const Call& c) {
                   Give(c.callee, visit);
                   for (const Argument& a : c.args) Give(a.value, visit), Give(a.second, visit);
                   for (const ExprPtr& w : c.weights) Give(w, visit);
                 },
                 [&](const BinderCall& b) { GiveBinders(b.binders, visit), Give(b.condition, visit), Give(b.body, visit); },
                 [&](const Array& a) { for (const ExprPtr& i : a.items) Give(i, visit); },
                 [&](const Comprehension& c) { GiveBinders(c.binders, visit), Give(c.condition, visit), Give(c.body, visit); },
                 [&](const Unary& u) { Give(u.operand, visit); },
                 [&](const Binary& b) { Give(b.left, visit), Give(b.right, visit); },
                 [&](const Compare& c) {
                   Give(c.first, visit);
                   for (const auto& [op, e] : c.rest) Give(e, visit);
                 },
                 [&](const If& i) { Give(i.condition, visit), Give(i.then, visit), Give(i.otherwise, visit); },
                 [&](const Where& w) {
                   Give(w.body, visit);
                   for (const Definition& d : w.definitions) GiveBinders(d.index, visit), Give(d.value, visit);
                 },
                 [&](const Paren& p) { Give(p.inner, visit); },
             },
             expr.node);
}

void ForEachFreeName(const Expr& expr, const std::function<void(const Ident&)>& visit) {
  FreeNames{visit, {}}.Walk(expr);
}

}  // namespace amo::lang
