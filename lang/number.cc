// SPDX-License-Identifier: Apache-2.0
// Evaluation of constant expressions.
#include "lang/number.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace amo::lang {
namespace {

using Numbers = std::map<std::string, double>;

double Mod(double a, double b) { return a - b * std::floor(a / b); }

struct Function {
  const char* name;
  double (*one)(double);
  double (*two)(double, double);
};

const Function kFunctions[] = {
    {"sqrt", [](double x) { return std::sqrt(x); }, nullptr},
    {"exp", [](double x) { return std::exp(x); }, nullptr},
    {"log", [](double x) { return std::log(x); }, nullptr},
    {"abs", [](double x) { return std::fabs(x); }, nullptr},
    {"floor", [](double x) { return std::floor(x); }, nullptr},
    {"sin", [](double x) { return std::sin(x); }, nullptr},
    {"cos", [](double x) { return std::cos(x); }, nullptr},
    {"min", nullptr, [](double a, double b) { return std::min(a, b); }},
    {"max", nullptr, [](double a, double b) { return std::max(a, b); }},
};

std::optional<double> Apply(const Binary& b, double l, double r) {
  switch (b.op) {
    case BinaryOp::kAdd: return l + r;
    case BinaryOp::kSub: return l - r;
    case BinaryOp::kMul:
    case BinaryOp::kElementMul: return l * r;
    case BinaryOp::kDiv:
    case BinaryOp::kElementDiv: return l / r;
    case BinaryOp::kMod: return Mod(l, r);
    case BinaryOp::kPow:
    case BinaryOp::kElementPow: return std::pow(l, r);
    case BinaryOp::kAnd: return l != 0 && r != 0;
    case BinaryOp::kOr: return l != 0 || r != 0;
  }
  return std::nullopt;
}

bool Holds(CompareOp op, double l, double r) {
  switch (op) {
    case CompareOp::kEq: return l == r;
    case CompareOp::kNe: return l != r;
    case CompareOp::kLt: return l < r;
    case CompareOp::kLe: return l <= r;
    case CompareOp::kGt: return l > r;
    case CompareOp::kGe: return l >= r;
  }
  return false;
}

std::optional<double> Eval(const ExprPtr& e, const Numbers& numbers) {
  return e ? Evaluate(*e, numbers) : std::nullopt;
}

std::optional<double> Called(const Call& call, const Numbers& numbers) {
  const auto* callee = call.callee ? std::get_if<Name>(&call.callee->node) : nullptr;
  if (!callee || !call.weights.empty()) return std::nullopt;
  std::vector<double> args;
  for (const Argument& a : call.args) {
    const auto value = Eval(a.value, numbers);
    if (!value || a.keyword || a.second) return std::nullopt;
    args.push_back(*value);
  }
  for (const Function& f : kFunctions) {
    if (callee->name.text != f.name) continue;
    if (f.one && args.size() == 1) return f.one(args[0]);
    if (f.two && args.size() == 2) return f.two(args[0], args[1]);
  }
  return std::nullopt;
}

}  // namespace

std::optional<double> Evaluate(const Expr& expr, const Numbers& numbers) {
  if (const auto* n = std::get_if<Number>(&expr.node)) return n->value;
  if (const auto* b = std::get_if<Boolean>(&expr.node)) return b->value ? 1 : 0;
  if (const auto* p = std::get_if<Paren>(&expr.node)) return Eval(p->inner, numbers);
  if (const auto* name = std::get_if<Name>(&expr.node)) {
    const auto it = numbers.find(name->name.text);
    if (it != numbers.end()) return it->second;
    return name->name.text == "pi" ? std::optional(std::numbers::pi) : std::nullopt;
  }
  if (const auto* u = std::get_if<Unary>(&expr.node)) {
    const auto x = Eval(u->operand, numbers);
    if (!x) return std::nullopt;
    return u->op == UnaryOp::kNegate ? -*x : (*x == 0 ? 1.0 : 0.0);
  }
  if (const auto* b = std::get_if<Binary>(&expr.node)) {
    const auto l = Eval(b->left, numbers), r = Eval(b->right, numbers);
    return l && r ? Apply(*b, *l, *r) : std::nullopt;
  }
  if (const auto* c = std::get_if<Compare>(&expr.node)) {
    auto left = Eval(c->first, numbers);
    double all = 1;
    for (const auto& [op, e] : c->rest) {
      const auto right = Eval(e, numbers);
      if (!left || !right) return std::nullopt;
      if (!Holds(op, *left, *right)) all = 0;
      left = right;
    }
    return left ? std::optional(all) : std::nullopt;
  }
  if (const auto* i = std::get_if<If>(&expr.node)) {
    const auto c = Eval(i->condition, numbers);
    return c ? Eval(*c != 0 ? i->then : i->otherwise, numbers) : std::nullopt;
  }
  if (const auto* call = std::get_if<Call>(&expr.node)) return Called(*call, numbers);
  return std::nullopt;
}

}  // namespace amo::lang
