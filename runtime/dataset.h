// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_DATASET_H_
#define AMO_RUNTIME_DATASET_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/build.h"
#include "runtime/array.h"
#include "runtime/result.h"

// Registered data sets, `from mnist`: what tools/datasets.json, embedded in the binary, says of them, and their rows.
namespace amo::runtime {

std::string_view DatasetsJson();  // the text of tools/datasets.json

struct DatasetField {
  std::string name;
  compiler::Type type;      // of one row
  std::string train, test;  // files; without `test` the first holds all rows
};
struct Dataset {
  std::string name;
  std::vector<DatasetField> fields;
};
std::vector<Dataset> Datasets();

// The type of one row's field, by set and field.
compiler::Tables RegisteredTypes();

// Where a set is kept: data/NAME in $AMO_CACHE, else in amo/ of $XDG_CACHE_HOME or ~/.cache.
std::string DatasetFolder(const std::string& name);

// The rows of a set, test rows last. `test_rows` is 0 where the set has no test split of its own.
struct DatasetRows {
  std::map<std::string, Array> fields;  // [rows, the shape of one row]; entries as stored
  std::int64_t rows = 0, test_rows = 0;
};

// Reads a set. Where a file of it is missing, `$AMO_FETCH_DATA NAME` is run first: it prints the set's folder.
Result<DatasetRows> ReadDataset(const std::string& name);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_DATASET_H_
