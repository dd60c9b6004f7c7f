// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_EXPORT_H_
#define AMO_COMPILER_EXPORT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ir.h"
#include "compiler/kernel.h"

// Functions as an object file and a C header for programs that know nothing of amo: position independent, without state
// or allocation, and with no symbol but of libc and libm.
//
// Each function has two forms. SYMBOL works on one instance: a pointer for each input, for each output, and scratch.
// SYMBOL_batch works on instances begin <= b < end, a vector of them at once: behind each pointer that varies by
// instance stands the distance from one instance to the next, in entries. Scratch may have any alignment.
namespace amo::compiler {

struct ExportTarget {
  std::string_view name, help;
};
const std::vector<ExportTarget>& ExportTargets();

struct ExportFunction {
  std::string symbol;           // of the form for one instance; see CName
  std::string about;            // what it computes, for the header
  Function function;            // verified, simplified, and Uncompilable gives ""
};

struct ExportOptions {
  std::string name;             // the header's guard is made of it
  std::string about;            // the first lines of the header's comment
  std::string_view target;      // of ExportTargets()
  Precision precision = Precision::kF64;
};

struct ExportForm {
  int lanes = 1;
  std::size_t scratch_bytes = 0;
  std::size_t shared_bytes = 0;  // 0: nothing to prepare
};

struct ExportedFunction {
  ExportForm one, batch;
};

struct Exported {
  std::string object, header;
  std::vector<ExportedFunction> functions;  // as they were given
  std::string error;                        // why there is nothing
};

Exported Export(const std::vector<ExportFunction>& functions, const ExportOptions& options);

// A name that both C and C++ take, made from one of ours: "d/x" is d_x, "λ" is u03bb, "double" is double_.
std::string CName(std::string_view name);

// An argument of an exported function: the inputs in their order, then the outputs.
struct ExportArgument {
  std::string name, c_name;  // c_name is different from every other one's, also with "_stride" behind it
  Type type;
  bool shared = false, written = false;
};
std::vector<ExportArgument> ArgumentsOf(const Function& function);

// The header of functions that have been exported.
std::string ExportHeader(const std::vector<ExportFunction>& functions, const std::vector<ExportedFunction>& exported,
                         const ExportOptions& options);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_EXPORT_H_
