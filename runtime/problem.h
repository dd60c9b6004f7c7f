// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_PROBLEM_H_
#define AMO_RUNTIME_PROBLEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "compiler/build.h"
#include "runtime/kernel_function.h"
#include "runtime/result.h"

// A compiled program as batched tensor functions, its data computed and its tables at hand.
namespace amo::runtime {

// Values by the names of compiler/build.h: [B, ...] per instance, [...] for what is shared.
using Values = std::map<std::string, at::Tensor>;

// The fields of one table, one row an instance, with what is held out behind `train_rows`.
struct Table {
  std::map<std::string, at::Tensor> fields;  // [rows, ...]
  std::int64_t train_rows = 0;
};

enum class Split : std::uint8_t { kTrain, kTest };

struct Problem {
  compiler::Program program;
  at::ScalarType dtype = at::kDouble;
  Values shared;                        // data values
  std::map<std::string, Table> tables;  // by source
  std::shared_ptr<const KernelObjective> kernel;  // the objective as kernels; null where something learned stands in it

  std::int64_t VariableSize() const;    // the entries of all variables of one instance
};

// Computes the data values with the generator's draws (the file's own seed). Every table that the program reads must be
// in `tables` with the fields it asks for. A data value that is not finite, and a
// function that needs what is not given yet (randoms, parameters, `trained`), is an error that names it.
Result<Problem> OpenProblem(compiler::Program program, std::map<std::string, Table> tables, at::ScalarType dtype,
                            std::uint64_t seed);

// n draws of every context and hidden value: [n, ...] each. The generator is advanced.
Values Sample(const Problem& problem, std::int64_t n, Split split, at::Generator& generator);

// Runs a function of the program on values by name, through LibTorch; inputs that are missing are a bug of the caller's.
// Differentiable.
Values Evaluate(const Problem& problem, const compiler::Function& function, const Values& values);

// The minimized objective of each instance: [B]; values hold contexts, hidden values and variables.
at::Tensor Objective(const Problem& problem, const Values& values);

// The largest amount by which each constraint fails, per instance: [B] by name.
Values Violations(const Problem& problem, const Values& values);

// The start of every weight of the model and the networks, uniform as compiler::Weight says.
Values InitialWeights(const Problem& problem, at::Generator& generator);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_PROBLEM_H_
