// SPDX-License-Identifier: Apache-2.0
// Certificates, and contexts at the border.
#include "runtime/answer.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compiler/classify.h"
#include "runtime/gap.h"
#include "runtime/instances.h"
#include "runtime/quadratic.h"
#include "runtime/root.h"
#include "runtime/tensor_array.h"

namespace amo::runtime {
namespace {

bool HasInputs(const Problem& problem, const compiler::Function& f, const Values& values) {
  return std::all_of(f.inputs.begin(), f.inputs.end(), [&](const compiler::Input& in) {
    return values.count(in.name) > 0 || problem.shared.count(in.name) > 0;
  });
}

std::string ShapeText(const compiler::Shape& shape) {
  return shape.empty() ? "" : fmt::format("[{}]", fmt::join(shape, ", "));
}

// The array of a field, or columns NAME_0, NAME_1, … of a .csv put together.
std::optional<Array> Find(const std::vector<Array>& arrays, const compiler::Named& field, bool only) {
  for (const Array& a : arrays) if (a.name == field.name) return a;
  if (only && arrays.size() == 1) return arrays[0];
  if (field.type.shape.size() != 1) return std::nullopt;
  std::vector<at::Tensor> columns;
  for (std::int64_t k = 0; k < field.type.shape[0]; ++k) {
    const std::string name = fmt::format("{}_{}", field.name, k);
    const auto a = std::find_if(arrays.begin(), arrays.end(),
                                [&](const Array& x) { return x.name == name && x.shape.size() == 1; });
    if (a == arrays.end()) return std::nullopt;
    columns.push_back(ToTensor(Convert(*a, DType::kFloat64)));
    if (columns.back().sizes() != columns[0].sizes()) return std::nullopt;
  }
  if (columns.empty()) return std::nullopt;
  return ToArray(field.name, at::stack(columns, 1));
}

Result<at::Tensor> Checked(const Problem& problem, const compiler::Named& field, const Array& a,
                           const std::string& where) {
  const bool fits = a.shape.size() == field.type.shape.size() + 1 &&
                    std::equal(field.type.shape.begin(), field.type.shape.end(), a.shape.begin() + 1);
  if (!fits) {
    return Error{fmt::format("{}: field `{}` is {}, expected a batch of `{}`: [B{}{}]", where, field.name, Describe(a),
                             field.name + ShapeText(field.type.shape), field.type.shape.empty() ? "" : ", ",
                             fmt::join(field.type.shape, ", "))};
  }
  const bool real = field.type.elem == compiler::Elem::kReal;
  const bool is_float = a.dtype == DType::kFloat32 || a.dtype == DType::kFloat64;
  if (real && a.dtype == DType::kBool)
    return Error{fmt::format("{}: field `{}` holds bools, expected numbers", where, field.name)};
  if (!real && is_float)
    return Error{fmt::format("{}: field `{}` is {}, expected whole numbers", where, field.name, Describe(a))};
  if (const auto bad = FirstNonFinite(a)) {
    return Error{fmt::format("{}: field `{}`, instance {}, entry {} is {}", where, field.name, bad->row, bad->entry,
                             bad->value)};
  }
  const at::ScalarType type = real ? problem.dtype : field.type.elem == compiler::Elem::kInt ? at::kLong : at::kBool;
  return ToTensor(a).to(type);
}

}  // namespace

Certificate Certify(const Problem& problem, const Values& values, std::int64_t batch, CertificateLevel level) {
  const c10::NoGradGuard no_grad;
  Certificate c;
  if (level == CertificateLevel::kNone) return c;
  const compiler::Program& p = problem.program;
  const bool known = p.objective && HasInputs(problem, *p.objective, values);
  if (known && level == CertificateLevel::kViolations) c.objective = Objective(problem, values, batch);
  if (known && level == CertificateLevel::kFull) {
    const Instances instances(problem, values, batch);
    const at::Tensor y = instances.Join(values).contiguous();
    const Instances::Point point = instances(y);
    c.objective = point.value;
    at::Tensor gap;
    if (batch == 0 || instances.size() == 0) {
      c.residual = at::zeros_like(point.value);
    } else if (IsQuadraticProgram(problem)) {
      QuadraticCertificate q = CertifyQuadratic(problem, values, y);
      c.residual = q.residual, gap = q.gap;
    } else if (LiftedOf(problem)) {  // at kinks the gradient alone says nothing
      QuadraticCertificate q = CertifyQuadratic(*LiftedOf(problem), values, LiftPoints(problem, values, y));
      c.residual = q.residual, gap = q.gap;
    } else if (!p.lagrangian) {
      const at::Tensor moved = y - instances.Project(y - point.gradient);
      c.residual = instances.Residual(y, point.gradient, moved);
      gap = GapByProjection(instances, y, point.gradient, moved);
    } else if (compiler::IsSmooth(p)) {  // with the multipliers that a linearized projection finds
      LinearizedCertificate l = CertifyLinearized(problem, values, y);
      c.residual = l.residual, gap = l.gap;
    }
    if (gap.defined() && at::isfinite(gap).any().item<bool>()) c.gap = gap;
  }
  if (!p.objective && p.equations && HasInputs(problem, *p.equations, values))
    c.residual = EquationResidual(problem, values, batch);
  for (const compiler::Function& f : p.constraints) {
    if (!HasInputs(problem, f, values)) continue;
    const at::Tensor amounts = EvaluateOne(problem, f, values, batch);
    c.violations[f.name.substr(f.name.find('/') + 1)] = amounts.mul(amounts).sum(1).sqrt();
  }
  return c;
}

Result<Values> ReadContexts(const Problem& problem, const std::vector<Array>& arrays, const std::string& where) {
  const compiler::Program& p = problem.program;
  Values values;
  std::string first;
  std::vector<std::string> missing, known;
  const auto take = [&](const compiler::Named& field, bool needed) -> Result<Done> {
    const auto a = Find(arrays, field, needed && p.contexts.size() == 1);
    if (!a) {
      if (needed) missing.push_back(field.name);
      return Done{};
    }
    Result<at::Tensor> t = Checked(problem, field, *a, where);
    if (!t.ok()) return t.error();
    if (!first.empty() && values.at(first).size(0) != t->size(0)) {
      return Error{fmt::format("{}: field `{}` has {} instances, `{}` has {}", where, field.name, t->size(0), first,
                               values.at(first).size(0))};
    }
    if (first.empty()) first = field.name;
    values[field.name] = *t;
    return Done{};
  };
  for (const compiler::Named& c : p.contexts) if (auto r = take(c, true); !r.ok()) return r.error();
  if (!missing.empty()) {
    for (const Array& a : arrays) known.push_back(a.name);
    return Error{fmt::format("{}: the context{} `{}` {} missing; it has `{}`", where, missing.size() > 1 ? "s" : "",
                             fmt::join(missing, "`, `"), missing.size() > 1 ? "are" : "is", fmt::join(known, "`, `"))};
  }
  for (const compiler::Named& h : p.hidden) if (auto r = take(h, false); !r.ok()) return r.error();
  return values;
}

}  // namespace amo::runtime
