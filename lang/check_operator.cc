// SPDX-License-Identifier: Apache-2.0
// Operators: elementwise combination, the product of linear algebra, comparisons and their chains.
#include <fmt/format.h>

#include "lang/checker.h"
#include "lang/evaluate.h"

namespace amo::lang {
namespace {

std::string_view TextOf(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kElementMul:
      return ".*";
    case BinaryOp::kElementDiv:
      return "./";
    case BinaryOp::kPow:
      return "^";
    case BinaryOp::kElementPow:
      return ".^";
    case BinaryOp::kAnd:
      return "and";
    case BinaryOp::kOr:
      return "or";
  }
  return "";
}

std::string_view TextOf(CompareOp op) {
  switch (op) {
    case CompareOp::kEq:
      return "==";
    case CompareOp::kNe:
      return "!=";
    case CompareOp::kLt:
      return "<";
    case CompareOp::kLe:
      return "<=";
    case CompareOp::kGt:
      return ">";
    case CompareOp::kGe:
      return ">=";
  }
  return "";
}

bool IsVector(const Type& type) { return type.dims.size() == 1; }
bool IsMatrix(const Type& type) { return type.dims.size() == 2; }

// The elements of a power: an int to a whole power that is written out stays one.
Elem PowerElem(const Type& base, const Type& exponent, const Expr& written) {
  const auto* number = std::get_if<Number>(&written.node);
  const bool whole = number != nullptr && number->is_int;
  return base.elem == Elem::kInt && exponent.elem == Elem::kInt && whole ? Elem::kInt : Elem::kReal;
}

}  // namespace

Elem Checker::JoinElem(Elem a, Elem b) { return a == b ? a : Elem::kReal; }

std::optional<Type> Checker::Combine(const Type& a, const Type& b) {
  const Elem elem = JoinElem(a.elem, b.elem);
  if (a.is_scalar()) return Type{elem, b.dims, b.row};
  if (b.is_scalar()) return Type{elem, a.dims, a.row};
  if (a.row != b.row || !SameDims(a.dims, b.dims)) return std::nullopt;
  return Type{elem, a.dims, a.row};
}

Type Checker::InferTranspose(const Transpose& node, const Expr& expr) {
  const Type base = Infer(*node.base);
  if (base.is_error() || base.elem == Elem::kFunction || base.elem == Elem::kTable) return AsValue(*node.base, base);
  if (IsMatrix(base)) return {base.elem, {base.dims[1], base.dims[0]}, false};
  if (IsVector(base)) return {base.elem, base.dims, !base.row};
  if (base.is_scalar()) return base;
  out_->Error(Code::kShapeMismatch, expr.span,
              fmt::format("`'` is for vectors and matrices, {} has shape `{}`", Quote(*node.base), ShapeText(base)))
      .Help("write the axes out: `[i in n, j in m: a[j, i]]`");
  return {};
}

Type Checker::InferUnary(const Unary& node, const Expr&) {
  if (node.op == UnaryOp::kNot) {
    const Type type = InferValue(*node.operand);
    if (type.is_error() || type.elem == Elem::kBool) return type;
    out_->Error(Code::kTypeMismatch, node.operand->span,
                fmt::format("`not` takes a truth, {} is `{}`", Quote(*node.operand), ToString(type)));
    return {};
  }
  const Type type = Infer(*node.operand);
  return type.row ? type : AsNumber(*node.operand, type);
}

Type Checker::InferBinary(const Binary& node, const Expr& expr) {
  const std::string_view op = TextOf(node.op);
  const auto check = [&](const Expr& operand) -> Type {
    if (node.op == BinaryOp::kAnd || node.op == BinaryOp::kOr) {
      const Type type = InferValue(operand);
      if (type.is_error() || type.elem == Elem::kBool) return type;
      out_->Error(Code::kTypeMismatch, operand.span,
                  fmt::format("`{}` takes truths, {} is `{}`", op, Quote(operand), ToString(type)));
      return {};
    }
    const Type type = Infer(operand);
    const bool keeps_rows = node.op == BinaryOp::kAdd || node.op == BinaryOp::kSub || node.op == BinaryOp::kMul ||
                            node.op == BinaryOp::kDiv;
    return type.row && keeps_rows ? type : AsNumber(operand, type);
  };
  const Type a = check(*node.left), b = check(*node.right);
  if (a.is_error() || b.is_error()) return {};
  const bool arrays = !a.is_scalar() && !b.is_scalar();
  if (node.op == BinaryOp::kMul && arrays) return InferProduct(node, expr, a, b);
  if (node.op == BinaryOp::kDiv && arrays) {
    Diagnostic& error =
        out_->Error(Code::kShapeMismatch, node.op_span,
                    fmt::format("`/` divides by a number, the right side has shape `{}`", ShapeText(b)));
    LabelOrigin(error, *node.right, b);
    error.Help(IsMatrix(b) ? "`linsolve(A, b)` is the inverse of `A` times `b`; entry by entry, write `./`"
                           : "entry by entry, write `./`");
    return {};
  }
  if (node.op == BinaryOp::kPow && (!a.is_scalar() || !b.is_scalar())) {
    out_->Error(Code::kShapeMismatch, node.op_span,
                fmt::format("`^` is the power of numbers, the {} side has shape `{}`", a.is_scalar() ? "right" : "left",
                            ShapeText(a.is_scalar() ? b : a)))
        .Help("entry by entry, write `.^`");
    return {};
  }
  if (node.op == BinaryOp::kMod && (a.elem != Elem::kInt || b.elem != Elem::kInt)) {
    const Expr& real = a.elem == Elem::kInt ? *node.right : *node.left;
    out_->Error(Code::kTypeMismatch, real.span, fmt::format("`%` takes ints, {} is `real`", Quote(real)))
        .Help("`floor(…)` gives an int");
    return {};
  }
  std::optional<Type> result = Combine(a, b);
  if (!result) {
    Diagnostic& error =
        out_->Error(Code::kShapeMismatch, expr.span,
                    fmt::format("operands of `{}` have shapes `{}` and `{}`", op, ShapeText(a), ShapeText(b)));
    error.Under(fmt::format("`{}` on the left, `{}` on the right", ShapeText(a), ShapeText(b)));
    LabelOrigin(error, *node.left, a);
    LabelOrigin(error, *node.right, b);
    if (a.dims.size() != b.dims.size()) error.Help("nothing broadcasts but single numbers: write the comprehension");
    return {};
  }
  switch (node.op) {
    case BinaryOp::kDiv:
    case BinaryOp::kElementDiv:
      result->elem = Elem::kReal;
      break;
    case BinaryOp::kPow:
    case BinaryOp::kElementPow:
      result->elem = PowerElem(a, b, *node.right);
      break;
    case BinaryOp::kAdd:
    case BinaryOp::kSub:
    case BinaryOp::kMul:
    case BinaryOp::kMod:
    case BinaryOp::kElementMul:
    case BinaryOp::kAnd:
    case BinaryOp::kOr:
      break;
  }
  return *result;
}

// Neither side is a scalar. M[n, m] M[m, k] → M[n, k]; M v → v; row M → row; row v → s; v row → M.
Type Checker::InferProduct(const Binary& node, const Expr& expr, const Type& a, const Type& b) {
  const Elem elem = JoinElem(a.elem, b.elem);
  if (a.dims.size() > 2 || b.dims.size() > 2) {
    const bool left = a.dims.size() > 2;
    const Expr& operand = left ? *node.left : *node.right;
    out_->Error(Code::kShapeMismatch, operand.span,
                fmt::format("`*` multiplies vectors and matrices, {} has shape `{}`", Quote(operand),
                            ShapeText(left ? a : b)))
        .Help("take a matrix of it: `a[k]`; entry by entry, write `.*`");
    return {};
  }
  const bool left_column = IsVector(a) && !a.row, right_column = IsVector(b) && !b.row;
  if ((left_column && right_column) || (a.row && b.row)) {
    Diagnostic& error = out_->Error(Code::kProductOfVectors, expr.span,
                                    fmt::format("two {} cannot be multiplied by `*`", a.row ? "rows" : "vectors"));
    error.Under(fmt::format("`{}` on the left, `{}` on the right", ShapeText(a), ShapeText(b)));
    LabelOrigin(error, *node.left, a);
    LabelOrigin(error, *node.right, b);
    const auto inside = [](const Expr& e) -> const Expr& {
      const auto* paren = std::get_if<Paren>(&e.node);
      return paren == nullptr ? e : *paren->inner;
    };
    const std::string inner_left = Quote(inside(*node.left)), inner_right = Quote(inside(*node.right));
    const std::string left = Quote(*node.left), right = Quote(*node.right);
    if (left != "this" && right != "this" && !a.row) {
      const std::string l = left.substr(1, left.size() - 2), r = right.substr(1, right.size() - 2);
      error.Help(fmt::format("`dot({}, {})` is their inner product, `{} .* {}` the product of their entries",
                             inner_left.substr(1, inner_left.size() - 2), inner_right.substr(1, inner_right.size() - 2),
                             l, r));
    } else {
      error.Help("`dot(a, b)` is the inner product, `a .* b` the product of the entries");
    }
    return {};
  }
  if (left_column && b.row) return {elem, {a.dims[0], b.dims[0]}, false};
  if (left_column || b.row) {  // v M, M row
    out_->Error(
            Code::kShapeMismatch, expr.span,
            left_column
                ? fmt::format("a vector cannot stand before a matrix: shapes `{}` and `{}`", ShapeText(a), ShapeText(b))
                : fmt::format("a row cannot stand after a matrix: shapes `{}` and `{}`", ShapeText(a), ShapeText(b)))
        .Help(left_column ? "a row does: `v' * A`" : "a vector does: `A * v`");
    return {};
  }
  const Dim& inner_left = a.dims.back();
  const Dim& inner_right = b.dims.front();
  if (!SameDim(inner_left, inner_right)) {
    Diagnostic& error = out_->Error(
        Code::kShapeMismatch, expr.span,
        fmt::format("the inner dims of this product are `{}` and `{}`", ToString(inner_left), ToString(inner_right)));
    error.Under(fmt::format("`{}` on the left, `{}` on the right", ShapeText(a), ShapeText(b)));
    LabelOrigin(error, *node.left, a);
    LabelOrigin(error, *node.right, b);
    if (IsMatrix(a) && SameDim(a.dims[0], inner_right) && std::holds_alternative<Name>(node.left->node))
      error.Help(fmt::format("the transpose fits: `{}'`", std::get<Name>(node.left->node).name.text));
    return {};
  }
  if (a.row) return IsVector(b) ? Scalar(elem) : Type{elem, {b.dims[1]}, true};
  return IsVector(b) ? Type{elem, {a.dims[0]}, false} : Type{elem, {a.dims[0], b.dims[1]}, false};
}

bool Checker::CheckChain(const Compare& node) {
  if (node.rest.size() < 2) return true;
  const auto direction = [](CompareOp op) {
    switch (op) {
      case CompareOp::kLt:
      case CompareOp::kLe:
        return -1;
      case CompareOp::kGt:
      case CompareOp::kGe:
        return 1;
      case CompareOp::kEq:
        return 0;
      case CompareOp::kNe:
        return 2;
    }
    return 0;
  };
  const int first = direction(node.rest[0].first);
  for (const auto& [op, operand] : node.rest) {
    if (direction(op) == first && first != 2) continue;
    const Span at{node.first->span.begin, node.rest.back().second->span.end, node.first->span.source};
    if (op == CompareOp::kNe || first == 2) {
      out_->Error(Code::kRelation, at, "`!=` stands in no chain").Help("write two comparisons with `and`");
    } else {
      out_->Error(Code::kRelation, at,
                  fmt::format("a chain of comparisons runs one way: `{}` and `{}` mix", TextOf(node.rest[0].first),
                              TextOf(op)))
          .Help("as in `l <= x <= u`");
    }
    return false;
  }
  return true;
}

Type Checker::InferCompare(const Compare& node, const Expr&) {
  Type left = InferValue(*node.first);
  Type result = Scalar(Elem::kBool);
  bool good = CheckChain(node) && !left.is_error();
  const Expr* left_expr = node.first.get();
  for (const auto& [op, operand] : node.rest) {
    const Type right = InferValue(*operand);
    good = good && !right.is_error();
    if (!good) continue;
    const bool is_equation = op == CompareOp::kEq || op == CompareOp::kNe;
    const bool mixes = (left.elem == Elem::kBool) != (right.elem == Elem::kBool);
    const Span at{left_expr->span.begin, operand->span.end, operand->span.source};
    if (mixes || (left.elem == Elem::kBool && !is_equation)) {
      out_->Error(
          Code::kTypeMismatch, at,
          fmt::format("`{}` compares numbers: here are `{}` and `{}`", TextOf(op), ToString(left), ToString(right)));
      good = false;
      continue;
    }
    const std::optional<Type> both = Combine(left, right);
    const std::optional<Type> all = both ? Combine(result, *both) : std::nullopt;
    if (!all) {
      Diagnostic& error = out_->Error(Code::kShapeMismatch, at,
                                      fmt::format("the two sides of `{}` have shapes `{}` and `{}`", TextOf(op),
                                                  ShapeText(left), ShapeText(right)));
      LabelOrigin(error, *left_expr, left);
      LabelOrigin(error, *operand, right);
      good = false;
      continue;
    }
    result = {Elem::kBool, all->dims, false};
    left = right;
    left_expr = operand.get();
  }
  return good ? result : Type{};
}

}  // namespace amo::lang
