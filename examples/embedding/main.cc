// SPDX-License-Identifier: Apache-2.0
// amo inside a program: opens a family of box-constrained quadratic programs, trains a model for a moment, and compares
// its answers with the solver's. `bazel run --config=opt //examples/embedding`; a test runs it too.
#include <cstdio>

#include <ATen/TensorOperators.h>

#include "amo.h"

int main(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : "examples/box_qp/box_qp.amo";
  amo::Result<amo::Model> model = amo::Open(path);
  if (!model.ok()) return std::fprintf(stderr, "%s\n", model.message().c_str()), 1;

  const amo::Result<amo::Trained> trained = model->Train({.steps = 400, .seed = 1, .progress = {}});
  if (!trained.ok()) return std::fprintf(stderr, "%s\n", trained.message().c_str()), 1;
  std::printf("trained for %lld steps\n", static_cast<long long>(trained->steps));

  const amo::Result<amo::Tensors> contexts = model->Draw(256, 7);
  if (!contexts.ok()) return std::fprintf(stderr, "%s\n", contexts.message().c_str()), 1;
  const amo::Result<amo::Answers> predicted = model->Predict(*contexts), solved = model->Solve(*contexts);
  if (!predicted.ok() || !solved.ok()) return std::fprintf(stderr, "no answers\n"), 1;
  const double gap = (predicted->objective - solved->objective).mean().item<double>();
  const double size = solved->objective.abs().mean().item<double>();
  std::printf("mean gap %.4f, mean optimum %.4f, largest residual of the solver %.1e\n", gap, -size,
              solved->residual.max().item<double>());

  if (const auto saved = model->Save("box_qp.amoz"); !saved.ok())
    return std::fprintf(stderr, "%s\n", saved.message().c_str()), 1;
  const amo::Result<amo::Model> again = amo::Open("box_qp.amoz");
  if (!again.ok()) return std::fprintf(stderr, "%s\n", again.message().c_str()), 1;
  const amo::Result<amo::Answers> same = again->Predict(*contexts);
  const bool equal = same.ok() && same->variables.at("y").equal(predicted->variables.at("y"));
  std::printf("the saved model gives %s answers\n", equal ? "the same" : "other");
  return equal && gap >= -1e-9 && gap < 0.2 * size ? 0 : 1;
}
