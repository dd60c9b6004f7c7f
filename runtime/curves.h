// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CURVES_H_
#define AMO_RUNTIME_CURVES_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/reference.h"

// The objective after k steps, and what they cost: of a model past its own number of steps too, and of the reference
// solver. What a reader compares when he asks how good an answer a given time buys.
namespace amo::runtime {

struct CurvePoint {
  std::int64_t steps = 0;
  double seconds = 0;    // per instance, all instances at once, warm
  double objective = 0;  // the mean over the instances
};
using Curve = std::vector<CurvePoint>;

// `values`: contexts, hidden values, randoms and what is learned, of `batch` instances, for a program with an objective.
// A model of k steps is followed to 2k where its last refinement can go on (a formula), else to k.
Curve ModelCurve(const Problem& problem, const Values& values, std::int64_t batch);

// With 1, 2, 4, … steps of each method, up to `most`.
Curve SolverCurve(const Problem& problem, const Values& values, std::int64_t batch, std::int64_t most,
                  const ReferenceOptions& options);

// The fewest steps, to a twentieth, after which the solver's mean objective is no higher than `objective`, found inside
// `curve`, which SolverCurve gave with the same arguments. None: not within the curve.
std::optional<CurvePoint> SolverReaches(const Problem& problem, const Values& values, std::int64_t batch,
                                        const Curve& curve, double objective, const ReferenceOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_CURVES_H_
