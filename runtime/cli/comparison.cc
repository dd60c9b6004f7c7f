// SPDX-License-Identifier: Apache-2.0
// The table of several models.
#include "runtime/cli/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "runtime/cli/run_options.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

// The 0.975 quantile of Student's t by degrees of freedom, from 1 on; past the end that of the normal distribution.
constexpr double kStudent[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                               2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                               2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
constexpr double kNormal = 1.960;

std::optional<Cell> CellOf(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  const double n = static_cast<double>(values.size());
  Cell c;
  for (const double v : values) c.mean += v / n;
  if (values.size() < 2) return c;
  double squares = 0;
  for (const double v : values) squares += (v - c.mean) * (v - c.mean);
  const std::size_t freedom = values.size() - 1;
  const double t = freedom <= std::size(kStudent) ? kStudent[freedom - 1] : kNormal;
  c.half_width = t * std::sqrt(squares / static_cast<double>(freedom) / n);
  return c;
}

struct Number {
  std::string name;
  bool seconds;
  double value;
};

// Every number of an evaluation that a table can hold, in the order of its rows.
std::vector<Number> NumbersOf(const Evaluation& e) {
  std::vector<Number> numbers;
  for (const auto& [name, value] : e.reports)
    if (value.dim() == 0) numbers.push_back({name, false, value.item<double>()});
  if (!std::isnan(e.model_objective)) numbers.push_back({"objective", false, e.model_objective});
  if (e.gap) {
    numbers.push_back({"gap, mean", false, e.gap->mean});
    numbers.push_back({"gap, 95 %", false, e.gap->p95});
  }
  for (const auto& [name, s] : e.model_violations) numbers.push_back({"violation " + name + ", max", false, s.max});
  if (e.model.batch_n > 0) {
    numbers.push_back({"time, batch 1", true, e.model.batch_1});
    numbers.push_back({fmt::format("time, batch {}", e.instances), true, e.model.batch_n});
  }
  if (e.solver.batch_n > 0) {
    numbers.push_back({"solver, batch 1", true, e.solver.batch_1});
    numbers.push_back({fmt::format("solver, batch {}", e.instances), true, e.solver.batch_n});
  }
  if (e.solver_reaches) numbers.push_back({"solver, as good", true, e.solver_reaches->seconds});
  if (e.training_seconds > 0) numbers.push_back({"training", true, e.training_seconds});
  return numbers;
}

// The width on a terminal of UTF-8 text without wide letters.
std::size_t Width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string Padded(const std::string& text, std::size_t width) {
  return std::string(width > Width(text) ? width - Width(text) : 0, ' ') + text;
}

}  // namespace

Comparison Compare(const std::vector<Evaluated>& all) {
  Comparison c;
  // By row and column, the numbers of the seeds.
  std::vector<std::vector<std::vector<double>>> values;
  for (const Evaluated& e : all) {
    const auto found = std::find(c.variants.begin(), c.variants.end(), e.variant);
    const auto column = static_cast<std::size_t>(found - c.variants.begin());
    if (found == c.variants.end()) c.variants.push_back(e.variant), c.seeds.push_back(0);
    ++c.seeds[column];
    for (const Number& n : NumbersOf(e.evaluation)) {
      const auto row = std::find_if(c.rows.begin(), c.rows.end(), [&](const auto& r) { return r.name == n.name; });
      const auto at = static_cast<std::size_t>(row - c.rows.begin());
      if (row == c.rows.end()) c.rows.push_back({n.name, n.seconds, {}}), values.emplace_back();
      values[at].resize(std::max(values[at].size(), column + 1));
      values[at][column].push_back(n.value);
    }
  }
  for (std::size_t r = 0; r < c.rows.size(); ++r) {
    values[r].resize(c.variants.size());
    for (const std::vector<double>& v : values[r]) c.rows[r].cells.push_back(CellOf(v));
  }
  return c;
}

std::string CellText(const Comparison::Row& row, const std::optional<Cell>& cell) {
  if (!cell) return "-";
  const auto text = [&](double v) { return row.seconds ? TimeText(v) : NumberText(v); };
  if (!cell->half_width) return text(cell->mean);
  const double half = *cell->half_width;
  return text(cell->mean) + " ± " + (row.seconds ? TimeText(half) : fmt::format("{:.2g}", half));
}

std::string ComparisonText(const Comparison& c) {
  std::size_t first = 0;
  for (const Comparison::Row& r : c.rows) first = std::max(first, Width(r.name));
  std::vector<std::size_t> widths;
  std::string text = "  " + std::string(first, ' ');
  for (std::size_t k = 0; k < c.variants.size(); ++k) {
    std::size_t width = Width(c.variants[k]);
    for (const Comparison::Row& r : c.rows) width = std::max(width, Width(CellText(r, r.cells[k])));
    widths.push_back(width);
    text += "  " + Padded(c.variants[k], width);
  }
  text += "\n";
  for (const Comparison::Row& r : c.rows) {
    text += "  " + r.name + std::string(first - Width(r.name), ' ');
    for (std::size_t k = 0; k < widths.size(); ++k) text += "  " + Padded(CellText(r, r.cells[k]), widths[k]);
    text += "\n";
  }
  const std::int64_t most = c.seeds.empty() ? 0 : *std::max_element(c.seeds.begin(), c.seeds.end());
  if (most > 1) text += fmt::format("  ± 95 % confidence of the mean over {} seeds (Student's t)\n", most);
  return text;
}

Json ComparisonJson(const Comparison& c) {
  Json json = Json::array();
  for (const Comparison::Row& r : c.rows) {
    Json row = {{"name", r.name}, {"unit", r.seconds ? Json("s") : Json()}};
    row["variants"] = Json::object();
    for (std::size_t k = 0; k < c.variants.size(); ++k) {
      if (!r.cells[k]) continue;
      const std::optional<double>& half = r.cells[k]->half_width;
      row["variants"][c.variants[k]] = {
          {"mean", r.cells[k]->mean}, {"half_width", half ? Json(*half) : Json()}, {"seeds", c.seeds[k]}};
    }
    json.push_back(std::move(row));
  }
  return json;
}

}  // namespace amo::runtime::cli
