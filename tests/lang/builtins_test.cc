// SPDX-License-Identifier: Apache-2.0
// The table is whole: names are unique in their space, usages begin with the name, words are found again.
#include "lang/builtins.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace amo::lang {
namespace {

TEST(Builtins, TableIsWhole) {
  std::set<std::pair<Space, std::string_view>> names;
  for (const Builtin& builtin : Builtins()) {
    EXPECT_TRUE(names.insert({builtin.space, builtin.name}).second) << builtin.name;
    EXPECT_TRUE(builtin.usage.starts_with(builtin.name)) << builtin.name;
    EXPECT_EQ(FindBuiltin(builtin.space, builtin.name), &builtin);
    EXPECT_EQ(builtin.space == Space::kFunction, builtin.rule != Rule::kNone) << builtin.name;
    EXPECT_TRUE(builtin.max_args < 0 || builtin.min_args <= builtin.max_args) << builtin.name;
    std::set<std::string_view> params;
    for (const Parameter& param : builtin.params) EXPECT_TRUE(params.insert(param.name).second) << builtin.name;
  }
}

// Every name of language.md's lists is there.
TEST(Builtins, LanguageIsCovered) {
  const auto has = [](Space space, std::initializer_list<const char*> names) {
    for (const char* name : names) EXPECT_NE(FindBuiltin(space, name), nullptr) << name;
  };
  has(Space::kFunction, {"exp",
                         "log",
                         "log10",
                         "expm1",
                         "log1p",
                         "sqrt",
                         "abs",
                         "sign",
                         "sin",
                         "cos",
                         "tan",
                         "arcsin",
                         "arccos",
                         "arctan",
                         "arctan2",
                         "sinh",
                         "cosh",
                         "tanh",
                         "sigmoid",
                         "softplus",
                         "relu",
                         "erf",
                         "lgamma",
                         "xlogx",
                         "clamp",
                         "floor",
                         "dot",
                         "sumsq",
                         "norm1",
                         "norm2",
                         "norminf",
                         "quad",
                         "trace",
                         "det",
                         "logdet",
                         "outer_product",
                         "inverse",
                         "linsolve",
                         "cholesky",
                         "eigvals",
                         "diag",
                         "eye",
                         "block",
                         "spectral",
                         "sum",
                         "mean",
                         "min",
                         "max",
                         "argmin",
                         "argmax",
                         "sort",
                         "cumsum",
                         "softmax",
                         "log_softmax",
                         "logsumexp",
                         "quantile",
                         "concat",
                         "stack",
                         "reshape",
                         "gather",
                         "one_hot",
                         "zeros",
                         "conv1d",
                         "conv2d",
                         "maxpool",
                         "entropy",
                         "last",
                         "normal_logpdf",
                         "scan",
                         "bernoulli_logpdf",
                         "kl_normal",
                         "prod",
                         "any",
                         "all",
                         "grad",
                         "project",
                         "stop",
                         "categorical_logpdf",
                         "sphere_distance"});
  has(Space::kDistribution, {"normal", "uniform", "dirichlet", "bernoulli", "categorical", "exponential", "gamma",
                             "lognormal", "permutation", "init"});
  has(Space::kSet,
      {"box",     "nonnegative", "simplex",          "capped_simplex", "ball",          "ball1",
       "ballinf", "sphere",      "halfspace",        "affine",         "polyhedron",    "second_order_cone",
       "psd",     "spd",         "exponential_cone", "birkhoff",       "permutahedron", "stiefel",
       "binary",  "integers",    "one_of",           "permutation"});
  has(Space::kBuilder, {"mlp", "linear", "resnet", "convnet", "gru", "lstm", "transformer", "deepset", "icnn", "gnn",
                        "chain", "zeros", "nearest", "slow"});
  has(Space::kRefinement,
      {"gradient", "momentum", "adam", "lbfgs", "newton", "interior_point", "projected_gradient", "proximal_gradient",
       "admm", "anderson", "ilqr", "iterate", "cem", "correct", "complete", "riemannian_gradient"});
  has(Space::kGradient, {"unroll", "truncated", "first_order", "implicit", "straight_through", "perturbed", "none"});
  has(Space::kEstimator, {"backprop", "smoothing", "evolution", "score"});
  for (const char* key : {"steps", "epochs", "batch", "rate", "clip", "decay", "betas", "seed", "split", "precision", "infeasible", "constraints",
                          "updates", "replay", "warmup", "episode"}) {
    EXPECT_NE(FindParameter(TrainKeys(), key), nullptr) << key;
  }
}

TEST(Builtins, Domains) {
  EXPECT_TRUE(IsIn(Domain::kNotNegative, 0));
  EXPECT_FALSE(IsIn(Domain::kPositive, 0));
  EXPECT_FALSE(IsIn(Domain::kProbability, 1.5));
  EXPECT_FALSE(IsIn(Domain::kAtLeastOne, 0.5));
}

}  // namespace
}  // namespace amo::lang
