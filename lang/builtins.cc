// SPDX-License-Identifier: Apache-2.0
// The tables of the language: one line for each thing it brings along.
#include "lang/builtins.h"

#include <algorithm>
#include <cmath>

namespace amo::lang {
namespace {

using S = Space;
using R = Rule;
using A = Accepts;
using D = Domain;

constexpr Parameter kPadStride[] = {{"pad", A::kWhole, D::kNotNegative}, {"stride", A::kWhole, D::kAtLeastOne}};

// ---- distributions
constexpr Parameter kNormal[] = {{"mean", A::kArray}, {"deviation", A::kArray, D::kNotNegative}};
constexpr Parameter kUniform[] = {{"lo", A::kArray}, {"hi", A::kArray}};
constexpr Parameter kDirichlet[] = {{"concentration", A::kArray, D::kPositive}};
constexpr Parameter kProbability[] = {{"p", A::kArray, D::kProbability}};
constexpr Parameter kRate[] = {{"rate", A::kArray, D::kPositive}};
constexpr Parameter kGamma[] = {{"shape", A::kArray, D::kPositive}, {"rate", A::kArray, D::kPositive}};
constexpr Parameter kInit[] = {{"network", A::kNetwork}};

// ---- sets
constexpr Parameter kBox[] = {{"lo", A::kArray}, {"hi", A::kArray}};
constexpr Parameter kRadius[] = {{"r", A::kNumber, D::kPositive}};
constexpr Parameter kCount[] = {{"k", A::kNumber, D::kPositive}};
constexpr Parameter kHalfspace[] = {{"a", A::kArray}, {"b", A::kNumber}};
constexpr Parameter kAffine[] = {{"A", A::kArray}, {"b", A::kArray}};

// ---- builders and layers
constexpr Parameter kMlp[] = {{"hidden", A::kSizes}, {"activation", A::kActivation}};
constexpr Parameter kLayers[] = {{"layers", A::kWhole, D::kAtLeastOne}};
constexpr Parameter kCells[] = {{"layers", A::kWhole, D::kAtLeastOne}, {"hidden", A::kWhole, D::kAtLeastOne}};
constexpr Parameter kResnet[] = {
    {"layers", A::kWhole, D::kAtLeastOne}, {"hidden", A::kWhole, D::kAtLeastOne}, {"activation", A::kActivation}};
constexpr Parameter kConvnet[] = {{"channels", A::kSizes}, {"hidden", A::kSizes}, {"activation", A::kActivation}};
constexpr Parameter kTransformer[] = {
    {"layers", A::kWhole, D::kAtLeastOne}, {"heads", A::kWhole, D::kAtLeastOne}, {"hidden", A::kWhole, D::kAtLeastOne}};
constexpr Parameter kGnn[] = {
    {"layers", A::kWhole, D::kAtLeastOne}, {"hidden", A::kWhole, D::kAtLeastOne}, {"activation", A::kActivation}};
constexpr Parameter kSlow[] = {{"network", A::kNetwork}, {"tau", A::kNumber, D::kProbability}};
constexpr Parameter kNearest[] = {{"count", A::kWhole, D::kAtLeastOne}};
constexpr Parameter kDense[] = {{"size", A::kWhole, D::kAtLeastOne}};
constexpr Parameter kConv[] = {{"channels", A::kWhole, D::kAtLeastOne},
                               {"size", A::kWhole, D::kAtLeastOne},
                               {"stride", A::kWhole, D::kAtLeastOne},
                               {"pad", A::kWhole, D::kNotNegative}};
constexpr Parameter kPool[] = {{"size", A::kWhole, D::kAtLeastOne}, {"stride", A::kWhole, D::kAtLeastOne}};

// ---- refinements: what all of them take comes first
#define AMO_COMMON                                                                                        \
  {"steps", A::kWhole, D::kNotNegative}, {"tol", A::kNumber, D::kPositive}, {"gradient", A::kGradient}, { \
    "safeguard", A::kBool                                                                                 \
  }
constexpr Parameter kCommon[] = {AMO_COMMON};
constexpr Parameter kDescent[] = {AMO_COMMON, {"rate", A::kNumber, D::kPositive}, {"clip", A::kNumber, D::kPositive}};
constexpr Parameter kMomentum[] = {AMO_COMMON,
                                   {"rate", A::kNumber, D::kPositive},
                                   {"decay", A::kNumber, D::kProbability},
                                   {"clip", A::kNumber, D::kPositive}};
constexpr Parameter kAdam[] = {
    AMO_COMMON, {"rate", A::kNumber, D::kPositive}, {"clip", A::kNumber, D::kPositive}, {"betas", A::kSizes}};
constexpr Parameter kMemory[] = {AMO_COMMON,
                                 {"memory", A::kWhole, D::kAtLeastOne},
                                 {"rate", A::kNumber, D::kPositive},
                                 {"halvings", A::kWhole, D::kNotNegative}};
constexpr Parameter kNewton[] = {AMO_COMMON,
                                 {"damping", A::kNumber, D::kNotNegative},
                                 {"rate", A::kNumber, D::kPositive},
                                 {"halvings", A::kWhole, D::kNotNegative}};
constexpr Parameter kProximal[] = {AMO_COMMON, {"rate", A::kNumber, D::kPositive}, {"accelerate", A::kBool}};
constexpr Parameter kAdmm[] = {AMO_COMMON, {"rho", A::kNumber, D::kPositive}, {"relaxation", A::kNumber, D::kPositive}};
constexpr Parameter kAnderson[] = {
    AMO_COMMON, {"memory", A::kWhole, D::kAtLeastOne}, {"relaxation", A::kNumber, D::kPositive}};
constexpr Parameter kCem[] = {AMO_COMMON,
                              {"samples", A::kWhole, D::kAtLeastOne},
                              {"elites", A::kWhole, D::kAtLeastOne},
                              {"sigma", A::kArray, D::kPositive},
                              {"temperature", A::kNumber, D::kPositive}};
constexpr Parameter kCorrect[] = {
    AMO_COMMON, {"rate", A::kNumber, D::kPositive}, {"momentum", A::kNumber, D::kProbability}};
#undef AMO_COMMON

// ---- gradient modes and estimators
constexpr Parameter kTruncated[] = {{"k", A::kWhole, D::kAtLeastOne}};
constexpr Parameter kImplicit[] = {
    {"method", A::kWord}, {"steps", A::kWhole, D::kAtLeastOne}, {"tol", A::kNumber, D::kPositive}};
constexpr Parameter kSampled[] = {{"sigma", A::kNumber, D::kPositive}, {"samples", A::kWhole, D::kAtLeastOne}};
constexpr Parameter kSamples[] = {{"samples", A::kWhole, D::kAtLeastOne}};

constexpr Builtin Function(std::string_view usage, int min_args, int max_args, Rule rule, bool reduces = false,
                           std::span<const Parameter> params = {}) {
  const std::string_view name = usage.substr(0, usage.find('('));
  return {.name = name,
          .space = S::kFunction,
          .usage = usage,
          .min_args = min_args,
          .max_args = max_args,
          .params = params,
          .rule = rule,
          .reduces = reduces};
}

constexpr Builtin Map(std::string_view usage, Rule rule = R::kMap) { return Function(usage, 1, 1, rule); }

constexpr Builtin Dist(std::string_view usage, int min_args, int max_args, std::span<const Parameter> params,
                       int rank = 0, Elem elem = Elem::kReal) {
  return {.name = usage.substr(0, usage.find('(')),
          .space = S::kDistribution,
          .usage = usage,
          .min_args = min_args,
          .max_args = max_args,
          .params = params,
          .rank = rank,
          .elem = elem};
}

constexpr Builtin Set(std::string_view usage, int args, std::span<const Parameter> params, int rank,
                      bool square = false) {
  return {.name = usage.substr(0, usage.find('(')),
          .space = S::kSet,
          .usage = usage,
          .min_args = args,
          .max_args = args,
          .params = params,
          .rank = rank,
          .square = square};
}

constexpr Builtin Part(Space space, std::string_view usage, int min_args, int max_args,
                       std::span<const Parameter> params = {}, bool learns = false) {
  return {.name = usage.substr(0, usage.find('(')),
          .space = space,
          .usage = usage,
          .min_args = min_args,
          .max_args = max_args,
          .params = params,
          .learns = learns};
}

constexpr Builtin Refinement(std::string_view name, std::span<const Parameter> params, bool follows_objective = true) {
  return {.name = name,
          .space = S::kRefinement,
          .usage = name,
          .min_args = 0,
          .max_args = 0,
          .params = params,
          .follows_objective = follows_objective};
}

constexpr Builtin kBuiltins[] = {
    Map("exp(x)"),
    Map("log(x)"),
    Map("log10(x)"),
    Map("expm1(x)"),
    Map("log1p(x)"),
    Map("sqrt(x)"),
    Map("abs(x)", R::kMapKeep),
    Map("sign(x)", R::kMapKeep),
    Map("sin(x)"),
    Map("cos(x)"),
    Map("tan(x)"),
    Map("arcsin(x)"),
    Map("arccos(x)"),
    Map("arctan(x)"),
    Map("sinh(x)"),
    Map("cosh(x)"),
    Map("tanh(x)"),
    Map("sigmoid(x)"),
    Map("softplus(x)"),
    Map("relu(x)", R::kMapKeep),
    Map("erf(x)"),
    Map("lgamma(x)"),
    Map("xlogx(x)"),
    Map("floor(x)", R::kMapToInt),
    Function("arctan2(y, x)", 2, 2, R::kMapTwo),
    Function("clamp(x, lo, hi)", 3, 3, R::kClamp),

    Function("sum(a)", 1, 1, R::kTotal, true),
    Function("prod(a)", 1, 1, R::kTotal, true),
    Function("mean(a)", 1, 1, R::kMean, true),
    Function("min(a, …)", 1, -1, R::kExtreme, true),
    Function("max(a, …)", 1, -1, R::kExtreme, true),
    Function("any(a)", 1, 1, R::kLogic, true),
    Function("all(a)", 1, 1, R::kLogic, true),
    Function("logsumexp(a)", 1, 1, R::kMean, true),
    Function("scan(z = START, t in n: STEP)", 1, 1, R::kScan, true),

    Function("dot(a, b)", 2, 2, R::kDot),
    Function("sumsq(a)", 1, 1, R::kMean),
    Function("norm1(v)", 1, 1, R::kNorm),
    Function("norm2(v)", 1, 1, R::kNorm),
    Function("norminf(v)", 1, 1, R::kNorm),
    Function("quad(P, v)", 2, 2, R::kQuad),
    Function("outer_product(a, b)", 2, 2, R::kOuter),
    Function("trace(A)", 1, 1, R::kSquareToReal),
    Function("det(A)", 1, 1, R::kSquareToReal),
    Function("logdet(A)", 1, 1, R::kSquareToReal),
    Function("inverse(A)", 1, 1, R::kSquare),
    Function("cholesky(A)", 1, 1, R::kSquare),
    Function("linsolve(A, b)", 2, 2, R::kLinsolve),
    Function("eigvals(A)", 1, 1, R::kEigvals),
    Function("spectral(f, A)", 2, 2, R::kSpectral),
    Function("diag(v)", 1, 1, R::kDiag),
    Function("eye(n)", 1, 1, R::kEye),
    Function("block([[A, B], [C, D]])", 1, 1, R::kBlock),

    Function("argmin(v)", 1, 1, R::kWhere),
    Function("argmax(v)", 1, 1, R::kWhere),
    Function("sort(v)", 1, 1, R::kVector),
    Function("cumsum(v)", 1, 1, R::kVector),
    Function("softmax(v)", 1, 1, R::kVector),
    Function("log_softmax(v)", 1, 1, R::kVector),
    Function("quantile(v, q)", 2, 2, R::kQuantile),

    Function("concat(a, b, …)", 1, -1, R::kConcat),
    Function("stack(a, b, …)", 1, -1, R::kStack),
    Function("reshape(a, [n, m])", 2, 2, R::kReshape),
    Function("gather(a, indices)", 2, 2, R::kGather),
    Function("one_hot(i, n)", 2, 2, R::kOneHot),
    Function("zeros(n, …)", 1, -1, R::kZeros),
    Function("last(a)", 1, 1, R::kLast),
    Function("size(a)", 1, 1, R::kSize),
    Function("conv1d(a, kernel)", 2, 2, R::kConv1d, false, kPadStride),
    Function("conv2d(a, kernel)", 2, 2, R::kConv2d, false, kPadStride),
    Function("maxpool(a, size)", 2, 2, R::kMaxpool, false, std::span(kPadStride).subspan(1)),

    Function("normal_logpdf(x, mean, deviation)", 3, 3, R::kLogpdf),
    Function("bernoulli_logpdf(x, p)", 2, 2, R::kLogpdf),
    Function("categorical_logpdf(x, p)", 2, 2, R::kCategorical),
    Function("kl_normal(mean, deviation)", 2, 2, R::kTwoReal),
    Function("entropy(p)", 1, 1, R::kNorm),
    Function("sphere_distance(a, b)", 2, 2, R::kDot),

    Function("grad(E, x)", 2, 2, R::kGrad),
    Function("project(v, SET)", 2, 2, R::kProject),
    Function("stop(E)", 1, 1, R::kStop),
    Function("solved(y)", 1, 1, R::kSolved),
    Function("expect(E)", 1, 1, R::kExpect),
    Function("next(E)", 1, 2, R::kNext),
    Function("weights(network)", 1, 1, R::kWeights),
    Function("learned(start)", 1, 1, R::kLearned),

    Dist("normal(mean, deviation)", 2, 2, kNormal),
    Dist("uniform(lo, hi)", 1, 2, kUniform),
    Dist("dirichlet(concentration)", 1, 1, kDirichlet, 1),
    Dist("bernoulli(p)", 1, 1, kProbability, 0, Elem::kInt),
    Dist("categorical(p)", 1, 1, kProbability, 0, Elem::kInt),
    Dist("exponential(rate)", 1, 1, kRate),
    Dist("gamma(shape, rate)", 2, 2, kGamma),
    Dist("lognormal(mean, deviation)", 2, 2, kNormal),
    Dist("permutation", 0, 0, {}, 1, Elem::kInt),
    Dist("init(network)", 1, 1, kInit, 1),

    Set("box(lo, hi)", 2, kBox, 0),
    Set("nonnegative", 0, {}, 0),
    Set("simplex", 0, {}, 1),
    Set("capped_simplex(k)", 1, kCount, 1),
    Set("ball(r)", 1, kRadius, 1),
    Set("ball1(r)", 1, kRadius, 1),
    Set("ballinf(r)", 1, kRadius, 1),
    Set("sphere", 0, {}, 1),
    Set("halfspace(a, b)", 2, kHalfspace, 1),
    Set("affine(A, b)", 2, kAffine, 1),
    Set("polyhedron(A, b)", 2, kAffine, 1),
    Set("second_order_cone", 0, {}, 1),
    Set("psd", 0, {}, 2, true),
    Set("spd", 0, {}, 2, true),
    Set("exponential_cone", 0, {}, 1),
    Set("birkhoff", 0, {}, 2, true),
    Set("permutahedron", 0, {}, 1),
    Set("stiefel", 0, {}, 2),
    Set("binary", 0, {}, 0),
    Set("integers(lo, hi)", 2, kBox, 0),
    Set("one_of", 0, {}, 1),
    Set("permutation", 0, {}, 2, true),

    Part(S::kBuilder, "mlp(hidden = [64])", 0, 0, kMlp, true),
    Part(S::kBuilder, "linear", 0, 0, {}, true),
    Part(S::kBuilder, "resnet(layers = 18)", 0, 0, kResnet, true),
    Part(S::kBuilder, "convnet(channels = [16, 32])", 0, 0, kConvnet, true),
    Part(S::kBuilder, "gru(layers = 1)", 0, 0, kCells, true),
    Part(S::kBuilder, "lstm(layers = 1)", 0, 0, kCells, true),
    Part(S::kBuilder, "transformer(layers = 2)", 0, 0, kTransformer, true),
    Part(S::kBuilder, "deepset(hidden = [64])", 0, 0, kMlp, true),
    Part(S::kBuilder, "icnn(hidden = [64])", 0, 0, kMlp, true),
    Part(S::kBuilder, "gnn(layers = 2)", 0, 0, kGnn, true),
    Part(S::kBuilder, "chain(layer, …)", 1, -1, {}, true),
    Part(S::kBuilder, "zeros", 0, 0),
    Part(S::kBuilder, "nearest(count = 1000)", 0, 0, kNearest),
    Part(S::kBuilder, "slow(network, tau = 0.005)", 1, 1, kSlow),

    Part(S::kLayer, "dense(size)", 1, 1, kDense),
    Part(S::kLayer, "conv(channels, size)", 2, 2, kConv),
    Part(S::kLayer, "conv1d(channels, size)", 2, 2, kConv),
    Part(S::kLayer, "deconv(channels, size)", 2, 2, kConv),
    Part(S::kLayer, "maxpool(size)", 1, 1, kPool),
    Part(S::kLayer, "flatten", 0, 0),
    Part(S::kLayer, "reshape(n, …)", 1, -1),

    Part(S::kActivation, "relu", 0, 0),
    Part(S::kActivation, "elu", 0, 0),
    Part(S::kActivation, "tanh", 0, 0),
    Part(S::kActivation, "sigmoid", 0, 0),
    Part(S::kActivation, "softplus", 0, 0),
    Part(S::kActivation, "gelu", 0, 0),
    Part(S::kActivation, "silu", 0, 0),

    Refinement("gradient", kDescent),
    Refinement("momentum", kMomentum),
    Refinement("adam", kAdam),
    Refinement("lbfgs", kMemory),
    Refinement("newton", kNewton),
    Refinement("interior_point", kCommon),
    Refinement("projected_gradient", kDescent),
    Refinement("proximal_gradient", kProximal),
    Refinement("admm", kAdmm),
    Refinement("qp", kCommon),
    Refinement("ipopt", kCommon),
    Refinement("anderson", kAnderson, false),
    Refinement("ilqr", kNewton),
    Refinement("iterate", kCommon, false),
    Refinement("cem", kCem),
    Refinement("correct", kCorrect, false),
    Refinement("complete", kCommon, false),
    Refinement("riemannian_gradient", kDescent),

    Part(S::kGradient, "unroll", 0, 0),
    Part(S::kGradient, "truncated(k)", 1, 1, kTruncated),
    Part(S::kGradient, "first_order", 0, 0),
    Part(S::kGradient, "implicit(cg, steps = 5)", 0, 1, kImplicit),
    Part(S::kGradient, "straight_through", 0, 0),
    Part(S::kGradient, "perturbed(sigma, samples)", 0, 2, kSampled),
    Part(S::kGradient, "none", 0, 0),

    Part(S::kEstimator, "backprop", 0, 0),
    Part(S::kEstimator, "smoothing(sigma, samples)", 0, 2, kSampled),
    Part(S::kEstimator, "evolution(sigma, samples)", 0, 2, kSampled),
    Part(S::kEstimator, "score(samples)", 0, 1, kSamples),

    Part(S::kSimulator, "mujoco(\"NAME\")", 1, 1),
};

constexpr Parameter kTrainKeys[] = {
    {"steps", A::kNumber, D::kAtLeastOne},
    {"epochs", A::kNumber, D::kPositive},
    {"batch", A::kNumber, D::kAtLeastOne},
    {"rate", A::kNumber, D::kPositive},
    {"clip", A::kNumber, D::kPositive},
    {"decay", A::kNumber, D::kNotNegative},
    {"betas", A::kSizes},
    {"seed", A::kNumber},
    {"split", A::kWord, D::kProbability},
    {"precision", A::kNumber, D::kAtLeastOne},
    {"infeasible", A::kWord},
    {"constraints", A::kWord},
    {"updates", A::kNumber, D::kPositive},
    {"replay", A::kNumber, D::kAtLeastOne},
    {"warmup", A::kNumber, D::kNotNegative},
    {"episode", A::kNumber, D::kAtLeastOne},
};

}  // namespace

std::span<const Builtin> Builtins() { return kBuiltins; }

const Builtin* FindBuiltin(Space space, std::string_view name) {
  for (const Builtin& builtin : kBuiltins) {
    if (builtin.space == space && builtin.name == name) return &builtin;
  }
  return nullptr;
}

std::vector<std::string> BuiltinNames(Space space) {
  std::vector<std::string> names;
  for (const Builtin& builtin : kBuiltins) {
    if (builtin.space == space) names.emplace_back(builtin.name);
  }
  return names;
}

std::string_view SpaceText(Space space) {
  switch (space) {
    case Space::kFunction:
      return "a function";
    case Space::kDistribution:
      return "a distribution";
    case Space::kSet:
      return "a set";
    case Space::kBuilder:
      return "a builder";
    case Space::kLayer:
      return "a layer";
    case Space::kActivation:
      return "an activation";
    case Space::kRefinement:
      return "a refinement";
    case Space::kGradient:
      return "a gradient mode";
    case Space::kEstimator:
      return "an estimator";
    case Space::kSimulator:
      return "a simulator";
  }
  return "";
}

const std::vector<std::string>& ClosedNames() {
  static const auto& names = *new std::vector<std::string>{
      "pi", "step", "trained", "objective", "residual", "violation", "solved", "expect", "next", "ended", "model"};
  return names;
}

bool IsClosedName(std::string_view name) {
  const std::vector<std::string>& closed = ClosedNames();
  return std::find(closed.begin(), closed.end(), name) != closed.end() ||
         FindBuiltin(Space::kFunction, name) != nullptr;
}

std::span<const Parameter> TrainKeys() { return kTrainKeys; }

const Parameter* FindParameter(std::span<const Parameter> params, std::string_view name) {
  const auto found = std::find_if(params.begin(), params.end(), [&](const Parameter& p) { return p.name == name; });
  return found == params.end() ? nullptr : &*found;
}

bool IsIn(Domain domain, double value) {
  switch (domain) {
    case Domain::kAny:
      return !std::isnan(value);
    case Domain::kPositive:
      return value > 0;
    case Domain::kNotNegative:
      return value >= 0;
    case Domain::kProbability:
      return value >= 0 && value <= 1;
    case Domain::kAtLeastOne:
      return value >= 1;
  }
  return true;
}

std::string_view DomainText(Domain domain) {
  switch (domain) {
    case Domain::kAny:
      return "a number";
    case Domain::kPositive:
      return "larger than 0";
    case Domain::kNotNegative:
      return "at least 0";
    case Domain::kProbability:
      return "between 0 and 1";
    case Domain::kAtLeastOne:
      return "at least 1";
  }
  return "";
}

const std::vector<DataSet>& DataSets() {
  static const auto& sets = *new std::vector<DataSet>{
      {"mnist", {{"image", {Elem::kReal, {Fixed(784)}, false}}, {"label", Scalar(Elem::kInt)}}},
      {"digits", {{"image", {Elem::kReal, {Fixed(64)}, false}}, {"label", Scalar(Elem::kInt)}}}};
  return sets;
}

}  // namespace amo::lang
