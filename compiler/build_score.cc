// SPDX-License-Identifier: Apache-2.0
// The score function of discrete draws: the derivative of E[f(e)] by what the probabilities of e depend on is the mean
// of f(e) times that of log p(e) (Glynn 1990; Williams 1992, REINFORCE).
#include <algorithm>
#include <vector>

#include "compiler/scope.h"

namespace amo::compiler {
namespace {

// Whether training moves what the value depends on: weights, parameters, the answer.
bool Moves(const Function& f, const Program& program, Value from) {
  std::vector<char> reached(f.nodes.size());
  reached[static_cast<std::size_t>(from.index)] = 1;
  for (std::size_t i = f.nodes.size(); i-- > 0;)
    if (reached[i]) for (const Value v : f.nodes[i].args) reached[static_cast<std::size_t>(v.index)] = 1;
  const auto named = [](const std::vector<Named>& list, const std::string& name) {
    return std::any_of(list.begin(), list.end(), [&](const Named& n) { return n.name == name; });
  };
  return std::any_of(f.inputs.begin(), f.inputs.end(), [&](const Input& in) {
    return reached[static_cast<std::size_t>(in.value.index)] &&
           (in.name.starts_with("weight/") || in.name.starts_with("trace/") || named(program.parameters, in.name) ||
            named(program.variables, in.name));
  });
}

}  // namespace

Term Scope::WithScores(const Term& loss) {
  if (!log_probabilities) return loss;
  Term total;
  for (const Term& log : *log_probabilities) {
    std::vector<std::int64_t> all(b.shape(log.value).size());
    for (std::size_t d = 0; d < all.size(); ++d) all[d] = static_cast<std::int64_t>(d);
    const Term sum = Of(all.empty() ? log.value : b.Reduce(Op::kReduceSum, log.value, all));
    if (!Moves(b.function(), program, sum.value)) continue;
    total = total.value.index < 0 ? sum : Add(total, sum);
  }
  if (total.value.index < 0) return loss;
  return Add(loss, Mul(Unary(Op::kStop, loss), Sub(total, Unary(Op::kStop, total))));  // its value is the loss's
}

}  // namespace amo::compiler
