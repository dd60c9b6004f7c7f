// SPDX-License-Identifier: Apache-2.0
// Expressions are made here, each once, with the index arithmetic simplified; and printed.
#include "compiler/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace amo::compiler {
namespace {

bool Known(const Expr& e) { return e.least <= e.greatest; }

}  // namespace

std::int32_t LoopProgram::Put(Expr expr) {
  Key key{expr.kind, expr.op, expr.elem, expr.args, expr.lo, expr.hi, std::bit_cast<std::uint64_t>(expr.number)};
  auto [it, fresh] = known_.try_emplace(std::move(key), static_cast<std::int32_t>(exprs.size()));
  if (!fresh) return it->second;
  for (std::int32_t a : expr.args) {
    expr.varies = expr.varies || at(a).varies;
    expr.depth = std::max(expr.depth, at(a).depth);
  }
  exprs.push_back(std::move(expr));
  return it->second;
}

std::int32_t LoopProgram::Const(double number, Elem elem) {
  Expr e{.kind = ExprKind::kConst, .elem = elem, .args = {}, .number = number};
  e.least = 0;
  e.greatest = -1;
  if (elem == Elem::kInt) e.least = e.greatest = static_cast<std::int64_t>(number);
  return Put(std::move(e));
}

std::int32_t LoopProgram::Var(int depth, std::int64_t count) {
  if (count <= 1) return Const(0, Elem::kInt);
  Expr e{.kind = ExprKind::kVar, .elem = Elem::kInt, .args = {}, .lo = depth, .hi = count};
  e.depth = depth;
  e.greatest = count - 1;
  return Put(std::move(e));
}

std::int32_t LoopProgram::Apply(Op op, Elem elem, std::vector<std::int32_t> args) {
  Expr e{.kind = ExprKind::kOp, .op = op, .elem = elem, .args = std::move(args)};
  e.greatest = -1;
  return Put(std::move(e));
}

std::int32_t LoopProgram::Load(int buffer, std::int32_t index) {
  const Buffer& b = buffers[static_cast<std::size_t>(buffer)];
  Expr e{.kind = ExprKind::kLoad, .elem = b.elem, .args = {index}, .lo = buffer};
  e.varies = b.varies;
  e.greatest = -1;
  return Put(std::move(e));
}

std::int32_t LoopProgram::IndexAdd(std::int32_t a, std::int32_t b) {
  const Expr &x = at(a), &y = at(b);
  const bool known = Known(x) && Known(y);
  if (x.kind == ExprKind::kConst && y.kind == ExprKind::kConst) return Const(x.number + y.number, Elem::kInt);
  if (x.kind == ExprKind::kConst) std::swap(a, b);  // constants stand on the right
  if (at(b).kind == ExprKind::kConst) {
    if (at(b).number == 0) return a;
    const Expr& left = at(a);
    if (left.kind == ExprKind::kIndexAdd && at(left.args[1]).kind == ExprKind::kConst) {
      const double sum = at(left.args[1]).number + at(b).number;
      const std::int32_t base = left.args[0];
      return IndexAdd(base, Const(sum, Elem::kInt));
    }
  }
  Expr e{.kind = ExprKind::kIndexAdd, .elem = Elem::kInt, .args = {a, b}};
  e.greatest = -1;
  if (known) {
    e.least = at(a).least + at(b).least;
    e.greatest = at(a).greatest + at(b).greatest;
  }
  return Put(std::move(e));
}

std::int32_t LoopProgram::IndexMul(std::int32_t a, std::int64_t by) {
  const Expr x = at(a);
  if (by == 1) return a;
  if (by == 0) return Const(0, Elem::kInt);
  if (x.kind == ExprKind::kConst) return Const(x.number * static_cast<double>(by), Elem::kInt);
  if (x.kind == ExprKind::kIndexMul) return IndexMul(x.args[0], x.lo * by);
  if (x.kind == ExprKind::kIndexAdd) return IndexAdd(IndexMul(x.args[0], by), IndexMul(x.args[1], by));
  Expr e{.kind = ExprKind::kIndexMul, .elem = Elem::kInt, .args = {a}, .lo = by};
  e.greatest = -1;
  if (Known(x) && by > 0) {
    e.least = x.least * by;
    e.greatest = x.greatest * by;
  }
  return Put(std::move(e));
}

// a = multiple * by + rest, where the terms that are multiples of `by` go into the first.
void LoopProgram::SplitBy(std::int32_t a, std::int64_t by, std::int32_t& multiple, std::int32_t& rest) {
  const Expr x = at(a);
  switch (x.kind) {
    case ExprKind::kIndexAdd: {
      std::int32_t m0, m1, r0, r1;
      SplitBy(x.args[0], by, m0, r0);
      SplitBy(x.args[1], by, m1, r1);
      multiple = IndexAdd(m0, m1);
      rest = IndexAdd(r0, r1);
      return;
    }
    case ExprKind::kIndexMul:
      if (x.lo % by == 0) {
        multiple = IndexMul(x.args[0], x.lo / by);
        rest = Const(0, Elem::kInt);
        return;
      }
      break;
    case ExprKind::kConst:
      if (x.number >= 0) {
        const auto n = static_cast<std::int64_t>(x.number);
        multiple = Const(static_cast<double>(n / by), Elem::kInt);
        rest = Const(static_cast<double>(n % by), Elem::kInt);
        return;
      }
      break;
    case ExprKind::kVar:
    case ExprKind::kOp:
    case ExprKind::kLoad:
    case ExprKind::kIndexDiv:
    case ExprKind::kIndexMod:
    case ExprKind::kClamp:
    case ExprKind::kInRange:
      break;
  }
  multiple = Const(0, Elem::kInt);
  rest = a;
}

std::int32_t LoopProgram::IndexDiv(std::int32_t a, std::int64_t by) {
  if (by == 1) return a;
  std::int32_t multiple, rest;
  SplitBy(a, by, multiple, rest);
  const Expr r = at(rest);
  if (Known(r) && r.least >= 0 && r.greatest < by) return multiple;
  if (!Known(r) || r.least < 0) {
    multiple = Const(0, Elem::kInt);
    rest = a;
  }
  Expr e{.kind = ExprKind::kIndexDiv, .elem = Elem::kInt, .args = {rest}, .lo = by};
  e.greatest = -1;
  const Expr& x = at(rest);
  if (Known(x) && x.least >= 0) {
    e.least = x.least / by;
    e.greatest = x.greatest / by;
  }
  return IndexAdd(multiple, Put(std::move(e)));
}

std::int32_t LoopProgram::IndexMod(std::int32_t a, std::int64_t by) {
  if (by == 1) return Const(0, Elem::kInt);
  std::int32_t multiple, rest;
  SplitBy(a, by, multiple, rest);
  const Expr r = at(rest);
  if (Known(r) && r.least >= 0 && r.greatest < by) return rest;
  if (!Known(r) || r.least < 0) rest = a;
  Expr e{.kind = ExprKind::kIndexMod, .elem = Elem::kInt, .args = {rest}, .lo = by};
  e.greatest = by - 1;
  return Put(std::move(e));
}

std::int32_t LoopProgram::Clamp(std::int32_t a, std::int64_t lo, std::int64_t hi) {
  const Expr& x = at(a);
  if (Known(x) && x.least >= lo && x.greatest <= hi) return a;
  Expr e{.kind = ExprKind::kClamp, .elem = Elem::kInt, .args = {a}, .lo = lo, .hi = hi};
  e.least = lo;
  e.greatest = hi;
  return Put(std::move(e));
}

std::int32_t LoopProgram::InRange(std::int32_t a, std::int64_t lo, std::int64_t hi) {
  const Expr& x = at(a);
  if (Known(x) && x.least >= lo && x.greatest < hi) return Const(1, Elem::kBool);
  if (Known(x) && (x.greatest < lo || x.least >= hi)) return Const(0, Elem::kBool);
  Expr e{.kind = ExprKind::kInRange, .elem = Elem::kBool, .args = {a}, .lo = lo, .hi = hi};
  e.greatest = -1;
  return Put(std::move(e));
}

namespace {

std::string Text(const LoopProgram& p, std::int32_t id) {
  const Expr& e = p.at(id);
  switch (e.kind) {
    case ExprKind::kConst:
      return fmt::format("{}", e.number);
    case ExprKind::kVar:
      return fmt::format("i{}", e.lo);
    case ExprKind::kOp: {
      std::string args;
      for (std::int32_t a : e.args) args += (args.empty() ? "" : ", ") + Text(p, a);
      return fmt::format("{}({})", OpText(e.op), args);
    }
    case ExprKind::kLoad:
      return fmt::format("{}[{}]", p.buffers[static_cast<std::size_t>(e.lo)].name, Text(p, e.args[0]));
    case ExprKind::kIndexAdd:
      return fmt::format("{} + {}", Text(p, e.args[0]), Text(p, e.args[1]));
    case ExprKind::kIndexMul:
      return fmt::format("{}*{}", e.lo, Text(p, e.args[0]));
    case ExprKind::kIndexDiv:
      return fmt::format("({})/{}", Text(p, e.args[0]), e.lo);
    case ExprKind::kIndexMod:
      return fmt::format("({})%{}", Text(p, e.args[0]), e.lo);
    case ExprKind::kClamp:
      return fmt::format("clamp({}, {}, {})", Text(p, e.args[0]), e.lo, e.hi);
    case ExprKind::kInRange:
      return fmt::format("inside({}, {}, {})", Text(p, e.args[0]), e.lo, e.hi);
  }
  return "";
}

void Open(std::string& out, std::string& indent, const Shape& shape, int& depth) {
  for (std::int64_t n : shape) {
    ++depth;
    if (n == 1) continue;
    out += fmt::format("{}for i{} < {}\n", indent, depth, n);
    indent += "  ";
  }
}

std::string Text(const LoopProgram& p, const Step& s) {
  std::string out, indent(2 + 2 * static_cast<std::size_t>(s.level), ' ');
  int depth = s.level;
  if (s.kind == StepKind::kFor) {
    out = fmt::format("{}for i{} < {}{}\n", indent, depth + 1, s.inner[0], s.reverse ? ", backwards" : "");
    for (const Step& each : s.body) out += Text(p, each);
    return out;
  }
  Open(out, indent, s.outer, depth);
  auto name = [&](int b) { return p.buffers[static_cast<std::size_t>(b)].name; };
  const std::string outside = indent;
  const Store& t = s.stores[0];
  switch (s.kind) {
    case StepKind::kMap:
      for (const Store& each : s.stores) {
        out += fmt::format("{}{}[{}] = {}\n", indent, name(each.buffer), Text(p, each.index), Text(p, each.value));
      }
      return out;
    case StepKind::kScatter:
      return out + fmt::format("{}{}[{}] += {}\n", indent, name(t.buffer), Text(p, t.index), Text(p, t.value));
    case StepKind::kSort:
      return out + fmt::format("{}sort {} entries of {}{} from {}\n", indent, s.inner[0], name(t.buffer),
                               s.second < 0 ? "" : " with " + name(s.second), Text(p, t.index));
    case StepKind::kReduce:
    case StepKind::kArg:
      out += fmt::format("{}acc = identity of {}\n", indent, OpText(s.op));
      Open(out, indent, s.inner, depth);
      out += fmt::format("{}acc = {}(acc, {})\n", indent, OpText(s.op), Text(p, t.value));
      return out + fmt::format("{}{}[{}] = acc\n", outside, name(t.buffer), Text(p, t.index));
    case StepKind::kScan:
      out += fmt::format("{}acc = 0\n", indent);
      Open(out, indent, s.inner, depth);
      return out + fmt::format("{}{}[{}] = acc += {}\n", indent, name(t.buffer), Text(p, t.index), Text(p, t.value));
    case StepKind::kFor:
      break;
  }
  return out;
}

}  // namespace

std::string ToString(const LoopProgram& p) {
  std::string out;
  for (const Buffer& b : p.buffers) {
    static constexpr const char* kPlaces[] = {"input", "shared", "instance"};
    out += fmt::format("{} {} [{}]\n", kPlaces[static_cast<int>(b.place)], b.name, b.count);
  }
  out += "once\n";
  for (const Step& s : p.shared) out += Text(p, s);
  out += "for every instance\n";
  for (const Step& s : p.instance) out += Text(p, s);
  for (int b : p.outputs) out += "output " + p.buffers[static_cast<std::size_t>(b)].name + "\n";
  return out;
}

}  // namespace amo::compiler
