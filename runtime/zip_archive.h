// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_ZIP_ARCHIVE_H_
#define AMO_RUNTIME_ZIP_ARCHIVE_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "runtime/result.h"

// Zip archives in memory. Errors are reasons only: who calls knows the file.
namespace amo::runtime {

struct ZipEntry {
  std::string name;
  std::vector<std::byte> bytes;
  std::string damage;  // after reading: why `bytes` are not what was written; empty where they are
};

// Entries stored, not deflated, and without times: equal entries give equal bytes.
Result<std::vector<std::byte>> PrintZip(const std::vector<ZipEntry>& entries);

// Every entry, of whichever compression. No length is believed: all entries together take no more than `most` bytes,
// those past that are damaged.
Result<std::vector<ZipEntry>> ParseZip(std::span<const std::byte> bytes, std::size_t most);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_ZIP_ARCHIVE_H_
