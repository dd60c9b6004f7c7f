// SPDX-License-Identifier: Apache-2.0
// The two functions of a kernel: the shared steps, and the loop over tiles of instances; and the loops of each step.
#include "compiler/codegen.h"

#include <llvm/IR/Constants.h>

#include <algorithm>
#include <iterator>

#include "compiler/check.h"
#include "compiler/codegen_emitter.h"

namespace amo::compiler {

using Val = llvm::Value;

Emitter::Emitter(llvm::Module& module, const LoopProgram& program, Precision precision, int lanes, int native_width,
                 const ScratchPlan& plan)
    : module_(module),
      context_(module.getContext()),
      b_(context_),
      p_(program),
      plan_(plan),
      f64_(precision == Precision::kF64),
      lanes_(static_cast<unsigned>(lanes)),
      native_width_(static_cast<unsigned>(native_width)),
      width_(lanes_),
      real_(f64_ ? b_.getDoubleTy() : b_.getFloatTy()),
      direct_(lanes == 1 ? DirectOutputs(program) : std::vector<char>(program.outputs.size(), 0)) {
  llvm::FastMathFlags flags;
  flags.setAllowContract(true);
  b_.setFastMathFlags(flags);
  int deepest = 0;
  for (const Expr& e : p_.exprs) deepest = std::max(deepest, e.depth);
  const auto measure = [&](auto&& self, const std::vector<Step>& steps) -> void {
    for (const Step& s : steps) {
      deepest = std::max(deepest, s.level + static_cast<int>(s.outer.size() + s.inner.size()));
      self(self, s.body);
    }
  };
  measure(measure, p_.shared);
  measure(measure, p_.instance);
  for (Copy& copy : copies_) {
    copy.vars.resize(static_cast<std::size_t>(deepest) + 1);
    copy.memo.resize(static_cast<std::size_t>(deepest) + 1);
  }
}

Values Emitter::Loop(Val* begin, Val* end, std::int64_t step, const Values& carried, const Body& body, bool unroll) {
  auto* loop = llvm::BasicBlock::Create(context_, "loop", function_);
  auto* after = llvm::BasicBlock::Create(context_, "after", function_);
  llvm::BasicBlock* before = b_.GetInsertBlock();
  b_.CreateBr(loop);
  b_.SetInsertPoint(loop);
  llvm::PHINode* i = b_.CreatePHI(b_.getInt64Ty(), 2);
  i->addIncoming(begin, before);
  std::vector<llvm::PHINode*> phis;
  Values now;
  for (Val* v : carried) {
    phis.push_back(b_.CreatePHI(v->getType(), 2));
    phis.back()->addIncoming(v, before);
    now.push_back(phis.back());
  }
  const Values next = body(i, now);
  Val* i_next = b_.CreateAdd(i, b_.getInt64(static_cast<std::uint64_t>(step)), "", true, true);
  i->addIncoming(i_next, b_.GetInsertBlock());
  for (std::size_t k = 0; k < phis.size(); ++k) phis[k]->addIncoming(next[k], b_.GetInsertBlock());
  llvm::Instruction* back = b_.CreateCondBr(b_.CreateICmpSLT(i_next, end), loop, after);
  if (!unroll) {
    llvm::Metadata* off = llvm::MDNode::get(context_, llvm::MDString::get(context_, "llvm.loop.unroll.disable"));
    llvm::MDNode* id = llvm::MDNode::getDistinct(context_, {nullptr, off});
    id->replaceOperandWith(0, id);
    back->setMetadata(llvm::LLVMContext::MD_loop, id);
  }
  b_.SetInsertPoint(after);
  return next;
}

// From here on the loop variable of `depth` is `counter`: what depended on the old one is forgotten.
void Emitter::Enter(int depth, Val* counter) {
  for (int c = 0; c < kMostCopies; ++c) {
    for (std::size_t d = static_cast<std::size_t>(depth); d < copies_[c].memo.size(); ++d) copies_[c].memo[d].clear();
    if (c == 0 || depth != jam_depth_) copies_[c].vars[static_cast<std::size_t>(depth)] = counter;
  }
}

// Values that do not depend on loops deeper than `depth` are computed here, before the next loop begins.
void Emitter::Hoist(int depth) {
  const int copies = depth >= jam_depth_ ? copies_used_ : 1;
  for (copy_ = 0; copy_ < copies; ++copy_) {
    hoisted_.clear();
    for (std::int32_t e : roots_) HoistFrom(e, depth);
  }
  copy_ = 0;
}

void Emitter::HoistFrom(std::int32_t e, int depth) {
  const Expr& x = p_.at(e);
  if (x.depth <= depth) {
    Eval(e);
    return;
  }
  if (!hoisted_.insert(e).second) return;
  for (std::int32_t a : x.args) HoistFrom(a, depth);
}

Values Emitter::Nest(const Shape& shape, std::size_t axis, int depth, const Values& carried, const Inner& body) {
  if (axis == shape.size()) return body(carried);
  if (shape[axis] == 1) return Nest(shape, axis + 1, depth + 1, carried, body);
  Hoist(depth);
  const Values result = Loop(b_.getInt64(0), b_.getInt64(static_cast<std::uint64_t>(shape[axis])), 1, carried,
                             [&](Val* i, const Values& now) {
                               Enter(depth + 1, i);
                               return Nest(shape, axis + 1, depth + 1, now, body);
                             });
  Enter(depth + 1, nullptr);
  return result;
}

void Emitter::EmitStep(const Step& step) {
  copy_ = 0;
  copies_used_ = 1;
  jam_depth_ = 1 << 20;
  Enter(0, nullptr);
  roots_.clear();
  for (const Store& s : step.stores) {
    roots_.push_back(s.index);
    roots_.push_back(s.value);
  }
  if (EmitInVectors(step)) return;
  switch (step.kind) {
    case StepKind::kMap:
      Nest(step.outer, 0, step.level, {}, [&](const Values&) {
        for (const Store& s : step.stores) StoreTo(s.buffer, Eval(s.index), EvalVarying(s.value, step.varies));
        return Values{};
      });
      return;
    case StepKind::kReduce:
      return EmitReduce(step);
    case StepKind::kArg:
      return EmitArg(step);
    case StepKind::kScan:
      return EmitScan(step);
    case StepKind::kScatter:
      return EmitScatter(step);
    case StepKind::kSort:
      return EmitSort(step);
    case StepKind::kFor:
      return EmitFor(step);
  }
}

// The loop stays a loop: code and compile time do not depend on the number of steps.
void Emitter::EmitFor(const Step& step) {
  const std::int64_t n = step.inner[0];
  Loop(
      b_.getInt64(0), b_.getInt64(static_cast<std::uint64_t>(n)), 1, {},
      [&](Val* i, const Values&) {
        Val* t = step.reverse ? b_.CreateSub(b_.getInt64(static_cast<std::uint64_t>(n - 1)), i) : i;
        for (const Step& s : step.body) {
          Enter(step.level + 1, t);
          EmitStep(s);
        }
        return Values{};
      },
      false);
  Enter(step.level + 1, nullptr);
}

// A small tree of fast operations.
bool Emitter::IsCheap(std::int32_t root) {
  constexpr int kLargest = 40;
  int nodes = 0;
  bool cheap = true;
  const auto visit = [&](auto&& self, std::int32_t e) -> void {
    const Expr& x = p_.at(e);
    if (++nodes > kLargest) return;
    if (x.kind == ExprKind::kOp) {
      static constexpr Op kCheap[] = {Op::kNeg,    Op::kAdd, Op::kSub, Op::kMul, Op::kDiv,
                                      Op::kSelect, Op::kMax, Op::kMin, Op::kAbs, Op::kToReal};
      cheap = cheap && std::find(std::begin(kCheap), std::end(kCheap), x.op) != std::end(kCheap);
    }
    for (std::int32_t a : x.args) self(self, a);
  };
  visit(visit, root);
  return cheap && nodes <= kLargest;
}

// How many outputs are accumulated side by side: their sums are independent, and they share what does not depend on the
// jammed variable. One where the value is not cheap. Where it is the product of an entry of a shared matrix and one
// that varies, as many as the registers hold: each takes one instruction that reads the matrix, and all of them
// together one read of the other factor.
int Emitter::CopiesOf(const Step& step) {
  constexpr int kFew = 4;
  if (step.outer.empty() || step.outer.back() < kFew || Count(step.inner) < 2) return 1;
  const Expr& value = p_.at(step.stores[0].value);
  if (!IsCheap(step.stores[0].value)) return 1;
  const auto loads = [&](std::size_t k) { return p_.at(value.args[k]).kind == ExprKind::kLoad; };
  const bool product = value.kind == ExprKind::kOp && value.op == Op::kMul && loads(0) && loads(1) &&
                       p_.at(value.args[0]).varies != p_.at(value.args[1]).varies;
  if (lanes_ == 1 || !product) return kFew;
  const std::int64_t n = step.outer.back();
  const int most = lanes_ * EntryBytes(Elem::kReal) == 64 ? kMostCopies : kMostCopies / 2;
  int best = kFew;
  for (int c = kFew; c <= most; ++c) {  // the fewest passes, then the most even ones
    const auto passes = [&](int copies) { return (n + copies - 1) / copies; };
    if (passes(c) < passes(best)) best = c;
  }
  return best;
}

void Emitter::EmitReduce(const Step& step) {
  const Store& s = step.stores[0];
  const Elem elem = p_.buffers[static_cast<std::size_t>(s.buffer)].elem;
  Val* identity = Identity(step.op, elem, step.varies);
  const int outer = step.level + static_cast<int>(step.outer.size());
  const bool empty = Count(step.inner) == 0;
  if (empty) roots_ = {s.index};
  // Accumulates in every copy, and stores.
  const auto accumulate = [&] {
    Values acc(static_cast<std::size_t>(copies_used_), identity);
    if (!empty) {
      acc = Nest(step.inner, 0, outer, acc, [&](const Values& now) {
        Values next;
        for (copy_ = 0; copy_ < copies_used_; ++copy_) {
          Val* value = EvalVarying(s.value, step.varies);
          next.push_back(Combine(step.op, elem, now[static_cast<std::size_t>(copy_)], value));
        }
        copy_ = 0;
        return next;
      });
    }
    for (copy_ = 0; copy_ < copies_used_; ++copy_) {
      StoreTo(s.buffer, Eval(s.index), acc[static_cast<std::size_t>(copy_)]);
    }
    copy_ = 0;
  };
  const int copies = empty ? 1 : CopiesOf(step);
  if (copies == 1 && !empty && Splits(step)) return EmitSplit(step);
  if (copies == 1) {
    Nest(step.outer, 0, step.level, {}, [&](const Values&) {
      accumulate();
      return Values{};
    });
    return;
  }
  const Shape around(step.outer.begin(), step.outer.end() - 1);
  const std::int64_t n = step.outer.back(), whole = n / copies * copies;
  const auto jammed = [&](Val* i, int count) {
    Enter(outer, i);
    jam_depth_ = outer;
    copies_used_ = count;
    for (int c = 1; c < count; ++c) {
      copies_[c].vars[static_cast<std::size_t>(outer)] = b_.CreateAdd(i, b_.getInt64(static_cast<std::uint64_t>(c)));
    }
    accumulate();
    jam_depth_ = 1 << 20;
    copies_used_ = 1;
  };
  Nest(around, 0, step.level, {}, [&](const Values&) {
    Hoist(outer - 1);
    Loop(b_.getInt64(0), b_.getInt64(static_cast<std::uint64_t>(whole)), copies, {}, [&](Val* i, const Values&) {
      jammed(i, copies);
      return Values{};
    });
    if (whole < n) jammed(b_.getInt64(static_cast<std::uint64_t>(whole)), static_cast<int>(n - whole));
    Enter(outer, nullptr);
    return Values{};
  });
}

// One output at a time, with partial results side by side along the last inner axis: a single one would wait for its
// own latency in every step.
bool Emitter::Splits(const Step& step) {
  return !step.inner.empty() && step.inner.back() >= 2 * kParts && IsCheap(step.stores[0].value);
}

void Emitter::EmitSplit(const Step& step) {
  const Store& s = step.stores[0];
  const Elem elem = p_.buffers[static_cast<std::size_t>(s.buffer)].elem;
  const int outer = step.level + static_cast<int>(step.outer.size());
  const int depth = outer + static_cast<int>(step.inner.size());
  const Shape around(step.inner.begin(), step.inner.end() - 1);
  const std::int64_t n = step.inner.back(), whole = n / kParts * kParts;
  const auto add = [&](Val* i, int count, const Values& now) {
    Enter(depth, i);
    jam_depth_ = depth;
    copies_used_ = count;
    Values next = now;
    for (copy_ = 0; copy_ < count; ++copy_) {
      if (copy_ > 0) {
        Val* here = b_.CreateAdd(i, b_.getInt64(static_cast<std::uint64_t>(copy_)));
        copies_[copy_].vars[static_cast<std::size_t>(depth)] = here;
      }
      Val*& acc = next[static_cast<std::size_t>(copy_)];
      acc = Combine(step.op, elem, acc, EvalVarying(s.value, step.varies));
    }
    copy_ = 0;
    jam_depth_ = 1 << 20;
    copies_used_ = 1;
    return next;
  };
  Nest(step.outer, 0, step.level, {}, [&](const Values&) {
    const Values none(kParts, Identity(step.op, elem, step.varies));
    Values acc = Nest(around, 0, outer, none, [&](const Values& now) {
      Hoist(depth - 1);
      Values next = Loop(b_.getInt64(0), b_.getInt64(static_cast<std::uint64_t>(whole)), kParts, now,
                         [&](Val* i, const Values& carried) { return add(i, kParts, carried); });
      if (whole < n) next = add(b_.getInt64(static_cast<std::uint64_t>(whole)), static_cast<int>(n - whole), next);
      Enter(depth, nullptr);
      return next;
    });
    for (int half = kParts / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) {
        acc[static_cast<std::size_t>(k)] = Combine(step.op, elem, acc[static_cast<std::size_t>(k)],
                                                   acc[static_cast<std::size_t>(k + half)]);
      }
    }
    StoreTo(s.buffer, Eval(s.index), acc[0]);
    return Values{};
  });
}

void Emitter::EmitArg(const Step& step) {
  const Store& s = step.stores[0];
  const int depth = step.level + static_cast<int>(step.outer.size()) + 1;
  const Elem elem = p_.at(s.value).elem;
  const std::int64_t n = step.inner[0];
  Nest(step.outer, 0, step.level, {}, [&](const Values&) {
    Hoist(depth - 1);
    Enter(depth, b_.getInt64(0));
    Val* first = EvalVarying(s.value, step.varies);
    Val* at = b_.getInt64(0);
    if (step.varies) at = Splat(at);
    Values best{first, at};
    if (n > 1) {
      best = Loop(b_.getInt64(1), b_.getInt64(static_cast<std::uint64_t>(n)), 1, best, [&](Val* i, const Values& now) {
        Enter(depth, i);
        Val* v = EvalVarying(s.value, step.varies);
        Val* better = step.op == Op::kArgMax ? Binary(Op::kLt, elem, now[0], v) : Binary(Op::kLt, elem, v, now[0]);
        return Values{b_.CreateSelect(better, v, now[0]), b_.CreateSelect(better, Like(i, now[1]), now[1])};
      });
    }
    Enter(depth, nullptr);
    StoreTo(s.buffer, Eval(s.index), best[1]);
    return Values{};
  });
}

void Emitter::EmitScan(const Step& step) {
  const Store& s = step.stores[0];
  const Elem elem = p_.buffers[static_cast<std::size_t>(s.buffer)].elem;
  Nest(step.outer, 0, step.level, {}, [&](const Values&) {
    const Values zero{Identity(Op::kReduceSum, elem, step.varies)};
    Nest(step.inner, 0, step.level + static_cast<int>(step.outer.size()), zero, [&](const Values& now) {
      Val* sum = Combine(Op::kReduceSum, elem, now[0], EvalVarying(s.value, step.varies));
      StoreTo(s.buffer, Eval(s.index), sum);
      return Values{sum};
    });
    return Values{};
  });
}

void Emitter::EmitScatter(const Step& step) {
  const Store& s = step.stores[0];
  Nest(step.outer, 0, step.level, {}, [&](const Values&) {
    Val *at = Eval(s.index), *value = EvalVarying(s.value, step.varies);
    StoreTo(s.buffer, at, Combine(Op::kReduceSum, Elem::kReal, Load(s.buffer, at), value));
    return Values{};
  });
}

// Exchange sort of neighbours: the same steps in every lane, and stable. Quadratic in the length of a row.
void Emitter::EmitSort(const Step& step) {
  const Store& s = step.stores[0];
  const Elem elem = p_.buffers[static_cast<std::size_t>(s.buffer)].elem;
  const std::int64_t n = step.inner[0];
  Nest(step.outer, 0, step.level, {}, [&](const Values&) {
    Val* row = Eval(s.index);
    Loop(b_.getInt64(0), b_.getInt64(static_cast<std::uint64_t>(n - 1)), 1, {}, [&](Val* pass, const Values&) {
      Val* end = b_.CreateSub(b_.getInt64(static_cast<std::uint64_t>(n - 1)), pass);
      Loop(b_.getInt64(0), end, 1, {}, [&](Val* j, const Values&) {
        Val *here = b_.CreateAdd(row, j), *there = b_.CreateAdd(here, b_.getInt64(1));
        Val *a = Load(s.buffer, here), *b = Load(s.buffer, there);
        Val* swap = Binary(Op::kLt, elem, b, a);
        StoreTo(s.buffer, here, b_.CreateSelect(swap, b, a));
        StoreTo(s.buffer, there, b_.CreateSelect(swap, a, b));
        if (step.second >= 0) {
          Val *p = Load(step.second, here), *q = Load(step.second, there);
          StoreTo(step.second, here, b_.CreateSelect(swap, q, p));
          StoreTo(step.second, there, b_.CreateSelect(swap, p, q));
        }
        return Values{};
      });
      return Values{};
    });
    return Values{};
  });
}

// Begins a function whose first argument is an array of inputs.
void Emitter::Begin(const char* symbol, const std::vector<llvm::Type*>& types) {
  function_ = llvm::Function::Create(llvm::FunctionType::get(b_.getVoidTy(), types, false),
                                     llvm::Function::ExternalLinkage, symbol, module_);
  function_->setDoesNotThrow();
  b_.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function_));
}

void Emitter::ReadArguments(unsigned which, std::size_t count, Values& data, Values& stride) {
  auto* argument = llvm::StructType::get(context_, {b_.getPtrTy(), b_.getInt64Ty()});
  data.clear(), stride.clear();
  for (std::size_t k = 0; k < count; ++k) {
    Val* at = b_.CreateConstGEP1_64(argument, function_->getArg(which), k);
    data.push_back(b_.CreateLoad(b_.getPtrTy(), b_.CreateStructGEP(argument, at, 0)));
    stride.push_back(b_.CreateLoad(b_.getInt64Ty(), b_.CreateStructGEP(argument, at, 1)));
  }
}

// Where the buffers begin. The inputs' arguments have been read.
void Emitter::SetBases(Val* shared, Val* scratch) {
  base_.assign(p_.buffers.size(), shared);
  for (std::size_t k = 0; k < base_.size(); ++k) {
    if (plan_.offset[k] < 0) continue;
    Val* memory = p_.buffers[k].place == Place::kShared ? shared : scratch;
    if (memory) base_[k] = b_.CreateConstGEP1_64(b_.getInt8Ty(), memory, static_cast<std::uint64_t>(plan_.offset[k]));
  }
  for (std::size_t k = 0; k < p_.inputs.size(); ++k) {
    const auto buffer = static_cast<std::size_t>(p_.inputs[k]);
    if (!p_.buffers[buffer].varies) base_[buffer] = input_data_[k];
  }
}

void Emitter::EmitPrepare() {
  llvm::Type* pointer = b_.getPtrTy();
  Begin(kPrepareSymbol, {pointer, pointer});
  function_->addParamAttr(1, llvm::Attribute::NoAlias);
  function_->addParamAttr(1, llvm::Attribute::getWithAlignment(context_, llvm::Align(64)));
  ReadArguments(0, p_.inputs.size(), input_data_, input_stride_);
  SetBases(function_->getArg(1), nullptr);
  for (const Step& s : p_.shared) EmitStep(s);
  b_.CreateRetVoid();
}

void Emitter::EmitKernel() {
  llvm::Type *pointer = b_.getPtrTy(), *i64 = b_.getInt64Ty();
  Begin(kKernelSymbol, {pointer, pointer, i64, i64, pointer, pointer});
  for (unsigned a : {0u, 1u, 5u}) function_->addParamAttr(a, llvm::Attribute::NoAlias);
  for (unsigned a : {4u, 5u}) function_->addParamAttr(a, llvm::Attribute::getWithAlignment(context_, llvm::Align(64)));
  Val *begin = function_->getArg(2), *end = function_->getArg(3);

  auto* work = llvm::BasicBlock::Create(context_, "work", function_);
  auto* done = llvm::BasicBlock::Create(context_, "done", function_);
  b_.CreateCondBr(b_.CreateICmpSLT(begin, end), work, done);
  b_.SetInsertPoint(done);
  b_.CreateRetVoid();
  b_.SetInsertPoint(work);
  ReadArguments(0, p_.inputs.size(), input_data_, input_stride_);
  ReadArguments(1, p_.outputs.size(), output_data_, output_stride_);
  SetBases(function_->getArg(4), function_->getArg(5));
  Val* last = b_.CreateSub(end, b_.getInt64(1));
  Loop(begin, end, lanes_, {}, [&](Val* tile, const Values&) {
    TileIn(tile, last);
    for (const Step& s : p_.instance) EmitStep(s);
    Val* valid = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b_.CreateSub(end, tile), b_.getInt64(lanes_));
    TileOut(tile, lanes_ == 1 ? b_.getInt64(1) : valid);
    return Values{};
  });
  b_.CreateBr(done);
}

void Emitter::Run() {
  EmitPrepare();
  EmitKernel();
}

std::unique_ptr<llvm::Module> EmitKernel(llvm::LLVMContext& context, const LoopProgram& program, Precision precision,
                                         int lanes, int native_width, const ScratchPlan& plan) {
  auto module = std::make_unique<llvm::Module>("amo", context);
  Emitter(*module, program, precision, lanes, native_width, plan).Run();
  return module;
}

}  // namespace amo::compiler
