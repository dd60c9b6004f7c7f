// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_COMPARISON_H_
#define AMO_RUNTIME_CLI_COMPARISON_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "runtime/evaluate.h"
#include "runtime/train.h"

// Several evaluations side by side: a column for each variant, a row for each number, and over several seeds the mean
// with its confidence interval.
namespace amo::runtime::cli {

struct Evaluated {
  std::string variant;        // the problem's name where it is none
  std::string model;          // its file
  std::uint64_t seed = 0;
  std::int64_t steps = 0;     // of training
  std::vector<Look> history;  // of training
  Evaluation evaluation;
};

struct Cell {
  double mean = 0;
  std::optional<double> half_width;  // of the 95 % confidence interval over the seeds (Student's t); none for one seed
};

struct Comparison {
  struct Row {
    std::string name;
    bool seconds = false;  // a time, else a number
    std::vector<std::optional<Cell>> cells;  // by column; none where a variant has no such number
  };
  std::vector<std::string> variants;  // in the order of their first model
  std::vector<std::int64_t> seeds;    // how many of each
  std::vector<Row> rows;
};

Comparison Compare(const std::vector<Evaluated>& all);

// "0.5312 ± 0.012"
std::string CellText(const Comparison::Row& row, const std::optional<Cell>& cell);
std::string ComparisonText(const Comparison& comparison);
nlohmann::ordered_json ComparisonJson(const Comparison& comparison);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_COMPARISON_H_
