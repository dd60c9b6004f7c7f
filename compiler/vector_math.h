// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_VECTOR_MATH_H_
#define AMO_COMPILER_VECTOR_MATH_H_

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <initializer_list>

// Mathematical functions as inlined polynomials, for scalars and vectors alike: at most 2 ulp for moderate arguments,
// right at 0, infinities and NaN. The rare ones call libm for each lane.
namespace amo::compiler {

class VectorMath {
 public:
  // Instructions go where `builder` stands. `real` is double or float, or a vector of them.
  VectorMath(llvm::IRBuilder<>& builder, llvm::Module& module, llvm::Type* real);

  llvm::Value* Exp(llvm::Value* x);
  llvm::Value* Log(llvm::Value* x);
  llvm::Value* Expm1(llvm::Value* x);
  llvm::Value* Log1p(llvm::Value* x);
  llvm::Value* Tanh(llvm::Value* x);
  llvm::Value* Sin(llvm::Value* x);
  llvm::Value* Cos(llvm::Value* x);
  llvm::Value* Tan(llvm::Value* x);
  llvm::Value* Sinh(llvm::Value* x);
  llvm::Value* Cosh(llvm::Value* x);
  llvm::Value* Sigmoid(llvm::Value* x);
  llvm::Value* Softplus(llvm::Value* x);
  // Any function of libm by its double-precision name.
  llvm::Value* Libm(const char* name, std::initializer_list<llvm::Value*> args);

 private:
  llvm::Value* C(double v);
  llvm::Value* CI(std::int64_t v);
  llvm::Value* Fma(llvm::Value* a, llvm::Value* b, llvm::Value* c);
  llvm::Value* Poly(llvm::Value* x, std::initializer_list<double> high_to_low);
  llvm::Value* Abs(llvm::Value* x);
  llvm::Value* CopySign(llvm::Value* x, llvm::Value* sign);
  llvm::Value* TanhNearZero(llvm::Value* x);
  llvm::Value* PowerOfTwo(llvm::Value* n);
  // x rounded to an integer, as a real and as an int.
  void Round(llvm::Value* x, llvm::Value*& real, llvm::Value*& integer);
  void SinCos(llvm::Value* x, llvm::Value*& sine, llvm::Value*& cosine);
  // `fast` where every lane has |x| <= bound or is not finite, else libm.
  llvm::Value* OrLibm(llvm::Value* x, double bound, const char* name, llvm::Value* fast);

  llvm::IRBuilder<>& b_;
  llvm::Module& module_;
  llvm::Type* real_;
  llvm::Type* int_;
  bool f64_;
  unsigned lanes_;
};

}  // namespace amo::compiler

#endif  // AMO_COMPILER_VECTOR_MATH_H_
