// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_COMPOSED_H_
#define AMO_RUNTIME_COMPOSED_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/losses.h"

// A training step's losses and gradients by one kernel: the model with all its refinement steps, the losses, and their
// reverse (compiler/training_step.h). The batch's sums of outer products, which are the gradients of weight matrices,
// are one blocked product each (batch_product.h).
namespace amo::runtime {

class ComposedLosses {
 public:
  // Null where the step is no formula, has an operation without a kernel, or is better left to LibTorch's own matrix
  // products: `why` says so.
  static std::unique_ptr<ComposedLosses> Make(const Problem& problem, const std::vector<const Task*>& tasks,
                                              std::string& why);
  ~ComposedLosses();

  // As GradientsOf in losses.h, for the tasks it was made for.
  LossGradients operator()(const Batch& batch, const runtime::Values& learned, double penalty,
                           at::Generator& draws) const;

  // The losses alone, for the draws of a deployed model.
  std::vector<LossValue> Values(const Batch& batch, const runtime::Values& learned, double penalty) const;

 private:
  struct State;
  explicit ComposedLosses(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_COMPOSED_H_
