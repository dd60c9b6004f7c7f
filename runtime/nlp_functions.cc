// SPDX-License-Identifier: Apache-2.0
// Kernels of flat functions, and their compressed derivatives put apart.
#include "runtime/nlp_functions.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include "compiler/check.h"
#include "runtime/parallel.h"
#include "runtime/tensor_kernel.h"
#include "runtime/torch_execute.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {

struct NlpState {
  std::once_flag once;
  compiler::Nlp nlp;
  std::optional<TensorKernel> gradient, jacobian, hessian;
  at::Tensor jacobian_colours, hessian_colours;
};

namespace {

std::optional<TensorKernel> KernelOf(const compiler::Function& f, at::ScalarType dtype) {
  if (!compiler::Uncompilable(f).empty()) return std::nullopt;
  const auto precision = dtype == at::kDouble ? compiler::Precision::kF64 : compiler::Precision::kF32;
  return TensorKernel(f, {.precision = precision, .cache_folder = compiler::KernelCacheFolder()});
}

at::Tensor Whole(const std::vector<int>& v) {
  return at::tensor(std::vector<std::int64_t>(v.begin(), v.end()), at::TensorOptions(at::kLong));
}

// [B, entries], repeated along the batch where it does not vary.
Matrix ToMatrix(const at::Tensor& t, const compiler::Shape& shape, std::int64_t batch) {
  const at::Tensor c =
      AlongBatch(t, shape, batch).reshape({batch, compiler::Count(shape)}).to(at::kDouble).contiguous();
  return Eigen::Map<const Matrix>(c.const_data_ptr<double>(), c.size(0), c.size(1));
}

std::vector<at::Tensor> Run(const Problem& p, const compiler::Function& f, const std::optional<TensorKernel>& kernel,
                            const Values& values, const Values& more) {
  std::vector<at::Tensor> inputs;
  for (const compiler::Input& in : f.inputs) {
    const auto own = more.find(in.name);
    const auto given = values.find(in.name);
    inputs.push_back(own != more.end() ? own->second : given != values.end() ? given->second : p.shared.at(in.name));
  }
  return kernel ? (*kernel)(inputs) : TorchExecute(f, inputs);
}

}  // namespace

std::shared_ptr<NlpState> MakeNlpState() { return std::make_shared<NlpState>(); }

NlpFunctions::NlpFunctions(const Problem& problem) : problem_(problem), state_(*problem.nlp) {
  std::call_once(problem.nlp->once, [&] {
    NlpState& s = *problem.nlp;
    s.nlp = compiler::MakeNlp(problem.program);
    s.gradient = KernelOf(s.nlp.gradient, problem.dtype);
    s.hessian = KernelOf(s.nlp.hessian, problem.dtype);
    if (s.nlp.m > 0) s.jacobian = KernelOf(s.nlp.jacobian, problem.dtype);
    s.jacobian_colours = Whole(s.nlp.jacobian_colours), s.hessian_colours = Whole(s.nlp.hessian_colours);
  });
}

const compiler::Nlp& NlpFunctions::nlp() const { return state_.nlp; }

NlpFunctions::First NlpFunctions::AtPoints(const Values& values, const Matrix& y) const {
  const c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> out =
      Run(problem_, state_.nlp.gradient, state_.gradient, values, {{"flat", ToTensor(y, problem_.dtype)}});
  First first;
  first.objective = ToMatrix(out[0], {}, y.rows()).col(0);
  first.sides = ToMatrix(out[1], {state_.nlp.m}, y.rows());
  first.gradient = ToMatrix(out[2], {state_.nlp.n}, y.rows());
  return first;
}

Matrix NlpFunctions::Jacobians(const Values& values, const Matrix& y) const {
  const c10::NoGradGuard no_grad;
  if (state_.nlp.m == 0) return Matrix::Zero(y.rows(), 0);
  const compiler::Function& f = state_.nlp.jacobian;
  const std::vector<at::Tensor> out =
      Run(problem_, f, state_.jacobian, values,
          {{"flat", ToTensor(y, problem_.dtype)}, {"colour", state_.jacobian_colours}});
  return ToMatrix(out[0], f.type(f.outputs[0].value).shape, y.rows());
}

Matrix NlpFunctions::Hessians(const Values& values, const Matrix& y, const Matrix& dual) const {
  const c10::NoGradGuard no_grad;
  const compiler::Function& f = state_.nlp.hessian;
  const std::vector<at::Tensor> out =
      Run(problem_, f, state_.hessian, values,
          {{"flat", ToTensor(y, problem_.dtype)}, {"dual", ToTensor(dual, problem_.dtype)},
           {"colour", state_.hessian_colours}});
  return ToMatrix(out[0], f.type(f.outputs[0].value).shape, y.rows());
}

void NlpFunctions::Jacobian(const double* compressed, Matrix& to) const {
  const compiler::Nlp& nlp = state_.nlp;
  to.setZero(nlp.m, nlp.n);
  for (std::int64_t i = 0; i < nlp.m; ++i) {
    for (const std::int32_t j : nlp.jacobian_pattern.entries[static_cast<std::size_t>(i)])
      to(i, j) = compressed[nlp.jacobian_colours[static_cast<std::size_t>(j)] * nlp.m + i];
  }
}

void NlpFunctions::Hessian(const double* compressed, Matrix& to) const {
  const compiler::Nlp& nlp = state_.nlp;
  to.setZero(nlp.n, nlp.n);
  for (std::int64_t i = 0; i < nlp.n; ++i) {
    for (const std::int32_t j : nlp.hessian_pattern.entries[static_cast<std::size_t>(i)])
      to(i, j) = compressed[nlp.hessian_colours[static_cast<std::size_t>(j)] * nlp.n + i];
  }
}

}  // namespace amo::runtime
