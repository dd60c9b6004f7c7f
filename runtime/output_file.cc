// SPDX-License-Identifier: Apache-2.0
// Output files by the calls of POSIX, whose reasons stand in the messages.
#include "runtime/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <utility>

namespace amo::runtime {
namespace {

Error CannotWrite(const std::string& path, const std::string& reason) {
  return Error{fmt::format("cannot write `{}`: {}", path, reason)};
}

std::string Folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

enum class Target : std::uint8_t { kReplaced, kInPlace };

// How `path` will be written, where it can be. Writability itself is left to the first call that writes: only that one
// knows of read-only file systems and quotas.
Result<Target> Inspect(const std::string& path) {
  if (path.empty()) return CannotWrite(path, "the name is empty");
  const std::string folder = Folder(path);
  struct stat found{};
  if (stat(folder.c_str(), &found) != 0) {
    const int code = errno;
    return CannotWrite(path, code == ENOENT ? fmt::format("no such folder `{}`", folder) : std::strerror(code));
  }
  if (!S_ISDIR(found.st_mode)) return CannotWrite(path, fmt::format("`{}` is not a folder", folder));
  if (stat(path.c_str(), &found) == 0) {
    if (S_ISDIR(found.st_mode)) return CannotWrite(path, "it is a folder");
    return S_ISREG(found.st_mode) ? Target::kReplaced : Target::kInPlace;
  }
  if (errno != ENOENT) return CannotWrite(path, std::strerror(errno));
  if (path.ends_with('/')) return CannotWrite(path, "it names a folder");
  return Target::kReplaced;
}

// All bytes; false with errno where the disk is full or the file is closed to us.
bool WriteAll(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    if (written == 0) {
      errno = ENOSPC;
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

Result<Done> WriteInPlace(const std::string& path, std::span<const std::byte> bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return CannotWrite(path, std::strerror(errno));
  const bool whole = WriteAll(file, bytes);
  const int code = errno;
  if (close(file) != 0 && whole) return CannotWrite(path, std::strerror(errno));
  if (!whole) return CannotWrite(path, std::strerror(code));
  return Done{};
}

// The file that a chain of links ends at, which need not exist.
std::string FollowLinks(std::string path) {
  std::error_code code;
  for (int k = 0; k < 40 && std::filesystem::is_symlink(path, code); ++k) {
    const std::filesystem::path to = std::filesystem::read_symlink(path, code);
    if (code) break;
    path = to.is_absolute() ? to.string() : (std::filesystem::path(path).parent_path() / to).string();
  }
  return path;
}

bool LocksAreUnknown(int code) { return code == ENOSYS || code == EOPNOTSUPP || code == ENOLCK; }

// What the holder has written into its lock file: "process 1234".
std::string Holder(int file) {
  char digits[24] = {};
  const ssize_t got = pread(file, digits, sizeof digits - 1, 0);
  const std::string text(digits, got > 0 ? std::strspn(digits, "0123456789") : 0);
  return text.empty() ? "another run" : fmt::format("another run (process {})", text);
}

}  // namespace

Result<Done> WriteFile(const std::string& path, std::span<const std::byte> bytes) {
  const Result<Target> target = Inspect(path);
  if (!target) return target.error();
  if (*target == Target::kInPlace) return WriteInPlace(path, bytes);

  static std::atomic<unsigned> count = 0;  // two threads never share a name
  const std::string end = FollowLinks(path);
  const std::string part = fmt::format("{}.{}-{}.part", end, getpid(), count++);
  const int file = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file < 0) return CannotWrite(path, std::strerror(errno));
  int code = 0;
  struct stat old{};
  if (stat(end.c_str(), &old) == 0 && fchmod(file, old.st_mode & 0777) != 0) errno = 0;  // where modes are kept at all
  if (!WriteAll(file, bytes) || fsync(file) != 0) code = errno;
  if (close(file) != 0 && code == 0) code = errno;
  if (code == 0 && rename(part.c_str(), end.c_str()) != 0) code = errno;
  if (code != 0) {
    unlink(part.c_str());
    return CannotWrite(path, std::strerror(code));
  }
  // The new name too has to reach the disk. Where a folder cannot be synced the file is still whole.
  const int folder = open(Folder(end).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
  return Done{};
}

Result<OutputLock> OutputLock::Take(const std::string& path) {
  const Result<Target> target = Inspect(path);
  if (!target) return target.error();
  if (*target == Target::kInPlace) return OutputLock("", -1);
  const std::string lock_path = path + ".lock";
  while (true) {
    const int file = open(lock_path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (file < 0) {
      const int code = errno;
      const bool there = access(lock_path.c_str(), F_OK) == 0;  // of another user, say
      return CannotWrite(
          path, fmt::format("{}{}", there ? fmt::format("its lock file `{}`: ", lock_path) : "", std::strerror(code)));
    }
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
      const int code = errno;
      const std::string holder = code == EWOULDBLOCK ? Holder(file) : "";
      close(file);
      if (code == EINTR) continue;
      if (code == EWOULDBLOCK) return Error{fmt::format("{} is writing `{}`", holder, path)};
      if (!LocksAreUnknown(code)) return CannotWrite(path, std::strerror(code));
      unlink(lock_path.c_str());
      return OutputLock("", -1);
    }
    // Between opening and locking the holder may have removed this file: then it locks nothing that others will open.
    struct stat ours{}, named{};
    if (fstat(file, &ours) != 0 || stat(lock_path.c_str(), &named) != 0 || ours.st_ino != named.st_ino ||
        ours.st_dev != named.st_dev) {
      close(file);
      continue;
    }
    OutputLock lock(lock_path, file);
    const std::string pid = fmt::format("{}\n", getpid());
    if (ftruncate(file, 0) != 0 || !WriteAll(file, std::as_bytes(std::span(pid)))) {
      return CannotWrite(path, std::strerror(errno));
    }
    return lock;
  }
}

OutputLock::OutputLock(OutputLock&& other) noexcept
    : lock_path_(std::move(other.lock_path_)), file_(std::exchange(other.file_, -1)) {}

OutputLock& OutputLock::operator=(OutputLock&& other) noexcept {
  if (this != &other) {
    Release();
    lock_path_ = std::move(other.lock_path_);
    file_ = std::exchange(other.file_, -1);
  }
  return *this;
}

OutputLock::~OutputLock() { Release(); }

// Removed first, unlocked second: in the other order another run could lose the file it has just locked.
void OutputLock::Release() {
  if (file_ < 0) return;
  unlink(lock_path_.c_str());
  flock(file_, LOCK_UN);
  close(file_);
  file_ = -1;
}

}  // namespace amo::runtime
