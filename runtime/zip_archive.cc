// SPDX-License-Identifier: Apache-2.0
// Zip archives by libzip, which checks the checksum of each entry.
#include "runtime/zip_archive.h"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace amo::runtime {
namespace {

struct Close {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};
using Archive = std::unique_ptr<zip_t, Close>;
using File = std::unique_ptr<zip_file_t, Close>;
using Source = std::unique_ptr<zip_source_t, Close>;

// An archive over a source in memory that outlives it. On failure the reason is in `error`.
Archive Open(const Source& source, int flags, zip_error_t* error) {
  zip_source_keep(source.get());  // the archive frees one of the two
  Archive archive(zip_open_from_source(source.get(), flags, error));
  if (!archive) zip_source_free(source.get());
  return archive;
}

Error Reason(zip_error_t* error) { return Error{zip_error_strerror(error)}; }

Result<std::vector<std::byte>> ReadAll(const Source& source) {
  zip_stat_t stat;
  if (zip_source_stat(source.get(), &stat) != 0 || zip_source_open(source.get()) != 0) {
    return Reason(zip_source_error(source.get()));
  }
  std::vector<std::byte> bytes(stat.size);
  const zip_int64_t got = zip_source_read(source.get(), bytes.data(), bytes.size());
  zip_source_close(source.get());
  if (got < 0 || static_cast<std::size_t>(got) != bytes.size()) return Reason(zip_source_error(source.get()));
  return bytes;
}

void ReadEntry(zip_t* archive, zip_uint64_t index, std::size_t most, ZipEntry& entry) {
  const File file(zip_fopen_index(archive, index, 0));
  if (!file) {
    entry.damage = zip_strerror(archive);
    return;
  }
  constexpr std::size_t kFirst = std::size_t{1} << 12, kMost = std::size_t{1} << 20;  // bytes a step
  while (true) {
    const std::size_t had = entry.bytes.size(), room = std::min(std::clamp(had, kFirst, kMost), most - had + 1);
    entry.bytes.resize(had + room);
    const zip_int64_t got = zip_fread(file.get(), entry.bytes.data() + had, room);
    entry.bytes.resize(had + static_cast<std::size_t>(std::max<zip_int64_t>(got, 0)));
    if (got < 0) entry.damage = zip_file_strerror(file.get());
    if (entry.bytes.size() > most) entry.damage = "it is too large for its archive";
    if (got <= 0 || !entry.damage.empty()) break;
  }
  if (!entry.damage.empty()) entry.bytes = {};
}

}  // namespace

Result<std::vector<std::byte>> PrintZip(const std::vector<ZipEntry>& entries) {
  if (entries.empty()) {  // libzip writes no archive then; the format has one, the end record alone
    std::vector<std::byte> bytes(22);
    std::memcpy(bytes.data(), "PK\5\6", 4);
    return bytes;
  }
  zip_error_t error;
  zip_error_init(&error);
  const Source source(zip_source_buffer_create(nullptr, 0, 0, &error));
  if (!source) return Reason(&error);
  Archive archive = Open(source, ZIP_TRUNCATE, &error);
  if (!archive) return Reason(&error);
  for (const ZipEntry& entry : entries) {
    const auto failed = [&] {
      if (zip_error_code_zip(zip_get_error(archive.get())) == ZIP_ER_EXISTS) {
        return Error{fmt::format("two entries are called `{}`", entry.name)};
      }
      return Error{fmt::format("entry `{}`: {}", entry.name, zip_strerror(archive.get()))};
    };
    // libzip reads the bytes when it closes the archive, which is before we return.
    zip_source_t* content = zip_source_buffer(archive.get(), entry.bytes.data(), entry.bytes.size(), 0);
    if (!content) return failed();
    const zip_int64_t added = zip_file_add(archive.get(), entry.name.c_str(), content, ZIP_FL_ENC_UTF_8);
    if (added < 0) {
      zip_source_free(content);
      return failed();
    }
    const auto index = static_cast<zip_uint64_t>(added);
    constexpr zip_uint16_t kFirstDay = 1 << 5 | 1;  // 1 January 1980, where the times of zip files begin
    if (zip_set_file_compression(archive.get(), index, ZIP_CM_STORE, 0) != 0 ||
        zip_file_set_dostime(archive.get(), index, 0, kFirstDay, 0) != 0) {
      return failed();
    }
  }
  if (zip_close(archive.get()) != 0) return Error{zip_strerror(archive.get())};
  archive.release();
  return ReadAll(source);
}

Result<std::vector<ZipEntry>> ParseZip(std::span<const std::byte> bytes, std::size_t most) {
  zip_error_t error;
  zip_error_init(&error);
  const Source source(zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error));
  if (!source) return Reason(&error);
  const Archive archive = Open(source, ZIP_RDONLY, &error);
  if (!archive) return Reason(&error);
  std::vector<ZipEntry> entries(static_cast<std::size_t>(zip_get_num_entries(archive.get(), 0)));
  for (std::size_t k = 0; k < entries.size(); ++k) {
    const char* name = zip_get_name(archive.get(), k, 0);
    if (name) entries[k].name = name;
    ReadEntry(archive.get(), k, most, entries[k]);
    most -= entries[k].bytes.size();
  }
  return entries;
}

}  // namespace amo::runtime
