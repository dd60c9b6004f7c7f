// SPDX-License-Identifier: Apache-2.0
// `amo eval`: trained models against the reference solver on test draws, and against each other.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "runtime/cli/command.h"
#include "runtime/cli/comparison.h"
#include "runtime/cli/evaluation_text.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/report_page.h"
#include "runtime/cli/run_options.h"
#include "runtime/cli/terminal.h"
#include "runtime/cli/training.h"
#include "runtime/evaluate.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

struct EvalChoice {
  std::vector<std::string> models;  // model files, or one program
  std::string data, report;
  std::int64_t instances = 1000, seed = 1;
  bool no_solver = false, curves = false, starts = false;
  // Of a program: what is trained where it is missing.
  std::string problem, variants, folder;
  std::vector<std::string> sets;
  std::optional<std::int64_t> seeds, steps;
};

bool IsProgram(const std::string& path) { return path.ends_with(".amo"); }

// One model that a program's evaluation needs.
struct Wanted {
  std::string variant;  // "": none
  std::optional<std::int64_t> seed;
  std::string path;
};

// The models of a program: of the variants that are asked for, each with every seed. kOk; else all has been said.
int FindWanted(const EvalChoice& choice, const RunChoice& run, const CLI::App& app, std::vector<Wanted>& wanted) {
  const std::string& file = choice.models[0];
  Front front;
  const ProgramChoice program{file, choice.problem, "", choice.sets, {}, "", {}};
  const int code = ReadProgram(program, Stage::kChoose, front);
  if (code != kOk) {
    if (run.json) Print(ToText(FrontJson(program, front, code)));
    else Report(front);
    return code;
  }
  const std::string stem = std::filesystem::path(file).stem().string();
  const std::string base = front.problem.name.empty() ? stem : front.problem.name;
  std::vector<std::string> names{base};
  for (const std::string& v : lang::VariantNames(front.program, front.problem.name)) names.push_back(v);
  std::vector<std::string> chosen;
  if (choice.variants.empty()) chosen = {base};
  else if (choice.variants == "all") chosen = names;
  else chosen = CLI::detail::split(choice.variants, ',');
  const std::string folder = choice.folder.empty() ? stem + ".models" : choice.folder;
  for (std::size_t k = 0; k < chosen.size(); ++k) {
    const std::string& name = chosen[k];
    if (std::find(chosen.begin(), chosen.begin() + static_cast<std::ptrdiff_t>(k), name) !=
        chosen.begin() + static_cast<std::ptrdiff_t>(k))
      continue;  // named twice
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      std::string known;
      for (const std::string& n : names) known += (known.empty() ? "`" : ", `") + n + "`";
      return WrongUse(app, fmt::format("`--variants`: there is no `{}`; there are {}, and `all`", name, known));
    }
    const std::string path = folder + "/" + name;
    const std::string variant = name == base ? "" : name;
    if (!choice.seeds) wanted.push_back({variant, std::nullopt, path + ".amoz"});
    for (std::int64_t seed = 1; seed <= choice.seeds.value_or(0); ++seed)
      wanted.push_back({variant, seed, fmt::format("{}-{}.amoz", path, seed)});
  }
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return Fail(run, fmt::format("cannot make the folder `{}`: {}", folder, failed.message()), kFiles);
  return kOk;
}

// Trains what is missing. A variant that cannot be trained has said why, and the others go on.
int TrainWanted(const EvalChoice& choice, const RunChoice& run, const std::vector<Wanted>& wanted,
                std::vector<std::string>& paths) {
  int worst = kOk;
  for (const Wanted& w : wanted) {
    if (!run.json) Complain(fmt::format("the model `{}`", w.path));
    TrainChoice train;
    train.out = w.path, train.if_missing = true, train.steps = choice.steps, train.seed = w.seed;
    const ProgramChoice program{choice.models[0], choice.problem, w.variant, choice.sets, {}, choice.data, {}};
    const int code = TrainFile(program, train, run);
    if (code == kOk) paths.push_back(w.path);
    worst = std::max(worst, code);
    if (code == kStopped || (code != kOk && run.json)) return code;
  }
  return worst;
}

// Models of one variant are runs of one thing where only their seeds differ; else each is called by its file.
void NameApart(std::vector<Evaluated>& all) {
  const auto alike = [](const Evaluated& a, const Evaluated& b) {
    return a.variant == b.variant && (a.seed == b.seed || a.steps != b.steps);
  };
  bool clash = false;
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) clash = clash || alike(all[i], all[k]);
  if (clash) for (Evaluated& e : all) e.variant = e.model;
}

struct Opening {
  std::string problem, doc;
};

Result<Evaluated> EvaluateFile(const EvalChoice& choice, const RunChoice& run, const std::string& path, Json& json,
                               std::string& text, Opening& opening) {
  Result<Model> model = LoadModel(path);
  if (!model.ok()) return model.error();
  const Result<Done> tables = ReadModelTables(*model, path, choice.data);
  if (!tables.ok()) return tables.error();
  EvaluateOptions options;
  options.instances = choice.instances, options.seed = static_cast<std::uint64_t>(choice.seed);
  options.solver = !choice.no_solver;
  options.training_seconds = model->record.seconds;
  options.split = model->record.settings.split;
  options.starts = choice.starts;
  options.curves = choice.curves || !choice.report.empty();
  std::string what;
  std::unique_ptr<Progress> bar;
  options.progress = [&](const std::string& now, std::int64_t done, std::int64_t all) {
    if (now != what) bar = std::make_unique<Progress>(now, run.json), what = now;
    bar->Show(done, all, "");
  };
  const lang::Problem& problem = model->opened->problem;
  opening = {problem.name, problem.doc};
  Evaluated e{model->choice.variant.empty() ? problem.name : model->choice.variant, path,
              model->record.settings.seed, model->record.steps, model->record.history,
              Evaluate(model->problem, model->learned, options)};
  json = EvaluationJson(e.evaluation, model->problem, path);
  text = EvaluationText(e.evaluation);
  return e;
}

}  // namespace

int RunEval(const Arguments& arguments) {
  EvalChoice choice;
  RunChoice run;
  const auto app = MakeCommandLine(
      "eval", "Compares trained models with the reference solver on test draws, and with each other.",
      "amo eval portfolio.amoz --instances 500\n  amo eval maml.amo --variants all --seeds 5 --report maml.html");
  app->add_option("MODEL", choice.models,
                  "what `amo train` wrote; several stand side by side. Or one program: its models are trained where "
                  "they are missing")
      ->required()
      ->type_name("");
  app->add_option("-n,--instances", choice.instances, "test draws; else 1000")->type_name("N");
  app->add_option("--seed", choice.seed, "of the draws; else 1")->type_name("N");
  app->add_option("--data", choice.data, "the folder of the program's data files; else where they were")
      ->type_name("FOLDER");
  app->add_flag("--no-solver", choice.no_solver, "leave the reference solver out where no report needs it");
  app->add_option("--report", choice.report, "writes one HTML page with tables and plots")->type_name("PATH");
  app->add_flag("--curves", choice.curves, "also: the objective against steps and time; `--report` implies it");
  app->add_flag("--starts", choice.starts,
                "also: the solver from zeros, the mean and the nearest known solution, the one before, and the model");
  app->add_option("--variants", choice.variants, "of a program: NAME,NAME or `all`; else what stands in no variant")
      ->type_name("LIST");
  app->add_option("--seeds", choice.seeds, "of a program: trains with the seeds 1 to N; else with its own")
      ->type_name("N");
  app->add_option("--steps", choice.steps, "of a program: over its `train steps`")->type_name("N");
  app->add_option("--models", choice.folder, "of a program: where its models are kept; else FILE.models, here")
      ->type_name("FOLDER");
  app->add_option("--problem", choice.problem, "of a program: the problem, where it has several")->type_name("NAME");
  app->add_option("--set", choice.sets, "of a program: gives a dim or const another value")->type_name("NAME=EXPR");
  AddRunOptions(*app, run);
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;
  if (const auto code = ApplyRunOptions(*app, run)) return *code;
  if (choice.instances < 1 || choice.instances > kMostInstances)
    return WrongUse(*app, "`--instances` lies between 1 and 10^9");
  const bool program = choice.models.size() == 1 && IsProgram(choice.models[0]);
  if (!program && std::any_of(choice.models.begin(), choice.models.end(), IsProgram))
    return WrongUse(*app, "a program stands alone: its models are found by `--variants` and `--seeds`");
  for (const char* option : {"--variants", "--seeds", "--steps", "--models", "--problem", "--set"})
    if (!program && app->count(option)) return WrongUse(*app, fmt::format("`{}` belongs to a program", option));
  if (choice.seeds && (*choice.seeds < 1 || *choice.seeds > 1000))
    return WrongUse(*app, "`--seeds` lies between 1 and 1000");
  if (choice.steps.value_or(0) < 0) return WrongUse(*app, "`--steps` is at least 0");

  int worst = kOk;
  std::vector<std::string> paths = choice.models;
  std::optional<OutputLock> lock;
  if (!choice.report.empty()) {
    Result<OutputLock> taken = ReserveOutput(choice.report, paths);
    if (!taken.ok()) return Fail(run, taken.message(), kFiles);
    lock = std::move(*taken);
  }
  if (program) {
    std::vector<Wanted> wanted;
    if (const int code = FindWanted(choice, run, *app, wanted); code != kOk) return code;
    paths.clear();
    worst = TrainWanted(choice, run, wanted, paths);
    if (worst == kStopped || paths.empty() || (worst != kOk && run.json)) return worst;
  }
  std::vector<Evaluated> all;
  std::vector<Json> json(paths.size());
  Opening opening;
  std::string text;
  for (std::size_t k = 0; k < paths.size(); ++k) {
    if (paths.size() > 1 && !run.json) Complain(fmt::format("{} of {}: {}", k + 1, paths.size(), paths[k]));
    Result<Evaluated> e = EvaluateFile(choice, run, paths[k], json[k], text, opening);
    if (!e.ok()) return Fail(run, e.message(), kFiles);
    all.push_back(std::move(*e));
  }
  if (!program) NameApart(all);
  if (!choice.report.empty()) {
    const std::string page = ReportPage(opening.problem, opening.doc, all);
    const Result<Done> written = WriteFile(choice.report, std::as_bytes(std::span(page)));
    if (!written.ok()) return Fail(run, written.message(), kFiles);
  }
  const Comparison table = Compare(all);
  if (all.size() == 1) {
    Print(run.json ? ToText(json[0]) : text);
  } else if (run.json) {
    Json whole = {{"ok", true}, {"error", ""}, {"evaluations", Json::array()}};
    for (std::size_t k = 0; k < all.size(); ++k) {
      Json one = {{"variant", all[k].variant}, {"seed", all[k].seed}};
      one.update(json[k]);
      whole["evaluations"].push_back(std::move(one));
    }
    whole["table"] = ComparisonJson(table);
    Print(ToText(whole));
  } else {
    const Evaluation& first = all[0].evaluation;
    Print(fmt::format("{} test instances, {} thread{}\n\n{}", first.instances, first.threads,
                      first.threads == 1 ? "" : "s", ComparisonText(table)));
  }
  return worst;
}

}  // namespace amo::runtime::cli
