// SPDX-License-Identifier: Apache-2.0
// Kinks of affine values out of the objective.
#include "compiler/lift.h"

#include <algorithm>

#include <fmt/format.h>

#include "compiler/classify.h"
#include "compiler/derive.h"
#include "compiler/simplify.h"

namespace amo::compiler {
namespace {

// The objective's nodes copied to a builder, with kinks of affine arguments as inputs; what they stand for is asked
// for by rows that are not positive.
class Lifter {
 public:
  Lifter(Builder& b, const Function& f, const std::vector<Curvature>& curvature)
      : b_(b), f_(f), curvature_(curvature) {}

  void Copy(const std::vector<Value>& inputs) {
    values_.resize(f_.nodes.size());
    for (std::size_t k = 0; k < f_.inputs.size(); ++k) values_[At(f_.inputs[k].value)] = inputs[k];
    for (std::size_t i = 0; i < f_.nodes.size(); ++i) {
      const Node& n = f_.nodes[i];
      if (n.op == Op::kInput) continue;
      std::vector<Value> args;
      for (const Value v : n.args) args.push_back(values_[At(v)]);
      values_[i] = IsKink(n, i) ? Lifted(n, args) : b_.Copy(n, args);
    }
  }

  Value of(Value v) const { return values_[At(v)]; }
  const std::vector<Named>& variables() const { return variables_; }
  const std::vector<Value>& rows() const { return rows_; }

 private:
  static std::size_t At(Value v) { return static_cast<std::size_t>(v.index); }

  bool IsKink(const Node& n, std::size_t i) const {
    if (n.op != Op::kAbs && n.op != Op::kMax && n.op != Op::kReduceMax) return false;
    return n.type.elem == Elem::kReal && curvature_[i].degree == Degree::kOther &&
           std::all_of(n.args.begin(), n.args.end(),
                       [&](Value v) { return curvature_[At(v)].degree <= Degree::kAffine; });
  }

  Value Lifted(const Node& n, const std::vector<Value>& args) {
    const std::string name = fmt::format("lifted/{}", variables_.size());
    variables_.push_back({name, n.type});
    const Value t = b_.Input(name, Role::kInstance, n.type);
    if (n.op == Op::kReduceMax) {
      const Shape shape = b_.shape(args[0]);
      std::vector<std::int64_t> axes;
      std::int64_t next = 0;
      for (std::int64_t d = 0; d < static_cast<std::int64_t>(shape.size()); ++d)
        axes.push_back(std::count(n.attr.begin(), n.attr.end(), d) ? -1 : next++);
      rows_.push_back(b_.Sub(args[0], b_.Broadcast(t, axes, shape)));
    } else {
      rows_.push_back(b_.Sub(args[0], t));
      rows_.push_back(b_.Sub(n.op == Op::kAbs ? b_.Neg(args[0]) : args[1], t));
    }
    return t;
  }

  Builder& b_;
  const Function& f_;
  const std::vector<Curvature>& curvature_;
  std::vector<Value> values_, rows_;
  std::vector<Named> variables_;
};

std::vector<Value> Inputs(Builder& b, const Function& f) {
  std::vector<Value> inputs;
  for (const Input& in : f.inputs) {
    const int k = b.function().FindInput(in.name);
    inputs.push_back(k >= 0 ? b.function().inputs[static_cast<std::size_t>(k)].value
                            : b.Input(in.name, in.role, in.type));
  }
  return inputs;
}

}  // namespace

std::optional<Program> Lift(const Program& p) {
  const bool rows = p.rows_whole && p.manifolds.empty() &&
                    std::all_of(p.cones.begin(), p.cones.end(), [](const ConeRows& r) { return r.affine; });
  if (!p.objective || p.classes.empty() || !rows || IsQuadraticProgram(p) || p.classes[0].curvature.smooth)
    return std::nullopt;
  std::vector<int> wrt;
  for (const Named& v : p.variables) if (const int k = p.objective->FindInput(v.name); k >= 0) wrt.push_back(k);
  const std::vector<Curvature> curvature = Curvatures(*p.objective, wrt);
  Program lifted;
  lifted.name = p.name;
  lifted.data = p.data, lifted.parameters = p.parameters, lifted.contexts = p.contexts, lifted.hidden = p.hidden;
  lifted.variables = p.variables, lifted.draws = p.draws, lifted.rows = p.rows, lifted.weights = p.weights;
  lifted.rows_whole = true, lifted.cones = p.cones;
  Builder objective("objective"), sides("sides");
  Lifter of_objective(objective, *p.objective, curvature), of_sides(sides, *p.objective, curvature);
  of_objective.Copy(Inputs(objective, *p.objective));
  if (of_objective.variables().empty()) return std::nullopt;
  objective.Output("objective", of_objective.of(p.objective->outputs[0].value));
  lifted.objective = Simplify(objective.Finish());
  of_sides.Copy(Inputs(sides, *p.objective));
  if (p.sides) {
    const std::vector<Value> values = Inline(sides, *p.sides, Inputs(sides, *p.sides));
    for (const compiler::Output& o : p.sides->outputs)
      sides.Output(o.name, values[static_cast<std::size_t>(o.value.index)]);
  }
  for (const Value row : of_sides.rows()) {
    const std::string output = fmt::format("side/{}", lifted.cones.size());
    const std::int64_t count = Count(sides.shape(row));
    lifted.cones.push_back({"objective", true, Cone::kNegative, count, output, true});
    sides.Output(output, sides.Reshape(row, {count}));
  }
  lifted.sides = Simplify(sides.Finish());
  lifted.affine = lifted.sides;
  for (const Named& v : of_objective.variables()) lifted.variables.push_back(v);
  lifted.classes.push_back(ClassOfOutput(lifted, *lifted.objective, 0, ""));
  if (!IsQuadraticProgram(lifted)) return std::nullopt;
  return lifted;
}

}  // namespace amo::compiler
