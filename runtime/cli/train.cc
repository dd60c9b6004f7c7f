// SPDX-License-Identifier: Apache-2.0
// `amo train`: a model from a program, with checkpoints that a later call continues from.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <span>

#include "runtime/cli/command.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/run_options.h"
#include "runtime/cli/terminal.h"
#include "runtime/digest.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

std::atomic<bool> stop_asked{false};
constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP};

// The first Ctrl-C ends training after the step at hand; a second one ends the process.
void AskToStop(int) {
  stop_asked = true;
  for (const int signal : kStopSignals) std::signal(signal, SIG_DFL);
}

// Signals that a parent has ignored (`nohup`, a job in the background) stay ignored.
void CatchStops() {
  for (const int signal : kStopSignals) {
    if (std::signal(signal, AskToStop) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
}

struct TrainChoice {
  std::string out;
  bool resume = false, restart = false;
  std::optional<std::int64_t> steps, seed, patience;
  double checkpoint = 30;

  std::string CheckpointPath() const { return out + ".checkpoint"; }
};

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

std::string Defaulted(const std::string& file) { return std::filesystem::path(file).stem().string() + ".amoz"; }

// One digest of all arrays that the program reads from files.
std::string DigestOf(const TableMap& tables) {
  std::string text;
  for (const auto& [source, table] : tables) {
    for (const auto& [field, array] : table.fields) {
      text += fmt::format("{} {} {} {}\n", source, field, Describe(array), Sha256(array.data));
    }
  }
  return Sha256(std::as_bytes(std::span(text)));
}

// Why a checkpoint is not of this run: the same texts, data and choices make the run go on as it began. "": it is.
std::string WhyOther(const Model& old, const Model& now, const std::string& digest, const TrainChoice& choice) {
  const auto before = lang::TextsOf(old.opened->program), after = lang::TextsOf(now.opened->program);
  const auto same_text = [](const auto& a, const auto& b) { return a.second == b.second; };
  if (!std::equal(before.begin(), before.end(), after.begin(), after.end(), same_text)) {
    return "the program has changed since";
  }
  if (old.opened->problem.name != now.opened->problem.name || old.choice.variant != now.choice.variant) {
    return "it is of another problem or variant";
  }
  if (old.choice.sets != now.choice.sets) return "it was begun with other `--set`";
  if (old.record.digest != digest) return "the data files have changed since";
  if (choice.seed && static_cast<std::uint64_t>(*choice.seed) != old.record.settings.seed) {
    return fmt::format("it was begun with the seed {}", old.record.settings.seed);
  }
  return "";
}

Json TrainJson(const Model& model, const TrainSummary& t, const std::string& out, int code, const std::string& error) {
  Json json = FrontJson(model.choice, *model.opened, code);
  json["error"] = error;
  json["status"] = NameOf(code == kFiles ? TrainStatus::kFailed : t.status);
  json["output"] = out;
  json["steps"] = t.state.step, json["seconds"] = t.state.seconds, json["validation"] = t.state.best;
  json["history"] = Json::array();
  for (const Look& l : t.state.history) {
    json["history"].push_back({{"step", l.step}, {"loss", l.loss}, {"validation", l.validation}});
  }
  return json;
}

int RunWith(const TrainChoice& choice, const RunChoice& run, Model& model, const std::string& digest,
            const TrainState* from) {
  Result<TrainSettings> settings = SettingsOf(model.problem.program, model.problem.tables);
  if (!settings.ok()) return Fail(run, settings.message(), kProgramErrors);
  if (choice.steps) settings->steps = *choice.steps;
  if (choice.seed) settings->seed = static_cast<std::uint64_t>(*choice.seed);
  const auto save = [&](const std::string& path, const TrainState& state, TrainStatus status, bool checkpoint) {
    model.record =
        RecordOf(model, state, {*settings, status, at::get_num_threads(), choice.patience.value_or(0), digest});
    return SaveModel(path, model, state, checkpoint);
  };

  TrainOptions options;
  options.settings = *settings;
  options.resume = from;
  options.patience = choice.patience.value_or(0);
  options.checkpoint_seconds = choice.checkpoint;
  options.stop = &stop_asked;
  options.checkpoint = [&](const TrainState& state) {
    return save(choice.CheckpointPath(), state, TrainStatus::kStopped, true);
  };
  Progress labels("labels", run.json), bar("training", run.json);
  options.labelling = [&](std::int64_t done, std::int64_t all) { labels.Show(done, all, ""); };
  options.progress = [&](const TrainProgress& p) {
    labels.Finish();
    if (!bar.Due() && p.step < p.steps) return bar.Show(p.step, p.steps, "");
    bar.Show(p.step, p.steps,
             fmt::format("loss {}, validation {}, rate {:.2g}", NumberText(p.loss), NumberText(p.validation), p.rate));
  };
  CatchStops();
  const TrainSummary t = Train(model.problem, options);
  bar.Finish();

  int code = kOk;
  std::string said, error;
  switch (t.status) {
    case TrainStatus::kDone:
    case TrainStatus::kNothingLearned:
    case TrainStatus::kEarly: {
      const Result<Done> saved = save(choice.out, t.state, t.status, false);
      if (!saved.ok()) {
        code = kFiles, error = saved.message();
        if (Exists(choice.CheckpointPath())) {
          error += fmt::format("; `{}` stays: `--resume` goes on from there", choice.CheckpointPath());
        }
        break;
      }
      std::error_code ignored;
      std::filesystem::remove(choice.CheckpointPath(), ignored);
      if (t.status == TrainStatus::kNothingLearned) {
        said = fmt::format("{}: nothing in the program is learned; it holds the program as it stands\n", choice.out);
        break;
      }
      said =
          fmt::format("{}: {} steps in {}{}, validation {}\n", choice.out, t.state.step, DurationText(t.state.seconds),
                      t.status == TrainStatus::kEarly ? " (no better look for a while)" : "", NumberText(t.state.best));
      break;
    }
    case TrainStatus::kStopped:
      code = kStopped;
      if (t.state.generators.empty()) {  // no step was taken: nothing was begun, a checkpoint that stood there stays
        error = t.message;
        break;
      }
      error = fmt::format("stopped at step {} of {}; `{}` holds the run, `--resume` goes on", t.state.step,
                          settings->steps, choice.CheckpointPath());
      break;
    case TrainStatus::kDiverged: {
      code = kDiverged, error = t.message;
      // A model that stands there was finished: it stays.
      const std::string kept = Exists(choice.out) ? choice.out + ".diverged" : choice.out;
      if (t.state.history.size() > 1 && std::isfinite(t.state.best) && save(kept, t.state, t.status, false).ok()) {
        error += fmt::format("; the best model until then is in `{}`", kept);
      }
      break;
    }
    case TrainStatus::kFailed:
      code = kFiles, error = t.message;
      break;
  }
  if (run.json) {
    Print(ToText(TrainJson(model, t, choice.out, code, error)));
  } else if (code == kOk) {
    Print(said);
  } else {
    Complain(error);
  }
  return code;
}

}  // namespace

int RunTrain(const Arguments& arguments) {
  ProgramChoice program;
  TrainChoice choice;
  RunChoice run;
  const auto app =
      MakeCommandLine("train", "Trains the model of a program.", "amo train portfolio.amo -o portfolio.amoz");
  AddProgramOptions(*app, program);
  app->add_option("-o,--output", choice.out, "the model's file; else FILE with the ending .amoz, here")
      ->type_name("PATH");
  const auto resume = app->add_flag("--resume", choice.resume, "go on from PATH.checkpoint");
  app->add_flag("--restart", choice.restart, "begin again where a checkpoint stands")->excludes(resume);
  app->add_option("--steps", choice.steps, "over the file's `train steps`")->type_name("N");
  app->add_option("--seed", choice.seed, "over the file's `train seed`")->type_name("N");
  app->add_option("--patience", choice.patience,
                  "end after N looks at the validation draws without a better one; else never")
      ->type_name("N");
  app->add_option("--checkpoint", choice.checkpoint, "seconds between two checkpoints; else 30")->type_name("SECONDS");
  AddRunOptions(*app, run);
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;
  if (const auto code = ApplyRunOptions(*app, run)) return *code;
  if (choice.steps.value_or(0) < 0) return WrongUse(*app, "`--steps` is at least 0");
  if (choice.seed.value_or(0) < 0) return WrongUse(*app, "`--seed` is at least 0");
  if (choice.patience.value_or(0) < 0) return WrongUse(*app, "`--patience` is at least 0");
  if (!(choice.checkpoint >= 0)) return WrongUse(*app, "`--checkpoint` is at least 0");
  if (choice.out.empty()) choice.out = Defaulted(program.file);

  Model model;
  model.opened = std::make_shared<Opened>();
  model.choice = program;
  std::optional<Problem> problem;
  if (const int code = OpenProblemFile(program, run, *model.opened, problem); code != kOk) return code;
  model.problem = std::move(*problem);
  const Result<OutputLock> lock = ReserveOutput(choice.out, FilesOf(program, *model.opened));
  if (!lock.ok()) return Fail(run, lock.message(), kFiles);

  const std::string path = choice.CheckpointPath(), digest = DigestOf(model.opened->tables);
  if (choice.resume && !Exists(path)) {
    return Fail(run, fmt::format("there is no checkpoint `{}` to resume from", path), kFiles);
  }
  if (!choice.resume) {
    if (Exists(path) && !choice.restart) {
      return Fail(run,
                  fmt::format("`{}` holds a run that was not finished: `--resume` goes on with it, `--restart` begins "
                              "again",
                              path),
                  kFiles);
    }
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    return RunWith(choice, run, model, digest, nullptr);
  }
  const Result<Model> old = LoadModel(path);
  if (!old.ok()) return Fail(run, old.message(), kFiles);
  if (!old->is_checkpoint) return Fail(run, fmt::format("`{}` is a finished model, not a checkpoint", path), kFiles);
  if (const std::string why = WhyOther(*old, model, digest, choice); !why.empty()) {
    return Fail(run, fmt::format("cannot resume from `{}`: {}; `--restart` begins again", path, why), kFiles);
  }
  // A run goes on with the settings that it began with.
  if (!choice.steps) choice.steps = old->record.settings.steps;
  if (!choice.seed) choice.seed = static_cast<std::int64_t>(old->record.settings.seed);
  if (!choice.patience) choice.patience = old->record.patience;
  return RunWith(choice, run, model, digest, &old->state);
}

}  // namespace amo::runtime::cli
