// SPDX-License-Identifier: Apache-2.0
// Between the caller's rows (one instance after the other) and the tiles of the scratch ([entry][lane]): blocks of
// lanes x lanes entries are transposed in registers, what little remains goes one by one.
#include <llvm/IR/Constants.h>

#include <algorithm>
#include <utility>

#include "compiler/codegen_emitter.h"

namespace amo::compiler {
namespace {

using Val = llvm::Value;

// Below this part of a block, moving its entries one by one is cheaper than a transposition.
constexpr std::int64_t kSmallPart = 4;

// How many of a row's entries are transposed; the others are moved one by one.
std::int64_t Transposed(std::int64_t count, std::int64_t lanes) {
  const std::int64_t rest = count % lanes;
  return rest > lanes / kSmallPart ? count : count - rest;
}

}  // namespace

bool Emitter::Transposes(const Buffer& b) const { return b.elem == Elem::kReal && InLanes(b); }

// log2(lanes) rounds, each interleaving row i with row i + lanes / 2.
Values Emitter::Transpose(Values rows) {
  std::vector<int> low, high;
  const int n = static_cast<int>(lanes_), half = n / 2;
  for (int i = 0; i < half; ++i) {
    low.insert(low.end(), {i, n + i});
    high.insert(high.end(), {half + i, n + half + i});
  }
  for (int round = 1; round < n; round *= 2) {
    Values next;
    for (int i = 0; i < half; ++i) {
      Val *a = rows[static_cast<std::size_t>(i)], *b = rows[static_cast<std::size_t>(i + half)];
      next.push_back(b_.CreateShuffleVector(a, b, low));
      next.push_back(b_.CreateShuffleVector(a, b, high));
    }
    rows = std::move(next);
  }
  return rows;
}

// Lanes past the last instance repeat it.
void Emitter::TileIn(Val* tile, Val* last) {
  for (std::size_t k = 0; k < p_.outputs.size(); ++k) {
    if (direct_[k])
      base_[static_cast<std::size_t>(p_.outputs[k])] =
          b_.CreateGEP(real_, output_data_[k], b_.CreateMul(tile, output_stride_[k]));
  }
  for (std::size_t k = 0; k < p_.inputs.size(); ++k) {
    const auto buffer = static_cast<std::size_t>(p_.inputs[k]);
    const Buffer& b = p_.buffers[buffer];
    if (!b.varies) continue;
    if (lanes_ == 1) {
      base_[buffer] = b_.CreateGEP(MemoryType(b.elem), input_data_[k], b_.CreateMul(tile, input_stride_[k]));
    } else if (plan_.offset[buffer] >= 0 && b.count > 0) {
      TileInOne(k, tile, last);
    }
  }
}

void Emitter::TileInOne(std::size_t input, Val* tile, Val* last) {
  const auto buffer = static_cast<std::size_t>(p_.inputs[input]);
  const Buffer& b = p_.buffers[buffer];
  llvm::Type* type = MemoryType(b.elem);
  const auto row_of = [&](Val* lane) {
    Val* instance = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b_.CreateAdd(tile, lane), last);
    return b_.CreateGEP(type, input_data_[input], b_.CreateMul(instance, input_stride_[input]));
  };
  const std::int64_t first = Transposes(b) ? Transposed(b.count, lanes_) : 0;
  if (first > 0) {
    b_.CreateCall(TileHelper(true), {input_data_[input], input_stride_[input], tile, last, base_[buffer],
                                     b_.getInt64(static_cast<std::uint64_t>(first))});
  }
  if (first == b.count) return;
  Loop(
      b_.getInt64(0), b_.getInt64(lanes_), 1, {},
      [&](Val* lane, const Values&) {
        Val *from = row_of(lane), *to = b_.CreateGEP(type, base_[buffer], lane);
        Loop(
            b_.getInt64(static_cast<std::uint64_t>(first)), b_.getInt64(static_cast<std::uint64_t>(b.count)), 1, {},
            [&](Val* i, const Values&) {
              Val* v = b_.CreateLoad(type, b_.CreateGEP(type, from, i));
              b_.CreateStore(v, b_.CreateGEP(type, to, b_.CreateMul(i, b_.getInt64(lanes_))));
              return Values{};
            },
            false);
        return Values{};
      },
      false);
}

void Emitter::TileOut(Val* tile, Val* valid) {
  for (std::size_t k = 0; k < p_.outputs.size(); ++k) {
    const Buffer& b = p_.buffers[static_cast<std::size_t>(p_.outputs[k])];
    if (b.count > 0 && !direct_[k]) TileOutOne(k, tile, valid);
  }
}

void Emitter::TileOutOne(std::size_t output, Val* tile, Val* valid) {
  const auto buffer = static_cast<std::size_t>(p_.outputs[output]);
  const Buffer& b = p_.buffers[buffer];
  const std::int64_t moved = Transposes(b) ? Transposed(b.count, lanes_) : 0;
  if (moved == 0) return TileOutRows(output, tile, valid, 0);

  // A full tile is transposed, the last one of a batch may have fewer rows.
  auto* full = llvm::BasicBlock::Create(context_, "full", function_);
  auto* partial = llvm::BasicBlock::Create(context_, "partial", function_);
  auto* after = llvm::BasicBlock::Create(context_, "stored", function_);
  b_.CreateCondBr(b_.CreateICmpEQ(valid, b_.getInt64(lanes_)), full, partial);
  b_.SetInsertPoint(partial);
  TileOutRows(output, tile, valid, 0);
  b_.CreateBr(after);
  b_.SetInsertPoint(full);
  Val* last = b_.CreateAdd(tile, b_.getInt64(lanes_ - 1));
  b_.CreateCall(TileHelper(false), {output_data_[output], output_stride_[output], tile, last, base_[buffer],
                                    b_.getInt64(static_cast<std::uint64_t>(moved))});
  if (moved < b.count) TileOutRows(output, tile, valid, moved);
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

// One function for all inputs and one for all outputs: transpositions are the largest part of a small kernel's code.
// Rows tile .. tile + lanes - 1, none after `last`; the tile has room for a multiple of `lanes` entries.
llvm::Function* Emitter::TileHelper(bool in) {
  const char* name = in ? "tile_in" : "tile_out";
  if (llvm::Function* known = module_.getFunction(name)) return known;
  llvm::Type *pointer = b_.getPtrTy(), *i64 = b_.getInt64Ty();
  auto* type = llvm::FunctionType::get(b_.getVoidTy(), {pointer, i64, i64, i64, pointer, i64}, false);
  auto* helper = llvm::Function::Create(type, llvm::Function::InternalLinkage, name, module_);
  helper->addFnAttr(llvm::Attribute::NoInline);
  helper->setDoesNotThrow();
  const llvm::IRBuilder<>::InsertPointGuard guard(b_);
  llvm::Function* const outer = std::exchange(function_, helper);
  b_.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", helper));
  Val *data = helper->getArg(0), *stride = helper->getArg(1), *tile = helper->getArg(2), *last = helper->getArg(3);
  Val *scratch = helper->getArg(4), *count = helper->getArg(5);
  auto* vector = llvm::FixedVectorType::get(real_, lanes_);
  const llvm::Align entry(static_cast<std::uint64_t>(EntryBytes(Elem::kReal)));
  const llvm::Align line(std::min<std::uint64_t>(64, entry.value() * lanes_));
  Values rows;
  std::vector<llvm::Constant*> numbers;
  for (unsigned l = 0; l < lanes_; ++l) {
    Val* row = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b_.CreateAdd(tile, b_.getInt64(l)), last);
    rows.push_back(b_.CreateGEP(real_, data, b_.CreateMul(row, stride)));
    numbers.push_back(b_.getInt32(l));
  }
  Loop(
      b_.getInt64(0), count, lanes_, {},
      [&](Val* at, const Values&) {
        Val* left = b_.CreateSub(count, at);
        Val* mask = b_.CreateICmpULT(llvm::ConstantVector::get(numbers),
                                     b_.CreateVectorSplat(lanes_, b_.CreateTrunc(left, b_.getInt32Ty())));
        const auto from_row = [&](unsigned l) { return b_.CreateGEP(real_, rows[l], at); };
        const auto in_tile = [&](unsigned e) {
          Val* index = b_.CreateMul(b_.CreateAdd(at, b_.getInt64(e)), b_.getInt64(lanes_));
          return b_.CreateGEP(real_, scratch, index);
        };
        Values block;
        for (unsigned k = 0; k < lanes_; ++k) {
          block.push_back(in ? static_cast<Val*>(b_.CreateMaskedLoad(vector, from_row(k), entry, mask,
                                                                     llvm::Constant::getNullValue(vector)))
                             : b_.CreateAlignedLoad(vector, in_tile(k), line));
        }
        block = Transpose(std::move(block));
        if (in) {
          for (unsigned k = 0; k < lanes_; ++k) b_.CreateAlignedStore(block[k], in_tile(k), line);
          return Values{};
        }
        // Plain stores where the block is full: masked ones are slow on some machines.
        auto* whole = llvm::BasicBlock::Create(context_, "whole", helper);
        auto* part = llvm::BasicBlock::Create(context_, "part", helper);
        auto* next = llvm::BasicBlock::Create(context_, "next", helper);
        b_.CreateCondBr(b_.CreateICmpSGE(left, b_.getInt64(lanes_)), whole, part);
        b_.SetInsertPoint(whole);
        for (unsigned k = 0; k < lanes_; ++k) b_.CreateAlignedStore(block[k], from_row(k), entry);
        b_.CreateBr(next);
        b_.SetInsertPoint(part);
        for (unsigned k = 0; k < lanes_; ++k) b_.CreateMaskedStore(block[k], from_row(k), entry, mask);
        b_.CreateBr(next);
        b_.SetInsertPoint(next);
        return Values{};
      },
      false);
  b_.CreateRetVoid();
  function_ = outer;
  return helper;
}

// Entries from `first` on, one by one.
void Emitter::TileOutRows(std::size_t output, Val* tile, Val* valid, std::int64_t first) {
  const auto buffer = static_cast<std::size_t>(p_.outputs[output]);
  const Buffer& b = p_.buffers[buffer];
  llvm::Type* type = MemoryType(b.elem);
  const unsigned width = InLanes(b) ? lanes_ : 1;
  Loop(
      b_.getInt64(0), valid, 1, {},
      [&](Val* lane, const Values&) {
        Val* instance = b_.CreateAdd(tile, lane);
        Val* to = b_.CreateGEP(type, output_data_[output], b_.CreateMul(instance, output_stride_[output]));
        Val* from = width > 1 ? b_.CreateGEP(type, base_[buffer], lane) : base_[buffer];
        Loop(
            b_.getInt64(static_cast<std::uint64_t>(first)), b_.getInt64(static_cast<std::uint64_t>(b.count)), 1, {},
            [&](Val* i, const Values&) {
              Val* v = b_.CreateLoad(type, b_.CreateGEP(type, from, b_.CreateMul(i, b_.getInt64(width))));
              b_.CreateStore(v, b_.CreateGEP(type, to, i));
              return Values{};
            },
            false);
        return Values{};
      },
      false);
}

}  // namespace amo::compiler
