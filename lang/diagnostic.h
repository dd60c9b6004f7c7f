// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_DIAGNOSTIC_H_
#define AMO_LANG_DIAGNOSTIC_H_

#include <string>
#include <string_view>
#include <vector>

#include "lang/source.h"

// What is wrong with a program, as values: collected, many per run, rendered elsewhere (render.h).
namespace amo::lang {

enum class Severity { kError, kWarning };

enum class Code {
#define AMO_DIAGNOSTIC(name, text, explanation) k##name,
#include "lang/diagnostic.def"
#undef AMO_DIAGNOSTIC
};

std::string_view CodeName(Code code);         // "shape-mismatch"
std::string_view CodeExplanation(Code code);  // one sentence; `amo explain shape-mismatch` prints it

struct Label {
  Span span;
  std::string text;
};

struct Diagnostic {
  Code code;
  Severity severity = Severity::kError;
  Span span;                  // the primary place, as narrow as the thing that is wrong
  std::string message;        // lower case, no final period, source text in backticks
  std::string label;          // what stands under the primary span; may be empty
  std::vector<lang::Label> labels;  // further places that add a fact
  std::string help;           // the fix, where one exists

  Diagnostic& Under(std::string text) { label = std::move(text); return *this; }
  Diagnostic& Label(Span at, std::string text) { labels.push_back({at, std::move(text)}); return *this; }
  Diagnostic& Help(std::string text) { help = std::move(text); return *this; }
};

class Diagnostics {
 public:
  // The reference is valid until the next report. Use fmt::format for the message.
  Diagnostic& Error(Code code, Span span, std::string message);
  Diagnostic& Warning(Code code, Span span, std::string message);
  bool has_errors() const { return errors_ > 0; }
  std::vector<Diagnostic> Sorted() const;  // by source and place
  const std::vector<Diagnostic>& all() const { return all_; }

 private:
  std::vector<Diagnostic> all_;
  int errors_ = 0;
};

// The nearest of `known` within edit distance min(length / 2, 3), or "".
std::string Nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace amo::lang

#endif  // AMO_LANG_DIAGNOSTIC_H_
