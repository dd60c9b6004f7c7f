// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_PROJECTED_GRADIENT_H_
#define AMO_RUNTIME_PROJECTED_GRADIENT_H_

#include <cstdint>
#include <vector>

#include "runtime/problem.h"

// The spectral projected gradient method (Birgin, Martínez, Raydan 2000, SPG2), batched: every instance has its own
// step length, line search and end. Variables with sets are kept in them by projection at every iterate.
namespace amo::runtime {

enum class SolveStatus : std::uint8_t { kSolved, kStepLimit, kNotFinite };

struct SolveOptions {
  double tolerance = 1e-8;   // on the largest entry of y - project(y - gradient)
  std::int64_t steps = 1000;
  std::int64_t memory = 10;  // of the nonmonotone line search; 1: monotone
};

struct SolveSummary {
  Values variables;                  // [B, ...] by name
  at::Tensor objective, residual;    // [B]
  std::vector<SolveStatus> status;   // by instance
  std::vector<std::int64_t> iterations;
};

// `sample` holds contexts and hidden values; `start` the variables to begin at, which are projected first.
SolveSummary ProjectedGradient(const Problem& problem, const Values& sample, const Values& start, const SolveOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_PROJECTED_GRADIENT_H_
