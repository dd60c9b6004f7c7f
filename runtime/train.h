// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TRAIN_H_
#define AMO_RUNTIME_TRAIN_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/fault.h"
#include "runtime/problem.h"

// The training loop: every loss of the program moves what it owns, by Adam (Kingma, Ba 2015), on the answers of one run
// of the model per batch (Amos, Tutorial on amortized optimization, section 2.2). Where a projection keeps the
// variables in their sets its slope is zero outside, so a loss that sees the answer is L(Π ŷ) + |ŷ - Π ŷ|²: what has
// left its set is pulled back to where the objective has a slope again.
namespace amo::runtime {

// What `train` says, with what is chosen where it says nothing (lang::Defaults prints the same).
struct TrainSettings {
  std::int64_t steps = 1000, batch = 256;
  double rate = 1e-3;   // where the file gives no `rate`
  double clip = 0;      // bound on the gradient's norm; 0: none
  double decay = 0;     // of the weights, decoupled from the gradient (Loshchilov, Hutter 2019)
  std::uint64_t seed = 0;
  bool split = true;
  std::int64_t precision = 64;  // bits
  bool lagrangian = false;       // what no projection keeps has multipliers beside the penalty
  bool skip_infeasible = false;  // draws without a feasible point are left out
};

// `epochs` counts rows of the largest table; an error where there is none.
Result<TrainSettings> SettingsOf(const compiler::Program& program, const std::map<std::string, Table>& tables);
std::int64_t PrecisionOf(const compiler::Program& program);  // 32 or 64

struct Look {  // one look at the validation draws
  std::int64_t step = 0;
  double loss = 0;        // mean training loss since the last look
  double validation = 0;  // of the losses on the validation draws
};

// Everything that a run depends on: continued from here it ends as if it had never stopped, bit for bit on one thread.
struct TrainState {
  std::int64_t step = 0;
  double seconds = 0;              // spent so far
  double best = 0;                 // the best validation value; the last where a loss holds `stop`
  std::int64_t stale = 0;          // looks since then
  double loss_sum = 0;             // since the last look, with its count
  std::int64_t loss_count = 0;
  std::vector<Look> history;
  Values learned, best_learned;    // now, and at the look that `best` is of
  Values moments;                  // of Adam: "m/NAME", "v/NAME"; "multiplier/NAME" of constraints
  Values generators;               // states of the random numbers
};

struct TrainProgress {
  std::int64_t step = 0, steps = 0;
  double loss = 0, validation = 0, rate = 0;
  double seconds = 0;
};

struct TrainOptions {
  TrainSettings settings;
  std::int64_t validation = 0;     // instances of the validation batch, drawn once; 0: 16 batches, from 64 to 512
  std::int64_t looks = 100;        // looks at it during the run, evenly
  std::int64_t patience = 0;       // end after this many looks without a better one; 0: never
  double penalty = 100;  // on the squared violation of constraints that no projection keeps, in `loss objective`
  std::int64_t labels = 8192;      // instances solved once for losses that use `solved`
  const TrainState* resume = nullptr;
  double checkpoint_seconds = 30;
  std::function<Result<Done>(const TrainState&)> checkpoint;      // may be empty
  std::function<void(const TrainProgress&)> progress;             // after every step
  std::function<void(std::int64_t done, std::int64_t all)> labelling;  // while labels are made
  const std::atomic<bool>* stop = nullptr;                        // set from outside: end after this step
};

enum class TrainStatus : std::uint8_t {
  kDone,
  kEarly,
  kStopped,
  kDiverged,
  kNothingLearned,
  kInfeasible,  // `infeasible = skip`, and hardly a draw has a feasible point
  kFailed,
};

struct TrainSummary {
  TrainStatus status = TrainStatus::kDone;
  std::string message;             // of kDiverged, kInfeasible and kFailed
  std::optional<NotFinite> fault;  // of kDiverged: where an instance's numbers stopped being finite, if it was found
  TrainState state;                // learned: the last; best_learned: what the model should use
  std::int64_t infeasible = 0;     // draws that were left out
};

// The same seed gives the same history, bit for bit, on one thread. kDiverged: a loss, or its gradient, was not finite;
// the best values until then are kept. kFailed: a checkpoint could not be written.
TrainSummary Train(const Problem& problem, const TrainOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TRAIN_H_
