// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_OUTPUT_FILE_H_
#define AMO_RUNTIME_OUTPUT_FILE_H_

#include <cstddef>
#include <span>
#include <string>

#include "runtime/result.h"

// Files that a run writes: reserved for one run at a time, and replaced as a whole or not at all. Messages begin with
// "cannot write `PATH`: ".
namespace amo::runtime {

// To a file beside `path`, to the disk, then renamed: after a failure or a loss of power `path` holds its old content
// or the new one, and nothing is left beside it by a failure. A link is followed; a device or a pipe is written in
// place.
Result<Done> WriteFile(const std::string& path, std::span<const std::byte> bytes);

// The right to write `path`, held by one process at a time for as long as the object lives: a lock on the file
// PATH.lock, which holds the number of the process and goes away with the lock. The system drops the lock of a process
// that died, so a PATH.lock that was left behind stops nobody. File systems without locks give a lock that excludes
// nobody.
class OutputLock {
 public:
  // Also fails where the folder is missing or not writable, or where `path` is a folder: long work should not end so.
  static Result<OutputLock> Take(const std::string& path);

  OutputLock(OutputLock&& other) noexcept;
  OutputLock& operator=(OutputLock&& other) noexcept;
  ~OutputLock();

 private:
  OutputLock(std::string lock_path, int file) : lock_path_(std::move(lock_path)), file_(file) {}
  void Release();

  std::string lock_path_;
  int file_ = -1;  // -1: excludes nobody
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_OUTPUT_FILE_H_
