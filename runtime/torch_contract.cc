// SPDX-License-Identifier: Apache-2.0
// Contractions as one matrix product, gather and scatter as one indexed read or sum over flattened rows.
#include <ATen/ops/add.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/index_add.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scatter_add.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <map>

#include "compiler/check.h"
#include "runtime/torch_execute.h"
#include "runtime/torch_ops.h"

namespace amo::runtime {
namespace {

using compiler::Shape;
using Axes = std::vector<std::int64_t>;

constexpr std::int64_t kBatch = -1;  // the batch's label; the IR's are not negative

bool Has(const Axes& axes, std::int64_t label) { return std::find(axes.begin(), axes.end(), label) != axes.end(); }

struct Labelled {
  at::Tensor tensor;
  Axes labels;
};

// Sums over the axes whose labels nothing else has.
Labelled WithoutLonely(Labelled x, const Axes& other, const Axes& out) {
  Axes lonely, kept;
  for (std::size_t d = 0; d < x.labels.size(); ++d) {
    if (Has(other, x.labels[d]) || Has(out, x.labels[d])) {
      kept.push_back(x.labels[d]);
    } else {
      lonely.push_back(static_cast<std::int64_t>(d));
    }
  }
  if (lonely.empty()) return x;
  return {at::sum(x.tensor, lonely), kept};
}

// The axes of x in the order of `labels`; a label that x lacks becomes an axis of extent 1.
at::Tensor Ordered(const Labelled& x, const Axes& labels) {
  Axes order;
  for (std::int64_t label : labels) {
    const auto at = std::find(x.labels.begin(), x.labels.end(), label);
    if (at != x.labels.end()) order.push_back(at - x.labels.begin());
  }
  at::Tensor y = x.tensor.permute(order);
  for (std::size_t d = 0; d < labels.size(); ++d) {
    if (!Has(x.labels, labels[d])) y = y.unsqueeze(static_cast<std::int64_t>(d));
  }
  return y;
}

Axes Joined(const Axes& a, const Axes& b) {
  Axes joined = a;
  joined.insert(joined.end(), b.begin(), b.end());
  return joined;
}

at::Tensor Contract(const Labelled& a, const Labelled& b, const Axes& out) {
  Axes both, summed, left, right;
  std::map<std::int64_t, std::int64_t> extent;
  const auto count = [&](const Axes& labels) {
    std::int64_t product = 1;
    for (std::int64_t label : labels) product *= extent[label];
    return product;
  };
  for (std::size_t d = 0; d < a.labels.size(); ++d) {
    const std::int64_t label = a.labels[d];
    extent[label] = a.tensor.size(static_cast<std::int64_t>(d));
    (!Has(b.labels, label) ? left : Has(out, label) ? both : summed).push_back(label);
  }
  for (std::size_t d = 0; d < b.labels.size(); ++d) {
    extent[b.labels[d]] = b.tensor.size(static_cast<std::int64_t>(d));
    if (!Has(a.labels, b.labels[d])) right.push_back(b.labels[d]);
  }
  if (summed.empty()) return at::mul(Ordered(a, out), Ordered(b, out));
  if (left.empty() && right.empty()) {
    const Axes order = Joined(out, summed);
    Axes last;
    for (std::size_t d = out.size(); d < order.size(); ++d) last.push_back(static_cast<std::int64_t>(d));
    return at::sum(at::mul(Ordered(a, order), Ordered(b, order)), last);
  }
  const std::int64_t nb = count(both), nl = count(left), nr = count(right), ns = count(summed);
  const at::Tensor x = Ordered(a, Joined(Joined(both, left), summed));
  const at::Tensor y = Ordered(b, Joined(Joined(both, summed), right));
  const at::Tensor product = both.empty() ? at::mm(x.reshape({nl, ns}), y.reshape({ns, nr}))
                                          : at::bmm(x.reshape({nb, nl, ns}), y.reshape({nb, ns, nr}));
  const Axes labels = Joined(Joined(both, left), right);
  Axes sizes;
  for (std::int64_t label : labels) sizes.push_back(extent[label]);
  return Ordered({product.reshape(sizes), labels}, out);
}

std::int64_t Product(at::IntArrayRef sizes, std::int64_t from, std::int64_t to) {
  std::int64_t product = 1;
  for (std::int64_t d = from; d < to; ++d) product *= sizes[static_cast<std::size_t>(d)];
  return product;
}

// index clamped to 0..depth-1, plus depth times the number of its leading row: `lead` axes of the index are those of
// the array that is indexed.
at::Tensor Rows(const at::Tensor& index, std::int64_t lead, std::int64_t depth) {
  at::Tensor rows = at::clamp(index, 0, depth - 1);
  const std::int64_t outer = Product(index.sizes(), 0, lead);
  if (outer == 1) return rows;
  Axes sizes(static_cast<std::size_t>(index.dim()), 1);
  std::copy_n(index.sizes().begin(), lead, sizes.begin());
  return at::add(rows, at::arange(0, outer * depth, depth, index.options()).reshape(sizes));
}

at::Tensor WithBatch(const Operand& x, const Place& place) {
  if (x.varies) return x.tensor;
  Axes sizes = x.tensor.sizes().vec();
  sizes.insert(sizes.begin(), place.batch);
  return x.tensor.expand(sizes);
}

}  // namespace

// A layer x W with x by instance and W shared has the batch among the left labels, so it is one matrix product.
at::Tensor ExecuteDot(const Function& f, const Node& n, const Operand& a, const Operand& b, const Place&) {
  const compiler::DotLabels labels = compiler::LabelsOf(f, n);
  Labelled x{a.tensor, labels.a}, y{b.tensor, labels.b};
  Axes out = labels.out;
  if (a.varies) x.labels.insert(x.labels.begin(), kBatch);
  if (b.varies) y.labels.insert(y.labels.begin(), kBatch);
  if (a.varies || b.varies) out.insert(out.begin(), kBatch);
  x = WithoutLonely(std::move(x), y.labels, out);
  y = WithoutLonely(std::move(y), x.labels, out);
  return Contract(x, y, out);
}

at::Tensor ExecuteGather(const Node& n, const Operand& x, const Operand& index, const Place& place) {
  const std::int64_t axis = n.attr[0] + x.lead(), depth = x.tensor.size(axis);
  const Axes sizes = Sizes(x.varies || index.varies, n.type.shape, place);
  if (depth == 0) return at::zeros(sizes, x.tensor.options());
  if (n.attr[0] == 0 && !index.varies) {
    return at::index_select(x.tensor, axis, at::clamp(index.tensor, 0, depth - 1).reshape({-1})).reshape(sizes);
  }
  // A shared array is not repeated for each instance: an instance's index reads the same rows.
  at::Tensor rows;
  if (x.varies) {
    rows = Rows(WithBatch(index, place), axis, depth);
  } else if (index.varies && n.attr[0] > 0) {
    const at::Tensor first = at::zeros(index.tensor.sizes().slice(1), index.tensor.options());
    rows = at::add(Rows(first, axis, depth), at::clamp(index.tensor, 0, depth - 1));
  } else {
    rows = Rows(index.tensor, axis, depth);
  }
  rows = rows.reshape({-1});
  const std::int64_t outer = Product(x.tensor.sizes(), 0, axis);
  const std::int64_t tail = Product(x.tensor.sizes(), axis + 1, x.tensor.dim());
  if (tail == 1) return at::index_select(x.tensor.reshape({outer * depth}), 0, rows).reshape(sizes);
  const at::Tensor wide = rows.unsqueeze(1).expand({rows.size(0), tail});
  return at::gather(x.tensor.reshape({outer * depth, tail}), 0, wide).reshape(sizes);
}

at::Tensor ExecuteScatter(const Node& n, const Operand& index, const Operand& g, const Place& place) {
  const bool varies = index.varies || g.varies;
  const std::int64_t axis = n.attr[0] + (varies ? 1 : 0), depth = n.attr[1];
  const Axes sizes = Sizes(varies, n.type.shape, place);
  if (depth == 0) return at::zeros(sizes, place.real);
  const at::Tensor all = varies ? WithBatch(index, place) : index.tensor;
  const at::Tensor values = varies ? WithBatch(g, place) : g.tensor;
  const at::Tensor rows = Rows(all, axis, depth).reshape({-1});
  const std::int64_t outer = Product(all.sizes(), 0, axis);
  const std::int64_t tail = Product(values.sizes(), all.dim(), values.dim());
  if (tail == 1) {
    return at::index_add(at::zeros({outer * depth}, place.real), 0, rows, values.reshape({-1})).reshape(sizes);
  }
  const at::Tensor wide = rows.unsqueeze(1).expand({rows.size(0), tail});
  const at::Tensor zeros = at::zeros({outer * depth, tail}, place.real);
  return at::scatter_add(zeros, 0, wide, values.reshape({rows.size(0), tail})).reshape(sizes);
}

}  // namespace amo::runtime
