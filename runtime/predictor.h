// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_PREDICTOR_H_
#define AMO_RUNTIME_PREDICTOR_H_

#include <cstdint>
#include <vector>

#include <ATen/core/Generator.h>

#include "runtime/problem.h"

// The model of a program as a list of stages, (context, y) → y: the prediction, projected onto the variables' sets,
// then the refinements step by step. Training, evaluation and deployment run the same list.
namespace amo::runtime {

struct ModelRun {
  Values bare;    // the prediction before its projection
  Values projected;  // and after it: step 0
  Values answer;  // each variable, and each state, after the model's own steps
  Values traces;  // by Trace::input: the values asked for
};

// Of the draws that steps take where nobody gives a generator: a deployed model answers alike each time.
constexpr std::uint64_t kDeployedSeed = 17;

struct RunOptions {
  std::vector<const compiler::Trace*> traces;
  bool answer = true;  // false: no further than the traces need
  at::Generator* draws = nullptr;  // of what each step draws; null: a fixed seed
};

// `values`: contexts, what is learned, randoms; hidden values where a trace reads them. Recorded for derivatives where
// something in `values` asks for that; how derivatives pass a refinement stands in compiler::Passage. Methods of
// solver.h are seen by the implicit function theorem, or not at all.
ModelRun RunModel(const Problem& problem, const Values& values, std::int64_t batch, const RunOptions& options = {});

// The number of refinement steps that the model takes.
std::int64_t ModelSteps(const Problem& problem);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_PREDICTOR_H_
