// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_TESTS_COMPILER_RANDOM_FUNCTION_H_
#define AMO_TESTS_COMPILER_RANDOM_FUNCTION_H_

#include <cstdint>
#include <random>

#include "compiler/interpret.h"
#include "compiler/ir.h"

// Functions for property tests: every operation, shapes up to rank 3, instance and shared inputs, several outputs.
// Arguments are kept where the operations are well conditioned.
namespace amo::compiler {

// `smooth`: reals never decide (no comparison, rounding or position of computed reals), so that a kernel of lower
// precision gives nearly the same.
Function RandomFunction(std::uint64_t seed, bool smooth);

// Entries for an input: reals in [-2, 2], ints in [-1, 5], bools.
Tensor RandomTensor(const Type& type, std::mt19937_64& random);

}  // namespace amo::compiler

#endif  // AMO_TESTS_COMPILER_RANDOM_FUNCTION_H_
