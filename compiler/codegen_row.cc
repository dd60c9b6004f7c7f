// SPDX-License-Identifier: Apache-2.0
// The form for one instance: loops in vectors along one axis, where everything that is read and written there lies side
// by side. What is left of a row after the last whole vector goes one by one.
#include <llvm/IR/Constants.h>

#include <algorithm>

#include "compiler/codegen_emitter.h"

namespace amo::compiler {
namespace {

using Val = llvm::Value;

constexpr int kLeastWidth = 4;  // shorter vectors do not pay

// What is found of an expression once: its tree may be much larger than the graph that it is.
template <class Map, class Find>
auto Once(Map& known, const typename Map::key_type& key, Find find) {
  if (const auto it = known.find(key); it != known.end()) return it->second;
  const auto value = find();
  known[key] = value;
  return value;
}

std::int64_t Extent(const Step& step, int depth) {
  const auto k = static_cast<std::size_t>(depth - step.level - 1);
  return k < step.outer.size() ? step.outer[k] : step.inner[k - step.outer.size()];
}

}  // namespace

// By how much an index grows with the loop variable of a depth; nothing where that is no constant.
std::optional<std::int64_t> Emitter::StrideOf(std::int32_t e, int depth) {
  return Once(strides_, {e, depth}, [&] { return FindStride(e, depth); });
}

std::optional<std::int64_t> Emitter::FindStride(std::int32_t e, int depth) {
  const Expr& x = p_.at(e);
  switch (x.kind) {
    case ExprKind::kConst:
      return 0;
    case ExprKind::kVar:
      return x.lo == depth ? 1 : 0;
    case ExprKind::kIndexAdd: {
      const auto a = StrideOf(x.args[0], depth), b = StrideOf(x.args[1], depth);
      if (!a || !b) return std::nullopt;
      return *a + *b;
    }
    case ExprKind::kIndexMul: {
      const auto a = StrideOf(x.args[0], depth);
      if (!a) return std::nullopt;
      return *a * x.lo;
    }
    case ExprKind::kIndexDiv:
    case ExprKind::kIndexMod:
    case ExprKind::kClamp:
    case ExprKind::kInRange:
    case ExprKind::kOp:
    case ExprKind::kLoad:
      if (DependsOn(e, depth)) return std::nullopt;
      return 0;
  }
  return std::nullopt;
}

bool Emitter::DependsOn(std::int32_t e, int depth) {
  const Expr& x = p_.at(e);
  if (x.depth < depth) return false;
  if (x.kind == ExprKind::kVar) return x.lo == depth;
  return Once(depends_, {e, depth}, [&] {
    return std::any_of(x.args.begin(), x.args.end(), [&](std::int32_t a) { return DependsOn(a, depth); });
  });
}

// Whether a value has an operation that takes longer than gathering its operands one by one.
bool Emitter::IsSlow(std::int32_t e) {
  return Once(slow_, {e, 0}, [&] { return FindSlow(e); });
}

bool Emitter::FindSlow(std::int32_t e) {
  const Expr& x = p_.at(e);
  if (x.kind == ExprKind::kOp && x.elem == Elem::kReal) {
    static constexpr Op kFast[] = {Op::kNeg, Op::kAdd, Op::kSub, Op::kMul, Op::kSelect,
                                   Op::kMax, Op::kMin, Op::kAbs, Op::kToReal};
    if (std::find(std::begin(kFast), std::end(kFast), x.op) == std::end(kFast)) return true;
  }
  return x.kind != ExprKind::kLoad &&
         std::any_of(x.args.begin(), x.args.end(), [&](std::int32_t a) { return IsSlow(a); });
}

// Whether a value can be computed for neighbours along a depth: the variable stands in indices of stride 1 only, or of
// any constant stride where entries may be gathered.
bool Emitter::GoesInVectors(std::int32_t e, int depth, bool gather) {
  return Once(goes_, {e, 2 * depth + gather}, [&] { return FindInVectors(e, depth, gather); });
}

bool Emitter::FindInVectors(std::int32_t e, int depth, bool gather) {
  const Expr& x = p_.at(e);
  if (!DependsOn(e, depth)) return true;
  switch (x.kind) {
    case ExprKind::kLoad:
      return x.elem != Elem::kInt && (StrideOf(x.args[0], depth) == 1 || (gather && StrideOf(x.args[0], depth)));
    case ExprKind::kOp:
      return x.elem != Elem::kInt &&
             std::all_of(x.args.begin(), x.args.end(), [&](std::int32_t a) { return GoesInVectors(a, depth, gather); });
    case ExprKind::kConst:
    case ExprKind::kVar:
    case ExprKind::kIndexAdd:
    case ExprKind::kIndexMul:
    case ExprKind::kIndexDiv:
    case ExprKind::kIndexMod:
    case ExprKind::kClamp:
    case ExprKind::kInRange:
      return false;
  }
  return false;
}

// How wide the vectors along a depth can be; 1: not at all. `stored`: whether the depth is one of the outputs.
unsigned Emitter::WidthAlong(const Step& step, int depth, bool stored) {
  if (depth <= step.level) return 1;
  std::unordered_set<std::int32_t> seen;
  for (const Store& s : step.stores) {
    if (!GoesInVectors(s.value, depth, IsSlow(s.value)) ||
        p_.buffers[static_cast<std::size_t>(s.buffer)].elem == Elem::kInt)
      return 1;
    if (stored && StrideOf(s.index, depth) != 1) return 1;
    // What the step writes it reads at the same place only.
    const auto clashes = [&](auto&& self, std::int32_t e) -> bool {
      if (!seen.insert(e).second) return false;
      const Expr& x = p_.at(e);
      if (x.kind == ExprKind::kLoad) {
        for (const Store& t : step.stores) {
          if (t.buffer == static_cast<int>(x.lo) && t.index != x.args[0]) return true;
        }
      }
      return std::any_of(x.args.begin(), x.args.end(), [&](std::int32_t a) { return self(self, a); });
    };
    if (clashes(clashes, s.value)) return 1;
  }
  const std::int64_t n = Extent(step, depth);
  unsigned width = native_width_;
  while (width > 1 && static_cast<std::int64_t>(width) > n) width /= 2;
  return width >= kLeastWidth ? width : 1;
}

// for i = begin; i + width * copies <= end: body, in vectors; returns where it ended.
std::int64_t Emitter::WideLoop(int depth, unsigned width, int copies, std::int64_t begin, std::int64_t end, Values& acc,
                               const Wide& body) {
  const std::int64_t step = static_cast<std::int64_t>(width) * copies, last = begin + (end - begin) / step * step;
  if (last == begin) return begin;
  const unsigned before = std::exchange(width_, width);
  const int old_depth = std::exchange(wide_depth_, depth);
  acc = Loop(b_.getInt64(static_cast<std::uint64_t>(begin)), b_.getInt64(static_cast<std::uint64_t>(last)), step, acc,
             [&](Val* i, const Values& now) {
               Enter(depth, i);
               jam_depth_ = depth;
               copies_used_ = copies;
               for (int c = 1; c < copies; ++c) {
                 copies_[c].vars[static_cast<std::size_t>(depth)] =
                     b_.CreateAdd(i, b_.getInt64(static_cast<std::uint64_t>(width) * static_cast<unsigned>(c)));
               }
               Values next = body(now);
               copies_used_ = 1;
               jam_depth_ = 1 << 20;
               return next;
             });
  Enter(depth, nullptr);
  width_ = before;
  wide_depth_ = old_depth;
  return last;
}

// One value each for the copies in use.
Values Emitter::InCopies(const std::function<Val*(std::size_t)>& value) {
  Values all;
  for (copy_ = 0; copy_ < copies_used_; ++copy_) all.push_back(value(static_cast<std::size_t>(copy_)));
  copy_ = 0;
  return all;
}

bool Emitter::EmitInVectors(const Step& step) {
  if (lanes_ > 1 || (step.kind != StepKind::kMap && step.kind != StepKind::kReduce)) return false;
  const int outer = step.level + static_cast<int>(step.outer.size());
  const int inner = outer + static_cast<int>(step.inner.size());
  const bool reduces = step.kind == StepKind::kReduce;
  if (reduces && Count(step.inner) == 0) return false;
  if (const std::optional<Product> product = FindProduct(step)) {
    EmitProduct(step, *product);
    return true;
  }
  const unsigned along_outputs = step.outer.empty() ? 1 : WidthAlong(step, outer, true);
  if (along_outputs > 1) {
    EmitAlongOutputs(step, outer, along_outputs);
    return true;
  }
  if (!reduces || step.inner.empty()) return false;
  const unsigned along_sum = WidthAlong(step, inner, false);
  if (along_sum == 1 || p_.buffers[static_cast<std::size_t>(step.stores[0].buffer)].elem != Elem::kReal) return false;
  EmitAlongSum(step, inner, along_sum);
  return true;
}

// Every lane is another output.
void Emitter::EmitAlongOutputs(const Step& step, int depth, unsigned width) {
  const bool reduces = step.kind == StepKind::kReduce;
  const Store& first = step.stores[0];
  const Elem elem = p_.buffers[static_cast<std::size_t>(first.buffer)].elem;
  const auto body = [&](const Values&) {
    if (!reduces) {
      for (copy_ = 0; copy_ < copies_used_; ++copy_) {
        for (const Store& s : step.stores) StoreTo(s.buffer, Eval(s.index), Splat(Eval(s.value)));
      }
      copy_ = 0;
      return Values{};
    }
    const Values none(static_cast<std::size_t>(copies_used_), Identity(step.op, elem, true));
    const Values acc = Nest(step.inner, 0, depth, none, [&](const Values& now) {
      return InCopies([&](std::size_t c) { return Combine(step.op, elem, now[c], Splat(Eval(first.value))); });
    });
    InCopies([&](std::size_t c) {
      StoreTo(first.buffer, Eval(first.index), acc[c]);
      return acc[c];
    });
    return Values{};
  };
  const Shape around(step.outer.begin(), step.outer.end() - 1);
  const std::int64_t n = step.outer.back();
  const bool cheap = reduces && IsCheap(first.value);
  Nest(around, 0, step.level, {}, [&](const Values&) {
    Hoist(depth - 1);
    Values none;
    std::int64_t at = 0;
    if (cheap && n >= kParts * static_cast<std::int64_t>(width)) at = WideLoop(depth, width, kParts, 0, n, none, body);
    at = WideLoop(depth, width, 1, at, n, none, body);
    if (at < n) {
      Loop(b_.getInt64(static_cast<std::uint64_t>(at)), b_.getInt64(static_cast<std::uint64_t>(n)), 1, {},
           [&](Val* i, const Values&) {
             Enter(depth, i);
             return body({});
           });
    }
    Enter(depth, nullptr);
    return Values{};
  });
}

// A vector's entries combined, halves with halves.
Val* Emitter::Across(Op op, Val* vector, unsigned width) {
  for (unsigned half = width / 2; half > 0; half /= 2) {
    std::vector<int> upper(half), lower(half);
    for (unsigned l = 0; l < half; ++l) lower[l] = static_cast<int>(l), upper[l] = static_cast<int>(l + half);
    vector = Combine(op, Elem::kReal, b_.CreateShuffleVector(vector, lower), b_.CreateShuffleVector(vector, upper));
  }
  return b_.CreateExtractElement(vector, std::uint64_t{0});
}

// Every lane sums a part; the parts are combined in a fixed order.
void Emitter::EmitAlongSum(const Step& step, int depth, unsigned width) {
  const Store& s = step.stores[0];
  const Elem elem = Elem::kReal;
  const int outer = step.level + static_cast<int>(step.outer.size());
  const Shape around(step.inner.begin(), step.inner.end() - 1);
  const std::int64_t n = step.inner.back();
  const int parts = IsCheap(s.value) && n >= kParts * static_cast<std::int64_t>(width) ? kParts : 1;
  const auto body = [&](const Values& now) {
    Values next = InCopies([&](std::size_t c) { return Combine(step.op, elem, now[c], Splat(Eval(s.value))); });
    next.insert(next.end(), now.begin() + copies_used_, now.end());
    return next;
  };
  Nest(step.outer, 0, step.level, {}, [&](const Values&) {
    // The vectors, then one number for what is left.
    const unsigned before = std::exchange(width_, width);
    Values acc(static_cast<std::size_t>(parts), Identity(step.op, elem, true));
    width_ = before;
    acc.push_back(Identity(step.op, elem, true));
    acc = Nest(around, 0, outer, acc, [&](const Values& now) {
      Hoist(depth - 1);
      Values vectors(now.begin(), now.end() - 1);
      Val* rest = now.back();
      std::int64_t at = WideLoop(depth, width, parts, 0, n, vectors, body);
      if (parts > 1) at = WideLoop(depth, width, 1, at, n, vectors, body);
      if (at < n) {
        rest = Loop(b_.getInt64(static_cast<std::uint64_t>(at)), b_.getInt64(static_cast<std::uint64_t>(n)), 1, {rest},
                    [&](Val* i, const Values& carried) {
                      Enter(depth, i);
                      return Values{Combine(step.op, elem, carried[0], Eval(s.value))};
                    })[0];
        Enter(depth, nullptr);
      }
      vectors.push_back(rest);
      return vectors;
    });
    for (int half = parts / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) {
        acc[static_cast<std::size_t>(k)] =
            Combine(step.op, elem, acc[static_cast<std::size_t>(k)], acc[static_cast<std::size_t>(k + half)]);
      }
    }
    StoreTo(s.buffer, Eval(s.index), Combine(step.op, elem, Across(step.op, acc[0], width), acc.back()));
    return Values{};
  });
}

}  // namespace amo::compiler
