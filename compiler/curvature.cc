// SPDX-License-Identifier: Apache-2.0
// One pass over the nodes; the body of a scan is passed until its carries change no more.
#include "compiler/curvature.h"

#include <algorithm>
#include <iterator>

namespace amo::compiler {
namespace {

bool Constant(const Curvature& c) { return c.degree == Degree::kConstant; }
bool Affine(const Curvature& c) { return c.degree <= Degree::kAffine; }

Degree Product(Degree a, Degree b) {
  const int sum = static_cast<int>(a) + static_cast<int>(b);
  const bool other = a == Degree::kOther || b == Degree::kOther || sum > 2;
  return other ? Degree::kOther : static_cast<Degree>(sum);
}

Curvature Negated(Curvature c) {
  std::swap(c.convex, c.concave);
  std::swap(c.nonnegative, c.nonpositive);
  return c;
}

// Of values that stand side by side, or of which any may be taken.
Curvature Joined(const Curvature& a, const Curvature& b) {
  return {std::max(a.degree, b.degree),      a.convex && b.convex,           a.concave && b.concave,
          a.nonnegative && b.nonnegative,    a.nonpositive && b.nonpositive, a.smooth && b.smooth,
          a.by >= 0 ? a.by : b.by};
}

class Pass {
 public:
  Pass(const Function& f, std::vector<Curvature> inputs) : f_(f), inputs_(std::move(inputs)) {
    for (const Node& n : f.nodes) {
      Curvature c = Of(n);
      const auto here = static_cast<std::int32_t>(all_.size());
      const bool unclear = c.degree == Degree::kOther && !c.convex && !c.concave;
      if ((unclear || !c.smooth) && c.by < 0) c.by = here;
      // Of a constant nothing but its sign matters.
      if (Constant(c)) c = {Degree::kConstant, true, true, c.nonnegative, c.nonpositive, true, -1};
      all_.push_back(c);
    }
  }

  std::vector<Curvature> Take() { return std::move(all_); }

 private:
  const Curvature& At(Value v) const { return all_[static_cast<std::size_t>(v.index)]; }

  static Curvature Unknown(const Curvature& x, bool smooth = true) {
    if (Constant(x)) return {};
    return {Degree::kOther, false, false, false, false, smooth && x.smooth, x.by};
  }

  // g(x) for a g that is convex and rises on its whole domain: convex where x is. The other cases by signs.
  static Curvature Composed(const Curvature& x, bool convex, bool rises, bool nonnegative, bool smooth = true) {
    if (Constant(x)) return {Degree::kConstant, true, true, nonnegative, false};
    const bool fits = Affine(x) || (rises == convex ? x.convex : x.concave);
    Curvature c{Degree::kOther, convex && fits, !convex && fits, nonnegative, false, smooth && x.smooth, x.by};
    return c;
  }

  Curvature Of(const Node& n) {
    switch (ClassOf(n.op)) {
      case OpClass::kLeaf: return Leaf(n);
      case OpClass::kUnary: return Unary(n);
      case OpClass::kBinary: return Binary(n);
      case OpClass::kCompare:
      case OpClass::kLogic:
      case OpClass::kArg: {
        const bool constant = std::all_of(n.args.begin(), n.args.end(), [&](Value v) { return Constant(At(v)); });
        return constant ? Curvature{} : Curvature{Degree::kOther, false, false, false, false, false, -1};
      }
      case OpClass::kSelect: {
        Curvature c = Joined(At(n.args[1]), At(n.args[2]));
        if (Constant(At(n.args[0]))) return c;
        if (IsNorm(n)) return {Degree::kOther, true, false, true, false, false, c.by};
        return {Degree::kOther, false, false, c.nonnegative, c.nonpositive, false, c.by};
      }
      case OpClass::kShape: {
        Curvature c = At(n.args[0]);
        for (const Value v : n.args) c = Joined(c, At(v));
        if (n.op == Op::kPad && Constant(c)) return c;
        return c;
      }
      case OpClass::kReduce: return Reduce(n);
      case OpClass::kAlong: {
        const Curvature& x = At(n.args[0]);
        if (n.op == Op::kCumSum || Constant(x)) return x;
        return Unknown(x, false);
      }
      case OpClass::kContract: return Product(n, At(n.args[0]), At(n.args[1]));
      case OpClass::kIndex: {
        const Value values = n.args[n.op == Op::kGather ? 0 : 1], index = n.args[n.op == Op::kGather ? 1 : 0];
        return Constant(At(index)) ? At(values) : Unknown(At(index), false);
      }
      case OpClass::kMatrix: {
        const Curvature& a = At(n.args[0]);
        if (n.op == Op::kEigen) return Unknown(a, false);  // eigenvalues that meet have a kink
        if (!Constant(a)) return Unknown(Joined(a, At(n.args[1])));
        Curvature c = At(n.args[1]);  // sums of its entries, with factors of any sign
        c.nonnegative = c.nonpositive = false;
        if (!Affine(c)) c.convex = c.concave = false;
        return c;
      }
      case OpClass::kLoop: return Scan(n);
    }
    return {};
  }

  Curvature Leaf(const Node& n) {
    if (n.op == Op::kInput) return inputs_[next_input_++];
    Curvature c;
    const double least = n.op == Op::kNumber ? n.number : static_cast<double>(n.attr.empty() ? 0 : n.attr.back());
    c.nonnegative = least >= 0;
    c.nonpositive = n.op == Op::kNumber && least <= 0;
    return c;
  }

  Curvature Unary(const Node& n) {
    const Curvature& x = At(n.args[0]);
    switch (n.op) {
      case Op::kNeg: return Negated(x);
      case Op::kToReal: return x;
      case Op::kExp: return Composed(x, true, true, true);
      case Op::kSoftplus: return Composed(x, true, true, true);
      case Op::kExpm1: return Composed(x, true, true, x.nonnegative);
      case Op::kLog:
      case Op::kLog1p: return Composed(x, false, true, false);
      case Op::kSqrt:
        // The norm of something affine.
        if (Affine(x) || !SumOfSquares(n.args[0])) return Composed(x, false, true, true, false);
        return {Degree::kOther, true, false, true, false, false, x.by};
      case Op::kAbs: {
        if (Constant(x)) return {Degree::kConstant, true, true, true, false};
        if (x.nonnegative) return x;
        if (x.nonpositive) return Negated(x);
        return {Degree::kOther, Affine(x), false, true, false, false, x.by};
      }
      case Op::kCosh:
        return Affine(x) ? Curvature{Degree::kOther, true, false, true, false, x.smooth, x.by} : Unknown(x);
      case Op::kStop:  // its derivative is not that of its value: no rule may rely on it
      case Op::kSign:
      case Op::kFloor:
      case Op::kToInt:
      case Op::kNot: return Unknown(x, false);
      default: {
        Curvature c = Unknown(x);
        if (n.op == Op::kSigmoid) c.nonnegative = true;
        return c;
      }
    }
  }

  // if 0 < s then sqrt(if 0 < s then s else 1) else 0: the square root of a sum of squares, with finite slopes.
  bool IsNorm(const Node& n) const {
    const Node &condition = f_.node(n.args[0]), &root = f_.node(n.args[1]), &zero = f_.node(n.args[2]);
    if (condition.op != Op::kLt || root.op != Op::kSqrt || zero.op != Op::kNumber || zero.number != 0) return false;
    const Node& inner = f_.node(root.args[0]);
    return inner.op == Op::kSelect && inner.args[0] == n.args[0] && inner.args[1] == condition.args[1] &&
           condition.args[0] == n.args[2] && SumOfSquares(inner.args[1]);
  }

  // The x of log(sum(exp(x - s))) + s, whatever s is; none (-1) where n is something else.
  Value UnderLogSumExp(const Node& n) const {
    for (const std::size_t k : {0, 1}) {
      Value v = n.args[k];
      bool fits = true;
      for (const Op op : {Op::kLog, Op::kReduceSum, Op::kExp}) {
        while (f_.node(v).op == Op::kReshape) v = f_.node(v).args[0];
        fits = fits && f_.node(v).op == op;
        if (fits) v = f_.node(v).args[0];
      }
      const Node& shifted = f_.node(v);
      if (fits && shifted.op == Op::kSub && Scalar(shifted.args[1]) == Scalar(n.args[1 - k])) return shifted.args[0];
    }
    return {-1};
  }

  // Whether v is a sum of squares of something affine.
  bool SumOfSquares(Value v) const {
    const Node& n = f_.node(v);
    if (n.op == Op::kReduceSum || n.op == Op::kReshape || n.op == Op::kBroadcast) return SumOfSquares(n.args[0]);
    const bool product = n.op == Op::kMul || n.op == Op::kDot;
    return product && n.args[0] == n.args[1] && Affine(At(n.args[0]));
  }

  Curvature Binary(const Node& n) {
    const Curvature &a = At(n.args[0]), &b = At(n.args[1]);
    switch (n.op) {
      case Op::kAdd: {
        const Value x = UnderLogSumExp(n);
        if (x.index < 0) return Joined(a, b);
        const Curvature& inner = At(x);
        return Constant(inner) ? Curvature{}
                               : Curvature{Degree::kOther, inner.convex, false, false, false, inner.smooth, inner.by};
      }
      case Op::kSub: return Joined(a, Negated(b));
      case Op::kMul: return Product(n, a, b);
      case Op::kDiv: {
        if (Constant(b)) return Scaled(a, b);
        if (!Constant(a) || !Affine(b) || !(b.nonnegative || b.nonpositive)) return Unknown(Joined(a, b));
        Curvature c = Scaled({Degree::kOther, b.nonnegative, !b.nonnegative, b.nonnegative, b.nonpositive}, a);
        return c;
      }
      case Op::kPow: {
        if (!Constant(b)) return Unknown(Joined(a, b));
        if (Constant(a)) return {Degree::kConstant, true, true, a.nonnegative, false};
        const Node& e = f_.node(b.degree == Degree::kConstant ? Scalar(n.args[1]) : n.args[1]);
        if (e.op != Op::kNumber) return Unknown(a);
        const double power = e.number;
        if (power == 1) return a;
        if (power == 2) {
          const bool convex = Affine(a) || (a.convex && a.nonnegative) || (a.concave && a.nonpositive);
          return {compiler::Product(a.degree, a.degree), convex, false, true, false, a.smooth, a.by};
        }
        const bool even = power > 0 && power == 2 * static_cast<double>(static_cast<std::int64_t>(power / 2));
        if (even && Affine(a)) return {Degree::kOther, true, false, true, false, a.smooth, a.by};
        if (power > 1 && a.nonnegative) return Composed(a, true, true, true);
        if (power > 0 && power < 1) return Composed(a, false, true, true);
        if (power < 0 && a.nonnegative) return Composed(a, true, false, true);
        return Unknown(a);
      }
      case Op::kMax:
      case Op::kMin: {
        const Curvature c = Joined(a, b);
        if (Constant(c)) return c;
        const bool max = n.op == Op::kMax;
        return {Degree::kOther, max && c.convex, !max && c.concave,
                max ? a.nonnegative || b.nonnegative : c.nonnegative,
                max ? c.nonpositive : a.nonpositive || b.nonpositive, false, c.by};
      }
      default: return Unknown(Joined(a, b), n.op != Op::kMod);
    }
  }

  // The one number that a value repeats.
  Value Scalar(Value v) const {
    while (f_.node(v).op == Op::kBroadcast || f_.node(v).op == Op::kReshape || f_.node(v).op == Op::kToReal)
      v = f_.node(v).args[0];
    return v;
  }

  static Curvature Scaled(const Curvature& x, const Curvature& factor) {
    if (factor.nonnegative && !factor.nonpositive) return x;
    if (factor.nonpositive && !factor.nonnegative) return Negated(x);
    if (factor.nonnegative) return {};
    Curvature c = x;
    c.nonnegative = c.nonpositive = false;
    if (!Affine(x)) c.convex = c.concave = false;
    return c;
  }

  // Elementwise, or contracted: a sum of products.
  Curvature Product(const Node& n, const Curvature& a, const Curvature& b) {
    if (Constant(a) && Constant(b)) {
      const bool same = n.args[0] == n.args[1];
      return {Degree::kConstant, true, true,
              same || (a.nonnegative && b.nonnegative) || (a.nonpositive && b.nonpositive),
              !same && ((a.nonnegative && b.nonpositive) || (a.nonpositive && b.nonnegative))};
    }
    if (Constant(a)) return Scaled(b, a);
    if (Constant(b)) return Scaled(a, b);
    Curvature c = Joined(a, b);
    c.degree = compiler::Product(a.degree, b.degree);
    const bool entrywise = n.op == Op::kMul || SameLabels(n);
    const bool square = n.args[0] == n.args[1] && entrywise;
    const bool down = (a.nonpositive && a.concave), up = (a.nonnegative && a.convex);
    c.convex = square && (Affine(a) || up || down);
    c.concave = false;
    c.nonnegative = square || (a.nonnegative && b.nonnegative) || (a.nonpositive && b.nonpositive);
    c.nonpositive = (a.nonnegative && b.nonpositive) || (a.nonpositive && b.nonnegative);
    return c;
  }

  // Whether a contraction multiplies each entry of its operand with itself.
  bool SameLabels(const Node& n) const {
    if (n.op != Op::kDot) return false;
    const DotLabels l = LabelsOf(f_, n);
    return l.a == l.b;
  }

  Curvature Reduce(const Node& n) {
    Curvature c = At(n.args[0]);
    if (Constant(c) || n.op == Op::kReduceSum) return c;
    switch (n.op) {
      case Op::kReduceMax: c.concave = false; break;
      case Op::kReduceMin: c.convex = false; break;
      default: return Unknown(c);
    }
    c.degree = Degree::kOther, c.smooth = false;
    return c;
  }

  Curvature Scan(const Node& n) {
    const ScanForm form = FormOf(n);
    std::vector<Curvature> inputs;
    for (const Value v : n.args) inputs.push_back(At(v));
    if (form.index) {
      Curvature step;
      step.nonnegative = true;
      inputs.push_back(step);
    }
    Curvature out;
    for (bool moved = true; moved;) {
      moved = false;
      const std::vector<Curvature> body = Pass(*n.body, inputs).Take();
      bool first = true;
      for (std::size_t k = 0; k < n.body->outputs.size(); ++k) {
        const Curvature& c = body[static_cast<std::size_t>(n.body->outputs[k].value.index)];
        out = first ? c : Joined(out, c), first = false;
        if (k >= form.carries) continue;
        Curvature next = Joined(inputs[k], c);
        next.by = -1;
        const Curvature& old = inputs[k];
        if (next.degree != old.degree || next.convex != old.convex || next.concave != old.concave ||
            next.nonnegative != old.nonnegative || next.nonpositive != old.nonpositive || next.smooth != old.smooth) {
          inputs[k] = next, moved = true;
        }
      }
    }
    for (std::size_t k = 0; k < form.carries; ++k) out = Joined(out, inputs[k]);
    out.by = -1;  // inside the body: the scan itself is named
    return out;
  }

  const Function& f_;
  std::vector<Curvature> inputs_, all_;
  std::size_t next_input_ = 0;
};

}  // namespace

std::vector<Curvature> Curvatures(const Function& function, const std::vector<int>& wrt) {
  // Inputs are nodes in the order of Function::inputs, but an input without a node of its own would shift them.
  std::vector<std::pair<std::int32_t, Curvature>> by_node;
  for (std::size_t k = 0; k < function.inputs.size(); ++k) {
    Curvature c;
    if (std::count(wrt.begin(), wrt.end(), static_cast<int>(k))) c.degree = Degree::kAffine;
    by_node.push_back({function.inputs[k].value.index, c});
  }
  std::sort(by_node.begin(), by_node.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Curvature> inputs;
  for (const auto& [node, c] : by_node) inputs.push_back(c);
  return Pass(function, std::move(inputs)).Take();
}

std::string Describe(const Curvature& c) {
  std::string text;
  switch (c.degree) {
    case Degree::kConstant: return "constant";
    case Degree::kAffine: return "linear";
    case Degree::kQuadratic:
      text = c.convex ? "convex quadratic" : c.concave ? "concave quadratic" : "quadratic";
      break;
    case Degree::kOther:
      text = c.convex ? "convex" : c.concave ? "concave" : "neither convex nor concave by the rules";
      break;
  }
  return text + (c.smooth ? "" : ", not smooth");
}

}  // namespace amo::compiler
