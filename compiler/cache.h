// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_CACHE_H_
#define AMO_COMPILER_CACHE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "compiler/kernel.h"

// Machine code on disk, found by a hash of everything that it depends on. A file that is damaged, of another version or
// of another key counts as absent.
namespace amo::compiler {

// Raised by every change of the generated code or of the file's form.
inline constexpr int kCacheVersion = 7;

struct CachedObject {
  std::string object;
  std::uint64_t shared_bytes = 0, scratch_bytes = 0;
  int lanes = 1;
};

// SHA-256, in hexadecimal, of the function, the precision, the lanes that are asked for, the machine and the compiler.
std::string CacheKey(const Function& function, Precision precision, int lanes);

std::optional<CachedObject> ReadCache(const std::string& folder, const std::string& key);
// Failures are silent: a cache that cannot be written is slow, not wrong.
void WriteCache(const std::string& folder, const std::string& key, const CachedObject& object);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_CACHE_H_
