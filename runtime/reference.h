// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_REFERENCE_H_
#define AMO_RUNTIME_REFERENCE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "runtime/solver.h"

// The reference solver of a program: what its `solve` says, else a method chosen by the variables' sets. It makes
// labels, is what models are compared with, and the fallback.
namespace amo::runtime {

struct ReferenceOptions {
  std::uint64_t seed = 0;
  std::int64_t chunk = 4096;  // instances solved at once: bounds the memory
  double tolerance = 0;       // over the method's own; 0: leave that
  std::int64_t steps = 0;     // the most of each method; 0: its own
  bool warm = true;             // a start that is given is a guess of the solution, not just any point
  at::Tensor multipliers = {};  // [B, rows of Program::cones] to begin with, beside a start; may be undefined
  std::function<void(std::int64_t done)> progress = {};  // after each chunk
};

struct ReferenceSummary {
  Values variables;                    // [B, ...] by name
  at::Tensor objective, residual;      // [B]
  std::vector<SolveStatus> status;
  std::vector<std::int64_t> iterations;
  at::Tensor multipliers = {}, certificates = {}, directions = {};  // see SolveSummary; undefined where none knows them
};

// Whether the program says what its variables should be: an objective, or equations. Its `solve` may be an iteration of
// its own.
bool CanSolve(const Problem& problem);

// The methods in words: "zeros, then lbfgs".
std::string ReferenceName(const Problem& problem);

// `values`: contexts, hidden values, randoms and what is learned, [batch, ...]. `start`: where to begin instead of the
// program's own start; may be null.
ReferenceSummary SolveReference(const Problem& problem, const Values& values, std::int64_t batch,
                                const ReferenceOptions& options = {}, const Values* start = nullptr);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_REFERENCE_H_
