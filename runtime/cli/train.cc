// SPDX-License-Identifier: Apache-2.0
// `amo train`: a model from a program.
#include <filesystem>
#include <utility>

#include "runtime/cli/command.h"
#include "runtime/cli/run_options.h"
#include "runtime/cli/training.h"

namespace amo::runtime::cli {

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
  if (choice.out.empty()) choice.out = std::filesystem::path(program.file).stem().string() + ".amoz";
  return TrainFile(program, std::move(choice), run);
}

}  // namespace amo::runtime::cli
