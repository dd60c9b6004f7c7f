// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CSV_H_
#define AMO_RUNTIME_CSV_H_

#include <string>
#include <string_view>
#include <vector>

#include "runtime/array.h"
#include "runtime/result.h"

// Numbers separated by commas. With a first line of names: one field float64[rows] for each column. Without: one field
// float64[rows,columns], named after the file. `nan` and `inf` are numbers; an empty cell is an error.
namespace amo::runtime {

Result<std::vector<Array>> ReadCsv(const std::string& path);
Result<std::vector<Array>> ParseCsv(std::string_view text, const std::string& name, const std::string& where);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_CSV_H_
