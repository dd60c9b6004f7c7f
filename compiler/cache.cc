// SPDX-License-Identifier: Apache-2.0
// The file: one header line "amo-kernel VERSION KEY SCRATCH SIZE SHA256", then the object's bytes.
#include "compiler/cache.h"

#include <fmt/format.h>
#include <llvm/ADT/StringExtras.h>
#include <llvm/Support/SHA256.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "compiler/jit.h"

namespace amo::compiler {
namespace {

std::string Sha256(const std::string& bytes) {
  llvm::SHA256 hash;
  hash.update(llvm::StringRef(bytes));
  return llvm::toHex(hash.final(), true);
}

// Everything of a function that its code depends on; names and spans are no part of it.
std::string Printed(const Function& f) {
  std::string out;
  for (const Node& n : f.nodes) {
    out += fmt::format("{} {}:", OpText(n.op), ToString(n.type));
    for (Value a : n.args) out += fmt::format(" %{}", a.index);
    for (std::int64_t a : n.attr) out += fmt::format(" {}", a);
    out += fmt::format(" #{:x}\n", std::bit_cast<std::uint64_t>(n.number));
    if (n.body) out += "{\n" + Printed(*n.body) + "}\n";
  }
  for (const Input& i : f.inputs) out += fmt::format("input {} {}\n", static_cast<int>(i.role), i.value.index);
  for (const Output& o : f.outputs) out += fmt::format("output {}\n", o.value.index);
  return out;
}

std::filesystem::path FileOf(const std::string& folder, const std::string& key) {
  return std::filesystem::path(folder) / (key + ".amok");
}

}  // namespace

std::string CacheKey(const Function& function, Precision precision, int lanes) {
  const Host& host = TheHost();
  return Sha256(fmt::format("{} {} {} {} {} {}\n", kCacheVersion, static_cast<int>(precision), lanes, host.cpu,
                            host.features, host.llvm_version) +
                Printed(function));
}

std::optional<CachedObject> ReadCache(const std::string& folder, const std::string& key) {
  std::ifstream in(FileOf(folder, key), std::ios::binary);
  std::string header;
  if (!in || !std::getline(in, header)) return std::nullopt;
  std::istringstream words(header);
  std::string magic, file_key, sum;
  int version = 0;
  std::uint64_t size = 0;
  CachedObject found;
  words >> magic >> version >> file_key >> found.shared_bytes >> found.scratch_bytes >> found.lanes >> size >> sum;
  if (!words || magic != "amo-kernel" || version != kCacheVersion || file_key != key) return std::nullopt;
  found.object.assign(std::istreambuf_iterator<char>(in), {});
  if (found.object.size() != size || Sha256(found.object) != sum) return std::nullopt;
  return found;
}

void WriteCache(const std::string& folder, const std::string& key, const CachedObject& object) {
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  const std::filesystem::path file = FileOf(folder, key);
  static std::atomic<int> counter = 0;
  const std::filesystem::path draft = file.string() + fmt::format(".{}.{}", ::getpid(), counter++);
  {
    std::ofstream out(draft, std::ios::binary);
    out << fmt::format("amo-kernel {} {} {} {} {} {} {}\n", kCacheVersion, key, object.shared_bytes,
                       object.scratch_bytes, object.lanes, object.object.size(), Sha256(object.object))
        << object.object;
    out.close();
    if (!out) {
      std::filesystem::remove(draft, ignored);
      return;
    }
  }
  std::filesystem::rename(draft, file, ignored);
  if (ignored) std::filesystem::remove(draft, ignored);
}

std::string KernelCacheFolder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (const std::string own = variable("AMO_CACHE"); !own.empty()) return own + "/kernels";
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/amo/kernels";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/amo/kernels";
  return "";
}

}  // namespace amo::compiler
