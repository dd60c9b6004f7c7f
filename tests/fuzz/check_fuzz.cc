// SPDX-License-Identifier: Apache-2.0
// Fuzz target of the front end's meaning half. For any bytes: choosing and checking end, in every problem and variant,
// and every diagnostic can be drawn.
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "lang/check.h"
#include "lang/render.h"

namespace {

using namespace amo::lang;

void CheckOne(const Program& program, const Diagnostics& loading, const ProblemChoice& choice) {
  Diagnostics diagnostics = loading;
  const Problem problem = Choose(program, choice, diagnostics);
  const Checked checked = Check(program, problem, diagnostics);
  if (checked.types.size() < program.expr_count) std::abort();
  if (!diagnostics.all().empty() && Render(program.sources, diagnostics).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Diagnostics loading;
  const Program program = LoadText("fuzz.amo", std::string(reinterpret_cast<const char*>(data), size), loading);
  CheckOne(program, loading, {});
  for (const std::string& problem : ProblemNames(program)) {
    CheckOne(program, loading, {problem, ""});
    for (const std::string& variant : VariantNames(program, problem)) CheckOne(program, loading, {problem, variant});
  }
  return 0;
}
