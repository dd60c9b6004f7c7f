// SPDX-License-Identifier: Apache-2.0
// Constant expressions: a small interpreter of numbers.
#include "lang/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

namespace amo::lang {
namespace {

constexpr double kMaxTurns = 1e6;

struct Unary1 {
  std::string_view name;
  double (*function)(double);
};

constexpr Unary1 kFunctions[] = {
    {"exp", [](double x) { return std::exp(x); }},
    {"log", [](double x) { return std::log(x); }},
    {"log10", [](double x) { return std::log10(x); }},
    {"expm1", [](double x) { return std::expm1(x); }},
    {"log1p", [](double x) { return std::log1p(x); }},
    {"sqrt", [](double x) { return std::sqrt(x); }},
    {"abs", [](double x) { return std::abs(x); }},
    {"sign", [](double x) { return x > 0   ? 1.0
                                   : x < 0 ? -1.0
                                           : 0.0; }},
    {"sin", [](double x) { return std::sin(x); }},
    {"cos", [](double x) { return std::cos(x); }},
    {"tan", [](double x) { return std::tan(x); }},
    {"arcsin", [](double x) { return std::asin(x); }},
    {"arccos", [](double x) { return std::acos(x); }},
    {"arctan", [](double x) { return std::atan(x); }},
    {"sinh", [](double x) { return std::sinh(x); }},
    {"cosh", [](double x) { return std::cosh(x); }},
    {"tanh", [](double x) { return std::tanh(x); }},
    {"sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"softplus", [](double x) { return x > 30 ? x : std::log1p(std::exp(x)); }},
    {"relu", [](double x) { return std::max(x, 0.0); }},
    {"erf", [](double x) { return std::erf(x); }},
    {"lgamma", [](double x) { return std::lgamma(x); }},
    {"xlogx", [](double x) { return x == 0 ? 0.0 : x * std::log(x); }},
    {"floor", [](double x) { return std::floor(x); }},
};

class Evaluator {
 public:
  explicit Evaluator(const Lookup& lookup) : lookup_(lookup) {}

  std::optional<double> Of(const ExprPtr& e) { return e == nullptr ? std::nullopt : Of(*e); }

  std::optional<double> Of(const Expr& e) {
    using Result = std::optional<double>;
    return std::visit(Overload{
                          [](const Number& node) -> Result { return node.value; },
                          [](const String&) -> Result { return std::nullopt; },
                          [](const Boolean& node) -> Result { return node.value ? 1 : 0; },
                          [&](const Name& node) { return NameOf(node.name.text); },
                          [](const Member&) -> Result { return std::nullopt; },
                          [](const Index&) -> Result { return std::nullopt; },
                          [](const Transpose&) -> Result { return std::nullopt; },
                          [&](const Call& node) { return CallOf(node); },
                          [&](const BinderCall& node) { return SumOf(node); },
                          [](const Array&) -> Result { return std::nullopt; },
                          [](const Comprehension&) -> Result { return std::nullopt; },
                          [&](const Unary& node) -> Result {
                            const Result x = Of(node.operand);
                            if (!x) return x;
                            return node.op == UnaryOp::kNegate ? -*x : (*x == 0 ? 1 : 0);
                          },
                          [&](const Binary& node) { return BinaryOf(node); },
                          [&](const Compare& node) { return CompareOf(node); },
                          [&](const If& node) -> Result {
                            const Result condition = Of(node.condition);
                            if (!condition) return condition;
                            return Of(*condition != 0 ? node.then : node.otherwise);
                          },
                          [&](const Where& node) -> Result {
                            const std::size_t before = locals_.size();
                            for (const Definition& d : node.definitions) {
                              const Result value = d.index.empty() ? Of(d.value) : std::nullopt;
                              locals_.emplace_back(d.name.text, value);
                            }
                            const Result result = Of(node.body);
                            locals_.resize(before);
                            return result;
                          },
                          [&](const Paren& node) { return Of(node.inner); },
                      },
                      e.node);
  }

 private:
  std::optional<double> NameOf(const std::string& name) const {
    for (auto local = locals_.rbegin(); local != locals_.rend(); ++local) {
      if (local->first == name) return local->second;
    }
    if (name == "pi") return std::numbers::pi;
    return lookup_(name);
  }

  std::optional<double> CallOf(const Call& call) {
    const auto* callee = std::get_if<Name>(&call.callee->node);
    if (callee == nullptr || !call.weights.empty()) return std::nullopt;
    if (callee->name.text == "weights" && call.args.size() == 1) {
      const auto* network = std::get_if<Name>(&call.args[0].value->node);
      return network ? lookup_("weights(" + network->name.text + ")") : std::nullopt;
    }
    std::vector<double> args;
    for (const Argument& argument : call.args) {
      const std::optional<double> value = argument.keyword ? std::nullopt : Of(argument.value);
      if (!value) return std::nullopt;
      args.push_back(*value);
    }
    const std::string& name = callee->name.text;
    if (args.size() == 1) {
      for (const Unary1& entry : kFunctions) {
        if (entry.name == name) return entry.function(args[0]);
      }
    }
    if (name == "arctan2" && args.size() == 2) return std::atan2(args[0], args[1]);
    if (name == "clamp" && args.size() == 3) return std::min(std::max(args[0], args[1]), args[2]);
    if (name == "min" && args.size() > 1) return *std::min_element(args.begin(), args.end());
    if (name == "max" && args.size() > 1) return *std::max_element(args.begin(), args.end());
    return std::nullopt;
  }

  std::optional<double> SumOf(const BinderCall& call) {
    const std::string& name = call.callee.text;
    if (name != "sum" && name != "prod" && name != "min" && name != "max") return std::nullopt;
    std::optional<double> total;
    if (name == "sum") total = 0;
    if (name == "prod") total = 1;
    const std::size_t before = locals_.size();
    const bool good = Loop(call, 0, total);
    locals_.resize(before);
    return good ? total : std::nullopt;
  }

  bool Loop(const BinderCall& call, std::size_t depth, std::optional<double>& total) {
    if (depth < call.binders.size()) {
      const Binder& binder = call.binders[depth];
      const std::optional<double> lo = binder.lo == nullptr ? std::optional<double>(0) : Of(binder.lo);
      const std::optional<double> hi = Of(binder.hi);
      if (binder.kind != Binder::Kind::kIn || !lo || !hi) return false;
      for (double i = *lo; i < *hi; ++i) {
        if (++turns_ > kMaxTurns) return false;
        locals_.emplace_back(binder.name.text, i);
        const bool good = Loop(call, depth + 1, total);
        locals_.pop_back();
        if (!good) return false;
      }
      return true;
    }
    if (call.condition != nullptr) {
      const std::optional<double> holds = Of(call.condition);
      if (!holds) return false;
      if (*holds == 0) return true;
    }
    const std::optional<double> x = Of(call.body);
    if (!x) return false;
    if (!total) {
      total = x;
    } else if (call.callee.text == "sum") {
      *total += *x;
    } else if (call.callee.text == "prod") {
      *total *= *x;
    } else {
      total = call.callee.text == "min" ? std::min(*total, *x) : std::max(*total, *x);
    }
    return true;
  }

  std::optional<double> BinaryOf(const Binary& node) {
    const std::optional<double> a = Of(node.left), b = Of(node.right);
    if (!a || !b) return std::nullopt;
    switch (node.op) {
      case BinaryOp::kAdd:
        return *a + *b;
      case BinaryOp::kSub:
        return *a - *b;
      case BinaryOp::kMul:
      case BinaryOp::kElementMul:
        return *a * *b;
      case BinaryOp::kDiv:
      case BinaryOp::kElementDiv:
        return *a / *b;
      case BinaryOp::kMod:
        return *b == 0 ? std::nullopt : std::optional<double>(*a - *b * std::floor(*a / *b));
      case BinaryOp::kPow:
      case BinaryOp::kElementPow:
        return std::pow(*a, *b);
      case BinaryOp::kAnd:
        return *a != 0 && *b != 0 ? 1 : 0;
      case BinaryOp::kOr:
        return *a != 0 || *b != 0 ? 1 : 0;
    }
    return std::nullopt;
  }

  static bool Holds(CompareOp op, double a, double b) {
    switch (op) {
      case CompareOp::kEq:
        return a == b;
      case CompareOp::kNe:
        return a != b;
      case CompareOp::kLt:
        return a < b;
      case CompareOp::kLe:
        return a <= b;
      case CompareOp::kGt:
        return a > b;
      case CompareOp::kGe:
        return a >= b;
    }
    return false;
  }

  std::optional<double> CompareOf(const Compare& node) {
    std::optional<double> left = Of(node.first);
    bool holds = true;
    for (const auto& [op, operand] : node.rest) {
      const std::optional<double> right = Of(operand);
      if (!left || !right) return std::nullopt;
      holds = holds && Holds(op, *left, *right);
      left = right;
    }
    return holds ? 1 : 0;
  }

  const Lookup& lookup_;
  std::vector<std::pair<std::string, std::optional<double>>> locals_;
  double turns_ = 0;
};

}  // namespace

std::optional<double> Evaluate(const Expr& expr, const Lookup& lookup) { return Evaluator(lookup).Of(expr); }

}  // namespace amo::lang
