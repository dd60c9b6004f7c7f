// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_BUILD_NETWORK_H_
#define AMO_COMPILER_BUILD_NETWORK_H_

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "compiler/scope.h"

// What the builders of networks share. Values are terms: layers work on their own axes, under any open loops.
namespace amo::compiler {

// One network while its layers are made.
struct Net {
  Scope& s;
  NetworkWeights& weights;
  std::string kind;            // the builder's name
  const lang::Call* settings;  // null: it has none
  lang::Span at;               // the builder
  lang::Span called;           // what calls the network

  // ---- settings by keyword
  const lang::Expr* Find(const std::string& key) const;  // null: not given
  std::int64_t Whole(const std::string& key, std::int64_t otherwise) const;
  std::vector<std::int64_t> Sizes(const std::string& key, std::vector<std::int64_t> otherwise) const;
  std::string Activation(const std::string& otherwise = "relu") const;

  // ---- layers (build_network.cc)
  Term Weight(const Shape& shape, double bound) { return s.WeightOf(weights, shape, bound, called); }
  Term Dense(const Term& x, std::int64_t out);  // along the last axis
  Term Along(const Term& v, const Shape& own);  // a vector for the last axis, repeated along the others
  Term Activated(const std::string& activation, const Term& x);
  Term Joined(const std::vector<Term>& args);    // one vector of all entries
  Term Mlp(Term x, const std::vector<std::int64_t>& hidden, const std::string& activation, std::int64_t out);
  // A kernel for each of `channels` over x [c, h, w] or [c, l], and an offset for each (build_layer.cc).
  Term Convolution(const Term& x, std::int64_t channels, const Shape& size, std::int64_t stride, std::int64_t pad,
                   lang::Span place, std::optional<double> bound = std::nullopt);
  Term Part(const Term& x, std::int64_t from, std::int64_t count) const;  // of a vector
  void NeedsCount(const Term& x, const Shape& result) const;              // refuses another number of entries
};

// Uniform in ±1 / sqrt(fan in), as LibTorch's layers start.
inline double BoundOf(std::int64_t fan_in) { return 1 / std::sqrt(static_cast<double>(fan_in < 1 ? 1 : fan_in)); }

bool IsActivation(const std::string& name);

// Arguments of the network to its result, of any shape with the result's number of entries.
using BuilderFunction = Term (*)(Net& net, const std::vector<Term>& args, const Shape& result);
Term LinearNet(Net& net, const std::vector<Term>& args, const Shape& result);       // build_dense.cc
Term MlpNet(Net& net, const std::vector<Term>& args, const Shape& result);          // build_dense.cc
Term ResidualNet(Net& net, const std::vector<Term>& args, const Shape& result);     // build_dense.cc
Term DeepSet(Net& net, const std::vector<Term>& args, const Shape& result);         // build_dense.cc
Term ConvexNet(Net& net, const std::vector<Term>& args, const Shape& result);       // build_dense.cc
Term Chain(Net& net, const std::vector<Term>& args, const Shape& result);           // build_layer.cc
Term ConvolutionNet(Net& net, const std::vector<Term>& args, const Shape& result);  // build_image.cc
Term ImageResidualNet(Net& net, const Term& image, const Shape& result);            // build_image.cc
Term GraphNet(Net& net, const std::vector<Term>& args, const Shape& result);        // build_graph.cc
Term GruCell(Net& net, const std::vector<Term>& args, const Shape& result);         // build_recurrent.cc
Term LstmCell(Net& net, const std::vector<Term>& args, const Shape& result);        // build_recurrent.cc
Term Transformer(Net& net, const std::vector<Term>& args, const Shape& result);     // build_attention.cc

}  // namespace amo::compiler

#endif  // AMO_COMPILER_BUILD_NETWORK_H_
