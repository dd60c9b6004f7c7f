// SPDX-License-Identifier: Apache-2.0
// Elementwise operations by LibTorch. Where LibTorch's own derivative differs from compiler/derive.h at a kink, or its
// value is inexact, the operation is composed of others.
#include <ATen/ops/abs.h>
#include <ATen/ops/acos.h>
#include <ATen/ops/add.h>
#include <ATen/ops/asin.h>
#include <ATen/ops/atan.h>
#include <ATen/ops/atan2.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/cosh.h>
#include <ATen/ops/div.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/erf.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/floor.h>
#include <ATen/ops/ge.h>
#include <ATen/ops/gt.h>
#include <ATen/ops/le.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/logical_not.h>
#include <ATen/ops/logical_or.h>
#include <ATen/ops/lt.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/remainder.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/sinh.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/tan.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/trunc.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <optional>

#include "compiler/check.h"
#include "runtime/torch_ops.h"
#include "runtime/torch_select.h"

namespace amo::runtime {
namespace {

using compiler::Elem;
using compiler::Op;

// LibTorch's sign of NaN is 0.
at::Tensor Sign(const at::Tensor& x) {
  const at::Tensor still = x.detach();
  return still.is_floating_point() ? at::where(at::ne(still, still), still, at::sign(still)) : at::sign(still);
}

// LibTorch's softplus gives x itself above a threshold; this has all digits, and its derivatives stay finite.
at::Tensor Softplus(const at::Tensor& x) { return at::neg(at::log_sigmoid(at::neg(x))); }

// Reals: a - b floor(a / b), with a quotient that is constant between its jumps. Ints: a remainder by 0 is 0.
at::Tensor Mod(const at::Tensor& a, const at::Tensor& b) {
  if (a.is_floating_point()) return at::sub(a, at::mul(b, at::floor(at::div(a.detach(), b.detach()))));
  const at::Tensor zero = at::eq(b, 0);
  return at::where(zero, at::zeros_like(b), at::remainder(a, at::where(zero, at::ones_like(b), b)));
}

// The number that a value repeats, if it is one.
std::optional<double> Constant(const Function& f, compiler::Value v) {
  while (f.node(v).op == Op::kBroadcast) v = f.node(v).args[0];
  if (f.node(v).op != Op::kNumber) return std::nullopt;
  return f.node(v).number;
}

// NaN where either side is: a where it wins or is NaN, else b, which is NaN or wins or ties. `number`: b is no NaN.
at::Tensor Extreme(const at::Tensor& a, const at::Tensor& b, bool max, bool number) {
  if (number) return Select(max ? at::le(a, b) : at::ge(a, b), b, a);
  const at::Tensor first = max ? at::gt(a, b) : at::lt(a, b);
  return Select(a.is_floating_point() ? at::logical_or(first, at::ne(a, a)) : first, a, b);
}

// The exponent's derivative a^b log a counts only where a > 0, so that the base may be negative or 0.
at::Tensor Pow(const at::Tensor& a, const at::Tensor& b) {
  if (!b.requires_grad()) return at::pow(a, b);
  const at::Tensor positive = at::gt(a, 0), one = at::ones_like(a);
  return at::where(positive, at::pow(at::where(positive, a, one), b), at::pow(at::where(positive, one, a), b.detach()));
}

}  // namespace

at::Tensor ExecuteUnary(const Node& n, const Operand& operand, const Place& place) {
  const at::Tensor& x = operand.tensor;
  switch (n.op) {
    case Op::kNeg:
      return at::neg(x);
    case Op::kExp:
      return at::exp(x);
    case Op::kLog:
      return at::log(x);
    case Op::kExpm1:
      return at::expm1(x);
    case Op::kLog1p:
      return at::log1p(x);
    case Op::kSqrt:
      return at::sqrt(x);
    case Op::kAbs:
      return at::abs(x);
    case Op::kSign:
      return Sign(x);
    case Op::kFloor:
      return at::floor(x.detach());
    case Op::kSin:
      return at::sin(x);
    case Op::kCos:
      return at::cos(x);
    case Op::kTan:
      return at::tan(x);
    case Op::kAsin:
      return at::asin(x);
    case Op::kAcos:
      return at::acos(x);
    case Op::kAtan:
      return at::atan(x);
    case Op::kSinh:
      return at::sinh(x);
    case Op::kCosh:
      return at::cosh(x);
    case Op::kTanh:
      return at::tanh(x);
    case Op::kSigmoid:
      return at::sigmoid(x);
    case Op::kSoftplus:
      return Softplus(x);
    case Op::kErf:
      return at::erf(x);
    case Op::kNot:
      return at::logical_not(x);
    case Op::kToReal:
      return x.to(Options(Elem::kReal, place).dtype());
    case Op::kToInt:
      return x.is_floating_point() ? at::trunc(x.detach()).to(at::kLong) : x.to(at::kLong);
    case Op::kStop:
      return x.detach();
    case Op::kInput:
    case Op::kNumber:
    case Op::kIota:
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
  AMO_CHECK(false, "(%s)", std::string(OpText(n.op)).c_str());
}

at::Tensor ExecuteBinary(const Function& f, const Node& n, const Operand& left, const Operand& right) {
  const at::Tensor &a = left.tensor, &b = right.tensor;
  if (n.op == Op::kAdd) return at::add(a, b);
  if (n.op == Op::kSub) return at::sub(a, b);
  if (n.op == Op::kMul) return at::mul(a, b);
  if (n.op == Op::kDiv) return at::div(a, b);
  if (n.op == Op::kMod) return Mod(a, b);
  if (n.op == Op::kMax || n.op == Op::kMin) {
    const std::optional<double> number = Constant(f, n.args[1]);
    return Extreme(a, b, n.op == Op::kMax, number && !std::isnan(*number));
  }
  if (n.op == Op::kAtan2) return at::atan2(a, b);
  if (n.op == Op::kEq) return at::eq(a, b);
  if (n.op == Op::kNe) return at::ne(a, b);
  if (n.op == Op::kLt) return at::lt(a, b);
  if (n.op == Op::kLe) return at::le(a, b);
  if (n.op == Op::kAnd) return at::logical_and(a, b);
  if (n.op == Op::kOr) return at::logical_or(a, b);
  AMO_CHECK(n.op == Op::kPow, "(%s)", std::string(OpText(n.op)).c_str());
  if (const auto exponent = Constant(f, n.args[1]); exponent && (left.varies || !right.varies))
    return at::pow(a, *exponent);
  return Pow(a, b);
}

at::Tensor ExecuteSelect(const Operand& condition, const Operand& a, const Operand& b) {
  return Select(condition.tensor, a.tensor, b.tensor);
}

}  // namespace amo::runtime
