// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_TRAINING_H_
#define AMO_RUNTIME_CLI_TRAINING_H_

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/cli/run_options.h"

// Training from a program's file to a model's file: `amo train`, and `amo eval` where models are missing.
namespace amo::runtime::cli {

struct TrainChoice {
  std::string out;
  bool resume = false, restart = false;
  // A finished model of the same program, data and choices is kept, and a checkpoint of them gone on with; a success is
  // not told.
  bool if_missing = false;
  std::optional<std::int64_t> steps, seed, patience;
  double checkpoint = 30;

  std::string CheckpointPath() const { return out + ".checkpoint"; }
};

// An exit code; failures have been said.
int TrainFile(const ProgramChoice& program, TrainChoice choice, const RunChoice& run);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_TRAINING_H_
