// SPDX-License-Identifier: Apache-2.0
// The table of `amo explain --cost`.
#include "runtime/cli/explain_cost.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "compiler/cost.h"
#include "compiler/derive.h"
#include "compiler/simplify.h"

namespace amo::runtime::cli {
namespace {

using Json = nlohmann::ordered_json;
using compiler::Function;

constexpr std::int64_t kBatch = 1024;

std::vector<std::pair<std::string, Function>> Functions(const compiler::Program& program) {
  std::vector<std::pair<std::string, Function>> all;
  if (program.objective) {
    const Function& f = *program.objective;
    std::vector<int> wrt;
    for (const compiler::Named& v : program.variables) {
      if (f.FindInput(v.name) >= 0) wrt.push_back(f.FindInput(v.name));
    }
    all.emplace_back("objective", f);
    if (!wrt.empty()) {
      all.emplace_back("gradient", compiler::Simplify(compiler::Gradient(f, wrt)));
      all.emplace_back("hessian", compiler::Simplify(compiler::HessianVector(f, wrt)));
    }
  }
  if (program.update) all.emplace_back("update", *program.update);
  if (program.project) all.emplace_back("project", *program.project);
  return all;
}

std::string Nanoseconds(const Json& value) {
  const double ns = value.get<double>();
  return ns < 1e4   ? fmt::format("{:.3g} ns", ns)
         : ns < 1e7 ? fmt::format("{:.3g} us", ns / 1e3)
                    : fmt::format("{:.3g} ms", ns / 1e6);
}

}  // namespace

Json CostJson(const compiler::Program& program, compiler::Precision precision) {
  Json all = Json::array();
  const std::string folder = compiler::KernelCacheFolder();
  for (const auto& [name, function] : Functions(program)) {
    if (!compiler::Uncompilable(function).empty()) continue;
    const compiler::Cost cost = compiler::CountCost(function);
    const compiler::Kernel many =
        compiler::Compile(function, {.precision = precision, .lanes = 0, .cache_folder = folder});
    const compiler::Kernel one =
        compiler::Compile(function, {.precision = precision, .lanes = 1, .cache_folder = folder});
    const std::int64_t batch = compiler::MeasurableBatch(cost, many, kBatch);
    Json row = {{"name", name},
                {"batch", batch},
                {"lanes", many.lanes},
                {"work", Json::object()},
                {"prepared", Json::object()}};
    for (std::size_t k = 0; k < compiler::kWorks; ++k) {
      const auto work = static_cast<compiler::Work>(k);
      row["work"][std::string(NameOf(work))] = cost.each[k];
      row["prepared"][std::string(NameOf(work))] = cost.prepared[k];
    }
    const double entry = precision == compiler::Precision::kF64 ? 8 : 4;
    row["bytes"] = cost[compiler::Work::kTransfer] * entry;
    row["scratch_bytes"] = many.scratch_bytes;
    row["shared_bytes"] = many.shared_bytes;
    row["predicted_ns"] = compiler::PredictedTime(cost, precision);
    row["measured_ns"] = compiler::MeasuredTime(function, many, batch);
    row["measured_one_ns"] = compiler::MeasuredTime(function, one, 1);
    all.push_back(std::move(row));
  }
  return all;
}

std::string CostText(const Json& cost) {
  if (cost.empty()) return "nothing that is compiled: the program has no objective, update or set of a variable\n";
  std::string text = fmt::format(
      "\ncost of one instance, on one core of this machine; times in a batch of up to {}, and alone\n", kBatch);
  text +=
      fmt::format("  {:<10}{:>12}{:>11}{:>11}{:>9}{:>10}{:>10}{:>7}{:>12}{:>12}{:>12}\n", "", "arithmetic", "divisions",
                  "functions", "library", "memory", "bytes", "lanes", "predicted", "measured", "alone");
  for (const Json& row : cost) {
    const Json& work = row["work"];
    const auto n = [&](const char* key) { return fmt::format("{:.5g}", work[key].get<double>()); };
    text +=
        fmt::format("  {:<10}{:>12}{:>11}{:>11}{:>9}{:>10}{:>10.5g}{:>7}{:>12}{:>12}{:>12}\n",
                    row["name"].get<std::string>(), n("arithmetic"), n("divisions"), n("functions"), n("library"),
                    n("memory"), row["bytes"].get<double>(), row["lanes"].get<int>(), Nanoseconds(row["predicted_ns"]),
                    Nanoseconds(row["measured_ns"]), Nanoseconds(row["measured_one_ns"]));
  }
  return text;
}

}  // namespace amo::runtime::cli
