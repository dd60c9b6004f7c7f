// SPDX-License-Identifier: Apache-2.0
// A function split into what each instance gives and what follows from the sums.
#include "compiler/batch_sum.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "compiler/simplify.h"
#include "compiler/sum_parts.h"

namespace amo::compiler {

BatchSum SumOverBatch(const Function& f, const std::string& prefix) {
  BatchSum out;
  SumParts sums(f, VariesByInstance(f));
  out.each = f;
  std::erase_if(out.each.outputs, [&](const Output& o) { return o.name.starts_with(prefix); });
  for (const Output& o : f.outputs) if (o.name.starts_with(prefix)) sums.Take(o.value);
  std::map<std::int32_t, std::string> names;  // of a value that several parts need
  const auto name = [&](Value v) {
    const auto [it, fresh] = names.emplace(v.index, fmt::format("factor/{}", names.size()));
    if (fresh) out.each.outputs.push_back({it->second, v});
    return it->second;
  };
  Builder after(f.name + "_sum");
  std::vector<Value> totals;
  for (const SumPart& p : sums.parts()) {
    out.parts.push_back({name(p.a), p.b.index < 0 ? "" : name(p.b), p.labels});
    Shape shape = f.type(p.a).shape;
    if (p.b.index >= 0) {
      shape.clear();
      for (std::int64_t label : p.labels.out) {
        for (std::size_t d = 0; d < p.labels.a.size(); ++d)
          if (p.labels.a[d] == label) shape.push_back(f.type(p.a).shape[d]);
        for (std::size_t d = 0; d < p.labels.b.size(); ++d) {
          const bool known = std::count(p.labels.a.begin(), p.labels.a.end(), label) > 0;
          if (p.labels.b[d] == label && !known) shape.push_back(f.type(p.b).shape[d]);
        }
      }
    }
    totals.push_back(after.Input(fmt::format("part/{}", totals.size()), Role::kShared, {Elem::kReal, shape}));
  }
  std::map<std::int32_t, Value> outside;
  for (const Output& o : f.outputs)
    if (o.name.starts_with(prefix)) after.Output(o.name, sums.Rebuild(after, o.value, totals, outside));
  out.each.name = f.name + "_each";
  out.each = Simplify(out.each);
  out.after = Simplify(after.Finish());
  return out;
}

}  // namespace amo::compiler
