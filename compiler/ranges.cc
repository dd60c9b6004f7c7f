// SPDX-License-Identifier: Apache-2.0
// One row for each set that is no polyhedron.
#include "compiler/ranges.h"

#include <algorithm>
#include <utility>

#include "compiler/plan.h"
#include "lang/factors.h"

namespace amo::compiler {
namespace {

struct Entries {
  Term lo, hi;  // of the shape of the part
};

Entries Free(Scope& s, const Shape& shape) {
  return {s.Of(s.b.Filled(-kNoBound, shape)), s.Of(s.b.Filled(kNoBound, shape))};
}

Entries RangeOf(Scope& s, const lang::Expr& expr, const Shape& shape) {
  const Scope::Set set = s.SetOf(expr);
  const std::string& name = set.decl->name.text;
  if (name == "ball" || name == "ball1") {
    const Term radius = s.Real(set.args[0]);
    return {s.Widen(s.Unary(Op::kNeg, radius), radius.axes, shape), s.Widen(radius, radius.axes, shape)};
  }
  if (name == "permutahedron")
    return {s.Of(s.b.Filled(1, shape)), s.Of(s.b.Filled(static_cast<double>(shape.back()), shape))};
  return Free(s, shape);
}

// Matrices and cones whose entries bound each other, one after the other from `at`.
void AddBlocks(Scope& s, const lang::Expr& expr, const Shape& shape, std::int64_t at, std::vector<RangeBlock>& blocks) {
  const std::string& name = s.SetOf(expr).decl->name.text;
  const bool psd = name == "psd" || name == "spd";
  if (!psd && name != "second_order_cone") return;
  const std::int64_t size = shape.back(), entries = psd ? size * size : size;
  for (std::int64_t k = 0; k < Count(shape) / std::max<std::int64_t>(entries, 1); ++k)
    blocks.push_back({psd ? RangeBlock::Kind::kPsd : RangeBlock::Kind::kNorm, at + k * entries, size});
}

}  // namespace

void BuildRanges(Parts& parts) {
  Program& program = parts.program;
  for (const Named& v : program.variables) {
    const lang::ValueDecl& d = *AsVariable(parts.problem, v.name);
    if (v.type.elem != Elem::kReal) return;
    if (d.set && !IsPolyhedron(parts.problem, *d.set) && !IsConvexSet(parts.problem, *d.set)) return;
  }
  if (program.variables.empty()) return;
  ConvexRegion region;
  lang::Diagnostics muted;  // what is refused here was reported when the set itself was built
  Parts aside{parts.problem, parts.tables, parts.program, muted, parts.plan};
  std::optional<Function> ranges = aside.Make("ranges", kSeen, [&](Scope& s) {
    std::vector<Term> lo, hi;
    std::int64_t at = 0;
    for (const Named& v : program.variables) {
      const lang::ValueDecl& d = *AsVariable(parts.problem, v.name);
      std::vector<Term> below, above;
      if (!d.set) {
        const Entries all = Free(s, v.type.shape);
        below = {all.lo}, above = {all.hi};
      } else {
        const bool whole = !lang::IsProduct(*d.set);
        std::int64_t from = at;
        for (const SetPart& part : s.Factors(*d.set, s.Of(s.b.Filled(0, v.type.shape)))) {
          const Shape shape = s.Own(part.value);
          const bool rows = IsPolyhedron(parts.problem, *part.set);
          Entries entries = rows ? Free(s, shape) : RangeOf(s, *part.set, shape);
          if (!rows && (whole || v.type.shape.size() == 1)) AddBlocks(s, *part.set, shape, from, region.blocks);
          from += Count(shape);
          below.push_back(std::move(entries.lo)), above.push_back(std::move(entries.hi));
        }
      }
      const auto joined = [&](std::vector<Term> list) {
        if (list.size() == 1) return s.Flat(list[0]);
        return s.Flat(s.Concat(std::move(list), static_cast<std::int64_t>(v.type.shape.size()) - 1, {}));
      };
      lo.push_back(joined(std::move(below))), hi.push_back(joined(std::move(above)));
      at += Count(v.type.shape);
    }
    s.b.Output("ranges/lo", s.Concat(std::move(lo), 0, {}).value);
    s.b.Output("ranges/hi", s.Concat(std::move(hi), 0, {}).value);
    return true;
  });
  if (!ranges) return;
  region.ranges = std::move(*ranges);
  program.region = std::move(region);
}

}  // namespace amo::compiler
