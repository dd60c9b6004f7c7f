// SPDX-License-Identifier: Apache-2.0
// `amo predict`: answers of a trained model for given contexts, with certificates.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/answer.h"
#include "runtime/cli/command.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/faults.h"
#include "runtime/cli/run_options.h"
#include "runtime/cli/terminal.h"
#include "runtime/context_law.h"
#include "runtime/predictor.h"
#include "runtime/tensor_array.h"
#include "runtime/trust.h"

namespace amo::runtime::cli {
namespace {

constexpr double kStrange = 0.01;  // fewer of the training contexts are as far from their mean

// "5ms" in seconds; nothing where it is no duration.
std::optional<double> SecondsOf(const std::string& text) {
  std::size_t end = 0;
  double number = 0;
  try {
    number = std::stod(text, &end);
  } catch (const std::exception&) {
    return std::nullopt;
  }
  const std::string unit = text.substr(end);
  const double scale = unit == "us" ? 1e-6 : unit == "ms" ? 1e-3 : unit == "s" ? 1 : unit == "min" ? 60 : 0;
  return scale > 0 && number >= 0 && std::isfinite(number) ? std::optional(number * scale) : std::nullopt;
}

constexpr std::string_view kLevels[] = {"full", "violations", "none"};  // as CertificateLevel

std::map<std::string, std::int64_t> CountStages(const Trusted& t) {
  std::map<std::string, std::int64_t> counts;
  for (const TrustStage s : {TrustStage::kPredicted, TrustStage::kRefined, TrustStage::kSolved})
    counts[std::string(NameOf(s))] = std::count(t.stage.begin(), t.stage.end(), s);
  return counts;
}

}  // namespace

int RunPredict(const Arguments& arguments) {
  RunChoice run;
  std::string path, contexts, out, budget, certificate = "full";
  std::optional<double> tolerance;
  const auto app = MakeCommandLine("predict", "Predicts solutions, and certifies each.",
                                   "amo predict portfolio.amoz --context days.npz -o weights.npz");
  app->add_option("MODEL", path, "what `amo train` wrote")->required()->type_name("");
  app->add_option("--context", contexts, "a file with the contexts, [B, ...] each")->required()->type_name("PATH");
  app->add_option("-o,--output", out, "where the answers go: .npz .safetensors .csv .npy")->type_name("PATH");
  app->add_option("--tolerance", tolerance, "answers whose certificate falls short of it are refined, then solved")
      ->type_name("NUMBER");
  app->add_option("--budget", budget, "time for refining and solving: 500us, 5ms, 2s, 1min; else no limit")
      ->type_name("TIME");
  app->add_option("--certificate", certificate,
                  "full; `violations`, without residual and gap, which can take longer than predicting; none")
      ->type_name("full|violations|none");
  AddRunOptions(*app, run);
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;
  if (const auto code = ApplyRunOptions(*app, run)) return *code;

  if (tolerance && !(*tolerance > 0)) return WrongUse(*app, "`--tolerance` is above 0");
  if (!budget.empty() && !tolerance) return WrongUse(*app, "`--budget` goes with `--tolerance`");
  const std::optional<double> seconds_allowed = budget.empty() ? INFINITY : SecondsOf(budget);
  if (!seconds_allowed) return WrongUse(*app, fmt::format("`--budget {}` is no time: write 500us, 5ms, 2s", budget));

  const auto level = std::find(std::begin(kLevels), std::end(kLevels), certificate);
  if (level == std::end(kLevels))
    return WrongUse(*app, fmt::format("`--certificate {}`: it is full, violations or none", certificate));
  if (tolerance && certificate != "full") return WrongUse(*app, "`--tolerance` needs the full certificate");

  const Result<Model> model = LoadModel(path);
  if (!model.ok()) return Fail(run, model.message(), kFiles);
  const Problem& problem = model->problem;
  if (!problem.program.model.predict) {
    return Fail(run, fmt::format("`{}` has no model: nothing predicts", path), kProgramErrors);
  }
  const Result<AnswerFile> file = AnswerFile::Reserve(
      out, problem, {path, contexts},
      tolerance ? std::vector<std::string>{"in_distribution", "stage", "within"}
                : std::vector<std::string>{"in_distribution"});
  if (!file.ok()) return Fail(run, file.message(), kFiles);
  std::int64_t batch = 1;
  Result<Values> values = ReadContextFile(problem, contexts, batch);
  if (!values.ok()) return Fail(run, values.message(), kFiles);
  // Deployment fixes the seed of randoms.
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(0);
  values->merge(DrawRandoms(problem, batch, g));
  for (const auto& [name, t] : model->learned) (*values)[name] = t;

  const c10::NoGradGuard no_grad;
  Trusted t;
  if (tolerance) {
    TrustOptions options;
    options.tolerance = *tolerance, options.budget = *seconds_allowed;
    t = PredictTrusted(problem, *values, batch, options);
  } else {
    const auto begun = std::chrono::steady_clock::now();
    t.answer = RunModel(problem, *values, batch).answer;
    t.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    Values all = *values;
    for (const auto& [name, value] : t.answer) all[name] = value;
    t.certificate = Certify(problem, all, batch, static_cast<CertificateLevel>(level - std::begin(kLevels)));
  }
  const std::vector<std::int64_t> not_finite = NotFiniteInstances(problem, t.answer, t.certificate, batch);
  const lang::Sources& sources = model->opened->program.sources;
  const std::vector<NotFinite> faults =
      FaultsOf(not_finite, run.json ? 1000 : 5, [&](std::int64_t i) { return FaultOfModel(problem, *values, i); });
  std::vector<Array> beside;
  const std::optional<at::Tensor> law = InDistribution(problem, problem.shared, *values, batch);
  const std::int64_t strange = law ? law->lt(kStrange).sum().item<std::int64_t>() : 0;
  if (law) beside.push_back(ToArray("in_distribution", *law));
  if (tolerance) {
    std::vector<std::int64_t> stages, within(t.within.begin(), t.within.end());
    for (const TrustStage s : t.stage) stages.push_back(static_cast<std::int64_t>(s));
    beside.push_back(ToArray("stage", at::tensor(stages, at::TensorOptions(at::kLong))));
    beside.push_back(ToArray("within", at::tensor(within, at::TensorOptions(at::kLong))));
  }
  const std::int64_t above = std::count(t.within.begin(), t.within.end(), 0);
  const Result<Done> written = file->Write(t.answer, t.certificate, std::move(beside));
  if (!written.ok()) return Fail(run, written.message(), kFiles);
  if (run.json) {
    nlohmann::ordered_json json = {{"ok", true},
                                   {"error", ""},
                                   {"model", path},
                                   {"instances", batch},
                                   {"seconds", t.seconds},
                                   {"certificate", CertificateJson(t.certificate)},
                                   {"not_finite", not_finite.size()},
                                   {"faults", FaultsJson(faults, sources)},
                                   {"unlike_training", nullptr},
                                   {"output", out}};
    if (law) json["unlike_training"] = strange;
    if (tolerance) {
      json["trust"] = {{"tolerance", *tolerance}, {"within", batch - above}, {"above", above},
                       {"stages", CountStages(t)}};
    }
    Print(ToText(json));
    return kOk;
  }
  std::string text = fmt::format("{} answers in {}\n{}", batch, TimeText(t.seconds), CertificateText(t.certificate));
  if (tolerance) {
    for (const auto& [name, count] : CountStages(t)) text += fmt::format("  {:<24}{:>12}\n", name, count);
    text += fmt::format("  {:<24}{:>12}\n", "above the tolerance", above);
  }
  if (law && strange > 0) text += fmt::format("  {:<24}{:>12}\n", "unlike training", strange);
  text += FaultsText(not_finite.size(), faults, sources);
  if (!out.empty()) text += fmt::format("{}: written\n", out);
  Print(text);
  return kOk;
}

}  // namespace amo::runtime::cli
