// SPDX-License-Identifier: Apache-2.0
// Scratch memory: shared buffers lie one after the other in memory of their own; the others live from their first write
// to their last read and are placed first-fit.
#include <algorithm>

#include "compiler/codegen.h"

namespace amo::compiler {
namespace {

struct Life {
  std::int64_t first = -1, last = -1;  // steps
};

void Touch(Life& life, std::int64_t step) {
  if (life.first < 0) life.first = step;
  life.last = step;
}

void TouchLoads(const LoopProgram& p, std::int32_t e, std::int64_t step, std::vector<Life>& lives,
                std::vector<std::int64_t>& seen) {
  auto& mark = seen[static_cast<std::size_t>(e)];
  if (mark == step) return;
  mark = step;
  const Expr& x = p.at(e);
  if (x.kind == ExprKind::kLoad) Touch(lives[static_cast<std::size_t>(x.lo)], step);
  for (std::int32_t a : x.args) TouchLoads(p, a, step, lives, seen);
}

}  // namespace

int LanesForMany(const LoopProgram& p, Precision precision, int native_width) {
  if (StreamsThroughRows(p, native_width)) return 1;
  constexpr std::size_t kLargestTile = 1 << 19, kLargestLoopTile = 1 << 22;  // bytes
  const auto loops = [](const Step& s) { return s.kind == StepKind::kFor; };
  const bool has_loops = std::any_of(p.instance.begin(), p.instance.end(), loops);
  const std::size_t bytes = PlanScratch(p, precision, native_width).bytes;
  return bytes <= (has_loops ? kLargestLoopTile : kLargestTile) ? native_width : 1;
}

ScratchPlan PlanScratch(const LoopProgram& p, Precision precision, int lanes) {
  std::vector<Life> lives(p.buffers.size());
  std::vector<std::int64_t> seen(p.exprs.size(), -1);
  std::vector<Life> loops;
  std::int64_t step = 0;
  // What a loop touches and something outside it too lives as long as the loop: every iteration uses it.
  const auto touch = [&](auto&& self, const std::vector<Step>& steps) -> void {
    for (const Step& s : steps) {
      if (s.kind == StepKind::kFor) {
        loops.push_back({step, step});
        const std::size_t loop = loops.size() - 1;
        self(self, s.body);
        loops[loop].last = step - 1;
        continue;
      }
      for (const Store& t : s.stores) {
        Touch(lives[static_cast<std::size_t>(t.buffer)], step);
        TouchLoads(p, t.index, step, lives, seen);
        TouchLoads(p, t.value, step, lives, seen);
      }
      if (s.second >= 0) Touch(lives[static_cast<std::size_t>(s.second)], step);
      ++step;
    }
  };
  touch(touch, p.shared);
  touch(touch, p.instance);
  for (int b : p.outputs) Touch(lives[static_cast<std::size_t>(b)], step);
  for (std::size_t k = loops.size(); k-- > 0;) {  // inner loops stand after the ones around them
    for (Life& life : lives) {
      if (life.first < 0 || life.last < loops[k].first || life.first > loops[k].last) continue;
      if (life.first >= loops[k].first && life.last <= loops[k].last) continue;
      life.first = std::min(life.first, loops[k].first);
      life.last = std::max(life.last, loops[k].last);
    }
  }

  ScratchPlan plan;
  plan.offset.assign(p.buffers.size(), -1);
  struct Taken {
    std::int64_t begin, end;
    Life life;
  };
  std::vector<Taken> taken;  // sorted by begin
  std::vector<std::size_t> order(p.buffers.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return lives[a].first < lives[b].first; });
  for (std::size_t i : order) {
    const Buffer& b = p.buffers[i];
    if (lives[i].first < 0) continue;
    if (b.place == Place::kInput && (!b.varies || lanes == 1)) continue;
    const auto rounded = [](std::int64_t bytes) { return (bytes + 63) / 64 * 64; };
    if (b.place == Place::kShared) {
      plan.offset[i] = static_cast<std::int64_t>(plan.shared_bytes);
      plan.shared_bytes += static_cast<std::size_t>(rounded(b.count * EntryBytes(b.elem, precision)));
      continue;
    }
    const Life life = b.place == Place::kInput ? Life{-1, step} : lives[i];
    const std::int64_t width = b.varies ? lanes : 1;
    // Inputs and outputs are transposed in whole blocks.
    const bool tile = width > 1 && (b.place == Place::kInput || lives[i].last == step);
    const std::int64_t entries = tile ? (b.count + lanes - 1) / lanes * lanes : b.count;
    const std::int64_t bytes = rounded(entries * width * EntryBytes(b.elem, precision));
    std::int64_t at = 0;
    auto where = taken.begin();
    for (; where != taken.end(); ++where) {
      if (where->life.last < life.first || where->life.first > life.last) continue;
      if (where->begin >= at + bytes) break;
      at = std::max(at, where->end);
    }
    taken.push_back({at, at + bytes, life});
    std::sort(taken.begin(), taken.end(), [](const Taken& x, const Taken& y) { return x.begin < y.begin; });
    plan.offset[i] = at;
    plan.bytes = std::max(plan.bytes, static_cast<std::size_t>(at + bytes));
  }
  return plan;
}

}  // namespace amo::compiler
