// SPDX-License-Identifier: Apache-2.0
// What the commands that run something share.
#include "runtime/cli/run_options.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/isinf.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "runtime/cli/exit_code.h"
#include "runtime/cli/terminal.h"
#include "runtime/read_array.h"
#include "runtime/tables.h"
#include "runtime/tensor_array.h"
#include "runtime/write_array.h"

namespace amo::runtime::cli {
namespace {

constexpr std::string_view kEndings[] = {".npz", ".safetensors", ".csv", ".npy"};

std::string ConstraintName(const compiler::Function& f) { return f.name.substr(f.name.find('/') + 1); }

}  // namespace

void AddRunOptions(CLI::App& app, RunChoice& choice) {
  app.add_option("--threads", choice.threads, "threads to use; else one for each core")->type_name("N");
  app.add_option("--device", choice.device, "where to run: cpu")->type_name("NAME");
  app.add_flag("--json", choice.json, "the result as JSON on standard output");
}

std::optional<int> ApplyRunOptions(const CLI::App& app, const RunChoice& choice) {
  if (choice.device != "cpu")
    return WrongUse(app, fmt::format("`--device {}`: this build of LibTorch knows `cpu` only", choice.device));
  if (!choice.threads) return std::nullopt;
  if (*choice.threads < 1 || *choice.threads > 1024) return WrongUse(app, "`--threads` lies between 1 and 1024");
  at::set_num_threads(*choice.threads);
  return std::nullopt;
}

int Fail(const RunChoice& run, const std::string& error, int code) {
  if (run.json)
    Print(ToText({{"ok", false}, {"error", error}}));
  else
    Complain(error);
  return code;
}

int OpenProblemFile(const ProgramChoice& choice, const RunChoice& run, Opened& opened,
                    std::optional<Problem>& problem) {
  int code = ReadProgram(choice, Stage::kData, opened);
  if (code == kOk) {
    Result<Problem> made = ProblemOf(opened);
    if (made.ok())
      problem = std::move(*made);
    else
      opened.error = made.message(), code = kFiles;
  }
  if (run.json) {
    if (code != kOk) Print(ToText(FrontJson(choice, opened, code)));
  } else {
    Report(opened);
  }
  return code;
}

Result<Values> ReadContextFile(const Problem& problem, const std::string& path, std::int64_t& batch) {
  Result<std::vector<Array>> arrays = ReadArrays(path);
  if (!arrays.ok()) return arrays.error();
  Result<Values> values = ReadContexts(problem, *arrays, fmt::format("file `{}`", path));
  if (values.ok()) batch = values->empty() ? 1 : values->begin()->second.size(0);
  return values;
}

std::vector<std::string> FilesOf(const ProgramChoice& choice, const Opened& opened) {
  std::vector<std::string> files;
  for (const auto& [path, text] : lang::TextsOf(opened.program)) files.push_back(path);
  const std::filesystem::path folder = std::filesystem::path(choice.file).parent_path();
  for (const Source& source : SourcesOf(opened.problem)) {
    if (!source.registered) files.push_back((folder / source.name).string());
  }
  return files;
}

Result<OutputLock> ReserveOutput(const std::string& out, const std::vector<std::string>& read) {
  for (const std::string& file : read) {
    std::error_code missing;
    if (std::filesystem::is_regular_file(out, missing) && std::filesystem::equivalent(file, out, missing)) {
      return Error{fmt::format("cannot write `{}`: it is read by the same run", out)};
    }
  }
  return OutputLock::Take(out);
}

Result<AnswerFile> AnswerFile::Reserve(const std::string& out, const Problem& problem,
                                       const std::vector<std::string>& read, const std::vector<std::string>& more) {
  AnswerFile file;
  if (out.empty()) return file;
  const auto cannot = [&](const std::string& why) { return Error{fmt::format("cannot write `{}`: {}", out, why)}; };
  const std::string ending = std::filesystem::path(out).extension().string();
  if (std::find(std::begin(kEndings), std::end(kEndings), ending) == std::end(kEndings)) {
    return cannot(fmt::format("its ending is not known: expected one of {}", fmt::join(kEndings, ", ")));
  }
  const compiler::Program& program = problem.program;
  std::set<std::string> names = {"objective", "residual", "gap"};
  names.insert(more.begin(), more.end());
  for (const compiler::Function& f : program.constraints) names.insert("violation_" + ConstraintName(f));
  for (const compiler::Named& v : program.variables) {
    file.variables_.push_back(v.name);
    if (ending != ".npy" && !names.insert(v.name).second) {
      return cannot(fmt::format("two arrays would be called `{}`; a .npy file holds the variable alone", v.name));
    }
    if (ending == ".csv" && v.type.shape.size() > 1) {
      return cannot(fmt::format("a .csv file holds numbers and vectors; the variable `{}` has rank {}", v.name,
                                v.type.shape.size()));
    }
  }
  if (ending == ".npy" && program.variables.size() != 1) {
    return cannot(
        fmt::format("a .npy file holds one array, and the program has {} variables; a .npz file holds several",
                    program.variables.size()));
  }
  Result<OutputLock> lock = ReserveOutput(out, read);
  if (!lock.ok()) return lock.error();
  file.out_ = out;
  file.lock_ = std::move(*lock);
  return file;
}

Result<Done> AnswerFile::Write(const Values& answers, const Certificate& c, std::vector<Array> more) const {
  if (out_.empty()) return Done{};
  std::vector<Array> arrays;
  for (const std::string& name : variables_) arrays.push_back(ToArray(name, answers.at(name)));
  if (!out_.ends_with(".npy")) {
    if (c.objective) arrays.push_back(ToArray("objective", *c.objective));
    if (c.residual) arrays.push_back(ToArray("residual", *c.residual));
    if (c.gap) arrays.push_back(ToArray("gap", *c.gap));
    for (const auto& [name, v] : c.violations) arrays.push_back(ToArray("violation_" + name, v));
    for (Array& a : more) arrays.push_back(std::move(a));
  }
  return WriteArrays(out_, arrays);
}

std::vector<std::int64_t> NotFiniteInstances(const Problem& problem, const Values& answers, const Certificate& c,
                                             std::int64_t batch) {
  at::Tensor good = at::ones({batch}, at::TensorOptions(at::kBool));
  const auto look = [&](const at::Tensor& t) {
    if (t.is_floating_point() && batch > 0) good = good.logical_and(at::isfinite(t.reshape({batch, -1})).all(1));
  };
  for (const compiler::Named& v : problem.program.variables) look(answers.at(v.name));
  if (c.objective) look(*c.objective);
  if (c.residual) look(*c.residual);
  if (c.gap) look(at::where(at::isinf(*c.gap), at::zeros_like(*c.gap), *c.gap));  // infinite: nothing bounds it
  for (const auto& [name, v] : c.violations) look(v);
  std::vector<std::int64_t> bad;
  good = good.contiguous();
  for (std::int64_t i = 0; i < batch; ++i) if (!good.const_data_ptr<bool>()[i]) bad.push_back(i);
  return bad;
}

nlohmann::ordered_json SpreadJson(const Spread& s) {
  return {{"mean", s.mean}, {"median", s.median}, {"p95", s.p95}, {"max", s.max}};
}

nlohmann::ordered_json CertificateJson(const Certificate& c) {
  const auto spread = [](const std::optional<at::Tensor>& t) {
    return t ? SpreadJson(SpreadOf(*t)) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json json = {
      {"objective", spread(c.objective)}, {"residual", spread(c.residual)}, {"gap", spread(c.gap)}};
  json["violations"] = nlohmann::ordered_json::object();
  for (const auto& [name, v] : c.violations) json["violations"][name] = SpreadJson(SpreadOf(v));
  return json;
}

std::string CertificateText(const Certificate& c) {
  std::string text = fmt::format("  {:<24}{:>12}{:>12}{:>12}{:>12}\n", "certificate", "mean", "median", "95 %", "max");
  const auto add = [&](const std::string& name, const at::Tensor& t) {
    const Spread s = SpreadOf(t);
    text += fmt::format("  {:<24}{:>12}{:>12}{:>12}{:>12}\n", name, NumberText(s.mean), NumberText(s.median),
                        NumberText(s.p95), NumberText(s.max));
  };
  if (c.objective) add("objective", *c.objective);
  if (c.residual) add("residual", *c.residual);
  if (c.gap) add("gap, at most", *c.gap);
  for (const auto& [name, v] : c.violations) add("violation " + name, v);
  return c.objective || c.residual || !c.violations.empty() ? text : "";
}

std::string TimeText(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  if (seconds < 1e-6) return fmt::format("{:.0f} ns", seconds * 1e9);
  if (seconds < 1e-3) return fmt::format("{:.3g} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1e3);
  return fmt::format("{:.3g} s", seconds);
}

std::string NumberText(double value) {
  if (std::isnan(value)) return "-";
  return fmt::format("{:.5g}", value);
}

}  // namespace amo::runtime::cli
