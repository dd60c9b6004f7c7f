// SPDX-License-Identifier: Apache-2.0
// Derivatives of scans. The body's values are computed again in each step of a derivative, from the stored carries.
#include "compiler/derive_scan.h"

#include <algorithm>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "compiler/derive.h"
#include "compiler/sum_parts.h"

namespace amo::compiler {
namespace {

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }
bool IsZero(Value v) { return v.index < 0; }

// Which of the ys is carry k as a step finds it; or none: the number of outputs.
std::size_t StoredAt(const Node& scan, std::size_t k) {
  const ScanForm form = FormOf(scan);
  const Function& body = *scan.body;
  std::size_t at = form.carries;
  while (at < body.outputs.size() && body.outputs[at].value != body.inputs[k].value) ++at;
  return at;
}

// The scan with every carry among its ys; what it had keeps its place.
Node Storing(const Node& scan) {
  Node n = scan;
  Function body = WithStates(*scan.body);
  for (std::size_t k = 0; k < FormOf(scan).carries; ++k) {
    if (StoredAt(scan, k) < scan.body->outputs.size()) continue;
    body.outputs.push_back({"state/" + body.inputs[k].name, body.inputs[k].value});
    ++n.attr[3];
  }
  n.body = std::make_shared<const Function>(std::move(body));
  return n;
}

// The carries of all steps, [H, ..] each: parts of `y` where the scan stores them, else of a scan made here.
std::vector<Value> States(Builder& b, const Node& scan, const std::vector<Value>& args, Value y) {
  const std::size_t carries = FormOf(scan).carries;
  bool all = true;
  for (std::size_t k = 0; k < carries; ++k) all = all && StoredAt(scan, k) < scan.body->outputs.size();
  const Node storing = all ? scan : Storing(scan);
  const Value stored = all ? y : b.Copy(storing, args);
  std::vector<Value> states;
  for (std::size_t k = 0; k < carries; ++k) states.push_back(b.ScanPart(storing, stored, StoredAt(storing, k)));
  return states;
}

// The body of a derivative while it is made: its inputs in the order carries, xs, constants, index.
struct Made {
  explicit Made(const std::string& name) : b(name) {}
  Value Carry(const std::string& name, const Type& type, Value start) {
    ++form.carries;
    return Add(name, type, start, carries);
  }
  Value Row(const std::string& name, const Type& type, Value rows) {
    ++form.xs;
    return Add(name, type, rows, xs);
  }
  Value Constant(const std::string& name, const Type& type, Value value) { return Add(name, type, value, constants); }
  Value Index() {
    form.index = true;
    return b.Input("t", Role::kInstance, {Elem::kInt, {}});
  }
  Value Finish(Builder& around, Node& scan) {
    std::vector<Value> args = carries;
    args.insert(args.end(), xs.begin(), xs.end());
    args.insert(args.end(), constants.begin(), constants.end());
    const Value v = around.Scan(form, std::make_shared<const Function>(b.Finish()), std::move(args));
    scan = around.node(v);
    return v;
  }
  Builder b;
  ScanForm form;

 private:
  Value Add(const std::string& name, const Type& type, Value value, std::vector<Value>& to) {
    to.push_back(value);
    return b.Input(name, Role::kInstance, type);
  }
  std::vector<Value> carries, xs, constants;
};

Value OrZero(Builder& b, Value v, const Shape& shape) { return IsZero(v) ? b.Filled(0, shape) : v; }

}  // namespace

Function WithStates(const Function& f) {
  const bool any = std::any_of(f.nodes.begin(), f.nodes.end(), [](const Node& n) { return n.op == Op::kScan; });
  if (!any) return f;
  Builder b(f.name);
  std::vector<Value> values;
  for (const Node& n : f.nodes) {
    std::vector<Value> args;
    for (Value a : n.args) args.push_back(values[Z(a.index)]);
    if (n.op == Op::kInput) {
      const Input& in = f.inputs[Z(n.attr[0])];
      values.push_back(b.Input(in.name, in.role, in.type));
    } else if (n.op == Op::kScan) {
      values.push_back(b.Slice(b.Copy(Storing(n), std::move(args)), {0}, n.type.shape));
    } else {
      values.push_back(b.Copy(n, std::move(args)));
    }
  }
  for (const Output& o : f.outputs) b.Output(o.name, values[Z(o.value.index)]);
  return b.Finish();
}

namespace {

// The body of a reverse scan: the adjoints of its inputs, as far as they are wanted.
struct ReverseBody {
  Made r;
  std::vector<Value> by;    // by input; {-1} where nobody wants it
  std::vector<Value> sums;  // of constants, carried
};

// `summed`: which constants' adjoints are carried as sums.
ReverseBody MakeReverse(Builder& b, const Node& scan, const std::vector<Value>& args, const std::vector<Value>& states,
                        Value g, const std::vector<bool>& wanted, const std::vector<bool>& summed) {
  const ScanForm form = FormOf(scan);
  const Function& body = *scan.body;
  const std::size_t first_constant = form.carries + form.xs;
  ReverseBody out{Made(body.name + "_reverse"), std::vector<Value>(args.size()), std::vector<Value>(args.size())};
  Made& r = out.r;
  r.form.steps = form.steps;
  r.form.reverse = !form.reverse;
  const auto type = [&](std::size_t k) -> const Type& { return body.inputs[k].type; };
  const auto name = [&](std::size_t k) -> const std::string& { return body.inputs[k].name; };
  std::vector<Value> adjoints, inputs;
  for (std::size_t k = 0; k < form.carries; ++k) {
    adjoints.push_back(r.Carry("adjoint/" + name(k), type(k), b.ScanPart(scan, g, k)));
  }
  for (std::size_t k = first_constant; k < args.size(); ++k) {
    if (summed[k]) out.sums[k] = r.Carry("sum/" + name(k), type(k), b.Filled(0, type(k).shape));
  }
  for (std::size_t k = 0; k < form.carries; ++k) inputs.push_back(r.Row(name(k), type(k), states[k]));
  for (std::size_t k = form.carries; k < first_constant; ++k) inputs.push_back(r.Row(name(k), type(k), args[k]));
  for (std::size_t k = form.carries; k < form.carries + form.ys; ++k) {
    const Output& o = body.outputs[k];
    adjoints.push_back(r.Row("adjoint/" + o.name, body.type(o.value), b.ScanPart(scan, g, k)));
  }
  for (std::size_t k = first_constant; k < args.size(); ++k) inputs.push_back(r.Constant(name(k), type(k), args[k]));
  if (form.index) inputs.push_back(r.Index());
  std::vector<int> wrt;
  for (std::size_t k = 0; k < args.size(); ++k) {
    if (k < form.carries || wanted[k]) wrt.push_back(static_cast<int>(k));
  }
  const std::vector<Value> d = Reverse(r.b, body, Inline(r.b, body, inputs), adjoints, wrt);
  for (std::size_t i = 0; i < wrt.size(); ++i) out.by[Z(wrt[i])] = OrZero(r.b, d[i], type(Z(wrt[i])).shape);
  return out;
}

// Which of the body's nodes differ from step to step.
std::vector<bool> VariesByStep(const Made& r) {
  const Function& f = r.b.function();
  std::vector<bool> inputs(f.inputs.size());
  for (std::size_t k = 0; k < inputs.size(); ++k)
    inputs[k] = k < r.form.carries + r.form.xs || (r.form.index && k + 1 == inputs.size());
  return VariesFrom(f, inputs);
}

std::vector<std::int64_t> AfterSteps(std::vector<std::int64_t> labels, std::int64_t steps) {
  labels.insert(labels.begin(), steps);
  return labels;
}

}  // namespace

// The adjoint of a constant is a sum over the steps: carried, or, where it is made of outer products, contracted after
// the scan from their factors; so is that of a row that is one outer product.
void ReverseScan(Builder& b, const Node& scan, const std::vector<Value>& args, Value y, Value g,
                 const std::vector<bool>& wanted, const std::function<void(std::size_t, Value)>& give) {
  const ScanForm form = FormOf(scan);
  const std::size_t first_constant = form.carries + form.xs;
  const std::vector<Value> states = States(b, scan, args, y);
  std::vector<bool> none(args.size()), summed(args.size());
  {
    ReverseBody trial = MakeReverse(b, scan, args, states, g, wanted, none);
    SumParts sums(trial.r.b.function(), VariesByStep(trial.r));
    for (std::size_t k = first_constant; k < args.size(); ++k)
      summed[k] = wanted[k] && !sums.Splits(trial.by[k]);
  }
  ReverseBody out = MakeReverse(b, scan, args, states, g, wanted, summed);
  Made& r = out.r;
  const auto name = [&](std::size_t k) -> const std::string& { return scan.body->inputs[k].name; };
  for (std::size_t k = 0; k < form.carries; ++k) r.b.Output("adjoint/" + name(k), out.by[k]);
  for (std::size_t k = first_constant; k < args.size(); ++k)
    if (summed[k]) r.b.Output("sum/" + name(k), r.b.Add(out.sums[k], out.by[k]));
  // What each step gives: the parts of the sums that split, then the adjoints of rows, whole or in two factors.
  SumParts sums(r.b.function(), VariesByStep(r));
  for (std::size_t k = first_constant; k < args.size(); ++k) if (wanted[k] && !summed[k]) sums.Take(out.by[k]);
  const auto output = [&](Value v) {
    r.b.Output(fmt::format("step/{}", r.form.ys), v);
    return r.form.ys++;
  };
  struct Given {
    std::size_t a, b;  // among the ys; b: none where it is a
    DotLabels labels;
  };
  const auto give_part = [&](const SumPart& p) {
    const std::size_t a = output(p.a);
    return Given{a, p.b.index < 0 ? a : output(p.b), p.labels};
  };
  std::vector<Given> parts, rows(args.size());
  for (const SumPart& p : sums.parts()) parts.push_back(give_part(p));
  for (std::size_t k = form.carries; k < first_constant; ++k) {
    if (!wanted[k]) continue;
    SumParts row(r.b.function(), VariesByStep(r));
    row.Take(out.by[k]);
    rows[k] = give_part(row.parts().size() == 1 && row.parts()[0].b.index >= 0 && r.b.node(out.by[k]).op == Op::kDot
                            ? row.parts()[0]
                            : SumPart{out.by[k], {}, {}});
  }
  Node reverse;
  const Value all = r.Finish(b, reverse);
  const std::size_t carries = r.form.carries;
  const auto ys = [&](std::size_t k) { return b.ScanPart(reverse, all, carries + k); };
  std::size_t part = 0;
  for (std::size_t k = 0; k < form.carries; ++k, ++part) {
    if (wanted[k]) give(k, b.ScanPart(reverse, all, part));
  }
  for (std::size_t k = first_constant; k < args.size(); ++k) {
    if (summed[k]) give(k, b.ScanPart(reverse, all, part++));
  }
  // One label more than any of the parts has, for the steps.
  const auto product = [&](const Given& p, bool summed_over) {
    std::int64_t steps = 0;
    for (const auto* labels : {&p.labels.a, &p.labels.b}) for (std::int64_t l : *labels) steps = std::max(steps, l + 1);
    return b.Dot(ys(p.a), ys(p.b), AfterSteps(p.labels.a, steps), AfterSteps(p.labels.b, steps),
                 summed_over ? p.labels.out : AfterSteps(p.labels.out, steps));
  };
  std::vector<Value> totals;
  for (const Given& p : parts) totals.push_back(p.a == p.b ? b.Reduce(Op::kReduceSum, ys(p.a), {0}) : product(p, true));
  std::map<std::int32_t, Value> outside;
  const Function& body = *reverse.body;
  const std::size_t constants = reverse.args.size() - carries - r.form.xs;
  for (std::size_t k = 0; k < constants; ++k)
    outside[body.inputs[carries + r.form.xs + k].value.index] = reverse.args[carries + r.form.xs + k];
  for (std::size_t k = first_constant; k < args.size(); ++k)
    if (wanted[k] && !summed[k]) give(k, sums.Rebuild(b, out.by[k], totals, outside));
  for (std::size_t k = form.carries; k < first_constant; ++k)
    if (wanted[k]) give(k, rows[k].a == rows[k].b ? ys(rows[k].a) : product(rows[k], false));
}

Value ForwardScan(Builder& b, const Node& scan, const std::vector<Value>& args, Value y,
                  const std::vector<Value>& tangents) {
  const ScanForm form = FormOf(scan);
  const Function& body = *scan.body;
  const std::size_t first_constant = form.carries + form.xs;
  const std::vector<Value> states = States(b, scan, args, y);
  const auto type = [&](std::size_t k) -> const Type& { return body.inputs[k].type; };
  const auto name = [&](std::size_t k) -> const std::string& { return body.inputs[k].name; };
  std::vector<bool> moves;  // which inputs have a tangent
  for (Value t : tangents) moves.push_back(!IsZero(t));
  // A carry without a tangent at first may get one in a step: until no more do.
  while (true) {
    Made r(body.name + "_forward");
    r.form.steps = form.steps;
    r.form.reverse = form.reverse;
    std::vector<Value> inputs, inner(body.inputs.size());
    const auto tangent_of = [&](std::size_t k) { return OrZero(b, tangents[k], b.shape(args[k])); };
    for (std::size_t k = 0; k < form.carries; ++k) {
      if (moves[k]) inner[k] = r.Carry("tangent/" + name(k), type(k), tangent_of(k));
    }
    for (std::size_t k = 0; k < form.carries; ++k) inputs.push_back(r.Row(name(k), type(k), states[k]));
    for (std::size_t k = form.carries; k < first_constant; ++k) {
      inputs.push_back(r.Row(name(k), type(k), args[k]));
      if (moves[k]) inner[k] = r.Row("tangent/" + name(k), type(k), tangents[k]);
    }
    for (std::size_t k = first_constant; k < args.size(); ++k) {
      inputs.push_back(r.Constant(name(k), type(k), args[k]));
      if (moves[k]) inner[k] = r.Constant("tangent/" + name(k), type(k), tangents[k]);
    }
    if (form.index) inputs.push_back(r.Index());
    const std::vector<Value> out = Forward(r.b, body, Inline(r.b, body, inputs), inner);
    bool grown = false;
    for (std::size_t k = 0; k < form.carries; ++k) {
      if (moves[k] || IsZero(out[k])) continue;
      moves[k] = grown = true;
    }
    if (grown) continue;
    std::vector<std::size_t> part(out.size(), out.size());  // of the tangents' value; out.size(): zero
    std::size_t parts = 0;
    for (std::size_t k = 0; k < out.size(); ++k) {
      if (k < form.carries ? !moves[k] : IsZero(out[k])) continue;
      const Shape shape = body.type(body.outputs[k].value).shape;
      r.b.Output("tangent/" + body.outputs[k].name, OrZero(r.b, out[k], shape));
      part[k] = parts++;
      if (k >= form.carries) ++r.form.ys;
    }
    if (parts == 0) return {};
    Node forward;
    const Value all = r.Finish(b, forward);
    const std::vector<std::int64_t> offsets = ScanOffsets(scan);
    std::vector<Value> flat;
    for (std::size_t k = 0; k < out.size(); ++k) {
      const Shape own{offsets[k + 1] - offsets[k]};
      flat.push_back(part[k] == out.size() ? b.Filled(0, own) : b.Reshape(b.ScanPart(forward, all, part[k]), own));
    }
    return b.Concat(std::move(flat), 0);
  }
}

}  // namespace amo::compiler
