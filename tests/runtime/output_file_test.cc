// SPDX-License-Identifier: Apache-2.0
// Output files: whole or not at all, full disks, folders that are not there, and the lock between two runs.
#include "runtime/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include "tests/runtime/scratch.h"

namespace amo::runtime {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> Raw(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string MessageOf(const Result<Done>& result) { return result.ok() ? "" : result.message(); }
std::string MessageOf(const Result<OutputLock>& result) { return result.ok() ? "" : result.message(); }

TEST(WriteFile, WritesAndReplaces) {
  const std::string folder = Folder(), path = folder + "/a";
  ASSERT_EQ(MessageOf(WriteFile(path, Raw("one"))), "");
  EXPECT_EQ(Read(path), "one");
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  ASSERT_EQ(MessageOf(WriteFile(path, Raw(""))), "");
  EXPECT_EQ(Read(path), "");
  EXPECT_EQ(Files(folder), 1U);
  struct stat found{};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0640U);
}

TEST(WriteFile, FollowsLinks) {
  const std::string folder = Folder();
  fs::create_symlink("there", folder + "/link");
  fs::create_symlink("link", folder + "/again");
  ASSERT_EQ(MessageOf(WriteFile(folder + "/again", Raw("one"))), "");
  EXPECT_TRUE(fs::is_symlink(folder + "/again"));
  EXPECT_TRUE(fs::is_symlink(folder + "/link"));
  EXPECT_EQ(Read(folder + "/there"), "one");
}

TEST(WriteFile, SaysWhereItCannot) {
  const std::string folder = Folder();
  EXPECT_EQ(MessageOf(WriteFile(folder + "/no/a", Raw("x"))),
            "cannot write `" + folder + "/no/a`: no such folder `" + folder + "/no`");
  EXPECT_EQ(MessageOf(WriteFile(folder, Raw("x"))), "cannot write `" + folder + "`: it is a folder");
  EXPECT_EQ(MessageOf(WriteFile(folder + "/new/", Raw("x"))),
            "cannot write `" + folder + "/new/`: no such folder `" + folder + "/new`");
  ASSERT_EQ(MessageOf(WriteFile(folder + "/file", Raw("x"))), "");
  EXPECT_EQ(MessageOf(WriteFile(folder + "/file/a", Raw("x"))),
            "cannot write `" + folder + "/file/a`: `" + folder + "/file` is not a folder");
  EXPECT_EQ(MessageOf(WriteFile("", Raw("x"))), "cannot write ``: the name is empty");
  const std::string long_name = folder + "/" + std::string(300, 'a');
  EXPECT_NE(MessageOf(WriteFile(long_name, Raw("x"))).find(std::strerror(ENAMETOOLONG)), std::string::npos);
}

TEST(WriteFile, AFullDiskKeepsTheOldFile) {
  const std::string folder = Folder(), path = folder + "/a";
  ASSERT_EQ(MessageOf(WriteFile(path, Raw("old"))), "");
  std::string message;
  {
    const FullDisk full(1000);
    message = MessageOf(WriteFile(path, Raw(std::string(5000, 'x'))));
  }
  EXPECT_EQ(message, "cannot write `" + path + "`: " + std::strerror(EFBIG));
  EXPECT_EQ(Read(path), "old");
  EXPECT_EQ(Files(folder), 1U);
}

TEST(WriteFile, DevicesAreWrittenInPlace) {
  const std::string folder = Folder();
  fs::create_symlink("/dev/full", folder + "/full");
  fs::create_symlink("/dev/null", folder + "/null");
  EXPECT_EQ(MessageOf(WriteFile(folder + "/full", Raw("x"))),
            "cannot write `" + folder + "/full`: " + std::strerror(ENOSPC));
  EXPECT_EQ(MessageOf(WriteFile(folder + "/null", Raw("x"))), "");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_EQ(Files(folder), 2U);
}

// A child that holds the lock of `path` until it is told to end, or killed.
class Holder {
 public:
  explicit Holder(const std::string& path) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    pid_ = fork();
    if (pid_ == 0) {
      const Result<OutputLock> lock = OutputLock::Take(path);
      const char ok = lock.ok() ? 'y' : 'n';
      if (write(ready[1], &ok, 1) != 1) _exit(1);
      while (true) pause();
    }
    char ok = 'n';
    EXPECT_EQ(read(ready[0], &ok, 1), 1);
    EXPECT_EQ(ok, 'y');
    close(ready[0]);
    close(ready[1]);
  }
  ~Holder() { Kill(); }
  pid_t pid() const { return pid_; }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

TEST(OutputLock, AnotherRunIsNamed) {
  const std::string path = Folder() + "/ot.amoz";
  Holder holder(path);
  const std::string expected = "another run (process " + std::to_string(holder.pid()) + ") is writing `" + path + "`";
  EXPECT_EQ(MessageOf(OutputLock::Take(path)), expected);
  EXPECT_EQ(MessageOf(OutputLock::Take(path)), expected);  // and the refusal has not freed it
}

TEST(OutputLock, OneOfADeadProcessStopsNobody) {
  const std::string path = Folder() + "/ot.amoz";
  Holder holder(path);
  holder.Kill();
  ASSERT_TRUE(fs::exists(path + ".lock"));
  EXPECT_EQ(MessageOf(OutputLock::Take(path)), "");
}

TEST(OutputLock, EndsWithItsObject) {
  const std::string folder = Folder(), path = folder + "/ot.amoz";
  {
    Result<OutputLock> lock = OutputLock::Take(path);
    ASSERT_EQ(MessageOf(lock), "");
    EXPECT_EQ(Read(path + ".lock"), std::to_string(getpid()) + "\n");
    EXPECT_NE(MessageOf(OutputLock::Take(path)), "");
    const OutputLock moved = std::move(*lock);
    EXPECT_NE(MessageOf(OutputLock::Take(path)), "");
  }
  EXPECT_EQ(Files(folder), 0U);
  std::optional<OutputLock> first(std::move(*OutputLock::Take(path)));
  Result<OutputLock> other = OutputLock::Take(folder + "/other");
  *first = std::move(*other);  // frees what it held
  EXPECT_EQ(MessageOf(OutputLock::Take(path)), "");
  EXPECT_NE(MessageOf(OutputLock::Take(folder + "/other")), "");
}

// Many processes take and free one lock: none may find it free while another holds it.
TEST(OutputLock, ExcludesUnderContention) {
  const std::string folder = Folder(), path = folder + "/ot.amoz";
  constexpr int kProcesses = 4, kTurns = 200;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t pid = fork();
    if (pid == 0) {
      for (int turn = 0; turn < kTurns;) {
        const Result<OutputLock> lock = OutputLock::Take(path);
        if (!lock.ok()) continue;
        const int mark = open((folder + "/held").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (mark < 0) _exit(1);  // somebody else is here
        close(mark);
        unlink((folder + "/held").c_str());
        ++turn;
      }
      _exit(0);
    }
    children.push_back(pid);
  }
  for (pid_t pid : children) {
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

TEST(OutputLock, LooksAtTheTargetFirst) {
  const std::string folder = Folder();
  EXPECT_EQ(MessageOf(OutputLock::Take(folder + "/x/ot.amoz")),
            "cannot write `" + folder + "/x/ot.amoz`: no such folder `" + folder + "/x`");
  EXPECT_EQ(MessageOf(OutputLock::Take(folder)), "cannot write `" + folder + "`: it is a folder");
  EXPECT_EQ(MessageOf(OutputLock::Take("/dev/null")), "");
  EXPECT_FALSE(fs::exists("/dev/null.lock"));
  fs::create_directory(folder + "/a.lock");
  EXPECT_EQ(MessageOf(OutputLock::Take(folder + "/a")),
            "cannot write `" + folder + "/a`: its lock file `" + folder + "/a.lock`: " + std::strerror(EISDIR));
}

}  // namespace
}  // namespace amo::runtime
