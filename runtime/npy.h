// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_NPY_H_
#define AMO_RUNTIME_NPY_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "runtime/array.h"
#include "runtime/result.h"

// NumPy's .npy: versions 1 to 3, C and Fortran order, either byte order. Numbers of other widths become the next wider
// type of ours: int8, int16, uint16 int32; uint32, uint64 int64; float16 float32.
namespace amo::runtime {

Result<Array> ReadNpy(const std::string& path);
Result<Done> WriteNpy(const std::string& path, const Array& array);

// The same in memory. `where` begins messages: "file `x.npy`".
Result<Array> ParseNpy(std::span<const std::byte> bytes, std::string name, const std::string& where);
std::vector<std::byte> PrintNpy(const Array& array);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_NPY_H_
