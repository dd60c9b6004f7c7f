// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_SPARSITY_H_
#define AMO_COMPILER_SPARSITY_H_

#include <cstdint>
#include <vector>

#include "compiler/ir.h"

// Sparse Jacobians and Hessians: which entries can differ from zero, and functions that compute them with few products.
// Curtis, Powell & Reid 1974; colouring as in Gebremedhin, Manne & Pothen 2005, "What color is your Jacobian?",
// section 3.
namespace amo::compiler {

// For each row the columns that it can depend on, ascending.
struct Pattern {
  std::int64_t rows = 0, columns = 0;
  std::vector<std::vector<std::int32_t>> entries;

  std::int64_t Count() const;
};

// Of an output's entries by an input's, whatever the values of the inputs are. Never too small.
Pattern JacobianPattern(const Function& function, std::size_t output, int wrt);

// A colour for each column: columns of one colour have no row in common. Greedy, so not always the fewest.
std::vector<int> ColourColumns(const Pattern& pattern);

// The Jacobian of a real output by a real input, its columns of one colour added up: one forward product for each
// colour. Inputs: those of the function, then "colour": shared int[columns], the colours. Output "compressed":
// real[colours, rows]; entry (r, c) of the Jacobian, where the pattern has it, is compressed[colours[c], r], and all
// others are zero.
Function CompressedJacobian(const Function& function, std::size_t output, int wrt, const std::vector<int>& colours);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_SPARSITY_H_
