// SPDX-License-Identifier: Apache-2.0
// One line for each slope.
#include "compiler/derive_rules.h"

#include <cmath>
#include <numbers>

#include "compiler/check.h"

namespace amo::compiler {

Value UnarySlope(Builder& b, Op op, Value x, Value y) {
  const auto c = [&](double v) { return b.Filled(v, b.shape(x)); };
  const auto inverse = [&](Value v) { return b.Div(c(1), v); };
  const auto square = [&](Value v) { return b.Mul(v, v); };
  if (b.type(x).elem != Elem::kReal) return {};
  switch (op) {
    case Op::kNeg: return c(-1);
    case Op::kExp: return y;
    case Op::kLog: return inverse(x);
    case Op::kExpm1: return b.Unary(Op::kExp, x);
    case Op::kLog1p: return inverse(b.Add(c(1), x));
    case Op::kSqrt: return b.Div(c(0.5), y);
    case Op::kAbs: return b.Unary(Op::kSign, x);
    case Op::kSin: return b.Unary(Op::kCos, x);
    case Op::kCos: return b.Neg(b.Unary(Op::kSin, x));
    case Op::kTan: return b.Add(c(1), square(y));
    case Op::kAsin: return inverse(b.Unary(Op::kSqrt, b.Sub(c(1), square(x))));
    case Op::kAcos: return b.Neg(inverse(b.Unary(Op::kSqrt, b.Sub(c(1), square(x)))));
    case Op::kAtan: return inverse(b.Add(c(1), square(x)));
    case Op::kSinh: return b.Unary(Op::kCosh, x);
    case Op::kCosh: return b.Unary(Op::kSinh, x);
    case Op::kTanh: return b.Sub(c(1), square(y));
    case Op::kSigmoid: return b.Mul(y, b.Sub(c(1), y));
    case Op::kSoftplus: return b.Unary(Op::kSigmoid, x);
    case Op::kErf: return b.Mul(c(2 / std::sqrt(std::numbers::pi)), b.Unary(Op::kExp, b.Neg(square(x))));
    case Op::kToReal: return {};  // of a real it is the identity and never built
    case Op::kSign:
    case Op::kFloor:
    case Op::kNot:
    case Op::kToInt:
    case Op::kStop: return {};
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
    case Op::kScan: break;
  }
  AMO_CHECK(false, "(%s)", std::string(OpText(op)).c_str());
}

Slopes BinarySlopes(Builder& b, Op op, Value p, Value q, Value y) {
  const auto c = [&](double v) { return b.Filled(v, b.shape(p)); };
  if (b.type(p).elem != Elem::kReal) return {};
  if (op == Op::kAdd) return {c(1), c(1)};
  if (op == Op::kSub) return {c(1), c(-1)};
  if (op == Op::kMul) return {q, p};
  if (op == Op::kDiv) {
    const Value inverse = b.Div(c(1), q);
    return {inverse, b.Neg(b.Mul(y, inverse))};
  }
  if (op == Op::kMod) return {c(1), b.Neg(b.Unary(Op::kFloor, b.Div(p, q)))};
  if (op == Op::kPow) {
    // Where the exponent is a constant its slope is not asked for; log p is guarded so that p <= 0 gives no NaN there.
    const Value positive = b.Binary(Op::kLt, c(0), p);
    const Value log = b.Unary(Op::kLog, b.Select(positive, p, c(1)));
    return {b.Mul(q, b.Binary(Op::kPow, p, b.Sub(q, c(1)))), b.Mul(y, log)};
  }
  if (op == Op::kMax || op == Op::kMin) {
    const Value first = op == Op::kMax ? b.Binary(Op::kLt, q, p) : b.Binary(Op::kLt, p, q);
    return {b.Select(first, c(1), c(0)), b.Select(first, c(0), c(1))};
  }
  if (op == Op::kAtan2) {
    const Value r2 = b.Add(b.Mul(p, p), b.Mul(q, q));
    return {b.Div(q, r2), b.Neg(b.Div(p, r2))};
  }
  AMO_CHECK(ClassOf(op) == OpClass::kCompare || ClassOf(op) == OpClass::kLogic);
  return {};
}

}  // namespace amo::compiler
