// SPDX-License-Identifier: Apache-2.0
// Pads, and concatenations with zeros between their parts, joined.
#include "compiler/simplify_pieces.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "compiler/simplify_scan.h"

namespace amo::compiler {
namespace {

struct Pieces {
  std::int64_t axis = -1;
  std::vector<std::pair<std::int64_t, Value>> parts;  // where each begins
};

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

std::optional<Pieces> PiecesOf(const Builder& b, Value v) {
  const Node& n = b.node(v);
  Pieces out;
  if (n.op == Op::kPad) {
    const Shape& inner = b.shape(n.args[0]);
    for (std::size_t d = 0; d < inner.size(); ++d) {
      if (inner[d] == n.type.shape[d]) continue;
      if (out.axis >= 0) return std::nullopt;
      out.axis = static_cast<std::int64_t>(d);
    }
    if (out.axis < 0) return std::nullopt;
    out.parts.emplace_back(n.attr[Z(out.axis)], n.args[0]);
    return out;
  }
  if (n.op != Op::kConcat) return std::nullopt;
  out.axis = n.attr[0];
  std::int64_t start = 0;
  for (Value part : n.args) {
    if (Everywhere(b, part) != 0.0) out.parts.emplace_back(start, part);
    start += b.shape(part)[Z(out.axis)];
  }
  if (out.parts.size() == n.args.size()) return std::nullopt;  // full
  return out;
}

std::optional<Value> Join(Builder& b, Value p, Value q) {
  auto left = PiecesOf(b, p);
  const auto right = PiecesOf(b, q);
  if (!left || !right || left->axis != right->axis) return std::nullopt;
  left->parts.insert(left->parts.end(), right->parts.begin(), right->parts.end());
  std::sort(left->parts.begin(), left->parts.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  const Shape whole = b.shape(p);
  const std::size_t axis = Z(left->axis);
  std::vector<Value> parts;
  std::int64_t at = 0;
  const auto fill = [&](std::int64_t to) {
    Shape shape = whole;
    shape[axis] = to - at;
    if (to > at) parts.push_back(b.Filled(0, shape));
  };
  for (const auto& [start, part] : left->parts) {
    if (start < at) return std::nullopt;
    fill(start);
    parts.push_back(part);
    at = start + b.shape(part)[axis];
  }
  fill(whole[axis]);
  return b.Concat(std::move(parts), left->axis);
}

}  // namespace

std::optional<Value> JoinPieces(Builder& b, Value p, Value q) {
  if (const auto joined = Join(b, p, q)) return joined;
  for (const auto& [sum, piece] : {std::pair(p, q), std::pair(q, p)}) {
    const Node n = b.node(sum);
    if (n.op != Op::kAdd) continue;
    if (const auto joined = Join(b, n.args[1], piece)) return b.Add(n.args[0], *joined);
    if (const auto joined = Join(b, n.args[0], piece)) return b.Add(*joined, n.args[1]);
  }
  return std::nullopt;
}

}  // namespace amo::compiler
