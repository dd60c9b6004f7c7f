// SPDX-License-Identifier: Apache-2.0
// Expressions but operators, binders and calls: names, fields, indices, arrays, `if`, `where`.
#include <fmt/format.h>

#include <algorithm>

#include "lang/checker.h"

namespace amo::lang {

Type Checker::Infer(const Expr& expr) {
  Type type = std::visit(
      Overload{
          [](const Number& node) { return Scalar(node.is_int ? Elem::kInt : Elem::kReal); },
          [&](const String&) {
            out_->Error(Code::kTypeMismatch, expr.span, "a string is no value").Help("strings stand after `from`");
            return Type{};
          },
          [](const Boolean&) { return Scalar(Elem::kBool); },
          [&](const Name& node) { return InferName(node, expr); },
          [&](const Member& node) { return InferMember(node, expr); },
          [&](const Index& node) { return InferIndex(node, expr); },
          [&](const Transpose& node) { return InferTranspose(node, expr); },
          [&](const Call& node) { return InferCall(node, expr); },
          [&](const BinderCall& node) { return InferBinderCall(node, expr); },
          [&](const Array& node) { return InferArray(node, expr); },
          [&](const Comprehension& node) { return InferComprehension(node, expr); },
          [&](const Unary& node) { return InferUnary(node, expr); },
          [&](const Binary& node) { return InferBinary(node, expr); },
          [&](const Compare& node) { return InferCompare(node, expr); },
          [&](const If& node) { return InferIf(node, expr); },
          [&](const Where& node) { return InferWhere(node); },
          [&](const Paren& node) { return Infer(*node.inner); },
      },
      expr.node);
  if (expr.id >= checked_.types.size()) checked_.types.resize(expr.id + 1);
  return checked_.types[expr.id] = type;
}

Type Checker::InferValue(const Expr& expr) { return AsValue(expr, Infer(expr)); }
Type Checker::InferNumber(const Expr& expr) { return AsNumber(expr, Infer(expr)); }

Type Checker::AsValue(const Expr& expr, Type type) {
  if (type.elem == Elem::kFunction) {
    out_->Error(Code::kTypeMismatch, expr.span, fmt::format("{} is a function, not a value", Quote(expr)))
        .Help("call it with its arguments");
    return {};
  }
  if (type.elem == Elem::kTable) {
    out_->Error(Code::kTypeMismatch, expr.span, fmt::format("{} is a row of a table, not a value", Quote(expr)))
        .Help(fmt::format("take a field of it: {}", Quote(expr) == "this"
                                                        ? "`….FIELD`"
                                                        : Quote(expr).substr(0, Quote(expr).size() - 1) + ".FIELD`"));
    return {};
  }
  if (type.row) {
    Diagnostic& error = out_->Error(Code::kTypeMismatch, expr.span, "a row exists only inside a product");
    error.Under(fmt::format("shape `{}`", ShapeText(type)));
    error.Help("as in `w' * S * w`; a vector alone needs no `'`");
    return {};
  }
  return type;
}

Type Checker::AsNumber(const Expr& expr, Type type) {
  type = AsValue(expr, std::move(type));
  if (type.elem != Elem::kBool) return type;
  out_->Error(Code::kTypeMismatch, expr.span, fmt::format("a number is needed, {} is `bool`", Quote(expr)))
      .Help("write `if … then 1 else 0`");
  return {};
}

Type Checker::InferWhole(const Expr& expr, std::string_view what) {
  const Type type = InferValue(expr);
  if (type.is_error() || (type.elem == Elem::kInt && type.is_scalar())) return type;
  Diagnostic& error = out_->Error(Code::kTypeMismatch, expr.span,
                                  fmt::format("{} is a whole number, {} is `{}`", what, Quote(expr), ToString(type)));
  if (type.elem == Elem::kReal && type.is_scalar()) error.Help("`floor(…)` gives an int");
  if (type.elem == Elem::kInt) error.Help("`gather(a, indices)` takes several entries at once");
  return {};
}

void Checker::Condition(const Expr& expr, std::string_view what) {
  const Type type = InferValue(expr);
  if (type.is_error()) return;
  if (type.elem != Elem::kBool) {
    out_->Error(Code::kTypeMismatch, expr.span,
                fmt::format("the condition of {} is true or false, this is `{}`", what, ToString(type)));
  } else if (!type.is_scalar()) {
    out_->Error(Code::kNotScalar, expr.span,
                fmt::format("the condition of {} is a single truth, this has shape `{}`", what, ShapeText(type)))
        .Help("`all(…)` or `any(…)` makes one of it; entry by entry, write a comprehension");
  }
}

// Where a condition speaks of an index, its range is not what the binder says: `if t > 0 then u[t - 1] else 0`.
void Checker::Guard(const Expr& condition) {
  VisitUses(condition, [&](const Use& use) {
    const auto local =
        std::find_if(locals_.rbegin(), locals_.rend(), [&](const Local& l) { return l.name == use.name; });
    if (local != locals_.rend()) local->range = std::nullopt;
  });
}

// ---- names and fields

Type Checker::InferName(const Name& node, const Expr& expr) {
  const std::string& name = node.name.text;
  if (const Local* local = FindLocal(name)) return local->type;
  if (generics_.contains(name)) return Scalar(Elem::kInt);
  if (DeclOf(name) != nullptr) return TypeOf(name);
  if (name == "pi") return Scalar(Elem::kReal);
  if (name == "step" || name == "trained") return Scalar(Elem::kInt);
  if (name == "residual") return Scalar(Elem::kReal);
  if (name == "objective") {
    if (problem_.objectives.empty() && !problem_.broken) {
      out_->Error(Code::kMissingPart, expr.span, "`objective` is what is minimized, and this problem has none")
          .Help("write `minimize …` or `maximize …`");
    }
    return problem_.objectives.empty() ? Type{} : Scalar(Elem::kReal);
  }
  if (name == "violation") {
    if (problem_.constraints.empty() && !problem_.broken) {
      out_->Error(Code::kMissingPart, expr.span, "`violation` is that of the constraints, and this problem has none");
    }
    return problem_.constraints.empty() ? Type{} : Scalar(Elem::kReal);
  }
  if (name == "ended") {
    if (!HasNext() && !problem_.broken) {
      out_->Error(Code::kMissingPart, expr.span, "`ended` is the condition of a `next … until`, and there is none");
    }
    return Scalar(Elem::kBool);
  }
  if (name == "regression" && !problem_.losses.empty()) return Scalar(Elem::kReal);
  if (in_report_) {
    const auto is_it = [&](const ReportDecl* report) { return report->name.text == name; };
    if (std::any_of(problem_.reports.begin(), problem_.reports.end(), is_it)) return Scalar(Elem::kReal);
  }
  if (FindBuiltin(Space::kFunction, name) != nullptr) return Scalar(Elem::kFunction);
  ReportUnknown(node.name);
  return {};
}

Type Checker::InferMember(const Member& node, const Expr& expr) {
  if (const auto* call = std::get_if<Call>(&node.base->node)) {
    const auto* callee = std::get_if<Name>(&call->callee->node);
    if (callee != nullptr && IsProblem(callee->name.text)) {
      const Type type = CallProblem(*call, *node.base, callee->name, &node.field);
      if (node.base->id >= checked_.types.size()) checked_.types.resize(node.base->id + 1);
      checked_.types[node.base->id] = Scalar(Elem::kTable);
      return type;
    }
  }
  if (const auto* name = std::get_if<Name>(&node.base->node); name != nullptr && IsProblem(name->name.text)) {
    out_->Error(Code::kTypeMismatch, expr.span,
                fmt::format("the problem `{}` is called before a variable of it is taken", name->name.text))
        .Help(fmt::format("`{}(x = …).{}`, with its contexts", name->name.text, node.field.text));
    return {};
  }
  const Type base = Infer(*node.base);
  if (base.is_error()) return {};
  if (base.elem != Elem::kTable) {
    out_->Error(Code::kTypeMismatch, Span{node.base->span.end, expr.span.end, expr.span.source},
                fmt::format("{} has no fields: it is `{}`", Quote(*node.base), ToString(base)))
        .Help("fields are those of tables and of called problems; elementwise operators are `.*` `./` `.^`");
    return {};
  }
  const DataSet* table = TableOf(*node.base);
  if (table == nullptr) return {};  // a file's fields are known when it is read
  std::vector<std::string> known;
  for (const Field& field : table->fields) {
    if (field.name == node.field.text) return field.type;
    known.emplace_back(field.name);
  }
  Diagnostic& error = out_->Error(Code::kUnknownName, node.field.span,
                                  fmt::format("`{}` has no field `{}`", table->name, node.field.text));
  const std::string near = Nearest(node.field.text, known);
  error.Help(near.empty() ? fmt::format("its fields are `{}`", fmt::join(known, "`, `"))
                          : fmt::format("did you mean `{}`?", near));
  return {};
}

// ---- indices

Type Checker::InferIndex(const Index& node, const Expr& expr) {
  const Type base = InferValue(*node.base);
  for (const IndexItem& item : node.items) {
    if (item.at != nullptr) InferWhole(*item.at, "an index");
    if (item.lo != nullptr) InferWhole(*item.lo, "the start of a slice");
    if (item.hi != nullptr) InferWhole(*item.hi, "the end of a slice");
  }
  if (base.is_error()) return {};
  if (node.items.size() > base.dims.size()) {
    const Span opening{node.base->span.end, expr.span.end, expr.span.source};
    Diagnostic& error =
        out_->Error(Code::kShapeMismatch, opening,
                    base.is_scalar() ? fmt::format("{} is a single number, it has no entries", Quote(*node.base))
                                     : fmt::format("{} has {} {}, here are {}", Quote(*node.base), base.dims.size(),
                                                   base.dims.size() == 1 ? "index" : "indices", node.items.size()));
    if (StartsLine(opening)) {
      error.Help("this `[` continues the line before it: an operator may be missing at its end");
    } else {
      LabelOrigin(error, *node.base, base);
    }
    return {};
  }
  std::vector<Dim> dims;
  bool good = true;
  for (std::size_t k = 0; k < base.dims.size(); ++k) {
    const Dim& dim = base.dims[k];
    if (k >= node.items.size() || node.items[k].kind == IndexItem::Kind::kAll) {
      dims.push_back(dim);
    } else if (node.items[k].kind == IndexItem::Kind::kAt) {
      CheckBounds(*node.items[k].at, dim, node);
    } else if (std::optional<Dim> length = CheckSlice(node.items[k], dim, node)) {
      dims.push_back(*length);
    } else {
      good = false;
    }
  }
  return good ? Type{base.elem, dims, false} : Type{};
}

void Checker::CheckBounds(const Expr& at, const Dim& dim, const Index& node) {
  const std::optional<Interval> range = IntervalOf(at);
  if (!range || dim.value == kUnknownValue || range->lo > range->hi) return;
  if (range->lo >= 0 && range->hi < static_cast<double>(dim.value)) return;
  const double bad = range->lo < 0 ? range->lo : range->hi;
  const std::string entries = dim.value == 1 ? "1 entry" : fmt::format("{} entries", dim.value);
  out_->Error(Code::kShapeMismatch, at.span,
              range->lo == range->hi ? fmt::format("{} has {}, there is none at {}", Quote(*node.base), entries, bad)
                                     : fmt::format("{} has {}, the index {} goes {} to {}", Quote(*node.base), entries,
                                                   Quote(at), range->lo < 0 ? "down" : "up", bad))
      .Help(range->lo < 0 ? "indices start at 0; the last entry is `last(…)`"
                          : fmt::format("indices start at 0: the last one is {}", dim.value - 1));
}

std::optional<Dim> Checker::CheckSlice(const IndexItem& item, const Dim& dim, const Index& node) {
  const std::optional<Dim> lo = item.lo == nullptr ? std::optional(Fixed(0)) : ToDim(*item.lo);
  const std::optional<Dim> hi = item.hi == nullptr ? std::optional(dim) : ToDim(*item.hi);
  const auto is_error = [&](const ExprPtr& e) { return e != nullptr && checked_.types[e->id].is_error(); };
  if (is_error(item.lo) || is_error(item.hi)) return std::nullopt;
  const std::optional<Dim> length = lo && hi ? std::optional(*hi - *lo) : std::nullopt;
  const bool is_symbolic = length && std::any_of(locals_.begin(), locals_.end(), [&](const Local& l) {
                             return l.symbol && Mentions(*length, ToString(*l.symbol));
                           });
  if (!length || is_symbolic) {
    out_->Error(Code::kShapeMismatch, item.span, "the length of this slice is not known before anything runs")
        .Help("its two ends may differ by numbers and dims only");
    return std::nullopt;
  }
  const auto check = [&](const Dim& end) {
    if (end.value == kUnknownValue || dim.value == kUnknownValue || (end.value >= 0 && end.value <= dim.value))
      return true;
    out_->Error(Code::kShapeMismatch, item.span,
                fmt::format("this slice reaches {}, {} has {} entries", end.value, Quote(*node.base), dim.value));
    return false;
  };
  if (!check(*lo) || !check(*hi)) return std::nullopt;
  if (length->value != kUnknownValue && length->value < 0) {
    out_->Error(Code::kShapeMismatch, item.span,
                fmt::format("this slice runs backwards, from {} to {}", lo->value, hi->value));
    return std::nullopt;
  }
  return length;
}

// ---- arrays, if, where

Type Checker::InferArray(const Array& node, const Expr& expr) {
  if (node.items.empty()) {
    out_->Error(Code::kShapeMismatch, expr.span, "an array has at least one entry");
    return {};
  }
  Type first;
  bool good = true;
  for (const ExprPtr& item : node.items) {
    const Type type = InferValue(*item);
    if (type.is_error()) {
      good = false;
      continue;
    }
    if (first.is_error()) {
      first = type;
      continue;
    }
    if (!SameDims(first.dims, type.dims)) {
      out_->Error(Code::kShapeMismatch, item->span,
                  fmt::format("entries of one array have one shape: the first has `{}`, this has `{}`",
                              ShapeText(first), ShapeText(type)))
          .Label(node.items[0]->span, fmt::format("shape `{}`", ShapeText(first)))
          .Help("`concat(a, b)` joins arrays end to end");
      return {};
    }
    if ((first.elem == Elem::kBool) != (type.elem == Elem::kBool)) {
      out_->Error(Code::kTypeMismatch, item->span,
                  fmt::format("entries of one array have one type: the first is `{}`, this is `{}`",
                              ToString(first.elem), ToString(type.elem)));
      return {};
    }
    first.elem = JoinElem(first.elem, type.elem);
  }
  if (!good) return {};
  return ArrayOf({Fixed(static_cast<std::int64_t>(node.items.size()))}, first);
}

Type Checker::InferIf(const If& node, const Expr& expr) {
  Condition(*node.condition, "`if`");
  Scope scope(*this);
  Guard(*node.condition);
  const Type then = InferValue(*node.then), otherwise = InferValue(*node.otherwise);
  if (then.is_error() || otherwise.is_error()) return {};
  const bool differ = (then.elem == Elem::kBool) != (otherwise.elem == Elem::kBool);
  if (!differ && SameDims(then.dims, otherwise.dims)) return {JoinElem(then.elem, otherwise.elem), then.dims, false};
  const std::string a = ToString(then), b = ToString(otherwise);
  Diagnostic& error = out_->Error(differ ? Code::kTypeMismatch : Code::kShapeMismatch, expr.span,
                                  fmt::format("the two sides of `if` are `{}` and `{}`", a, b));
  error.Label(node.then->span, fmt::format("`{}`", a)).Label(node.otherwise->span, fmt::format("`{}`", b));
  if (!differ && (then.is_scalar() || otherwise.is_scalar()))
    error.Help("`zeros(n)` is an array; or write a comprehension");
  return {};
}

Type Checker::InferWhere(const Where& node) {
  Scope scope(*this);
  for (const Definition& definition : node.definitions) Define(definition);
  return Infer(*node.body);
}

void Checker::Define(const Definition& definition) {
  Type type;
  {
    Scope scope(*this);
    const std::optional<std::vector<Dim>> outer = BindIndices(definition.index);
    type = Family(outer, InferValue(*definition.value));
  }
  // A whole number keeps its meaning in the length of a slice.
  std::optional<Interval> range;
  std::optional<Dim> symbol;
  if (definition.index.empty() && type.elem == Elem::kInt && type.is_scalar()) {
    range = IntervalOf(*definition.value);
    symbol = ToDim(*definition.value);
  }
  locals_.push_back({definition.name.text, definition.name.span, type, symbol, range});
}

// ---- what is declared against what is there

bool Checker::Assign(const Expr& value, const Type& got, const Type& want, bool fill, const std::string& name,
                     Span declared) {
  if (got.is_error() || want.is_error()) return true;
  const bool same_shape = SameDims(got.dims, want.dims) || (fill && got.is_scalar());
  if (!same_shape) {
    Diagnostic& error =
        out_->Error(Code::kShapeMismatch, value.span,
                    fmt::format("`{}` is `{}`, what it gets is `{}`", name, ToString(want), ToString(got)));
    error.Under(fmt::format("shape `{}`", ShapeText(got)));
    if (declared.end > declared.begin) error.Label(declared, fmt::format("declared as `{}`", ToString(want)));
    return false;
  }
  const bool fits = want.elem == got.elem || (want.elem == Elem::kReal && got.elem == Elem::kInt);
  if (fits) return true;
  Diagnostic& error =
      out_->Error(Code::kTypeMismatch, value.span,
                  fmt::format("`{}` is `{}`, what it gets is `{}`", name, ToString(want), ToString(got)));
  if (declared.end > declared.begin) error.Label(declared, fmt::format("declared as `{}`", ToString(want)));
  if (want.elem == Elem::kInt && got.elem == Elem::kReal) error.Help("`floor(…)` gives an int");
  return false;
}

void Checker::LabelOrigin(Diagnostic& diagnostic, const Expr& expr, const Type& type) {
  if (const auto* paren = std::get_if<Paren>(&expr.node)) return LabelOrigin(diagnostic, *paren->inner, type);
  const auto* node = std::get_if<Name>(&expr.node);
  if (node == nullptr) return;
  const Local* local = FindLocal(node->name.text);
  const Span span = local != nullptr ? local->span : SpanOf(node->name.text);
  if (span.end == span.begin || span == node->name.span) return;
  diagnostic.Label(span, fmt::format("`{}` is `{}`", node->name.text, ToString(type)));
}

}  // namespace amo::lang
