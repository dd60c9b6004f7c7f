// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_EVALUATE_H_
#define AMO_RUNTIME_EVALUATE_H_

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/curves.h"
#include "runtime/starts.h"

// A trained model against the reference solver on draws that it was not trained on: gaps, violations, times, and the
// reports of the file.
namespace amo::runtime {

struct Spread {
  double mean = 0, median = 0, p95 = 0, max = 0;
};
Spread SpreadOf(const at::Tensor& values);  // of finite entries; NaN where there is none

struct Timing {                // seconds per instance, warm: compiled and run before
  double batch_1 = 0;          // the median of single calls
  double batch_n = 0;          // of one call with all instances, the least of its repetitions
};

struct Evaluation {
  std::int64_t instances = 0, threads = 1;
  std::optional<Spread> gap;            // f(ŷ) - f(y*), by instance
  double model_objective = NAN, reference_objective = NAN;  // NaN where there is none
  double start_gap = 0;                 // the mean gap of the solver's start: what a gap is measured against
  Spread model_residual, reference_residual;
  std::map<std::string, Spread> model_violations, reference_violations;
  std::string reference;                // its methods
  std::map<std::string, std::int64_t> statuses;  // how many instances ended in which
  Spread iterations;
  Timing model, solver;
  Timing certificate, violations;       // of a prediction: the full one; without residual and gap
  double training_seconds = 0;
  // Solves after which training has paid: training over what a prediction saves per instance; none where it saves none.
  std::optional<double> break_even;
  std::vector<std::pair<std::string, at::Tensor>> reports;
  // With EvaluateOptions::curves: every instance's gap; objectives against steps and time of the first instances, with
  // the reference's mean objective on these.
  std::vector<double> gaps;
  Curve model_curve, solver_curve;
  double curve_reference = NAN;
  std::vector<StartRow> starts;              // with EvaluateOptions::starts
  std::optional<CurvePoint> solver_reaches;  // where the solver's curve passes the model's answer
};

struct EvaluateOptions {
  std::int64_t instances = 1000;
  std::uint64_t seed = 1;
  bool solver = true;                   // false: no reference, but for reports that use it
  bool split = true;
  double training_seconds = 0;
  bool curves = false;
  bool starts = false;                  // the solver from several starts, on at most 256 instances
  std::function<void(const std::string& what, std::int64_t done, std::int64_t all)> progress;
};

Evaluation Evaluate(const Problem& problem, const Values& learned, const EvaluateOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_EVALUATE_H_
