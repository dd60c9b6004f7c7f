// SPDX-License-Identifier: Apache-2.0
// Parts of a function under construction, and their gradients.
#include "compiler/extract.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "compiler/derive.h"
#include "compiler/simplify.h"

namespace amo::compiler {
namespace {

// For each value up to `last` whether it depends on a leaf.
std::vector<bool> Dependents(const Builder& b, std::int32_t last, const std::vector<Value>& leaves) {
  std::vector<bool> depends(static_cast<std::size_t>(last + 1));
  for (Value v : leaves) if (v.index <= last) depends[static_cast<std::size_t>(v.index)] = true;
  for (std::size_t i = 0; i < depends.size(); ++i) {
    for (Value a : b.node({static_cast<std::int32_t>(i)}).args)
      depends[i] = depends[i] || depends[static_cast<std::size_t>(a.index)];
  }
  return depends;
}

}  // namespace

bool DependsOn(const Builder& b, Value v, const std::vector<Value>& leaves) {
  return Dependents(b, v.index, leaves).back();
}

Function Extract(const Builder& b, const std::vector<Value>& outputs, const std::vector<Value>& leaves,
                 std::vector<Value>& around) {
  std::int32_t last = -1;
  for (Value v : outputs) last = std::max(last, v.index);
  const auto size = static_cast<std::size_t>(last + 1);
  const std::vector<bool> depends = Dependents(b, last, leaves);
  std::vector<bool> needed(size);
  const auto is_leaf = [&](std::size_t i) {
    return std::count(leaves.begin(), leaves.end(), Value{static_cast<std::int32_t>(i)}) > 0;
  };
  for (Value v : outputs) needed[static_cast<std::size_t>(v.index)] = true;
  for (std::size_t i = size; i-- > 0;) {
    if (!needed[i] || !depends[i] || is_leaf(i)) continue;
    for (Value a : b.node({static_cast<std::int32_t>(i)}).args) needed[static_cast<std::size_t>(a.index)] = true;
  }
  Builder part("part");
  std::map<std::int32_t, Value> inner;
  for (std::size_t k = 0; k < leaves.size(); ++k)
    inner[leaves[k].index] = part.Input(fmt::format("leaf{}", k), Role::kInstance, b.type(leaves[k]));
  for (std::size_t i = 0; i < size; ++i) {
    const Value v{static_cast<std::int32_t>(i)};
    if (!needed[i] || inner.count(v.index)) continue;
    const Node& n = b.node(v);
    if (!depends[i]) {
      const bool constant = n.op == Op::kNumber || n.op == Op::kIota;
      if (constant) {
        inner[v.index] = part.Copy(n, {});
        continue;
      }
      inner[v.index] = part.Input(fmt::format("around{}", around.size()), Role::kInstance, n.type);
      around.push_back(v);
      continue;
    }
    std::vector<Value> args;
    for (Value a : n.args) args.push_back(inner.at(a.index));
    inner[v.index] = part.Copy(n, std::move(args));
  }
  for (std::size_t k = 0; k < outputs.size(); ++k) part.Output(fmt::format("out{}", k), inner.at(outputs[k].index));
  return part.Finish();
}

std::vector<Value> GradientAt(Builder& b, Value f, const std::vector<Value>& leaves, const std::vector<Value>& at,
                              std::size_t count) {
  std::vector<Value> inputs = at, around;
  std::vector<int> wrt(count);
  for (std::size_t k = 0; k < count; ++k) wrt[k] = static_cast<int>(k);
  const Function gradient = Simplify(Gradient(Extract(b, {f}, leaves, around), wrt));
  inputs.insert(inputs.end(), around.begin(), around.end());
  const std::vector<Value> values = Inline(b, gradient, inputs);
  std::vector<Value> result;
  for (const Output& o : gradient.outputs) result.push_back(values[static_cast<std::size_t>(o.value.index)]);
  return result;
}

}  // namespace amo::compiler
