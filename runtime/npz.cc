// SPDX-License-Identifier: Apache-2.0
// .npz by libzip, which checks lengths and checksums.
#include "runtime/npz.h"

#include <fmt/format.h>
#include <zip.h>

#include <filesystem>
#include <memory>

#include "runtime/npy.h"

namespace amo::runtime {
namespace {

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using Entry = std::unique_ptr<zip_file_t, Discard>;

std::string Reason(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  return reason;
}

Result<std::vector<std::byte>> ReadEntry(zip_t* archive, zip_uint64_t index, const std::string& where) {
  const Entry entry(zip_fopen_index(archive, index, 0));
  if (!entry) return Error{fmt::format("{} cannot be read: {}", where, zip_strerror(archive))};
  std::vector<std::byte> bytes;
  constexpr std::size_t kStep = std::size_t{1} << 20;  // what a damaged length says is never reserved
  while (true) {
    const std::size_t had = bytes.size();
    bytes.resize(had + kStep);
    const zip_int64_t got = zip_fread(entry.get(), bytes.data() + had, kStep);
    if (got < 0) return Error{fmt::format("{} is damaged: {}", where, zip_file_strerror(entry.get()))};
    bytes.resize(had + static_cast<std::size_t>(got));
    if (got == 0) return bytes;
  }
}

}  // namespace

Result<std::vector<Array>> ReadNpz(const std::string& path) {
  std::error_code missing;
  if (!std::filesystem::exists(path, missing)) return Error{fmt::format("file `{}` does not exist", path)};
  int code = 0;
  const Archive archive(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (!archive) return Error{fmt::format("file `{}` is not a whole .npz: {}", path, Reason(code))};
  std::vector<Array> arrays;
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  for (zip_uint64_t k = 0; k < static_cast<zip_uint64_t>(count); ++k) {
    std::string name = zip_get_name(archive.get(), k, 0);
    if (!name.ends_with(".npy")) {
      return Error{fmt::format("file `{}` holds `{}`: expected arrays, NAME.npy", path, name)};
    }
    name.resize(name.size() - 4);
    const std::string where = fmt::format("field `{}` of file `{}`", name, path);
    const Result<std::vector<std::byte>> bytes = ReadEntry(archive.get(), k, where);
    if (!bytes) return bytes.error();
    Result<Array> array = ParseNpy(*bytes, name, where);
    if (!array) return array.error();
    arrays.push_back(std::move(*array));
  }
  return arrays;
}

Result<Done> WriteNpz(const std::string& path, const std::vector<Array>& arrays, bool deflate) {
  int code = 0;
  Archive archive(zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code));
  if (!archive) return Error{fmt::format("file `{}` cannot be written: {}", path, Reason(code))};
  const auto failed = [&] {
    return Error{fmt::format("file `{}` cannot be written: {}", path, zip_strerror(archive.get()))};
  };
  std::vector<std::vector<std::byte>> kept;  // libzip reads them when it closes
  kept.reserve(arrays.size());
  for (const Array& array : arrays) {
    kept.push_back(PrintNpy(array));
    zip_source_t* source = zip_source_buffer(archive.get(), kept.back().data(), kept.back().size(), 0);
    if (!source) return failed();
    const zip_int64_t index = zip_file_add(archive.get(), (array.name + ".npy").c_str(), source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
      zip_source_free(source);
      return failed();
    }
    const zip_int32_t method = deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE;
    if (zip_set_file_compression(archive.get(), static_cast<zip_uint64_t>(index), method, 0) != 0) return failed();
  }
  if (zip_close(archive.get()) != 0) return failed();
  archive.release();
  return Done{};
}

}  // namespace amo::runtime
