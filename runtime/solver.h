// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_SOLVER_H_
#define AMO_RUNTIME_SOLVER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "runtime/instances.h"

// Classical methods, batched: every instance has its own step lengths, converges, fails or stops on its own. Each
// method is one file (lbfgs.cc, adam.cc, …) and one row of the table; `solve`, the refinements of a model and the
// fallback use it.
namespace amo::runtime {

enum class SolveStatus : std::uint8_t {
  kSolved,     // the residual is within the tolerance
  kStepLimit,  // all steps were taken
  kStalled,    // no step lowers the objective any more in this precision
  kNotFinite,  // the objective is not finite at the start
  kInfeasible,  // no point keeps the constraints: a certificate says which contradict each other
  kUnbounded,  // the objective falls without end along a direction
};
std::string_view NameOf(SolveStatus status);  // "solved", "step limit", "stalled", "not finite", …

// Every setting of every method; compiler/build_stages.cc says which method reads which.
struct SolveOptions {
  double tolerance = 1e-8;      // tol: on Instances::Residual
  std::int64_t steps = 1000;    // steps
  double rate = 1e-2;           // rate: step length of adam, gradient
  std::int64_t memory = 10;     // memory: pairs of lbfgs; of the nonmonotone line search of projected_gradient
  std::uint64_t seed = 0;       // of redrawn randoms
  // The start is a guess of the solution: methods with multipliers begin with those that fit it best, or with these
  // [B, rows of Program::cones], as a SolveSummary has them.
  bool warm = false;
  at::Tensor multipliers = {};
};

// What a refinement or a method of `solve` says, over the defaults.
SolveOptions OptionsOf(const compiler::Refinement& refinement, const SolveOptions& defaults = {});

struct SolveSummary {
  at::Tensor y;                             // [B, n]
  at::Tensor objective, residual;           // [B]
  std::vector<SolveStatus> status;          // by instance
  std::vector<std::int64_t> iterations;
  // Of methods that know them, over Program::cones: [B, rows], signed as in qp.h; undefined else.
  at::Tensor multipliers = {}, certificates = {};
  at::Tensor directions = {};               // [B, n]: of unbounded instances
};

// `start` [B, n] is projected first.
using Method = SolveSummary (*)(const Instances& instances, const at::Tensor& start, const SolveOptions& options);

SolveSummary ProjectedGradient(const Instances&, const at::Tensor& start, const SolveOptions&);
SolveSummary Lbfgs(const Instances&, const at::Tensor& start, const SolveOptions&);
SolveSummary RiemannianGradient(const Instances&, const at::Tensor& start, const SolveOptions&);
SolveSummary Adam(const Instances&, const at::Tensor& start, const SolveOptions&);
SolveSummary InteriorPoint(const Instances&, const at::Tensor& start, const SolveOptions&);
// Without constraints: dense up to 200 variables, by conjugate gradients beyond; else the interior point method.
SolveSummary Newton(const Instances&, const at::Tensor& start, const SolveOptions&);
SolveSummary NewtonCg(const Instances&, const at::Tensor& start, const SolveOptions&);
SolveSummary IpoptReference(const Instances&, const at::Tensor& start, const SolveOptions&);
SolveSummary QuadraticProgram(const Instances&, const at::Tensor& start, const SolveOptions&);
SolveSummary GradientDescent(const Instances&, const at::Tensor& start, const SolveOptions&);

struct MethodRow {
  std::string_view name;                   // as written after `then`
  Method run;
  bool quadratic = false;                  // only for linear and quadratic programs
  bool smooth = false;                     // only for smooth programs: see compiler::IsSmooth
};
std::span<const MethodRow> Methods();
const MethodRow* FindMethod(std::string_view name);  // null: there is none

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_SOLVER_H_
