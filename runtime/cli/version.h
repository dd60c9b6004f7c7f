// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_VERSION_H_
#define AMO_RUNTIME_CLI_VERSION_H_

#include <string_view>

// What `amo --version` prints.
namespace amo::runtime::cli {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_VERSION_H_
