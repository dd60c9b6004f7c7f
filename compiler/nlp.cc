// SPDX-License-Identifier: Apache-2.0
// Flat forms of objective and sides, and their derivatives.
#include "compiler/nlp.h"

#include <algorithm>

#include "compiler/derive.h"
#include "compiler/simplify.h"

namespace amo::compiler {
namespace {

// Inputs of `f`: a variable is a part of `flat`, anything else an input of the same name.
std::vector<Value> InputsOf(Builder& b, const Program& p, const Function& f, Value flat) {
  std::vector<Value> inputs;
  for (const Input& in : f.inputs) {
    std::int64_t at = 0;
    bool found = false;
    for (const Named& v : p.variables) {
      if (v.name == in.name)
        inputs.push_back(b.Reshape(b.Slice(flat, {at}, {Count(v.type.shape)}), v.type.shape)), found = true;
      at += Count(v.type.shape);
    }
    if (found) continue;
    const int known = b.function().FindInput(in.name);
    inputs.push_back(known >= 0 ? b.function().inputs[static_cast<std::size_t>(known)].value
                                : b.Input(in.name, in.role, in.type));
  }
  return inputs;
}

Value OutputOf(const Function& f, const std::vector<Value>& values, std::size_t k) {
  return values[static_cast<std::size_t>(f.outputs[k].value.index)];
}

Value AppendSides(Builder& b, const Program& p, Value flat) {
  if (!p.sides || p.cones.empty()) return b.Filled(0, {0});
  const std::vector<Value> values = Inline(b, *p.sides, InputsOf(b, p, *p.sides, flat));
  std::vector<Value> parts;
  for (std::size_t k = 0; k < p.cones.size(); ++k)
    parts.push_back(b.Reshape(OutputOf(*p.sides, values, k), {p.cones[k].count}));
  return parts.size() == 1 ? parts[0] : b.Concat(parts, 0);
}

// Unrolled over the colours where they are few; else a scan over them, so that code does not grow with their number.
Function Compressed(const Function& f, std::size_t output, int wrt, const std::vector<int>& colours) {
  constexpr int kUnrolled = 12;
  const int count = colours.empty() ? 0 : *std::max_element(colours.begin(), colours.end()) + 1;
  if (count <= kUnrolled) return Simplify(CompressedJacobian(f, output, wrt, colours));
  Function single = f;
  single.outputs = {f.outputs[output]};
  const Function product = Jvp(single, {wrt});
  const auto columns = static_cast<std::int64_t>(colours.size());
  const std::int64_t rows = Count(f.type(f.outputs[output].value).shape);
  // A step's inputs: the constants, then the step.
  Builder body("colour");
  std::vector<Value> inputs;
  for (const Input& in : f.inputs) inputs.push_back(body.Input(in.name, in.role, in.type));
  const Value seed = body.Input("colour", Role::kShared, {Elem::kInt, {columns}});
  const Value step = body.Input("step", Role::kShared, {Elem::kInt, {}});
  std::vector<Value> arguments = inputs;
  arguments.push_back(body.ToReal(body.Binary(Op::kEq, seed, body.Fill(step, {columns}))));
  const std::vector<Value> values = Inline(body, product, arguments);
  body.Output("row", body.Reshape(values[static_cast<std::size_t>(product.outputs.back().value.index)], {rows}));
  Builder b(f.name + "_compressed");
  std::vector<Value> outside;
  for (const Input& in : f.inputs) outside.push_back(b.Input(in.name, in.role, in.type));
  outside.push_back(b.Input("colour", Role::kShared, {Elem::kInt, {columns}}));
  ScanForm form;
  form.steps = count, form.ys = 1, form.index = true;
  const Value scan = b.Scan(form, std::make_shared<const Function>(Simplify(body.Finish())), outside);
  b.Output("compressed", b.Reshape(scan, {count, rows}));
  return Simplify(b.Finish());
}

}  // namespace

Nlp MakeNlp(const Program& p) {
  Nlp nlp;
  for (const Named& v : p.variables) nlp.n += Count(v.type.shape);
  for (const ConeRows& rows : p.cones) {
    nlp.m += rows.count;
    nlp.equal.insert(nlp.equal.end(), static_cast<std::size_t>(rows.count), rows.cone == Cone::kZero);
  }
  const Type flat{Elem::kReal, {nlp.n}};
  {
    Builder b("nlp values");
    const Value y = b.Input("flat", Role::kInstance, flat);
    b.Output("objective", OutputOf(*p.objective, Inline(b, *p.objective, InputsOf(b, p, *p.objective, y)), 0));
    b.Output("sides", AppendSides(b, p, y));
    nlp.values = Simplify(b.Finish());
  }
  Function objective = nlp.values, sides = nlp.values;
  objective.outputs = {nlp.values.outputs[0]}, sides.outputs = {nlp.values.outputs[1]};
  {
    const Function gradient = Gradient(objective, {0});
    Builder b("nlp gradient");
    std::vector<Value> inputs;
    for (const Input& in : nlp.values.inputs) inputs.push_back(b.Input(in.name, in.role, in.type));
    const std::vector<Value> values = Inline(b, nlp.values, inputs), slopes = Inline(b, gradient, inputs);
    b.Output("objective", OutputOf(nlp.values, values, 0));
    b.Output("sides", OutputOf(nlp.values, values, 1));
    b.Output("d/flat", OutputOf(gradient, slopes, 1));
    nlp.gradient = Simplify(b.Finish());
  }
  sides.name = "nlp sides";
  if (nlp.m > 0) {
    nlp.jacobian_pattern = JacobianPattern(sides, 0, 0);
    nlp.jacobian_colours = ColourColumns(nlp.jacobian_pattern);
    nlp.jacobian = Compressed(sides, 0, 0, nlp.jacobian_colours);
  }
  Builder b("nlp lagrangian");
  std::vector<Value> inputs;
  for (const Input& in : nlp.values.inputs) inputs.push_back(b.Input(in.name, in.role, in.type));
  const std::vector<Value> values = Inline(b, nlp.values, inputs);
  const Value dual = b.Input("dual", Role::kInstance, {Elem::kReal, {nlp.m}});
  b.Output("lagrangian",
           b.Add(OutputOf(nlp.values, values, 0), b.Dot(dual, OutputOf(nlp.values, values, 1), {0}, {0}, {})));
  const Function lagrangian = Simplify(b.Finish());
  Function slope = Gradient(lagrangian, {0});
  slope.outputs = {slope.outputs[1]};
  slope = nlp.slope = Simplify(slope);
  nlp.hessian_pattern = JacobianPattern(slope, 0, 0);
  nlp.hessian_colours = ColourColumns(nlp.hessian_pattern);
  nlp.hessian = Compressed(slope, 0, 0, nlp.hessian_colours);
  return nlp;
}

Function MovedConditions(const Nlp& nlp, const std::vector<std::string>& wrt) {
  Builder b("nlp conditions");
  std::vector<Value> slope_inputs, value_inputs;
  for (const Input& in : nlp.slope.inputs) slope_inputs.push_back(b.Input(in.name, in.role, in.type));
  for (const Input& in : nlp.values.inputs) {
    const int known = b.function().FindInput(in.name);
    value_inputs.push_back(known >= 0 ? b.function().inputs[static_cast<std::size_t>(known)].value
                                      : b.Input(in.name, in.role, in.type));
  }
  b.Output("slope", OutputOf(nlp.slope, Inline(b, nlp.slope, slope_inputs), 0));
  b.Output("sides", OutputOf(nlp.values, Inline(b, nlp.values, value_inputs), 1));
  const Function conditions = b.Finish();
  std::vector<int> inputs;
  for (const std::string& name : wrt)
    if (const int k = conditions.FindInput(name); k >= 0) inputs.push_back(k);
  return Simplify(Jvp(conditions, inputs));
}

}  // namespace amo::compiler
