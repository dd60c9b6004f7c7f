// SPDX-License-Identifier: Apache-2.0
// SHA-256 by OpenSSL.
#include "runtime/digest.h"

#include <openssl/sha.h>

#include <string_view>

namespace amo::runtime {

std::string Sha256(std::span<const std::byte> bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (unsigned char d : digest) text += {kDigits[d >> 4], kDigits[d & 15]};
  return text;
}

}  // namespace amo::runtime
