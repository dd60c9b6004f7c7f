// SPDX-License-Identifier: Apache-2.0
// Value and gradient of small objectives: our compiled kernel beside LibTorch eager with autograd, written as an expert
// would write it. One thread, f64, same inputs; agreement to 1e-9 is checked before anything is timed.
//   kernels [BATCH]      default 1024; prints one row a kernel: ns per instance (minimum, median) and the ratio of medians
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>

#include <unistd.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include "compiler/derive.h"
#include "compiler/kernel.h"
#include "compiler/simplify.h"
#include "lang/problem.h"
#include "runtime/kernel_function.h"
#include "runtime/open.h"
#include "runtime/problem.h"

namespace {

using amo::runtime::Values;
using Eager = std::function<at::Tensor(const Values&, const at::Tensor& y)>;

struct Row {
  const char* name;
  Eager value;  // [B]
};

const Row kRows[] = {
    {"quad16", [](const Values& v, const at::Tensor& y) { return (y.matmul(v.at("A").t()) * y).sum(1) * 0.5 + (v.at("x") * y).sum(1); }},
    {"lse32", [](const Values& v, const at::Tensor& y) { return at::logsumexp(v.at("x") + y, {1}); }},
    {"rosen10", [](const Values& v, const at::Tensor& y) {
       const at::Tensor a = y.narrow(1, 0, 9), d = y.narrow(1, 1, 9) - a * a, e = 1 - a;
       return v.at("x") * (d * d).sum(1) + (e * e).sum(1);
     }},
    {"trig16", [](const Values& v, const at::Tensor& y) { return (y.sin() * (v.at("x") + y).cos()).sum(1); }},
};

struct Times {
  double least, median;
};

Times Measure(const std::function<void()>& run, double batch) {
  std::vector<double> ns;
  for (int i = 0; i < 20; ++i) run();
  for (int i = 0; i < 300; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    ns.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / batch);
  }
  std::sort(ns.begin(), ns.end());
  return {ns.front(), ns[ns.size() / 2]};
}

// Milliseconds of the processor from text to kernel for bench/programs/chain.amo with another n.
double ChainCompile(const char* n) {
  double least = INFINITY;
  for (int k = 0; k < 5; ++k) {
    amo::runtime::ProgramChoice choice;
    choice.file = "bench/programs/chain.amo";
    choice.sets = {std::string("n=") + n};
    const std::clock_t start = std::clock();
    amo::runtime::Opened opened;
    if (amo::runtime::Open(choice, amo::runtime::Stage::kBuild, opened) != amo::runtime::OpenStatus::kOk) return NAN;
    const amo::compiler::Function& f = *opened.built.objective;
    amo::compiler::Compile(amo::compiler::Simplify(amo::compiler::Gradient(f, {f.FindInput("y")})), {});
    least = std::min(least, 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return least;
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t batch = argc > 1 ? std::atoll(argv[1]) : 1024;
  const std::string cache = std::filesystem::temp_directory_path() / ("amo-bench-" + std::to_string(getpid()));
  at::set_num_threads(1);
  std::printf("batch %lld, f64, one thread; ns per instance, value and gradient\n", static_cast<long long>(batch));
  std::printf("%-8s %8s %8s %10s %10s %7s %12s %8s\n", "kernel", "amo min", "median", "eager min", "median", "ratio", "compile ms", "cached");
  for (const Row& row : kRows) {
    amo::lang::Diagnostics diagnostics;
    const amo::lang::Program source = amo::lang::Load("bench/programs/" + std::string(row.name) + ".amo", diagnostics);
    const amo::lang::Problem chosen = amo::lang::Choose(source, {}, diagnostics);
    auto problem = amo::runtime::OpenProblem(amo::compiler::Build(source, chosen, {}, diagnostics),
                                             std::map<std::string, amo::runtime::Table>{}, at::kDouble, 1);
    if (diagnostics.has_errors() || !problem.ok()) return std::fprintf(stderr, "%s does not build\n", row.name), 1;
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(2);
    Values v = amo::runtime::Sample(*problem, batch, amo::runtime::Split::kTrain, g);
    v.insert(problem->shared.begin(), problem->shared.end());
    const std::int64_t n = problem->VariableSize();
    at::Tensor y = at::randn({batch, n}, g, at::TensorOptions(at::kDouble)).set_requires_grad(true);
    v["y"] = y.detach();

    const amo::compiler::Function& f = *problem->program.objective;
    const amo::compiler::Function gradient = amo::compiler::Simplify(amo::compiler::Gradient(f, {f.FindInput("y")}));
    // Once without the disk cache, then twice with a fresh one: the second finds what the first left.
    const amo::compiler::Kernel kernel = amo::compiler::Compile(gradient, {});
    amo::compiler::Compile(gradient, {.cache_folder = cache});
    const amo::compiler::Kernel cached = amo::compiler::Compile(gradient, {.cache_folder = cache});
    if (!cached.from_cache) return std::fprintf(stderr, "%s: the disk cache in %s does not work\n", row.name, cache.c_str()), 1;
    std::vector<at::Tensor> inputs;
    for (const amo::compiler::Input& in : gradient.inputs) inputs.push_back(v.at(in.name).contiguous());
    const auto ours = [&] { return amo::runtime::RunKernel(kernel, gradient, inputs); };
    const auto eager = [&] {
      const at::Tensor value = row.value(v, y);
      return std::vector<at::Tensor>{value, torch::autograd::grad({value.sum()}, {y})[0]};
    };
    const auto a = ours(), b = eager();
    for (std::size_t k = 0; k < 2; ++k) {
      const double off = ((a[k] - b[k]).abs() / (1 + b[k].abs())).max().item<double>();
      if (!(off < 1e-9)) return std::fprintf(stderr, "%s: results differ by %g\n", row.name, off), 1;
    }
    const Times t = Measure([&] { ours(); }, static_cast<double>(batch)), e = Measure([&] { eager(); }, static_cast<double>(batch));
    std::printf("%-8s %8.1f %8.1f %10.1f %10.1f %6.1fx %12.1f %8.2f\n", row.name, t.least, t.median, e.least, e.median, e.median / t.median, kernel.compile_ms, cached.compile_ms);
  }
  std::filesystem::remove_all(cache);
  // Loops stay rolled: a chain of any length takes the same time to compile.
  std::printf("\nfirst compile of value and gradient, a chain of n terms; least of 5\n");
  for (const char* n : {"100", "10000"}) std::printf("  n = %-8s %8.1f ms\n", n, ChainCompile(n));
}
