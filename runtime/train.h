// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TRAIN_H_
#define AMO_RUNTIME_TRAIN_H_

#include <functional>
#include <string>
#include <vector>

#include "runtime/problem.h"

// Objective-based learning: the model's weights minimize E f(ŷ(x); x) by Adam (Amos, Tutorial on amortized
// optimization, section 2.2). Where a projection keeps the variables in their sets its slope is zero outside, so the
// loss is f(Π ŷ; x) + |ŷ - Π ŷ|²: what has left its set is pulled back to where the objective has a slope again.
namespace amo::runtime {

// ŷ(x): the model's prediction, then the projection onto the variables' sets. `values` hold contexts and weights.
Values Predict(const Problem& problem, const Values& values);

struct TrainProgress {
  std::int64_t step = 0, steps = 0;
  double loss = 0;        // of the last batch
  double validation = 0;  // mean objective on the validation draws
};

struct TrainOptions {
  std::int64_t steps = 1000, batch = 256;
  double rate = 1e-3;
  double clip = 0;                  // bound on the gradient's norm; 0: none
  std::uint64_t seed = 0;
  std::int64_t validation = 512;    // instances of the validation batch, drawn once
  std::int64_t check_every = 100;   // steps between two looks at the validation batch
  std::function<void(const TrainProgress&)> progress;  // at every look
};

enum class TrainStatus : std::uint8_t { kDone, kDiverged };

struct TrainSummary {
  TrainStatus status = TrainStatus::kDone;
  std::string message;
  Values weights;                   // the best ones by validation
  double best = 0;                  // their validation objective
  std::vector<TrainProgress> history;
};

// The same seed gives the same history, bit for bit, on one thread. Diverged: a loss was not finite; the best weights
// until then are kept.
TrainSummary Train(const Problem& problem, const TrainOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TRAIN_H_
