// SPDX-License-Identifier: Apache-2.0
// A contraction with the batch as one more axis, compiled in the form for one instance: a blocked matrix product.
#include "runtime/batch_product.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/sum.h>

#include "runtime/parallel.h"

namespace amo::runtime {
namespace {

using compiler::Builder;
using compiler::DotLabels;
using compiler::Elem;
using compiler::Function;
using compiler::Value;

constexpr std::int64_t kBatch = -1;  // no label of an axis

bool Has(const std::vector<std::int64_t>& labels, std::int64_t label) {
  return std::count(labels.begin(), labels.end(), label) > 0;
}

// A factor [batch, ...] without the axes that neither the other one nor the result has, which are summed.
struct Factor {
  at::Tensor tensor;
  std::vector<std::int64_t> labels;  // the batch first
};

Factor WithoutLonely(const at::Tensor& t, const std::vector<std::int64_t>& own, const std::vector<std::int64_t>& other,
                     const std::vector<std::int64_t>& out) {
  std::vector<std::int64_t> lonely, kept{kBatch};
  for (std::size_t d = 0; d < own.size(); ++d) {
    if (Has(other, own[d]) || Has(out, own[d])) kept.push_back(own[d]);
    else lonely.push_back(static_cast<std::int64_t>(d) + 1);
  }
  return {lonely.empty() ? t : at::sum(t, lonely), kept};
}

// `count` first axes as one, which they are in memory; [parts, rows, ...] of it.
at::Tensor Merge(Factor& f, std::size_t count, std::int64_t parts) {
  std::vector<std::int64_t> sizes{parts, f.tensor.size(0) / parts};
  for (std::size_t d = 1; d < f.labels.size(); ++d) {
    const std::int64_t n = f.tensor.size(static_cast<std::int64_t>(d));
    if (d < count) sizes[1] *= n;
    else sizes.push_back(n);
  }
  f.labels.erase(f.labels.begin() + 1, f.labels.begin() + static_cast<std::ptrdiff_t>(count));
  return f.tensor.reshape(sizes);
}

Function Product(const Factor& a, const at::Tensor& x, const Factor& b, const at::Tensor& y,
                 const std::vector<std::int64_t>& out) {
  Builder builder("batch product");
  const auto input = [&](const char* name, const at::Tensor& t) {
    return builder.Input(name, compiler::Role::kInstance, {Elem::kReal, t.sizes().slice(1).vec()});
  };
  const Value left = input("a", x), right = input("b", y);
  builder.Output("product", builder.Dot(left, right, a.labels, b.labels, out));
  return builder.Finish();
}

}  // namespace

BatchProduct::BatchProduct(DotLabels labels, const compiler::KernelOptions& options)
    : labels_(std::move(labels)), options_(options) {
  options_.lanes = 1;
}

at::Tensor BatchProduct::operator()(const at::Tensor& a, const at::Tensor& b) {
  constexpr std::int64_t kLargest = 48 << 10;  // entries of both factors that are read again and again
  const std::int64_t batch = a.size(0);
  std::int64_t parts = batch > 0 && batch % Threads() == 0 ? Threads() : 1;
  while (batch % (2 * parts) == 0 && (a.numel() + b.numel()) / parts > kLargest) parts *= 2;
  Factor x = WithoutLonely(a, labels_.a, labels_.b, labels_.out);
  Factor y = WithoutLonely(b, labels_.b, x.labels, labels_.out);
  std::size_t same = 1;  // axes that both begin with and that are summed, together with the batch
  while (same < x.labels.size() && same < y.labels.size() && x.labels[same] == y.labels[same] &&
         !Has(labels_.out, x.labels[same]))
    ++same;
  const at::Tensor left = Merge(x, same, parts), right = Merge(y, same, parts);
  if (!kernel_ || left.size(1) != rows_) kernel_.emplace(Product(x, left, y, right, labels_.out), options_);
  rows_ = left.size(1);
  const at::Tensor each = (*kernel_)({left, right})[0];
  return parts == 1 ? each.select(0, 0) : at::sum(each, at::IntArrayRef{0});
}

}  // namespace amo::runtime
