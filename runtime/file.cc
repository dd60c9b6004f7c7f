// SPDX-License-Identifier: Apache-2.0
// Reading and writing of whole files, with the system's reasons in the messages.
#include "runtime/file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace amo::runtime {

Result<std::vector<std::byte>> ReadBytes(const std::string& path) {
  std::error_code code;
  if (!std::filesystem::exists(path, code)) return Error{fmt::format("file `{}` does not exist", path)};
  if (!std::filesystem::is_regular_file(path, code)) return Error{fmt::format("`{}` is not a file", path)};
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) return Error{fmt::format("file `{}` cannot be opened: {}", path, std::strerror(errno))};
  std::vector<std::byte> bytes(static_cast<std::size_t>(in.tellg()));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!in) return Error{fmt::format("file `{}` cannot be read: {}", path, std::strerror(errno))};
  return bytes;
}

std::string Stem(const std::string& path) { return std::filesystem::path(path).stem().string(); }

}  // namespace amo::runtime
