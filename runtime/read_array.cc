// SPDX-License-Identifier: Apache-2.0
// The choice of a reader.
#include "runtime/read_array.h"

#include <fmt/format.h>

#include <filesystem>

#include "runtime/csv.h"
#include "runtime/idx.h"
#include "runtime/npy.h"
#include "runtime/npz.h"
#include "runtime/safetensors.h"

namespace amo::runtime {

Result<std::vector<Array>> ReadArrays(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string ending = file.extension().string(), name = file.filename().string();
  const auto one = [](Result<Array> array) -> Result<std::vector<Array>> {
    if (!array) return array.error();
    return std::vector<Array>{std::move(*array)};
  };
  if (ending == ".npy") return one(ReadNpy(path));
  if (ending == ".npz") return ReadNpz(path);
  if (ending == ".csv") return ReadCsv(path);
  if (ending == ".safetensors") return ReadSafetensors(path);
  if (ending == ".idx" || name.ends_with("ubyte")) return one(ReadIdx(path));
  return Error{fmt::format(
      "file `{}` has an ending that is not known: expected .npy, .npz, .csv, .safetensors, .idx or …-ubyte", path)};
}

}  // namespace amo::runtime
