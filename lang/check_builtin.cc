// SPDX-License-Identifier: Apache-2.0
// Calls of the standard library: one function for each family of rules in builtins.h.
#include <fmt/format.h>

#include <algorithm>

#include "lang/checker.h"

namespace amo::lang {
namespace {

std::string_view RankText(int rank) {
  constexpr std::string_view kTexts[] = {"a single number", "a vector", "a matrix", "an array with three axes",
                                         "an array with four axes"};
  return kTexts[std::min(rank, 4)];
}

}  // namespace

// The type of a numeric argument that has `rank` axes (-1: any number); the rest is reported.
Type Checker::InferArgument(const Call& node, std::size_t i, int rank, const Builtin& builtin) {
  const Expr& arg = *node.args[i].value;
  const Type type = InferNumber(arg);
  if (type.is_error() || rank < 0 || type.dims.size() == static_cast<std::size_t>(rank)) return type;
  Diagnostic& error =
      out_->Error(Code::kShapeMismatch, arg.span,
                  fmt::format("`{}` takes {}, {} is `{}`", builtin.name, RankText(rank), Quote(arg), ToString(type)));
  LabelOrigin(error, arg, type);
  if (builtin.rule == Rule::kNorm && type.dims.size() == 2)
    error.Help("of all entries of a matrix: `sumsq(A)`, or `reshape` it to a vector");
  return {};
}

bool Checker::IsSquare(const Type& type, const Expr& expr, const Builtin& builtin) {
  if (type.is_error()) return false;
  if (SameDim(type.dims[0], type.dims[1])) return true;
  out_->Error(Code::kShapeMismatch, expr.span,
              fmt::format("`{}` takes a square matrix, {} is `{}`", builtin.name, Quote(expr), ToString(type)));
  return false;
}

bool Checker::Agree(const Dim& a, const Dim& b, const Call& node, const Builtin& builtin, std::string_view what) {
  if (SameDim(a, b)) return true;
  out_->Error(Code::kShapeMismatch,
              Span{node.args.front().value->span.begin, node.args.back().value->span.end,
                   node.args.front().value->span.source},
              fmt::format("{} of `{}` differ: `{}` and `{}`", what, builtin.name, ToString(a), ToString(b)))
      .Help(fmt::format("`{}`", builtin.usage));
  return false;
}

Type Checker::CallBuiltin(const Call& node, const Expr& expr, const Builtin& builtin) {
  std::size_t positional = 0;
  for (const Argument& argument : node.args) {
    if (!argument.keyword) {
      ++positional;
      continue;
    }
    if (const Parameter* param = FindParameter(builtin.params, argument.keyword->text)) {
      CheckSetting(*argument.value, *param);
      continue;
    }
    Infer(*argument.value);
    Diagnostic& error = out_->Error(Code::kUnknownKeyword, argument.keyword->span,
                                    fmt::format("`{}` has no setting `{}`", builtin.name, argument.keyword->text));
    std::vector<std::string> known;
    for (const Parameter& param : builtin.params) known.emplace_back(param.name);
    const std::string near = Nearest(argument.keyword->text, known);
    error.Help(near.empty() ? fmt::format("`{}`", builtin.usage) : fmt::format("did you mean `{}`?", near));
    return {};
  }
  for (const ExprPtr& w : node.weights) {
    Infer(*w);
    out_->Error(Code::kArgumentCount, w->span, fmt::format("`{}` is a function, it has no weights", builtin.name));
    return {};
  }
  const bool few = positional < static_cast<std::size_t>(builtin.min_args);
  const bool many = builtin.max_args >= 0 && positional > static_cast<std::size_t>(builtin.max_args);
  const bool is_scan = builtin.rule == Rule::kScan;
  if (few || many || is_scan) {
    if (builtin.rule != Rule::kSolved && builtin.rule != Rule::kWeights && builtin.rule != Rule::kProject) {
      for (const Argument& argument : node.args) {
        if (!argument.keyword) Infer(*argument.value);
      }
    }
    if (is_scan) {
      out_->Error(Code::kArgumentCount, expr.span, "`scan` needs a state, an index and a step")
          .Help(fmt::format("`{}`", builtin.usage));
    } else {
      ReportCount(node, expr, builtin.usage, builtin.min_args, builtin.max_args);
    }
    return {};
  }
  switch (builtin.rule) {
    case Rule::kMap:
    case Rule::kMapKeep:
    case Rule::kMapToInt:
    case Rule::kMapTwo:
    case Rule::kClamp:
      return CallElementwise(node, builtin);
    case Rule::kExtreme:
    case Rule::kTotal:
    case Rule::kMean:
    case Rule::kLogic:
    case Rule::kNorm:
    case Rule::kWhere:
    case Rule::kVector:
    case Rule::kQuantile:
      return CallReduction(node, builtin);
    case Rule::kDot:
    case Rule::kQuad:
    case Rule::kOuter:
    case Rule::kSquareToReal:
    case Rule::kSquare:
    case Rule::kLinsolve:
    case Rule::kEigvals:
    case Rule::kSpectral:
    case Rule::kDiag:
      return CallLinear(node, builtin);
    case Rule::kBlock:
      return CallBlock(node);
    case Rule::kEye:
    case Rule::kZeros:
    case Rule::kConcat:
    case Rule::kStack:
    case Rule::kReshape:
    case Rule::kGather:
    case Rule::kOneHot:
    case Rule::kLast:
    case Rule::kSize:
      return CallShape(node, builtin);
    case Rule::kConv1d:
    case Rule::kConv2d:
    case Rule::kMaxpool:
      return CallConvolution(node, builtin);
    case Rule::kLogpdf:
    case Rule::kCategorical:
    case Rule::kTwoReal:
      return CallDensity(node, builtin);
    case Rule::kGrad:
    case Rule::kProject:
    case Rule::kStop:
    case Rule::kSolved:
    case Rule::kExpect:
    case Rule::kNext:
    case Rule::kWeights:
    case Rule::kLearned:
      return CallSpecial(node, expr, builtin);
    case Rule::kScan:
    case Rule::kNone:
      break;
  }
  return {};
}

Type Checker::CallElementwise(const Call& node, const Builtin& builtin) {
  std::optional<Type> all;
  bool good = true;
  for (std::size_t i = 0; i < node.args.size(); ++i) {
    const Type type = InferArgument(node, i, -1, builtin);
    good = good && !type.is_error();
    if (!good) continue;
    std::optional<Type> both = all ? Combine(*all, type) : type;
    if (!both) {
      Diagnostic& error = out_->Error(Code::kShapeMismatch, node.args[i].value->span,
                                      fmt::format("the arguments of `{}` have shapes `{}` and `{}`", builtin.name,
                                                  ShapeText(*all), ShapeText(type)));
      LabelOrigin(error, *node.args[i].value, type);
      good = false;
      continue;
    }
    all = both;
  }
  if (!good) return {};
  if (builtin.rule == Rule::kMapToInt) all->elem = Elem::kInt;
  if (builtin.rule == Rule::kMap || builtin.rule == Rule::kMapTwo) all->elem = Elem::kReal;
  return *all;
}

Type Checker::CallReduction(const Call& node, const Builtin& builtin) {
  if (builtin.rule == Rule::kExtreme && node.args.size() > 1) return CallElementwise(node, builtin);
  if (builtin.rule == Rule::kLogic) {
    const Type type = InferValue(*node.args[0].value);
    if (type.is_error()) return {};
    if (type.elem == Elem::kBool) return Scalar(Elem::kBool);
    out_->Error(Code::kTypeMismatch, node.args[0].value->span,
                fmt::format("`{}` takes truths, {} is `{}`", builtin.name, Quote(*node.args[0].value), ToString(type)));
    return {};
  }
  const bool any_rank = builtin.rule == Rule::kTotal || builtin.rule == Rule::kMean || builtin.rule == Rule::kExtreme;
  const Type type = InferArgument(node, 0, any_rank ? -1 : 1, builtin);
  if (builtin.rule == Rule::kQuantile) {
    const Type level = InferArgument(node, 1, 0, builtin);
    return type.is_error() || level.is_error() ? Type{} : Scalar(Elem::kReal);
  }
  if (type.is_error()) return {};
  const std::string_view name = builtin.name;
  if (any_rank && type.is_scalar() && name != "sumsq") {
    out_->Error(Code::kShapeMismatch, node.args[0].value->span,
                fmt::format("`{}` reduces an array, {} is a single number", name, Quote(*node.args[0].value)))
        .Help(fmt::format("`{}(i in n: …)` runs over an index", name));
    return {};
  }
  switch (builtin.rule) {
    case Rule::kVector:
      return {name == "sort" || name == "cumsum" ? type.elem : Elem::kReal, type.dims, false};
    case Rule::kWhere:
      return Scalar(Elem::kInt);
    case Rule::kTotal:
    case Rule::kExtreme:
      return Scalar(type.elem);
    default:
      return Scalar(Elem::kReal);
  }
}

Type Checker::CallLinear(const Call& node, const Builtin& builtin) {
  const Expr& first = *node.args[0].value;
  switch (builtin.rule) {
    case Rule::kDot:
    case Rule::kOuter: {
      const Type a = InferArgument(node, 0, 1, builtin), b = InferArgument(node, 1, 1, builtin);
      if (a.is_error() || b.is_error()) return {};
      if (builtin.rule == Rule::kOuter) return {JoinElem(a.elem, b.elem), {a.dims[0], b.dims[0]}, false};
      if (!Agree(a.dims[0], b.dims[0], node, builtin, "the lengths")) return {};
      return Scalar(builtin.name == "dot" ? JoinElem(a.elem, b.elem) : Elem::kReal);
    }
    case Rule::kQuad: {
      const Type a = InferArgument(node, 0, 2, builtin), v = InferArgument(node, 1, 1, builtin);
      if (!IsSquare(a, first, builtin) || v.is_error()) return {};
      return Agree(a.dims[1], v.dims[0], node, builtin, "the dims") ? Scalar(Elem::kReal) : Type{};
    }
    case Rule::kSquareToReal:
    case Rule::kSquare:
    case Rule::kEigvals: {
      const Type a = InferArgument(node, 0, 2, builtin);
      if (!IsSquare(a, first, builtin)) return {};
      if (builtin.rule == Rule::kSquareToReal) return Scalar(Elem::kReal);
      if (builtin.rule == Rule::kEigvals) return {Elem::kReal, {a.dims[0]}, false};
      return {Elem::kReal, a.dims, false};
    }
    case Rule::kLinsolve: {
      const Type a = InferArgument(node, 0, 2, builtin);
      const Type b = InferArgument(node, 1, -1, builtin);
      if (!IsSquare(a, first, builtin) || b.is_error()) return {};
      if (b.dims.empty() || b.dims.size() > 2) {
        InferArgument(node, 1, 1, builtin);
        return {};
      }
      return Agree(a.dims[0], b.dims[0], node, builtin, "the dims") ? Type{Elem::kReal, b.dims, false} : Type{};
    }
    case Rule::kSpectral: {
      const Type f = Infer(first);
      const Type a = InferArgument(node, 1, 2, builtin);
      if (f.is_error() || !IsSquare(a, *node.args[1].value, builtin)) return {};
      if (f.elem != Elem::kFunction) {
        out_->Error(Code::kTypeMismatch, first.span,
                    fmt::format("`spectral` takes a function of one number, {} is `{}`", Quote(first), ToString(f)))
            .Help("as in `spectral(log, A)`");
        return {};
      }
      return {Elem::kReal, a.dims, false};
    }
    default:
      break;
  }
  // diag: a vector to a matrix, a square matrix to its diagonal
  const Type type = InferArgument(node, 0, -1, builtin);
  if (type.is_error()) return {};
  if (type.dims.size() == 1) return {type.elem, {type.dims[0], type.dims[0]}, false};
  if (type.dims.size() == 2) return IsSquare(type, first, builtin) ? Type{type.elem, {type.dims[0]}, false} : Type{};
  InferArgument(node, 0, 1, builtin);
  return {};
}

Type Checker::CallShape(const Call& node, const Builtin& builtin) {
  const Expr& first = *node.args[0].value;
  const auto dim_at = [&](const Expr& arg) {
    const Type type = InferWhole(arg, "a dim");
    return type.is_error() ? std::nullopt : DimOf(arg);
  };
  switch (builtin.rule) {
    case Rule::kEye:
    case Rule::kZeros: {
      std::vector<Dim> dims;
      for (const Argument& argument : node.args) {
        const std::optional<Dim> dim = dim_at(*argument.value);
        if (!dim) return {};
        dims.push_back(*dim);
      }
      if (builtin.rule == Rule::kEye) dims.push_back(dims[0]);
      return {Elem::kReal, dims, false};
    }
    case Rule::kOneHot: {
      const Type at = InferNumber(first);
      const std::optional<Dim> dim = dim_at(*node.args[1].value);
      if (at.is_error() || !dim) return {};
      if (at.elem != Elem::kInt || at.dims.size() > 1) {
        out_->Error(Code::kTypeMismatch, first.span,
                    fmt::format("`one_hot` takes an int or a vector of them, {} is `{}`", Quote(first), ToString(at)));
        return {};
      }
      std::vector<Dim> dims = at.dims;
      dims.push_back(*dim);
      return {Elem::kReal, dims, false};
    }
    case Rule::kReshape: {
      const Type from = InferArgument(node, 0, -1, builtin);
      const auto* shape = std::get_if<Array>(&node.args[1].value->node);
      std::vector<Dim> dims;
      if (shape == nullptr) {
        out_->Error(Code::kTypeMismatch, node.args[1].value->span, "the shape is a list of dims in brackets")
            .Help("`reshape(a, [n, m])`");
        return {};
      }
      for (const ExprPtr& item : shape->items) {
        const std::optional<Dim> dim = dim_at(*item);
        if (!dim) return {};
        dims.push_back(*dim);
      }
      if (from.is_error()) return {};
      const Dim a = Product(from.dims), b = Product(dims);
      if (SameDim(a, b)) return {from.elem, dims, false};
      out_->Error(Code::kShapeMismatch, node.args[1].value->span,
                  fmt::format("`reshape` keeps the number of entries: `{}` has {}, `{}` has {}", ShapeText(from),
                              CountText(a), ShapeText({from.elem, dims, false}), CountText(b)));
      return {};
    }
    case Rule::kGather: {
      const Type from = InferArgument(node, 0, -1, builtin), at = InferArgument(node, 1, 1, builtin);
      if (from.is_error() || at.is_error()) return {};
      if (at.elem != Elem::kInt || from.is_scalar()) {
        out_->Error(Code::kTypeMismatch, from.is_scalar() ? first.span : node.args[1].value->span,
                    from.is_scalar() ? "`gather` takes entries of an array" : "`gather` takes indices that are ints");
        return {};
      }
      std::vector<Dim> dims = from.dims;
      dims[0] = at.dims[0];
      return {from.elem, dims, false};
    }
    case Rule::kLast:
    case Rule::kSize: {
      const Type type = InferArgument(node, 0, -1, builtin);
      if (type.is_error()) return {};
      if (type.is_scalar()) {
        out_->Error(Code::kShapeMismatch, first.span,
                    fmt::format("`{}` takes an array, {} is a single number", builtin.name, Quote(first)));
        return {};
      }
      if (builtin.rule == Rule::kSize) return Scalar(Elem::kInt);
      return {type.elem, {type.dims.begin() + 1, type.dims.end()}, false};
    }
    default:
      break;
  }
  // concat, stack
  const bool stacks = builtin.rule == Rule::kStack;
  Type all;
  bool good = true;
  for (std::size_t i = 0; i < node.args.size(); ++i) {
    const Expr& arg = *node.args[i].value;
    const Type type = InferNumber(arg);
    if (type.is_error()) {
      good = false;
      continue;
    }
    if (!stacks && type.is_scalar()) {
      out_->Error(Code::kShapeMismatch, arg.span,
                  fmt::format("`concat` joins arrays, {} is a single number", Quote(arg)))
          .Help(
              fmt::format("`[…]` makes an array of it: {}",
                          Quote(arg) == "this" ? "`[x]`" : "`[" + Quote(arg).substr(1, Quote(arg).size() - 2) + "]`"));
      good = false;
      continue;
    }
    if (all.is_error()) {
      all = type;
      continue;
    }
    const std::size_t from = stacks ? 0 : 1;
    const bool fits = all.dims.size() == type.dims.size() &&
                      std::equal(all.dims.begin() + static_cast<std::ptrdiff_t>(from), all.dims.end(),
                                 type.dims.begin() + static_cast<std::ptrdiff_t>(from), SameDim);
    if (!fits) {
      Diagnostic& error =
          out_->Error(Code::kShapeMismatch, arg.span,
                      fmt::format("`{}` joins arrays that agree in all axes{}: here are `{}` and `{}`", builtin.name,
                                  stacks ? "" : " but the first", ShapeText(all), ShapeText(type)));
      LabelOrigin(error, arg, type);
      return {};
    }
    all.elem = JoinElem(all.elem, type.elem);
    if (!stacks) all.dims[0] = all.dims[0] + type.dims[0];
  }
  if (!good) return {};
  return stacks ? ArrayOf({Fixed(static_cast<std::int64_t>(node.args.size()))}, all) : all;
}

// block([[A, B], [C, D]]): blocks of a row have one height, rows have one width.
Type Checker::CallBlock(const Call& node) {
  const auto* rows = std::get_if<Array>(&node.args[0].value->node);
  Type all;
  bool good = rows != nullptr;
  for (std::size_t i = 0; good && i < rows->items.size(); ++i)
    good = std::holds_alternative<Array>(rows->items[i]->node);
  if (!good) {
    out_->Error(Code::kTypeMismatch, node.args[0].value->span, "`block` takes rows of matrices, written out")
        .Help("`block([[A, B], [C, D]])`");
    return {};
  }
  for (const ExprPtr& row : rows->items) {
    Type whole;
    for (const ExprPtr& item : std::get<Array>(row->node).items) {
      const Type type = InferNumber(*item);
      if (type.is_error() || !good) {
        good = false;
        continue;
      }
      if (type.dims.size() != 2) {
        out_->Error(Code::kShapeMismatch, item->span,
                    fmt::format("`block` takes matrices, {} is `{}`", Quote(*item), ToString(type)))
            .Help("`reshape(v, [n, 1])` makes a column of a vector");
        good = false;
      } else if (whole.is_error()) {
        whole = type;
      } else if (!SameDim(whole.dims[0], type.dims[0])) {
        out_->Error(Code::kShapeMismatch, item->span,
                    fmt::format("blocks of one row have one height: `{}` and `{}`", ToString(whole.dims[0]),
                                ToString(type.dims[0])));
        good = false;
      } else {
        whole.dims[1] = whole.dims[1] + type.dims[1];
        whole.elem = JoinElem(whole.elem, type.elem);
      }
    }
    if (!good || whole.is_error()) return {};
    if (all.is_error()) {
      all = whole;
    } else if (!SameDim(all.dims[1], whole.dims[1])) {
      out_->Error(
          Code::kShapeMismatch, row->span,
          fmt::format("rows of blocks have one width: `{}` and `{}`", ToString(all.dims[1]), ToString(whole.dims[1])));
      return {};
    } else {
      all.dims[0] = all.dims[0] + whole.dims[0];
      all.elem = JoinElem(all.elem, whole.elem);
    }
  }
  return all;
}

// Sizes along an axis: floor((n + 2 pad - kernel) / stride) + 1; of a pool, pad is 0 and the stride its size.
Type Checker::CallConvolution(const Call& node, const Builtin& builtin) {
  const auto keyword = [&](std::string_view name, const Dim& otherwise) -> Dim {
    for (const Argument& argument : node.args) {
      if (argument.keyword && argument.keyword->text == name) return ToDim(*argument.value).value_or(otherwise);
    }
    return otherwise;
  };
  const int axes = builtin.rule == Rule::kConv1d ? 1 : 2;
  const Type a = InferArgument(node, 0, axes + 1, builtin);
  std::vector<Dim> kernel;
  if (builtin.rule == Rule::kMaxpool) {
    InferWhole(*node.args[1].value, "the size of a pool");
    const std::optional<Dim> size = ToDim(*node.args[1].value);
    if (a.is_error() || !size) return {};
    kernel = {a.dims[0], a.dims[0], *size, *size};
  } else {
    const Type k = InferArgument(node, 1, axes + 2, builtin);
    if (a.is_error() || k.is_error() || !Agree(k.dims[1], a.dims[0], node, builtin, "the channels")) return {};
    kernel = k.dims;
  }
  const Dim pad = keyword("pad", Fixed(0));
  const Dim stride = keyword("stride", builtin.rule == Rule::kMaxpool ? kernel[2] : Fixed(1));
  std::vector<Dim> dims{kernel[0]};
  for (int i = 0; i < axes; ++i) {
    const Dim room = a.dims[static_cast<std::size_t>(i) + 1] + Fixed(2) * pad - kernel[static_cast<std::size_t>(i) + 2];
    if (room.value != kUnknownValue && room.value < 0) {
      out_->Error(Code::kShapeMismatch, node.args[1].value->span, "the kernel is larger than what it runs over");
      return {};
    }
    if (IsFixed(stride) && FixedValue(stride) == 1) {
      dims.push_back(room + Fixed(1));
    } else if (room.value != kUnknownValue && stride.value > 0) {
      dims.push_back(Fixed(room.value / stride.value + 1));
    } else {
      return {};
    }
  }
  return {Elem::kReal, dims, false};
}

Type Checker::CallDensity(const Call& node, const Builtin& builtin) {
  if (builtin.rule != Rule::kCategorical)
    return CallElementwise(node, builtin).is_error() ? Type{} : Scalar(Elem::kReal);
  const Type x = InferArgument(node, 0, -1, builtin), p = InferArgument(node, 1, -1, builtin);
  if (x.is_error() || p.is_error()) return {};
  if (x.elem != Elem::kInt) {
    out_->Error(Code::kTypeMismatch, node.args[0].value->span,
                fmt::format("a category is an int, {} is `{}`", Quote(*node.args[0].value), ToString(x)));
    return {};
  }
  const bool one = p.dims.size() == 1;
  const bool each =
      p.dims.size() == x.dims.size() + 1 && std::equal(x.dims.begin(), x.dims.end(), p.dims.begin(), SameDim);
  if (one || each) return Scalar(Elem::kReal);
  out_->Error(Code::kShapeMismatch, node.args[1].value->span,
              fmt::format("the probabilities have shape `{}`, the categories `{}`", ShapeText(p), ShapeText(x)))
      .Help("one vector for all of them, or one for each: its last axis runs over the categories");
  return {};
}

}  // namespace amo::lang
