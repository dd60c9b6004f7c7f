// SPDX-License-Identifier: Apache-2.0
// Expressions and memory accesses as LLVM instructions.
#include <limits>

#include "compiler/check.h"
#include "compiler/codegen_emitter.h"

namespace amo::compiler {

using llvm::Intrinsic::ID;
using Val = llvm::Value;

llvm::Type* Emitter::ScalarType(Elem elem) {
  switch (elem) {
    case Elem::kReal:
      return real_;
    case Elem::kInt:
      return b_.getInt64Ty();
    case Elem::kBool:
      return b_.getInt1Ty();
  }
  return real_;
}

llvm::Type* Emitter::MemoryType(Elem elem) { return elem == Elem::kBool ? b_.getInt8Ty() : ScalarType(elem); }

std::int64_t Emitter::EntryBytes(Elem elem) {
  return compiler::EntryBytes(elem, f64_ ? Precision::kF64 : Precision::kF32);
}

Val* Emitter::Splat(Val* v) { return width_ > 1 && !IsVector(v) ? b_.CreateVectorSplat(width_, v) : v; }

Val* Emitter::Like(Val* v, Val* other) { return IsVector(other) ? Splat(v) : v; }

// The address of an entry; a vector of addresses where the index varies.
Val* Emitter::Address(int buffer, Val* index) {
  const Buffer& b = p_.buffers[static_cast<std::size_t>(buffer)];
  Val* base = base_[static_cast<std::size_t>(buffer)];
  llvm::Type* type = MemoryType(b.elem);
  if (InLanes(b)) {
    index = b_.CreateMul(index, llvm::ConstantInt::get(index->getType(), lanes_));
    if (IsVector(index)) {
      std::vector<llvm::Constant*> lane;
      for (unsigned l = 0; l < lanes_; ++l) lane.push_back(b_.getInt64(l));
      index = b_.CreateAdd(index, llvm::ConstantVector::get(lane));
    }
  }
  return b_.CreateGEP(type, base, index);
}

// `stride`, where it is not 0: as many entries as a vector has, from `index` on, so far from each other.
Val* Emitter::Load(int buffer, Val* index, std::int64_t stride) {
  const Buffer& b = p_.buffers[static_cast<std::size_t>(buffer)];
  Val* at = Address(buffer, index);
  llvm::Type* type = MemoryType(b.elem);
  const auto bytes = static_cast<std::uint64_t>(EntryBytes(b.elem));
  Val* v;
  if (stride > 1 || stride < 0) {
    v = llvm::PoisonValue::get(llvm::FixedVectorType::get(type, width_));
    for (unsigned l = 0; l < width_; ++l) {
      Val* entry = b_.CreateGEP(type, at, b_.getInt64(static_cast<std::uint64_t>(stride * l)));
      v = b_.CreateInsertElement(v, b_.CreateAlignedLoad(type, entry, llvm::Align(bytes)), l);
    }
  } else if (stride == 1) {
    v = b_.CreateAlignedLoad(llvm::FixedVectorType::get(type, width_), at, llvm::Align(bytes));
  } else if (IsVector(at)) {
    v = b_.CreateMaskedGather(llvm::FixedVectorType::get(type, lanes_), at, llvm::Align(bytes));
  } else if (InLanes(b)) {
    const llvm::Align align(std::min<std::uint64_t>(64, bytes * lanes_));
    v = b_.CreateAlignedLoad(llvm::FixedVectorType::get(type, lanes_), at, align);
  } else {
    v = b_.CreateAlignedLoad(type, at, llvm::Align(bytes));
  }
  if (b.elem == Elem::kBool) v = b_.CreateICmpNE(v, llvm::Constant::getNullValue(v->getType()));
  return v;
}

void Emitter::StoreTo(int buffer, Val* index, Val* value) {
  const Buffer& b = p_.buffers[static_cast<std::size_t>(buffer)];
  Val* at = Address(buffer, index);
  const auto bytes = static_cast<std::uint64_t>(EntryBytes(b.elem));
  if (InLanes(b)) value = Splat(value);
  if (b.elem == Elem::kBool) {
    llvm::Type* type = b_.getInt8Ty();
    if (IsVector(value)) type = llvm::FixedVectorType::get(type, width_);
    value = b_.CreateZExt(value, type);
  }
  if (IsVector(at)) {
    b_.CreateMaskedScatter(value, at, llvm::Align(bytes));
  } else {
    b_.CreateAlignedStore(value, at, llvm::Align(InLanes(b) ? std::min<std::uint64_t>(64, bytes * lanes_) : bytes));
  }
}

Val* Emitter::Eval(std::int32_t e) {
  const Expr& x = p_.at(e);
  Copy& copy = copies_[x.depth < jam_depth_ ? 0 : copy_];
  const auto level = static_cast<std::size_t>(x.depth);
  if (const auto it = copy.memo[level].find(e); it != copy.memo[level].end()) return it->second;
  Val* v = Compute(x);
  copy.memo[level][e] = v;
  return v;
}

Val* Emitter::EvalVarying(std::int32_t e, bool varies) { return varies ? Splat(Eval(e)) : Eval(e); }

Val* Emitter::Compute(const Expr& e) {
  const auto constant = [&](Val* like, std::int64_t v) {
    return llvm::ConstantInt::get(like->getType(), static_cast<std::uint64_t>(v), true);
  };
  switch (e.kind) {
    case ExprKind::kConst:
      if (e.elem == Elem::kReal) return llvm::ConstantFP::get(real_, e.number);
      if (e.elem == Elem::kBool) return b_.getInt1(e.number != 0);
      return llvm::ConstantInt::getSigned(b_.getInt64Ty(), static_cast<std::int64_t>(e.number));
    case ExprKind::kVar:
      return copies_[e.depth < jam_depth_ ? 0 : copy_].vars[static_cast<std::size_t>(e.lo)];
    case ExprKind::kOp:
      return Apply(e);
    case ExprKind::kLoad:
      return Load(static_cast<int>(e.lo), Eval(e.args[0]),
                  wide_depth_ > 0 ? StrideOf(e.args[0], wide_depth_).value_or(0) : 0);
    case ExprKind::kIndexAdd: {
      Val *x = Eval(e.args[0]), *y = Eval(e.args[1]);
      return b_.CreateAdd(Like(x, y), Like(y, x));
    }
    case ExprKind::kIndexMul: {
      Val* x = Eval(e.args[0]);
      return b_.CreateMul(x, constant(x, e.lo));
    }
    case ExprKind::kIndexDiv: {
      Val* x = Eval(e.args[0]);
      return b_.CreateUDiv(x, constant(x, e.lo));
    }
    case ExprKind::kIndexMod: {
      Val* x = Eval(e.args[0]);
      return b_.CreateURem(x, constant(x, e.lo));
    }
    case ExprKind::kClamp: {
      Val* x = Eval(e.args[0]);
      x = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, constant(x, e.lo));
      return b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, constant(x, e.hi));
    }
    case ExprKind::kInRange: {
      Val* x = Eval(e.args[0]);
      return b_.CreateICmpULT(b_.CreateSub(x, constant(x, e.lo)), constant(x, e.hi - e.lo));
    }
  }
  return nullptr;
}

Val* Emitter::Apply(const Expr& e) {
  const Elem from = p_.at(e.args[0]).elem;
  switch (ClassOf(e.op)) {
    case OpClass::kUnary:
      return Unary(e.op, from, Eval(e.args[0]));
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic: {
      Val *x = Eval(e.args[0]), *y = Eval(e.args[1]);
      return Binary(e.op, from, Like(x, y), Like(y, x));
    }
    case OpClass::kSelect: {
      Val *c = Eval(e.args[0]), *x = Eval(e.args[1]), *y = Eval(e.args[2]);
      x = Like(Like(x, y), c);
      return b_.CreateSelect(c, x, Like(y, x));
    }
    case OpClass::kLeaf:
    case OpClass::kShape:
    case OpClass::kReduce:
    case OpClass::kArg:
    case OpClass::kAlong:
    case OpClass::kContract:
    case OpClass::kIndex:
    case OpClass::kMatrix:
    case OpClass::kLoop:
      break;
  }
  AMO_CHECK(false, "(not elementwise)");
}

Val* Emitter::Unary(Op op, Elem from, Val* x) {
  VectorMath math(b_, module_, from == Elem::kReal ? x->getType() : real_);
  const auto number = [&](double v) -> llvm::Constant* {
    return from == Elem::kReal ? llvm::ConstantFP::get(x->getType(), v)
                               : llvm::ConstantInt::getSigned(x->getType(), static_cast<std::int64_t>(v));
  };
  const auto sized = [&](llvm::Type* t) -> llvm::Type* {
    return IsVector(x) ? llvm::FixedVectorType::get(t, width_) : t;
  };
  switch (op) {
    case Op::kNeg:
      return from == Elem::kReal ? b_.CreateFNeg(x) : b_.CreateNeg(x);
    case Op::kExp:
      return math.Exp(x);
    case Op::kLog:
      return math.Log(x);
    case Op::kExpm1:
      return math.Expm1(x);
    case Op::kLog1p:
      return math.Log1p(x);
    case Op::kSqrt:
      return b_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x);
    case Op::kAbs:
      return from == Elem::kReal ? b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x)
                                 : b_.CreateBinaryIntrinsic(llvm::Intrinsic::abs, x, b_.getInt1(false));
    case Op::kSign: {
      if (from == Elem::kInt) {
        x = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, number(-1));
        return b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, number(1));
      }
      Val* v = b_.CreateSelect(b_.CreateFCmpOEQ(x, number(0)), number(0), x);
      v = b_.CreateSelect(b_.CreateFCmpOLT(x, number(0)), number(-1), v);
      return b_.CreateSelect(b_.CreateFCmpOGT(x, number(0)), number(1), v);
    }
    case Op::kFloor:
      return b_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, x);
    case Op::kSin:
      return math.Sin(x);
    case Op::kCos:
      return math.Cos(x);
    case Op::kTan:
      return math.Tan(x);
    case Op::kAsin:
      return math.Libm("asin", {x});
    case Op::kAcos:
      return math.Libm("acos", {x});
    case Op::kAtan:
      return math.Libm("atan", {x});
    case Op::kSinh:
      return math.Sinh(x);
    case Op::kCosh:
      return math.Cosh(x);
    case Op::kTanh:
      return math.Tanh(x);
    case Op::kSigmoid:
      return math.Sigmoid(x);
    case Op::kSoftplus:
      return math.Softplus(x);
    case Op::kErf:
      return math.Libm("erf", {x});
    case Op::kNot:
      return b_.CreateNot(x);
    case Op::kToReal:
      if (from == Elem::kReal) return x;
      return from == Elem::kInt ? b_.CreateSIToFP(x, sized(real_)) : b_.CreateUIToFP(x, sized(real_));
    case Op::kToInt:
      if (from == Elem::kInt) return x;
      if (from == Elem::kBool) return b_.CreateZExt(x, sized(b_.getInt64Ty()));
      return b_.CreateIntrinsic(llvm::Intrinsic::fptosi_sat, {sized(b_.getInt64Ty()), x->getType()}, {x});
    case Op::kInput:
    case Op::kNumber:
    case Op::kIota:
    case Op::kStop:
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kDiv:
    case Op::kMod:
    case Op::kPow:
    case Op::kMax:
    case Op::kMin:
    case Op::kAtan2:
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
    case Op::kAnd:
    case Op::kOr:
    case Op::kSelect:
    case Op::kBroadcast:
    case Op::kReshape:
    case Op::kSlice:
    case Op::kPad:
    case Op::kConcat:
    case Op::kUnfold:
    case Op::kFold:
    case Op::kReduceSum:
    case Op::kReduceProd:
    case Op::kReduceMax:
    case Op::kReduceMin:
    case Op::kArgMax:
    case Op::kArgMin:
    case Op::kCumSum:
    case Op::kSort:
    case Op::kArgSort:
    case Op::kDot:
    case Op::kGather:
    case Op::kScatter:
    case Op::kSolve:
    case Op::kEigen:
    case Op::kScan:
      break;
  }
  AMO_CHECK(false, "(%s)", std::string(OpText(op)).c_str());
}

// The remainder with the sign of the divisor; 0 for the divisor 0.
Val* Emitter::IntMod(Val* x, Val* y) {
  llvm::Constant* zero = llvm::Constant::getNullValue(y->getType());
  Val* by = b_.CreateSelect(b_.CreateICmpEQ(y, zero), llvm::ConstantInt::get(y->getType(), 1), y);
  Val* r = b_.CreateSRem(x, by);
  Val* other_sign = b_.CreateAnd(b_.CreateICmpNE(r, zero), b_.CreateICmpSLT(b_.CreateXor(r, by), zero));
  return b_.CreateSelect(other_sign, b_.CreateAdd(r, by), r);
}

Val* Emitter::Binary(Op op, Elem elem, Val* x, Val* y) {
  const bool real = elem == Elem::kReal, boolean = elem == Elem::kBool;
  switch (op) {
    case Op::kAdd:
      return real ? b_.CreateFAdd(x, y) : b_.CreateAdd(x, y);
    case Op::kSub:
      return real ? b_.CreateFSub(x, y) : b_.CreateSub(x, y);
    case Op::kMul:
      return real ? b_.CreateFMul(x, y) : b_.CreateMul(x, y);
    case Op::kDiv:
      return b_.CreateFDiv(x, y);
    case Op::kMod: {
      if (!real) return IntMod(x, y);
      Val* floor = b_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, b_.CreateFDiv(x, y));
      return b_.CreateFSub(x, b_.CreateFMul(y, floor));
    }
    case Op::kPow:
      return VectorMath(b_, module_, x->getType()).Libm("pow", {x, y});
    case Op::kAtan2:
      return VectorMath(b_, module_, x->getType()).Libm("atan2", {x, y});
    case Op::kMax:
      if (boolean) return b_.CreateOr(x, y);
      if (!real) return b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, y);
      return b_.CreateSelect(b_.CreateOr(b_.CreateFCmpOGT(x, y), b_.CreateFCmpUNO(x, x)), x, y);
    case Op::kMin:
      if (boolean) return b_.CreateAnd(x, y);
      if (!real) return b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, y);
      return b_.CreateSelect(b_.CreateOr(b_.CreateFCmpOLT(x, y), b_.CreateFCmpUNO(x, x)), x, y);
    case Op::kEq:
      return real ? b_.CreateFCmpOEQ(x, y) : b_.CreateICmpEQ(x, y);
    case Op::kNe:
      return real ? b_.CreateFCmpUNE(x, y) : b_.CreateICmpNE(x, y);
    case Op::kLt:
      return real ? b_.CreateFCmpOLT(x, y) : boolean ? b_.CreateICmpULT(x, y) : b_.CreateICmpSLT(x, y);
    case Op::kLe:
      return real ? b_.CreateFCmpOLE(x, y) : boolean ? b_.CreateICmpULE(x, y) : b_.CreateICmpSLE(x, y);
    case Op::kAnd:
      return b_.CreateAnd(x, y);
    case Op::kOr:
      return b_.CreateOr(x, y);
    case Op::kInput:
    case Op::kNumber:
    case Op::kIota:
    case Op::kNeg:
    case Op::kExp:
    case Op::kLog:
    case Op::kExpm1:
    case Op::kLog1p:
    case Op::kSqrt:
    case Op::kAbs:
    case Op::kSign:
    case Op::kFloor:
    case Op::kSin:
    case Op::kCos:
    case Op::kTan:
    case Op::kAsin:
    case Op::kAcos:
    case Op::kAtan:
    case Op::kSinh:
    case Op::kCosh:
    case Op::kTanh:
    case Op::kSigmoid:
    case Op::kSoftplus:
    case Op::kErf:
    case Op::kNot:
    case Op::kToReal:
    case Op::kToInt:
    case Op::kStop:
    case Op::kSelect:
    case Op::kBroadcast:
    case Op::kReshape:
    case Op::kSlice:
    case Op::kPad:
    case Op::kConcat:
    case Op::kUnfold:
    case Op::kFold:
    case Op::kReduceSum:
    case Op::kReduceProd:
    case Op::kReduceMax:
    case Op::kReduceMin:
    case Op::kArgMax:
    case Op::kArgMin:
    case Op::kCumSum:
    case Op::kSort:
    case Op::kArgSort:
    case Op::kDot:
    case Op::kGather:
    case Op::kScatter:
    case Op::kSolve:
    case Op::kEigen:
    case Op::kScan:
      break;
  }
  AMO_CHECK(false, "(%s)", std::string(OpText(op)).c_str());
}

Val* Emitter::Identity(Op op, Elem elem, bool varies) {
  llvm::Type* type = ScalarType(elem);
  Val* v = nullptr;
  const double inf = std::numeric_limits<double>::infinity();
  const bool max = op == Op::kReduceMax, min = op == Op::kReduceMin;
  if (elem == Elem::kReal) {
    v = llvm::ConstantFP::get(type, max ? -inf : min ? inf : op == Op::kReduceProd ? 1.0 : 0.0);
  } else if (elem == Elem::kInt) {
    using Limits = std::numeric_limits<std::int64_t>;
    v = llvm::ConstantInt::getSigned(type, max ? Limits::min() : min ? Limits::max() : op == Op::kReduceProd ? 1 : 0);
  } else {
    v = b_.getInt1(min);
  }
  return varies ? Splat(v) : v;
}

Val* Emitter::Combine(Op op, Elem elem, Val* acc, Val* value) {
  value = Like(value, acc);
  const Op binary = op == Op::kReduceProd  ? Op::kMul
                    : op == Op::kReduceMax ? Op::kMax
                    : op == Op::kReduceMin ? Op::kMin
                                           : Op::kAdd;
  return Binary(binary, elem, acc, value);
}

}  // namespace amo::compiler
