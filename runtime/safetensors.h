// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_SAFETENSORS_H_
#define AMO_RUNTIME_SAFETENSORS_H_

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/array.h"
#include "runtime/result.h"

// The format .safetensors: the length of a JSON header (8 bytes), the header, the entries. Arrays keep the order of the
// header. Numbers of other widths become the next wider type of ours: int8, int16, uint16 int32; uint32, uint64 int64;
// float16, bfloat16 float32.
namespace amo::runtime {

Result<std::vector<Array>> ReadSafetensors(const std::string& path);
Result<Done> WriteSafetensors(const std::string& path, const std::vector<Array>& arrays,
                              const std::map<std::string, std::string>& metadata = {});

// The same in memory. `where` begins messages: "file `x.safetensors`".
Result<std::vector<Array>> ParseSafetensors(std::span<const std::byte> bytes, const std::string& where);
// Names as CheckNames allows.
std::vector<std::byte> PrintSafetensors(const std::vector<Array>& arrays,
                                        const std::map<std::string, std::string>& metadata = {});

// Whether the format can hold these names: all different, in UTF-8, none `__metadata__`. The message is a reason only.
Result<Done> CheckNames(const std::vector<Array>& arrays);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_SAFETENSORS_H_
