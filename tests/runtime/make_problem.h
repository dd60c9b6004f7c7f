// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_TESTS_RUNTIME_MAKE_PROBLEM_H_
#define AMO_TESTS_RUNTIME_MAKE_PROBLEM_H_

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "compiler/build.h"
#include "lang/problem.h"
#include "runtime/problem.h"

namespace amo::runtime {

// The problem that a text without its first line and its `problem` line says; it has no tables, and builds.
inline Problem MakeProblem(const std::string& text, at::ScalarType dtype = at::kDouble) {
  lang::Diagnostics diagnostics;
  const lang::Program source = lang::LoadText("test.amo", "amo 1\nproblem p\n" + text, diagnostics);
  const lang::Problem chosen = lang::Choose(source, {}, diagnostics);
  compiler::Program program = compiler::Build(source, chosen, {}, diagnostics);
  for (const lang::Diagnostic& d : diagnostics.all()) EXPECT_NE(d.severity, lang::Severity::kError) << d.message;
  Result<Problem> p = OpenProblem(std::move(program), std::map<std::string, Table>{}, dtype, 11);
  EXPECT_TRUE(p.ok());
  return std::move(*p);
}

}  // namespace amo::runtime

#endif  // AMO_TESTS_RUNTIME_MAKE_PROBLEM_H_
