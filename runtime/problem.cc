// SPDX-License-Identifier: Apache-2.0
// Data, samples and the objective of a program on LibTorch.
#include "runtime/problem.h"

#include <algorithm>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_standard_gamma.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <fmt/format.h>

#include "compiler/check.h"
#include "compiler/kernel.h"
#include "runtime/conic.h"
#include "runtime/nlp_functions.h"
#include "runtime/quadratic.h"
#include "runtime/root.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {
namespace {

at::Tensor DrawOf(const compiler::Draw& d, const std::vector<std::int64_t>& shape, at::ScalarType dtype,
                  at::Generator& g) {
  at::Tensor t = at::empty(shape, at::TensorOptions(dtype));
  switch (d.base) {
    case compiler::Draw::Base::kNormal: return t.normal_(0, 1, g);
    case compiler::Draw::Base::kUniform: return t.uniform_(0, 1, g);
    case compiler::Draw::Base::kExponential: return t.exponential_(1, g);
    case compiler::Draw::Base::kGamma:
      return at::_standard_gamma(at::full(shape, d.shape, at::TensorOptions(dtype)), g);
  }
  return t;
}

const compiler::Draw* FindDraw(const compiler::Program& p, const std::string& input) {
  for (const compiler::Draw& d : p.draws) if (d.input == input) return &d;
  return nullptr;
}

// Null where the function holds weights, whose gradients autograd has to find, or an operation without a kernel.
std::shared_ptr<const KernelObjective> ObjectiveKernel(const compiler::Program& program,
                                                       const std::optional<compiler::Function>& f,
                                                       at::ScalarType dtype) {
  if (!f || !compiler::Uncompilable(*f).empty()) return nullptr;
  std::vector<int> wrt;
  for (std::size_t k = 0; k < f->inputs.size(); ++k) {
    const std::string& name = f->inputs[k].name;
    const auto is = [&](const compiler::Named& n) { return n.name == name; };
    const auto has = [&](const std::vector<compiler::Named>& list) {
      return std::any_of(list.begin(), list.end(), is);
    };
    if (has(program.variables)) wrt.push_back(static_cast<int>(k));
    else if (has(program.parameters) || name.starts_with("weight/")) return nullptr;
  }
  const auto precision = dtype == at::kDouble ? compiler::Precision::kF64 : compiler::Precision::kF32;
  return std::make_shared<KernelObjective>(
      *f, wrt, compiler::KernelOptions{.precision = precision, .cache_folder = compiler::KernelCacheFolder()});
}

}  // namespace

std::int64_t Problem::VariableSize() const {
  std::int64_t n = 0;
  for (const compiler::Named& v : program.variables) n += compiler::Count(v.type.shape);
  return n;
}

namespace {

std::vector<at::Tensor> InputsOf(const Problem& problem, const compiler::Function& function, const Values& values) {
  std::vector<at::Tensor> inputs;
  for (const compiler::Input& in : function.inputs) {
    auto it = values.find(in.name);
    if (it == values.end()) {
      it = problem.shared.find(in.name);
      AMO_CHECK(it != problem.shared.end(), "(%s: no value for %s)", function.name.c_str(), in.name.c_str());
    }
    inputs.push_back(it->second);
  }
  return inputs;
}

Values Named(const compiler::Function& function, std::vector<at::Tensor> out) {
  Values result;
  for (std::size_t k = 0; k < out.size(); ++k) result[function.outputs[k].name] = std::move(out[k]);
  return result;
}

std::vector<std::int64_t> WithBatch(std::int64_t n, const compiler::Shape& shape) {
  std::vector<std::int64_t> sizes{n};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return sizes;
}

// Of "table/SOURCE/FIELD": a source is a path and may hold slashes, a field is a name. Null: it is not there.
const at::Tensor* FindField(const Problem& p, const std::string& input) {
  const std::string::size_type from = input.find('/'), to = input.rfind('/');
  if (from == input.npos || to <= from) return nullptr;
  const auto table = p.tables.find(input.substr(from + 1, to - from - 1));
  if (table == p.tables.end()) return nullptr;
  const auto field = table->second.fields.find(input.substr(to + 1));
  return field == table->second.fields.end() ? nullptr : &field->second;
}

void AddKernels(Problem& p) {
  const auto precision = p.dtype == at::kDouble ? compiler::Precision::kF64 : compiler::Precision::kF32;
  p.kernel = ObjectiveKernel(p.program, p.program.objective, p.dtype);
  p.lagrangian = ObjectiveKernel(p.program, p.program.lagrangian, p.dtype);
  p.kernels = std::make_shared<FunctionKernels>(precision);
  p.quadratic = MakeQuadraticState(p.program);
  p.nlp = MakeNlpState();
  p.root = MakeRootState();
}

}  // namespace

namespace {

Values EvaluateParts(const Problem& problem, const compiler::Function& function,
                     const std::vector<compiler::Part>& parts, const std::vector<at::Tensor>& inputs) {
  Values read, result;  // an output may have the name of an input
  for (std::size_t k = 0; k < inputs.size(); ++k) read[function.inputs[k].name] = inputs[k];
  for (const compiler::Part& part : parts)
    for (auto& [name, t] : Evaluate(problem, part.function, read))
      (function.FindOutput(name) < 0 ? read : result)[name] = t;
  return result;
}

}  // namespace

Values Evaluate(const Problem& problem, const compiler::Function& function, const Values& values) {
  const std::vector<at::Tensor> inputs = InputsOf(problem, function, values);
  const bool recorded =
      at::GradMode::is_enabled() &&
      std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor& t) { return t.requires_grad(); });
  if (problem.kernels && recorded) {
    std::vector<int> wrt;
    for (std::size_t k = 0; k < inputs.size(); ++k) if (inputs[k].requires_grad()) wrt.push_back(static_cast<int>(k));
    if (const KernelGradient* kernel = problem.kernels->FindGradient(function, wrt))
      return Named(function, (*kernel)(inputs));
  } else if (problem.kernels) {
    if (const TensorKernel* kernel = problem.kernels->Find(function)) return Named(function, (*kernel)(inputs));
  }
  if (problem.kernels) {
    const std::vector<compiler::Part>& parts = problem.kernels->FindParts(function);
    if (!parts.empty()) return EvaluateParts(problem, function, parts, inputs);
  }
  return Named(function, TorchExecute(function, inputs));
}

at::Tensor AlongBatch(const at::Tensor& value, const compiler::Shape& shape, std::int64_t batch) {
  return value.dim() == static_cast<std::int64_t>(shape.size()) ? value.expand(WithBatch(batch, shape)) : value;
}

namespace {

Values Together(const Values& values, const Values& now) {
  Values all = values;
  for (const auto& [name, t] : now) all[name] = t;
  return all;
}

}  // namespace

void StartStates(const Problem& p, const Values& values, std::int64_t batch, Values& now) {
  if (!p.program.state_function) return;
  const Values start = Evaluate(p, *p.program.state_function, Together(values, now));
  for (const compiler::Named& s : p.program.states) now[s.name] = AlongBatch(start.at(s.name), s.type.shape, batch);
}

void ProjectVariables(const Problem& p, const Values& values, std::int64_t batch, Values& now) {
  if (p.program.conic) return ProjectConic(p, values, batch, now);
  if (!p.program.projected.empty()) {
    std::vector<at::Tensor> parts;
    for (const compiler::Named& v : p.program.variables)
      parts.push_back(now.at(v.name).reshape({batch, compiler::Count(v.type.shape)}));
    const at::Tensor y = ProjectOntoRows(p, values, at::cat(parts, 1));
    std::int64_t from = 0;
    for (const compiler::Named& v : p.program.variables) {
      const std::int64_t count = compiler::Count(v.type.shape);
      now[v.name] = y.narrow(1, from, count).view(WithBatch(batch, v.type.shape));
      from += count;
    }
    return;
  }
  if (!p.program.project) return;
  const Values projected = Evaluate(p, *p.program.project, Together(values, now));
  for (const compiler::Named& v : p.program.variables)
    now[v.name] = AlongBatch(projected.at(v.name), v.type.shape, batch);
}

at::Tensor EvaluateOne(const Problem& problem, const compiler::Function& function, const Values& values,
                       std::int64_t batch) {
  AMO_CHECK(function.outputs.size() == 1, "(%s)", function.name.c_str());
  const at::Tensor value = Evaluate(problem, function, values).begin()->second;
  return AlongBatch(value, function.type(function.outputs[0].value).shape, batch);
}

Result<Problem> OpenProblem(compiler::Program program, Values shared, at::ScalarType dtype) {
  Problem p{std::move(program), dtype, {}, {}, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  for (const compiler::Named& d : p.program.data) {
    const auto it = shared.find(d.name);
    if (it == shared.end()) return Error{fmt::format("the data value `{}` is missing", d.name)};
    if (it->second.sizes() != at::IntArrayRef(d.type.shape))
      return Error{fmt::format("the data value `{}` has another shape", d.name)};
  }
  p.shared = std::move(shared);
  AddKernels(p);
  return p;
}

Result<Problem> OpenProblem(compiler::Program program, std::map<std::string, Table> tables, at::ScalarType dtype,
                            std::uint64_t seed) {
  Problem p{std::move(program), dtype, {}, std::move(tables), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  for (const compiler::Row& r : p.program.rows) {
    const auto table = p.tables.find(r.source);
    if (table == p.tables.end()) return Error{fmt::format("the table `{}` is not there", r.source)};
    if (!table->second.fields.count(r.field))
      return Error{fmt::format("the table `{}` has no field `{}`", r.source, r.field)};
  }
  AddKernels(p);
  if (!p.program.data_function) return p;
  const compiler::Function& f = *p.program.data_function;
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(seed);
  std::vector<at::Tensor> inputs;
  for (const compiler::Input& in : f.inputs) {
    if (const compiler::Draw* d = FindDraw(p.program, in.name)) {
      inputs.push_back(DrawOf(*d, in.type.shape, dtype, g));
      continue;
    }
    const at::Tensor* field = FindField(p, in.name);
    if (!field) return Error{fmt::format("data: there is no array `{}`", in.name)};
    inputs.push_back(field->to(in.type.elem == compiler::Elem::kInt ? at::kLong : dtype));
  }
  p.shared = Named(f, TorchExecute(f, inputs));
  for (auto& [name, value] : p.shared) {
    if (value.is_floating_point() && !at::isfinite(value).all().item<bool>()) {
      return Error{fmt::format("the data value `{}` is not finite", name)};
    }
  }
  return p;
}

Values Sample(const Problem& p, std::int64_t n, Split split, at::Generator& g) {
  if (!p.program.sample_function) return {};
  Values inputs;
  std::map<std::string, at::Tensor> chosen;  // each table draw takes one row for all its fields
  for (const compiler::Input& in : p.program.sample_function->inputs) {
    if (const compiler::Draw* d = FindDraw(p.program, in.name)) {
      inputs[in.name] = DrawOf(*d, WithBatch(n, in.type.shape), p.dtype, g);
      continue;
    }
    for (const compiler::Row& r : p.program.rows) {
      if (r.input != in.name) continue;
      const Table& t = p.tables.at(r.source);
      const at::Tensor& field = t.fields.at(r.field);
      if (!chosen.count(r.name)) {
        std::int64_t lo = 0, hi = field.size(0);
        const std::int64_t middle = t.train_rows + t.validation_rows;
        switch (split) {
          case Split::kTrain: hi = t.train_rows; break;
          case Split::kValidation: lo = t.train_rows, hi = middle; break;
          case Split::kTest: lo = middle; break;
          case Split::kAll: break;
        }
        if (lo >= hi) lo = 0, hi = field.size(0);
        // Rows that are held out are taken without repetition as long as there are enough.
        const bool once = (split == Split::kTest || split == Split::kValidation) && n <= hi - lo;
        chosen[r.name] = once ? at::randperm(hi - lo, g, at::TensorOptions(at::kLong)).narrow(0, 0, n) + lo
                              : at::randint(lo, hi, {n}, g, at::TensorOptions(at::kLong));
      }
      inputs[in.name] =
          field.index_select(0, chosen[r.name]).to(in.type.elem == compiler::Elem::kInt ? at::kLong : p.dtype);
    }
  }
  Values sample = Evaluate(p, *p.program.sample_function, inputs);
  for (const compiler::Output& o : p.program.sample_function->outputs) {
    at::Tensor& t = sample.at(o.name);
    t = AlongBatch(t, p.program.sample_function->type(o.value).shape, n).contiguous();
  }
  return sample;
}

Values DrawRandoms(const Problem& p, std::int64_t n, at::Generator& g) {
  Values draws;
  for (const compiler::Draw& d : p.program.draws) {
    if (d.random && !d.stepwise) draws[d.input] = DrawOf(d, WithBatch(n, d.type.shape), p.dtype, g);
  }
  return draws;
}

bool IsStepDraw(const Problem& p, const std::string& input) {
  const compiler::Draw* d = FindDraw(p.program, input);
  return d && d->random;
}

Values StepDraws(const Problem& p, const compiler::Function& step, std::int64_t n, at::Generator& g) {
  Values draws;
  for (const compiler::Input& in : step.inputs) {
    if (!IsStepDraw(p, in.name)) continue;
    const compiler::Draw* d = FindDraw(p.program, in.name);
    draws[in.name] = DrawOf(*d, WithBatch(n, d->type.shape), p.dtype, g);
  }
  return draws;
}

at::Tensor DrawSteps(const Problem& p, const std::string& draw, std::int64_t n, std::int64_t steps, at::Generator& g) {
  const compiler::Draw* d = FindDraw(p.program, draw);
  AMO_CHECK(d != nullptr, "(%s)", draw.c_str());
  std::vector<std::int64_t> sizes = WithBatch(steps, d->type.shape);
  sizes.insert(sizes.begin(), n);
  return DrawOf(*d, sizes, p.dtype, g);
}

at::Tensor Objective(const Problem& p, const Values& values, std::int64_t batch) {
  AMO_CHECK(p.program.objective.has_value());
  if (!p.kernel) return EvaluateOne(p, *p.program.objective, values, batch);
  return AlongBatch((*p.kernel)(InputsOf(p, *p.program.objective, values)), {}, batch);
}

at::Tensor Lagrangian(const Problem& p, const Values& values, std::int64_t batch) {
  AMO_CHECK(p.program.lagrangian.has_value());
  if (!p.lagrangian) return EvaluateOne(p, *p.program.lagrangian, values, batch);
  return AlongBatch((*p.lagrangian)(InputsOf(p, *p.program.lagrangian, values)), {}, batch);
}

Values NoMultipliers(const Problem& p, std::int64_t batch, double penalty) {
  Values values = {{"penalty", at::full({batch}, penalty, at::TensorOptions(p.dtype))}};
  for (const compiler::Output& o : p.program.multipliers->outputs) {
    values[o.name] =
        at::zeros(WithBatch(batch, p.program.multipliers->type(o.value).shape), at::TensorOptions(p.dtype));
  }
  return values;
}

Values Violations(const Problem& p, const Values& values, std::int64_t batch) {
  Values v;
  for (const compiler::Function& c : p.program.constraints) {
    const at::Tensor amounts = EvaluateOne(p, c, values, batch);
    v[c.name.substr(c.name.find('/') + 1)] = amounts.mul(amounts).sum({-1}).sqrt();
  }
  return v;
}

void FollowSlowly(const Problem& p, Values& learned, bool whole) {
  const c10::NoGradGuard no_grad;
  for (const compiler::SlowNetwork& s : p.program.slow) {
    const std::string prefix = "weight/" + s.name + "/";
    for (auto& [name, value] : learned) {
      if (!name.starts_with(prefix)) continue;
      const at::Tensor& other = learned.at("weight/" + s.follows + "/" + name.substr(prefix.size()));
      if (whole) value = other.clone();
      else value.lerp_(other, s.tau);
    }
  }
}

Values InitialLearned(const Problem& p, at::Generator& g) {
  Values learned;
  for (const compiler::Weight& weight : p.program.weights) {
    learned[weight.input] =
        at::empty(weight.type.shape, at::TensorOptions(p.dtype))
            .uniform_(weight.start - weight.bound, weight.start + weight.bound, g);
  }
  for (const auto* function : {&p.program.start_function, &p.program.weights_function}) {
    if (!*function) continue;
    Values values;
    for (const compiler::Input& in : (*function)->inputs) {
      if (const compiler::Draw* d = FindDraw(p.program, in.name)) {
        values[in.name] = DrawOf(*d, in.type.shape, p.dtype, g);
      } else if (in.name.starts_with("table/")) {
        const at::Tensor* field = FindField(p, in.name);
        AMO_CHECK(field != nullptr, "(%s)", in.name.c_str());
        values[in.name] = field->to(in.type.elem == compiler::Elem::kInt ? at::kLong : p.dtype);
      }
    }
    for (auto& [name, value] : Evaluate(p, **function, values)) learned[name] = value.clone();
  }
  FollowSlowly(p, learned, true);
  learned["trained"] = at::zeros({}, at::TensorOptions(p.dtype));
  return learned;
}

std::int64_t BatchOf(const Problem& p, const Values& values, std::int64_t otherwise) {
  for (const auto* list : {&p.program.contexts, &p.program.hidden, &p.program.variables}) {
    for (const compiler::Named& n : *list) {
      const auto it = values.find(n.name);
      if (it != values.end() && it->second.dim() > static_cast<std::int64_t>(n.type.shape.size()))
        return it->second.size(0);
    }
  }
  return otherwise;
}

}  // namespace amo::runtime
