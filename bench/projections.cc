// SPDX-License-Identifier: Apache-2.0
// The compiled projections onto sets against the same formulas as LibTorch's operations, one core, 1,024 instances.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "compiler/build.h"
#include "lang/problem.h"
#include "runtime/parallel.h"
#include "runtime/problem.h"
#include "runtime/torch_execute.h"

using namespace amo;

namespace {

template <class Run>
double Median(const Run& run) {
  std::vector<double> times;
  const auto begun = std::chrono::steady_clock::now();
  const auto seconds = [](auto from) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  };
  run();
  while (times.size() < 5 || seconds(begun) < 0.3) {
    const auto start = std::chrono::steady_clock::now();
    run();
    times.push_back(seconds(start));
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace

int main() {
  const c10::NoGradGuard no_grad;
  runtime::SetThreads(1);
  constexpr std::int64_t kBatch = 1024;
  fmt::print("{:<36}{:>14}{:>14}{:>8}\n", "set of 64 numbers, 1,024 instances", "amo, us", "LibTorch, us", "ratio");
  const struct {
    const char *set, *type = "n";
    std::vector<std::int64_t> shape = {64};
  } kSets[] = {{"box(-0.3, 0.4)"},
               {"nonnegative"},
               {"simplex"},
               {"capped_simplex(8)"},
               {"bounded_simplex(0.01, 0.1, 1)"},
               {"ball(0.7)"},
               {"ball1(0.8)"},
               {"ballinf(0.2)"},
               {"sphere"},
               {"second_order_cone"},
               {"halfspace(a, 0.2)"},
               {"permutahedron"},
               {"exponential_cone", "3", {3}},
               {"psd", "8, 8", {8, 8}},
               {"stiefel", "8, 8", {8, 8}}};
  for (const auto& [set, type, shape] : kSets) {
    lang::Diagnostics diagnostics;
    const lang::Program source = lang::LoadText(
        "set.amo", fmt::format("amo 1\nproblem p\ndim n = 64\ndata a : real[{0}] ~ normal(0, 1)\n"
                               "variable y : real[{0}] in {1}\nminimize sum(a .* y)\n", type, set), diagnostics);
    compiler::Program program = compiler::Build(source, lang::Choose(source, {}, diagnostics), {}, diagnostics);
    const compiler::Function f = *program.project;
    const auto problem =
        runtime::OpenProblem(std::move(program), std::map<std::string, runtime::Table>{}, at::kDouble, 1);
    if (!problem.ok()) return 1;
    at::Generator g = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{1});
    std::vector<at::Tensor> inputs;
    runtime::Values values;
    std::vector<std::int64_t> sizes = shape;
    sizes.insert(sizes.begin(), kBatch);
    for (const compiler::Input& in : f.inputs) {
      inputs.push_back(in.role == compiler::Role::kShared ? problem->shared.at(in.name)
                                                          : at::randn(sizes, g, at::TensorOptions(at::kDouble)));
      values[in.name] = inputs.back();
    }
    // By its kernel; what has eigenvectors, in parts between LibTorch's.
    const auto run = [&] { return runtime::Evaluate(*problem, f, values).begin()->second; };
    const bool psd = std::string_view(set) == "psd", stiefel = std::string_view(set) == "stiefel";
    const auto torch = [&] {
      if (!psd && !stiefel) return runtime::TorchExecute(f, inputs)[0];
      const at::Tensor& y = inputs[0];  // by its own decompositions
      if (stiefel) {
        const auto [u, s, v] = at::linalg_svd(y, false);
        return at::matmul(u, v);
      }
      const auto [l, v] = at::linalg_eigh((y + y.transpose(1, 2)) / 2);
      return at::matmul(v * l.clamp_min(0).unsqueeze(1), v.transpose(1, 2));
    };
    const double ours = Median([&] { run(); }), eager = Median([&] { torch(); });
    const double apart = (run() - torch()).abs().max().item<double>();
    fmt::print("{:<36}{:>14.1f}{:>14.1f}{:>8.1f}{}\n", set, ours * 1e6, eager * 1e6, eager / ours,
               apart > 1e-12 ? fmt::format("  differs by {:.1e}", apart) : "");
  }
}
