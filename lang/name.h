// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_NAME_H_
#define AMO_LANG_NAME_H_

#include <string>
#include <string_view>

// Names that look the same are the same: `µ` (micro sign) is `μ`, `y` + combining circumflex is `ŷ`.
namespace amo::lang {

// A name with one spelling: marks are composed with the letter before them where Unicode has one code point for both,
// and variants of Greek letters become the letter. Requires UTF-8; ASCII comes back as it is.
std::string NormalizeName(std::string_view name);

}  // namespace amo::lang

#endif  // AMO_LANG_NAME_H_
