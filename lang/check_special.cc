// SPDX-License-Identifier: Apache-2.0
// Calls that are more than functions of values: derivatives, projections, answers, averages, later times.
#include <fmt/format.h>

#include <algorithm>

#include "lang/checker.h"

namespace amo::lang {

Type Checker::CallSpecial(const Call& node, const Expr& expr, const Builtin& builtin) {
  const Expr& first = *node.args[0].value;
  switch (builtin.rule) {
    case Rule::kGrad:
      return CallGrad(node);
    case Rule::kProject: {
      const Type type = InferNumber(first);
      CheckSet(*node.args[1].value, type, Quote(first) == "this" ? "what is projected" : Quote(first), {});
      return type.is_error() ? type : Type{Elem::kReal, type.dims, false};
    }
    case Rule::kStop:
      return InferValue(first);
    case Rule::kLearned:
      return InferNumber(first);
    case Rule::kSolved: {
      const auto* name = std::get_if<Name>(&first.node);
      const ValueDecl* value = name == nullptr ? nullptr : FindValue(name->name.text);
      if (value != nullptr && value->kind == ValueKind::kVariable) return Infer(first);
      const Type type = Infer(first);
      if (type.is_error()) return {};
      out_->Error(Code::kTypeMismatch, first.span,
                  fmt::format("`solved` takes a variable, {} is {}", Quote(first),
                              name == nullptr ? "an expression" : KindOf(name->name.text)))
          .Help("of an expression: `E(y = solved(y))` for a `let E`");
      return {};
    }
    case Rule::kExpect:
      if (!in_report_) {
        out_->Error(Code::kBindingTime, expr.span,
                    "`expect` is the mean over the test split, which only a `report` knows")
            .Help("a loss is averaged over the batch anyway; over draws, write `mean(i in 64, e : real ~ …: …)`");
      }
      return AsValue(first, Infer(first));
    case Rule::kNext: {
      if (!HasNext() && !problem_.broken) {
        out_->Error(Code::kMissingPart, expr.span, "`next(…)` is one step later, and this problem has no `next`")
            .Help("write `next s = …`: how the context `s` goes on");
      }
      if (node.args.size() > 1) InferWhole(*node.args[1].value, "the number of steps");
      return InferValue(first);
    }
    case Rule::kWeights: {
      const auto* name = std::get_if<Name>(&first.node);
      const Decl* decl = name == nullptr ? nullptr : DeclOf(name->name.text);
      if (decl != nullptr && decl->broken) return {};
      if (decl != nullptr && std::holds_alternative<NetworkDecl>(decl->node)) return Scalar(Elem::kInt);
      if (name != nullptr && decl == nullptr && FindLocal(name->name.text) == nullptr) {
        ReportUnknown(name->name);
        return {};
      }
      out_->Error(Code::kTypeMismatch, first.span, fmt::format("`weights` takes a network, {} is none", Quote(first)));
      return {};
    }
    default:
      return {};
  }
}

// grad(E, x): E is one number, x a name that has a value of its own.
Type Checker::CallGrad(const Call& node) {
  const Expr& of = *node.args[0].value;
  const Expr& by = *node.args[1].value;
  const Type type = InferNumber(of);
  if (!type.is_error() && !type.is_scalar()) {
    out_->Error(Code::kNotScalar, of.span,
                fmt::format("`grad` is of a single number, {} has shape `{}`", Quote(of), ShapeText(type)))
        .Help("`sum(…)` makes one of it; a row of a Jacobian is `grad(f(x)[i], x)`");
  }
  const auto* name = std::get_if<Name>(&by.node);
  const Type result = Infer(by);
  if (result.is_error()) return {};
  const Decl* decl = name == nullptr || FindLocal(name->name.text) != nullptr ? nullptr : DeclOf(name->name.text);
  const bool is_value = decl != nullptr && (std::holds_alternative<ValueDecl>(decl->node) ||
                                            std::holds_alternative<UpdateDecl>(decl->node));
  const bool is_name = name != nullptr && (FindLocal(name->name.text) != nullptr || is_value);
  if (!is_name || result.elem != Elem::kReal) {
    const std::string kind = is_name           ? fmt::format("is `{}`", ToString(result))
                             : name != nullptr ? fmt::format("is {}", KindOf(name->name.text))
                                               : "is an expression";
    out_->Error(Code::kTypeMismatch, by.span,
                fmt::format("`grad` is by a real value that has a name, {} {}", Quote(by), kind))
        .Help("by a variable, a context, a parameter, or a parameter of a function");
    return {};
  }
  return result;
}

}  // namespace amo::lang
