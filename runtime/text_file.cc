// SPDX-License-Identifier: Apache-2.0
// Whole files through POSIX calls: the standard library's streams tell neither why they fail nor a file from a folder.
#include "runtime/text_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace amo::runtime {
namespace {

constexpr std::size_t kReadLimit = 17u << 20;

// An open file that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { if (fd_ > STDERR_FILENO) close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string Problem(const char* what, const std::string& path, int error) {
  return fmt::format("cannot {} {}: {}", what, path == "-" ? "standard input" : "`" + path + "`",
                     error == EISDIR ? "it is a directory" : std::strerror(error));
}

// 0, or errno.
int WriteAll(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    done += static_cast<std::size_t>(n);
  }
  return fsync(fd) == 0 ? 0 : errno;
}

}  // namespace

FileText ReadTextFile(const std::string& path) {
  const Descriptor file(path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return {{}, Problem("read", path, errno)};
  FileText result;
  char buffer[1 << 16];
  while (result.text.size() < kReadLimit) {
    const ssize_t n = read(file.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return {{}, Problem("read", path, errno)};
    if (n == 0) break;
    result.text.append(buffer, static_cast<std::size_t>(n));
  }
  return result;
}

std::string WhyUnreadable(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return Problem("read", path, errno);
  if (S_ISDIR(status.st_mode)) return Problem("read", path, EISDIR);
  if (!S_ISREG(status.st_mode)) return access(path.c_str(), R_OK) == 0 ? "" : Problem("read", path, errno);
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));  // a pipe could not be opened twice
  char first;
  if (file.get() < 0 || read(file.get(), &first, 1) < 0) return Problem("read", path, errno);
  return {};
}

std::string ReplaceTextFile(const std::string& path, const std::string& text) {
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
  struct stat status;
  if (real == nullptr || stat(real.get(), &status) != 0) return Problem("write", path, errno);
  if (S_ISDIR(status.st_mode)) return Problem("write", path, EISDIR);
  if (!S_ISREG(status.st_mode)) return fmt::format("cannot write `{}`: it is no ordinary file", path);
  // The folder's permission alone decides about a rename; a file that is read-only stays as it is.
  if (access(real.get(), W_OK) != 0) return Problem("write", path, errno);

  std::string temporary = std::string(real.get()) + ".XXXXXX";
  const Descriptor file(mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) return Problem("write", path, errno);
  int error = WriteAll(file.get(), text);
  // The owner first: changing it clears set-id bits. Only an administrator can, and for others it is theirs already.
  if (error == 0 && fchown(file.get(), status.st_uid, status.st_gid) != 0 && errno != EPERM) error = errno;
  if (error == 0 && fchmod(file.get(), status.st_mode & 07777) != 0) error = errno;
  if (error == 0 && rename(temporary.c_str(), real.get()) != 0) error = errno;
  if (error == 0) return {};
  unlink(temporary.c_str());
  return Problem("write", path, error);
}

}  // namespace amo::runtime
