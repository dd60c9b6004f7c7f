// SPDX-License-Identifier: Apache-2.0
// The polynomials: exp and log after fdlibm (k ln 2 + a short series), tanh, f32 exp and f32 log after Cephes, sin and
// cos after fdlibm's kernels with a three-term Cody-Waite reduction. Everything else is composed of these.
#include "compiler/vector_math.h"

#include <llvm/IR/Intrinsics.h>

#include <cmath>
#include <string>

namespace amo::compiler {

using Val = llvm::Value;

VectorMath::VectorMath(llvm::IRBuilder<>& builder, llvm::Module& module, llvm::Type* real)
    : b_(builder), module_(module), real_(real) {
  f64_ = real->getScalarType()->isDoubleTy();
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(real);
  lanes_ = vector ? vector->getNumElements() : 1;
  int_ = f64_ ? b_.getInt64Ty() : b_.getInt32Ty();
  if (vector) int_ = llvm::FixedVectorType::get(int_, lanes_);
}

Val* VectorMath::C(double v) { return llvm::ConstantFP::get(real_, v); }

Val* VectorMath::CI(std::int64_t v) { return llvm::ConstantInt::get(int_, static_cast<std::uint64_t>(v), true); }

Val* VectorMath::Fma(Val* a, Val* b, Val* c) { return b_.CreateIntrinsic(llvm::Intrinsic::fma, {real_}, {a, b, c}); }

Val* VectorMath::Poly(Val* x, std::initializer_list<double> high_to_low) {
  Val* r = nullptr;
  for (double k : high_to_low) r = r ? Fma(r, x, C(k)) : C(k);
  return r;
}

Val* VectorMath::Abs(Val* x) { return b_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }

Val* VectorMath::CopySign(Val* x, Val* sign) { return b_.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, x, sign); }

// Adding 1.5 * 2^52 leaves the rounded integer in the low bits; unlike a conversion it is defined for NaN.
void VectorMath::Round(Val* x, Val*& real, Val*& integer) {
  Val* magic = C(f64_ ? 6755399441055744.0 : 12582912.0);
  real = b_.CreateUnaryIntrinsic(llvm::Intrinsic::rint, x);
  Val* shifted = b_.CreateBitCast(b_.CreateFAdd(real, magic), int_);
  integer = b_.CreateSub(shifted, b_.CreateBitCast(magic, int_));
}

Val* VectorMath::PowerOfTwo(Val* n) {
  return b_.CreateBitCast(b_.CreateShl(b_.CreateAdd(n, CI(f64_ ? 1023 : 127)), CI(f64_ ? 52 : 23)), real_);
}

Val* VectorMath::Exp(Val* x) {
  const double least = f64_ ? -708.39 : -87.33, greatest = f64_ ? 709.782712893384 : 88.7228;
  Val* xc = b_.CreateSelect(b_.CreateFCmpOLT(x, C(least)), C(least), x);
  xc = b_.CreateSelect(b_.CreateFCmpOGT(xc, C(greatest)), C(greatest), xc);
  Val *n, *ni;
  Round(b_.CreateFMul(xc, C(1.4426950408889634)), n, ni);
  Val* p;
  if (f64_) {
    Val* r = Fma(n, C(-6.93147180369123816490e-01), xc);
    r = Fma(n, C(-1.90821492927058770002e-10), r);
    // The Taylor series to degree 13 (|r| <= 0.347), in four short chains.
    Val *r2 = b_.CreateFMul(r, r), *r4 = b_.CreateFMul(r2, r2), *r8 = b_.CreateFMul(r4, r4);
    Val *p23 = Fma(r, C(1. / 6), C(0.5)), *p45 = Fma(r, C(1. / 120), C(1. / 24));
    Val *p67 = Fma(r, C(1. / 5040), C(1. / 720)), *p89 = Fma(r, C(1. / 362880), C(1. / 40320));
    Val* p1011 = Fma(r, C(1. / 39916800), C(1. / 3628800));
    Val* p1213 = Fma(r, C(1. / 6227020800.), C(1. / 479001600.));
    Val *low = Fma(p67, r2, p45), *high = Fma(p1213, r4, Fma(p1011, r2, p89));
    Val* t = Fma(p23, r2, Fma(high, r8, b_.CreateFMul(low, r4)));
    p = b_.CreateFAdd(C(1.0), b_.CreateFAdd(r, t));
  } else {
    Val* r = Fma(n, C(-0.693359375), xc);
    r = Fma(n, C(2.12194440e-4), r);
    p = Poly(r, {1.9875691500E-4, 1.3981999507E-3, 8.3334519073E-3, 4.1665795894E-2, 1.6666665459E-1, 5.0000001201E-1});
    p = b_.CreateFAdd(Fma(p, b_.CreateFMul(r, r), r), C(1.0));
  }
  // 2^n in two factors, so that n = 1024 works.
  Val* half = b_.CreateAShr(ni, CI(1));
  Val* v = b_.CreateFMul(b_.CreateFMul(p, PowerOfTwo(half)), PowerOfTwo(b_.CreateSub(ni, half)));
  v = b_.CreateSelect(b_.CreateFCmpOGT(x, C(greatest)), llvm::ConstantFP::getInfinity(real_), v);
  return b_.CreateSelect(b_.CreateFCmpOLT(x, C(least)), C(0.0), v);
}

Val* VectorMath::Log(Val* x) {
  // Subnormal numbers are scaled up first.
  Val* tiny = b_.CreateFCmpOLT(x, C(f64_ ? 2.2250738585072014e-308 : 1.17549435e-38));
  Val* scaled = b_.CreateSelect(tiny, b_.CreateFMul(x, C(f64_ ? 0x1p54 : 0x1p25)), x);
  const std::int64_t bits = f64_ ? 52 : 23;
  Val* i = b_.CreateBitCast(scaled, int_);
  Val* e = b_.CreateAShr(b_.CreateSub(i, CI(f64_ ? 0x3FE6A09E667F3BCDll : 0x3F3504F3)), CI(bits));
  Val* m = b_.CreateBitCast(b_.CreateSub(i, b_.CreateShl(e, CI(bits))), real_);  // in [sqrt(1/2), sqrt(2))
  Val* k = b_.CreateSIToFP(e, real_);
  k = b_.CreateFSub(k, b_.CreateSelect(tiny, C(f64_ ? 54 : 25), C(0)));
  Val* f = b_.CreateFSub(m, C(1.0));
  Val* v;
  if (f64_) {
    Val *s = b_.CreateFDiv(f, b_.CreateFAdd(C(2.0), f)), *z = b_.CreateFMul(s, s), *w = b_.CreateFMul(z, z);
    Val* t1 = b_.CreateFMul(w, Poly(w, {1.531383769920937332e-01, 2.222219843214978396e-01, 3.999999999940941908e-01}));
    Val* t2 = b_.CreateFMul(z, Poly(w, {1.479819860511658591e-01, 1.818357216161805012e-01, 2.857142874366239149e-01,
                                        6.666666666666735130e-01}));
    Val *r = b_.CreateFAdd(t1, t2), *half = b_.CreateFMul(C(0.5), b_.CreateFMul(f, f));
    Val* q = Fma(s, b_.CreateFAdd(half, r), b_.CreateFMul(k, C(1.90821492927058770002e-10)));
    v = Fma(k, C(6.93147180369123816490e-01), b_.CreateFSub(f, b_.CreateFSub(half, q)));
  } else {
    Val* z = b_.CreateFMul(f, f);
    Val* y = Poly(f, {7.0376836292E-2, -1.1514610310E-1, 1.1676998740E-1, -1.2420140846E-1, 1.4249322787E-1,
                      -1.6668057665E-1, 2.0000714765E-1, -2.4999993993E-1, 3.3333331174E-1});
    y = b_.CreateFMul(b_.CreateFMul(y, f), z);
    y = Fma(z, C(-0.5), Fma(k, C(-2.12194440e-4), y));
    v = Fma(k, C(0.693359375), b_.CreateFAdd(f, y));
  }
  Val* inf = llvm::ConstantFP::getInfinity(real_);
  v = b_.CreateSelect(b_.CreateFCmpOEQ(x, C(0.0)), llvm::ConstantFP::getInfinity(real_, true), v);
  v = b_.CreateSelect(b_.CreateFCmpOEQ(x, inf), x, v);
  return b_.CreateSelect(b_.CreateFCmpULT(x, C(0.0)), llvm::ConstantFP::getNaN(real_), v);
}

Val* VectorMath::TanhNearZero(Val* x) {
  Val* z = b_.CreateFMul(x, x);
  if (f64_) {
    Val* p = Poly(z, {-9.64399179425052238628E-1, -9.92877231001918586564E1, -1.61468768441708447952E3});
    Val* q = Poly(z, {1.0, 1.12811678491632931402E2, 2.23548839060100448583E3, 4.84406305325125486048E3});
    return Fma(b_.CreateFMul(x, z), b_.CreateFDiv(p, q), x);
  }
  Val* p = Poly(z, {-5.70498872745E-3, 2.06390887954E-2, -5.37397155531E-2, 1.33314422036E-1, -3.33332819422E-1});
  return Fma(b_.CreateFMul(p, z), x, x);
}

Val* VectorMath::Tanh(Val* x) {
  Val* a = Abs(x);
  Val* e = Exp(b_.CreateFMul(C(2.0), a));
  Val* big = b_.CreateFSub(C(1.0), b_.CreateFDiv(C(2.0), b_.CreateFAdd(e, C(1.0))));
  return b_.CreateSelect(b_.CreateFCmpOLT(a, C(0.625)), TanhNearZero(x), CopySign(big, x));
}

// Near zero 2 t / (1 - t) with t = tanh(x / 2).
Val* VectorMath::Expm1(Val* x) {
  Val* t = TanhNearZero(b_.CreateFMul(x, C(0.5)));
  Val* near = b_.CreateFDiv(b_.CreateFMul(C(2.0), t), b_.CreateFSub(C(1.0), t));
  Val* far = b_.CreateFSub(Exp(x), C(1.0));
  return b_.CreateSelect(b_.CreateFCmpOLT(Abs(x), C(1.0)), near, far);
}

// log(u) with u = 1 + x rounded, and what the rounding lost.
Val* VectorMath::Log1p(Val* x) {
  Val* u = b_.CreateFAdd(C(1.0), x);
  Val* lost = b_.CreateFDiv(b_.CreateFSub(x, b_.CreateFSub(u, C(1.0))), u);
  Val* log = Log(u);
  Val* whole = b_.CreateFAdd(log, lost);
  Val* ends = b_.CreateOr(b_.CreateFCmpOEQ(u, C(0.0)), b_.CreateFCmpOEQ(u, llvm::ConstantFP::getInfinity(real_)));
  return b_.CreateSelect(ends, log, whole);
}

void VectorMath::SinCos(Val* x, Val*& sine, Val*& cosine) {
  Val *n, *ni, *sn, *cs;
  Round(b_.CreateFMul(x, C(0.63661977236758134308)), n, ni);
  if (f64_) {
    Val* r = Fma(n, C(-1.57079632673412561417e+00), x);
    r = Fma(n, C(-6.07710050630396597660e-11), r);
    r = Fma(n, C(-2.02226624879595063154e-21), r);
    Val* z = b_.CreateFMul(r, r);
    sn = Fma(b_.CreateFMul(z, r),
             Poly(z, {1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
                      -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01}),
             r);
    cs = Poly(z, {-1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
                  2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02});
    Val *half = b_.CreateFMul(C(0.5), z), *w = b_.CreateFSub(C(1.0), half);
    Val* lost = b_.CreateFSub(b_.CreateFSub(C(1.0), w), half);
    cs = b_.CreateFAdd(w, Fma(b_.CreateFMul(z, z), cs, lost));
  } else {
    Val* r = Fma(n, C(-1.5707962512969971), x);
    r = Fma(n, C(-7.5497894158615964e-8), r);
    r = Fma(n, C(-5.3903029534742384e-15), r);
    Val* z = b_.CreateFMul(r, r);
    sn = Fma(b_.CreateFMul(z, r), Poly(z, {-1.9515295891E-4, 8.3321608736E-3, -1.6666654611E-1}), r);
    cs = Fma(b_.CreateFMul(z, z), Poly(z, {2.443315711809948E-5, -1.388731625493765E-3, 4.166664568298827E-2}),
             Fma(z, C(-0.5), C(1.0)));
  }
  Val* odd = b_.CreateICmpNE(b_.CreateAnd(ni, CI(1)), CI(0));
  Val* shift = CI(f64_ ? 62 : 30);
  const auto signed_by = [&](Val* v, Val* quadrant) {
    Val* sign = b_.CreateShl(b_.CreateAnd(quadrant, CI(2)), shift);
    return b_.CreateBitCast(b_.CreateXor(b_.CreateBitCast(v, int_), sign), real_);
  };
  sine = signed_by(b_.CreateSelect(odd, cs, sn), ni);
  cosine = signed_by(b_.CreateSelect(odd, sn, cs), b_.CreateAdd(ni, CI(1)));
}

Val* VectorMath::OrLibm(Val* x, double bound, const char* name, Val* fast) {
  Val* a = Abs(x);
  Val* large = b_.CreateAnd(b_.CreateFCmpOGT(a, C(bound)), b_.CreateFCmpOLT(a, llvm::ConstantFP::getInfinity(real_)));
  Val* any = lanes_ > 1 ? b_.CreateOrReduce(large) : large;
  llvm::Function* function = b_.GetInsertBlock()->getParent();
  llvm::BasicBlock* from = b_.GetInsertBlock();
  auto* slow = llvm::BasicBlock::Create(b_.getContext(), "large", function);
  auto* after = llvm::BasicBlock::Create(b_.getContext(), "after", function);
  b_.CreateCondBr(any, slow, after);
  b_.SetInsertPoint(slow);
  Val* exact = Libm(name, {x});
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
  llvm::PHINode* phi = b_.CreatePHI(real_, 2);
  phi->addIncoming(fast, from);
  phi->addIncoming(exact, slow);
  return phi;
}

namespace {
double LargestAngle(bool f64) { return f64 ? 1e6 : 1e4; }
}  // namespace

Val* VectorMath::Sin(Val* x) {
  Val *s, *c;
  SinCos(x, s, c);
  return OrLibm(x, LargestAngle(f64_), "sin", s);
}

Val* VectorMath::Cos(Val* x) {
  Val *s, *c;
  SinCos(x, s, c);
  return OrLibm(x, LargestAngle(f64_), "cos", c);
}

Val* VectorMath::Tan(Val* x) {
  Val *s, *c;
  SinCos(x, s, c);
  return OrLibm(x, LargestAngle(f64_), "tan", b_.CreateFDiv(s, c));
}

// (e + e / (e + 1)) / 2 with e = expm1(|x|); where that overflows, exp(|x| / 2)^2 / 2.
Val* VectorMath::Sinh(Val* x) {
  Val *a = Abs(x), *e = Expm1(a);
  Val* v = b_.CreateFMul(C(0.5), b_.CreateFAdd(e, b_.CreateFDiv(e, b_.CreateFAdd(e, C(1.0)))));
  Val* root = Exp(b_.CreateFMul(C(0.5), a));
  Val* far = b_.CreateFMul(b_.CreateFMul(C(0.5), root), root);
  return CopySign(b_.CreateSelect(b_.CreateFCmpOGT(a, C(f64_ ? 40 : 20)), far, v), x);
}

Val* VectorMath::Cosh(Val* x) {
  Val *a = Abs(x), *e = Exp(a);
  Val* v = b_.CreateFMul(C(0.5), b_.CreateFAdd(e, b_.CreateFDiv(C(1.0), e)));
  Val* root = Exp(b_.CreateFMul(C(0.5), a));
  Val* far = b_.CreateFMul(b_.CreateFMul(C(0.5), root), root);
  return b_.CreateSelect(b_.CreateFCmpOGT(a, C(f64_ ? 40 : 20)), far, v);
}

Val* VectorMath::Sigmoid(Val* x) { return b_.CreateFDiv(C(1.0), b_.CreateFAdd(C(1.0), Exp(b_.CreateFNeg(x)))); }

Val* VectorMath::Softplus(Val* x) {
  Val* positive = b_.CreateSelect(b_.CreateFCmpOGT(x, C(0.0)), x, C(0.0));
  return b_.CreateFAdd(positive, Log1p(Exp(b_.CreateFNeg(Abs(x)))));
}

// For vectors a function of the module with a rolled loop over the lanes, one for each libm name.
Val* VectorMath::Libm(const char* name, std::initializer_list<Val*> args) {
  llvm::Type* scalar = real_->getScalarType();
  const std::vector<llvm::Type*> scalars(args.size(), scalar);
  llvm::FunctionCallee libm = module_.getOrInsertFunction(std::string(name) + (f64_ ? "" : "f"),
                                                          llvm::FunctionType::get(scalar, scalars, false));
  auto* callee = llvm::cast<llvm::Function>(libm.getCallee());
  callee->setDoesNotThrow();
  callee->setMemoryEffects(llvm::MemoryEffects::none());
  callee->addFnAttr(llvm::Attribute::WillReturn);
  if (lanes_ == 1) return b_.CreateCall(libm, llvm::ArrayRef<Val*>(args.begin(), args.size()));

  const std::string helper_name = std::string("lanes_") + name;
  llvm::Function* helper = module_.getFunction(helper_name);
  if (!helper) {
    const std::vector<llvm::Type*> vectors(args.size(), real_);
    helper = llvm::Function::Create(llvm::FunctionType::get(real_, vectors, false), llvm::Function::InternalLinkage,
                                    helper_name, module_);
    helper->addFnAttr(llvm::Attribute::NoInline);
    helper->setDoesNotThrow();
    helper->setMemoryEffects(llvm::MemoryEffects::none());
    auto* entry = llvm::BasicBlock::Create(b_.getContext(), "entry", helper);
    auto* loop = llvm::BasicBlock::Create(b_.getContext(), "lane", helper);
    auto* done = llvm::BasicBlock::Create(b_.getContext(), "done", helper);
    llvm::IRBuilder<> b(entry);
    b.CreateBr(loop);
    b.SetInsertPoint(loop);
    llvm::PHINode *i = b.CreatePHI(b.getInt64Ty(), 2), *so_far = b.CreatePHI(real_, 2);
    std::vector<Val*> lane;
    for (llvm::Argument& a : helper->args()) lane.push_back(b.CreateExtractElement(&a, i));
    Val* next = b.CreateInsertElement(so_far, b.CreateCall(libm, lane), i);
    Val* after = b.CreateAdd(i, b.getInt64(1));
    i->addIncoming(b.getInt64(0), entry);
    i->addIncoming(after, loop);
    so_far->addIncoming(llvm::PoisonValue::get(real_), entry);
    so_far->addIncoming(next, loop);
    b.CreateCondBr(b.CreateICmpULT(after, b.getInt64(lanes_)), loop, done);
    b.SetInsertPoint(done);
    b.CreateRet(next);
  }
  return b_.CreateCall(helper, llvm::ArrayRef<Val*>(args.begin(), args.size()));
}

}  // namespace amo::compiler
