// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_INSTANCES_H_
#define AMO_RUNTIME_INSTANCES_H_

#include <cstdint>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "runtime/problem.h"

// The instances of a batch as one function of flat variables [B, n]: all that solvers, refinements and certificates see
// of a problem. Nothing here is recorded for derivatives.
namespace amo::runtime {

// What is minimized: the objective, or the augmented Lagrangian, whose multipliers and penalty are then among the
// values.
enum class Goal : std::uint8_t { kObjective, kLagrangian };

class Instances {
 public:
  // `values`: contexts, hidden values, draws of randoms and what is learned. `batch`: the number of instances.
  Instances(const Problem& problem, Values values, std::int64_t batch, Goal goal = Goal::kObjective);

  const Problem& problem() const { return problem_; }
  const Values& values() const { return values_; }
  std::int64_t batch() const { return batch_; }
  std::int64_t size() const { return size_; }  // n, the entries of all variables of one instance

  at::Tensor Join(const Values& variables) const;  // [B, n], variables in the order of the program
  Values Split(const at::Tensor& y) const;

  // The nearest point in the variables' sets.
  at::Tensor Project(const at::Tensor& y) const;

  // The goal's value of each instance and its gradient by y.
  struct Point {
    at::Tensor value;     // [B]
    at::Tensor gradient;  // [B, n]
  };
  Point operator()(const at::Tensor& y) const;
  at::Tensor Value(const at::Tensor& y) const;

  // By how much all constraints together fail: [B] doubles, the sum of Violations (problem.h).
  at::Tensor Violation(const at::Tensor& y) const;

  // J(y)ᵀ g for the projection's Jacobian J at a point of the sets: on a smooth set (a sphere) the part of g along it.
  at::Tensor Tangent(const at::Tensor& y, const at::Tensor& g) const;

  // How far y is from satisfying the first-order conditions, by instance: the largest entry of y - Π(y - g); where a
  // variable's set is a manifold, of the tangent part of g.
  at::Tensor Residual(const at::Tensor& y, const at::Tensor& g) const;
  at::Tensor Residual(const at::Tensor& y, const at::Tensor& g, at::Tensor moved) const;  // y - Π(y - g) is known

  // Only the instances of `rows` ([K] int64): solvers go on with those that are not done.
  Instances Select(const at::Tensor& rows) const;

  // New draws of the randoms, for methods that take a fresh one at each step.
  void Redraw(at::Generator& generator);

 private:
  const Problem& problem_;
  Values values_;
  std::int64_t batch_, size_;
  Goal goal_;
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_INSTANCES_H_
