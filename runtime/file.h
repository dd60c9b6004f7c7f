// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_FILE_H_
#define AMO_RUNTIME_FILE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "runtime/result.h"

// Whole files as bytes; output_file.h writes them.
namespace amo::runtime {

Result<std::vector<std::byte>> ReadBytes(const std::string& path);

// A path's last part without its ending: the name of a field that its file does not name.
std::string Stem(const std::string& path);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_FILE_H_
