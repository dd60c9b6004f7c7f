// SPDX-License-Identifier: Apache-2.0
// Which form a kernel takes where many instances come in, and which outputs the form for one writes where they belong.
#include <algorithm>
#include <set>

#include "compiler/codegen.h"

namespace amo::compiler {
namespace {

// Calls f for every expression that a step evaluates, each once.
template <class F>
void ForEachExpr(const LoopProgram& p, const Step& step, const F& f) {
  std::set<std::int32_t> seen;
  const auto visit = [&](const auto& self, std::int32_t e) -> void {
    if (!seen.insert(e).second) return;
    f(e, p.at(e));
    for (const std::int32_t a : p.at(e).args) self(self, a);
  };
  for (const Store& s : step.stores) visit(visit, s.index), visit(visit, s.value);
}

std::int64_t Extents(const Step& s, std::int64_t& longest) {
  std::int64_t axes = 0;
  longest = 1;
  for (const Shape* shape : {&s.outer, &s.inner})
    for (const std::int64_t n : *shape) if (n != 1) ++axes, longest = n;
  return axes;
}

bool IsInputOfInstance(const LoopProgram& p, const Expr& x) {
  if (x.kind != ExprKind::kLoad) return false;
  const Buffer& b = p.buffers[static_cast<std::size_t>(x.lo)];
  return b.place == Place::kInput && b.varies;
}

constexpr bool IsSlow(Op op) { return op == Op::kDiv || op == Op::kSqrt; }
constexpr bool IsQuick(Op op) {
  return op == Op::kAdd || op == Op::kSub || op == Op::kMul || op == Op::kMax || op == Op::kMin || op == Op::kNeg ||
         op == Op::kAbs || op == Op::kSelect || op == Op::kLt || op == Op::kLe || op == Op::kEq || op == Op::kToReal;
}

}  // namespace

// In cycles: an entry that is transposed takes about half of one; in rows a sum has to be put together across a vector,
// and single numbers take a whole instruction each.
bool StreamsThroughRows(const LoopProgram& p, int native_width) {
  constexpr double kTransposed = 0.5, kAcross = 12, kSingle = 1.5, kSingleSlow = 5;
  double rows = 0, tiles = 0;
  for (const Step& s : p.instance) {
    std::int64_t n = 1;
    if ((s.kind != StepKind::kMap && s.kind != StepKind::kReduce) || Extents(s, n) > 1) return false;
    if (n > 1 && n % native_width != 0 && n < 8 * native_width) return false;
    if (n > 1 && n < 4 * native_width) return false;
    if (s.kind == StepKind::kReduce) rows += kAcross;
    bool plain = true;
    ForEachExpr(p, s, [&](std::int32_t, const Expr& x) {
      if (x.kind == ExprKind::kOp) plain = plain && (IsQuick(x.op) || IsSlow(x.op)) && x.elem != Elem::kInt;
      else if (x.kind == ExprKind::kLoad) plain = plain && !p.at(x.args[0]).varies;
      else plain = plain && (x.kind == ExprKind::kConst || x.kind == ExprKind::kVar);
      if (x.kind == ExprKind::kOp && x.varies && x.depth == 0) rows += IsSlow(x.op) ? kSingleSlow : kSingle;
    });
    for (const Store& store : s.stores)
      plain = plain && p.buffers[static_cast<std::size_t>(store.buffer)].elem == Elem::kReal;
    if (!plain) return false;
  }
  for (const std::vector<int>* list : {&p.inputs, &p.outputs}) {
    for (const int b : *list) {
      const Buffer& buffer = p.buffers[static_cast<std::size_t>(b)];
      if (buffer.varies) tiles += kTransposed * static_cast<double>(buffer.count);
    }
  }
  return rows < tiles;
}

// Where the caller's array is read and written in place nothing may be read behind what is written.
std::vector<char> DirectOutputs(const LoopProgram& p) {
  std::vector<char> direct(p.outputs.size(), 0);
  for (std::size_t k = 0; k < p.outputs.size(); ++k) {
    const Buffer& b = p.buffers[static_cast<std::size_t>(p.outputs[k])];
    if (!b.varies || b.place != Place::kInstance || b.elem != Elem::kReal) continue;
    if (std::count(p.outputs.begin(), p.outputs.end(), p.outputs[k]) > 1) continue;
    bool good = true, written = false;
    for (const Step& s : p.instance) {
      const auto store = std::find_if(s.stores.begin(), s.stores.end(),
                                      [&](const Store& t) { return t.buffer == p.outputs[k]; });
      const bool here = store != s.stores.end();
      const bool alone = s.kind == StepKind::kMap && s.stores.size() == 1 && !written;
      good = good && s.kind != StepKind::kFor && (!here || alone);
      written = written || here;
      if (!written) continue;
      ForEachExpr(p, s, [&](std::int32_t, const Expr& x) {
        if (IsInputOfInstance(p, x)) good = good && here && x.args[0] == store->index;
      });
    }
    direct[k] = good && written;
  }
  return direct;
}

}  // namespace amo::compiler
