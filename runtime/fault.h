// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_FAULT_H_
#define AMO_RUNTIME_FAULT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "compiler/fault.h"
#include "lang/source.h"
#include "runtime/problem.h"

// Which expression of the program made an instance's numbers not finite.
namespace amo::runtime {

struct NotFinite {
  std::int64_t instance = 0;
  std::string where;  // "the prediction", "step 3 of `adam`", "the objective", "the gradient of the objective", …
  compiler::Fault fault;
};

// Of one instance at a point: `values` hold contexts, hidden values, what is learned, and the variables. Objective,
// constraints, then their gradients are computed again by the interpreter; what lacks a value is left out.
std::optional<NotFinite> FaultAt(const Problem& problem, const Values& values, std::int64_t instance);

// The same for the model's way to its answer, without the variables: the prediction, then each refinement that is a
// formula, step by step; then the point it comes to. `loss`: looked at with its gradient too; may be null.
std::optional<NotFinite> FaultOfModel(const Problem& problem, const Values& values, std::int64_t instance,
                                      const compiler::Loss* loss = nullptr);

// "instance 3: `log(x[1])` in the objective is nan: log(-0.5) (entry [2]) at waterfill.amo:9:10"
std::string ToText(const NotFinite& found, const lang::Sources& sources);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_FAULT_H_
