// SPDX-License-Identifier: Apache-2.0
// grad(E, x): the derivative of E by the value that x names, as an expression like any other; Jacobians; a step that descends.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "compiler/extract.h"
#include "compiler/scope.h"

namespace amo::compiler {

// E is evaluated where x is a leaf of its own under every loop that is open; its gradient is then taken at x.
Term Scope::Grad(const lang::Call& call, const lang::Expr& e) {
  const auto* name = std::get_if<lang::Name>(&call.args[1].value->node);
  if (!name) Refuse(lang::Code::kTypeMismatch, call.args[1].value->span, "`grad` is by a name");
  const std::string& x = name->name.text;
  const Term at = Real(EvalNamed(x, name->name.span));
  const Shape own = Own(at);
  std::vector<int> around;  // a replaced value may bring loops that are not open here
  std::set_union(open_.begin(), open_.end(), at.axes.begin(), at.axes.end(), std::back_inserter(around));
  Term leaf = Widen(at, around, own);
  const Value point = leaf.value;
  leaf.value = b.Placeholder(b.type(point));
  // x is a local, a function's parameter say, or a value of the problem.
  Term* local = nullptr;
  for (std::size_t i = frames.size(); i-- > 0 && !local;) {
    const auto it = frames[i].locals.find(x);
    if (it != frames[i].locals.end()) local = &it->second;
    if (frames[i].opaque) break;
  }
  const Term saved = local ? *local : Term{};
  World world{worlds.back().replaced, {}, worlds.back().networks};
  if (local) *local = leaf;
  else world.replaced[x] = leaf;
  worlds.push_back(std::move(world));
  const Term f = Real(Eval(*call.args[0].value));
  worlds.pop_back();
  if (local) {
    for (std::size_t i = frames.size(); i-- > 0;) {  // frames may have moved
      const auto it = frames[i].locals.find(x);
      if (it == frames[i].locals.end()) continue;
      it->second = saved;
      break;
    }
  }
  if (!Own(f).empty())
    Refuse(lang::Code::kNotScalar, call.args[0].value->span,
           fmt::format("`grad` is of a single number, this has shape `[{}]`", fmt::join(Own(f), ", ")),
           "sum it up, or take one entry");
  b.At(e.span);
  const Value total = ReduceAll(Op::kReduceSum, Term{f.value, {}, false, -1, 0}).value;
  const std::vector<Value> d = GradientAt(b, total, {leaf.value}, {point}, 1);
  return {d[1], leaf.axes, false, -1, 0};
}

// Row i is the derivative of entry i: `at` is repeated under a loop over the rows, each copy has the gradient of one.
Term Scope::Jacobian(const Term& at, std::int64_t rows, const std::function<Term(const Term&)>& f) {
  const std::int64_t n = Own(at)[0];
  const int row = OpenRange(rows);
  std::vector<int> axes = at.axes;
  axes.push_back(row);
  const Term copies = Widen(at, axes, {n});
  const Term leaf{b.Placeholder(b.type(copies.value)), axes, false, -1, 0};
  Term unit = Identity(rows);
  unit.axes = {row};  // its first axis is the loop's
  const Term own = Mul(f(leaf), unit);
  const Value total = ReduceAll(Op::kReduceSum, Term{own.value, {}, false, -1, 0}).value;
  const Term result{GradientAt(b, total, {leaf.value}, {copies.value}, 1)[1], at.axes, false, -1, 0};
  CloseLoops(1);
  return result;
}

Term Scope::Descended(const Term& x, const Term& d, std::int64_t halvings,
                      const std::function<Term(const Term&)>& f) {
  const auto share = [&](const Term& k) { return Binary(Op::kPow, Number(0.5), Real(k), {}, "^"); };
  const Shape own = Own(x);
  const int halving = OpenRange(halvings);
  std::vector<int> axes = x.axes;
  axes.push_back(halving);
  const Term step = Mul(share(Counter(halving)), Widen(d, axes, own));
  Term values = Widen(f(Sub(Widen(x, axes, own), step)), axes, {});
  values = Select(Binary(Op::kEq, values, values, {}, "=="), values, Number(1e300), {});  // NaN is no number to take
  CloseLoops(1);
  values.axes = x.axes;  // the loop's axis is its own now
  const Term best{b.Arg(Op::kArgMin, values.value), x.axes, false, -1, 0};
  return Sub(x, Mul(share(best), d));
}

}  // namespace amo::compiler
