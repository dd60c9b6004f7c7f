// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_BUILTINS_H_
#define AMO_LANG_BUILTINS_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lang/type.h"

// Everything the language brings along, as one table: functions, distributions, sets, builders, layers, refinements,
// gradient modes, estimators, the keys of `train`, and data sets; with what each takes and how it is typed.
namespace amo::lang {

enum class Space {
  kFunction,
  kDistribution,
  kSet,
  kBuilder,
  kLayer,  // inside `chain`
  kActivation,
  kRefinement,
  kGradient,   // how a gradient passes a refinement: `gradient = unroll`
  kEstimator,  // after `by`
  kSimulator,  // after `from`
};

// How a function's result follows from its arguments. n, m, … are dims; s is a scalar, v a vector, M a matrix.
enum class Rule {
  kNone,          // not a function
  kMap,           // elementwise, real
  kMapKeep,       // elementwise, the type of its argument
  kMapToInt,      // elementwise, int
  kMapTwo,        // elementwise over two, real
  kClamp,         // elementwise over three, the joined type
  kExtreme,       // one array: its extreme; several: elementwise
  kTotal,         // any array → s of its type
  kMean,          // any array → real s
  kLogic,         // any bool array → bool
  kNorm,          // v → real s
  kDot,           // v, v → real s
  kQuad,          // M[n, n], v[n] → real s
  kOuter,         // v[n], v[m] → M[n, m]
  kSquareToReal,  // M[n, n] → real s
  kSquare,        // M[n, n] → M[n, n]
  kLinsolve,      // M[n, n], v[n] or M[n, m] → like the second
  kEigvals,       // M[n, n] → v[n]
  kSpectral,      // function, M[n, n] → M[n, n]
  kDiag,          // v[n] → M[n, n] and back
  kEye,           // dim n → M[n, n]
  kZeros,         // dims → zeros of that shape
  kBlock,         // [[M, …], …] → the matrix of these blocks
  kVector,        // v → v
  kWhere,         // v → the index of its extreme
  kQuantile,      // v, s → s
  kConcat,        // arrays joined along the first axis
  kStack,         // arrays of one shape → a new first axis
  kReshape,       // array, [dims] → array of the same size
  kGather,        // a[n, …], int[k] → a[k, …]
  kOneHot,        // int s or int[k], dim n → v[n] or M[k, n]
  kConv1d,        // a[c, l], kernel[o, c, k]
  kConv2d,        // a[c, h, w], kernel[o, c, kh, kw]
  kMaxpool,       // a[c, h, w], size
  kLogpdf,        // x and parameters that combine elementwise → real s
  kCategorical,   // int s or int[n], v[q] or M[n, q] → real s
  kTwoReal,       // two that combine elementwise → real s
  kLast,          // a[n, …] → a[…]
  kSize,          // a[n, …] → n, a dim
  kGrad,          // E, name
  kProject,       // v, SET
  kStop,          // E
  kSolved,        // variable
  kExpect,        // E, in reports
  kNext,          // E or E, k; with `next`
  kWeights,       // network → a dim
  kLearned,       // start, in refinements
  kScan,          // with binders only
};

// What the value of a parameter may be.
enum class Accepts { kNumber, kArray, kWhole, kBool, kSizes, kActivation, kGradient, kNetwork, kWord, kAny };
enum class Domain { kAny, kPositive, kNotNegative, kProbability, kAtLeastOne };

struct Parameter {
  std::string_view name;
  Accepts accepts;
  Domain domain = Domain::kAny;
};

struct Builtin {
  std::string_view name;
  Space space;
  std::string_view usage;                  // "clamp(x, lo, hi)": what messages show
  int min_args, max_args;                  // by position; -1: any number
  std::span<const Parameter> params = {};  // by keyword; the first `max_args` also by position, except of functions
  Rule rule = Rule::kNone;
  int rank = 0;                    // of sets and distributions: how many last axes one element has
  bool square = false;             // of sets of rank 2
  Elem elem = Elem::kReal;         // what a distribution draws
  bool reduces = false;            // takes binders: `sum(i in n: …)`
  bool learns = false;             // a builder with weights
  bool follows_objective = false;  // a refinement that evaluates the objective or its constraints
};

std::span<const Builtin> Builtins();
const Builtin* FindBuiltin(Space space, std::string_view name);  // null when there is none
std::vector<std::string> BuiltinNames(Space space);
std::string_view SpaceText(Space space);  // "a distribution"

// Names that no declaration may take, beside functions: `pi`, `step`, `objective`, …
bool IsClosedName(std::string_view name);
const std::vector<std::string>& ClosedNames();

std::span<const Parameter> TrainKeys();
const Parameter* FindParameter(std::span<const Parameter> params, std::string_view name);
bool IsIn(Domain domain, double value);
std::string_view DomainText(Domain domain);  // "at least 0"

// A registered data set: `from mnist`, then `r.image`.
struct Field {
  std::string_view name;
  Type type;
};
struct DataSet {
  std::string_view name;
  std::vector<Field> fields;
};
const std::vector<DataSet>& DataSets();

}  // namespace amo::lang

#endif  // AMO_LANG_BUILTINS_H_
