// SPDX-License-Identifier: Apache-2.0
// Which names an expression refers to, and which it binds itself.
#include "lang/uses.h"

#include <gtest/gtest.h>

#include <set>

#include "lang/parser.h"

namespace amo::lang {
namespace {

std::string UsesOf(const std::string& text, bool is_distribution = false) {
  Sources sources;
  Diagnostics diagnostics;
  ExprId next_id = 0;
  const ExprPtr expr = ParseExpr(sources, sources.Add("test", text), next_id, diagnostics);
  EXPECT_FALSE(diagnostics.has_errors()) << text;
  std::set<std::string> names;
  const OnUse on_use = [&](const Use& use) {
    std::string name = use.name;
    if (use.kind == Use::Kind::kSet) name = "in " + name;
    if (use.kind == Use::Kind::kConstraint) name = "constraint " + name;
    if (use.shape_only) name += " (shape)";
    if (use.averaged) name += " (mean)";
    names.insert(name);
  };
  is_distribution ? VisitDistributionUses(*expr, on_use) : VisitUses(*expr, on_use);
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

TEST(Uses, OfExpressions) {
  const struct {
    const char* text;
    const char* names;
  } cases[] = {
      {"a + b[i]", "a, b, i"},
      {"sum(i in n: x[i])", "n, x"},
      {"[i in n, j in i..m: x[i, j]] + i", "i, m, n, x"},
      {"scan(z = s0, t in H: f(z, u[t]))", "H, f, s0, u"},
      {"mean(i in 9, e : real[k] ~ normal(m, s): e + m)", "k, m, s"},
      {"a + b where a = c, b = a + d", "c, d"},
      {"V(s = next(s), e = e2)", "V, e2, next, s"},
      {"project(v, box(lo, 1) * simplex)", "in box, in simplex, lo, project, v"},
      {"violation(cap) + violation(flow[i])", "constraint cap, constraint flow, i, violation"},
      {"h[0..weights(f)]", "f (shape), h, weights"},
      {"expect(a) / b", "a (mean), b, expect"},
      {"r.image + Q[i](s; w)", "Q, i, r, s, w"},
  };
  for (const auto& c : cases) { EXPECT_EQ(UsesOf(c.text), c.names) << c.text; }
}

TEST(Uses, OfDistributions) {
  EXPECT_EQ(UsesOf("normal(mu, 1)", true), "mu");
  EXPECT_EQ(UsesOf("uniform(sphere)", true), "in sphere");
  EXPECT_EQ(UsesOf("uniform(lo, hi)", true), "hi, lo");
  EXPECT_EQ(UsesOf("init(net)", true), "net (shape)");
}

}  // namespace
}  // namespace amo::lang
