// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_FEASIBILITY_CONES_H_
#define AMO_RUNTIME_FEASIBILITY_CONES_H_

#include "runtime/feasibility.h"

// FeasibilityOf and ConflictAt where sets and linear constraints are kept at once (Program::conic).
namespace amo::runtime {

Feasibility FeasibilityOfCones(const Instances& instances, const at::Tensor& y);
std::vector<std::string> ConflictOfCones(const Instances& one, const at::Tensor& y);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_FEASIBILITY_CONES_H_
