// SPDX-License-Identifier: Apache-2.0
// The table of kernels, and their inputs.
#include "bench/rows.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "compiler/derive.h"
#include "compiler/simplify.h"
#include "runtime/open.h"

namespace amo::bench {
namespace {

// Of the variables, in the file of inputs.
constexpr std::int64_t kPoolEntries = 1 << 21, kPool = 1024;

// A quadratic form's gradient is one product with (A + A') / 2, which is shared: 2 n^2 + 4 n with value and linear
// term.
const std::vector<Row> kRows = {
    {"quad16", "quad16", "", false, 2 * 16 * 16 + 4 * 16},
    {"quad64", "quad64", "", false, 2 * 64 * 64 + 4 * 64},
    {"lse32", "lse32"},
    {"rosen10", "rosen10"},
    {"trig16", "trig16"},
    {"sphere", "sphere"},
    {"cartpole20", "cartpole20"},
    {"lasso50x100", "lasso50x100"},
    {"portfolio50", "portfolio50"},
    {"ot196", "ot196", "", false, 0, 0.1},
    {"potts", "potts"},
    {"chain200", "chain"},
    {"chain1000", "chain", "n=1000"},
    {"chain10000", "chain", "n=10000"},
    {"quad16.hvp", "quad16", "", true},
    {"quad64.hvp", "quad64", "", true},
    {"rosen10.hvp", "rosen10", "", true},
    {"cartpole20.hvp", "cartpole20", "", true},
};

}  // namespace

const std::vector<Row>& Rows() { return kRows; }

void Fail(const std::string& what) {
  std::fprintf(stderr, "kernels: %s\n", what.c_str());
  std::exit(1);
}

runtime::Problem OpenRow(const std::string& folder, const Row& row) {
  runtime::ProgramChoice choice;
  choice.file = folder + "/" + row.program + ".amo";
  if (*row.set) choice.sets = {row.set};
  runtime::Opened opened;
  if (runtime::Open(choice, runtime::Stage::kBuild, opened) != runtime::OpenStatus::kOk) {
    Fail(choice.file + " does not build: " + opened.error);
  }
  auto problem = runtime::OpenProblem(std::move(opened.built), std::map<std::string, runtime::Table>{}, at::kDouble, 1);
  if (!problem.ok()) Fail(choice.file + ": " + problem.error().message);
  return std::move(*problem);
}

compiler::Function Derive(const Row& row, const compiler::Function& f, const std::vector<int>& wrt) {
  if (!row.product) return compiler::Simplify(compiler::Gradient(f, wrt));
  compiler::Function product = compiler::HessianVector(f, wrt);
  std::erase_if(product.outputs, [](const compiler::Output& o) { return !o.name.starts_with("h/"); });
  return compiler::Simplify(product);
}

Values Pool(const Row& row, const runtime::Problem& problem) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(2);
  const std::int64_t pool = std::clamp<std::int64_t>(kPoolEntries / problem.VariableSize(), 1, kPool);
  Values v = runtime::Sample(problem, pool, runtime::Split::kTrain, g);
  v.insert(problem.shared.begin(), problem.shared.end());
  const auto& manifolds = problem.program.manifolds;
  for (const compiler::Named& variable : problem.program.variables) {
    std::vector<std::int64_t> sizes = variable.type.shape;
    sizes.insert(sizes.begin(), pool);
    at::Tensor y = at::randn(sizes, g, at::TensorOptions(at::kDouble)) * row.scale;
    if (std::count(manifolds.begin(), manifolds.end(), variable.name)) {
      y = y / at::linalg_vector_norm(y, 2, at::IntArrayRef{-1}, true);
    }
    v[variable.name] = y;
    v["tangent/" + variable.name] = at::randn(sizes, g, at::TensorOptions(at::kDouble));
  }
  return v;
}

std::vector<at::Tensor> Inputs(const compiler::Function& f, const Values& pool, std::int64_t batch, int precision) {
  std::vector<at::Tensor> inputs;
  for (const compiler::Input& in : f.inputs) {
    at::Tensor t = pool.at(in.name);
    if (in.role == compiler::Role::kInstance) {
      std::vector<std::int64_t> times(static_cast<std::size_t>(t.dim()), 1);
      times[0] = (batch + t.size(0) - 1) / t.size(0);
      t = t.repeat(times).narrow(0, 0, batch);
    }
    if (t.scalar_type() == at::kDouble && precision == 32) t = t.to(at::kFloat);
    inputs.push_back(t.contiguous());
  }
  return inputs;
}

}  // namespace amo::bench
