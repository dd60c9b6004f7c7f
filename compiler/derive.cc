// SPDX-License-Identifier: Apache-2.0
// Forward and reverse mode: one loop over the nodes each, forwards or backwards.
#include "compiler/derive.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "compiler/check.h"
#include "compiler/derive_matrix.h"
#include "compiler/derive_rules.h"
#include "compiler/derive_scan.h"

namespace amo::compiler {
namespace {

using Axes = std::vector<std::int64_t>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }
bool IsZero(Value v) { return v.index < 0; }

Value Sum(Builder& b, Value x, Value y) { return IsZero(x) ? y : IsZero(y) ? x : b.Add(x, y); }

// Whether multiplying by this value can be left out: it is one everywhere.
bool IsOne(const Builder& b, Value v) {
  const Node& n = b.node(v);
  return (n.op == Op::kNumber && n.number == 1) || (n.op == Op::kBroadcast && IsOne(b, n.args[0]));
}

Value Scale(Builder& b, Value slope, Value x) {
  if (IsZero(slope) || IsZero(x)) return {};
  if (IsOne(b, slope)) return x;
  return IsOne(b, x) ? slope : b.Mul(slope, x);
}

// The adjoint of a broadcast: sums over the repeated axes, the rest in the argument's order.
Value Unbroadcast(Builder& b, const Node& n, Value g) {
  Axes repeated, kept;
  for (std::size_t d = 0; d < n.attr.size(); ++d) {
    (n.attr[d] < 0 ? repeated : kept).push_back(n.attr[d] < 0 ? static_cast<std::int64_t>(d) : n.attr[d]);
  }
  Axes order(kept.size());
  for (std::size_t k = 0; k < kept.size(); ++k) order[Z(kept[k])] = static_cast<std::int64_t>(k);
  return b.Transpose(b.Reduce(Op::kReduceSum, g, repeated), order);
}

// A value without `axes` repeated along them again.
Value Rebroadcast(Builder& b, Value v, const Axes& axes, const Shape& shape) {
  Axes map(shape.size());
  std::int64_t k = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    map[d] = std::binary_search(axes.begin(), axes.end(), static_cast<std::int64_t>(d)) ? -1 : k++;
  }
  return b.Broadcast(v, map, shape);
}

// 1 at the first entry that attains a maximum or minimum over `axes`, else 0.
Value Winner(Builder& b, const Node& n, Value x) {
  const Shape shape = b.shape(x);
  if (Count(shape) == 0) return b.Filled(0, shape);  // nothing wins over nothing
  Axes order, back(shape.size());
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (!std::binary_search(n.attr.begin(), n.attr.end(), static_cast<std::int64_t>(d)))
      order.push_back(static_cast<std::int64_t>(d));
  }
  const std::size_t kept = order.size();
  order.insert(order.end(), n.attr.begin(), n.attr.end());
  for (std::size_t k = 0; k < order.size(); ++k) back[Z(order[k])] = static_cast<std::int64_t>(k);
  const Value turned = b.Transpose(x, order);
  const Shape turned_shape = b.shape(turned);
  Shape flat(turned_shape.begin(), turned_shape.begin() + static_cast<std::ptrdiff_t>(kept));
  flat.push_back(Count({turned_shape.begin() + static_cast<std::ptrdiff_t>(kept), turned_shape.end()}));
  const Value best = b.Arg(n.op == Op::kReduceMax ? Op::kArgMax : Op::kArgMin, b.Reshape(turned, flat));
  Axes rows(flat.size(), -1), columns(flat.size(), -1);
  std::iota(rows.begin(), rows.end() - 1, 0);
  columns.back() = 0;
  const Value here = b.Binary(Op::kEq, b.Broadcast(b.Iota(flat.back()), columns, flat), b.Broadcast(best, rows, flat));
  const Value ones = b.Select(here, b.Filled(1, flat), b.Filled(0, flat));
  return b.Transpose(b.Reshape(ones, turned_shape), back);
}

// The product of all entries but one's own over the reduced axes: prod / x, which needs x without zeros.
Value Others(Builder& b, const Node& n, Value x, Value y) {
  return b.Div(Rebroadcast(b, y, n.attr, b.shape(x)), x);
}

// Row starts: for [L.., n] values, an index that gathers along the last axis has all leading axes as `lead`.
std::int64_t Lead(const Builder& b, Value v) { return static_cast<std::int64_t>(b.shape(v).size()) - 1; }

// Suffix sums along the last axis: total - cumsum + x.
Value SuffixSum(Builder& b, Value g) {
  const Axes last{Lead(b, g)};
  const Value sum = b.Reduce(Op::kReduceSum, g, last);
  const Value total = Rebroadcast(b, sum, last, b.shape(g));
  return b.Add(b.Sub(total, b.Along(Op::kCumSum, g)), g);
}

}  // namespace

std::vector<Value> Inline(Builder& b, const Function& f, const std::vector<Value>& inputs,
                          const std::map<std::int32_t, Value>& given) {
  AMO_CHECK(inputs.size() == f.inputs.size());
  std::vector<Value> values;
  for (const Node& n : f.nodes) {
    const auto there = given.find(static_cast<std::int32_t>(values.size()));
    std::vector<Value> args;
    for (Value a : n.args) args.push_back(values[Z(a.index)]);
    values.push_back(there != given.end()  ? there->second
                     : n.op == Op::kInput ? inputs[Z(n.attr[0])]
                                          : b.Copy(n, std::move(args)));
  }
  return values;
}

std::vector<Value> Reverse(Builder& b, const Function& f, const std::vector<Value>& values,
                           const std::vector<Value>& output_adjoints, const std::vector<int>& wrt) {
  // Only what lies between `wrt` and the outputs gets an adjoint.
  std::vector<bool> reaches(f.nodes.size());
  for (int w : wrt) reaches[Z(f.inputs[Z(w)].value.index)] = true;
  for (std::size_t i = 0; i < f.nodes.size(); ++i) {
    for (Value a : f.nodes[i].args) reaches[i] = reaches[i] || reaches[Z(a.index)];
    if (f.nodes[i].type.elem != Elem::kReal || f.nodes[i].op == Op::kStop) reaches[i] = false;
  }
  std::vector<Value> adjoint(f.nodes.size());
  for (std::size_t k = 0; k < f.outputs.size(); ++k) {
    Value& a = adjoint[Z(f.outputs[k].value.index)];
    a = Sum(b, a, output_adjoints[k]);
  }
  for (std::size_t i = f.nodes.size(); i-- > 0;) {
    const Node& n = f.nodes[i];
    const Value g = adjoint[i], y = values[i];
    if (IsZero(g) || !reaches[i]) continue;
    b.At(n.span);
    const auto x = [&](std::size_t k) { return values[Z(n.args[k].index)]; };
    const auto wants = [&](std::size_t k) { return reaches[Z(n.args[k].index)]; };
    const auto give = [&](std::size_t k, Value v) {
      Value& a = adjoint[Z(n.args[k].index)];
      a = Sum(b, a, v);
    };
    switch (ClassOf(n.op)) {
      case OpClass::kLeaf: break;
      case OpClass::kUnary: give(0, Scale(b, UnarySlope(b, n.op, x(0), y), g)); break;
      case OpClass::kBinary: {
        const Slopes s = BinarySlopes(b, n.op, x(0), x(1), y);
        if (wants(0)) give(0, Scale(b, s.p, g));
        if (wants(1)) give(1, Scale(b, s.q, g));
        break;
      }
      case OpClass::kCompare:
      case OpClass::kLogic:
      case OpClass::kArg: break;
      case OpClass::kSelect: {
        const Value zero = b.Filled(0, b.shape(g));
        if (wants(1)) give(1, b.Select(x(0), g, zero));
        if (wants(2)) give(2, b.Select(x(0), zero, g));
        break;
      }
      case OpClass::kShape:
        if (n.op == Op::kBroadcast) give(0, Unbroadcast(b, n, g));
        if (n.op == Op::kReshape) give(0, b.Reshape(g, b.shape(x(0))));
        if (n.op == Op::kSlice) give(0, b.Pad(g, n.attr, b.shape(x(0))));
        if (n.op == Op::kPad) give(0, b.Slice(g, n.attr, b.shape(x(0))));
        if (n.op == Op::kUnfold) give(0, b.Fold(g, WindowsOf(n), *(b.shape(x(0)).end() - 2), b.shape(x(0)).back()));
        if (n.op == Op::kFold) give(0, b.Unfold(g, WindowsOf(n)));
        if (n.op == Op::kConcat) {
          Axes starts(n.type.shape.size());
          for (std::size_t k = 0; k < n.args.size(); ++k) {
            if (wants(k)) give(k, b.Slice(g, starts, b.shape(x(k))));
            starts[Z(n.attr[0])] += b.shape(x(k))[Z(n.attr[0])];
          }
        }
        break;
      case OpClass::kReduce: {
        const Value wide = Rebroadcast(b, g, n.attr, b.shape(x(0)));
        if (n.op == Op::kReduceSum) give(0, wide);
        else if (n.op == Op::kReduceProd) give(0, b.Mul(Others(b, n, x(0), y), wide));
        else give(0, b.Mul(Winner(b, n, x(0)), wide));
        break;
      }
      case OpClass::kAlong:
        if (n.op == Op::kCumSum) give(0, SuffixSum(b, g));
        if (n.op == Op::kSort) give(0, b.Scatter(b.Along(Op::kArgSort, x(0)), g, Lead(b, g), b.shape(g).back()));
        break;
      case OpClass::kContract: {
        const DotLabels l = LabelsOf(f, n);
        // A label that only one operand has, contracted away, is repeated in that operand's adjoint.
        const auto side = [&](Value other, const Axes& other_labels, const Axes& own, Shape shape) {
          Axes have;
          for (std::int64_t label : own) {
            const bool known = std::count(l.out.begin(), l.out.end(), label) ||
                               std::count(other_labels.begin(), other_labels.end(), label);
            if (known) have.push_back(label);
          }
          const Value part = b.Dot(g, other, l.out, other_labels, have);
          Axes map;
          std::int64_t k = 0;
          for (std::int64_t label : own) map.push_back(std::count(have.begin(), have.end(), label) ? k++ : -1);
          return b.Broadcast(part, map, shape);
        };
        if (wants(0)) give(0, side(x(1), l.b, l.a, b.shape(x(0))));
        if (wants(1)) give(1, side(x(0), l.a, l.b, b.shape(x(1))));
        break;
      }
      case OpClass::kIndex:
        if (n.op == Op::kGather && wants(0)) give(0, b.Scatter(x(1), g, n.attr[0], b.shape(x(0))[Z(n.attr[0])]));
        if (n.op == Op::kScatter && wants(1)) give(1, b.Gather(g, x(0), n.attr[0]));
        break;
      case OpClass::kMatrix:
        if (n.op == Op::kSolve) {
          const SolveAdjoints d = ReverseSolve(b, x(0), y, g, wants(0));
          if (wants(0)) give(0, d.a);
          if (wants(1)) give(1, d.b);
        } else {
          give(0, ReverseEigen(b, y, g));
        }
        break;
      case OpClass::kLoop: {
        std::vector<Value> args;
        std::vector<bool> wanted;
        for (std::size_t k = 0; k < n.args.size(); ++k) args.push_back(x(k)), wanted.push_back(wants(k));
        ReverseScan(b, n, args, y, g, wanted, give);
        break;
      }
    }
  }
  std::vector<Value> result;
  for (int w : wrt) result.push_back(adjoint[Z(f.inputs[Z(w)].value.index)]);
  return result;
}

std::vector<Value> Forward(Builder& b, const Function& f, const std::vector<Value>& values,
                           const std::vector<Value>& input_tangents) {
  std::vector<Value> tangent(f.nodes.size());
  for (std::size_t i = 0; i < f.nodes.size(); ++i) {
    const Node& n = f.nodes[i];
    if (n.op == Op::kInput) tangent[i] = input_tangents[Z(n.attr[0])];
    if (n.type.elem != Elem::kReal || n.op == Op::kStop) continue;
    const auto x = [&](std::size_t k) { return values[Z(n.args[k].index)]; };
    const auto t = [&](std::size_t k) { return tangent[Z(n.args[k].index)]; };
    const bool any = std::any_of(n.args.begin(), n.args.end(), [&](Value a) { return !IsZero(tangent[Z(a.index)]); });
    if (!any) continue;
    b.At(n.span);
    const auto filled = [&](std::size_t k) { return IsZero(t(k)) ? b.Filled(0, b.shape(x(k))) : t(k); };
    switch (ClassOf(n.op)) {
      case OpClass::kLeaf: break;
      case OpClass::kUnary: tangent[i] = Scale(b, UnarySlope(b, n.op, x(0), values[i]), t(0)); break;
      case OpClass::kBinary: {
        const Slopes s = BinarySlopes(b, n.op, x(0), x(1), values[i]);
        tangent[i] = Sum(b, Scale(b, s.p, t(0)), Scale(b, s.q, t(1)));
        break;
      }
      case OpClass::kCompare:
      case OpClass::kLogic:
      case OpClass::kArg: break;
      case OpClass::kSelect: tangent[i] = b.Select(x(0), filled(1), filled(2)); break;
      case OpClass::kShape: {
        std::vector<Value> parts;
        for (std::size_t k = 0; k < n.args.size(); ++k) parts.push_back(filled(k));
        tangent[i] = b.Copy(n, std::move(parts));
        break;
      }
      case OpClass::kReduce:
        if (n.op == Op::kReduceSum) tangent[i] = b.Reduce(n.op, t(0), n.attr);
        else if (n.op == Op::kReduceProd)
          tangent[i] = b.Reduce(Op::kReduceSum, b.Mul(Others(b, n, x(0), values[i]), t(0)), n.attr);
        else tangent[i] = b.Reduce(Op::kReduceSum, b.Mul(Winner(b, n, x(0)), t(0)), n.attr);
        break;
      case OpClass::kAlong:
        tangent[i] =
            n.op == Op::kCumSum ? b.Along(n.op, t(0)) : b.Gather(t(0), b.Along(Op::kArgSort, x(0)), Lead(b, x(0)));
        break;
      case OpClass::kContract: {
        const DotLabels l = LabelsOf(f, n);
        const Value first = IsZero(t(0)) ? Value{} : b.Dot(t(0), x(1), l.a, l.b, l.out);
        const Value second = IsZero(t(1)) ? Value{} : b.Dot(x(0), t(1), l.a, l.b, l.out);
        tangent[i] = Sum(b, first, second);
        break;
      }
      case OpClass::kIndex:
        tangent[i] = n.op == Op::kGather ? b.Gather(filled(0), x(1), n.attr[0])
                                         : b.Scatter(x(0), filled(1), n.attr[0], n.attr[1]);
        break;
      case OpClass::kMatrix:
        tangent[i] =
            n.op == Op::kSolve ? ForwardSolve(b, x(0), values[i], t(0), t(1)) : ForwardEigen(b, values[i], t(0));
        break;
      case OpClass::kLoop: {
        std::vector<Value> args, tangents;
        for (std::size_t k = 0; k < n.args.size(); ++k) args.push_back(x(k)), tangents.push_back(t(k));
        tangent[i] = ForwardScan(b, n, args, values[i], tangents);
        break;
      }
    }
  }
  std::vector<Value> result;
  for (const Output& o : f.outputs) result.push_back(tangent[Z(o.value.index)]);
  return result;
}

namespace {

std::vector<Value> SameInputs(Builder& b, const Function& f) {
  std::vector<Value> inputs;
  for (const Input& in : f.inputs) inputs.push_back(b.Input(in.name, in.role, in.type));
  return inputs;
}

Value OrZero(Builder& b, Value v, const Shape& shape) { return IsZero(v) ? b.Filled(0, shape) : v; }

}  // namespace

Function Gradient(const Function& plain, const std::vector<int>& wrt) {
  const Function f = WithStates(plain);
  AMO_CHECK(!f.outputs.empty() && f.type(f.outputs[0].value) == Type{});
  Builder b(f.name + "_gradient");
  const std::vector<Value> values = Inline(b, f, SameInputs(b, f));
  std::vector<Value> adjoints(f.outputs.size());
  adjoints[0] = b.Number(1);
  const std::vector<Value> d = Reverse(b, f, values, adjoints, wrt);
  b.Output("value", values[Z(f.outputs[0].value.index)]);
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    const Input& in = f.inputs[Z(wrt[k])];
    b.Output("d/" + in.name, OrZero(b, d[k], in.type.shape));
  }
  return b.Finish();
}

Function Gradients(const Function& plain, const std::vector<int>& outputs, const std::vector<std::vector<int>>& wrt) {
  const Function f = WithStates(plain);
  Builder b(f.name + "_gradients");
  const std::vector<Value> values = Inline(b, f, SameInputs(b, f));
  for (const Output& o : f.outputs) b.Output(o.name, values[Z(o.value.index)]);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    std::vector<Value> adjoints(f.outputs.size());
    adjoints[Z(outputs[k])] = b.Number(1);
    const std::vector<Value> d = Reverse(b, f, values, adjoints, wrt[k]);
    for (std::size_t i = 0; i < d.size(); ++i) {
      const Input& in = f.inputs[Z(wrt[k][i])];
      b.Output("d/" + std::to_string(k) + "/" + in.name, OrZero(b, d[i], in.type.shape));
    }
  }
  return b.Finish();
}

Function Vjp(const Function& plain, const std::vector<int>& wrt) {
  const Function f = WithStates(plain);
  Builder b(f.name + "_vjp");
  const std::vector<Value> values = Inline(b, f, SameInputs(b, f));
  std::vector<Value> adjoints;
  for (const Output& o : f.outputs) {
    const bool real = f.type(o.value).elem == Elem::kReal;
    adjoints.push_back(real ? b.Input("adjoint/" + o.name, Role::kInstance, f.type(o.value)) : Value{});
  }
  const std::vector<Value> d = Reverse(b, f, values, adjoints, wrt);
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    const Input& in = f.inputs[Z(wrt[k])];
    b.Output("d/" + in.name, OrZero(b, d[k], in.type.shape));
  }
  return b.Finish();
}

namespace {

// The tangents of all real outputs, for tangents of `wrt` given as further inputs "tangent/NAME".
std::vector<Value> Tangents(Builder& b, const Function& f, const std::vector<int>& wrt, std::vector<Value>& values) {
  values = Inline(b, f, SameInputs(b, f));
  std::vector<Value> tangents(f.inputs.size());
  for (int w : wrt) {
    const Input& in = f.inputs[Z(w)];
    tangents[Z(w)] = b.Input("tangent/" + in.name, in.role, in.type);
  }
  return Forward(b, f, values, tangents);
}

}  // namespace

Function Jvp(const Function& plain, const std::vector<int>& wrt) {
  const Function f = WithStates(plain);
  Builder b(f.name + "_jvp");
  std::vector<Value> values;
  const std::vector<Value> t = Tangents(b, f, wrt, values);
  for (std::size_t k = 0; k < f.outputs.size(); ++k) {
    const Type& type = f.type(f.outputs[k].value);
    if (type.elem == Elem::kReal) b.Output("tangent/" + f.outputs[k].name, OrZero(b, t[k], type.shape));
  }
  return b.Finish();
}

Function HessianVector(const Function& f, const std::vector<int>& wrt) {
  const Function gradient = WithStates(Gradient(f, wrt));
  Builder b(f.name + "_hessian_vector");
  std::vector<Value> values;
  const std::vector<Value> t = Tangents(b, gradient, wrt, values);
  for (const Output& o : gradient.outputs) b.Output(o.name, values[Z(o.value.index)]);
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    const Input& in = f.inputs[Z(wrt[k])];
    b.Output("h/" + in.name, OrZero(b, t[k + 1], in.type.shape));
  }
  return b.Finish();
}

}  // namespace amo::compiler
