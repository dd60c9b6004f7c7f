// SPDX-License-Identifier: Apache-2.0
// Sums over loops, taken apart at linear operations.
#include "compiler/sum_parts.h"

#include <algorithm>

namespace amo::compiler {

// Both sides differ from round to round, and together are smaller than their product.
bool SumParts::IsFactored(const Node& n) const {
  if (n.op != Op::kDot || !Varies(n.args[0]) || !Varies(n.args[1])) return false;
  return Count(f_.type(n.args[0]).shape) + Count(f_.type(n.args[1]).shape) < Count(n.type.shape);
}

bool SumParts::IsLinear(const Node& n) const {
  switch (n.op) {
    case Op::kAdd:
    case Op::kSub:
    case Op::kNeg:
    case Op::kReshape:
    case Op::kBroadcast:
    case Op::kSlice:
    case Op::kPad:
    case Op::kConcat:
    case Op::kReduceSum: return n.type.elem == Elem::kReal;
    case Op::kMul:
    case Op::kDot: return Varies(n.args[0]) != Varies(n.args[1]);
    case Op::kDiv: return !Varies(n.args[1]);
    case Op::kScatter: return !Varies(n.args[0]);
    default: return false;
  }
}

bool SumParts::Splits(Value v) {
  const auto known = splits_.find(v.index);
  if (known != splits_.end()) return known->second;
  const Node& n = f_.node(v);
  // What repeats or pads a value is done after the sum as well, and there once.
  const bool grows = (n.op == Op::kPad || n.op == Op::kBroadcast) && n.type.elem == Elem::kReal && Varies(v) &&
                     Count(f_.type(n.args[0]).shape) < Count(n.type.shape);
  bool splits = IsFactored(n) || grows;
  if (!splits && Varies(v) && IsLinear(n))
    splits = std::any_of(n.args.begin(), n.args.end(), [&](Value a) { return Varies(a) && Splits(a); });
  return splits_[v.index] = splits;
}

void SumParts::Take(Value v) {
  if (places_.count(v.index) || !taken_.insert(v.index).second) return;
  const Node& n = f_.node(v);
  const bool inner = Splits(v) && !IsFactored(n);
  if (!inner) {
    places_[v.index] = parts_.size();
    if (IsFactored(n)) parts_.push_back({n.args[0], n.args[1], LabelsOf(f_, n)});
    else parts_.push_back({v, {}, {}});
    return;
  }
  // In a sum what does not vary is added in every round: a part of its own. In a product it is a factor.
  const bool adds = n.op == Op::kAdd || n.op == Op::kSub || n.op == Op::kConcat;
  for (Value a : n.args) if (adds || Varies(a)) Take(a);
}

Value SumParts::Outside(Builder& to, Value v, std::map<std::int32_t, Value>& outside) const {
  const auto known = outside.find(v.index);
  if (known != outside.end()) return known->second;
  const Node& n = f_.node(v);
  if (n.op == Op::kInput) {
    const Input& in = f_.inputs[static_cast<std::size_t>(n.attr[0])];
    return outside[v.index] = to.Input(in.name, in.role, in.type);
  }
  std::vector<Value> args;
  for (Value a : n.args) args.push_back(Outside(to, a, outside));
  return outside[v.index] = to.Copy(n, std::move(args));
}

Value SumParts::Rebuild(Builder& to, Value v, const std::vector<Value>& sums, std::map<std::int32_t, Value>& outside) {
  const auto place = places_.find(v.index);
  if (place != places_.end()) return sums[place->second];
  const auto known = rebuilt_.find(v.index);
  if (known != rebuilt_.end()) return known->second;
  const Node& n = f_.node(v);
  const bool adds = n.op == Op::kAdd || n.op == Op::kSub || n.op == Op::kConcat;
  std::vector<Value> args;
  for (Value a : n.args)
    args.push_back(adds || Varies(a) ? Rebuild(to, a, sums, outside) : Outside(to, a, outside));
  return rebuilt_[v.index] = to.Copy(n, std::move(args));
}

}  // namespace amo::compiler
