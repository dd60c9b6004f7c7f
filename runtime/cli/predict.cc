// SPDX-License-Identifier: Apache-2.0
// `amo predict`: answers of a trained model for given contexts, with certificates.
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <chrono>

#include "runtime/cli/command.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/run_options.h"
#include "runtime/cli/terminal.h"
#include "runtime/predictor.h"

namespace amo::runtime::cli {

int RunPredict(const Arguments& arguments) {
  RunChoice run;
  std::string path, contexts, out;
  const auto app = MakeCommandLine("predict", "Predicts solutions, and certifies each.",
                                   "amo predict portfolio.amoz --context days.npz -o weights.npz");
  app->add_option("MODEL", path, "what `amo train` wrote")->required()->type_name("");
  app->add_option("--context", contexts, "a file with the contexts, [B, ...] each")->required()->type_name("PATH");
  app->add_option("-o,--output", out, "where the answers go: .npz .safetensors .csv .npy")->type_name("PATH");
  AddRunOptions(*app, run);
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;
  if (const auto code = ApplyRunOptions(*app, run)) return *code;

  const Result<Model> model = LoadModel(path);
  if (!model.ok()) return Fail(run, model.message(), kFiles);
  const Problem& problem = model->problem;
  if (!problem.program.model.predict) {
    return Fail(run, fmt::format("`{}` has no model: nothing predicts", path), kProgramErrors);
  }
  const Result<AnswerFile> file = AnswerFile::Reserve(out, problem, {path, contexts});
  if (!file.ok()) return Fail(run, file.message(), kFiles);
  std::int64_t batch = 1;
  Result<Values> values = ReadContextFile(problem, contexts, batch);
  if (!values.ok()) return Fail(run, values.message(), kFiles);
  // Deployment fixes the seed of randoms.
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(0);
  values->merge(DrawRandoms(problem, batch, g));
  for (const auto& [name, t] : model->learned) (*values)[name] = t;

  const c10::NoGradGuard no_grad;
  const auto begun = std::chrono::steady_clock::now();
  const Values answer = RunModel(problem, *values, batch).answer;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  Values all = *values;
  for (const auto& [name, t] : answer) all[name] = t;
  const Certificate certificate = Certify(problem, all, batch);
  const std::int64_t not_finite = CountNotFinite(problem, answer, certificate, batch);
  const Result<Done> written = file->Write(answer, certificate);
  if (!written.ok()) return Fail(run, written.message(), kFiles);
  if (run.json) {
    Print(ToText({{"ok", true},
                  {"error", ""},
                  {"model", path},
                  {"instances", batch},
                  {"seconds", seconds},
                  {"certificate", CertificateJson(certificate)},
                  {"not_finite", not_finite},
                  {"output", out}}));
    return kOk;
  }
  std::string text = fmt::format("{} answers in {}\n{}", batch, TimeText(seconds), CertificateText(certificate));
  if (not_finite > 0) text += fmt::format("  {:<24}{:>12}\n", "not finite, left out", not_finite);
  if (!out.empty()) text += fmt::format("{}: written\n", out);
  Print(text);
  return kOk;
}

}  // namespace amo::runtime::cli
