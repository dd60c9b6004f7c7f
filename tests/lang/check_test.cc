// SPDX-License-Identifier: Apache-2.0
// What the checker accepts and what it says of the rest.
#include "lang/check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "lang/render.h"

namespace amo::lang {
namespace {

namespace fs = std::filesystem;

// ---- the programs of the literature are right, in all their variants

TEST(Check, ProgramsAreRight) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator("tests/programs")) {
    if (entry.path().extension() != ".amo") continue;
    Diagnostics loading;
    const Program program = Load(entry.path().string(), loading);
    for (const std::string& problem : ProblemNames(program)) {
      std::vector<std::string> variants = VariantNames(program, problem);
      variants.insert(variants.begin(), "");
      for (const std::string& variant : variants) {
        Diagnostics diagnostics;
        Check(program, Choose(program, {problem, variant}, diagnostics), diagnostics);
        EXPECT_TRUE(diagnostics.all().empty())
            << problem << " " << variant << "\n" << Render(program.sources, diagnostics);
        ++count;
      }
    }
  }
  EXPECT_GT(count, 100);
}

}  // namespace
}  // namespace amo::lang
