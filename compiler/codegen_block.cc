// SPDX-License-Identifier: Apache-2.0
// The form for one instance, matrix products: a block of rows x columns is summed in registers, so that each entry which
// is read serves all rows, or all columns, of the block (Goto, van de Geijn 2008: the kernel inside their loops).
#include <llvm/IR/Constants.h>

#include <algorithm>
#include <utility>

#include "compiler/codegen_emitter.h"

namespace amo::compiler {
namespace {

using Val = llvm::Value;

constexpr std::int64_t kLeastWork = 2048;  // products below which a block does not pay
constexpr int kColumns = 4;

}  // namespace

// Whether entries are read that a depth does not select.
bool Emitter::ReadsBeside(std::int32_t e, int depth) {
  const Expr& x = p_.at(e);
  if (x.kind == ExprKind::kLoad) return !DependsOn(x.args[0], depth);
  return std::any_of(x.args.begin(), x.args.end(), [&](std::int32_t a) { return ReadsBeside(a, depth); });
}

// Where a sum is a product of matrices: its last two axes of outputs, each with entries that the other one shares.
std::optional<Emitter::Product> Emitter::FindProduct(const Step& step) {
  const Store& s = step.stores[0];
  const std::int64_t work = Count(step.outer) * Count(step.inner);
  if (step.kind != StepKind::kReduce || step.outer.size() < 2 || work < kLeastWork || Count(step.inner) < 8 ||
      !IsCheap(s.value) || p_.buffers[static_cast<std::size_t>(s.buffer)].elem != Elem::kReal)
    return std::nullopt;
  // Vectors of 64 bytes come with twice the registers.
  const int rows = native_width_ * static_cast<unsigned>(EntryBytes(Elem::kReal)) >= 64 ? 4 : 2;
  const std::size_t column = step.outer.size() - 1;
  std::size_t row = column;
  do --row; while (row > 0 && step.outer[row] == 1);
  Product p{static_cast<int>(row), step.level + 1 + static_cast<int>(row), step.level + 1 + static_cast<int>(column),
            rows, 1, false};
  if (step.outer[row] < rows || !ReadsBeside(s.value, p.row_depth) || !ReadsBeside(s.value, p.column_depth))
    return std::nullopt;
  p.width = WidthAlong(step, p.column_depth, true);
  if (p.width > 1) return p;
  const int inner = p.column_depth + static_cast<int>(step.inner.size());
  p.width = WidthAlong(step, inner, false), p.along_sum = true;
  if (p.width == 1 || step.outer[column] < kColumns || step.inner.back() < 2 * static_cast<std::int64_t>(p.width))
    return std::nullopt;
  return p;
}

void Emitter::EmitProduct(const Step& step, const Product& p) {
  const std::int64_t rows = step.outer[static_cast<std::size_t>(p.row_axis)], columns = step.outer.back();
  const Shape around(step.outer.begin(), step.outer.begin() + p.row_axis);
  // All blocks of so many rows from `begin` on.
  const auto row_blocks = [&](std::int64_t begin, std::int64_t end, int count) {
    if (begin >= end) return;
    Loop(b_.getInt64(static_cast<std::uint64_t>(begin)), b_.getInt64(static_cast<std::uint64_t>(end)), count, {},
         [&](Val* row, const Values&) {
           const auto column_blocks = [&](std::int64_t from, std::int64_t to, int block, unsigned width) {
             if (from >= to) return;
             const std::int64_t by = p.along_sum ? block : block * static_cast<std::int64_t>(width);
             Loop(b_.getInt64(static_cast<std::uint64_t>(from)), b_.getInt64(static_cast<std::uint64_t>(to)), by, {},
                  [&](Val* column, const Values&) {
                    EmitBlock(step, p, {row, column, count, block, width});
                    return Values{};
                  });
           };
           std::int64_t at = 0;
           for (const int block : {kColumns, 1}) {
             const std::int64_t by = p.along_sum ? block : block * static_cast<std::int64_t>(p.width);
             const std::int64_t last = at + (columns - at) / by * by;
             column_blocks(at, last, block, p.width);
             at = last;
           }
           column_blocks(at, columns, 1, 1);
           return Values{};
         });
  };
  Nest(around, 0, step.level, {}, [&](const Values&) {
    row_blocks(0, rows / p.rows * p.rows, p.rows);
    row_blocks(rows / p.rows * p.rows, rows, 1);
    Enter(p.row_depth, nullptr);
    return Values{};
  });
}

void Emitter::EmitBlock(const Step& step, const Product& p, const Block& block) {
  const Store& s = step.stores[0];
  const int copies = block.rows * block.columns;
  Enter(p.row_depth, block.row);
  Enter(p.column_depth, block.column);
  jam_depth_ = p.row_depth, copies_used_ = copies;
  const auto moved = [&](Val* from, std::int64_t by) {
    return by == 0 ? from : b_.CreateAdd(from, b_.getInt64(static_cast<std::uint64_t>(by)));
  };
  for (int c = 0; c < copies; ++c) {
    const std::int64_t apart = p.along_sum ? 1 : block.width;
    copies_[c].vars[static_cast<std::size_t>(p.row_depth)] = moved(block.row, c / block.columns);
    copies_[c].vars[static_cast<std::size_t>(p.column_depth)] = moved(block.column, c % block.columns * apart);
  }
  if (p.along_sum) {
    StoreSums(step, SumsInVectors(step, p.column_depth, block.width));
  } else {
    const unsigned before = std::exchange(width_, block.width);
    const int old_depth = std::exchange(wide_depth_, block.width > 1 ? p.column_depth : wide_depth_);
    const Values none(static_cast<std::size_t>(copies), Identity(step.op, Elem::kReal, true));
    StoreSums(step, Nest(step.inner, 0, p.column_depth, none, [&](const Values& now) {
                return InCopies(
                    [&](std::size_t c) { return Combine(step.op, Elem::kReal, now[c], Splat(Eval(s.value))); });
              }));
    width_ = before, wide_depth_ = old_depth;
  }
  jam_depth_ = 1 << 20, copies_used_ = 1;
  Enter(p.row_depth, nullptr);
}

void Emitter::StoreSums(const Step& step, const Values& sums) {
  InCopies([&](std::size_t c) {
    StoreTo(step.stores[0].buffer, Eval(step.stores[0].index), sums[c]);
    return sums[c];
  });
}

// One number for each copy in use: vectors along the last inner axis, then what is left of it one by one.
Values Emitter::SumsInVectors(const Step& step, int outer, unsigned width) {
  const Store& s = step.stores[0];
  const int depth = outer + static_cast<int>(step.inner.size());
  const auto copies = static_cast<std::size_t>(copies_used_);
  const Shape around(step.inner.begin(), step.inner.end() - 1);
  const std::int64_t n = step.inner.back(), whole = n / width * width;
  const auto add = [&](const Values& now) {
    return InCopies([&](std::size_t c) { return Combine(step.op, Elem::kReal, now[c], Splat(Eval(s.value))); });
  };
  const auto along = [&](std::int64_t from, std::int64_t to, std::int64_t by, const Values& now) {
    if (from >= to) return now;
    const Values next = Loop(b_.getInt64(static_cast<std::uint64_t>(from)), b_.getInt64(static_cast<std::uint64_t>(to)),
                             by, now, [&](Val* i, const Values& carried) {
                               Enter(depth, i);
                               return add(carried);
                             });
    Enter(depth, nullptr);
    return next;
  };
  const unsigned before = std::exchange(width_, width);
  Values acc(copies, Identity(step.op, Elem::kReal, true));
  width_ = before;
  acc.resize(2 * copies, Identity(step.op, Elem::kReal, true));
  acc = Nest(around, 0, outer, acc, [&](const Values& now) {
    Hoist(depth - 1);
    Values vectors(now.begin(), now.begin() + static_cast<std::ptrdiff_t>(copies));
    Values rest(now.begin() + static_cast<std::ptrdiff_t>(copies), now.end());
    width_ = width;
    const int old_depth = std::exchange(wide_depth_, depth);
    vectors = along(0, whole, width, vectors);
    width_ = before, wide_depth_ = old_depth;
    rest = along(whole, n, 1, rest);
    vectors.insert(vectors.end(), rest.begin(), rest.end());
    return vectors;
  });
  Values sums;
  for (std::size_t c = 0; c < copies; ++c) {
    Val* sum = Across(step.op, acc[c], width);
    sums.push_back(whole < n ? Combine(step.op, Elem::kReal, sum, acc[copies + c]) : sum);
  }
  return sums;
}

}  // namespace amo::compiler
