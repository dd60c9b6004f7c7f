// SPDX-License-Identifier: Apache-2.0
// One model's evaluation as text and as JSON.
#include "runtime/cli/evaluation_text.h"

#include <fmt/format.h>

#include <algorithm>

#include <ATen/ops/tensor.h>

#include "runtime/cli/progress.h"
#include "runtime/cli/run_options.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;

Json TensorJson(const at::Tensor& t) {
  if (t.dim() == 0) return t.item<double>();
  Json list = Json::array();
  for (std::int64_t k = 0; k < t.size(0); ++k) list.push_back(TensorJson(t.select(0, k)));
  return list;
}

std::string TensorText(const at::Tensor& t) {
  if (t.dim() == 0) return NumberText(t.item<double>());
  std::string text = "[";
  const std::int64_t shown = std::min<std::int64_t>(t.size(0), 12);
  for (std::int64_t k = 0; k < shown; ++k) text += (k ? ", " : "") + TensorText(t.select(0, k));
  return text + (shown < t.size(0) ? ", …]" : "]");
}

Spread IterationsOf(const StartRow& row) {
  const std::vector<double> iterations(row.iterations.begin(), row.iterations.end());
  return SpreadOf(at::tensor(iterations, at::TensorOptions(at::kDouble)));
}

}  // namespace

Json EvaluationJson(const Evaluation& e, const Problem& problem, const std::string& model) {
  const bool solved = !e.statuses.empty(), predicted = problem.program.model.predict.has_value();
  const bool valued = problem.program.objective.has_value();
  const auto number = [](bool there, double value) { return there ? Json(value) : Json(); };
  const auto spread = [](bool there, const Spread& s) { return there ? SpreadJson(s) : Json(); };
  const auto times = [](bool there, const Timing& t) {
    return there ? Json({{"batch_1", t.batch_1}, {"batch_n", t.batch_n}}) : Json();
  };
  Json json = {{"ok", true}, {"error", ""}, {"model", model}, {"instances", e.instances}, {"threads", e.threads}};
  json["gap"] = e.gap ? SpreadJson(*e.gap) : Json();
  json["start_gap"] = number(e.gap.has_value(), e.start_gap);
  json["objective"] = {{"model", number(predicted && valued, e.model_objective)},
                       {"solver", number(solved, e.reference_objective)}};
  json["residual"] = {{"model", spread(predicted && (valued || problem.program.equations), e.model_residual)},
                      {"solver", spread(solved, e.reference_residual)}};
  json["violations"] = Json::object();
  for (const auto& [name, s] : e.model_violations) json["violations"][name]["model"] = SpreadJson(s);
  for (const auto& [name, s] : e.reference_violations) json["violations"][name]["solver"] = SpreadJson(s);
  json["solver"] = {
      {"methods", e.reference}, {"status", Json(e.statuses)}, {"iterations", spread(solved, e.iterations)}};
  json["seconds_per_instance"] = {{"model", times(predicted, e.model)},
                                  {"certificate", times(predicted, e.certificate)},
                                  {"violations", times(predicted, e.violations)},
                                  {"solver", times(solved, e.solver)}};
  if (!e.solver_curve.empty()) {
    const auto point = [](const CurvePoint& p) {
      return Json({{"steps", p.steps}, {"seconds", p.seconds}, {"objective", p.objective}});
    };
    const auto curve = [&](const Curve& c) {
      Json list = Json::array();
      for (const CurvePoint& p : c) list.push_back(point(p));
      return list;
    };
    json["curves"] = {{"model", curve(e.model_curve)}, {"solver", curve(e.solver_curve)}};
    json["solver_reaches"] = e.solver_reaches ? point(*e.solver_reaches) : Json();
  }
  for (const StartRow& row : e.starts) {
    json["starts"][row.name] = {{"iterations", SpreadJson(IterationsOf(row))},
                                {"solved", row.solved},
                                {"seconds_per_instance", row.seconds}};
  }
  json["training_seconds"] = e.training_seconds;
  json["break_even"] = e.break_even ? Json(*e.break_even) : Json();
  json["reports"] = Json::object();
  for (const auto& [name, value] : e.reports) json["reports"][name] = TensorJson(value);
  return json;
}

std::string EvaluationText(const Evaluation& e) {
  std::string text = fmt::format("{} test instances, {} thread{}\n", e.instances, e.threads, e.threads == 1 ? "" : "s");
  const auto spread = [&](const std::string& name, const Spread& s) {
    text += fmt::format("  {:<28}{:>12}{:>12}{:>12}{:>12}\n", name, NumberText(s.mean), NumberText(s.median),
                        NumberText(s.p95), NumberText(s.max));
  };
  if (e.gap || !e.statuses.empty() || !e.model_violations.empty() || e.model_residual.max > 0) {
    text += fmt::format("\n  {:<28}{:>12}{:>12}{:>12}{:>12}\n", "", "mean", "median", "95 %", "max");
  }
  if (e.gap) spread("gap to the solver", *e.gap);
  if (e.gap || e.model_residual.max > 0) spread("residual, model", e.model_residual);
  if (!e.statuses.empty()) spread("residual, solver", e.reference_residual);
  for (const auto& [name, s] : e.model_violations) {
    spread("violation " + name + ", model", s);
    const auto r = e.reference_violations.find(name);
    if (r != e.reference_violations.end()) spread("violation " + name + ", solver", r->second);
  }
  if (e.gap) {
    text += fmt::format("\n  objective  model {}, solver {}\n", NumberText(e.model_objective),
                        NumberText(e.reference_objective));
    if (e.start_gap > 0) {
      text += fmt::format("  the mean gap is {:.3g} % of that of projected zeros\n", 100 * e.gap->mean / e.start_gap);
    }
  }
  if (!e.statuses.empty()) {
    std::string ends;
    for (const auto& [name, count] : e.statuses) ends += fmt::format("{}{} {}", ends.empty() ? "" : ", ", count, name);
    text += fmt::format("  solver     {}: {}; iterations mean {}, max {}\n", e.reference, ends,
                        NumberText(e.iterations.mean), NumberText(e.iterations.max));
  }
  if (e.model.batch_n > 0 || e.solver.batch_n > 0) {
    text += fmt::format("\n  {:<28}{:>12}{:>12}\n", "time per instance, warm", "batch 1",
                        fmt::format("batch {}", e.instances));
    const auto times = [&](const char* name, const Timing& t) {
      if (t.batch_n > 0) text += fmt::format("  {:<28}{:>12}{:>12}\n", name, TimeText(t.batch_1), TimeText(t.batch_n));
    };
    times("model", e.model);
    times("its certificate", e.certificate);
    times("violations alone", e.violations);
    times("solver", e.solver);
    if (e.model.batch_n > 0 && e.solver.batch_n > 0) {
      text += fmt::format("  {:<28}{:>12}{:>12}\n", "solver / model",
                          fmt::format("{:.4g}", e.solver.batch_1 / e.model.batch_1),
                          fmt::format("{:.4g}", e.solver.batch_n / e.model.batch_n));
    }
    if (e.solver_reaches) {
      text += fmt::format("  the solver is as good as the model after {} steps: {}, {:.4g} times the model\n",
                          e.solver_reaches->steps, TimeText(e.solver_reaches->seconds),
                          e.solver_reaches->seconds / e.model.batch_n);
    } else if (!e.solver_curve.empty()) {
      text += "  the solver is nowhere as good as the model, on the mean\n";
    }
    if (e.break_even) {
      text += fmt::format("  training took {}: it has paid after {:.3g} solves\n", DurationText(e.training_seconds),
                          *e.break_even);
    } else if (e.solver.batch_n > 0 && e.model.batch_n > 0) {
      text += "  training never pays at this batch: the solver is the faster one\n";
    }
  }
  if (!e.starts.empty()) {
    text += fmt::format("\n  {:<28}{:>12}{:>12}{:>12}{:>12}{:>12}\n", "the solver from", "iterations", "median", "95 %",
                        "solved", "each");
    for (const StartRow& row : e.starts) {
      const Spread s = IterationsOf(row);
      text += fmt::format("  {:<28}{:>12}{:>12}{:>12}{:>12}{:>12}\n", row.name, NumberText(s.mean),
                          NumberText(s.median), NumberText(s.p95),
                          fmt::format("{} of {}", row.solved, row.iterations.size()), TimeText(row.seconds));
    }
  }
  if (!e.reports.empty()) text += "\n  reports\n";
  for (const auto& [name, value] : e.reports) text += fmt::format("    {:<26}{:>12}\n", name, TensorText(value));
  return text;
}

}  // namespace amo::runtime::cli
