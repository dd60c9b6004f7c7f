// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_CURVATURE_H_
#define AMO_COMPILER_CURVATURE_H_

#include <string>
#include <vector>

#include "compiler/ir.h"

// What a value is as a function of chosen inputs: its degree as a polynomial, and its curvature by the rules of
// composition (Grant, Boyd, Ye 2006, "Disciplined convex programming"). Never claims what does not hold; whether a
// quadratic form in numbers that are known later is convex, the numbers must say.
namespace amo::compiler {

enum class Degree : std::uint8_t { kConstant, kAffine, kQuadratic, kOther };

struct Curvature {
  Degree degree = Degree::kConstant;
  bool convex = true, concave = true;             // both: affine
  bool nonnegative = false, nonpositive = false;  // whatever the inputs are
  bool smooth = true;                             // no kink and no jump inside the domain
  // The node that makes it neither affine nor quadratic, neither convex nor concave, or not smooth; -1: none.
  std::int32_t by = -1;
};

// Of every node of the function, over all its entries, as a function of the inputs `wrt`.
std::vector<Curvature> Curvatures(const Function& function, const std::vector<int>& wrt);

// "constant", "linear", "quadratic", "convex", "concave" or "neither convex nor concave", and where it has kinks ", not
// smooth". A quadratic that is convex by the rules: "convex quadratic".
std::string Describe(const Curvature& c);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_CURVATURE_H_
