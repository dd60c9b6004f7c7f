// SPDX-License-Identifier: Apache-2.0
// Expressions to terms: names, operators, conditions, comprehensions.
#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "compiler/build_parts.h"
#include "compiler/scope.h"
#include "lang/evaluate.h"

namespace amo::compiler {

Scope::Scope(Builder& builder, const lang::Problem& problem, const Tables& tables, Program& program, Kinds inputs,
             lang::Diagnostics& diagnostics)
    : b(builder), problem(problem), tables(tables), program(program), diagnostics(diagnostics), frames(1), worlds(1),
      inputs_(std::move(inputs)) {}

void Scope::Refuse(lang::Code code, lang::Span at, std::string message, std::string help) {
  diagnostics.Error(code, at, std::move(message)).Help(std::move(help));
  throw Refused{};
}

void Scope::Unsupported(lang::Span at, std::string what) {
  Refuse(lang::Code::kUnsupported, at, fmt::format("{} cannot be compiled yet", what));
}

std::optional<double> Scope::TryConstant(const lang::Expr& e) {
  return lang::Evaluate(e, [&](const std::string& name) -> std::optional<double> {
    if (name.starts_with("weights(")) {
      const lang::NetworkDecl* network = FindNetwork(name.substr(8, name.size() - 9));
      return network ? std::optional(static_cast<double>(WeightCount(*network))) : std::nullopt;
    }
    for (std::size_t i = frames.size(); i-- > 0;) {
      if (frames[i].locals.count(name)) return std::nullopt;
      const auto n = frames[i].numbers.find(name);
      if (n != frames[i].numbers.end()) return n->second;
    }
    const auto n = problem.numbers.find(name);
    return n == problem.numbers.end() ? std::nullopt : std::optional(n->second);
  });
}

namespace {

// A number that is made of numbers alone: `2 * size(v)` and the like.
std::optional<double> NumberOf(const Builder& b, Value v) {
  const Node& node = b.node(v);
  if (node.op == Op::kNumber) return node.number;
  if (node.op != Op::kAdd && node.op != Op::kSub && node.op != Op::kMul) return std::nullopt;
  const auto x = NumberOf(b, node.args[0]), y = NumberOf(b, node.args[1]);
  if (!x || !y) return std::nullopt;
  return node.op == Op::kAdd ? *x + *y : node.op == Op::kSub ? *x - *y : *x * *y;
}

}  // namespace

double Scope::Constant(const lang::Expr& e, const std::string& what) {
  if (const auto n = TryConstant(e)) return *n;
  if (const auto n = NumberOf(b, Eval(e).value)) return *n;
  Unsupported(e.span, what + " that is not known when the file is compiled");
}

Elem Scope::ElemOf(const lang::TypeExpr& type) {
  return type.name.text == "int" ? Elem::kInt : type.name.text == "bool" ? Elem::kBool : Elem::kReal;
}

Shape Scope::Dims(const lang::TypeExpr& type) {
  Shape s;
  for (const lang::ExprPtr& d : type.dims) {
    const double n = Constant(*d, "a dim");
    if (n < 0 || n != std::floor(n))
      Refuse(lang::Code::kDomain, d->span, fmt::format("a dim is {}, not a whole number", n));
    s.push_back(static_cast<std::int64_t>(n));
  }
  return s;
}

Shape Scope::Dims(const lang::ValueDecl& v) {
  Shape shape;
  for (const lang::Binder& binder : v.index) {
    const double lo = binder.lo ? Constant(*binder.lo, "the start of a range") : 0;
    shape.push_back(static_cast<std::int64_t>(std::max(0.0, Constant(*binder.hi, "the end of a range") - lo)));
  }
  const Shape each = Dims(*v.type);
  shape.insert(shape.end(), each.begin(), each.end());
  return shape;
}

Term Scope::Declared(Term t, const lang::TypeExpr& type, lang::Span at) {
  return Shaped(ElemOf(type) == Elem::kReal ? Real(t) : t, Dims(type), at);
}

Term Scope::Declared(Term t, const lang::ValueDecl& v, lang::Span at) {
  return Shaped(ElemOf(*v.type) == Elem::kReal ? Real(t) : t, Dims(v), at);
}

Term Scope::Shaped(const Term& t, const Shape& own, lang::Span at) {
  if (Own(t) == own) return t;
  if (Own(t).empty()) return Widen(t, t.axes, own);
  Refuse(lang::Code::kShapeMismatch, at,
         fmt::format("declared with shape `[{}]`, given shape `[{}]`", fmt::join(own, ", "), fmt::join(Own(t), ", ")));
}

std::optional<int> Scope::OpenLoop(const lang::Binder& binder) {
  if (binder.kind == lang::Binder::Kind::kInit) Unsupported(binder.name.span, "`scan`");
  if (binder.kind == lang::Binder::Kind::kDraw) {
    const bool once = !std::count(inputs_.begin(), inputs_.end(), lang::ValueKind::kData);  // per file
    const bool sampled = !std::count(inputs_.begin(), inputs_.end(), lang::ValueKind::kContext);
    const std::string name = fmt::format("{}@{}", binder.name.text, binder.name.span.begin);
    const Shape own = binder.type ? Dims(*binder.type) : Shape{};
    Term t = Draw(*binder.value, own, name, once ? Role::kShared : Role::kInstance, open_, !once && !sampled);
    frames.back().locals[binder.name.text] = binder.type ? Declared(t, *binder.type, binder.value->span) : t;
    return std::nullopt;
  }
  const double lo = binder.lo ? Constant(*binder.lo, "the start of a range") : 0;
  const double hi = Constant(*binder.hi, "the end of a range");
  const auto extent = static_cast<std::int64_t>(std::max(0.0, hi - lo));
  const int id = OpenRange(extent);
  Term i = {b.Iota(extent, static_cast<std::int64_t>(lo)), {id}, false, id, static_cast<std::int64_t>(lo)};
  frames.back().locals[binder.name.text] = i;
  return id;
}

int Scope::OpenRange(std::int64_t extent) {
  const int id = next_loop_++;
  loops_[id] = extent;
  open_.push_back(id);
  return id;
}

void Scope::OpenLoops(const std::vector<lang::Binder>& binders, std::vector<int>& ids) {
  for (const lang::Binder& binder : binders) {
    if (const auto id = OpenLoop(binder)) ids.push_back(*id);
  }
}

Term Scope::Family(const std::vector<lang::Binder>& index, const lang::Expr& body) {
  if (index.empty()) return Eval(body);
  frames.push_back({});
  std::vector<int> ids;
  OpenLoops(index, ids);
  const Term t = Eval(body);
  frames.pop_back();
  CloseLoops(ids.size());
  return ClosedFamily(t, ids);
}

// The loops' axes become the first own axes of the value.
Term Scope::ClosedFamily(Term t, const std::vector<int>& ids) {
  std::vector<int> axes = t.axes;
  for (int id : ids) if (!std::count(axes.begin(), axes.end(), id)) axes.push_back(id);
  std::sort(axes.begin(), axes.end());
  t = Widen(t, axes, Own(t));
  t.axes.resize(axes.size() - ids.size());  // the loops' ids are the highest: their axes become the first own ones
  t.row = false;
  return t;
}

Term Scope::Eval(const lang::Expr& e) {
  b.At(e.span);
  return std::visit(
      lang::Overload{
          [&](const lang::Number& n) { return Number(n.value, n.is_int ? Elem::kInt : Elem::kReal); },
          [&](const lang::String&) -> Term { Refuse(lang::Code::kTypeMismatch, e.span, "a text is no value"); },
          [&](const lang::Boolean& v) { return Number(v.value ? 1 : 0, Elem::kBool); },
          [&](const lang::Name& n) { return EvalNamed(n.name.text, n.name.span); },
          [&](const lang::Member& m) { return Field(m, e); },
          [&](const lang::Index& x) { return Index(Eval(*x.base), x.items, e.span); },
          [&](const lang::Transpose& t) { return Transposed(Eval(*t.base), e.span); },
          [&](const lang::Call& c) { return Call(c, e); },
          [&](const lang::BinderCall& c) { return Reduction(c, e); },
          [&](const lang::Array& a) {
            std::vector<Term> parts;
            for (const lang::ExprPtr& item : a.items) {
              Term t = Eval(*item);
              Shape own = Own(t);
              own.insert(own.begin(), 1);
              parts.push_back(Reshaped(t, own));
            }
            if (parts.empty())
              Refuse(lang::Code::kTypeMismatch, e.span, "an array literal without entries has no type");
            return Concat(std::move(parts), 0, e.span);
          },
          [&](const lang::Comprehension& c) {
            if (c.condition)
              Refuse(lang::Code::kTypeMismatch, c.condition->span, "a comprehension that gives an array takes no `if`");
            return Family(c.binders, *c.body);
          },
          [&](const lang::Unary& u) {
            Term x = Eval(*u.operand);
            if (u.op == lang::UnaryOp::kNot) return Unary(Op::kNot, x);
            const Node& n = b.node(x.value);
            if (n.op == Op::kNumber) return Number(-n.number, n.type.elem);
            if (Type(x) == Elem::kBool) x = Real(x);
            return Unary(Op::kNeg, x);
          },
          [&](const lang::Binary& x) -> Term {
            const Term l = Eval(*x.left), r = Eval(*x.right);
            b.At(e.span);
            switch (x.op) {
              case lang::BinaryOp::kAdd:
                return Binary(Op::kAdd, l, r, x.op_span, "+");
              case lang::BinaryOp::kSub:
                return Binary(Op::kSub, l, r, x.op_span, "-");
              case lang::BinaryOp::kMul:
                return Multiply(l, r, x.op_span);
              case lang::BinaryOp::kDiv:
              case lang::BinaryOp::kElementDiv:
                return Binary(Op::kDiv, l, r, x.op_span, "/");
              case lang::BinaryOp::kMod:
                return Binary(Op::kMod, l, r, x.op_span, "%");
              case lang::BinaryOp::kElementMul:
                return Binary(Op::kMul, l, r, x.op_span, ".*");
              case lang::BinaryOp::kPow:
              case lang::BinaryOp::kElementPow: {
                const Node exponent = b.node(r.value);
                if (exponent.op == Op::kNumber && exponent.number == 2) return Binary(Op::kMul, l, l, x.op_span, "^");
                return Binary(Op::kPow, l, r, x.op_span, "^");
              }
              case lang::BinaryOp::kAnd:
                return Binary(Op::kAnd, l, r, x.op_span, "and");
              case lang::BinaryOp::kOr:
                return Binary(Op::kOr, l, r, x.op_span, "or");
            }
            return l;
          },
          [&](const lang::Compare& c) {
            Term left = Eval(*c.first), all;
            for (const auto& [op, right_expr] : c.rest) {
              const Term right = Eval(*right_expr);
              const bool flip = op == lang::CompareOp::kGt || op == lang::CompareOp::kGe;
              const Op code = op == lang::CompareOp::kEq   ? Op::kEq
                              : op == lang::CompareOp::kNe ? Op::kNe
                              : op == lang::CompareOp::kLt || op == lang::CompareOp::kGt ? Op::kLt
                                                                                         : Op::kLe;
              const Term one = Binary(code, flip ? right : left, flip ? left : right, e.span, "comparison");
              all = all.value.index < 0 ? one : Binary(Op::kAnd, all, one, e.span, "and");
              left = right;
            }
            return all;
          },
          [&](const lang::If& i) {
            if (const auto known = TryConstant(*i.condition)) return Eval(*known != 0 ? *i.then : *i.otherwise);
            const Term c = Eval(*i.condition);
            const Term yes = Eval(*i.then), no = Eval(*i.otherwise);
            b.At(e.span);
            return Select(c, yes, no, e.span);
          },
          [&](const lang::Where& w) {
            frames.push_back({});
            for (const lang::Definition& d : w.definitions) {
              const Term t = Family(d.index, *d.value);
              frames.back().locals[d.name.text] = t;
            }
            const Term t = Eval(*w.body);
            frames.pop_back();
            return t;
          },
          [&](const lang::Paren& p) { return Eval(*p.inner); },
      },
      e.node);
}

Term Scope::EvalNamed(const std::string& name, lang::Span at) {
  for (std::size_t i = frames.size(); i-- > 0;) {
    const auto it = frames[i].locals.find(name);
    if (it != frames[i].locals.end()) return it->second;
    const auto n = frames[i].numbers.find(name);
    if (n != frames[i].numbers.end()) return Number(n->second, Elem::kInt);
    if (frames[i].opaque) break;
  }
  World& world = worlds.back();
  if (const auto it = world.replaced.find(name); it != world.replaced.end()) return it->second;
  if (const auto it = world.memo.find(name); it != world.memo.end()) return it->second;
  if (const auto it = problem.numbers.find(name); it != problem.numbers.end()) {
    const auto* v = std::get_if<lang::ValueDecl>(&problem.names.at(name)->node);
    const bool logical = v && v->value && std::holds_alternative<lang::Boolean>(v->value->node);
    const bool whole = it->second == std::floor(it->second) && std::fabs(it->second) < 1e15;
    return Number(it->second, logical ? Elem::kBool : whole ? Elem::kInt : Elem::kReal);
  }
  if (name == "pi" && !problem.names.count(name)) return Number(std::numbers::pi);
  if (name == "objective") return Objective(at);
  if (name == "trained") return InputOnce("trained", Role::kShared, {});
  if (name == "regression" && results) return Regression(at);
  if (name == "violation") return Violation("", at);
  if (name == "step" && in_step && !problem.names.count(name))
    return InputOnce("step", Role::kShared, {Elem::kInt, {}});
  if (name == "residual" && !problem.names.count(name)) return Residual(at);
  if (name == "step" && !problem.names.count(name)) Unsupported(at, "`step` here");
  if (in_report) {
    for (const Function& f : program.reports) {
      if (f.name == "report/" + name) return InputOnce(f.name, Role::kShared, f.type(f.outputs[0].value));
    }
  }
  const auto it = problem.names.find(name);
  if (it == problem.names.end()) {
    std::vector<std::string> known;
    for (const auto& [n, d] : problem.names) known.push_back(n);
    const std::string near = lang::Nearest(name, known);
    Refuse(lang::Code::kUnknownName, at, fmt::format("`{}` is not declared", name),
           near.empty() ? "" : fmt::format("did you mean `{}`?", near));
  }
  // A global sees no binder of the place that uses it.
  Frame closed;
  closed.opaque = true;
  frames.push_back(std::move(closed));
  std::vector<int> around;
  around.swap(open_);
  const Term t = Global(name, *it->second, at);
  around.swap(open_);
  frames.pop_back();
  worlds.back().memo[name] = t;
  return t;
}

Term Scope::Global(const std::string& name, const lang::Decl& decl, lang::Span at) {
  if (const auto* let = std::get_if<lang::LetDecl>(&decl.node)) {
    Term t = Family(let->index, *let->value);
    if (!let->type || !let->index.empty()) return t;
    return Declared(t, *let->type, let->value->span);
  }
  if (const auto* v = std::get_if<lang::ValueDecl>(&decl.node)) return ValueOf(name, *v, at);
  if (const auto* u = std::get_if<lang::UpdateDecl>(&decl.node); u && u->type) {
    if (IsElsewhere(at)) {
      RunElsewhere(at, nullptr);
      if (const auto it = worlds.back().memo.find(name); it != worlds.back().memo.end()) return it->second;
    }
    return Of(b.Input(name, Role::kInstance, {ElemOf(*u->type), Dims(*u->type)}));
  }
  if (std::holds_alternative<lang::DimDecl>(decl.node))
    Refuse(lang::Code::kBindingTime, at, fmt::format("the dim `{}` is not known when the file is compiled", name),
           "a const that is drawn or read is no number for dims: write the number, and `--set` to change it");
  Refuse(lang::Code::kTypeMismatch, at, fmt::format("`{}` is no value", name));
}

Term Scope::ValueOf(const std::string& name, const lang::ValueDecl& v, lang::Span at) {
  if (caller_) {
    const auto theirs = caller_->problem.names.find(name);
    const auto ours = problem.names.find(name);
    if (theirs != caller_->problem.names.end() && theirs->second == ours->second) return caller_->FromOutside(name, at);
  }
  const lang::ValueKind kind = KindOf(v);
  const bool shared = kind == lang::ValueKind::kData || kind == lang::ValueKind::kParameter;
  const Role role = shared ? Role::kShared : Role::kInstance;
  if (std::count(inputs_.begin(), inputs_.end(), kind)) {
    // ŷ at another context is another run of the model; the input here would be ŷ at this one.
    if (v.kind == lang::ValueKind::kVariable && IsElsewhere(at)) {
      RunElsewhere(at, nullptr);
      return worlds.back().memo.at(name);
    }
    if (!v.type && v.origin != lang::ValueDecl::Origin::kDrawn)
      Refuse(lang::Code::kTypeMismatch, at, fmt::format("`{}` is a table: name a field, as in `{}.image`", name, name));
    return Of(b.Input(name, role, v.type ? compiler::Type{ElemOf(*v.type), Dims(v)} : compiler::Type{}));
  }
  switch (v.origin) {
    case lang::ValueDecl::Origin::kNone: break;
    case lang::ValueDecl::Origin::kComputed: {
      const Term t = Family(v.index, *v.value);
      return v.type ? Declared(t, v, v.value->span) : t;
    }
    case lang::ValueDecl::Origin::kDrawn: {
      const Shape own = v.type ? Dims(*v.type) : Shape{};
      frames.push_back({});
      std::vector<int> ids;  // each member of a family is drawn on its own, with its own parameters
      OpenLoops(v.index, ids);
      const Term t = Draw(*v.value, own, name, role, ids, v.kind == lang::ValueKind::kRandom);
      frames.pop_back();
      CloseLoops(ids.size());
      const Term all = ids.empty() ? t : ClosedFamily(t, ids);
      return v.type ? Declared(all, v, v.value->span) : all;
    }
    case lang::ValueDecl::Origin::kRead: {
      if (!v.type)
        Refuse(lang::Code::kTypeMismatch, at,
               fmt::format("`{}` is a table: name a field, as in `{}.image`", name, name));
      std::string source, field = name;
      const lang::Expr* from = v.value.get();
      if (const auto* m = std::get_if<lang::Member>(&from->node)) field = m->field.text, from = m->base.get();
      if (const auto* s = std::get_if<lang::String>(&from->node)) source = s->value;
      if (const auto* n = std::get_if<lang::Name>(&from->node)) {
        source = n->name.text;
        const auto table = problem.names.find(source);  // a table declared in the file
        if (table != problem.names.end()) {
          const auto* t = std::get_if<lang::ValueDecl>(&table->second->node);
          const auto* text = t && t->value ? std::get_if<lang::String>(&t->value->node) : nullptr;
          if (text) source = text->value;
        }
      }
      if (source.empty()) Unsupported(v.value->span, "this source");
      const compiler::Type type{ElemOf(*v.type), Dims(v)};
      if (shared) return Of(b.Input(fmt::format("table/{}/{}", source, field), Role::kShared, type));
      // Several names of one `from` are fields of one row.
      const std::string& draw = v.names[0].text;
      const std::string input = fmt::format("row/{}/{}", draw, field);
      const bool known =
          std::any_of(program.rows.begin(), program.rows.end(), [&](const Row& r) { return r.input == input; });
      if (!known) program.rows.push_back({draw, source, field, input});
      return Of(b.Input(input, Role::kInstance, type));
    }
  }
  Refuse(lang::Code::kMissingPart, at, fmt::format("`{}` has no value here", name));
}

// r.image: a field of the row that `hidden r from mnist` took. Fields of data tables are read whole.
Term Scope::Field(const lang::Member& m, const lang::Expr& e) {
  if (const auto* call = std::get_if<lang::Call>(&m.base->node)) return Called(m, *call, e);
  const auto* base = std::get_if<lang::Name>(&m.base->node);
  if (!base) Unsupported(e.span, "a field of this expression");
  const std::string name = base->name.text;
  const auto it = problem.names.find(name);
  const auto* v = it == problem.names.end() ? nullptr : std::get_if<lang::ValueDecl>(&it->second->node);
  if (!v) Refuse(lang::Code::kUnknownName, base->name.span, fmt::format("`{}` is no table", name));
  std::string source;
  if (v->value) {
    if (const auto* s = std::get_if<lang::String>(&v->value->node)) source = s->value;
    if (const auto* n = std::get_if<lang::Name>(&v->value->node)) {
      source = n->name.text;
      const auto table = problem.names.find(source);
      const auto* t = table == problem.names.end() ? nullptr : std::get_if<lang::ValueDecl>(&table->second->node);
      const auto* text = t && t->value ? std::get_if<lang::String>(&t->value->node) : nullptr;
      if (text) source = text->value;
    }
  }
  const auto table = tables.find(source);
  if (table == tables.end())
    Refuse(lang::Code::kFile, base->name.span, fmt::format("the table `{}` is not there", source));
  const auto field = table->second.find(m.field.text);
  if (field == table->second.end()) {
    std::vector<std::string> known;
    for (const auto& [f, type] : table->second) known.push_back(f);
    Refuse(lang::Code::kUnknownName, m.field.span,
           fmt::format("the table `{}` has no field `{}`", source, m.field.text),
           fmt::format("it has {}", fmt::join(known, ", ")));
  }
  const bool shared = v->kind == lang::ValueKind::kData;
  const std::string input = fmt::format("{}/{}/{}", shared ? "table" : "row", shared ? source : name, m.field.text);
  if (shared) Unsupported(e.span, "a field of a whole table without a declared type");
  const bool known =
      std::any_of(program.rows.begin(), program.rows.end(), [&](const Row& r) { return r.input == input; });
  if (!known) program.rows.push_back({name, source, m.field.text, input});
  const int k = b.function().FindInput(input);
  return Of(k >= 0 ? b.function().inputs[static_cast<std::size_t>(k)].value
                   : b.Input(input, Role::kInstance, field->second));
}

Term Scope::Objective(lang::Span at) {
  if (problem.objectives.empty()) Refuse(lang::Code::kMissingPart, at, "the problem has no objective");
  const lang::ObjectiveDecl& o = *problem.objectives[0];
  Term t = Real(Eval(*o.value));
  if (!Own(t).empty())
    Refuse(lang::Code::kNotScalar, o.value->span,
           fmt::format("the objective has shape `[{}]`, not a single number", fmt::join(Own(t), ", ")),
           "sum it up, or take its mean");
  return o.maximize ? Unary(Op::kNeg, t) : t;
}

}  // namespace amo::compiler
