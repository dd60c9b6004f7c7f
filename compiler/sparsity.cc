// SPDX-License-Identifier: Apache-2.0
// Dependence of entries on entries, node by node. Where entries only move, the interpreter moves their numbers and so
// says where each one comes from.
#include "compiler/sparsity.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "compiler/check.h"
#include "compiler/derive.h"
#include "compiler/interpret.h"

namespace amo::compiler {
namespace {

using Columns = std::vector<std::int32_t>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

// What is known of a value: the columns that each entry depends on, and its number where no input is in it.
struct Known {
  std::vector<Columns> columns;
  std::optional<Tensor> constant;
};

void Join(Columns& into, const Columns& more) {
  if (more.empty() || into == more) return;
  if (into.empty()) {
    into = more;
    return;
  }
  Columns both;
  std::set_union(into.begin(), into.end(), more.begin(), more.end(), std::back_inserter(both));
  into = std::move(both);
}

// One node on given arguments.
Tensor Evaluate(const Node& node, const std::vector<Tensor>& args) {
  Function one;
  Node copy = node;
  for (std::size_t k = 0; k < args.size(); ++k) {
    const auto at = static_cast<std::int32_t>(one.nodes.size());
    one.nodes.push_back({.op = Op::kInput, .type = args[k].type, .args = {}, .attr = {static_cast<std::int64_t>(k)},
                         .number = 0, .span = {}});
    one.inputs.push_back({"x" + std::to_string(k), Role::kInstance, args[k].type, {at}});
    copy.args[k] = {at};
  }
  one.nodes.push_back(std::move(copy));
  one.outputs.push_back({"y", {static_cast<std::int32_t>(one.nodes.size()) - 1}});
  return Interpret(one, args)[0];
}

class Propagation {
 public:
  Propagation(const Function& f, std::vector<Known> inputs) : f_(f), known_(f.nodes.size()) {
    for (std::size_t k = 0; k < inputs.size(); ++k) known_[Z(f.inputs[k].value.index)] = std::move(inputs[k]);
    for (std::size_t i = 0; i < f.nodes.size(); ++i) {
      if (f.nodes[i].op != Op::kInput) Visit(i);
    }
  }

  std::vector<Known> Outputs() const {
    std::vector<Known> out;
    for (const Output& o : f_.outputs) out.push_back(Of(o.value));
    return out;
  }

 private:
  const Known& Of(Value v) const { return known_[Z(v.index)]; }

  void Visit(std::size_t i) {
    const Node& n = f_.nodes[i];
    Known& out = known_[i];
    out.columns.resize(Z(Count(n.type.shape)));
    if (n.op == Op::kScan) return Scan(n, out);
    std::vector<Tensor> values;
    for (Value a : n.args) {
      if (Of(a).constant) values.push_back(*Of(a).constant);
    }
    if (values.size() == n.args.size()) {
      out.constant = Evaluate(n, values);
      return;
    }
    // What is piecewise constant depends on nothing.
    if (n.type.elem != Elem::kReal || n.op == Op::kStop || n.op == Op::kSign || n.op == Op::kFloor) return;
    switch (ClassOf(n.op)) {
      case OpClass::kLeaf:
      case OpClass::kArg:
      case OpClass::kCompare:
      case OpClass::kLogic:
        return;
      case OpClass::kUnary:
      case OpClass::kBinary:
      case OpClass::kSelect:
        return Elementwise(n, out);
      case OpClass::kShape:
        return n.op == Op::kFold ? Folded(n, out) : Moved(n, n.args, out);
      case OpClass::kIndex:
        return n.op == Op::kGather ? Gathered(n, out) : Scattered(n, out);
      case OpClass::kReduce:
        return Reduced(n, out);
      case OpClass::kAlong:
        return Along(n, out);
      case OpClass::kContract:
        return Contracted(n, out);
      case OpClass::kMatrix:
        return Everything(n, out);
      case OpClass::kLoop:
        return;
    }
  }

  bool IsZero(Value v, std::size_t entry) const { return Of(v).constant && Of(v).constant->data[entry] == 0; }

  void Elementwise(const Node& n, Known& out) {
    for (std::size_t e = 0; e < out.columns.size(); ++e) {
      if (n.op == Op::kMul && (IsZero(n.args[0], e) || IsZero(n.args[1], e))) continue;
      std::size_t first = 0, last = n.args.size();
      if (n.op == Op::kSelect) {
        const Known& condition = Of(n.args[0]);
        first = 1;
        if (condition.constant) {
          first = condition.constant->data[e] != 0 ? 1 : 2;
          last = first + 1;
        }
      }
      for (std::size_t k = first; k < last; ++k) Join(out.columns[e], Of(n.args[k]).columns[e]);
    }
  }

  // The entries of the arguments, numbered from 1 on; 0 is what a padding puts there.
  std::vector<Tensor> Numbered(const std::vector<Value>& args) const {
    std::vector<Tensor> numbers;
    double next = 1;
    for (Value a : args) {
      Tensor t{f_.type(a), std::vector<double>(Z(Count(f_.type(a).shape)))};
      for (double& x : t.data) x = next++;
      numbers.push_back(std::move(t));
    }
    return numbers;
  }

  void Take(const Tensor& from, const std::vector<Value>& args, Known& out) {
    std::vector<const Columns*> all;
    for (Value a : args) {
      for (const Columns& c : Of(a).columns) all.push_back(&c);
    }
    for (std::size_t e = 0; e < out.columns.size(); ++e) {
      if (from.data[e] > 0) out.columns[e] = *all[static_cast<std::size_t>(from.data[e]) - 1];
    }
  }

  void Moved(const Node& n, const std::vector<Value>& args, Known& out) {
    Take(Evaluate(n, Numbered(args)), args, out);
  }

  // Where an entry goes says the unfold with the same windows.
  void Folded(const Node& n, Known& out) {
    Tensor numbers{n.type, std::vector<double>(out.columns.size())};
    for (std::size_t e = 0; e < numbers.data.size(); ++e) numbers.data[e] = static_cast<double>(e + 1);
    Node unfold = n;
    unfold.op = Op::kUnfold;
    unfold.attr.resize(4);
    unfold.type = f_.type(n.args[0]);
    const Tensor to = Evaluate(unfold, {numbers});
    for (std::size_t e = 0; e < to.data.size(); ++e) {
      if (to.data[e] > 0) Join(out.columns[static_cast<std::size_t>(to.data[e]) - 1], Of(n.args[0]).columns[e]);
    }
  }

  void Everything(const Node& n, Known& out) {
    Columns all;
    for (Value a : n.args) {
      for (const Columns& c : Of(a).columns) Join(all, c);
    }
    std::fill(out.columns.begin(), out.columns.end(), all);
  }

  void Gathered(const Node& n, Known& out) {
    const Known& index = Of(n.args[1]);
    if (!index.constant) return Everything(n, out);
    std::vector<Tensor> values = Numbered({n.args[0]});
    values.push_back(*index.constant);
    Take(Evaluate(n, values), {n.args[0]}, out);
  }

  // Where an entry goes says the gather with the same index.
  void Scattered(const Node& n, Known& out) {
    const Known& index = Of(n.args[0]);
    if (!index.constant) return Everything(n, out);
    Tensor numbers{n.type, std::vector<double>(out.columns.size())};
    for (std::size_t e = 0; e < numbers.data.size(); ++e) numbers.data[e] = static_cast<double>(e);
    Node gather = n;
    gather.op = Op::kGather;
    gather.attr = {n.attr[0]};
    gather.type = f_.type(n.args[1]);
    const Tensor to = Evaluate(gather, {numbers, *index.constant});
    for (std::size_t e = 0; e < to.data.size(); ++e) {
      Join(out.columns[static_cast<std::size_t>(to.data[e])], Of(n.args[1]).columns[e]);
    }
  }

  void Reduced(const Node& n, Known& out) {
    const Shape& all = f_.type(n.args[0]).shape;
    const std::vector<Columns>& from = Of(n.args[0]).columns;
    for (std::size_t e = 0; e < from.size(); ++e) {
      std::int64_t rest = static_cast<std::int64_t>(e), to = 0, stride = 1;
      for (std::size_t d = all.size(); d-- > 0;) {
        if (!std::binary_search(n.attr.begin(), n.attr.end(), static_cast<std::int64_t>(d))) {
          to += rest % all[d] * stride;
          stride *= all[d];
        }
        rest /= all[d];
      }
      Join(out.columns[Z(to)], from[e]);
    }
  }

  // cumsum: all that stands before; sort: the whole row.
  void Along(const Node& n, Known& out) {
    const std::size_t row = Z(n.type.shape.back());
    const std::vector<Columns>& from = Of(n.args[0]).columns;
    for (std::size_t begin = 0; begin < from.size(); begin += row) {
      Columns sum;
      for (std::size_t k = begin; k < begin + row; ++k) {
        Join(sum, from[k]);
        out.columns[k] = sum;
      }
      if (n.op != Op::kCumSum) std::fill_n(out.columns.begin() + static_cast<std::ptrdiff_t>(begin), row, sum);
    }
  }

  void Contracted(const Node& n, Known& out) {
    const DotLabels l = LabelsOf(f_, n);
    std::map<std::int64_t, std::int64_t> extent;
    for (std::size_t d = 0; d < l.a.size(); ++d) extent[l.a[d]] = f_.type(n.args[0]).shape[d];
    for (std::size_t d = 0; d < l.b.size(); ++d) extent[l.b[d]] = f_.type(n.args[1]).shape[d];
    std::map<std::int64_t, std::int64_t> at;
    std::int64_t points = 1;
    for (const auto& [label, size] : extent) points *= size;
    const auto flat = [&](const std::vector<std::int64_t>& labels) {
      std::int64_t index = 0;
      for (std::int64_t label : labels) index = index * extent.at(label) + at.at(label);
      return Z(index);
    };
    for (std::int64_t p = 0; p < points; ++p) {
      std::int64_t rest = p;
      for (const auto& [label, size] : extent) at[label] = rest % size, rest /= size;
      const std::size_t a = flat(l.a), b = flat(l.b), o = flat(l.out);
      if (IsZero(n.args[0], a) || IsZero(n.args[1], b)) continue;
      Join(out.columns[o], Of(n.args[0]).columns[a]);
      Join(out.columns[o], Of(n.args[1]).columns[b]);
    }
  }

  // Step by step: the number of a step is known in it.
  void Scan(const Node& n, Known& out) {
    const ScanForm form = FormOf(n);
    const std::vector<std::int64_t> offsets = ScanOffsets(n);
    const auto count = [](const Type& t) { return static_cast<std::ptrdiff_t>(Count(t.shape)); };
    std::vector<Known> carries;
    for (std::size_t k = 0; k < form.carries; ++k) carries.push_back(Of(n.args[k]));
    for (std::int64_t k = 0; k < form.steps; ++k) {
      const std::int64_t t = form.reverse ? form.steps - 1 - k : k;
      std::vector<Known> inputs = carries;
      for (std::size_t a = form.carries; a < n.args.size(); ++a) {
        Known value = Of(n.args[a]);
        if (a < form.carries + form.xs) {
          const Type& type = n.body->inputs[a].type;
          const std::ptrdiff_t size = count(type), begin = static_cast<std::ptrdiff_t>(t) * size;
          value.columns = {value.columns.begin() + begin, value.columns.begin() + begin + size};
          if (value.constant) {
            std::vector<double>& data = value.constant->data;
            value.constant = Tensor{type, {data.begin() + begin, data.begin() + begin + size}};
          }
        }
        inputs.push_back(std::move(value));
      }
      if (form.index) inputs.push_back({{{}}, Tensor{{Elem::kInt, {}}, {static_cast<double>(t)}}});
      std::vector<Known> results = Propagation(*n.body, std::move(inputs)).Outputs();
      for (std::size_t y = form.carries; y < results.size(); ++y) {
        const std::ptrdiff_t size = count(n.body->type(n.body->outputs[y].value));
        std::copy(results[y].columns.begin(), results[y].columns.end(),
                  out.columns.begin() + offsets[y] + static_cast<std::ptrdiff_t>(t) * size);
      }
      carries.assign(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(form.carries));
    }
    for (std::size_t k = 0; k < form.carries; ++k) {
      std::copy(carries[k].columns.begin(), carries[k].columns.end(), out.columns.begin() + offsets[k]);
    }
  }

  const Function& f_;
  std::vector<Known> known_;
};

}  // namespace

std::int64_t Pattern::Count() const {
  std::int64_t count = 0;
  for (const auto& row : entries) count += static_cast<std::int64_t>(row.size());
  return count;
}

Pattern JacobianPattern(const Function& f, std::size_t output, int wrt) {
  std::vector<Known> inputs;
  for (std::size_t k = 0; k < f.inputs.size(); ++k) {
    Known value;
    value.columns.resize(Z(Count(f.inputs[k].type.shape)));
    if (static_cast<int>(k) == wrt) {
      for (std::size_t e = 0; e < value.columns.size(); ++e) value.columns[e] = {static_cast<std::int32_t>(e)};
    }
    inputs.push_back(std::move(value));
  }
  std::vector<Known> outputs = Propagation(f, std::move(inputs)).Outputs();
  Pattern pattern;
  pattern.rows = Count(f.type(f.outputs[output].value).shape);
  pattern.columns = Count(f.inputs[static_cast<std::size_t>(wrt)].type.shape);
  pattern.entries = std::move(outputs[output].columns);
  return pattern;
}

std::vector<int> ColourColumns(const Pattern& pattern) {
  std::vector<std::vector<std::int32_t>> rows_of(Z(pattern.columns));
  for (std::size_t r = 0; r < pattern.entries.size(); ++r) {
    for (std::int32_t c : pattern.entries[r]) rows_of[Z(c)].push_back(static_cast<std::int32_t>(r));
  }
  std::vector<int> colours(rows_of.size(), -1);
  std::vector<std::size_t> taken_by(rows_of.size() + 1, rows_of.size());  // the last column that cannot have a colour
  for (std::size_t c = 0; c < rows_of.size(); ++c) {
    for (std::int32_t r : rows_of[c]) {
      for (std::int32_t other : pattern.entries[Z(r)]) {
        if (colours[Z(other)] >= 0) taken_by[Z(colours[Z(other)])] = c;
      }
    }
    int colour = 0;
    while (taken_by[Z(colour)] == c) ++colour;
    colours[c] = colour;
  }
  return colours;
}

Function CompressedJacobian(const Function& f, std::size_t output, int wrt, const std::vector<int>& colours) {
  Function single = f;
  single.outputs = {f.outputs[output]};
  const Function product = Jvp(single, {wrt});  // one more input, the tangent; the product is the last output
  const Type& tangent = product.inputs.back().type;
  const std::int64_t rows = Count(f.type(f.outputs[output].value).shape);
  const int count = colours.empty() ? 0 : *std::max_element(colours.begin(), colours.end()) + 1;
  Builder b(f.name + "_compressed_jacobian");
  std::vector<Value> inputs;
  for (const Input& in : f.inputs) inputs.push_back(b.Input(in.name, in.role, in.type));
  const Value seed = b.Input("colour", Role::kShared, {Elem::kInt, {static_cast<std::int64_t>(colours.size())}});
  std::vector<Value> parts;
  for (int colour = 0; colour < count; ++colour) {
    const Value is =
        b.Binary(Op::kEq, seed, b.Fill(b.Number(colour, Elem::kInt), {static_cast<std::int64_t>(colours.size())}));
    std::vector<Value> values = inputs;
    values.push_back(b.Reshape(b.ToReal(is), tangent.shape));
    std::vector<Value> made(product.nodes.size());
    for (std::size_t k = 0; k < product.inputs.size(); ++k) made[Z(product.inputs[k].value.index)] = values[k];
    for (std::size_t i = 0; i < product.nodes.size(); ++i) {
      const Node& n = product.nodes[i];
      if (n.op == Op::kInput) continue;
      std::vector<Value> args;
      for (Value a : n.args) args.push_back(made[Z(a.index)]);
      made[i] = b.Copy(n, args);
    }
    parts.push_back(b.Reshape(made[Z(product.outputs.back().value.index)], {1, rows}));
  }
  b.Output("compressed", parts.empty() ? b.Filled(0, {0, rows}) : parts.size() == 1 ? parts[0] : b.Concat(parts, 0));
  return b.Finish();
}

}  // namespace amo::compiler
