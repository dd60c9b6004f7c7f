// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_READ_ARRAY_H_
#define AMO_RUNTIME_READ_ARRAY_H_

#include <string>
#include <vector>

#include "runtime/array.h"
#include "runtime/result.h"

// Every array of a file, by its ending: .npy, .npz, .csv, .safetensors, and IDX (.idx, or …-ubyte as MNIST has it).
namespace amo::runtime {

Result<std::vector<Array>> ReadArrays(const std::string& path);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_READ_ARRAY_H_
