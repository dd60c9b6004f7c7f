// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_GAP_H_
#define AMO_RUNTIME_GAP_H_

#include <memory>
#include <vector>

#include "runtime/instances.h"
#include "runtime/qp.h"
#include "runtime/ranges.h"

// How much an answer of a convex problem loses at most. Of a gradient g at y, any z that keeps the constraints has
//   f(y) - f(z) <= g'(y - z) - 1/2 |y - z|_P^2        (convexity; P: the Hessian of a quadratic f, else 0)
// and multipliers l of rows A z + b, or the normal that a projection leaves, bound the right side but for a remainder
// r'(y - z), r = g + A'l. It is small near the solution; what is left of it is bounded by the curvature, and by how far
// y can be from any z (weak duality; Boyd, Vandenberghe 2004, 5.5.1; Frank, Wolfe 1956).
namespace amo::runtime {

// A step so long that it ends at the least point of the linearization, in diameters of the range.
constexpr double kFarStep = 1e6;

// A positive semidefinite P: apart in the directions in which it curves and the others.
struct Curved {
  Matrix range, inverse;  // the projection onto the former, and the inverse there
};
// Null where P is not positive semidefinite, or too large to be taken apart. Of P = 0: no directions.
std::shared_ptr<const Curved> CurvedOf(const Matrix& P);

// Of each, on several threads.
std::vector<std::shared_ptr<const Curved>> CurvedOf(const std::vector<const Matrix*>& all);

// No less than the largest r'(y - z) - 1/2 |y - z|_P^2 for z within the range; `curved` may be null.
double Remainder(const RowVector& r, const RowVector& y, const Range& range, const Curved* curved);

// Of sums of a few terms, on the safe side.
double RoundingOf(const Problem& problem);

// [B]: for a convex objective whose constraints and sets the projection keeps. `moved`: y - Project(y - gradient).
// Undefined where the problem is none of these; infinite where nothing bounds it.
at::Tensor GapByProjection(const Instances& instances, const at::Tensor& y, const at::Tensor& gradient,
                           const at::Tensor& moved);

// What holds of points y [B, n] of a smooth program, by the linearization of its rows there.
struct LinearizedCertificate {
  // [B]: the largest entry of the step from y to the nearest point to y - gradient that keeps the linearized rows. It
  // is zero exactly where y meets the first-order conditions with some multipliers (and their gradients are
  // independent).
  at::Tensor residual;
  at::Tensor gap;  // [B], as above; undefined where the program is not convex
};
LinearizedCertificate CertifyLinearized(const Problem& problem, const Values& values, const at::Tensor& y);

// What holds of points y [B, n] of a quadratic program, by projected gradient steps and their multipliers.
struct QuadraticCertificate {
  at::Tensor residual;  // [B]: the largest entry of y - P(y - g), for the projection P onto the rows
  at::Tensor gap;       // [B]: what is lost at most; undefined where the program is not convex
};
QuadraticCertificate CertifyQuadratic(const Problem& problem, const Values& values, const at::Tensor& y);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_GAP_H_
