// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_H_
#define AMO_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "runtime/certificate_level.h"
#include "runtime/result.h"

// amo in an application: open a program or a trained model, train, solve, predict.
//
//   amo::Result<amo::Model> model = amo::Open("portfolio.amo");
//   if (!model.ok()) return Fail(model.message());
//   model->Train({.steps = 2000});
//   amo::Result<amo::Answers> answers = model->Predict({{"mu", mu}, {"w0", w0}});   // [B, 50] each
//   answers->variables.at("w");                                                      // [B, 50], in its set
//
// Tensors are LibTorch's, on the CPU; contexts are checked: names, shapes, finite entries. A Model may be used by one
// thread at a time.
namespace amo {

using runtime::CertificateLevel;  // kFull, kViolations (and the objective), kNone
using runtime::Error;
using runtime::Result;
using Tensors = std::map<std::string, at::Tensor>;  // by the names of the program, [B, ...]

struct Choice {
  std::string problem, variant;   // "": the last problem of the file; no variant
  std::vector<std::string> sets;  // "n=100": as --set
};

struct Progress {
  std::int64_t step = 0, steps = 0;
  double loss = 0, validation = 0, seconds = 0;
};

struct Training {
  std::int64_t steps = -1;  // -1: as the program says
  std::int64_t seed = -1;   // the same
  std::function<void(const Progress&)> progress;
};

struct Trained {
  std::int64_t steps = 0;
  double validation = 0, seconds = 0;  // the best value on the validation draws; spent
};

// Answers with their certificates: [B, ...] each.
struct Answers {
  Tensors variables;
  at::Tensor objective, residual;  // undefined where hidden values that were not given decide them
  at::Tensor gap;                  // the objective is above the optimum by no more; undefined where nothing bounds it
  at::Tensor in_distribution;      // how like training the contexts are (context_law.h); undefined where not known
  Tensors violations;              // by constraint: the norm of the amounts by which it fails
  std::vector<std::string> status; // of Solve: "solved", "step limit", …; of Predict empty
};

class Model {
 public:
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  // n draws of every context and hidden value that training does not see.
  Result<Tensors> Draw(std::int64_t n, std::uint64_t seed) const;

  Result<Trained> Train(const Training& training);

  // By the model: the prediction and its refinements. An error where nothing was trained. A certificate that is not full
  // has no residual and no gap, which can take longer than the prediction.
  Result<Answers> Predict(const Tensors& contexts, CertificateLevel level = CertificateLevel::kFull) const;

  // By the reference solver.
  Result<Answers> Solve(const Tensors& contexts) const;

  // To an .amoz, which Open and the program `amo` read.
  Result<runtime::Done> Save(const std::string& path) const;

 private:
  friend Result<Model> Open(const std::string& path, const Choice& choice);
  struct State;
  explicit Model(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A program (.amo) or a trained model (.amoz). The mistakes of a program are the message, one a line, with their
// places.
Result<Model> Open(const std::string& path, const Choice& choice = {});

}  // namespace amo

#endif  // AMO_H_
