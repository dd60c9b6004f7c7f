// SPDX-License-Identifier: Apache-2.0
// Graph networks: every node reads its neighbours (Morris et al. 2019, the layer GraphConv).
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "compiler/build_network.h"

namespace amo::compiler {
namespace {

constexpr const char* kGraphHelp =
    "a graph is a matrix `real[n, n]`, entry [i, j] the weight of the edge to i from j, or a list of edges "
    "`int[e, 2]`, each from its first node to its second";

// One end of all edges.
Term Ends(Scope& s, const Term& edges, std::int64_t column) {
  std::vector<std::int64_t> starts(edges.axes.size() + 2);
  Shape shape = s.b.shape(edges.value);
  starts.back() = column, shape.back() = 1;
  return s.Reshaped({s.b.Slice(edges.value, starts, shape), edges.axes, false, -1, 0}, {s.Own(edges)[0]});
}

// For each node the sum over its neighbours of their rows of h [n, d].
Term Gathered(Scope& s, const Term& h, const Term& graph) {
  if (s.Type(graph) != Elem::kInt) return s.Contract(graph, h, {0, 1}, {1, 2}, {0, 2});
  const Term sent = s.GatherOne(h, 0, Ends(s, graph, 0)), to = Ends(s, graph, 1);
  std::vector<int> axes;
  std::set_union(sent.axes.begin(), sent.axes.end(), to.axes.begin(), to.axes.end(), std::back_inserter(axes));
  const Term index = s.Widen(to, axes, s.Own(to)), rows = s.Widen(sent, axes, s.Own(sent));
  const auto loops = static_cast<std::int64_t>(axes.size());
  return {s.b.Scatter(index.value, rows.value, loops, s.Own(h)[0]), axes, false, -1, 0};
}

}  // namespace

// The first argument has a row of features, or a number, for each node; the second is the graph; what else is given
// every node knows. A layer: act(W h_i + V sum_j a_ij h_j + b). Its rows → [n, m] node by node, or their mean → any
// other shape.
Term GraphNet(Net& net, const std::vector<Term>& args, const Shape& result) {
  Scope& s = net.s;
  const Shape own = args.empty() ? Shape{} : s.Own(args[0]);
  if (args.size() < 2 || own.empty() || own[0] < 1)
    s.Refuse(lang::Code::kShapeMismatch, net.at, "`gnn` takes the features of nodes, and a graph", kGraphHelp);
  const std::int64_t nodes = own[0];
  const Term& graph = args[1];
  const bool list = s.Type(graph) == Elem::kInt;
  if (s.Own(graph).size() != 2 || s.Own(graph)[1] != (list ? 2 : nodes) || (!list && s.Own(graph)[0] != nodes))
    s.Refuse(lang::Code::kShapeMismatch, net.at,
             fmt::format("`gnn` of {} nodes over a graph of shape `[{}]`", nodes, fmt::join(s.Own(graph), ", ")),
             kGraphHelp);
  Term h = s.Reshaped(s.Real(args[0]), {nodes, Count(own) / nodes});
  if (args.size() > 2) {
    const Term all = net.Joined({args.begin() + 2, args.end()});
    h = s.Concat({h, s.Spread(all, {-1, 0}, {nodes, s.Own(all)[0]})}, 1, net.at);
  }
  const std::int64_t layers = net.Whole("layers", 2), width = net.Whole("hidden", 64);
  const std::string activation = net.Activation();
  for (std::int64_t k = 0; k < layers; ++k) {
    const std::int64_t in = s.Own(h)[1];
    const Term own_part = net.Dense(h, width);
    const Term matrix = net.Weight({width, in}, BoundOf(in));
    const Term theirs = s.Contract(Gathered(s, h, list ? graph : s.Real(graph)), matrix, {0, 1}, {2, 1}, {0, 2});
    h = net.Activated(activation, s.Add(own_part, theirs));
  }
  const bool rows = !result.empty() && result[0] == nodes;
  if (rows) return net.Dense(h, Count(result) / nodes);
  return net.Dense(s.Div(s.ReduceOwn(Op::kReduceSum, h, {0}), s.Number(static_cast<double>(nodes))), Count(result));
}

}  // namespace amo::compiler
