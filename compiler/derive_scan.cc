// SPDX-License-Identifier: Apache-2.0
// Derivatives of scans. The body's values are computed again in each step of a derivative, from the stored carries; but
// for products whose entries are long sums, which are stored too where they are few.
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

constexpr std::int64_t kLongSum = 16;         // terms of an entry that is stored rather than added up again
constexpr std::int64_t kMostProducts = 4096;  // entries of all steps together, of one instance

std::int64_t TermsOf(const Function& f, const Node& n) {
  if (n.op != Op::kDot) return 0;
  const DotLabels labels = LabelsOf(f, n);
  std::int64_t terms = 1;
  std::vector<std::int64_t> seen = labels.out;
  const auto count = [&](const std::vector<std::int64_t>& own, const Shape& shape) {
    for (std::size_t d = 0; d < own.size(); ++d) {
      if (std::count(seen.begin(), seen.end(), own[d])) continue;
      seen.push_back(own[d]);
      terms *= shape[d];
    }
  };
  count(labels.a, f.type(n.args[0]).shape);
  count(labels.b, f.type(n.args[1]).shape);
  return terms;
}

// The products of a body that its derivatives need and that are long sums.
std::vector<Value> ProductsToStore(const Function& body, const ScanForm& form) {
  std::vector<bool> long_sum(body.nodes.size());
  bool any = false;
  for (std::size_t i = 0; i < body.nodes.size(); ++i)
    any = (long_sum[i] = TermsOf(body, body.nodes[i]) >= kLongSum) || any;
  if (!any) return {};
  Builder b("trial");
  std::vector<Value> inputs, adjoints;
  std::vector<int> wrt;
  for (std::size_t k = 0; k < body.inputs.size(); ++k) {
    inputs.push_back(b.Input(body.inputs[k].name, Role::kInstance, body.inputs[k].type));
    if (body.inputs[k].type.elem == Elem::kReal) wrt.push_back(static_cast<int>(k));
  }
  for (std::size_t k = 0; k < body.outputs.size(); ++k)
    adjoints.push_back(b.Input(fmt::format("adjoint/{}", k), Role::kInstance, body.type(body.outputs[k].value)));
  const std::vector<Value> values = Inline(b, body, inputs);
  const std::vector<Value> d = Reverse(b, body, values, adjoints, wrt);
  // From the adjoints back to the first such products: what lies behind them is not needed.
  std::vector<bool> needed(b.function().nodes.size()), stops(needed.size());
  for (std::size_t i = 0; i < values.size(); ++i) if (long_sum[i]) stops[Z(values[i].index)] = true;
  for (Value v : d) if (!IsZero(v)) needed[Z(v.index)] = true;
  for (std::size_t i = needed.size(); i-- > 0;)
    if (needed[i] && !stops[i]) for (Value a : b.function().nodes[i].args) needed[Z(a.index)] = true;
  std::vector<bool> steps(body.inputs.size());  // what every step computes alike is moved out of the scan
  for (std::size_t k = 0; k < steps.size(); ++k)
    steps[k] = k < form.carries + form.xs || (form.index && k + 1 == steps.size());
  const std::vector<bool> varies = VariesFrom(body, steps);
  std::vector<Value> products;
  std::int64_t entries = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!long_sum[i] || !varies[i] || !needed[Z(values[i].index)]) continue;
    products.push_back({static_cast<std::int32_t>(i)});
    entries += form.steps * Count(body.nodes[i].type.shape);
  }
  return entries <= kMostProducts ? products : std::vector<Value>{};
}

// The scan with every carry among its ys, and the products that derivatives need; what it had keeps its place.
Node Storing(const Node& scan) {
  Node n = scan;
  Function body = WithStates(*scan.body);
  const ScanForm form = FormOf(scan);
  for (std::size_t k = 0; k < form.carries; ++k) {
    if (StoredAt(scan, k) < scan.body->outputs.size()) continue;
    body.outputs.push_back({"state/" + body.inputs[k].name, body.inputs[k].value});
    ++n.attr[3];
  }
  for (Value v : ProductsToStore(body, form)) {
    const auto is = [&](const Output& o) { return o.value == v; };
    if (std::any_of(body.outputs.begin() + static_cast<std::ptrdiff_t>(form.carries), body.outputs.end(), is)) continue;
    body.outputs.push_back({fmt::format("product/{}", v.index), v});
    ++n.attr[3];
  }
  n.body = std::make_shared<const Function>(std::move(body));
  return n;
}

// What all steps saw, [H, ..] each: the carries, and the products that the scan stores, by node of its body.
struct Stored {
  std::vector<Value> states;
  std::map<std::int32_t, Value> products;
};

// Parts of `y` where the scan stores its carries, else of a scan made here.
Stored StoredBy(Builder& b, const Node& scan, const std::vector<Value>& args, Value y) {
  const ScanForm form = FormOf(scan);
  bool all = true;
  for (std::size_t k = 0; k < form.carries; ++k) all = all && StoredAt(scan, k) < scan.body->outputs.size();
  const Node storing = all ? scan : Storing(scan);
  const Value stored = all ? y : b.Copy(storing, args);
  Stored out;
  for (std::size_t k = 0; k < form.carries; ++k)
    out.states.push_back(b.ScanPart(storing, stored, StoredAt(storing, k)));
  if (!all) return out;  // the nodes of its body are others than those of the scan's
  for (std::size_t k = form.carries; k < scan.body->outputs.size(); ++k) {
    const Value v = scan.body->outputs[k].value;
    if (TermsOf(*scan.body, scan.body->node(v)) >= kLongSum) out.products.emplace(v.index, b.ScanPart(scan, y, k));
  }
  return out;
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
ReverseBody MakeReverse(Builder& b, const Node& scan, const std::vector<Value>& args, const Stored& stored, Value g,
                        const std::vector<bool>& wanted, const std::vector<bool>& summed) {
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
  for (std::size_t k = 0; k < form.carries; ++k) inputs.push_back(r.Row(name(k), type(k), stored.states[k]));
  for (std::size_t k = form.carries; k < first_constant; ++k) inputs.push_back(r.Row(name(k), type(k), args[k]));
  std::map<std::int32_t, Value> products;
  for (const auto& [node, rows] : stored.products)
    products[node] = r.Row(fmt::format("product/{}", node), body.type({node}), rows);
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
  const std::vector<Value> d = Reverse(r.b, body, Inline(r.b, body, inputs, products), adjoints, wrt);
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
  const Stored stored = StoredBy(b, scan, args, y);
  std::vector<bool> none(args.size()), summed(args.size());
  {
    ReverseBody trial = MakeReverse(b, scan, args, stored, g, wanted, none);
    SumParts sums(trial.r.b.function(), VariesByStep(trial.r));
    for (std::size_t k = first_constant; k < args.size(); ++k)
      summed[k] = wanted[k] && !sums.Splits(trial.by[k]);
  }
  ReverseBody out = MakeReverse(b, scan, args, stored, g, wanted, summed);
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
  const std::vector<Value> states = StoredBy(b, scan, args, y).states;
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
