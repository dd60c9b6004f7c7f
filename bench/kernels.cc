// SPDX-License-Identifier: Apache-2.0
// Value and gradient (and Hessian-vector products) of small objectives: compile times, and ns per instance of our
// kernels beside LibTorch eager with autograd. Same inputs; agreement is checked before anything is timed.
// `kernels --help`
//   lanes  the kernel for many instances, called by its pointer, outputs already there     one    that for one instance
//   call   runtime::TensorKernel: allocates its outputs, uses --threads                       eager  LibTorch
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>
#include <unistd.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "bench/eager.h"
#include "bench/measure.h"
#include "bench/rows.h"
#include "compiler/derive.h"
#include "compiler/kernel.h"
#include "compiler/simplify.h"
#include "runtime/tensor_kernel.h"
#include "runtime/open.h"
#include "runtime/parallel.h"
#include "runtime/problem.h"
#include "runtime/tensor_array.h"
#include "runtime/write_array.h"

namespace {

using amo::bench::Derive;
using amo::bench::Fail;
using amo::bench::Inputs;
using amo::bench::Measure;
using amo::bench::Row;
using amo::bench::Times;
using amo::bench::Values;
using amo::compiler::Function;
using amo::compiler::Kernel;
using nlohmann::ordered_json;

struct Options {
  std::vector<std::string> kernels;
  std::vector<std::int64_t> batches{1, 64, 1024, 16384};
  int precision = 64, threads = 1;
  double seconds = 0.3;
  std::string json, inputs, programs = "bench/programs";
  bool chain = false;
};

// At most so many entries of the variables in one batch.
constexpr std::int64_t kMostEntries = 1 << 25;

double Milliseconds(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// Milliseconds of the processor from text to kernel for chain.amo with another n.
double ChainCompile(const Options& options, const char* n) {
  double least = INFINITY;
  for (int k = 0; k < 5; ++k) {
    amo::runtime::ProgramChoice choice;
    choice.file = options.programs + "/chain.amo";
    choice.sets = {std::string("n=") + n};
    const std::clock_t start = std::clock();
    amo::runtime::Opened opened;
    if (amo::runtime::Open(choice, amo::runtime::Stage::kBuild, opened) != amo::runtime::OpenStatus::kOk) return NAN;
    const Function& f = *opened.built.objective;
    amo::compiler::Compile(amo::compiler::Simplify(amo::compiler::Gradient(f, {f.FindInput("y")})), {});
    least = std::min(least, 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return least;
}

// A kernel's call by its pointer, on one thread, prepared for its data and with outputs that are there already.
class Direct {
 public:
  Direct(const Kernel& kernel, const Function& f, const std::vector<at::Tensor>& inputs, std::int64_t batch)
      : kernel_(kernel),
        batch_(batch),
        shared_(Allocate(kernel.shared_bytes)),
        scratch_(Allocate(kernel.scratch_bytes)) {
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      const bool instance = f.inputs[k].role == amo::compiler::Role::kInstance;
      in_.push_back({inputs[k].data_ptr(), instance ? inputs[k].stride(0) : 0});
    }
    for (const amo::compiler::Output& o : f.outputs) {
      std::vector<std::int64_t> sizes = f.type(o.value).shape;
      sizes.insert(sizes.begin(), batch);
      const auto real = kernel.precision == amo::compiler::Precision::kF64 ? at::kDouble : at::kFloat;
      outputs.push_back(at::empty(sizes, at::TensorOptions(real)));
      out_.push_back({outputs.back().data_ptr(), amo::compiler::Count(f.type(o.value).shape)});
    }
    kernel_.prepare(in_.data(), shared_);
  }
  ~Direct() { std::free(shared_), std::free(scratch_); }
  Direct(const Direct&) = delete;
  Direct& operator=(const Direct&) = delete;
  void operator()() const { kernel_.run(in_.data(), out_.data(), 0, batch_, shared_, scratch_); }

  std::vector<at::Tensor> outputs;

 private:
  static void* Allocate(std::size_t bytes) { return std::aligned_alloc(64, (bytes + 64) / 64 * 64); }

  const Kernel& kernel_;
  std::int64_t batch_;
  std::vector<amo::compiler::Argument> in_, out_;
  void *shared_, *scratch_;
};

void Agree(const std::string& what, const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b, int precision) {
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double off = ((a[k] - b[k]).abs() / (1 + b[k].abs())).max().item<double>();
    if (!(off < (precision == 64 ? 1e-9 : 1e-4))) Fail(fmt::format("{}: results differ by {:g}", what, off));
  }
}

void Note(ordered_json& times, const char* column, const Times& t) {
  times[column] = {t.least, t.median};
  std::printf("  %s %.1f", column, t.median);
}

ordered_json RunRow(const Options& options, const Row& row) {
  const amo::runtime::Problem problem = amo::bench::OpenRow(options.programs, row);
  const Function& f = *problem.program.objective;
  std::vector<int> wrt;
  std::vector<std::string> variables;
  for (const amo::compiler::Named& v : problem.program.variables) {
    if (f.FindInput(v.name) >= 0) wrt.push_back(f.FindInput(v.name)), variables.push_back(v.name);
  }
  const auto precision = options.precision == 64 ? amo::compiler::Precision::kF64 : amo::compiler::Precision::kF32;
  const std::string cache = std::filesystem::temp_directory_path() / ("amo-bench-" + std::to_string(getpid()));
  const auto start = std::chrono::steady_clock::now();
  const Function derived = Derive(row, f, wrt);
  const double derive_ms = Milliseconds(start);
  // First without the disk cache, then twice with a new one: the second finds what the first left.
  const auto compile = [&](int lanes, const std::string& folder) {
    return amo::compiler::Compile(derived, {.precision = precision, .lanes = lanes, .cache_folder = folder});
  };
  const std::clock_t cpu = std::clock();
  const Kernel lanes = compile(0, "");
  const double first_cpu_ms = 1e3 * static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
  const Kernel one = compile(1, "");
  compile(0, cache);
  const Kernel cached = compile(0, cache);
  if (!cached.from_cache) Fail("the disk cache in " + cache + " does not work");
  std::filesystem::remove_all(cache);

  const amo::runtime::TensorKernel tensors(derived, {.precision = precision, .lanes = 0, .cache_folder = ""});
  const Values pool = amo::bench::Pool(row, problem);
  const std::int64_t n = problem.VariableSize(), instances = pool.at(variables[0]).size(0);
  if (!options.inputs.empty()) {  // what the peers read
    const std::vector<at::Tensor> inputs = Inputs(derived, pool, instances, options.precision);
    const std::vector<at::Tensor> outputs = tensors(inputs);
    std::vector<amo::runtime::Array> arrays;
    const auto keep = [&](const std::string& name, const at::Tensor& t) {
      arrays.push_back(amo::runtime::ToArray(name, t));
    };
    for (std::size_t k = 0; k < inputs.size(); ++k) keep(derived.inputs[k].name, inputs[k]);
    for (std::size_t k = 0; k < outputs.size(); ++k) keep("out/" + derived.outputs[k].name, outputs[k]);
    std::filesystem::create_directories(options.inputs);
    const auto done =
        amo::runtime::WriteArrays(fmt::format("{}/{}.{}.npz", options.inputs, row.name, options.precision), arrays);
    if (!done.ok()) Fail(done.error().message);
  }

  const double peak = options.precision == 64 ? amo::bench::PeakDouble() : amo::bench::PeakFloat();
  std::printf("%s, f%d: derive %.2f ms, first compile %.2f ms, cached %.2f ms; FMA peak %.0f Gflop/s\n", row.name,
              options.precision, derive_ms, lanes.compile_ms, cached.compile_ms, peak);
  ordered_json result{{"kernel", row.name}, {"precision", options.precision}, {"threads", options.threads},
                      {"derive_ms", derive_ms}, {"first_ms", lanes.compile_ms}, {"first_cpu_ms", first_cpu_ms},
                      {"cached_ms", cached.compile_ms}, {"lanes", lanes.lanes}, {"scratch_bytes", lanes.scratch_bytes},
                      {"flop", row.flop}, {"peak_gflops", peak}};
  std::int64_t entries = 0;  // of an instance, in and out
  for (const auto& in : derived.inputs) {
    if (in.role == amo::compiler::Role::kInstance) entries += amo::compiler::Count(in.type.shape);
  }
  for (const auto& out : derived.outputs) entries += amo::compiler::Count(derived.type(out.value).shape);
  result["bytes"] = entries * options.precision / 8;
  result["batch"] = ordered_json::object();

  for (const std::int64_t batch : options.batches) {
    if (batch * n > kMostEntries) continue;
    const std::vector<at::Tensor> inputs = Inputs(derived, pool, batch, options.precision);
    const double count = static_cast<double>(batch);
    ordered_json times;
    std::printf("  %6lld", static_cast<long long>(batch));
    {
      const Direct many(lanes, derived, inputs, batch), single(one, derived, inputs, batch);
      many(), single();
      Agree(std::string(row.name) + ", one and lanes", single.outputs, many.outputs, options.precision);
      if (options.threads == 1) Note(times, "lanes", Measure(std::ref(many), count, options.seconds));
      if (options.threads == 1) Note(times, "one", Measure(std::ref(single), count, options.seconds));
    }
    Note(times, "call", Measure([&] { tensors(inputs); }, count, options.seconds));
    const amo::bench::Eager* eager = row.product ? nullptr : amo::bench::FindEager(row.name);
    if (eager && batch <= eager->most) {
      Values v;
      for (std::size_t k = 0; k < inputs.size(); ++k) v[derived.inputs[k].name] = inputs[k];
      std::vector<at::Tensor> leaves;
      for (const std::string& name : variables) leaves.push_back(v[name] = v[name].detach().set_requires_grad(true));
      const auto run = [&] {
        const at::Tensor value = eager->value(v);
        std::vector<at::Tensor> outputs = torch::autograd::grad({value.sum()}, leaves);
        outputs.insert(outputs.begin(), value.detach());
        return outputs;
      };
      const std::vector<at::Tensor> ours = tensors(inputs);
      Agree(std::string(row.name) + ", ours and eager", ours, run(), options.precision);
      Note(times, "eager", Measure([&] { run(); }, count, options.seconds));
    }
    std::printf("\n");
    result["batch"][std::to_string(batch)] = times;
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Times of compiled kernels, ns per instance (medians; minima are in the JSON).");
  app.add_option("--kernel", options.kernels, "which; else all");
  app.add_option("--batch", options.batches, "else 1 64 1024 16384");
  app.add_option("--precision", options.precision, "32 or 64")->check(CLI::IsMember({32, 64}));
  app.add_option("--threads", options.threads, "of `call` and eager; `lanes` and `one` only with 1")
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds", options.seconds, "spent on each figure");
  app.add_option("--json", options.json, "writes all figures to this file");
  app.add_option("--inputs", options.inputs, "writes inputs and our outputs to NAME.PRECISION.npz in this folder");
  app.add_option("--programs", options.programs, "the folder of the .amo files");
  app.add_flag("--chain", options.chain, "compile times of a chain of n terms, and nothing else");
  CLI11_PARSE(app, argc, argv);
  amo::runtime::SetThreads(options.threads);
  ordered_json results = ordered_json::array();
  if (options.chain) {
    // Loops stay rolled: a chain of any length takes the same time to compile.
    std::printf("first compile of value and gradient, a chain of n terms; least of 5\n");
    for (const char* n : {"200", "1000", "10000"}) {
      const double ms = ChainCompile(options, n);
      std::printf("  n = %-8s %8.1f ms\n", n, ms);
      results.push_back({{"n", n}, {"ms", ms}});
    }
  } else {
    for (const Row& row : amo::bench::Rows()) {
      const std::vector<std::string>& wanted = options.kernels;
      if (wanted.empty() || std::count(wanted.begin(), wanted.end(), row.name)) results.push_back(RunRow(options, row));
    }
  }
  if (!options.json.empty() && !(std::ofstream(options.json) << results.dump(1) << "\n")) {
    Fail("cannot write " + options.json);
  }
}
