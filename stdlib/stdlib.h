// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_STDLIB_STDLIB_H_
#define AMO_STDLIB_STDLIB_H_

#include <span>
#include <string_view>

// The texts of stdlib/*.amo, embedded when the binary is built.
namespace amo::stdlib {

struct Text {
  std::string_view name;  // "sets.amo"
  std::string_view text;
};

std::span<const Text> Texts();

}  // namespace amo::stdlib

#endif  // AMO_STDLIB_STDLIB_H_
