// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_NPZ_H_
#define AMO_RUNTIME_NPZ_H_

#include <string>
#include <vector>

#include "runtime/array.h"
#include "runtime/result.h"

// NumPy's .npz: a zip of NAME.npy, stored or deflated.
namespace amo::runtime {

Result<std::vector<Array>> ReadNpz(const std::string& path);
Result<Done> WriteNpz(const std::string& path, const std::vector<Array>& arrays, bool deflate = false);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_NPZ_H_
