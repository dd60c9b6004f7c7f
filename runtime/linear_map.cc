// SPDX-License-Identifier: Apache-2.0
// One evaluation at the unit vectors.
#include "runtime/linear_map.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "runtime/torch_execute.h"

namespace amo::runtime {
namespace {

bool IsVariable(const Problem& p, const std::string& name) {
  return std::any_of(p.program.variables.begin(), p.program.variables.end(),
                     [&](const compiler::Named& v) { return v.name == name; });
}

// Whether the matrix differs between instances.
bool Varies(const Problem& p, const compiler::Function& f) {
  std::vector<bool> inputs;
  for (const compiler::Input& in : f.inputs) {
    inputs.push_back(in.role == compiler::Role::kInstance && !in.name.starts_with("tangent/") &&
                     !IsVariable(p, in.name));
  }
  const std::vector<bool> varies = compiler::VariesFrom(f, inputs);
  return std::any_of(f.outputs.begin(), f.outputs.end(), [&](const compiler::Output& o) {
    return varies[static_cast<std::size_t>(o.value.index)];
  });
}

}  // namespace

bool IsFixed(const Problem& p, const compiler::Function& f) {
  return !Varies(p, f) && std::all_of(f.inputs.begin(), f.inputs.end(), [&](const compiler::Input& in) {
    return in.name.starts_with("tangent/") || IsVariable(p, in.name) || p.shared.count(in.name) > 0 ||
           in.role == compiler::Role::kInstance;
  });
}

std::vector<Matrix> MatricesOf(const Problem& p, const compiler::Function& f, const Values& values,
                               std::int64_t batch) {
  const c10::NoGradGuard no_grad;
  const std::int64_t n = p.VariableSize(), count = Varies(p, f) ? batch : 1;
  const at::TensorOptions options(p.dtype);
  // For each instance, the unit vectors of all variables together.
  const at::Tensor unit = at::eye(n, options).unsqueeze(0).expand({count, n, n}).reshape({count * n, n});
  std::vector<at::Tensor> inputs;
  const auto sized = [&](const compiler::Shape& shape) {
    std::vector<std::int64_t> sizes{count * n};
    sizes.insert(sizes.end(), shape.begin(), shape.end());
    return sizes;
  };
  for (const compiler::Input& in : f.inputs) {
    if (in.name.starts_with("tangent/")) {
      std::int64_t at = 0;
      for (const compiler::Named& v : p.program.variables) {
        if ("tangent/" + v.name == in.name)
          inputs.push_back(unit.narrow(1, at, compiler::Count(v.type.shape)).reshape(sized(v.type.shape)));
        at += compiler::Count(v.type.shape);
      }
    } else if (IsVariable(p, in.name)) {
      inputs.push_back(at::zeros(sized(in.type.shape), options));
    } else {
      const auto it = values.find(in.name);
      const at::Tensor& t = it != values.end() ? it->second : p.shared.at(in.name);
      if (in.role == compiler::Role::kShared) inputs.push_back(t);
      else inputs.push_back(t.narrow(0, 0, count).repeat_interleave(n, 0));
    }
  }
  std::vector<at::Tensor> parts;
  const std::vector<at::Tensor> out = TorchExecute(f, inputs);
  for (std::size_t k = 0; k < out.size(); ++k) {
    const std::int64_t entries = compiler::Count(f.type(f.outputs[k].value).shape);
    const bool whole = out[k].dim() > static_cast<std::int64_t>(f.type(f.outputs[k].value).shape.size());
    parts.push_back(whole ? out[k].reshape({count * n, entries})
                          : out[k].reshape({1, entries}).expand({count * n, entries}));
  }
  std::vector<Matrix> all(static_cast<std::size_t>(count));
  if (parts.empty()) return all;
  const at::Tensor columns = at::cat(parts, 1).to(at::kDouble).contiguous();  // [count n, rows]
  const std::int64_t rows = columns.size(1);
  for (std::int64_t k = 0; k < count; ++k) {
    all[static_cast<std::size_t>(k)] =
        Eigen::Map<const Matrix>(columns.const_data_ptr<double>() + k * n * rows, n, rows).transpose();
  }
  return all;
}

}  // namespace amo::runtime
