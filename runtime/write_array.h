// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_WRITE_ARRAY_H_
#define AMO_RUNTIME_WRITE_ARRAY_H_

#include <string>
#include <vector>

#include "runtime/array.h"
#include "runtime/result.h"

// Arrays to a file, by its ending, replaced as a whole or not at all:
//   .npz, .safetensors  any arrays of different names
//   .npy                one array; its name is the file's
//   .csv                arrays of rank 1 (a column `x`) or 2 (columns `x_0`, `x_1`, …) with the same number of rows,
//                       below a line of names
namespace amo::runtime {

Result<Done> WriteArrays(const std::string& path, const std::vector<Array>& arrays);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_WRITE_ARRAY_H_
