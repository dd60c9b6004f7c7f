// SPDX-License-Identifier: Apache-2.0
// Fuzz target of the front end's text half. For any bytes: parsing ends, every diagnostic can be drawn, and what
// parses without an error is formatted to a text that parses to the same tree and formats to itself.
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "lang/dump.h"
#include "lang/format.h"
#include "lang/parser.h"
#include "lang/render.h"

namespace {

using namespace amo::lang;

void Require(bool holds, const char* what, const std::string& text) {
  if (holds) return;
  fmt::print(stderr, "parse_fuzz: {}\n---- text\n{}\n----\n", what, text);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Sources sources;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::uint32_t source = sources.Add("fuzz.amo", text);
  Diagnostics diagnostics;
  ExprId next_id = 0;
  const File file = Parse(sources, source, next_id, diagnostics);
  const std::string dump = Dump(file);
  if (diagnostics.has_errors()) {
    Require(!Render(sources, diagnostics).empty(), "an error is drawn as nothing", text);
    Require(!RenderJson(sources, diagnostics).empty(), "an error is written as nothing", text);
    Require(Format(sources, source) == text, "a text with an error is changed by Format", text);
    return 0;
  }
  const std::string formatted = Format(sources, source);
  const std::uint32_t again = sources.Add("formatted.amo", formatted);
  const File file_again = Parse(sources, again, next_id, diagnostics);
  Require(!diagnostics.has_errors(), "what Format wrote has an error", text);
  Require(Dump(file_again) == dump, "what Format wrote has another tree", text);
  Require(Format(sources, again) == formatted, "Format changes what it wrote", text);
  return 0;
}
