// SPDX-License-Identifier: Apache-2.0
// Function to loop program: nodes are read in place by recursion over index expressions, or stored by a step each;
// neighbouring elementwise steps over one shape become one step.
#include "compiler/lower.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "compiler/check.h"

namespace amo::compiler {
namespace {

using Index = std::vector<std::int32_t>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

// One step has at most so many stores: it bounds the depth of forwarded expressions.
constexpr std::size_t kMostStores = 256;

class Lowering {
 public:
  Lowering(const Function& f, LoopProgram& p)
      : f_(f), p_(p), varies_(VariesByInstance(f)), keep_(ChooseBuffers(f, varies_)), buffer_(f.nodes.size(), -1) {}

  void Run() {
    for (const Input& input : f_.inputs) {
      const bool varies = input.role == Role::kInstance;
      const int b = static_cast<int>(p_.buffers.size());
      p_.buffers.push_back({.place = Place::kInput,
                            .elem = input.type.elem,
                            .count = Count(input.type.shape),
                            .varies = varies,
                            .input = b,
                            .name = input.name});
      p_.inputs.push_back(b);
      buffer_[Z(input.value.index)] = b;
    }
    for (std::size_t i = 0; i < f_.nodes.size(); ++i) {
      if (keep_[i]) Keep(i);
    }
    for (const Output& o : f_.outputs) p_.outputs.push_back(buffer_[Z(o.value.index)]);
  }

 private:
  // The body of the scan that is node `node` of the function around it; `state` holds the scan's value.
  struct Around {
    Lowering& outer;
    const Node& node;
    int state;
    std::vector<Step>& steps;
    Place place;  // of everything that its steps write
  };

  Lowering(const Function& body, const Around& around, const std::vector<bool>& inputs)
      : f_(body),
        p_(around.outer.p_),
        varies_(VariesFrom(body, inputs)),
        keep_(ChooseBuffers(body, varies_)),
        buffer_(body.nodes.size(), -1),
        around_(&around),
        level_(around.outer.level_ + 1) {}

  std::vector<Step>& Steps(bool varies) { return around_ ? around_->steps : varies ? p_.instance : p_.shared; }

  // Where the steps of a node write.
  Place PlaceOf(bool varies) const { return around_ ? around_->place : varies ? Place::kInstance : Place::kShared; }

  int NewBuffer(std::size_t node, Elem elem, const char* suffix = "") {
    const bool varies = varies_[node];
    p_.buffers.push_back({.place = PlaceOf(varies),
                          .elem = elem,
                          .count = Count(f_.nodes[node].type.shape),
                          .varies = varies,
                          .name = "t" + std::to_string(node) + suffix});
    return static_cast<int>(p_.buffers.size()) - 1;
  }

  std::int32_t Linear(const Index& index, const Shape& shape) {
    std::int64_t stride = 1;
    std::int32_t sum = p_.Const(0, Elem::kInt);
    for (std::size_t d = shape.size(); d-- > 0;) {
      sum = p_.IndexAdd(p_.IndexMul(index[d], stride), sum);
      stride *= shape[d];
    }
    return sum;
  }

  Index Delinear(std::int32_t linear, const Shape& shape) {
    Index index(shape.size());
    std::int64_t stride = 1;
    for (std::size_t d = shape.size(); d-- > 0;) {
      const std::int32_t q = p_.IndexDiv(linear, stride);
      index[d] = d == 0 ? q : p_.IndexMod(q, shape[d]);
      if (shape[d] == 1) index[d] = p_.Const(0, Elem::kInt);
      stride *= shape[d];
    }
    return index;
  }

  Index Vars(const Shape& shape) {
    Index index;
    for (std::size_t d = 0; d < shape.size(); ++d) index.push_back(p_.Var(level_ + static_cast<int>(d) + 1, shape[d]));
    return index;
  }

  std::int32_t Read(Value v, const Index& index) {
    const auto i = Z(v.index);
    if (around_ && f_.nodes[i].op == Op::kInput) return ReadInput(f_.nodes[i], index);
    if (buffer_[i] < 0) return InPlace(i, index);
    return ReadBuffer(buffer_[i], Linear(index, f_.nodes[i].type.shape));
  }

  std::int32_t ReadBuffer(int buffer, std::int32_t at) {
    if (fuse_) {
      for (const Store& s : fuse_->stores) {
        if (s.buffer != buffer) continue;
        if (s.index == at) return s.value;
        const Expr &x = p_.at(s.index), &y = p_.at(at);
        const bool known = x.least <= x.greatest && y.least <= y.greatest;
        if (!known || (x.least <= y.greatest && y.least <= x.greatest)) fusable_ = false;
      }
    }
    return p_.Load(buffer, at);
  }

  // An input of a body: a carry lies in the scan's value, everything else is read where it stands outside.
  std::int32_t ReadInput(const Node& input, const Index& index) {
    const Node& scan = around_->node;
    const ScanForm form = FormOf(scan);
    const std::size_t k = Z(input.attr[0]);
    if (k < form.carries) {
      return ReadBuffer(around_->state, p_.IndexAdd(Linear(index, input.type.shape), ScanOffsets(scan)[k]));
    }
    const std::int32_t t = p_.Var(level_, form.steps);
    if (k == scan.args.size()) return t;
    if (k >= form.carries + form.xs) return around_->outer.Read(scan.args[k], index);
    Index row{t};
    row.insert(row.end(), index.begin(), index.end());
    return around_->outer.Read(scan.args[k], row);
  }

  std::int32_t InPlace(std::size_t i, const Index& index) {
    auto [it, fresh] = memo_.try_emplace({i, index}, -1);
    if (!fresh && it->second >= 0) return it->second;
    const std::int32_t e = Compute(f_.nodes[i], index);
    memo_[{i, index}] = e;
    return e;
  }

  std::int32_t Compute(const Node& n, const Index& index) {
    switch (ClassOf(n.op)) {
      case OpClass::kLeaf:
        AMO_CHECK(n.op != Op::kInput);
        return n.op == Op::kNumber ? p_.Const(n.number, n.type.elem) : p_.IndexAdd(index[0], n.attr[0]);
      case OpClass::kUnary:
      case OpClass::kBinary:
      case OpClass::kCompare:
      case OpClass::kLogic:
      case OpClass::kSelect: {
        if (n.op == Op::kStop) return Read(n.args[0], index);
        std::vector<std::int32_t> args;
        for (Value a : n.args) args.push_back(Read(a, index));
        return p_.Apply(n.op, n.type.elem, std::move(args));
      }
      case OpClass::kShape:
        return Reshaped(n, index);
      case OpClass::kIndex:
        return Gathered(n, index);
      case OpClass::kReduce:
      case OpClass::kArg:
      case OpClass::kAlong:
      case OpClass::kContract:
      case OpClass::kMatrix:
      case OpClass::kLoop:
        break;
    }
    AMO_CHECK(false, "(no buffer)");
  }

  std::int32_t Reshaped(const Node& n, const Index& index) {
    const Shape& from = f_.type(n.args[0]).shape;
    Index at(from.size());
    if (n.op == Op::kBroadcast) {
      for (std::size_t d = 0; d < index.size(); ++d) {
        if (n.attr[d] >= 0) at[Z(n.attr[d])] = index[d];
      }
      return Read(n.args[0], at);
    }
    if (n.op == Op::kReshape) return Read(n.args[0], Delinear(Linear(index, n.type.shape), from));
    if (n.op == Op::kSlice) {
      for (std::size_t d = 0; d < index.size(); ++d) at[d] = p_.IndexAdd(index[d], n.attr[d]);
      return Read(n.args[0], at);
    }
    AMO_CHECK(n.op == Op::kPad, "(a shape operation without a buffer)");
    const std::int32_t zero = p_.Const(0, n.type.elem);
    if (Count(from) == 0) return zero;
    std::vector<std::int32_t> inside;
    for (std::size_t d = 0; d < index.size(); ++d) {
      const std::int32_t shifted = p_.IndexAdd(index[d], -n.attr[d]);
      const std::int32_t in = p_.InRange(shifted, 0, from[d]);
      if (p_.at(in).kind != ExprKind::kConst) inside.push_back(in);
      if (p_.at(in).kind == ExprKind::kConst && p_.at(in).number == 0) return zero;
      at[d] = p_.Clamp(shifted, 0, from[d] - 1);
    }
    std::int32_t e = Read(n.args[0], at);
    for (std::int32_t in : inside) e = p_.Apply(Op::kSelect, n.type.elem, {in, e, zero});
    return e;
  }

  std::int32_t Gathered(const Node& n, const Index& index) {
    const Shape& from = f_.type(n.args[0]).shape;
    const std::size_t lead = Z(n.attr[0]), rank = f_.type(n.args[1]).shape.size();
    if (from[lead] == 0) return p_.Const(0, n.type.elem);
    const Index which(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(rank));
    Index at(which.begin(), which.begin() + n.attr[0]);
    at.push_back(p_.Clamp(Read(n.args[1], which), 0, from[lead] - 1));
    at.insert(at.end(), index.begin() + static_cast<std::ptrdiff_t>(rank), index.end());
    return Read(n.args[0], at);
  }

  void Push(Step step) {
    auto empty = [](const Shape& s) { return std::find(s.begin(), s.end(), 0) != s.end(); };
    step.level = level_;
    if (!empty(step.outer)) Steps(step.varies).push_back(std::move(step));
  }

  void Keep(std::size_t i) {
    const Node& n = f_.nodes[i];
    memo_.clear();
    fuse_ = nullptr;
    switch (ClassOf(n.op)) {
      case OpClass::kLeaf:
      case OpClass::kUnary:
      case OpClass::kBinary:
      case OpClass::kCompare:
      case OpClass::kLogic:
      case OpClass::kSelect:
        return Map(i, NewBuffer(i, n.type.elem));
      case OpClass::kShape:
        return n.op == Op::kConcat ? Concat(i) : Map(i, NewBuffer(i, n.type.elem));
      case OpClass::kReduce:
        return Reduce(i);
      case OpClass::kArg: {
        const Shape& all = f_.type(n.args[0]).shape;
        const std::int32_t value = Read(n.args[0], Vars(all));
        const int b = NewBuffer(i, n.type.elem);
        buffer_[i] = b;
        const std::int32_t index = Linear(Vars(n.type.shape), n.type.shape);
        return Push({StepKind::kArg, n.op, varies_[i], n.type.shape, {all.back()}, {{b, index, value}}});
      }
      case OpClass::kAlong:
        return n.op == Op::kCumSum ? CumSum(i) : Sort(i);
      case OpClass::kContract:
        return Dot(i);
      case OpClass::kIndex:
        return n.op == Op::kScatter ? Scatter(i) : Map(i, NewBuffer(i, n.type.elem));
      case OpClass::kMatrix:
        AMO_CHECK(false, "(%s: see Uncompilable)", std::string(OpText(n.op)).c_str());
      case OpClass::kLoop:
        return Scan(i);
    }
  }

  // The loops of a shape; nothing to loop over where every extent is 1, so that scalars of all ranks meet in one step.
  static Shape Loops(const Shape& shape) { return Count(shape) == 1 ? Shape{} : shape; }

  // Stores `value(index)` for every index of a shape, together with the step before where that is possible.
  template <class Value, class At>
  void Store1(bool varies, int buffer, const Shape& shape, At at, Value value) {
    std::vector<Step>& steps = Steps(varies);
    const Index vars = Vars(shape);
    if (!steps.empty() && steps.back().kind == StepKind::kMap && steps.back().outer == Loops(shape) &&
        steps.back().stores.size() < kMostStores) {
      fuse_ = &steps.back();
      fusable_ = true;
      const std::int32_t e = value(vars);
      if (fusable_) {
        fuse_->stores.push_back({buffer, at(vars), e});
        fuse_ = nullptr;
        return;
      }
      fuse_ = nullptr;
      memo_.clear();
    }
    const std::int32_t e = value(vars);
    Push({StepKind::kMap, Op::kNumber, varies, Loops(shape), {}, {{buffer, at(vars), e}}});
  }

  void Map(std::size_t i, int buffer) {
    const Shape& shape = f_.nodes[i].type.shape;
    Store1(
        varies_[i], buffer, shape, [&](const Index& x) { return Linear(x, shape); },
        [&](const Index& x) { return Compute(f_.nodes[i], x); });
    buffer_[i] = buffer;
  }

  void Concat(std::size_t i) {
    const Node& n = f_.nodes[i];
    const int b = NewBuffer(i, n.type.elem);
    std::int64_t start = 0;
    for (Value part : n.args) {
      memo_.clear();
      const Shape& shape = f_.type(part).shape;
      Store1(
          varies_[i], b, shape,
          [&](Index x) {
            x[Z(n.attr[0])] = p_.IndexAdd(x[Z(n.attr[0])], start);
            return Linear(x, n.type.shape);
          },
          [&](const Index& x) { return Read(part, x); });
      start += shape[Z(n.attr[0])];
    }
    buffer_[i] = b;
  }

  void Reduce(std::size_t i) {
    const Node& n = f_.nodes[i];
    const Shape& all = f_.type(n.args[0]).shape;
    Index index(all.size());
    Shape inner;
    int out = level_, in = level_ + static_cast<int>(n.type.shape.size());
    for (std::size_t d = 0; d < all.size(); ++d) {
      const bool gone = std::binary_search(n.attr.begin(), n.attr.end(), static_cast<std::int64_t>(d));
      if (gone) inner.push_back(all[d]);
      index[d] = p_.Var(gone ? ++in : ++out, all[d]);
    }
    const std::int32_t value = Count(all) == 0 ? p_.Const(0, n.type.elem) : Read(n.args[0], index);
    const int b = NewBuffer(i, n.type.elem);
    buffer_[i] = b;
    const std::int32_t at = Linear(Vars(n.type.shape), n.type.shape);
    Push({StepKind::kReduce, n.op, varies_[i], n.type.shape, inner, {{b, at, value}}});
  }

  void Dot(std::size_t i) {
    const Node& n = f_.nodes[i];
    const DotLabels l = LabelsOf(f_, n);
    std::map<std::int64_t, std::int32_t> var;
    Shape inner;
    for (std::size_t d = 0; d < l.out.size(); ++d)
      var[l.out[d]] = p_.Var(level_ + static_cast<int>(d) + 1, n.type.shape[d]);
    const auto contract = [&](const std::vector<std::int64_t>& labels, const Shape& shape) {
      for (std::size_t d = 0; d < labels.size(); ++d) {
        if (var.count(labels[d])) continue;
        inner.push_back(shape[d]);
        var[labels[d]] = p_.Var(level_ + static_cast<int>(l.out.size() + inner.size()), shape[d]);
      }
    };
    contract(l.a, f_.type(n.args[0]).shape);
    contract(l.b, f_.type(n.args[1]).shape);
    Index ia, ib;
    for (std::int64_t label : l.a) ia.push_back(var[label]);
    for (std::int64_t label : l.b) ib.push_back(var[label]);
    const bool empty = Count(inner) == 0;
    const std::int32_t value =
        empty ? p_.Const(0, Elem::kReal) : p_.Apply(Op::kMul, Elem::kReal, {Read(n.args[0], ia), Read(n.args[1], ib)});
    const int b = NewBuffer(i, n.type.elem);
    buffer_[i] = b;
    const std::int32_t at = Linear(Vars(n.type.shape), n.type.shape);
    Push({StepKind::kReduce, Op::kReduceSum, varies_[i], n.type.shape, inner, {{b, at, value}}});
  }

  void CumSum(std::size_t i) {
    const Node& n = f_.nodes[i];
    const Shape& all = n.type.shape;
    if (Count(all) == 0) {
      buffer_[i] = NewBuffer(i, n.type.elem);
      return;
    }
    const Index vars = Vars(all);
    const std::int32_t value = Read(n.args[0], vars);
    const int b = NewBuffer(i, n.type.elem);
    buffer_[i] = b;
    Push({StepKind::kScan,
          Op::kReduceSum,
          varies_[i],
          {all.begin(), all.end() - 1},
          {all.back()},
          {{b, Linear(vars, all), value}}});
  }

  void Sort(std::size_t i) {
    const Node& n = f_.nodes[i];
    const Shape& all = n.type.shape;
    const bool positions = n.op == Op::kArgSort;
    const int keys = NewBuffer(i, f_.type(n.args[0]).elem, positions ? "keys" : "");
    const int order = positions ? NewBuffer(i, Elem::kInt) : -1;
    const auto at = [&](const Index& x) { return Linear(x, all); };
    Store1(varies_[i], keys, all, at, [&](const Index& x) { return Read(n.args[0], x); });
    if (positions) Store1(varies_[i], order, all, at, [&](const Index& x) { return x.back(); });
    buffer_[i] = positions ? order : keys;
    if (all.back() < 2) return;
    const Shape outer(all.begin(), all.end() - 1);
    Index first = Vars(outer);
    first.push_back(p_.Const(0, Elem::kInt));
    Push({StepKind::kSort, n.op, varies_[i], outer, {all.back()}, {{keys, Linear(first, all), first.back()}}, order});
  }

  void Scatter(std::size_t i) {
    const Node& n = f_.nodes[i];
    const int b = NewBuffer(i, n.type.elem);
    const Shape& shape = n.type.shape;
    Store1(
        varies_[i], b, shape, [&](const Index& x) { return Linear(x, shape); },
        [&](const Index&) { return p_.Const(0, n.type.elem); });
    const Shape& from = f_.type(n.args[1]).shape;
    const auto rank = static_cast<std::ptrdiff_t>(f_.type(n.args[0]).shape.size());
    buffer_[i] = b;
    if (Count(from) == 0 || Count(shape) == 0) return;
    const Index vars = Vars(from);
    Index at(vars.begin(), vars.begin() + n.attr[0]);
    at.push_back(p_.Clamp(Read(n.args[0], {vars.begin(), vars.begin() + rank}), 0, n.attr[1] - 1));
    at.insert(at.end(), vars.begin() + rank, vars.end());
    const std::int32_t value = Read(n.args[1], vars);
    Push({StepKind::kScatter, n.op, varies_[i], from, {}, {{b, Linear(at, shape), value}}});
  }

  // Stores one value after the other at `start` + its index; the last step is left alone where it may read what is
  // stored here.
  void StoreAt(bool varies, int buffer, std::int32_t start, const Shape& shape, Value v, bool fuse) {
    memo_.clear();
    const auto at = [&](const Index& x) { return p_.IndexAdd(Linear(x, shape), start); };
    if (fuse) return Store1(varies, buffer, shape, at, [&](const Index& x) { return Read(v, x); });
    const Index x = Vars(shape);
    Push({StepKind::kMap, Op::kNumber, varies, Loops(shape), {}, {{buffer, at(x), Read(v, x)}}});
  }

  // The carries live at the beginning of the scan's value; a step ends by storing its ys, then the new carries.
  void Scan(std::size_t i) {
    const Node& n = f_.nodes[i];
    const ScanForm form = FormOf(n);
    const std::vector<std::int64_t> offsets = ScanOffsets(n);
    const bool varies = varies_[i];
    const int state = NewBuffer(i, Elem::kReal);
    const auto start = [&](std::size_t k) { return p_.Const(static_cast<double>(offsets[k]), Elem::kInt); };
    for (std::size_t k = 0; k < form.carries; ++k) {
      StoreAt(varies, state, start(k), f_.type(n.args[k]).shape, n.args[k], true);
    }
    memo_.clear();
    buffer_[i] = state;
    if (form.steps == 0) return;
    std::vector<bool> args;
    for (Value a : n.args) args.push_back(varies_[Z(a.index)]);
    Step loop{.kind = StepKind::kFor, .op = n.op, .varies = varies, .outer = {}, .inner = {form.steps}, .stores = {}};
    loop.reverse = form.reverse;
    const Around around{*this, n, state, loop.body, PlaceOf(varies)};
    Lowering(*n.body, around, BodyVaries(n, args)).RunBody();
    memo_.clear();
    Push(std::move(loop));
  }

  void RunBody() {
    const Node& scan = around_->node;
    const ScanForm form = FormOf(scan);
    const std::vector<std::int64_t> offsets = ScanOffsets(scan);
    const bool varies = around_->outer.varies_[Z(&scan - around_->outer.f_.nodes.data())];
    for (std::size_t i = 0; i < f_.nodes.size(); ++i) {
      if (keep_[i]) Keep(i);
    }
    const std::int32_t t = p_.Var(level_, form.steps);
    for (std::size_t k = form.carries; k < form.carries + form.ys; ++k) {
      const Shape& shape = f_.type(f_.outputs[k].value).shape;
      const std::int32_t start = p_.IndexAdd(p_.IndexMul(t, Count(shape)), offsets[k]);
      StoreAt(varies, around_->state, start, shape, f_.outputs[k].value, true);
    }
    // A new carry that is another carry is read before that one is stored.
    std::vector<int> moved(form.carries, -1);
    for (std::size_t k = 0; k < form.carries; ++k) {
      const Value v = f_.outputs[k].value;
      if (f_.node(v).op != Op::kInput || v == f_.inputs[k].value) continue;
      const Type& type = f_.type(v);
      p_.buffers.push_back({.place = around_->place, .elem = Elem::kReal,
                            .count = Count(type.shape), .varies = varies, .name = "moved"});
      moved[k] = static_cast<int>(p_.buffers.size()) - 1;
      StoreAt(varies, moved[k], p_.Const(0, Elem::kInt), type.shape, v, false);
    }
    for (std::size_t k = 0; k < form.carries; ++k) {
      const Value v = f_.outputs[k].value;
      if (v == f_.inputs[k].value) continue;
      const Shape& shape = f_.type(v).shape;
      const Index x = Vars(shape);
      const std::int32_t value = moved[k] >= 0 ? p_.Load(moved[k], Linear(x, shape)) : Read(v, x);
      const std::int32_t at = p_.IndexAdd(Linear(x, shape), offsets[k]);
      Push({StepKind::kMap, Op::kNumber, varies, Loops(shape), {}, {{around_->state, at, value}}});
    }
  }

  const Function& f_;
  LoopProgram& p_;
  std::vector<bool> varies_, keep_;
  std::vector<int> buffer_;  // of each node, or -1
  std::map<std::pair<std::size_t, Index>, std::int32_t> memo_;
  Step* fuse_ = nullptr;  // the step that the next one may join
  bool fusable_ = true;
  const Around* around_ = nullptr;  // null: the function itself
  int level_ = 0;                   // how many scans are around
};

}  // namespace

LoopProgram Lower(const Function& function) {
  LoopProgram program;
  Lowering(function, program).Run();
  DropDeadStores(program);
  return program;
}

void DropDeadStores(LoopProgram& p) {
  std::vector<bool> read(p.buffers.size());
  std::vector<bool> seen(p.exprs.size());
  for (int b : p.outputs) read[Z(b)] = true;
  const auto visit = [&](auto&& self, std::int32_t e) -> void {
    if (seen[Z(e)]) return;
    seen[Z(e)] = true;
    const Expr& x = p.at(e);
    if (x.kind == ExprKind::kLoad) read[Z(x.lo)] = true;
    for (std::int32_t a : x.args) self(self, a);
  };
  // Marks what the steps read, from the last to the first; a loop again and again, since a step may read what a later
  // one stores.
  const auto live = [&](const Step& s, const Store& t) {
    return read[Z(t.buffer)] || (s.kind == StepKind::kSort && s.second >= 0 && read[Z(s.second)]);
  };
  const auto mark = [&](auto&& self, const std::vector<Step>& steps) -> void {
    for (std::size_t k = steps.size(); k-- > 0;) {
      const Step& s = steps[k];
      if (s.kind == StepKind::kFor) {
        for (std::vector<bool> before; before != read;) {
          before = read;
          self(self, s.body);
        }
      }
      for (const Store& t : s.stores) {
        if (!live(s, t)) continue;
        if (s.kind == StepKind::kSort) read[Z(t.buffer)] = true;
        visit(visit, t.index);
        visit(visit, t.value);
      }
    }
  };
  const auto drop = [&](auto&& self, std::vector<Step>& steps) -> void {
    for (Step& s : steps) {
      self(self, s.body);
      std::erase_if(s.stores, [&](const Store& t) { return !live(s, t); });
    }
    std::erase_if(steps, [](const Step& s) { return s.stores.empty() && s.body.empty(); });
  };
  mark(mark, p.instance);
  mark(mark, p.shared);
  drop(drop, p.instance);
  drop(drop, p.shared);
}

}  // namespace amo::compiler
