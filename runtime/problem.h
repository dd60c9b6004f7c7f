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
#include "runtime/function_kernels.h"
#include "runtime/kernel_function.h"
#include "runtime/result.h"

// A compiled program as batched tensor functions, its data computed and its tables at hand.
namespace amo::runtime {

// Values by the names of compiler/build.h: [B, ...] per instance, [...] for what is shared.
using Values = std::map<std::string, at::Tensor>;

// The fields of one table, one row an instance: first the rows to train on, then those for validation, then the test
// rows. A part without rows stands for all of them.
struct Table {
  std::map<std::string, at::Tensor> fields;  // [rows, ...]
  std::int64_t train_rows = 0, validation_rows = 0;
};

enum class Split : std::uint8_t { kTrain, kValidation, kTest, kAll };

struct QuadraticState;  // quadratic.h
struct NlpState;        // nlp_functions.h
struct RootState;       // root.h

struct Problem {
  compiler::Program program;
  at::ScalarType dtype = at::kDouble;
  Values shared;                        // data values
  std::map<std::string, Table> tables;  // by source
  std::shared_ptr<const KernelObjective> kernel;  // the objective as kernels; null where something learned stands in it
  std::shared_ptr<const KernelObjective> lagrangian;  // the same of Program::lagrangian
  std::shared_ptr<FunctionKernels> kernels;       // of the other functions, made at their first use
  std::shared_ptr<QuadraticState> quadratic;      // linear rows and a quadratic objective, as matrices
  std::shared_ptr<NlpState> nlp;                  // the whole as a nonlinear program of one flat variable
  std::shared_ptr<RootState> root;                // `find` as least squares

  std::int64_t VariableSize() const;    // the entries of all variables of one instance
};

// Computes the data values with the generator's draws (the file's own seed). Every table that the program reads must be
// in `tables` with the fields it asks for. A data value that is not finite is an error that names it.
Result<Problem> OpenProblem(compiler::Program program, std::map<std::string, Table> tables, at::ScalarType dtype,
                            std::uint64_t seed);

// The same where the data values are known: an artifact has them. Tables may be missing; Sample then must not be
// called.
Result<Problem> OpenProblem(compiler::Program program, Values shared, at::ScalarType dtype);

// n draws of every context and hidden value: [n, ...] each. The generator is advanced.
Values Sample(const Problem& problem, std::int64_t n, Split split, at::Generator& generator);

// New base draws of the problem's randoms, [n, ...] by input name.
Values DrawRandoms(const Problem& problem, std::int64_t n, at::Generator& generator);

// Whether an input of a step is drawn anew for each step.
bool IsStepDraw(const Problem& problem, const std::string& input);

// New draws of what one step of a refinement draws: its randoms and the method's own.
Values StepDraws(const Problem& problem, const compiler::Function& step, std::int64_t n, at::Generator& generator);

// `steps` draws of one input of a step at once: [n, steps, ...].
at::Tensor DrawSteps(const Problem& problem, const std::string& draw, std::int64_t n, std::int64_t steps,
                     at::Generator& generator);

// Runs a function of the program on values by name: by its kernel where no derivative is asked for and it has one, else
// through LibTorch, differentiably. Inputs that are missing are a bug of the caller's. Where nothing of a result varies
// by instance it has no batch axis.
Values Evaluate(const Problem& problem, const compiler::Function& function, const Values& values);

// The same for the function's only output, repeated along the batch where it does not vary: [batch, ...].
at::Tensor EvaluateOne(const Problem& problem, const compiler::Function& function, const Values& values,
                       std::int64_t batch);

// A value repeated along the batch where it does not vary, and so has no batch axis: [batch, shape...].
at::Tensor AlongBatch(const at::Tensor& value, const compiler::Shape& shape, std::int64_t batch);

// The states of the file's `update` before the first step. `values`: contexts and what is learned; `now`: the variables.
void StartStates(const Problem& problem, const Values& values, std::int64_t batch, Values& now);

// The variables of `now` at the nearest point of their sets.
void ProjectVariables(const Problem& problem, const Values& values, std::int64_t batch, Values& now);

// The minimized objective of each instance: [batch]; values hold contexts, hidden values, randoms and variables.
at::Tensor Objective(const Problem& problem, const Values& values, std::int64_t batch);

// The augmented Lagrangian of the constraints that no projection keeps; values hold multipliers and "penalty" too.
at::Tensor Lagrangian(const Problem& problem, const Values& values, std::int64_t batch);

// Multipliers that are zero, with a penalty: what a quadratic penalty is.
Values NoMultipliers(const Problem& problem, std::int64_t batch, double penalty);

// The Euclidean norm of the amounts by which each constraint fails, per instance: [batch] by name.
Values Violations(const Problem& problem, const Values& values, std::int64_t batch);

// What is learned, before the first update: weights uniform as compiler::Weight says, parameters as the file says, and
// `trained`, 0.
Values InitialLearned(const Problem& problem, at::Generator& generator);

// Moves the weights of networks that are written as `slow(other)` towards those of the others, in place: by `tau` of
// the way, or `whole`.
void FollowSlowly(const Problem& problem, Values& learned, bool whole);

// The number of instances of values that have contexts or other values per instance; `otherwise` where none has.
std::int64_t BatchOf(const Problem& problem, const Values& values, std::int64_t otherwise);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_PROBLEM_H_
