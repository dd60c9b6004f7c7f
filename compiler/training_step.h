// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_TRAINING_STEP_H_
#define AMO_COMPILER_TRAINING_STEP_H_

#include <optional>
#include <string>
#include <vector>

#include "compiler/batch_sum.h"
#include "compiler/build.h"
#include "compiler/compose.h"

// A training step as functions: losses and gradients by instance, for one kernel, and what joins them over the batch.
namespace amo::compiler {

struct TrainingStep {
  BatchSum sum;     // → "plain/K", "training/K", and summed over the batch "d/K/NAME": loss K by what it moves
  Function plain;   // → "plain/K" alone
  std::vector<StepDraw> draws;
};

// `moves`: for each loss the learned inputs that it moves. Nullopt where the step is no formula, has an operation without
// a kernel, or is better left to LibTorch's own matrix products: `why` says so.
std::optional<TrainingStep> MakeTrainingStep(const Program& program, const std::vector<const Loss*>& losses,
                                             const std::vector<std::vector<std::string>>& moves, std::string& why);

// How training runs, in a line for people: "one kernel", or part by part and why; "" where nothing is learned.
std::string DescribeTraining(const Program& program);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_TRAINING_STEP_H_
