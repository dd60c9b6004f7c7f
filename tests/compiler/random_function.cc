// SPDX-License-Identifier: Apache-2.0
// A pool of values grows by random operations on its members; what is missing (a shape, an int) is made by broadcasts,
// slices and conversions.
#include "tests/compiler/random_function.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

namespace amo::compiler {
namespace {

class Maker {
 public:
  Maker(std::uint64_t seed, bool smooth) : random_(seed), smooth_(smooth), b_("random" + std::to_string(seed)) {}

  Function Run() {
    for (int k = 0; k < 4; ++k) {
      pool_.push_back(
          b_.Input("x" + std::to_string(k), k % 2 ? Role::kShared : Role::kInstance, {Elem::kReal, RandomShape()}));
    }
    for (int k = 0; k < 2; ++k) {
      const Role role = k ? Role::kShared : Role::kInstance;
      pool_.push_back(b_.Input("n" + std::to_string(k), role, {Elem::kInt, RandomShape()}));
    }
    pool_.push_back(b_.Input("c", Role::kInstance, {Elem::kBool, RandomShape()}));
    whole_ = pool_[4];
    logical_ = pool_[6];
    const int steps = 6 + Below(20);
    for (int k = 0; k < steps; ++k) pool_.push_back(Step());
    const int outputs = 1 + Below(4);
    for (int k = 0; k < outputs; ++k) {
      const std::size_t back = static_cast<std::size_t>(Below(std::min<int>(8, static_cast<int>(pool_.size()))));
      b_.Output("y" + std::to_string(k), pool_[pool_.size() - 1 - back]);
    }
    return b_.Finish();
  }

 private:
  // A copy: the next node may move the nodes.
  Shape ShapeOf(Value v) const { return b_.shape(v); }

  int Below(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)); }

  Shape RandomShape() {
    static constexpr std::int64_t kExtents[] = {1, 2, 3, 4, 5, 7, 9, 18};
    Shape s(static_cast<std::size_t>(Below(4)));
    for (std::int64_t& d : s) d = kExtents[Below(static_cast<int>(std::size(kExtents)))];
    return s;
  }

  Value Any() { return pool_[static_cast<std::size_t>(Below(static_cast<int>(pool_.size())))]; }

  Value Any(Elem elem) {
    for (int k = 0; k < 20; ++k) {
      const Value v = Any();
      if (b_.type(v).elem == elem) return v;
    }
    const Value v = Any();
    if (elem == Elem::kReal) return b_.ToReal(v);
    return elem == Elem::kInt ? whole_ : logical_;
  }

  Value WithAxis(Elem elem) {
    const Value v = Any(elem);
    return ShapeOf(v).empty() ? b_.Fill(v, {1 + Below(4)}) : v;
  }

  // v brought to a shape: entries are repeated, or the first ones taken, along each axis.
  Value Fit(Value v, const Shape& shape) {
    Shape have = ShapeOf(v);
    if (have == shape) return v;
    if (Count(have) == Count(shape)) return b_.Reshape(v, shape);
    while (have.size() > shape.size()) {
      Shape cut = have;
      cut.back() = 1;
      v = b_.Slice(v, std::vector<std::int64_t>(have.size(), 0), cut);
      cut.pop_back();
      v = b_.Reshape(v, cut);
      have = cut;
    }
    std::vector<std::int64_t> axes, starts;
    Shape cut, target = shape;
    for (std::size_t d = 0; d < have.size(); ++d) {
      cut.push_back(std::min(have[d], shape[d]));
      starts.push_back(have[d] - cut[d]);
    }
    v = b_.Slice(v, starts, cut);
    // Axes that are too short are reduced to one entry, and repeated.
    Shape kept;
    std::vector<std::int64_t> ones = cut, zero(cut.size(), 0);
    for (std::size_t d = 0; d < cut.size(); ++d) ones[d] = cut[d] < shape[d] ? 1 : cut[d];
    v = b_.Slice(v, zero, ones);
    for (std::size_t d = 0; d < shape.size(); ++d) {
      const bool keep = d < ones.size() && ones[d] == shape[d];
      axes.push_back(keep ? static_cast<std::int64_t>(kept.size()) : -1);
      if (keep) kept.push_back(ones[d]);
    }
    return b_.Broadcast(b_.Reshape(v, kept), axes, target);
  }

  Value Like(Value v, double number) { return b_.Fill(b_.Number(number, b_.type(v).elem), ShapeOf(v)); }
  Value Positive(Value x, double least) { return b_.Add(b_.Unary(Op::kAbs, x), Like(x, least)); }
  Value Small(Value x, double bound) { return b_.Mul(b_.Unary(Op::kTanh, x), Like(x, bound)); }

  Value Elementwise() {
    const Value x = Any(Elem::kReal);
    switch (Below(smooth_ ? 22 : 24)) {
      case 0:
        return b_.Neg(x);
      case 1:
        return b_.Unary(Op::kExp, Small(x, 2));
      case 2:
        return b_.Unary(Op::kLog, Positive(x, 0.1));
      case 3:
        return b_.Unary(Op::kExpm1, Small(x, 2));
      case 4:
        return b_.Unary(Op::kLog1p, Positive(x, -0.5));
      case 5:
        return b_.Unary(Op::kSqrt, Positive(x, 0.1));
      case 6:
        return b_.Unary(Op::kAbs, x);
      case 7:
        return b_.Unary(Op::kSin, Small(x, 5));
      case 8:
        return b_.Unary(Op::kCos, Small(x, 5));
      case 9:
        return b_.Unary(Op::kTan, Small(x, 1));
      case 10:
        return b_.Unary(Op::kAsin, Small(x, 0.9));
      case 11:
        return b_.Unary(Op::kAcos, Small(x, 0.9));
      case 12:
        return b_.Unary(Op::kAtan, x);
      case 13:
        return b_.Unary(Op::kSinh, Small(x, 2));
      case 14:
        return b_.Unary(Op::kCosh, Small(x, 2));
      case 15:
        return b_.Unary(Op::kTanh, x);
      case 16:
        return b_.Unary(Op::kSigmoid, x);
      case 17:
        return b_.Unary(Op::kSoftplus, x);
      case 18:
        return b_.Unary(Op::kErf, x);
      case 19:
        return b_.ToReal(Any());
      case 20:
        return b_.Unary(Op::kStop, x);
      case 21:
        return b_.Unary(Op::kNot, Any(Elem::kBool));
      case 22:
        return b_.Unary(Op::kFloor, x);
      default:
        return b_.Unary(Op::kSign, x);
    }
  }

  Value Combined() {
    const Value x = Any(Elem::kReal), y = Fit(Any(Elem::kReal), ShapeOf(x));
    switch (Below(smooth_ ? 8 : 10)) {
      case 0:
        return b_.Add(x, y);
      case 1:
        return b_.Sub(x, y);
      case 2:
        return b_.Mul(Small(x, 2), y);
      case 3:
        return b_.Div(x, Positive(y, 0.5));
      case 4:
        return b_.Binary(Op::kPow, Positive(Small(x, 2), 0.5), Small(y, 2));
      case 5:
        return b_.Binary(Op::kMax, x, y);
      case 6:
        return b_.Binary(Op::kMin, x, y);
      case 7:
        return b_.Binary(Op::kAtan2, x, Positive(y, 0.5));
      case 8:
        return b_.Binary(Op::kMod, x, Positive(Small(y, 2), 0.7));
      default:
        return b_.Binary(Below(2) ? Op::kLt : Op::kLe, x, y);
    }
  }

  Value Discrete() {
    const Value n = Any(Elem::kInt), m = Fit(Any(Elem::kInt), ShapeOf(n));
    const Value c = Any(Elem::kBool), d = Fit(Any(Elem::kBool), ShapeOf(c));
    const auto bounded = [&](Value v) { return b_.Binary(Op::kMod, v, Like(v, 7)); };
    switch (Below(12)) {
      case 0:
        return bounded(b_.Add(n, m));
      case 1:
        return bounded(b_.Mul(n, m));
      case 2:
        return b_.Binary(Op::kMod, n, b_.Sub(Positive(m, 1), Like(m, 0)));
      case 3:
        return b_.Binary(Op::kMax, n, m);
      case 4:
        return b_.Binary(Op::kEq, n, m);
      case 5:
        return b_.Binary(Op::kNe, n, m);
      case 6:
        return b_.Binary(Below(2) ? Op::kLt : Op::kLe, n, m);
      case 7:
        return b_.Binary(Below(2) ? Op::kAnd : Op::kOr, c, d);
      case 8:
        return b_.Binary(Below(2) ? Op::kEq : Op::kLt, c, d);
      case 9:
        return b_.Unary(Below(2) ? Op::kSign : Op::kNeg, n);
      case 10:
        return b_.Unary(Op::kToInt, smooth_ ? c : Any(Elem::kReal));
      default:
        return b_.Iota(1 + Below(6), Below(3) - 1);
    }
  }

  Value Shaped() {
    const Value x = Any();
    const Shape s = ShapeOf(x);
    switch (Below(7)) {
      case 0: {
        std::vector<std::int64_t> axes(s.size());
        for (std::size_t d = 0; d < s.size(); ++d) axes[d] = static_cast<std::int64_t>(d);
        std::shuffle(axes.begin(), axes.end(), random_);
        return b_.Transpose(x, axes);
      }
      case 1:
        if (s.size() >= 3) return b_.Reshape(x, {s[0] * s[1] * s[2]});
        return Below(2) ? b_.Reshape(x, {Count(s)}) : b_.Reshape(x, {1, Count(s), 1});
      case 2: {
        Shape cut = s;
        std::vector<std::int64_t> starts;
        for (std::int64_t& d : cut) {
          const std::int64_t start = Below(static_cast<int>(d));
          starts.push_back(start);
          d = 1 + Below(static_cast<int>(d - start));
        }
        return b_.Slice(x, starts, cut);
      }
      case 3: {
        Shape wide = s;
        std::vector<std::int64_t> starts;
        for (std::int64_t& d : wide) starts.push_back(Below(3)), d += starts.back() + Below(2);
        if (Count(wide) > 500) return x;
        return b_.Pad(x, starts, wide);
      }
      case 4: {
        if (s.empty()) return x;
        const int axis = Below(static_cast<int>(s.size()));
        if (Count(s) > 200) return x;
        Value y = Any(b_.type(x).elem);
        if (b_.type(y).elem != b_.type(x).elem) return x;
        return b_.Concat({x, Fit(y, s), x}, axis);
      }
      case 5: {
        if (s.size() > 2 || Count(s) > 100) return x;
        std::vector<std::int64_t> axes{-1};
        Shape to{2 + Below(3)};
        for (std::size_t d = 0; d < s.size(); ++d) axes.push_back(static_cast<std::int64_t>(d)), to.push_back(s[d]);
        return b_.Broadcast(x, axes, to);
      }
      default: {
        Value c = Fit(Any(Elem::kBool), s);
        Value y = Any(b_.type(x).elem);
        if (b_.type(y).elem != b_.type(x).elem) return x;
        return b_.Select(c, x, Fit(y, s));
      }
    }
  }

  Value Reduced() {
    const bool discrete = Below(3) == 0;
    const Value x = WithAxis(discrete ? Elem::kInt : Elem::kReal);
    std::vector<std::int64_t> axes;
    for (std::size_t d = 0; d < ShapeOf(x).size(); ++d) {
      if (Below(2)) axes.push_back(static_cast<std::int64_t>(d));
    }
    const bool decides = discrete || !smooth_;
    switch (Below(decides ? 8 : 5)) {
      case 0:
        return b_.Reduce(Op::kReduceSum, x, axes);
      case 1:
        return b_.Reduce(Op::kReduceProd, discrete ? b_.Unary(Op::kSign, x) : Small(x, 1.2), axes);
      case 2:
        return b_.Reduce(Op::kReduceMax, x, axes);
      case 3:
        return b_.Reduce(Op::kReduceMin, x, axes);
      case 4:
        return b_.Along(Below(2) ? Op::kCumSum : Op::kSort, x);
      case 5:
        return b_.Along(Op::kArgSort, x);
      case 6:
        return b_.Arg(Op::kArgMax, x);
      default:
        return b_.Arg(Op::kArgMin, x);
    }
  }

  Value Dotted() {
    const Value x = WithAxis(Elem::kReal);
    const Shape s = ShapeOf(x);
    if (Count(s) > 200) return x;
    // y shares some of x's axes and has one of its own.
    std::vector<std::int64_t> lx, ly, out;
    Shape sy;
    for (std::size_t d = 0; d < s.size(); ++d) {
      const auto label = static_cast<std::int64_t>(d);
      lx.push_back(label);
      const bool shared = Below(2);
      if (shared) ly.push_back(label), sy.push_back(s[d]);
      if (Below(2)) out.push_back(label);
    }
    const std::int64_t own = 1 + Below(5);
    ly.push_back(10), sy.push_back(own);
    if (Below(3)) out.push_back(10);
    std::shuffle(out.begin(), out.end(), random_);
    return b_.Dot(x, Fit(Any(Elem::kReal), sy), lx, ly, out);
  }

  Value Indexed() {
    const Value x = WithAxis(Elem::kReal);
    const Shape s = ShapeOf(x);
    if (Count(s) > 200) return x;
    const std::int64_t lead = Below(static_cast<int>(s.size()));
    Shape index(s.begin(), s.begin() + lead);
    if (Below(2)) index.push_back(1 + Below(4));
    const Value which = Fit(Any(Elem::kInt), index);
    const Value g = b_.Gather(x, which, lead);
    return Below(2) ? g : b_.Scatter(which, g, lead, 1 + Below(5));
  }

  // A few steps of a random body, which may hold a scan itself.
  Value Scanned() {
    ScanForm form;
    form.steps = Below(5);
    form.carries = static_cast<std::size_t>(1 + Below(2));
    form.xs = static_cast<std::size_t>(Below(3));
    form.ys = static_cast<std::size_t>(Below(3));
    form.reverse = Below(2);
    form.index = Below(2);
    const auto small = [&] {
      Shape s = RandomShape();
      if (s.size() > 2) s.pop_back();
      return s;
    };
    std::vector<Value> args;
    std::vector<Type> types;
    const auto argument = [&](Elem elem, bool row) {
      types.push_back({elem, small()});
      Shape shape = types.back().shape;
      if (row) shape.insert(shape.begin(), form.steps);
      // No row: nothing to fit into, so zeros of that shape.
      if (row && form.steps == 0) args.push_back(b_.Fill(b_.Number(0, elem), shape));
      else args.push_back(Fit(Any(elem), shape));
    };
    for (std::size_t k = 0; k < form.carries; ++k) argument(Elem::kReal, false);
    for (std::size_t k = 0; k < form.xs; ++k) argument(Below(4) ? Elem::kReal : Elem::kInt, true);
    const int constants = Below(3);
    for (int k = 0; k < constants; ++k) argument(Below(4) ? Elem::kReal : Elem::kInt, false);
    Builder around = std::exchange(b_, Builder("body"));
    std::vector<Value> outside = std::exchange(pool_, {});
    const Value whole = whole_, logical = logical_;
    for (const Type& type : types) pool_.push_back(b_.Input("in", Role::kInstance, type));
    if (form.index) pool_.push_back(b_.Input("t", Role::kInstance, {Elem::kInt, {}}));
    whole_ = b_.Iota(3, 1);
    logical_ = b_.Binary(Op::kLt, whole_, b_.Fill(b_.Number(2, Elem::kInt), {3}));
    ++deep_;
    const int steps = 2 + Below(5);
    for (int k = 0; k < steps; ++k) pool_.push_back(Step());
    --deep_;
    for (std::size_t k = 0; k < form.carries; ++k) {
      // Some carries stay, or change places.
      const Value other = pool_[form.carries - 1 - k];
      const Shape& own = types[k].shape;
      b_.Output("z", Below(6) ? Small(Fit(Any(Elem::kReal), own), 2) : Fit(other, own));
    }
    for (std::size_t k = 0; k < form.ys; ++k) b_.Output("y", Below(4) ? Small(Any(Elem::kReal), 3) : pool_[0]);
    auto body = std::make_shared<const Function>(b_.Finish());
    b_ = std::move(around);
    pool_ = std::move(outside);
    whole_ = whole, logical_ = logical;
    const Value v = b_.Scan(form, std::move(body), std::move(args));
    const Node scan = b_.node(v);
    if (Count(scan.type.shape) > 500) return b_.ScanPart(scan, v, 0);
    const std::size_t part = static_cast<std::size_t>(Below(static_cast<int>(form.carries + form.ys)));
    if (part >= form.carries && form.steps == 0) return b_.ScanPart(scan, v, 0);
    return Below(3) ? b_.ScanPart(scan, v, part) : v;
  }

  Value Step() {
    if (deep_ < 2 && Below(12 * (1 + 2 * deep_)) == 0) return Scanned();
    switch (Below(11)) {
      case 0:
      case 1:
        return Elementwise();
      case 2:
      case 3:
        return Combined();
      case 4:
        return Discrete();
      case 5:
      case 6:
        return Shaped();
      case 7:
      case 8:
        return Reduced();
      case 9:
        return Dotted();
      default:
        return Indexed();
    }
  }

  std::mt19937_64 random_;
  bool smooth_;
  Builder b_;
  std::vector<Value> pool_;
  Value whole_, logical_;  // an int and a bool, where the pool offers none
  int deep_ = 0;           // bodies around
};

}  // namespace

Function RandomFunction(std::uint64_t seed, bool smooth) { return Maker(seed, smooth).Run(); }

Tensor RandomTensor(const Type& type, std::mt19937_64& random) {
  Tensor t{type, std::vector<double>(static_cast<std::size_t>(Count(type.shape)))};
  for (double& v : t.data) {
    const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
    // Reals are floats: what a kernel of lower precision cannot represent would be an error of the test.
    if (type.elem == Elem::kReal) v = static_cast<float>(4 * unit - 2);
    if (type.elem == Elem::kInt) v = std::floor(7 * unit) - 1;
    if (type.elem == Elem::kBool) v = unit < 0.5;
  }
  return t;
}

}  // namespace amo::compiler
