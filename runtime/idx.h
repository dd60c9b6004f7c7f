// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_IDX_H_
#define AMO_RUNTIME_IDX_H_

#include <cstddef>
#include <span>
#include <string>

#include "runtime/array.h"
#include "runtime/result.h"

// IDX, the format of MNIST: big-endian, one array, named after its file. int8 and int16 become int32.
namespace amo::runtime {

Result<Array> ReadIdx(const std::string& path);
Result<Array> ParseIdx(std::span<const std::byte> bytes, std::string name, const std::string& where);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_IDX_H_
