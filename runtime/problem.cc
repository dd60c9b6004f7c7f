// SPDX-License-Identifier: Apache-2.0
// Data, samples and the objective of a program on LibTorch.
#include "runtime/problem.h"

#include <algorithm>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_standard_gamma.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>

#include <fmt/format.h>

#include "compiler/check.h"
#include "compiler/kernel.h"
#include "runtime/torch_execute.h"

namespace amo::runtime {
namespace {

at::Tensor DrawOf(const compiler::Draw& d, const std::vector<std::int64_t>& shape, at::ScalarType dtype, at::Generator& g) {
  at::Tensor t = at::empty(shape, at::TensorOptions(dtype));
  switch (d.base) {
    case compiler::Draw::Base::kNormal: return t.normal_(0, 1, g);
    case compiler::Draw::Base::kUniform: return t.uniform_(0, 1, g);
    case compiler::Draw::Base::kExponential: return t.exponential_(1, g);
    case compiler::Draw::Base::kGamma: return at::_standard_gamma(at::full(shape, d.shape, at::TensorOptions(dtype)), g);
  }
  return t;
}

const compiler::Draw* FindDraw(const compiler::Program& p, const std::string& input) {
  for (const compiler::Draw& d : p.draws) if (d.input == input) return &d;
  return nullptr;
}

// Null where the objective holds weights, whose gradients autograd has to find, or an operation without a kernel.
std::shared_ptr<const KernelObjective> ObjectiveKernel(const compiler::Program& program, at::ScalarType dtype) {
  if (!program.objective || !compiler::Uncompilable(*program.objective).empty()) return nullptr;
  std::vector<int> wrt;
  for (std::size_t k = 0; k < program.objective->inputs.size(); ++k) {
    const std::string& name = program.objective->inputs[k].name;
    const auto is = [&](const compiler::Named& n) { return n.name == name; };
    const auto has = [&](const std::vector<compiler::Named>& list) { return std::any_of(list.begin(), list.end(), is); };
    if (has(program.variables)) wrt.push_back(static_cast<int>(k));
    else if (!has(program.data) && !has(program.contexts) && !has(program.hidden)) return nullptr;
  }
  const auto precision = dtype == at::kDouble ? compiler::Precision::kF64 : compiler::Precision::kF32;
  return std::make_shared<KernelObjective>(*program.objective, wrt, compiler::KernelOptions{.precision = precision, .cache_folder = compiler::KernelCacheFolder()});
}

// The first input of a function that nothing here gives, or "".
std::string Unprovided(const compiler::Program& p, const compiler::Function& f) {
  for (const compiler::Input& in : f.inputs) {
    const auto is = [&](const compiler::Named& n) { return n.name == in.name; };
    const auto has = [&](const std::vector<compiler::Named>& list) { return std::any_of(list.begin(), list.end(), is); };
    const bool weight = std::any_of(p.weights.begin(), p.weights.end(), [&](const compiler::Weight& w) { return w.input == in.name; });
    if (!weight && !has(p.data) && !has(p.contexts) && !has(p.hidden) && !has(p.variables)) return in.name;
  }
  return "";
}

}  // namespace

std::int64_t Problem::VariableSize() const {
  std::int64_t n = 0;
  for (const compiler::Named& v : program.variables) n += compiler::Count(v.type.shape);
  return n;
}

Values Evaluate(const Problem& problem, const compiler::Function& function, const Values& values) {
  std::vector<at::Tensor> inputs;
  for (const compiler::Input& in : function.inputs) {
    auto it = values.find(in.name);
    if (it == values.end()) {
      it = problem.shared.find(in.name);
      AMO_CHECK(it != problem.shared.end(), "(%s: no value for %s)", function.name.c_str(), in.name.c_str());
    }
    inputs.push_back(it->second);
  }
  const std::vector<at::Tensor> out = TorchExecute(function, inputs);
  Values result;
  for (std::size_t k = 0; k < out.size(); ++k) result[function.outputs[k].name] = out[k];
  return result;
}

Result<Problem> OpenProblem(compiler::Program program, std::map<std::string, Table> tables, at::ScalarType dtype,
                            std::uint64_t seed) {
  Problem p{std::move(program), dtype, {}, std::move(tables)};
  for (const compiler::Row& r : p.program.rows) {
    const auto table = p.tables.find(r.source);
    if (table == p.tables.end()) return Error{fmt::format("the table `{}` is not there", r.source)};
    if (!table->second.fields.count(r.field)) return Error{fmt::format("the table `{}` has no field `{}`", r.source, r.field)};
  }
  std::vector<const compiler::Function*> functions;
  for (const auto* f : {&p.program.objective, &p.program.project, &p.program.predict}) if (*f) functions.push_back(&**f);
  for (const compiler::Function& c : p.program.constraints) functions.push_back(&c);
  for (const compiler::Function* f : functions) {
    const std::string missing = Unprovided(p.program, *f);
    if (!missing.empty()) return Error{fmt::format("`{}` needs `{}`, which cannot be given yet: randoms, parameters and `trained`", f->name, missing)};
  }
  p.kernel = ObjectiveKernel(p.program, dtype);
  if (!p.program.data_function) return p;
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(seed);
  Values inputs;
  for (const compiler::Input& in : p.program.data_function->inputs) {
    if (const compiler::Draw* d = FindDraw(p.program, in.name)) {
      inputs[in.name] = DrawOf(*d, in.type.shape, dtype, g);
    } else {
      const std::string::size_type from = in.name.find('/'), to = in.name.rfind('/');
      if (from == in.name.npos) return Error{fmt::format("data `{}` has no value", in.name)};
      const std::string source = in.name.substr(from + 1, to - from - 1), field = in.name.substr(to + 1);
      const auto table = p.tables.find(source);
      if (table == p.tables.end() || !table->second.fields.count(field)) {
        return Error{fmt::format("`{}` has no array `{}`", source, field)};
      }
      inputs[in.name] = table->second.fields.at(field).to(in.type.elem == compiler::Elem::kInt ? at::kLong : dtype);
    }
  }
  p.shared = Evaluate(p, *p.program.data_function, inputs);
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
      std::vector<std::int64_t> shape{n};
      shape.insert(shape.end(), in.type.shape.begin(), in.type.shape.end());
      inputs[in.name] = DrawOf(*d, shape, p.dtype, g);
      continue;
    }
    for (const compiler::Row& r : p.program.rows) {
      if (r.input != in.name) continue;
      const Table& t = p.tables.at(r.source);
      const at::Tensor& field = t.fields.at(r.field);
      if (!chosen.count(r.name)) {
        const bool train = split == Split::kTrain || t.train_rows == field.size(0);
        const std::int64_t lo = train ? 0 : t.train_rows, hi = train ? t.train_rows : field.size(0);
        chosen[r.name] = at::randint(lo, hi, {n}, g, at::TensorOptions(at::kLong));
      }
      inputs[in.name] = field.index_select(0, chosen[r.name]).to(in.type.elem == compiler::Elem::kInt ? at::kLong : p.dtype);
    }
  }
  return Evaluate(p, *p.program.sample_function, inputs);
}

at::Tensor Objective(const Problem& p, const Values& values) {
  AMO_CHECK(p.program.objective.has_value());
  if (p.kernel) {
    std::vector<at::Tensor> inputs;
    for (const compiler::Input& in : p.program.objective->inputs) {
      const auto it = values.find(in.name);
      inputs.push_back(it != values.end() ? it->second : p.shared.at(in.name));
    }
    return (*p.kernel)(inputs);
  }
  return Evaluate(p, *p.program.objective, values).at("objective");
}

Values Violations(const Problem& p, const Values& values) {
  Values v;
  for (const compiler::Function& c : p.program.constraints) {
    const at::Tensor amounts = Evaluate(p, c, values).at("amounts").abs();
    v[c.name] = amounts.size(-1) ? at::amax(amounts, {-1}) : at::zeros({amounts.size(0)}, amounts.options());
  }
  return v;
}

Values InitialWeights(const Problem& p, at::Generator& g) {
  Values w;
  for (const compiler::Weight& weight : p.program.weights) {
    w[weight.input] = at::empty(weight.type.shape, at::TensorOptions(p.dtype)).uniform_(-weight.bound, weight.bound, g);
  }
  return w;
}

}  // namespace amo::runtime
