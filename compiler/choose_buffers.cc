// SPDX-License-Identifier: Apache-2.0
// Which nodes get a buffer: one pass forward for the cost of reading a node in place, one back for how often it is
// read.
#include <algorithm>

#include "compiler/lower.h"

namespace amo::compiler {
namespace {

// Roughly in multiplications of a vector.
double OwnCost(Op op) {
  switch (op) {
    case Op::kInput:
    case Op::kNumber:
    case Op::kIota:
    case Op::kStop:
    case Op::kBroadcast:
    case Op::kReshape:
    case Op::kSlice:
      return 0;
    case Op::kNeg:
    case Op::kAbs:
    case Op::kNot:
    case Op::kToReal:
    case Op::kToInt:
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
    case Op::kAnd:
    case Op::kOr:
    case Op::kSelect:
    case Op::kFloor:
      return 1;
    case Op::kSign:
    case Op::kMax:
    case Op::kMin:
    case Op::kPad:
    case Op::kGather:
      return 2;
    case Op::kDiv:
    case Op::kSqrt:
      return 5;
    case Op::kMod:
      return 8;
    case Op::kExp:
    case Op::kLog:
    case Op::kExpm1:
    case Op::kLog1p:
    case Op::kSin:
    case Op::kCos:
    case Op::kTan:
    case Op::kSinh:
    case Op::kCosh:
    case Op::kTanh:
    case Op::kSigmoid:
    case Op::kSoftplus:
      return 25;
    case Op::kAsin:
    case Op::kAcos:
    case Op::kAtan:
    case Op::kErf:
    case Op::kPow:
    case Op::kAtan2:
      return 100;
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
    case Op::kScatter:
    case Op::kSolve:
    case Op::kEigen:
    case Op::kScan:
      return 0;  // always in a buffer
  }
  return 0;
}

bool NeedsBuffer(Op op) {
  switch (ClassOf(op)) {
    case OpClass::kReduce:
    case OpClass::kArg:
    case OpClass::kAlong:
    case OpClass::kContract:
    case OpClass::kMatrix:
    case OpClass::kLoop:
      return true;
    case OpClass::kIndex:
      return op == Op::kScatter;
    case OpClass::kShape:
      return op == Op::kConcat;
    case OpClass::kLeaf:
    case OpClass::kUnary:
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic:
    case OpClass::kSelect:
      return false;
  }
  return false;
}

// From what cost on a node that is read more often than it has entries is kept.
double KeepFrom(const Node& n) {
  if (n.op == Op::kPad) return 4;
  return ClassOf(n.op) == OpClass::kShape ? 1e300 : 2;
}

// How many entries of an argument are read when `evaluated` entries of the node are computed.
double Reads(const Function& f, const Node& n, Value arg, double evaluated) {
  switch (ClassOf(n.op)) {
    case OpClass::kReduce:
    case OpClass::kArg:
    case OpClass::kAlong:
      return static_cast<double>(Count(f.type(arg).shape));
    case OpClass::kContract: {
      const DotLabels l = LabelsOf(f, n);
      double all = static_cast<double>(Count(n.type.shape));
      for (std::size_t d = 0; d < l.a.size(); ++d) {
        if (std::find(l.out.begin(), l.out.end(), l.a[d]) == l.out.end()) all *= double(f.type(n.args[0]).shape[d]);
      }
      for (std::size_t d = 0; d < l.b.size(); ++d) {
        if (std::find(l.out.begin(), l.out.end(), l.b[d]) == l.out.end() &&
            std::find(l.a.begin(), l.a.end(), l.b[d]) == l.a.end()) {
          all *= static_cast<double>(f.type(n.args[1]).shape[d]);
        }
      }
      return all;
    }
    case OpClass::kIndex:
      return n.op == Op::kScatter ? static_cast<double>(Count(f.type(n.args[1]).shape)) : evaluated;
    case OpClass::kMatrix:
    case OpClass::kLoop:
      // Rows are read in their step, a constant in every step; more than once, for all that is known. So are matrices.
      return 2 * static_cast<double>(Count(f.type(arg).shape));
    case OpClass::kShape:
      return n.op == Op::kConcat ? static_cast<double>(Count(f.type(arg).shape)) : evaluated;
    case OpClass::kLeaf:
    case OpClass::kUnary:
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic:
    case OpClass::kSelect:
      return evaluated;
  }
  return evaluated;
}

// Whether a body gathers from its k-th input as it stands, or a body inside it does.
bool GathersFrom(const Function& body, std::size_t k) {
  for (const Node& n : body.nodes) {
    for (std::size_t a = 0; a < n.args.size(); ++a) {
      if (n.args[a] != body.inputs[k].value) continue;
      if (n.op == Op::kGather ? a == 0 : n.op == Op::kScan && GathersFrom(*n.body, a)) return true;
    }
  }
  return false;
}

constexpr int kLargestTree = 100;  // nodes read in place within one expression

}  // namespace

std::vector<bool> ChooseBuffers(const Function& f, const std::vector<bool>& varies) {
  const std::size_t count = f.nodes.size();
  std::vector<bool> keep(count), needed(count), varying_reader(count);
  std::vector<double> cost(count), reads(count);
  std::vector<int> tree(count, 1);
  for (const Output& o : f.outputs) {
    const auto v = static_cast<std::size_t>(o.value.index);
    keep[v] = f.nodes[v].op != Op::kInput;
    needed[v] = true;
  }
  for (const Node& n : f.nodes) {
    for (std::size_t k = 0; k < n.args.size(); ++k) {
      const bool gathered = n.op == Op::kGather ? k == 0 : n.op == Op::kScan && GathersFrom(*n.body, k);
      const auto x = static_cast<std::size_t>(n.args[k].index);
      if (gathered && f.nodes[x].op != Op::kInput) keep[x] = true;
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    const Node& n = f.nodes[i];
    if (NeedsBuffer(n.op)) keep[i] = true;
    cost[i] = OwnCost(n.op);
    for (Value a : n.args) {
      const auto k = static_cast<std::size_t>(a.index);
      if (keep[k]) continue;
      cost[i] += cost[k];
      tree[i] += tree[k];
    }
    if (tree[i] > kLargestTree) keep[i] = true;
  }
  for (std::size_t i = count; i-- > 0;) {
    const Node& n = f.nodes[i];
    if (reads[i] > 0) needed[i] = true;
    if (!needed[i] || ClassOf(n.op) == OpClass::kLeaf) continue;
    const auto entries = static_cast<double>(Count(n.type.shape));
    if (reads[i] > entries && cost[i] >= KeepFrom(n)) keep[i] = true;
    if (IsElementwise(n.op) && !varies[i] && varying_reader[i]) keep[i] = true;
    const double evaluated = keep[i] ? entries : std::max(reads[i], 1.0);
    for (std::size_t k = 0; k < n.args.size(); ++k) {
      const auto a = static_cast<std::size_t>(n.args[k].index);
      varying_reader[a] = varying_reader[a] || varies[i] || (!keep[i] && varying_reader[i]);
      if (k > 0 && n.args[k] == n.args[k - 1] && IsElementwise(n.op)) continue;
      reads[a] += std::max(1.0, Reads(f, n, n.args[k], evaluated));
    }
  }
  for (std::size_t i = 0; i < count; ++i) keep[i] = keep[i] && needed[i];
  return keep;
}

}  // namespace amo::compiler
