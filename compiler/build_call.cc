// SPDX-License-Identifier: Apache-2.0
// Calls: binders, the file's functions and networks, replacements NAME(k = E), and the library's functions.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "compiler/scope.h"

namespace amo::compiler {
namespace {

using Axes = std::vector<std::int64_t>;

struct Mapped {
  const char* name;
  Op op;
};
constexpr Mapped kMapped[] = {
    {"exp", Op::kExp}, {"log", Op::kLog}, {"expm1", Op::kExpm1}, {"log1p", Op::kLog1p}, {"sqrt", Op::kSqrt},
    {"sin", Op::kSin}, {"cos", Op::kCos}, {"tan", Op::kTan}, {"arcsin", Op::kAsin}, {"arccos", Op::kAcos},
    {"arctan", Op::kAtan}, {"sinh", Op::kSinh}, {"cosh", Op::kCosh}, {"tanh", Op::kTanh}, {"sigmoid", Op::kSigmoid},
    {"softplus", Op::kSoftplus}, {"erf", Op::kErf},
};

struct Reduces {
  const char* name;
  Op op;
  double identity;
};
const Reduces kReduces[] = {
    {"sum", Op::kReduceSum, 0},        {"prod", Op::kReduceProd, 1}, {"max", Op::kReduceMax, -INFINITY},
    {"min", Op::kReduceMin, INFINITY}, {"all", Op::kReduceMin, 1},   {"any", Op::kReduceMax, 0},
    {"mean", Op::kReduceSum, 0},
};

Axes AllOwn(const Shape& own) {
  Axes a(own.size());
  std::iota(a.begin(), a.end(), 0);
  return a;
}

}  // namespace

const lang::Expr* Inside(const lang::Expr& e, const char* name) {
  if (const auto* p = std::get_if<lang::Paren>(&e.node)) return Inside(*p->inner, name);
  const auto* c = std::get_if<lang::Call>(&e.node);
  const auto* callee = c ? std::get_if<lang::Name>(&c->callee->node) : nullptr;
  return callee && callee->name.text == name && c->args.size() == 1 ? c->args[0].value.get() : nullptr;
}

Term Scope::Reduction(const lang::BinderCall& call, const lang::Expr& e) {
  const std::string& name = call.callee.text;
  if (name == "scan") return Scan(call, e);
  frames.push_back({});
  std::vector<int> ids;
  OpenLoops(call.binders, ids);
  Term body = Eval(*call.body);
  Term condition;
  if (call.condition) condition = Eval(*call.condition);
  frames.pop_back();
  CloseLoops(ids.size());
  b.At(e.span);
  const auto with_loops = [&](const Term& t, const Shape& own) {
    std::vector<int> axes = t.axes;
    for (int id : ids) if (!std::count(axes.begin(), axes.end(), id)) axes.push_back(id);
    std::sort(axes.begin(), axes.end());
    return Widen(t, axes, own);
  };
  // The loops' axes become the first own axes, and are reduced over.
  const auto closed = [&](Term t) {
    t.axes.resize(t.axes.size() - ids.size());
    return t;
  };
  Axes first(ids.size());
  std::iota(first.begin(), first.end(), 0);
  if (name == "logsumexp") {
    if (call.condition) body = Select(condition, Real(body), Number(-INFINITY), e.span);
    return LogSumExp(closed(with_loops(body, Own(body))), first);
  }
  const auto* row =
      std::find_if(std::begin(kReduces), std::end(kReduces), [&](const Reduces& r) { return name == r.name; });
  if (row == std::end(kReduces))
    Refuse(lang::Code::kUnknownName, call.callee.span, fmt::format("`{}` takes no binder", name),
           "sum prod min max mean any all logsumexp scan do");
  const bool logical = name == "all" || name == "any";
  if (!logical && Type(body) == Elem::kBool) body = Real(body);
  if (call.condition) {
    const Elem elem = Type(body);
    body = Select(condition, body, Number(row->identity, std::isinf(row->identity) ? Elem::kReal : elem), e.span);
  }
  const Term total = ReduceOwn(row->op, closed(with_loops(body, Own(body))), first);
  if (name != "mean") return total;
  if (call.condition) return Div(total, ReduceOwn(Op::kReduceSum, closed(with_loops(Real(condition), {})), first));
  double count = 1;
  for (int id : ids) count *= static_cast<double>(Extent(id));
  return Div(total, Number(count));
}

Term Scope::Call(const lang::Call& call, const lang::Expr& e) {
  const auto* callee = std::get_if<lang::Name>(&call.callee->node);
  if (!callee) {  // one of a family: NAME[i](…)
    const auto* member = std::get_if<lang::Index>(&call.callee->node);
    const auto* family = member ? std::get_if<lang::Name>(&member->base->node) : nullptr;
    const lang::NetworkDecl* network = family ? FindNetwork(family->name.text) : nullptr;
    if (!network) Unsupported(e.span, "a call of this");
    return CallNetwork(*network, call, member->items, e);
  }
  const std::string& name = callee->name.text;
  const auto it = problem.names.find(name);
  if (it != problem.names.end()) {
    const lang::Decl& d = *it->second;
    if (const auto* f = std::get_if<lang::FunctionDecl>(&d.node)) return Apply(*f, call, e);
    if (const auto* n = std::get_if<lang::NetworkDecl>(&d.node)) return CallNetwork(*n, call, {}, e);
  }
  if (name == "expect" && in_report && call.args.size() == 1) return Expect(*call.args[0].value);
  const auto* only =
      call.args.size() == 1 && !call.args[0].keyword ? std::get_if<lang::Name>(&call.args[0].value->node) : nullptr;
  if (name == "weights" && only) {
    const lang::NetworkDecl* network = FindNetwork(only->name.text);
    if (!network)
      Refuse(lang::Code::kTypeMismatch, only->name.span, fmt::format("`{}` is no network", only->name.text));
    return Number(static_cast<double>(WeightCount(*network)), Elem::kInt);
  }
  if (name == "solved" && only) {
    if (!results) Refuse(lang::Code::kBindingTime, e.span, "`solved` is known to losses and reports only");
    return Solved(only->name.text, e.span);
  }
  if (name == "violation" && only) return Violation(only->name.text, e.span);
  // NAME(k = E): the name with those names replaced.
  const bool keywords =
      !call.args.empty() &&
      std::all_of(call.args.begin(), call.args.end(), [](const lang::Argument& a) { return a.keyword.has_value(); });
  if (keywords && (it != problem.names.end() || name == "objective" || name == "violation")) {
    if (call.args.size() == 1 && call.args[0].keyword->text == "step") return Traced(name, *call.args[0].value);
    World world{worlds.back().replaced, {}, worlds.back().networks};
    std::optional<Term> step;
    for (const lang::Argument& a : call.args) {
      if (a.keyword->text == "step") {
        if (!results) Refuse(lang::Code::kBindingTime, e.span, "`step =` is known to losses and reports only");
        const auto known = TryConstant(*a.value);
        step = known ? Number(*known, Elem::kInt) : Eval(*a.value);
        continue;
      }
      const auto target = problem.names.find(a.keyword->text);
      if (target == problem.names.end())
        Refuse(lang::Code::kUnknownName, a.keyword->span, fmt::format("`{}` is not declared", a.keyword->text));
      if (std::holds_alternative<lang::NetworkDecl>(target->second->node)) {
        const auto* other = std::get_if<lang::Name>(&a.value->node);
        const lang::NetworkDecl* network = other ? FindNetwork(other->name.text) : nullptr;
        if (!network) Refuse(lang::Code::kTypeMismatch, a.value->span, "only another network replaces a network");
        const auto given = world.networks.find(network->name.text);  // under the replacements around
        world.networks[a.keyword->text] = given == world.networks.end() ? network : given->second;
        continue;
      }
      Term t = Eval(*a.value);
      const auto* v = std::get_if<lang::ValueDecl>(&target->second->node);
      if (!v) Unsupported(a.keyword->span, "a replaced name that is no value");
      if (v->type) t = Declared(t, *v, a.value->span);
      world.replaced[a.keyword->text] = t;
    }
    worlds.push_back(std::move(world));
    if (step) RunElsewhere(e.span, &*step);
    const Term t = EvalNamed(name, e.span);
    worlds.pop_back();
    return t;
  }
  if (const auto t = Builtin(name, call, e)) return *t;
  if (it != problem.names.end()) Refuse(lang::Code::kCallOfValue, e.span, fmt::format("`{}` is not a function", name));
  Unsupported(callee->name.span, fmt::format("`{}`", name));
}

Term Scope::Apply(const lang::FunctionDecl& f, const lang::Call& call, const lang::Expr& e) {
  if (call.args.size() != f.params.size()) {
    Refuse(lang::Code::kArgumentCount, e.span,
           fmt::format("`{}` takes {} arguments, {} are given", f.name.text, f.params.size(), call.args.size()));
  }
  Frame frame;
  frame.opaque = true;
  for (std::size_t k = 0; k < f.params.size(); ++k) {
    const lang::Param& p = f.params[k];
    Term t = Eval(*call.args[k].value);
    // A dim that nothing declares is generic: the argument's extent gives it.
    if (p.type.dims.size() == Own(t).size()) {
      for (std::size_t d = 0; d < p.type.dims.size(); ++d) {
        const auto* n = std::get_if<lang::Name>(&p.type.dims[d]->node);
        if (n && !problem.numbers.count(n->name.text))
          frame.numbers.emplace(n->name.text, static_cast<double>(Own(t)[d]));
      }
    }
    frames.push_back({{}, frame.numbers, false});
    t = Declared(t, p.type, call.args[k].value->span);
    frames.pop_back();
    frame.locals[p.name.text] = t;
  }
  frames.push_back(std::move(frame));
  Term t = Eval(*f.body);
  if (f.result) t = Declared(t, *f.result, f.body->span);
  frames.pop_back();
  return t;
}

// The Euclidean norm of all entries; its slope at 0 is 0.
Term Scope::Norm(const Term& x, lang::Span at) {
  const Term s = Contract(x, x, AllOwn(Own(x)), AllOwn(Own(x)), {});
  const Term positive = Binary(Op::kLt, Number(0), s, at, "<");
  return Select(positive, Unary(Op::kSqrt, Select(positive, s, Number(1), at)), Number(0), at);
}

std::optional<Term> Scope::Builtin(const std::string& name, const lang::Call& call, const lang::Expr& e) {
  std::vector<Term> a;
  const std::size_t n = call.args.size();
  const auto is = [&](const char* text, std::size_t count) {
    if (name != text) return false;
    if (n != count)
      Refuse(lang::Code::kArgumentCount, e.span,
             fmt::format("`{}` takes {} argument{}, {} given", name, count, count == 1 ? "" : "s", n));
    if (a.empty()) for (const lang::Argument& arg : call.args) a.push_back(Eval(*arg.value));
    b.At(e.span);
    return true;
  };
  const auto real = [&](std::size_t k) { return Real(a[k]); };
  if (name == "grad" && n == 2) return Grad(call, e);
  if (name == "project" && n == 2) return Project(*call.args[1].value, Real(Eval(*call.args[0].value)));
  for (const Mapped& m : kMapped) if (is(m.name, 1)) return Unary(m.op, real(0));
  if (is("abs", 1)) return Unary(Op::kAbs, Type(a[0]) == Elem::kBool ? real(0) : a[0]);
  if (is("sign", 1)) return Unary(Op::kSign, Type(a[0]) == Elem::kBool ? real(0) : a[0]);
  if (is("floor", 1)) return Unary(Op::kToInt, Unary(Op::kFloor, real(0)));
  if (is("log10", 1)) return Div(Unary(Op::kLog, real(0)), Number(std::log(10.0)));
  if (is("stop", 1)) return Unary(Op::kStop, a[0]);
  if (is("relu", 1)) return Binary(Op::kMax, real(0), Number(0), e.span, "relu");
  if (is("arctan2", 2)) return Binary(Op::kAtan2, a[0], a[1], e.span, "arctan2");
  if (is("lgamma", 1)) return LogGamma(real(0), e.span);
  if (is("xlogx", 1)) return XLogX(real(0), e.span);
  if (is("clamp", 3)) return Binary(Op::kMin, Binary(Op::kMax, a[0], a[1], e.span, "clamp"), a[2], e.span, "clamp");
  if ((name == "max" || name == "min") && n >= 2) {
    for (const lang::Argument& arg : call.args) a.push_back(Eval(*arg.value));
    Term t = a[0];
    for (std::size_t k = 1; k < n; ++k) t = Binary(name == "max" ? Op::kMax : Op::kMin, t, a[k], e.span, name);
    return t;
  }
  for (const Reduces& r : kReduces) {
    if (!is(r.name, 1)) continue;
    Term x = a[0];
    if (name != "all" && name != "any" && Type(x) == Elem::kBool) x = real(0);
    const Term t = ReduceAll(r.op, x);
    return name == "mean" ? Div(t, Number(static_cast<double>(Count(Own(x))))) : t;
  }
  if (is("argmax", 1) || is("argmin", 1)) {
    const Term x = Flat(a[0]);
    return Term{b.Arg(name == "argmax" ? Op::kArgMax : Op::kArgMin, x.value), x.axes, false, -1, 0};
  }
  if (is("last", 1)) {
    Shape own = Own(a[0]);
    if (own.empty() || own[0] == 0) Refuse(lang::Code::kShapeMismatch, e.span, "`last` takes an array with entries");
    std::vector<std::int64_t> starts(b.shape(a[0].value).size());
    Shape shape = b.shape(a[0].value);
    starts[a[0].axes.size()] = own[0] - 1;
    shape[a[0].axes.size()] = 1;
    own.erase(own.begin());
    return Reshaped({b.Slice(a[0].value, starts, shape), a[0].axes, false, -1, 0}, own);
  }
  if (is("size", 1)) return Number(static_cast<double>(Own(a[0]).empty() ? 1 : Own(a[0])[0]), Elem::kInt);
  if (is("dot", 2)) {
    if (Own(a[0]) != Own(a[1]))
      Refuse(lang::Code::kShapeMismatch, e.span,
             fmt::format("`dot` of shapes `[{}]` and `[{}]`", fmt::join(Own(a[0]), ", "), fmt::join(Own(a[1]), ", ")));
    return Contract(a[0], a[1], AllOwn(Own(a[0])), AllOwn(Own(a[0])), {});
  }
  if (is("sumsq", 1)) return Contract(a[0], a[0], AllOwn(Own(a[0])), AllOwn(Own(a[0])), {});
  if (is("norm1", 1)) return ReduceAll(Op::kReduceSum, Unary(Op::kAbs, real(0)));
  if (is("norminf", 1)) return ReduceAll(Op::kReduceMax, Unary(Op::kAbs, real(0)));
  if (is("norm2", 1)) return Norm(a[0], e.span);
  if (is("quad", 2)) return Multiply(Transposed(a[1], e.span), Multiply(a[0], a[1], e.span), e.span);
  if (is("outer_product", 2)) return Contract(a[0], a[1], {0}, {1}, {0, 1});
  if (is("softmax", 1) || is("log_softmax", 1)) {
    const Term log = LogSoftmax(real(0));
    return name == "softmax" ? Unary(Op::kExp, log) : log;
  }
  if (is("logsumexp", 1)) return LogSumExp(real(0), AllOwn(Own(a[0])));
  if (is("sort", 1)) return Term{b.Along(Op::kSort, a[0].value), a[0].axes, false, -1, 0};
  if (is("cumsum", 1)) return Term{b.Along(Op::kCumSum, a[0].value), a[0].axes, false, -1, 0};
  if (is("sphere_distance", 2)) {
    // Kahan's form: exact to the last digits near 0 and near pi, in either precision, and its slopes stay finite.
    return Mul(Number(2), Binary(Op::kAtan2, Norm(Sub(real(0), real(1)), e.span), Norm(Add(real(0), real(1)), e.span),
                                 e.span, "arctan2"));
  }
  if (name == "eye" || name == "zeros") {
    Shape own;
    for (const lang::Argument& arg : call.args)
      own.push_back(static_cast<std::int64_t>(Constant(*arg.value, "a size")));
    if (name == "zeros") return Of(b.Filled(0, own));
    if (n != 1) Refuse(lang::Code::kArgumentCount, e.span, "`eye` takes 1 argument");
    return Identity(own[0]);
  }
  if (name == "reshape" && n == 2) {
    const auto* dims = std::get_if<lang::Array>(&call.args[1].value->node);
    if (!dims)
      Refuse(lang::Code::kTypeMismatch, e.span, "`reshape` takes its shape as a list, as in `reshape(x, [n, 2])`");
    const Term x = Eval(*call.args[0].value);
    Shape own;
    for (const lang::ExprPtr& d : dims->items) own.push_back(static_cast<std::int64_t>(Constant(*d, "a dim")));
    if (Count(own) != Count(Own(x)))
      Refuse(lang::Code::kShapeMismatch, e.span,
             fmt::format("`reshape` of {} entries to shape `[{}]`", Count(Own(x)), fmt::join(own, ", ")));
    return Reshaped(x, own);
  }
  if (name == "concat" && n >= 1) {
    for (const lang::Argument& arg : call.args) a.push_back(Eval(*arg.value));
    return Concat(a, 0, e.span);
  }
  if (is("normal_logpdf", 3)) {
    const Term z = Div(Sub(a[0], a[1]), a[2]);
    const Term each =
        Sub(Sub(Mul(Number(-0.5), Mul(z, z)), Unary(Op::kLog, real(2))), Number(0.5 * std::log(2 * M_PI)));
    return ReduceAll(Op::kReduceSum, each);
  }
  if (name == "bernoulli_logpdf" && n == 2) {
    const Term x = Real(Eval(*call.args[0].value));
    if (const lang::Expr* logit = Inside(*call.args[1].value, "sigmoid")) {
      const Term t = Real(Eval(*logit));
      return ReduceAll(Op::kReduceSum, Sub(Mul(x, t), Unary(Op::kSoftplus, t)));
    }
    const Term p = Real(Eval(*call.args[1].value));
    const Term no = Mul(Sub(Number(1), x), Unary(Op::kLog1p, Unary(Op::kNeg, p)));
    return ReduceAll(Op::kReduceSum, Add(Mul(x, Unary(Op::kLog, p)), no));
  }
  if (is("kl_normal", 2)) {  // of normal(mean, deviation) from the standard normal
    const Term each =
        Sub(Sub(Mul(Number(0.5), Add(Mul(a[0], a[0]), Mul(a[1], a[1]))), Number(0.5)), Unary(Op::kLog, real(1)));
    return ReduceAll(Op::kReduceSum, each);
  }
  if (const auto t = MatrixBuiltin(name, call, e)) return t;
  return ConvolutionBuiltin(name, call, e);
}

}  // namespace amo::compiler
