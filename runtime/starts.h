// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_STARTS_H_
#define AMO_RUNTIME_STARTS_H_

#include <string>
#include <vector>

#include "runtime/reference.h"

// Where the reference solver begins, and what that saves: the same instances from several starts.
namespace amo::runtime {

struct StartRow {
  std::string name;                        // "zeros", "mean", "nearest", "previous", "model"
  std::vector<std::int64_t> iterations;    // by instance
  std::int64_t solved = 0;                 // instances that ended as solved
  double seconds = 0;                      // per instance, in one batch
};

// The iterations of the reference solver on `values` (contexts, hidden values and what is learned of `batch`
// instances) from zeros; from the mean of the solutions of `training`, `known` instances of the training draws; from
// the solution of the one of them whose contexts are nearest, each entry in units of its deviation; from the solution
// of the instance before; and from `model`, the predictions, unless null. The nearest and the previous solution bring
// their multipliers; beside the others stand those that fit them best.
std::vector<StartRow> CompareStarts(const Problem& problem, const Values& values, std::int64_t batch,
                                    const Values& training, std::int64_t known, const Values* model,
                                    const ReferenceOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_STARTS_H_
