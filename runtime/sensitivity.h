// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_SENSITIVITY_H_
#define AMO_RUNTIME_SENSITIVITY_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "runtime/problem.h"

// How solutions move with their contexts, and whether that can be trusted. At a point that keeps the first-order
// conditions with independent gradients of the active rows, multipliers that are not zero, and a Lagrangian that curves
// upwards along them, the solution is a differentiable function of the contexts, and its derivative solves the linear
// system of these conditions (Fiacco 1976; Fiacco 1983, "Introduction to Sensitivity and Stability Analysis").
namespace amo::runtime {

enum class DerivativeTrust : std::uint8_t {
  kTrusted,
  kNotSolved,     // the point does not meet the first-order conditions
  kWeaklyActive,  // a row holds with equality and nearly no multiplier: solutions have a kink there
  kDependent,     // gradients of active rows depend on one another: multipliers are not unique
  kFlat,          // along the active rows the Lagrangian does not curve upwards: the solution is not isolated
};
std::string_view NameOf(DerivativeTrust trust);  // "trusted", "not solved", "weakly active", …

struct Sensitivity {
  std::map<std::string, at::Tensor> derivatives;  // by context: [B, entries of all variables, entries of the context]
  std::vector<DerivativeTrust> trust;             // by instance: the first that is not met
  at::Tensor margin;        // [B]: how far the active rows are from changing: the least of max(slack, multiplier)
  at::Tensor independence;  // [B]: the smallest singular value of the active rows' unit gradients
  at::Tensor curvature;     // [B]: the smallest eigenvalue of the Lagrangian's Hessian along the active rows
};

// Why there are no derivatives of this problem's solutions; "" where there are: objective and constraints are smooth,
// and sets given by smooth rows (a box, a simplex, a polyhedron, …).
std::string NoSensitivity(const Problem& problem);

// At solutions: `values` hold contexts, hidden values and variables. Where an instance is degenerate its derivatives
// are the least-squares ones, with rows that are weakly active left out.
Sensitivity SensitivityOf(const Problem& problem, const Values& values, std::int64_t batch);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_SENSITIVITY_H_
