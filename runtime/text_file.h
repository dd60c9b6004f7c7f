// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TEXT_FILE_H_
#define AMO_RUNTIME_TEXT_FILE_H_

#include <string>

// Whole files, read and replaced.
namespace amo::runtime {

struct FileText {
  std::string text;
  std::string error;  // "cannot read `a.amo`: is a directory"; "" when all is well
};

// "-" is standard input. Stops behind 17 MB: no program is that long (Code::kEncoding), and pipes may be endless.
FileText ReadTextFile(const std::string& path);

// Why a file cannot be read, without reading it; "" when it can.
std::string WhyUnreadable(const std::string& path);

// Replaces a file in one step: a reader sees the old or the new text, a crash leaves the old one. The mode stays; a
// link stays one, and what it points to is replaced. Returns what is wrong, or "".
std::string ReplaceTextFile(const std::string& path, const std::string& text);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TEXT_FILE_H_
