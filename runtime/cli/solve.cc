// SPDX-License-Identifier: Apache-2.0
// `amo solve`: the reference solver of a program on given or drawn contexts.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

#include "runtime/cli/command.h"
#include "runtime/cli/exit_code.h"
#include "runtime/cli/faults.h"
#include "runtime/cli/progress.h"
#include "runtime/cli/run_options.h"
#include "runtime/cli/terminal.h"
#include "runtime/infeasible.h"
#include "runtime/reference.h"
#include "runtime/sensitivity.h"
#include "runtime/tensor_array.h"

namespace amo::runtime::cli {
namespace {

constexpr std::size_t kMostReasons = 1000;

// The first hidden value that solving reads and the contexts do not give; "" when there is none.
std::string MissingHidden(const Problem& problem, const Values& values) {
  const compiler::Program& p = problem.program;
  for (const auto* function : {&p.objective, &p.solve.predict, &p.update, &p.project}) {
    if (!*function) continue;
    for (const compiler::Input& in : (*function)->inputs) {
      const auto is = [&](const compiler::Named& h) { return h.name == in.name; };
      if (std::any_of(p.hidden.begin(), p.hidden.end(), is) && !values.count(in.name)) return in.name;
    }
  }
  return "";
}

// The first thing that solving reads and training learns; "" when there is none.
std::string LearnedName(const Problem& problem) {
  const compiler::Program& p = problem.program;
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(0);
  const Values learned = InitialLearned(problem, g);
  for (const auto* function : {&p.objective, &p.lagrangian, &p.solve.predict, &p.update, &p.project}) {
    if (!*function) continue;
    for (const compiler::Input& in : (*function)->inputs) {
      if (in.name != "trained" && learned.count(in.name)) return in.name;
    }
  }
  return "";
}

// What is solved: a program's problem, or a trained model's with what it learned.
struct Solved {
  std::shared_ptr<Opened> opened = std::make_shared<Opened>();
  std::optional<Problem> problem;
  Values learned;
};

bool IsModel(const ProgramChoice& choice) { return choice.file.ends_with(".amoz"); }

// kOk; else everything has been said.
int OpenSolved(const ProgramChoice& choice, const RunChoice& run, bool draws, Solved& solved) {
  at::Generator start = at::make_generator<at::CPUGeneratorImpl>(0);
  if (!IsModel(choice)) {
    if (const int code = OpenProblemFile(choice, run, *solved.opened, solved.problem); code != kOk) return code;
    if (const std::string name = LearnedName(*solved.problem); !name.empty()) {
      return Fail(run,
                  fmt::format("solving reads `{}`, which training learns: train first, and solve the model "
                              "(`amo train {} -o model.amoz`, `amo solve model.amoz`)",
                              name, choice.file),
                  kProgramErrors);
    }
    solved.learned = InitialLearned(*solved.problem, start);
    return kOk;
  }
  Result<Model> model = LoadModel(choice.file);
  if (!model.ok()) return Fail(run, model.message(), kFiles);
  if (draws) {
    const Result<Done> tables = ReadModelTables(*model, choice.file, "");
    if (!tables.ok()) return Fail(run, tables.message(), kFiles);
  }
  solved.opened = model->opened;
  solved.problem = std::move(model->problem);
  solved.learned = std::move(model->learned);
  return kOk;
}

// The derivatives of answers as arrays `d_VARIABLE_d_CONTEXT`, [B, ...] with the variable's axes first, and what can be
// trusted of them.
std::vector<Array> DerivativeArrays(const Problem& problem, const Sensitivity& s, std::int64_t batch) {
  std::vector<Array> arrays;
  for (const compiler::Named& c : problem.program.contexts) {
    const auto it = s.derivatives.find(c.name);
    if (it == s.derivatives.end()) continue;
    std::int64_t from = 0;
    for (const compiler::Named& v : problem.program.variables) {
      const std::int64_t count = compiler::Count(v.type.shape);
      std::vector<std::int64_t> sizes{batch};
      sizes.insert(sizes.end(), v.type.shape.begin(), v.type.shape.end());
      sizes.insert(sizes.end(), c.type.shape.begin(), c.type.shape.end());
      arrays.push_back(
          ToArray(fmt::format("d_{}_d_{}", v.name, c.name), it->second.narrow(1, from, count).reshape(sizes)));
      from += count;
    }
  }
  std::vector<std::int64_t> trust;
  for (const DerivativeTrust t : s.trust) trust.push_back(static_cast<std::int64_t>(t));
  arrays.push_back(ToArray("derivative_trust", at::tensor(trust, at::TensorOptions(at::kLong))));
  arrays.push_back(ToArray("derivative_margin", s.margin));
  arrays.push_back(ToArray("derivative_independence", s.independence));
  arrays.push_back(ToArray("derivative_curvature", s.curvature));
  return arrays;
}

std::map<std::string, std::int64_t> CountTrust(const Sensitivity& s) {
  std::map<std::string, std::int64_t> counts;
  for (const DerivativeTrust t : s.trust) ++counts[std::string(NameOf(t))];
  return counts;
}

}  // namespace

int RunSolve(const Arguments& arguments) {
  ProgramChoice program;
  RunChoice run;
  std::string contexts, out;
  std::int64_t instances = 100, seed = 1;
  std::optional<double> tolerance;
  bool derivatives = false;
  const auto app =
      MakeCommandLine("solve", "Solves instances of a program, or of a trained model, with its reference solver.",
                      "amo solve portfolio.amo --context days.npz -o weights.npz");
  AddProgramOptions(*app, program);
  const auto context =
      app->add_option("--context", contexts, "a file with the contexts, [B, ...] each; else they are drawn")
          ->type_name("PATH");
  app->add_option("-n,--instances", instances, "how many are drawn; else 100")->type_name("N")->excludes(context);
  app->add_option("--seed", seed, "of the draws; else 1")->type_name("N");
  app->add_option("--tolerance", tolerance, "over the method's own")->type_name("NUMBER");
  app->add_option("-o,--output", out, "where the answers go: .npz .safetensors .csv .npy")->type_name("PATH");
  app->add_flag("--derivatives", derivatives, "how answers move with the contexts, and which of that can be trusted");
  AddRunOptions(*app, run);
  if (const auto code = ReadCommandLine(*app, arguments)) return *code;
  if (const auto code = ApplyRunOptions(*app, run)) return *code;
  if (instances < 1 || instances > kMostInstances) return WrongUse(*app, "`--instances` lies between 1 and 10^9");
  if (tolerance && !(*tolerance > 0)) return WrongUse(*app, "`--tolerance` is above 0");

  if (IsModel(program) && (!program.problem.empty() || !program.variant.empty() || !program.sets.empty())) {
    return WrongUse(
        *app, "a model's problem is chosen when it is trained: `--problem`, `--variant` and `--set` go to `amo train`");
  }

  Solved solved;
  if (const int code = OpenSolved(program, run, contexts.empty(), solved); code != kOk) return code;
  std::optional<Problem>& problem = solved.problem;
  if (!CanSolve(*problem)) {
    return Fail(run, "there is nothing to solve: the program has no objective of a variable, and no equation",
                kProgramErrors);
  }
  if (const std::string why = derivatives ? NoSensitivity(*problem) : ""; !why.empty())
    return Fail(run, "there are no derivatives of the solutions: " + why, kProgramErrors);
  if (derivatives && !out.empty() && !out.ends_with(".npz") && !out.ends_with(".safetensors"))
    return Fail(run, fmt::format("cannot write `{}`: derivatives go to a .npz or .safetensors file", out), kFiles);
  std::vector<std::string> read = IsModel(program) ? std::vector{program.file} : FilesOf(program, *solved.opened);
  read.push_back(contexts);
  // Drawn contexts go beside the answers: `predict --context` takes the file as it is.
  std::vector<std::string> more = {"status", "iterations"};
  for (const auto* list : {&problem->program.contexts, &problem->program.hidden}) {
    for (const compiler::Named& n : *list) if (contexts.empty()) more.push_back(n.name);
  }
  const std::size_t drawn = more.size();
  if (derivatives) {
    for (const compiler::Named& c : problem->program.contexts)
      for (const compiler::Named& v : problem->program.variables)
        if (c.type.elem == compiler::Elem::kReal) more.push_back(fmt::format("d_{}_d_{}", v.name, c.name));
    for (const char* name : {"trust", "margin", "independence", "curvature"})
      more.push_back(fmt::format("derivative_{}", name));
  }
  const Result<AnswerFile> file = AnswerFile::Reserve(out, *problem, read, more);
  if (!file.ok()) return Fail(run, file.message(), kFiles);
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(seed));
  Values values;
  if (contexts.empty()) {
    values = Sample(*problem, instances, Split::kTest, g);
  } else {
    Result<Values> given = ReadContextFile(*problem, contexts, instances);
    if (!given.ok()) return Fail(run, given.message(), kFiles);
    values = std::move(*given);
    if (const std::string hidden = MissingHidden(*problem, values); !hidden.empty()) {
      return Fail(run,
                  fmt::format("file `{}`: the hidden value `{}`, which solving needs, is missing", contexts, hidden),
                  kFiles);
    }
  }
  values.merge(DrawRandoms(*problem, instances, g));
  values.merge(solved.learned);

  Progress bar("solving", run.json);
  ReferenceOptions options;
  options.tolerance = tolerance.value_or(0);
  options.progress = [&](std::int64_t done) { bar.Show(done, instances, ""); };
  const auto begun = std::chrono::steady_clock::now();
  const ReferenceSummary s = SolveReference(*problem, values, instances, options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  bar.Finish();

  Values all = values;
  for (const auto& [name, t] : s.variables) all[name] = t;
  const Certificate certificate = Certify(*problem, all, instances);
  std::vector<std::int64_t> not_finite = NotFiniteInstances(*problem, s.variables, certificate, instances);
  // Without a feasible point, or without an end, there is nothing that could be finite.
  std::erase_if(not_finite, [&](std::int64_t i) {
    const SolveStatus status = s.status[static_cast<std::size_t>(i)];
    return status == SolveStatus::kInfeasible || status == SolveStatus::kUnbounded;
  });
  const lang::Sources& sources = solved.opened->program.sources;
  const std::vector<NotFinite> faults =
      FaultsOf(not_finite, run.json ? kMostReasons : 5, [&](std::int64_t i) { return FaultAt(*problem, all, i); });
  std::map<std::string, std::int64_t> counts;
  std::vector<std::int64_t> codes;
  for (SolveStatus status : s.status) {
    ++counts[std::string(NameOf(status))];
    codes.push_back(static_cast<std::int64_t>(status));
  }
  const std::vector<double> iterations(s.iterations.begin(), s.iterations.end());
  const Spread steps = SpreadOf(at::tensor(iterations, at::TensorOptions(at::kDouble)));
  std::vector<Array> beside = {ToArray("status", at::tensor(codes, at::TensorOptions(at::kLong))),
                               ToArray("iterations", at::tensor(s.iterations, at::TensorOptions(at::kLong)))};
  const std::optional<Sensitivity> sensitivity =
      derivatives ? std::optional(SensitivityOf(*problem, all, instances)) : std::nullopt;
  if (sensitivity) for (Array& a : DerivativeArrays(*problem, *sensitivity, instances)) beside.push_back(std::move(a));
  for (std::size_t k = 2; k < drawn; ++k) beside.push_back(ToArray(more[k], values.at(more[k])));
  const Result<Done> written = file->Write(s.variables, certificate, std::move(beside));
  if (!written.ok()) return Fail(run, written.message(), kFiles);
  if (run.json) {
    nlohmann::ordered_json json = FrontJson(program, *solved.opened, kOk);
    json["instances"] = instances, json["solver"] = ReferenceName(*problem), json["seconds"] = seconds;
    json["status"] = counts;
    json["iterations"] = SpreadJson(steps);
    json["certificate"] = CertificateJson(certificate);
    json["reasons"] = nlohmann::ordered_json::array();
    for (const Reason& r : ReasonsOf(*problem, values, instances, s, kMostReasons))
      json["reasons"].push_back({{"instance", r.instance}, {"unbounded", r.unbounded}, {"parts", r.parts}});
    if (sensitivity) {
      json["derivatives"] = CountTrust(*sensitivity);
      json["derivative_margin"] = SpreadJson(SpreadOf(sensitivity->margin));
    }
    json["not_finite"] = not_finite.size();
    json["faults"] = FaultsJson(faults, sources);
    json["output"] = out;
    Print(ToText(json));
    return kOk;
  }
  std::string text = fmt::format("{} instances by {}, {}\n", instances, ReferenceName(*problem), TimeText(seconds));
  for (const auto& [name, count] : counts) text += fmt::format("  {:<24}{:>12}\n", name, count);
  text += fmt::format("  {:<24}{:>12}  (median {}, max {})\n", "iterations", NumberText(steps.mean),
                      NumberText(steps.median), NumberText(steps.max));
  text += CertificateText(certificate);
  if (sensitivity)
    for (const auto& [name, count] : CountTrust(*sensitivity))
      text += fmt::format("  {:<24}{:>12}\n", "derivatives " + name, count);
  for (const Reason& r : ReasonsOf(*problem, values, instances, s, 5)) text += "  " + ToText(r) + "\n";
  text += FaultsText(not_finite.size(), faults, sources);
  if (!out.empty()) text += fmt::format("{}: written\n", out);
  Print(text);
  return kOk;
}

}  // namespace amo::runtime::cli
