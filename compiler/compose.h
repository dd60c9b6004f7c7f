// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_COMPOSE_H_
#define AMO_COMPILER_COMPOSE_H_

#include <optional>
#include <string>
#include <vector>

#include "compiler/build.h"

// A program's model and losses as one function: the prediction, its projection, all steps of all refinements as scans,
// and what is computed from the answer. It runs and has derivatives like any other; the parts of a program call each
// other nowhere else but in runtime/predictor.cc, whose results these are.
namespace amo::compiler {

// What each step draws anew, as rows of one input.
struct StepDraw {
  std::string input;  // real[steps, ...]
  std::string draw;   // of Program::draws
  std::int64_t steps;
};

struct Composed {
  Function function;
  std::vector<StepDraw> draws;
};

// → "plain/K" and "training/K" of the losses given, by instance: what is reported, and what is minimized, which adds
// what pulls predictions back into their sets (runtime/train.h). Inputs as of the program's functions, and "penalty",
// shared. Nullopt: a part is no formula, and `why` says which.
std::optional<Composed> ComposeLosses(const Program& program, const std::vector<const Loss*>& losses, std::string& why);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_COMPOSE_H_
