// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_MODEL_H_
#define AMO_RUNTIME_MODEL_H_

#include <memory>
#include <string>

#include "runtime/artifact.h"
#include "runtime/open.h"
#include "runtime/record.h"
#include "runtime/train.h"

// A program with its data and what was learned for it, and its way to a file and back.
namespace amo::runtime {

// The problem of a program that was opened with Stage::kData: tables become tensors, data values are computed. Its data
// is drawn from the file's own seed, which is the same in every run.
Result<Problem> ProblemOf(const Opened& opened);

struct Model {
  std::shared_ptr<Opened> opened;
  ProgramChoice choice;      // how it was opened
  Problem problem;
  Values learned;            // the best ones
  Record record;             // how it was trained
  TrainState state;          // only in a checkpoint
  bool is_checkpoint = false;
};

struct RecordOptions {
  TrainSettings settings;
  TrainStatus status = TrainStatus::kDone;
  int threads = 1;
  std::int64_t patience = 0;
  std::string digest;  // of the tables' arrays
};
Record RecordOf(const Model& model, const TrainState& state, const RecordOptions& options);
std::string_view NameOf(TrainStatus status);  // "done", "early", …

// `checkpoint`: with the state that training needs to go on.
Result<Done> SaveModel(const std::string& path, const Model& model, const TrainState& state, bool checkpoint);

// Works without the tables that the model was trained on; ReadModelTables fetches them for what draws contexts.
Result<Model> LoadModel(const std::string& path);

// From `folder`, else the folder of the program when it was trained, else that of the model's file.
Result<Done> ReadModelTables(Model& model, const std::string& path, const std::string& folder);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_MODEL_H_
