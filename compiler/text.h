// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_TEXT_H_
#define AMO_COMPILER_TEXT_H_

#include <string>
#include <string_view>

#include "compiler/ir.h"

// The IR as text, one node a line, for dumps and tests; ParseFunction(Print(f)) is f, spans apart.
//
//   function f
//     %0 = input x : instance real[3]
//     %1 = number 2 : real
//     %2 = broadcast %1 {-1} : real[3]
//     %3 = mul %2 %0 : real[3]
//     %4 = reduce_sum %3 {0} : real
//     output value %4
//
// A scan is followed by its body, indented, and `end`:
//     %5 = scan %0 {20,1,0,0,0,0} : real[3]
//       function step
//         %0 = input z : instance real[3]
//         %1 = sin %0 : real[3]
//         output z %1
//       end
namespace amo::compiler {

std::string Print(const Function& function);

// The function, verified; or `error` says what is wrong and in which line, and the function is empty.
struct ParsedFunction {
  Function function;
  std::string error;
};
ParsedFunction ParseFunction(std::string_view text);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_TEXT_H_
