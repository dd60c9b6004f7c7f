// SPDX-License-Identifier: Apache-2.0
// Linear constraints and polyhedral sets as the rows of one matrix, inside an expression.
#include "compiler/build_parts.h"

namespace amo::compiler {

LinearRows LinearRowsOf(Scope& s, const Term& zeros,
                        const std::function<std::map<std::string, Term>(const Term&)>& cut) {
  const auto demands = [&](const Term& w) {
    Scope::World world{s.worlds.back().replaced, {}, s.worlds.back().networks};
    for (const auto& [name, term] : cut(w)) world.replaced[name] = term;
    s.worlds.push_back(std::move(world));
    const Scope::Demands d = s.AllDemands();
    s.worlds.pop_back();
    return s.Concat({d.negative, d.equal, s.Unary(Op::kNeg, d.equal)}, 0, {});
  };
  const Term at_zero = demands(zeros);
  return {s.Jacobian(zeros, s.Own(at_zero)[0], demands), s.Unary(Op::kNeg, at_zero)};
}

Term NearestOnRows(Scope& s, const LinearRows& rows, const Term& w) {
  const lang::Decl& decl = *s.problem.sets.at("polyhedron");
  if (!s.problem.program->sources[decl.span.source].path.starts_with("<stdlib>/"))
    s.Unsupported(decl.span, "a projection onto rows beside a set `polyhedron` of the file's own");
  return s.ProjectOnto({&std::get<lang::SetDecl>(decl.node), {rows.matrix, rows.bound}}, w);
}

}  // namespace amo::compiler
