// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_RENDER_H_
#define AMO_LANG_RENDER_H_

#include <cstddef>
#include <string>

#include "lang/diagnostic.h"
#include "lang/source.h"

// Diagnostics as text for people, as lines for editors, and as JSON for tools. Sorted by place.
namespace amo::lang {

struct RenderOptions {
  bool color = false;      // ANSI colours
  std::size_t limit = 20;  // then "and N more"
};

// error[shape-mismatch]: operands of `+` have shapes `[3]` and `[4]`
//   --> portfolio.amo:7:12
//    |
//  5 | context mu : real[3]
//    |         -- declared here with shape `[3]`
//    :
//  7 | minimize mu + w
//    |          ^^^^^^ shape `[3]` on the left, `[4]` on the right
//    = help: `w[0..3]` has shape `[3]`
std::string Render(const Sources& sources, const Diagnostics& diagnostics, const RenderOptions& options = {});
std::string Render(const Sources& sources, const Diagnostic& diagnostic, const RenderOptions& options = {});

// portfolio.amo:7:12: error: operands of `+` have shapes `[3]` and `[4]` [shape-mismatch]
std::string RenderCompact(const Sources& sources, const Diagnostics& diagnostics, const RenderOptions& options = {});

// An array of {severity, code, message, file, line, column, end_line, end_column, label, labels, help}; lines and
// columns count from 1, columns in code points, the end is exclusive. All diagnostics, without a limit.
std::string RenderJson(const Sources& sources, const Diagnostics& diagnostics);

}  // namespace amo::lang

#endif  // AMO_LANG_RENDER_H_
