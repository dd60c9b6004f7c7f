// SPDX-License-Identifier: Apache-2.0
// One instance again, by the interpreter, function by function.
#include "runtime/fault.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compiler/compose.h"
#include "compiler/derive.h"
#include "runtime/predictor.h"

namespace amo::runtime {
namespace {

using compiler::Function;

class Tracer {
 public:
  Tracer(const Problem& p, const Values& values, std::int64_t instance) : p_(p), values_(values), i_(instance) {}

  // What is wrong in a function, if anything.
  std::optional<NotFinite> Look(const Function& f, const std::string& where) {
    const auto inputs = InputsOf(f);
    if (!inputs) return std::nullopt;
    auto fault = compiler::FindFault(f, *inputs);
    if (!fault) return std::nullopt;
    return NotFinite{i_, (fault->derivative ? "the gradient of " : "") + where, std::move(*fault)};
  }

  // The same where there is nothing wrong: its outputs are known from then on.
  std::optional<NotFinite> Run(const Function& f, const std::string& where) {
    if (auto found = Look(f, where)) return found;
    if (const auto inputs = InputsOf(f)) {
      const std::vector<compiler::Tensor> out = compiler::Interpret(f, *inputs);
      for (std::size_t k = 0; k < out.size(); ++k) known_[f.outputs[k].name] = out[k];
    }
    return std::nullopt;
  }

  // A function's value, then its derivatives by the variables.
  std::optional<NotFinite> LookTwice(const Function& f, const std::string& where) {
    if (auto found = Look(f, where)) return found;
    std::vector<int> wrt;
    for (const compiler::Named& v : p_.program.variables)
      if (const int k = f.FindInput(v.name); k >= 0 && v.type.elem == compiler::Elem::kReal) wrt.push_back(k);
    const compiler::Type& type = f.type(f.outputs[0].value);
    if (wrt.empty() || !type.shape.empty() || type.elem != compiler::Elem::kReal) return std::nullopt;
    return Look(compiler::Gradient(f, wrt), where);
  }

  std::optional<NotFinite> LookAtPoint() {
    const compiler::Program& program = p_.program;
    if (program.objective)
      if (auto found = LookTwice(*program.objective, "the objective")) return found;
    if (!program.objective && program.equations)
      if (auto found = Look(*program.equations, "the equations")) return found;
    for (const Function& f : program.constraints)
      if (auto found = Look(f, fmt::format("the constraint `{}`", f.name.substr(f.name.find('/') + 1)))) return found;
    return std::nullopt;
  }

  std::optional<NotFinite> FollowModel() {
    const compiler::Stages& model = p_.program.model;
    if (model.latent_start)
      if (auto found = Run(*model.latent_start, "the start of the search")) return found;
    if (auto found = Predict("the prediction")) return found;
    at::Generator draws = at::make_generator<at::CPUGeneratorImpl>(kDeployedSeed);
    for (const compiler::Refinement& r : model.refinements) {
      if (!r.step) return std::nullopt;  // a method of the runtime goes on from here: its point is looked at
      if (r.start)
        if (auto found = Run(*r.start, fmt::format("the start of `{}`", r.name))) return found;
      for (std::int64_t k = 0; k < compiler::StepsOf(r); ++k) {
        known_["step"] = {{compiler::Elem::kInt, {}}, {static_cast<double>(k)}};
        for (const auto& [name, t] : StepDraws(p_, *r.step, 1, draws)) known_[name] = FromTensor(t[0]);
        if (auto found = Run(*r.step, fmt::format("step {} of `{}`", k + 1, r.name))) return found;
        if (!model.latents.empty())
          if (auto found = Predict(fmt::format("the prediction after step {} of `{}`", k + 1, r.name))) return found;
      }
    }
    return std::nullopt;
  }

  void Know(const Values& values) {
    for (const auto& [name, t] : values) known_[name] = FromTensor(t[0]);
  }

 private:
  std::optional<NotFinite> Predict(const std::string& where) {
    if (auto found = Run(*p_.program.model.predict, where)) return found;
    if (!p_.program.project) return std::nullopt;
    return Run(*p_.program.project, "the projection onto the sets");
  }

  static compiler::Tensor FromTensor(const at::Tensor& t) {
    const at::Tensor plain = t.detach().to(at::kDouble).contiguous();
    const double* data = plain.const_data_ptr<double>();
    const auto elem = t.scalar_type() == at::kLong   ? compiler::Elem::kInt
                      : t.scalar_type() == at::kBool ? compiler::Elem::kBool
                                                     : compiler::Elem::kReal;
    return {{elem, plain.sizes().vec()}, {data, data + plain.numel()}};
  }

  std::optional<std::vector<compiler::Tensor>> InputsOf(const Function& f) const {
    std::vector<compiler::Tensor> inputs;
    for (const compiler::Input& in : f.inputs) {
      if (const auto known = known_.find(in.name); known != known_.end()) {
        inputs.push_back({in.type, known->second.data});
        continue;
      }
      auto it = values_.find(in.name);
      if (it == values_.end()) it = p_.shared.find(in.name);
      if (it == p_.shared.end() || !it->second.defined()) return std::nullopt;
      const bool many = it->second.dim() == static_cast<std::int64_t>(in.type.shape.size()) + 1;
      const at::Tensor t = many ? it->second[it->second.size(0) == 1 ? 0 : i_] : it->second;
      inputs.push_back({in.type, FromTensor(t).data});
    }
    return inputs;
  }

  const Problem& p_;
  const Values& values_;
  std::int64_t i_;
  std::map<std::string, compiler::Tensor> known_;
};

// The values of one instance as a batch of one.
Values OneOf(const Problem& p, const Values& values, std::int64_t instance) {
  const compiler::Program& program = p.program;
  Values one = values;
  const auto take = [&](const std::string& name) {
    if (const auto it = one.find(name); it != one.end()) it->second = it->second.narrow(0, instance, 1);
  };
  for (const auto* list : {&program.contexts, &program.hidden, &program.variables, &program.states})
    for (const compiler::Named& n : *list) take(n.name), take("solved/" + n.name);
  for (const compiler::Draw& d : program.draws) if (d.random && !d.stepwise) take(d.input);
  return one;
}

}  // namespace

std::optional<NotFinite> FaultAt(const Problem& p, const Values& values, std::int64_t instance) {
  const c10::NoGradGuard no_grad;
  return Tracer(p, values, instance).LookAtPoint();
}

std::optional<NotFinite> FaultOfModel(const Problem& p, const Values& values, std::int64_t instance,
                                      const compiler::Loss* loss) {
  const c10::NoGradGuard no_grad;
  if (!p.program.model.predict) return std::nullopt;
  Tracer tracer(p, values, instance);
  if (auto found = tracer.FollowModel()) return found;
  RunOptions options;
  if (loss)
    for (const compiler::Trace& t : p.program.traces)
      if (loss->value.FindInput(t.input) >= 0) options.traces.push_back(&t);
  const ModelRun run = RunModel(p, OneOf(p, values, instance), 1, options);
  tracer.Know(run.answer), tracer.Know(run.traces);
  if (auto found = tracer.LookAtPoint()) return found;
  return loss ? tracer.LookTwice(loss->value, "the loss") : std::nullopt;
}

std::string ToText(const NotFinite& n, const lang::Sources& sources) {
  const compiler::Fault& f = n.fault;
  std::string text = fmt::format("instance {}: ", n.instance);
  const std::string at = f.entry.empty() ? "" : fmt::format("[{}]", fmt::join(f.entry, ", "));
  if (f.input) return text + fmt::format("`{}{}` comes to {} as {}", f.how, at, n.where, f.value);
  if (f.span == lang::Span{}) return text + fmt::format("{} is {}: {}", n.where, f.value, f.how);
  const lang::Position place = sources.At(f.span.source, f.span.begin);
  text += fmt::format("`{}` in {} is {}: {}", sources.Text(f.span), n.where, f.value, f.how);
  if (!at.empty()) text += fmt::format(" in entry {}", at);
  if (f.step >= 0) text += fmt::format(", step {} of its scan", f.step);
  return text + fmt::format(" ({}:{}:{})", sources[f.span.source].path, place.line, place.column);
}

}  // namespace amo::runtime
