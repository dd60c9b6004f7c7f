// SPDX-License-Identifier: Apache-2.0
// Training steps that are one kernel, and the reasons of those that are not.
#include "compiler/training_step.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/derive.h"
#include "compiler/kernel.h"
#include "compiler/simplify.h"

namespace amo::compiler {
namespace {

// Kernels read what is shared once for a few instances at a time; beyond what the caches hold, LibTorch's blocked
// matrix products are faster.
constexpr std::int64_t kMostShared = 1 << 18;

std::int64_t SharedOf(const Function& f) {
  std::int64_t count = 0;
  for (const Input& in : f.inputs)
    if (in.role == Role::kShared) count += Count(in.type.shape);
  return count;
}

}  // namespace

std::optional<TrainingStep> MakeTrainingStep(const Program& program, const std::vector<const Loss*>& losses,
                                             const std::vector<std::vector<std::string>>& moves, std::string& why) {
  for (const Loss* l : losses) {
    if (l->by == Estimator::kBackprop) continue;
    why = "a loss is estimated from values";
    return std::nullopt;
  }
  std::optional<Composed> composed = ComposeLosses(program, losses, why);
  if (!composed) return std::nullopt;
  const Function& f = composed->function;
  if (std::none_of(f.inputs.begin(), f.inputs.end(), [](const Input& in) { return in.role == Role::kInstance; })) {
    why = "nothing varies by instance";
    return std::nullopt;
  }
  if (SharedOf(f) > kMostShared) {
    why = fmt::format("its {} weights and shared entries are more than the caches hold", SharedOf(f));
    return std::nullopt;
  }
  std::vector<int> outputs;
  std::vector<std::vector<int>> wrt;
  for (std::size_t k = 0; k < losses.size(); ++k) {
    outputs.push_back(f.FindOutput(fmt::format("training/{}", k)));
    wrt.emplace_back();
    for (const std::string& name : moves[k])
      if (const int in = f.FindInput(name); in >= 0) wrt.back().push_back(in);
  }
  TrainingStep step{SumOverBatch(Simplify(Gradients(f, outputs, wrt)), "d/"), f, std::move(composed->draws)};
  if (const std::string op = Uncompilable(step.sum.each); !op.empty()) {
    why = fmt::format("`{}` has no kernel", op);
    return std::nullopt;
  }
  std::erase_if(step.plain.outputs, [](const Output& o) { return !o.name.starts_with("plain/"); });
  step.plain = Simplify(step.plain);
  return step;
}

std::string DescribeTraining(const Program& program) {
  std::vector<std::string> learned;
  for (const Weight& w : program.weights) learned.push_back(w.input);
  for (const Named& p : program.parameters) learned.push_back(p.name);
  if (learned.empty() || program.losses.empty()) return "";
  std::vector<const Loss*> losses;
  for (const Loss& l : program.losses) losses.push_back(&l);
  std::string why;
  const std::vector<std::vector<std::string>> moves(losses.size(), learned);
  const auto step = MakeTrainingStep(program, losses, moves, why);
  if (!step) return "part by part, as " + why;
  const auto products = std::count_if(step->sum.parts.begin(), step->sum.parts.end(),
                                      [](const BatchSum::Part& p) { return !p.b.empty(); });
  return fmt::format("one kernel of {} nodes, then {} matrix products over the batch", step->sum.each.nodes.size(),
                     products);
}

}  // namespace amo::compiler
