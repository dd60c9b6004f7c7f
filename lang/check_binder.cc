// SPDX-License-Identifier: Apache-2.0
// What binds names: indices, draws, comprehensions, reductions, `scan`.
#include <fmt/format.h>

#include <utility>

#include "lang/checker.h"

namespace amo::lang {

// Makes the binder's name known. `lengths`, where given, gets the length of its range, which must then be a dim; false
// where it is none.
bool Checker::Bind(const Binder& binder, std::vector<Dim>* lengths) {
  Local local{binder.name.text, binder.name.span, {}, std::nullopt, std::nullopt};
  bool good = true;
  switch (binder.kind) {
    case Binder::Kind::kIn: {
      local.type = Scalar(Elem::kInt);
      local.symbol = Named(fmt::format("{}#{}", binder.name.text, next_symbol_++), kUnknownValue);
      if (binder.lo != nullptr) InferWhole(*binder.lo, "the start of an index");
      // `i in A` for an array is a common slip: say what an index runs over.
      const Type end = Infer(*binder.hi);
      if (!end.is_error() && (end.elem != Elem::kInt || !end.is_scalar())) {
        out_->Error(Code::kTypeMismatch, binder.hi->span,
                    fmt::format("an index runs over whole numbers, {} is `{}`", Quote(*binder.hi), ToString(end)))
            .Help("`i in n` for a dim or an int, `i in 0..n` for a range");
        good = false;
        break;
      }
      const std::optional<Interval> lo = binder.lo == nullptr ? std::optional(Interval{0, 0}) : IntervalOf(*binder.lo);
      const std::optional<Interval> hi = IntervalOf(*binder.hi);
      if (lo && hi) local.range = Interval{lo->lo, hi->hi - 1};
      if (lengths == nullptr) break;
      const std::optional<Dim> first = binder.lo == nullptr ? std::optional(Fixed(0)) : ToDim(*binder.lo);
      const std::optional<Dim> last = ToDim(*binder.hi);
      const std::optional<Dim> length = first && last ? std::optional(*last - *first) : std::nullopt;
      bool is_known = length.has_value();
      for (const Local& other : locals_) {
        if (length && other.symbol && Mentions(*length, ToString(*other.symbol))) is_known = false;
      }
      const Span at{binder.lo == nullptr ? binder.hi->span.begin : binder.lo->span.begin, binder.hi->span.end,
                    binder.hi->span.source};
      if (!is_known && !end.is_error()) {
        out_->Error(Code::kShapeMismatch, at, "the length of this array is not known before anything runs")
            .Help("its two ends may differ by numbers and dims only");
      } else if (is_known && length->value != kUnknownValue && length->value < 0) {
        out_->Error(Code::kShapeMismatch, at, fmt::format("this range has {} entries", length->value));
        is_known = false;
      }
      good = is_known;
      if (good) lengths->push_back(*length);
      break;
    }
    case Binder::Kind::kDraw: {
      local.type = ToType(*binder.type);
      CheckDistribution(*binder.value, &local.type, binder.type->span);
      if (local.type.elem == Elem::kInt && local.type.is_scalar())
        local.symbol = Named(fmt::format("{}#{}", binder.name.text, next_symbol_++), kUnknownValue);
      break;
    }
    case Binder::Kind::kInit:
      local.type = InferNumber(*binder.value);
      break;
  }
  locals_.push_back(std::move(local));
  return good;
}

std::optional<std::vector<Dim>> Checker::BindIndices(const std::vector<Binder>& binders) {
  std::vector<Dim> lengths;
  bool good = true;
  for (const Binder& binder : binders) good = Bind(binder, &lengths) && good;
  return good ? std::optional(lengths) : std::nullopt;
}

Type Checker::Family(const std::optional<std::vector<Dim>>& outer, const Type& element) {
  return outer && !element.is_error() ? ArrayOf(*outer, element) : Type{};
}

Type Checker::InferComprehension(const Comprehension& node, const Expr& expr) {
  Scope scope(*this);
  std::vector<Dim> lengths;
  bool good = true, has_index = false;
  for (const Binder& binder : node.binders) {
    const bool is_index = binder.kind == Binder::Kind::kIn;
    good = Bind(binder, is_index ? &lengths : nullptr) && good;
    has_index = has_index || is_index;
  }
  if (node.condition != nullptr) {
    Condition(*node.condition, "a comprehension");
    out_->Error(Code::kShapeMismatch, node.condition->span, "the length of an array cannot depend on a condition")
        .Help("`[i in n: if c then … else 0]` keeps the length; `sum(i in n if c: …)` may leave entries out");
  }
  if (!has_index) {
    out_->Error(Code::kShapeMismatch, expr.span, "an array needs an index such as `i in n`");
    return {};
  }
  const Type body = InferValue(*node.body);
  return body.is_error() || !good ? Type{} : ArrayOf(lengths, body);
}

Type Checker::InferBinderCall(const BinderCall& node, const Expr& expr) {
  const std::string& name = node.callee.text;
  const Builtin* builtin = FindBuiltin(Space::kFunction, name);
  const bool is_hidden = FindLocal(name) != nullptr || DeclOf(name) != nullptr;
  if (builtin == nullptr || !builtin->reduces || is_hidden) {
    std::vector<std::string> reductions;
    for (const Builtin& b : Builtins()) {
      if (b.reduces) reductions.emplace_back(b.name);
    }
    if (builtin == nullptr && !is_hidden && unknown_.insert({name, node.callee.span.source}).second) {
      Diagnostic& error =
          out_->Error(Code::kUnknownName, node.callee.span, fmt::format("nothing is called `{}`", name));
      const std::string near = Nearest(name, reductions);
      if (!near.empty()) error.Help(fmt::format("did you mean `{}`?", near));
    } else if (builtin != nullptr || is_hidden) {
      out_->Error(Code::kArgumentCount, node.callee.span, fmt::format("`{}` takes no indices", name))
          .Help(fmt::format("those that do are `{}`; `{}([i in n: …])` gives it an array",
                            fmt::join(reductions, "`, `"), name));
    }
    Scope scope(*this);
    for (const Binder& binder : node.binders) Bind(binder, nullptr);
    if (node.condition != nullptr) Condition(*node.condition, "an index");
    Infer(*node.body);
    return {};
  }
  if (builtin->rule == Rule::kScan) return InferScan(node, expr);
  Scope scope(*this);
  bool has_index = false;
  for (const Binder& binder : node.binders) {
    has_index = has_index || binder.kind == Binder::Kind::kIn;
    if (binder.kind == Binder::Kind::kInit) {
      out_->Error(Code::kUnknownKeyword, binder.name.span,
                  fmt::format("`{}` has no state `{}`", name, binder.name.text))
          .Help("a state goes through `scan(z = START, t in n: …)`");
    }
    Bind(binder, nullptr);
  }
  if (node.condition != nullptr) {
    Condition(*node.condition, fmt::format("`{}`", name));
    Guard(*node.condition);
  }
  if (!has_index) {
    out_->Error(Code::kArgumentCount, expr.span, fmt::format("`{}` draws, and runs over no index", name))
        .Help(fmt::format("`{}(i in 64, e : real ~ …: …)` takes 64 draws", name));
  }
  const Type body = InferValue(*node.body);
  if (body.is_error()) return {};
  const bool wants_truth = builtin->rule == Rule::kLogic;
  if ((body.elem == Elem::kBool) != wants_truth) {
    Diagnostic& error = out_->Error(
        Code::kTypeMismatch, node.body->span,
        fmt::format("`{}` takes {}, this is `{}`", name, wants_truth ? "truths" : "numbers", ToString(body)));
    if (!wants_truth) error.Help("write `if … then 1 else 0`");
    return {};
  }
  const bool keeps_axes = name == "sum" || name == "mean";
  if (!body.is_scalar() && !keeps_axes) {
    out_->Error(Code::kNotScalar, node.body->span,
                fmt::format("`{}` over an index takes single values, this has shape `{}`", name, ShapeText(body)))
        .Help("`sum` and `mean` alone take arrays");
    return {};
  }
  return {builtin->rule == Rule::kMean ? Elem::kReal : body.elem, body.dims, false};
}

// scan(z = START, t in n, e : T ~ D: STEP): real[n + 1, …], the start first.
Type Checker::InferScan(const BinderCall& node, const Expr& expr) {
  const Binder* start = nullptr;
  const Binder* index = nullptr;
  for (const Binder& binder : node.binders) {
    const Binder*& place = binder.kind == Binder::Kind::kInit ? start : index;
    if (binder.kind == Binder::Kind::kDraw) continue;
    if (place != nullptr) {
      out_->Error(Code::kArgumentCount, binder.name.span, "`scan` has one state and one index")
          .Help("`scan(z = START, t in n: STEP)`; several states make one array");
      return {};
    }
    place = &binder;
  }
  if (start == nullptr || index == nullptr) {
    out_->Error(Code::kArgumentCount, expr.span,
                fmt::format("this `scan` has no {}", start == nullptr ? "state" : "index"))
        .Help("`scan(z = START, t in n: STEP)`");
    return {};
  }
  const Type first = InferNumber(*start->value);
  const auto run = [&](Elem elem, std::vector<Dim>& lengths) -> Type {
    Scope scope(*this);
    for (const Binder& binder : node.binders) {
      if (&binder == start) {
        Type state = first;
        if (!state.is_error()) state.elem = elem;
        locals_.push_back({binder.name.text, binder.name.span, state, std::nullopt, std::nullopt});
      } else {
        Bind(binder, binder.kind == Binder::Kind::kIn ? &lengths : nullptr);
      }
    }
    if (node.condition != nullptr) Condition(*node.condition, "`scan`");
    return InferValue(*node.body);
  };
  // A state that starts as an int may become real: a first look says which.
  Type state = first;
  if (first.elem == Elem::kInt && looks_ < 2) {
    Diagnostics muted;
    Diagnostics* const out = std::exchange(out_, &muted);
    const std::set<std::pair<std::string, std::uint32_t>> unknown = unknown_;
    ++looks_;
    std::vector<Dim> lengths;
    if (run(Elem::kInt, lengths).elem == Elem::kReal) state.elem = Elem::kReal;
    --looks_;
    unknown_ = unknown;
    out_ = out;
  }
  std::vector<Dim> lengths;
  const Type body = run(state.elem, lengths);
  if (state.is_error() || body.is_error() || lengths.empty()) return {};
  const bool fits = SameDims(state.dims, body.dims) && JoinElem(state.elem, body.elem) == state.elem;
  if (!fits) {
    out_->Error(Code::kShapeMismatch, node.body->span,
                fmt::format("a step of `scan` gives `{}`, its state `{}` is `{}`", ToString(body), start->name.text,
                            ToString(state)))
        .Label(start->value->span, fmt::format("`{}` starts as `{}`", start->name.text, ToString(state)));
    return {};
  }
  return ArrayOf({lengths[0] + Fixed(1)}, state);
}

}  // namespace amo::lang
