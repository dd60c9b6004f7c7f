// SPDX-License-Identifier: Apache-2.0
// Calls of intrinsics are found first and replaced then.
#include "compiler/export_plain.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/IntrinsicInst.h>

#include <vector>

namespace amo::compiler {
namespace {

using Val = llvm::Value;

template <class Make>
void ReplaceCalls(llvm::Module& module, llvm::Intrinsic::ID id, Make make) {
  std::vector<llvm::IntrinsicInst*> calls;
  for (llvm::Function& f : module) {
    for (llvm::Instruction& i : llvm::instructions(f)) {
      auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
      if (call && call->getIntrinsicID() == id) calls.push_back(call);
    }
  }
  for (llvm::IntrinsicInst* call : calls) {
    llvm::IRBuilder<> b(call);
    call->replaceAllUsesWith(make(b, call));
    call->eraseFromParent();
  }
}

// Past 2^52 (2^23) every number is an integer, and adding that much rounds to one. The sign of 0 stays.
Val* Rounded(llvm::IRBuilder<>& b, Val* x) {
  llvm::Type* type = x->getType();
  llvm::Constant* all = llvm::ConstantFP::get(type, type->getScalarType()->isDoubleTy() ? 0x1p52 : 0x1p23);
  Val* a = b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
  Val* rounded = b.CreateFSub(b.CreateFAdd(a, all), all);
  rounded = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, rounded, x);
  return b.CreateSelect(b.CreateFCmpOLT(a, all), rounded, x);
}

}  // namespace

void ReplaceFma(llvm::Module& module) {
  ReplaceCalls(module, llvm::Intrinsic::fma, [](llvm::IRBuilder<>& b, llvm::IntrinsicInst* call) -> Val* {
    Val *x = call->getArgOperand(0), *y = call->getArgOperand(1), *z = call->getArgOperand(2);
    llvm::Type* type = x->getType();
    if (type->getScalarType()->isDoubleTy()) return b.CreateFAdd(b.CreateFMul(x, y), z);
    llvm::Type* wide = type->getWithNewType(b.getDoubleTy());
    Val* product = b.CreateFMul(b.CreateFPExt(x, wide), b.CreateFPExt(y, wide));
    return b.CreateFPTrunc(b.CreateFAdd(product, b.CreateFPExt(z, wide)), type);
  });
}

void ReplaceRounding(llvm::Module& module) {
  ReplaceCalls(module, llvm::Intrinsic::rint,
               [](llvm::IRBuilder<>& b, llvm::IntrinsicInst* call) { return Rounded(b, call->getArgOperand(0)); });
  ReplaceCalls(module, llvm::Intrinsic::floor, [](llvm::IRBuilder<>& b, llvm::IntrinsicInst* call) -> Val* {
    Val *x = call->getArgOperand(0), *r = Rounded(b, x);
    llvm::Type* type = x->getType();
    Val* above = b.CreateFCmpOGT(r, x);
    return b.CreateFSub(r, b.CreateSelect(above, llvm::ConstantFP::get(type, 1), llvm::ConstantFP::get(type, 0)));
  });
}

}  // namespace amo::compiler
