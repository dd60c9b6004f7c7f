// SPDX-License-Identifier: Apache-2.0
// The report: data put into the embedded page.
#include "runtime/cli/report_page.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "compiler/check.h"
#include "runtime/cli/front.h"
#include "runtime/cli/run_options.h"
#include "runtime/cli/version.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

// Inside a <script> nothing may look like the end of one.
std::string Inside(std::string json) {
  for (std::size_t at = 0; (at = json.find('<', at)) != std::string::npos; at += 6) json.replace(at, 1, "\\u003c");
  return json;
}

// Gaps against what they cost, as [steps, seconds, gap].
Json CurveJson(const Curve& curve, double reference) {
  Json list = Json::array();
  for (const CurvePoint& p : curve) list.push_back({p.steps, p.seconds, p.objective - reference});
  return list;
}

// How many instances have a gap in each third of a decade, as [log10 of the lower end, count]; what is below the least
// is counted there.
Json HistogramJson(const std::vector<double>& gaps) {
  constexpr double kPerDecade = 3, kLeast = -10;
  std::map<double, std::int64_t> bins;
  for (const double g : gaps) {
    if (std::isnan(g)) continue;
    const double exponent = g > 0 ? std::max(kLeast, std::log10(g)) : kLeast;
    ++bins[std::floor(exponent * kPerDecade) / kPerDecade];
  }
  Json list = Json::array();
  for (const auto& [low, count] : bins) list.push_back({low, count});
  return list;
}

void Replace(std::string& text, std::string_view what, std::string_view by) {
  const std::size_t at = text.find(what);
  AMO_CHECK(at != std::string::npos);
  text.replace(at, what.size(), by);
}

}  // namespace

std::string ReportPage(const std::string& problem, const std::string& doc, const std::vector<Evaluated>& all) {
  const Comparison table = Compare(all);
  Json json = {{"problem", problem}, {"doc", doc}, {"version", kVersion}, {"variants", table.variants}};
  json["instances"] = all.empty() ? 0 : all[0].evaluation.instances;
  json["threads"] = all.empty() ? 0 : all[0].evaluation.threads;
  json["rows"] = Json::array();
  for (const Comparison::Row& r : table.rows) {
    Json row = Json::array({r.name});
    for (const std::optional<Cell>& c : r.cells) row.push_back(CellText(r, c));
    json["rows"].push_back(std::move(row));
  }
  json["seeds"] = table.seeds;
  json["models"] = Json::array();
  for (const Evaluated& e : all) {
    Json model = {{"variant", e.variant}, {"model", e.model}, {"seed", e.seed}, {"steps", e.steps}};
    model["history"] = Json::array();
    for (const Look& l : e.history) model["history"].push_back({l.step, l.loss, l.validation});
    const Evaluation& v = e.evaluation;
    model["solver"] = v.reference;
    if (std::isfinite(v.curve_reference)) {
      model["model_curve"] = CurveJson(v.model_curve, v.curve_reference);
      model["solver_curve"] = CurveJson(v.solver_curve, v.curve_reference);
    }
    model["gaps"] = HistogramJson(v.gaps);
    json["models"].push_back(std::move(model));
  }
  std::string page(ReportTemplate());
  Replace(page, "{{data}}", Inside(ToText(json)));
  Replace(page, "{{chart}}", ChartScript());
  return page;
}

}  // namespace amo::runtime::cli
