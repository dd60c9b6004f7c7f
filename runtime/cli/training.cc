// SPDX-License-Identifier: Apache-2.0
// Training a model to a file, with checkpoints that a later call continues from.
#include "runtime/cli/training.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <span>

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

bool Exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

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

// From here on Ctrl-C ends the process again: a caller may go on with other work.
void ReleaseStops() {
  for (const int signal : kStopSignals) {
    if (std::signal(signal, SIG_DFL) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
}

Json TrainJson(const Model& model, const TrainSummary& t, const std::string& out, int code, const std::string& error) {
  Json json = FrontJson(model.choice, *model.opened, code);
  json["error"] = error;
  json["status"] = NameOf(code == kFiles ? TrainStatus::kFailed : t.status);
  json["output"] = out;
  json["steps"] = t.state.step, json["seconds"] = t.state.seconds, json["validation"] = t.state.best;
  json["infeasible"] = t.infeasible;
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
        const auto& remembered = model.problem.program.nearest;
        said = fmt::format("{}: nothing in the program is learned; it holds {}\n", choice.out,
                           remembered ? fmt::format("{} instances with their solutions", *remembered)
                                      : std::string("the program as it stands"));
        break;
      }
      said =
          fmt::format("{}: {} steps in {}{}, validation {}\n", choice.out, t.state.step, DurationText(t.state.seconds),
                      t.status == TrainStatus::kEarly ? " (no better look for a while)" : "", NumberText(t.state.best));
      if (t.infeasible > 0) said += fmt::format("  {} draws without a feasible point left out\n", t.infeasible);
      break;
    }
    case TrainStatus::kStopped:
      code = kStopped;
      if (t.state.generators.empty()) {  // no step was taken: nothing was begun, a checkpoint that stood there stays
        error = t.message;
        break;
      }
      error = fmt::format("stopped at step {} of {}; `{}` holds the run, {} goes on", t.state.step, settings->steps,
                          choice.CheckpointPath(), choice.if_missing ? "the same call" : "`--resume`");
      break;
    case TrainStatus::kDiverged: {
      code = kDiverged, error = t.message;
      if (t.fault) error += "; " + ToText(*t.fault, model.opened->program.sources);
      // A model that stands there was finished: it stays.
      const std::string kept = Exists(choice.out) ? choice.out + ".diverged" : choice.out;
      if (t.state.history.size() > 1 && std::isfinite(t.state.best) && save(kept, t.state, t.status, false).ok()) {
        error += fmt::format("; the best model until then is in `{}`", kept);
      }
      break;
    }
    case TrainStatus::kInfeasible:
      code = kProgramErrors, error = t.message;
      break;
    case TrainStatus::kFailed:
      code = kFiles, error = t.message;
      break;
  }
  ReleaseStops();
  if (choice.if_missing && code == kOk) return code;
  if (run.json) {
    Print(ToText(TrainJson(model, t, choice.out, code, error)));
  } else if (code == kOk) {
    Print(said);
  } else {
    Complain(error);
  }
  return code;
}

// The checkpoint of this run, or why there is none to go on from.
Result<Model> CheckpointOf(const std::string& path, const Model& model, const std::string& digest,
                           const TrainChoice& choice) {
  Result<Model> old = LoadModel(path);
  if (!old.ok()) return old;
  if (!old->is_checkpoint) return Error{fmt::format("`{}` is a finished model, not a checkpoint", path)};
  if (const std::string why = WhyOther(*old, model, digest, choice); !why.empty())
    return Error{fmt::format("cannot resume from `{}`: {}; `--restart` begins again", path, why)};
  return old;
}

// Whether the model that this run would give is there already.
bool IsThere(const TrainChoice& choice, const Model& model, const std::string& digest) {
  if (!Exists(choice.out)) return false;
  const Result<Model> old = LoadModel(choice.out);
  const Result<TrainSettings> settings = SettingsOf(model.problem.program, model.problem.tables);
  return old.ok() && settings.ok() && !old->is_checkpoint && WhyOther(*old, model, digest, choice).empty() &&
         old->record.status != NameOf(TrainStatus::kDiverged) &&
         old->record.settings.steps == choice.steps.value_or(settings->steps) &&
         old->record.settings.seed == static_cast<std::uint64_t>(
             choice.seed.value_or(static_cast<std::int64_t>(settings->seed)));
}

}  // namespace

int TrainFile(const ProgramChoice& program, TrainChoice choice, const RunChoice& run) {
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
  if (choice.if_missing) {
    if (IsThere(choice, model, digest)) return kOk;
    choice.resume = Exists(path) && CheckpointOf(path, model, digest, choice).ok();
    choice.restart = !choice.resume;
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
  const Result<Model> old = CheckpointOf(path, model, digest, choice);
  if (!old.ok()) return Fail(run, old.message(), kFiles);
  // A run goes on with the settings that it began with.
  if (!choice.steps) choice.steps = old->record.settings.steps;
  if (!choice.seed) choice.seed = static_cast<std::int64_t>(old->record.settings.seed);
  if (!choice.patience) choice.patience = old->record.patience;
  return RunWith(choice, run, model, digest, &old->state);
}

}  // namespace amo::runtime::cli
