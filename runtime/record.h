// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_RECORD_H_
#define AMO_RUNTIME_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/build.h"
#include "runtime/result.h"
#include "runtime/train.h"

// How a model was trained: `record.json` in its file.
namespace amo::runtime {

struct Record {
  std::string folder;      // of the program, where it was trained
  compiler::Tables types;  // of the tables that it read
  std::string digest;      // of these tables' arrays
  std::string status;      // "done", "early", …
  TrainSettings settings;
  std::int64_t patience = 0;
  std::int64_t steps = 0;  // taken
  double seconds = 0, best = 0;
  int threads = 1;
  std::vector<Look> history;
};

std::string ToJson(const Record& record);
// What is missing has its default; what has another form than ToJson gives is an error.
Result<Record> ParseRecord(std::string_view json);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_RECORD_H_
