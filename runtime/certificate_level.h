// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CERTIFICATE_LEVEL_H_
#define AMO_RUNTIME_CERTIFICATE_LEVEL_H_

#include <cstdint>

namespace amo::runtime {

// How much of an answer's certificate is worked out: all of it; what evaluating the answer costs, without residual and
// gap, which take a projection; nothing.
enum class CertificateLevel : std::uint8_t { kFull, kViolations, kNone };

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_CERTIFICATE_LEVEL_H_
