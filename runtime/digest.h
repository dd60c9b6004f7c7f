// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_DIGEST_H_
#define AMO_RUNTIME_DIGEST_H_

#include <cstddef>
#include <span>
#include <string>

// SHA-256, as 64 small hexadecimal digits.
namespace amo::runtime {

std::string Sha256(std::span<const std::byte> bytes);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_DIGEST_H_
