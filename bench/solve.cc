// SPDX-License-Identifier: Apache-2.0
// Times the solver of a file on its test draws, in one batch and one by one, and writes its answers, so that peers
// solve the same instances (qp_peers.py).
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/model.h"
#include "runtime/parallel.h"
#include "runtime/reference.h"
#include "runtime/tensor_array.h"
#include "runtime/write_array.h"

using namespace amo::runtime;

namespace {

double Seconds(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

}  // namespace

int main(int argc, char** argv) {
  std::string file, out, json, method;
  std::int64_t instances = 833;
  double seconds = 1;
  CLI::App app("the solver of a program, timed");
  app.add_option("FILE", file)->required();
  app.add_option("--instances", instances);
  app.add_option("--method", method, "over what the file says");
  app.add_option("--seconds", seconds, "for each figure");
  app.add_option("--answers", out, "contexts and answers (.npz)");
  app.add_option("--json", json);
  CLI11_PARSE(app, argc, argv);
  const c10::NoGradGuard no_grad;
  SetThreads(1);
  Opened opened;
  ProgramChoice choice;
  choice.file = file;
  if (Open(choice, Stage::kData, opened) != OpenStatus::kOk) {
    fmt::print(stderr, "{} cannot be opened: {}\n", file, opened.error);
    return 1;
  }
  if (!method.empty()) opened.built.solve.written = true, opened.built.solve.refinements = {{method, {}, {}}};
  const Result<Problem> problem = ProblemOf(opened);
  if (!problem.ok()) {
    fmt::print(stderr, "{}\n", problem.message());
    return 1;
  }
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{1});
  const Values all = Sample(*problem, instances, Split::kTest, g);
  std::vector<Values> singles;
  for (std::int64_t k = 0; k < instances; ++k) {
    singles.emplace_back();
    for (const auto& [name, t] : all) singles.back()[name] = t.narrow(0, k, 1);
  }
  const ReferenceSummary s = SolveReference(*problem, all, instances);
  SolveReference(*problem, singles[0], 1);
  std::vector<double> batch, single;
  for (const auto begun = std::chrono::steady_clock::now(); Seconds(begun) < seconds || batch.size() < 5;) {
    const auto start = std::chrono::steady_clock::now();
    SolveReference(*problem, all, instances);
    batch.push_back(Seconds(start) / static_cast<double>(instances));
  }
  for (const auto begun = std::chrono::steady_clock::now(); Seconds(begun) < seconds || single.size() < 5;) {
    for (const Values& one : singles) {
      const auto start = std::chrono::steady_clock::now();
      SolveReference(*problem, one, 1);
      single.push_back(Seconds(start));
    }
  }
  std::sort(batch.begin(), batch.end());
  std::sort(single.begin(), single.end());
  const auto solved = std::count(s.status.begin(), s.status.end(), SolveStatus::kSolved);
  fmt::print("{}  batch {}: {:.2f} us an instance (median; minimum {:.2f}); one by one {:.2f} us ({:.2f}); {} solved\n",
             ReferenceName(*problem), instances, batch[batch.size() / 2] * 1e6, batch[0] * 1e6,
             single[single.size() / 2] * 1e6, single[0] * 1e6, solved);
  if (!json.empty()) {
    std::ofstream(json) << nlohmann::json{{"batch", batch[batch.size() / 2]}, {"single", single[single.size() / 2]},
                                           {"unsolved", instances - solved}};
  }
  if (out.empty()) return 0;
  std::vector<Array> arrays;
  for (const auto& [name, t] : all) arrays.push_back(ToArray(name, t));
  for (const auto& [name, t] : s.variables) arrays.push_back(ToArray(name, t));
  arrays.push_back(ToArray("objective", s.objective));
  return WriteArrays(out, arrays).ok() ? 0 : 1;
}
