// SPDX-License-Identifier: Apache-2.0
// Scalar arithmetic of the elementwise operations, in double precision.
#include "compiler/scalar.h"

#include <cmath>

#include "compiler/check.h"

namespace amo::compiler {

double ApplyUnary(Op op, double x) {
  switch (op) {
    case Op::kNeg: return -x;
    case Op::kExp: return std::exp(x);
    case Op::kLog: return std::log(x);
    case Op::kExpm1: return std::expm1(x);
    case Op::kLog1p: return std::log1p(x);
    case Op::kSqrt: return std::sqrt(x);
    case Op::kAbs: return std::fabs(x);
    case Op::kSign: return x > 0 ? 1.0 : x < 0 ? -1.0 : x == 0 ? 0.0 : x;
    case Op::kFloor: return std::floor(x);
    case Op::kSin: return std::sin(x);
    case Op::kCos: return std::cos(x);
    case Op::kTan: return std::tan(x);
    case Op::kAsin: return std::asin(x);
    case Op::kAcos: return std::acos(x);
    case Op::kAtan: return std::atan(x);
    case Op::kSinh: return std::sinh(x);
    case Op::kCosh: return std::cosh(x);
    case Op::kTanh: return std::tanh(x);
    case Op::kSigmoid: return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
    case Op::kSoftplus: return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
    case Op::kErf: return std::erf(x);
    case Op::kNot: return x == 0;
    case Op::kToReal: return x;
    case Op::kToInt: return std::trunc(x);
    case Op::kStop: return x;
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

double ApplyBinary(Op op, double a, double b) {
  switch (op) {
    case Op::kAdd: return a + b;
    case Op::kSub: return a - b;
    case Op::kMul: return a * b;
    case Op::kDiv: return a / b;
    case Op::kMod: return a - b * std::floor(a / b);
    case Op::kPow: return std::pow(a, b);
    case Op::kMax: return std::isnan(a) ? a : std::isnan(b) ? b : a > b ? a : b;
    case Op::kMin: return std::isnan(a) ? a : std::isnan(b) ? b : a < b ? a : b;
    case Op::kAtan2: return std::atan2(a, b);
    case Op::kEq: return a == b;
    case Op::kNe: return a != b;
    case Op::kLt: return a < b;
    case Op::kLe: return a <= b;
    case Op::kAnd: return a != 0 && b != 0;
    case Op::kOr: return a != 0 || b != 0;
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
    case Op::kScan: break;
  }
  AMO_CHECK(false, "(%s)", std::string(OpText(op)).c_str());
}

}  // namespace amo::compiler
