// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_BUILD_H_
#define AMO_COMPILER_BUILD_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/ir.h"
#include "lang/problem.h"

// A checked problem as IR functions. Inputs and outputs are matched by name:
//   NAME                a data value (shared), a context, hidden value, variable or state (per instance), a parameter (shared)
//   table/SOURCE/FIELD  a whole field of a table (shared)
//   row/NAME/FIELD      the field of the row that the table draw NAME took (per instance)
//   draw/NAME           the base draw behind a `~` (see Draw); shared for data, per instance otherwise
//   weight/NET/K        the K-th weight array of a network (shared)
//   trained             the number of updates so far (shared)
// What this release cannot compile is reported at its span as Code::kUnsupported, and the part is left out.
namespace amo::compiler {

// A base draw: what the runtime samples; everything else about a distribution is an expression in the function.
struct Draw {
  enum class Base { kNormal, kUniform, kExponential, kGamma } base = Base::kNormal;
  double shape = 1;     // of kGamma
  std::string input;    // "draw/NAME"
  Type type;            // real[...]
};

struct Weight {
  std::string input;  // "weight/NET/K"
  Type type;
  double bound = 0;   // its start: uniform(-bound, bound), 1 / sqrt(fan in) as LibTorch's linear layer; 0: zeros
};

struct Row {
  std::string name, source, field;  // draw, its table, the field
  std::string input;                // "row/NAME/FIELD"
};

struct Named {
  std::string name;
  Type type;
};

// What is known of tables when a file is compiled: the type of one row's field, by source (as written after `from`, or
// a registered data set's name) and field.
using Tables = std::map<std::string, std::map<std::string, Type>>;

struct Program {
  std::string name;
  std::vector<Named> data, contexts, hidden, variables;
  std::vector<Draw> draws;
  std::vector<Row> rows;
  std::vector<Weight> weights;
  bool maximize = false;
  std::optional<Function> data_function;    // tables and draws → every data value
  std::optional<Function> sample_function;  // data, rows and draws → every context and hidden value
  std::optional<Function> objective;        // → "objective", the quantity that is minimized
  std::optional<Function> project;          // variables and contexts → the variables, in their sets
  std::optional<Function> predict;          // contexts and weights → each variable: the model's prediction
  std::optional<Function> update;           // → each variable and state that has an `update`, one step on
  std::vector<Function> constraints;        // each → the amounts by which it fails, flat; named after the constraint
};

Program Build(const lang::Program& program, const lang::Problem& problem, const Tables& tables,
              lang::Diagnostics& diagnostics);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_BUILD_H_
