// SPDX-License-Identifier: Apache-2.0
// Embedding amo: loads meta_ot_small.amo, trains its model on MNIST, and counts Sinkhorn iterations from the prediction
// and from zeros on held-out pairs.
//   meta_ot_small FOLDER [STEPS]      FOLDER holds the four MNIST files; tools/fetch_data.py mnist prints it
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include "compiler/kernel.h"
#include "lang/problem.h"
#include "runtime/kernel_function.h"
#include "runtime/read_array.h"
#include "runtime/train.h"

namespace {

using amo::runtime::Values;

// The images of both files, one row each; the second file's rows are held out.
amo::runtime::Result<amo::runtime::Table> Digits(const std::string& folder) {
  std::vector<at::Tensor> parts;
  for (const char* name : {"/train-images-idx3-ubyte", "/t10k-images-idx3-ubyte"}) {
    auto arrays = amo::runtime::ReadArrays(folder + name);
    if (!arrays.ok()) return arrays.error();
    amo::runtime::Array& a = (*arrays)[0];
    parts.push_back(at::from_blob(a.data.data(), {a.shape[0], 784}, at::TensorOptions(at::kByte)).clone());
  }
  return amo::runtime::Table{{{"image", at::cat(parts, 0)}}, parts[0].size(0)};
}

// The L1 error of the first marginal after each of `steps` Sinkhorn iterations: [steps + 1, B].
std::vector<at::Tensor> Errors(const amo::runtime::Problem& p, const amo::compiler::Kernel& update, Values v, int steps) {
  const amo::compiler::Function& f = *p.program.update;
  std::vector<at::Tensor> errors;
  for (int k = 0; k <= steps; ++k) {
    std::vector<at::Tensor> inputs;
    for (const amo::compiler::Input& in : f.inputs) {
      const auto it = v.find(in.name);
      inputs.push_back(it != v.end() ? it->second : p.shared.at(in.name));
    }
    const at::Tensor next = amo::runtime::RunKernel(update, f, inputs)[0];
    // One update turns f into eps log a - row, so the marginal exp((f + row) / eps) is a exp((f - next) / eps).
    errors.push_back((v.at("a") * ((v.at("f") - next) / 0.01).exp() - v.at("a")).abs().sum(1));
    v["f"] = next;
  }
  return errors;
}

double MeanIterations(const std::vector<at::Tensor>& errors) {
  at::Tensor count = at::zeros({errors[0].size(0)}, at::kDouble);
  for (const at::Tensor& e : errors) count += e.gt(1e-2).to(at::kDouble);
  return count.mean().item<double>();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: meta_ot_small MNIST_FOLDER [STEPS]\n"), 2;
  const amo::compiler::Tables kinds = {{"mnist", {{"image", {amo::compiler::Elem::kReal, {784}}}}}};
  amo::lang::Diagnostics diagnostics;
  const amo::lang::Program source = amo::lang::Load("examples/meta_ot_small/meta_ot_small.amo", diagnostics);
  const amo::lang::Problem chosen = amo::lang::Choose(source, {}, diagnostics);
  amo::compiler::Program program = amo::compiler::Build(source, chosen, kinds, diagnostics);
  if (diagnostics.has_errors()) {
    for (const amo::lang::Diagnostic& d : diagnostics.Sorted()) std::fprintf(stderr, "%s\n", d.message.c_str());
    return 1;
  }
  auto digits = Digits(argv[1]);
  if (!digits.ok()) return std::fprintf(stderr, "%s\n", digits.message().c_str()), 3;
  auto problem = amo::runtime::OpenProblem(std::move(program), {{"mnist", std::move(*digits)}}, at::kDouble, 1);
  if (!problem.ok()) return std::fprintf(stderr, "%s\n", problem.message().c_str()), 3;

  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  const std::int64_t steps = argc > 2 ? std::atoll(argv[2]) : 10000;
  if (steps < 1) return std::fprintf(stderr, "STEPS is `%s`, not a whole number of at least 1\n", argv[2]), 2;
  const amo::runtime::TrainSummary t = amo::runtime::Train(
      *problem, {.steps = steps, .batch = 128, .rate = 1e-3, .clip = 1, .seed = 1, .check_every = steps > 1000 ? 500 : 50,
                 .progress = [&](const amo::runtime::TrainProgress& q) {
                   std::printf("step %6lld of %lld  validation %.6f  %.0f s\n", static_cast<long long>(q.step),
                               static_cast<long long>(q.steps), q.validation, seconds());
                   std::fflush(stdout);
                 }});
  std::printf("trained in %.1f s: %s\n", seconds(), t.status == amo::runtime::TrainStatus::kDone ? "done" : t.message.c_str());

  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(77);
  Values pairs = amo::runtime::Sample(*problem, 1000, amo::runtime::Split::kTest, g);
  const amo::compiler::Kernel update = amo::compiler::Compile(*problem->program.update, {});
  Values from_zeros = pairs, predicted = pairs;
  from_zeros["f"] = at::zeros({1000, 196}, at::kDouble);
  Values all = pairs;
  all.insert(t.weights.begin(), t.weights.end());
  predicted["f"] = amo::runtime::Predict(*problem, all).at("f").detach();
  const auto cold = Errors(*problem, update, from_zeros, 200), warm = Errors(*problem, update, predicted, 200);
  std::printf("error after one iteration   prediction %.4f   zeros %.4f\n", warm[1].mean().item<double>(), cold[1].mean().item<double>());
  std::printf("iterations to 1e-2          prediction %.2f   zeros %.2f\n", MeanIterations(warm), MeanIterations(cold));
}
