// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_BENCH_ROWS_H_
#define AMO_BENCH_ROWS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench/eager.h"
#include "compiler/ir.h"
#include "runtime/problem.h"

// The benchmark's kernels: which program, which derivative, and the inputs that every peer gets too.
namespace amo::bench {

struct Row {
  const char* name;
  const char* program;
  const char* set = "";    // NAME=EXPR
  bool product = false;    // H v instead of value and gradient
  double flop = 0;         // additions and multiplications that are needed; 0: not stated
  double scale = 1;        // deviation of the variables
};

const std::vector<Row>& Rows();

[[noreturn]] void Fail(const std::string& what);  // says it and ends the program

runtime::Problem OpenRow(const std::string& folder, const Row& row);
compiler::Function Derive(const Row& row, const compiler::Function& objective, const std::vector<int>& wrt);

// Contexts drawn as the file says, variables and tangents normal (on the sphere where the file says so), data.
Values Pool(const Row& row, const runtime::Problem& problem);

// The first instances of the pool, again and again where there are too few, in the precision: the function's inputs.
std::vector<at::Tensor> Inputs(const compiler::Function& f, const Values& pool, std::int64_t batch, int precision);

}  // namespace amo::bench

#endif  // AMO_BENCH_ROWS_H_
