// SPDX-License-Identifier: Apache-2.0
// Every kind of node has its golden text in tests/cases/ast; here is what a dump leaves out and what it marks.
#include "lang/dump.h"

#include <gtest/gtest.h>

#include "lang/parser.h"

namespace amo::lang {
namespace {

std::string DumpOf(const std::string& text) {
  Sources sources;
  Diagnostics diagnostics;
  ExprId next_id = 0;
  return Dump(Parse(sources, sources.Add("a.amo", text), next_id, diagnostics));
}

TEST(Dump, LeavesOutPlacesButKeepsParentheses) {
  EXPECT_EQ(DumpOf("let a = b+1"), DumpOf("amo 1\n\nlet a =\n  b + 1 # c\n"));
  EXPECT_NE(DumpOf("let a = b + 1"), DumpOf("let a = (b + 1)"));
  EXPECT_NE(DumpOf("let a = 1"), DumpOf("let a = 1.0"));
}

TEST(Dump, MarksBrokenDeclarations) {
  EXPECT_EQ(DumpOf("let a = (\nvariable y : real"), "file version 1\n  let a (broken)\n  variable y\n    type real\n");
}

TEST(Dump, OneDeclaration) {
  Sources sources;
  Diagnostics diagnostics;
  ExprId next_id = 0;
  const File file = Parse(sources, sources.Add("a.amo", "dim n = 2\nlet a = n"), next_id, diagnostics);
  EXPECT_EQ(Dump(file.decls.at(1)), "let a\n  =: name n\n");
}

}  // namespace
}  // namespace amo::lang
