// SPDX-License-Identifier: Apache-2.0
// The embedding on the runtime.
#include "runtime/amo.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "lang/render.h"
#include "runtime/answer.h"
#include "runtime/context_law.h"
#include "runtime/model.h"
#include "runtime/predictor.h"
#include "runtime/reference.h"
#include "runtime/tensor_array.h"

namespace amo {

using runtime::Values;

struct Model::State {
  runtime::Model model;
  std::string path;
  bool trained = false;
  runtime::TrainState train;
};

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

namespace {

// Contexts as the file border checks them, with randoms and what is learned beside.
Result<Values> Checked(const runtime::Model& m, const Tensors& contexts, std::int64_t& batch) {
  Result<Values> values = runtime::ReadContexts(m.problem, runtime::ToArrays(contexts), "contexts");
  if (!values.ok()) return values;
  batch = values->empty() ? 1 : values->begin()->second.size(0);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{0});
  values->merge(runtime::DrawRandoms(m.problem, batch, g));
  for (const auto& [name, t] : m.learned) (*values)[name] = t;
  return values;
}

Answers Certified(const runtime::Model& m, Values values, const Values& answer, std::int64_t batch,
                  CertificateLevel level = CertificateLevel::kFull) {
  Answers a;
  for (const compiler::Named& v : m.problem.program.variables) a.variables[v.name] = answer.at(v.name);
  for (const auto& [name, t] : answer) values[name] = t;
  runtime::Certificate c = runtime::Certify(m.problem, values, batch, level);
  if (c.objective) a.objective = *c.objective;
  if (c.residual) a.residual = *c.residual;
  if (c.gap) a.gap = *c.gap;
  a.violations = std::move(c.violations);
  if (const auto like = runtime::InDistribution(m.problem, m.problem.shared, values, batch)) a.in_distribution = *like;
  return a;
}

}  // namespace

Result<Tensors> Model::Draw(std::int64_t n, std::uint64_t seed) const {
  if (n < 0) return Error{"a number of draws is at least 0"};
  if (const auto tables = runtime::ReadModelTables(state_->model, state_->path, ""); !tables.ok())
    return tables.error();
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(seed);
  return runtime::Sample(state_->model.problem, n, runtime::Split::kTest, g);
}

Result<Trained> Model::Train(const Training& training) {
  runtime::Model& m = state_->model;
  if (const auto tables = runtime::ReadModelTables(m, state_->path, ""); !tables.ok()) return tables.error();
  Result<runtime::TrainSettings> settings = runtime::SettingsOf(m.problem.program, m.problem.tables);
  if (!settings.ok()) return settings.error();
  if (training.steps >= 0) settings->steps = training.steps;
  if (training.seed >= 0) settings->seed = static_cast<std::uint64_t>(training.seed);
  runtime::TrainOptions options;
  options.settings = *settings;
  if (training.progress) {
    options.progress = [&](const runtime::TrainProgress& p) {
      training.progress({p.step, p.steps, p.loss, p.validation, p.seconds});
    };
  }
  runtime::TrainSummary t = runtime::Train(m.problem, options);
  if (t.status != runtime::TrainStatus::kDone && t.status != runtime::TrainStatus::kEarly) return Error{t.message};
  m.learned = t.state.best_learned;
  m.record = runtime::RecordOf(m, t.state,
                               {.settings = *settings, .status = t.status, .threads = 0, .patience = 0, .digest = ""});
  state_->trained = true;
  state_->train = std::move(t.state);
  return Trained{state_->train.step, state_->train.best, state_->train.seconds};
}

Result<Answers> Model::Predict(const Tensors& contexts, CertificateLevel level) const {
  const runtime::Model& m = state_->model;
  if (!m.problem.program.model.predict) return Error{"the program has no model: nothing predicts"};
  if (!state_->trained && !m.problem.program.weights.empty())
    return Error{"the model is not trained: call Train, or open an .amoz"};
  std::int64_t batch = 1;
  Result<Values> values = Checked(m, contexts, batch);
  if (!values.ok()) return values.error();
  const c10::NoGradGuard no_grad;
  return Certified(m, *values, runtime::RunModel(m.problem, *values, batch).answer, batch, level);
}

Result<Answers> Model::Solve(const Tensors& contexts) const {
  const runtime::Model& m = state_->model;
  if (!runtime::CanSolve(m.problem))
    return Error{"there is nothing to solve: the program has no objective of a variable, and no equation"};
  std::int64_t batch = 1;
  Result<Values> values = Checked(m, contexts, batch);
  if (!values.ok()) return values.error();
  const runtime::ReferenceSummary s = runtime::SolveReference(m.problem, *values, batch);
  Answers a = Certified(m, *values, s.variables, batch);
  for (const runtime::SolveStatus status : s.status) a.status.emplace_back(runtime::NameOf(status));
  return a;
}

Result<runtime::Done> Model::Save(const std::string& path) const {
  if (!state_->trained) return Error{"the model is not trained: there is nothing to save"};
  return runtime::SaveModel(path, state_->model, state_->train, false);
}

Result<Model> Open(const std::string& path, const Choice& choice) {
  auto state = std::make_unique<Model::State>();
  state->path = path;
  if (path.ends_with(".amoz")) {
    Result<runtime::Model> model = runtime::LoadModel(path);
    if (!model.ok()) return model.error();
    state->model = std::move(*model);
    state->train = state->model.state;
    state->train.best_learned = state->model.learned;
    state->trained = true;
    return Model(std::move(state));
  }
  runtime::Model& m = state->model;
  m.choice.file = path, m.choice.problem = choice.problem, m.choice.variant = choice.variant,
  m.choice.sets = choice.sets;
  m.opened = std::make_shared<runtime::Opened>();
  if (runtime::Open(m.choice, runtime::Stage::kData, *m.opened) != runtime::OpenStatus::kOk) {
    std::string why = m.opened->error;
    if (why.empty()) why = lang::RenderCompact(m.opened->program.sources, m.opened->diagnostics, {});
    return Error{why};
  }
  Result<runtime::Problem> problem = runtime::ProblemOf(*m.opened);
  if (!problem.ok()) return problem.error();
  m.problem = std::move(*problem);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{0});
  m.learned = runtime::InitialLearned(m.problem, g);
  return Model(std::move(state));
}

}  // namespace amo
