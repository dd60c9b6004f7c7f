// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_TEXT_H_
#define AMO_LANG_TEXT_H_

#include <cstddef>

#include "lang/diagnostic.h"
#include "lang/source.h"

// Whether a source can be read as text at all: the border that hostile bytes do not pass.
namespace amo::lang {

inline constexpr std::size_t kMaxTextSize = 16 << 20;  // bytes

// True when the source is UTF-8 (no surrogates, no overlong forms), holds no NUL byte and is not too large.
// Otherwise one diagnostic says what is wrong and where.
bool CheckText(const Sources& sources, std::uint32_t source, Diagnostics& diagnostics);

}  // namespace amo::lang

#endif  // AMO_LANG_TEXT_H_
