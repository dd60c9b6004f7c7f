// SPDX-License-Identifier: Apache-2.0
// The Builder: infers types, shares equal nodes, and folds what costs nothing to fold (identity shapes).
#include <algorithm>
#include <bit>
#include <numeric>

#include "compiler/check.h"
#include "compiler/ir.h"

namespace amo::compiler {

Builder::Builder(std::string name) { function_.name = std::move(name); }

Function Builder::Finish() {
  Function f = std::move(function_);
  function_ = {};
  known_.clear();
  bodies_.clear();
  return f;
}

Value Builder::Put(Node node) {
  std::vector<Type> args;
  std::vector<std::int32_t> ids;
  for (Value a : node.args) {
    AMO_CHECK(a.index >= 0 && static_cast<std::size_t>(a.index) < function_.nodes.size());
    args.push_back(type(a));
    ids.push_back(a.index);
  }
  if (node.op != Op::kInput) {
    Inferred inferred = Infer(node, args);
    AMO_CHECK(inferred.error.empty(), "(%s: %s)", std::string(OpText(node.op)).c_str(), inferred.error.c_str());
    node.type = std::move(inferred.type);
  }
  if (node.body) {  // equal bodies are one body, so that equal scans are one node
    const auto same = [&](const auto& known) { return known == node.body || SameFunction(*known, *node.body); };
    const auto known = std::find_if(bodies_.begin(), bodies_.end(), same);
    if (known != bodies_.end()) node.body = *known;
    else bodies_.push_back(node.body);
  }
  Key key{node.op, std::move(ids), node.attr, std::bit_cast<std::uint64_t>(node.number), node.type.elem,
          node.type.shape, node.body.get()};
  const auto next = static_cast<std::int32_t>(function_.nodes.size());
  const auto [it, fresh] = known_.emplace(std::move(key), next);
  if (fresh) {
    node.span = span_;
    function_.nodes.push_back(std::move(node));
  }
  return {it->second};
}

Value Builder::Input(std::string name, Role role, Type type) {
  const auto k = static_cast<std::int64_t>(function_.inputs.size());
  function_.inputs.push_back({std::move(name), role, type, {}});
  const Value v = Put({Op::kInput, std::move(type), {}, {k}, 0, {}});
  function_.inputs.back().value = v;
  return v;
}

void Builder::Output(std::string name, Value value) { function_.outputs.push_back({std::move(name), value}); }

Value Builder::Number(double value, Elem elem) { return Put({Op::kNumber, {elem, {}}, {}, {}, value, {}}); }

Value Builder::Iota(std::int64_t count, std::int64_t start) {
  return Put({Op::kIota, {Elem::kInt, {count}}, {}, {start}, 0, {}});
}

Value Builder::Unary(Op op, Value x) { return Put({op, {}, {x}, {}, 0, {}}); }
Value Builder::Binary(Op op, Value a, Value b) { return Put({op, {}, {a, b}, {}, 0, {}}); }
Value Builder::Select(Value c, Value a, Value b) { return Put({Op::kSelect, {}, {c, a, b}, {}, 0, {}}); }
Value Builder::ToReal(Value x) { return type(x).elem == Elem::kReal ? x : Unary(Op::kToReal, x); }

Value Builder::Broadcast(Value x, std::vector<std::int64_t> axes, Shape out) {
  bool identity = axes.size() == shape(x).size();
  for (std::size_t d = 0; identity && d < axes.size(); ++d) identity = axes[d] == static_cast<std::int64_t>(d);
  if (identity) return x;
  const Node inner = node(x);
  if (inner.op == Op::kBroadcast) {  // one broadcast after another is one
    for (std::int64_t& a : axes) a = a < 0 ? -1 : inner.attr[static_cast<std::size_t>(a)];
    return Broadcast(inner.args[0], std::move(axes), std::move(out));
  }
  return Put({Op::kBroadcast, {Elem::kReal, std::move(out)}, {x}, std::move(axes), 0, {}});
}

Value Builder::Fill(Value scalar, Shape out) {
  std::vector<std::int64_t> axes(out.size(), -1);
  return Broadcast(scalar, std::move(axes), std::move(out));
}

Value Builder::Transpose(Value x, const std::vector<std::int64_t>& axes) {
  Shape out;
  for (std::int64_t a : axes) out.push_back(shape(x)[static_cast<std::size_t>(a)]);
  return Broadcast(x, axes, out);
}

Value Builder::Reshape(Value x, Shape out) {
  if (out == shape(x)) return x;
  const Node inner = node(x);
  if (inner.op == Op::kReshape) return Reshape(inner.args[0], std::move(out));
  return Put({Op::kReshape, {Elem::kReal, std::move(out)}, {x}, {}, 0, {}});
}

Value Builder::Slice(Value x, std::vector<std::int64_t> starts, Shape out) {
  if (out == shape(x)) return x;
  return Put({Op::kSlice, {Elem::kReal, std::move(out)}, {x}, std::move(starts), 0, {}});
}

Value Builder::Pad(Value x, std::vector<std::int64_t> starts, Shape out) {
  if (out == shape(x)) return x;
  return Put({Op::kPad, {Elem::kReal, std::move(out)}, {x}, std::move(starts), 0, {}});
}

Value Builder::Concat(std::vector<Value> parts, std::int64_t axis) {
  if (parts.size() == 1) return parts[0];
  return Put({Op::kConcat, {}, std::move(parts), {axis}, 0, {}});
}

Value Builder::Unfold(Value x, const Windows& s) {
  return Put({Op::kUnfold, {}, {x}, {s.kh, s.kw, s.stride, s.pad}, 0, {}});
}

Value Builder::Fold(Value x, const Windows& s, std::int64_t h, std::int64_t w) {
  return Put({Op::kFold, {}, {x}, {s.kh, s.kw, s.stride, s.pad, h, w}, 0, {}});
}

Value Builder::Reduce(Op op, Value x, std::vector<std::int64_t> axes) {
  if (axes.empty()) return x;
  return Put({op, {}, {x}, std::move(axes), 0, {}});
}

Value Builder::Arg(Op op, Value x) { return Put({op, {}, {x}, {}, 0, {}}); }
Value Builder::Along(Op op, Value x) { return Put({op, {}, {x}, {}, 0, {}}); }

Value Builder::Dot(Value a, Value b, const std::vector<std::int64_t>& la, const std::vector<std::int64_t>& lb,
                   const std::vector<std::int64_t>& lo) {
  // Labels are renamed by first appearance, so that equal products are one node.
  std::map<std::int64_t, std::int64_t> names;
  std::vector<std::int64_t> labels;
  for (const auto* part : {&la, &lb, &lo}) {
    for (std::int64_t l : *part)
      labels.push_back(names.emplace(l, static_cast<std::int64_t>(names.size())).first->second);
  }
  return Put({Op::kDot, {}, {a, b}, std::move(labels), 0, {}});
}

Value Builder::Gather(Value x, Value index, std::int64_t lead) {
  return Put({Op::kGather, {}, {x, index}, {lead}, 0, {}});
}

Value Builder::Scatter(Value index, Value g, std::int64_t lead, std::int64_t count) {
  return Put({Op::kScatter, {}, {index, g}, {lead, count}, 0, {}});
}

Value Builder::Solve(Value a, Value b) { return Put({Op::kSolve, {}, {a, b}, {}, 0, {}}); }
Value Builder::Eigen(Value a) { return Put({Op::kEigen, {}, {a}, {}, 0, {}}); }

Value Builder::Scan(const ScanForm& form, std::shared_ptr<const Function> body, std::vector<Value> args) {
  const auto size = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  std::vector<std::int64_t> attr{form.steps,    size(form.carries), size(form.xs),
                                 size(form.ys), form.reverse,       form.index};
  return Put({Op::kScan, {}, std::move(args), std::move(attr), 0, {}, std::move(body)});
}

Value Builder::ScanPart(const Node& scan, Value v, std::size_t k) {
  const std::vector<std::int64_t> offsets = ScanOffsets(scan);
  Shape own = scan.body->type(scan.body->outputs[k].value).shape;
  if (k >= FormOf(scan).carries) own.insert(own.begin(), FormOf(scan).steps);
  return Reshape(Slice(v, {offsets[k]}, {offsets[k + 1] - offsets[k]}), own);
}

Value Builder::Placeholder(Type type) { return Put({Op::kInput, std::move(type), {}, {-1 - placeholders_++}, 0, {}}); }

Value Builder::Copy(const Node& node, std::vector<Value> args) {
  Node copy = node;
  copy.args = std::move(args);
  AMO_CHECK(node.op != Op::kInput);
  const lang::Span saved = span_;
  span_ = node.span;
  const Value v = Put(std::move(copy));
  span_ = saved;
  return v;
}

}  // namespace amo::compiler
