// SPDX-License-Identifier: Apache-2.0
// The interpreter: every node is evaluated in order into a tensor of its own.
#include "compiler/interpret.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "compiler/check.h"
#include "compiler/matrix.h"
#include "compiler/scalar.h"

namespace amo::compiler {
namespace {

using Indices = std::vector<std::int64_t>;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

Indices Strides(const Shape& shape) {
  Indices s(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) s[d - 1] = s[d] * shape[d];
  return s;
}

// Calls f(index, flat) for every index of a shape, in row-major order.
template <class F>
void ForEach(const Shape& shape, F f) {
  Indices i(shape.size());
  const std::int64_t count = Count(shape);
  for (std::int64_t flat = 0; flat < count; ++flat) {
    f(i, flat);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (++i[d] < shape[d]) break;
      i[d] = 0;
    }
  }
}

std::int64_t Flat(const Indices& i, const Indices& strides) {
  return std::inner_product(i.begin(), i.end(), strides.begin(), std::int64_t{0});
}

// unfold copies entries into windows, fold adds them back.
void Windowed(const Node& n, const Tensor& x, Tensor& out) {
  const Windows s = WindowsOf(n);
  const bool fold = n.op == Op::kFold;
  const Shape& flat = (fold ? out : x).type.shape;
  const std::int64_t h = flat[flat.size() - 2], w = flat.back();
  const std::int64_t oh = s.Count(h, s.kh), ow = s.Count(w, s.kw);
  const std::int64_t planes = Count({flat.begin(), flat.end() - 2});
  ForEach({planes, s.kh, s.kw, oh, ow}, [&](const Indices& i, std::int64_t at) {
    const std::int64_t row = i[3] * s.stride + i[1] - s.pad, column = i[4] * s.stride + i[2] - s.pad;
    if (row < 0 || row >= h || column < 0 || column >= w) return;
    const std::size_t whole = Z((i[0] * h + row) * w + column);
    if (fold) out.data[whole] += x.data[Z(at)];
    else out.data[Z(at)] = x.data[whole];
  });
}

void Shaped(const Node& n, const std::vector<const Tensor*>& in, Tensor& out) {
  const Tensor& x = *in[0];
  if (n.op == Op::kUnfold || n.op == Op::kFold) return Windowed(n, x, out);
  const Indices xs = Strides(x.type.shape), os = Strides(out.type.shape);
  if (n.op == Op::kReshape) {
    out.data = x.data;
  } else if (n.op == Op::kBroadcast) {
    ForEach(out.type.shape, [&](const Indices& i, std::int64_t flat) {
      std::int64_t from = 0;
      for (std::size_t d = 0; d < i.size(); ++d) from += n.attr[d] < 0 ? 0 : i[d] * xs[Z(n.attr[d])];
      out.data[Z(flat)] = x.data[Z(from)];
    });
  } else if (n.op == Op::kSlice) {
    const std::int64_t base = Flat(n.attr, xs);
    ForEach(out.type.shape,
            [&](const Indices& i, std::int64_t flat) { out.data[Z(flat)] = x.data[Z(base + Flat(i, xs))]; });
  } else if (n.op == Op::kPad) {
    const std::int64_t base = Flat(n.attr, os);
    ForEach(x.type.shape,
            [&](const Indices& i, std::int64_t flat) { out.data[Z(base + Flat(i, os))] = x.data[Z(flat)]; });
  } else {  // kConcat
    std::int64_t start = 0;
    for (const Tensor* part : in) {
      ForEach(part->type.shape, [&](const Indices& i, std::int64_t flat) {
        out.data[Z(Flat(i, os) + start * os[Z(n.attr[0])])] = part->data[Z(flat)];
      });
      start += part->type.shape[Z(n.attr[0])];
    }
  }
}

void Reduced(const Node& n, const Tensor& x, Tensor& out) {
  const double inf = std::numeric_limits<double>::infinity();
  const bool sum = n.op == Op::kReduceSum, prod = n.op == Op::kReduceProd, max = n.op == Op::kReduceMax;
  std::fill(out.data.begin(), out.data.end(), sum ? 0 : prod ? 1 : max ? -inf : inf);
  const Indices os = Strides(out.type.shape);
  ForEach(x.type.shape, [&](const Indices& i, std::int64_t flat) {
    std::int64_t to = 0;
    std::size_t k = 0;
    for (std::size_t d = 0; d < i.size(); ++d) {
      if (!std::binary_search(n.attr.begin(), n.attr.end(), static_cast<std::int64_t>(d))) to += i[d] * os[k++];
    }
    double& y = out.data[Z(to)];
    y = ApplyBinary(sum ? Op::kAdd : prod ? Op::kMul : max ? Op::kMax : Op::kMin, y, x.data[Z(flat)]);
  });
}

// Operations along the last axis: rows of n entries.
void AlongLast(const Node& node, const Tensor& x, Tensor& out) {
  const std::int64_t n = x.type.shape.back();
  const std::int64_t rows = n ? Count(x.type.shape) / n : 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const double* row = x.data.data() + r * n;
    if (node.op == Op::kArgMax || node.op == Op::kArgMin) {
      const bool max = node.op == Op::kArgMax;
      std::int64_t best = 0;
      for (std::int64_t i = 1; i < n; ++i) {
        if (max ? row[i] > row[best] : row[i] < row[best]) best = i;
      }
      out.data[Z(r)] = static_cast<double>(best);
      continue;
    }
    double* to = out.data.data() + r * n;
    if (node.op == Op::kCumSum) {
      std::partial_sum(row, row + n, to);
      continue;
    }
    Indices order(Z(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return row[a] < row[b]; });
    for (std::int64_t i = 0; i < n; ++i)
      to[i] = node.op == Op::kSort ? row[order[Z(i)]] : static_cast<double>(order[Z(i)]);
  }
}

void Dotted(const Function& f, const Node& n, const Tensor& a, const Tensor& b, Tensor& out) {
  const DotLabels labels = LabelsOf(f, n);
  Indices order;  // result labels, then contracted ones
  Shape extent;
  Indices sa, sb, so;
  const auto add = [&](std::int64_t label) {
    if (std::find(order.begin(), order.end(), label) != order.end()) return;
    const auto stride = [&](const Indices& ls, const Shape& shape) -> std::pair<std::int64_t, std::int64_t> {
      const auto at = std::find(ls.begin(), ls.end(), label);
      if (at == ls.end()) return {0, -1};
      return {Strides(shape)[Z(at - ls.begin())], shape[Z(at - ls.begin())]};
    };
    const auto [da, ea] = stride(labels.a, a.type.shape);
    const auto [db, eb] = stride(labels.b, b.type.shape);
    order.push_back(label);
    extent.push_back(std::max(ea, eb));
    sa.push_back(da), sb.push_back(db), so.push_back(stride(labels.out, out.type.shape).first);
  };
  for (const Indices* part : {&labels.out, &labels.a, &labels.b}) std::for_each(part->begin(), part->end(), add);
  ForEach(extent, [&](const Indices& i, std::int64_t) {
    out.data[Z(Flat(i, so))] += a.data[Z(Flat(i, sa))] * b.data[Z(Flat(i, sb))];
  });
}

// gather and scatter: rows of `tail` entries at (l, index[l, s]).
void Indexed(const Node& n, const Tensor& x, const Tensor& index, Tensor& out) {
  const bool gather = n.op == Op::kGather;
  const Shape& long_shape = gather ? x.type.shape : out.type.shape;
  const std::int64_t lead = n.attr[0], depth = long_shape[Z(lead)];
  const std::int64_t outer = Count({long_shape.begin(), long_shape.begin() + lead});
  const std::int64_t tail = Count({long_shape.begin() + lead + 1, long_shape.end()});
  const std::int64_t steps = Count({index.type.shape.begin() + lead, index.type.shape.end()});
  if (depth == 0) return;  // nothing to read, nothing to add to: zeros stay
  for (std::int64_t l = 0; l < outer; ++l) {
    for (std::int64_t s = 0; s < steps; ++s) {
      const auto at = std::clamp<std::int64_t>(static_cast<std::int64_t>(index.data[Z(l * steps + s)]), 0, depth - 1);
      for (std::int64_t t = 0; t < tail; ++t) {
        const std::size_t near = Z((l * steps + s) * tail + t), far = Z((l * depth + at) * tail + t);
        if (gather) {
          out.data[near] = x.data[far];
        } else {
          out.data[far] += x.data[near];
        }
      }
    }
  }
}

void Matrices(const Node& n, const std::vector<const Tensor*>& in, Tensor& out) {
  const Shape& a = in[0]->type.shape;
  const std::int64_t size = a.back(), many = Count({a.begin(), a.end() - 2});
  const std::int64_t wide = out.type.shape.back(), all = n.op == Op::kSolve ? size * wide : (size + 1) * size;
  for (std::int64_t l = 0; l < many; ++l) {
    const double* matrix = in[0]->data.data() + l * size * size;
    double* to = out.data.data() + l * all;
    if (n.op == Op::kEigen) SymmetricEigen(matrix, size, to);
    else SolveLinear(matrix, in[1]->data.data() + l * all, size, wide, to);
  }
}

Tensor Evaluate(const Function& f, const Node& n, const std::vector<const Tensor*>& in,
                const std::vector<Tensor>& inputs) {
  if (n.op == Op::kInput) return inputs[Z(n.attr[0])];
  Tensor out{n.type, std::vector<double>(Z(Count(n.type.shape)))};
  switch (ClassOf(n.op)) {
    case OpClass::kLeaf:
      for (std::size_t i = 0; i < out.data.size(); ++i) {
        out.data[i] = n.op == Op::kNumber ? n.number : static_cast<double>(n.attr[0]) + static_cast<double>(i);
      }
      break;
    case OpClass::kUnary:
      for (std::size_t i = 0; i < out.data.size(); ++i) out.data[i] = ApplyUnary(n.op, in[0]->data[i]);
      break;
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic:
      for (std::size_t i = 0; i < out.data.size(); ++i) out.data[i] = ApplyBinary(n.op, in[0]->data[i], in[1]->data[i]);
      break;
    case OpClass::kSelect:
      for (std::size_t i = 0; i < out.data.size(); ++i) out.data[i] = in[in[0]->data[i] != 0 ? 1 : 2]->data[i];
      break;
    case OpClass::kShape: Shaped(n, in, out); break;
    case OpClass::kReduce: Reduced(n, *in[0], out); break;
    case OpClass::kArg:
    case OpClass::kAlong: AlongLast(n, *in[0], out); break;
    case OpClass::kContract: Dotted(f, n, *in[0], *in[1], out); break;
    case OpClass::kIndex:
      n.op == Op::kGather ? Indexed(n, *in[0], *in[1], out) : Indexed(n, *in[1], *in[0], out);
      break;
    case OpClass::kMatrix: Matrices(n, in, out); break;
    case OpClass::kLoop:
      InterpretScan(n, in, out, [&](std::int64_t, const std::vector<Tensor>& given) {
        return Interpret(*n.body, given);
      });
      break;
  }
  return out;
}

}  // namespace

// Rows of xs are copied out, rows of ys copied in.
void InterpretScan(const Node& n, const std::vector<const Tensor*>& in, Tensor& out, const ScanStep& see) {
  const ScanForm form = FormOf(n);
  const Function& body = *n.body;
  const Indices offsets = ScanOffsets(n);
  std::vector<Tensor> inputs;
  for (std::size_t k = 0; k < body.inputs.size(); ++k) {
    const bool whole = k < in.size() && (k < form.carries || k >= form.carries + form.xs);
    inputs.push_back(whole ? *in[k] : Tensor{body.inputs[k].type, {}});
  }
  for (std::int64_t s = 0; s < form.steps; ++s) {
    const std::int64_t t = form.reverse ? form.steps - 1 - s : s;
    for (std::size_t k = form.carries; k < form.carries + form.xs; ++k) {
      const auto size = static_cast<std::ptrdiff_t>(Count(inputs[k].type.shape));
      inputs[k].data.assign(in[k]->data.begin() + t * size, in[k]->data.begin() + (t + 1) * size);
    }
    if (form.index) inputs.back().data = {static_cast<double>(t)};
    std::vector<Tensor> outputs = see(t, inputs);
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      if (k < form.carries) {
        inputs[k] = std::move(outputs[k]);
      } else {
        const auto size = static_cast<std::int64_t>(outputs[k].data.size());
        std::copy(outputs[k].data.begin(), outputs[k].data.end(), out.data.begin() + offsets[k] + t * size);
      }
    }
  }
  for (std::size_t k = 0; k < form.carries; ++k) {
    std::copy(inputs[k].data.begin(), inputs[k].data.end(), out.data.begin() + offsets[k]);
  }
}

std::vector<Tensor> InterpretNodes(const Function& function, const std::vector<Tensor>& inputs) {
  AMO_CHECK(inputs.size() == function.inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    AMO_CHECK(inputs[i].data.size() == Z(Count(function.inputs[i].type.shape)), "(input %s)",
              function.inputs[i].name.c_str());
  }
  std::vector<Tensor> values;
  values.reserve(function.nodes.size());
  for (const Node& n : function.nodes) {
    std::vector<const Tensor*> in;
    for (Value a : n.args) in.push_back(&values[Z(a.index)]);
    values.push_back(Evaluate(function, n, in, inputs));
  }
  return values;
}

std::vector<Tensor> Interpret(const Function& function, const std::vector<Tensor>& inputs) {
  const std::vector<Tensor> values = InterpretNodes(function, inputs);
  std::vector<Tensor> outputs;
  for (const Output& o : function.outputs) outputs.push_back(values[Z(o.value.index)]);
  return outputs;
}

}  // namespace amo::compiler
