// SPDX-License-Identifier: Apache-2.0
// Networks as expressions: a builder becomes layers whose weights are shared inputs, or parts of a vector, so that a
// network runs on every executor like any other function.
#include "compiler/build_network.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

namespace amo::compiler {
namespace {

struct BuilderRow {
  const char* name;
  std::vector<std::string> settings;
  BuilderFunction make;
};
const std::vector<BuilderRow> kBuilders = {
    {"mlp", {"hidden", "activation"}, MlpNet},
    {"linear", {}, LinearNet},
    {"chain", {}, Chain},
    {"resnet", {"layers", "hidden", "activation"}, ResidualNet},
    {"convnet", {"channels", "hidden", "activation"}, ConvolutionNet},
    {"gru", {"layers", "hidden"}, GruCell},
    {"lstm", {"layers", "hidden"}, LstmCell},
    {"transformer", {"layers", "heads", "hidden"}, Transformer},
    {"deepset", {"hidden", "activation"}, DeepSet},
    {"icnn", {"hidden", "activation"}, ConvexNet},
    {"gnn", {"layers", "hidden", "activation"}, GraphNet},
};

struct ActivationRow {
  const char* name;
  Term (*apply)(Scope& s, const Term& x);
};
constexpr ActivationRow kActivations[] = {
    {"relu", [](Scope& s, const Term& x) { return s.Binary(Op::kMax, x, s.Number(0), {}, "relu"); }},
    {"elu",  // exp is taken of what is not positive only
     [](Scope& s, const Term& x) {
       const Term low = s.Binary(Op::kMin, x, s.Number(0), {}, "min");
       return s.Add(s.Binary(Op::kMax, x, s.Number(0), {}, "max"), s.Unary(Op::kExpm1, low));
     }},
    {"tanh", [](Scope& s, const Term& x) { return s.Unary(Op::kTanh, x); }},
    {"sigmoid", [](Scope& s, const Term& x) { return s.Unary(Op::kSigmoid, x); }},
    {"softplus", [](Scope& s, const Term& x) { return s.Unary(Op::kSoftplus, x); }},
    {"gelu",
     [](Scope& s, const Term& x) {
       const Term share = s.Unary(Op::kErf, s.Mul(x, s.Number(1 / std::numbers::sqrt2)));
       return s.Mul(s.Mul(s.Number(0.5), x), s.Add(s.Number(1), share));
     }},
    {"silu", [](Scope& s, const Term& x) { return s.Mul(x, s.Unary(Op::kSigmoid, x)); }},
};

const ActivationRow* FindActivation(const std::string& name) {
  const auto row = std::find_if(std::begin(kActivations), std::end(kActivations),
                                [&](const ActivationRow& a) { return name == a.name; });
  return row == std::end(kActivations) ? nullptr : row;
}

void CheckSettings(Net& net, const BuilderRow& row) {
  if (!net.settings || net.kind == "chain") return;  // a chain's arguments are its layers
  for (const lang::Argument& a : net.settings->args) {
    const std::string key = a.keyword ? a.keyword->text : "";
    if (std::count(row.settings.begin(), row.settings.end(), key)) continue;
    net.s.Refuse(lang::Code::kUnknownKeyword, a.keyword ? a.keyword->span : a.value->span,
                 fmt::format("`{}` has no setting `{}`", net.kind, key),
                 row.settings.empty() ? fmt::format("`{}` has no settings at all", net.kind)
                                      : fmt::format("`{}` knows {}", net.kind, fmt::join(row.settings, ", ")));
  }
}

}  // namespace

bool IsActivation(const std::string& name) { return FindActivation(name) != nullptr; }

// ---- settings

const lang::Expr* Net::Find(const std::string& key) const {
  if (!settings) return nullptr;
  for (const lang::Argument& a : settings->args) if (a.keyword && a.keyword->text == key) return a.value.get();
  return nullptr;
}

std::int64_t Net::Whole(const std::string& key, std::int64_t otherwise) const {
  const lang::Expr* e = Find(key);
  return e ? static_cast<std::int64_t>(s.Constant(*e, fmt::format("the setting `{}`", key))) : otherwise;
}

std::vector<std::int64_t> Net::Sizes(const std::string& key, std::vector<std::int64_t> otherwise) const {
  const lang::Expr* e = Find(key);
  if (!e) return otherwise;
  const auto* list = std::get_if<lang::Array>(&e->node);
  if (!list)
    s.Refuse(lang::Code::kTypeMismatch, e->span, fmt::format("`{}` is a list, as in `{} = [64, 64]`", key, key));
  std::vector<std::int64_t> sizes;
  for (const lang::ExprPtr& w : list->items) sizes.push_back(static_cast<std::int64_t>(s.Constant(*w, "a width")));
  return sizes;
}

std::string Net::Activation(const std::string& otherwise) const {
  const lang::Expr* e = Find("activation");
  const auto* n = e ? std::get_if<lang::Name>(&e->node) : nullptr;
  return n ? n->name.text : otherwise;
}

// ---- layers

Term Net::Dense(const Term& x, std::int64_t out) {
  const Shape own = s.Own(x);
  const auto last = static_cast<std::int64_t>(own.size()) - 1;
  const double bound = BoundOf(own.back());
  const Term matrix = Weight({out, own.back()}, bound),
             offset = Weight({out}, bound);  // in this order, by every compiler
  std::vector<std::int64_t> labels, to;
  for (std::int64_t d = 0; d <= last; ++d) labels.push_back(d), to.push_back(d < last ? d : last + 1);
  const Term y = s.Contract(x, matrix, labels, {last + 1, last}, to);
  return s.Add(y, Along(offset, s.Own(y)));
}

Term Net::Along(const Term& v, const Shape& own) {
  std::vector<std::int64_t> map(own.size(), -1);
  map.back() = 0;
  return s.Spread(v, map, own);
}

Term Net::Activated(const std::string& activation, const Term& x) {
  const ActivationRow* row = FindActivation(activation);
  if (!row) s.Unsupported(at, fmt::format("the activation `{}`", activation));
  return row->apply(s, x);
}

Term Net::Joined(const std::vector<Term>& args) {
  std::vector<Term> flat;
  for (const Term& t : args) flat.push_back(s.Flat(s.Real(t)));
  return s.Concat(std::move(flat), 0, called);
}

Term Net::Mlp(Term x, const std::vector<std::int64_t>& hidden, const std::string& activation, std::int64_t out) {
  for (std::int64_t width : hidden) x = Activated(activation, Dense(x, width));
  return Dense(x, out);
}

Term Net::Part(const Term& x, std::int64_t from, std::int64_t count) const {
  std::vector<std::int64_t> starts(x.axes.size() + 1);
  Shape shape = s.b.shape(x.value);
  starts.back() = from;
  shape.back() = count;
  return {s.b.Slice(x.value, starts, shape), x.axes, false, -1, 0};
}

void Net::NeedsCount(const Term& x, const Shape& result) const {
  if (Count(s.Own(x)) == Count(result)) return;
  s.Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("this `{}` gives shape `[{}]`, declared is `[{}]`", kind, fmt::join(s.Own(x), ", "),
                       fmt::join(result, ", ")));
}

// ---- weights

Term Scope::WeightOf(NetworkWeights& w, const Shape& shape, double bound, lang::Span at) {
  const std::int64_t count = Count(shape), from = w.count;
  const std::string input = fmt::format("weight/{}/{}", w.name, w.arrays.size());
  w.arrays.push_back({count, bound});
  w.count += count;
  switch (w.from) {
    case NetworkWeights::From::kCounted: return Of(b.Filled(0, shape));
    case NetworkWeights::From::kGiven: {
      const Term& all = *w.given;
      if (w.count > Own(all)[0])
        Refuse(lang::Code::kShapeMismatch, at,
               fmt::format("the network `{}` has more than the {} weights that are given", w.name, Own(all)[0]),
               fmt::format("declare them as `real[weights({})]`", w.name));
      std::vector<std::int64_t> starts(all.axes.size() + 1);
      Shape part = b.shape(all.value);
      starts.back() = from;
      part.back() = count;
      return Reshaped({b.Slice(all.value, starts, part), all.axes, false, -1, 0}, shape);
    }
    case NetworkWeights::From::kOwn: break;
  }
  const bool known =
      std::any_of(program.weights.begin(), program.weights.end(), [&](const Weight& x) { return x.input == input; });
  Shape whole = w.family;
  whole.insert(whole.end(), shape.begin(), shape.end());
  if (!known) program.weights.push_back({input, {Elem::kReal, whole}, bound});
  Term t = InputOnce(input, Role::kShared, {Elem::kReal, whole});
  for (const Term& member : w.member) t = GatherOne(t, 0, member);
  return t;
}

const lang::NetworkDecl* Scope::FindNetwork(const std::string& name) const {
  const auto it = problem.names.find(name);
  return it == problem.names.end() ? nullptr : std::get_if<lang::NetworkDecl>(&it->second->node);
}

void Scope::RefuseBodiless(const lang::NetworkDecl& network) {
  Refuse(lang::Code::kMissingPart, network.name.span,
         fmt::format("the file gives the weights of `{}`, and nothing its layers", network.name.text),
         "write them before `from`: `= mlp(hidden = [64]) from \"file.safetensors\"`");
}

std::vector<NetworkWeights::Array> Scope::WeightArrays(const lang::NetworkDecl& network) {
  Builder scratch("weights");
  Scope s(scratch, problem, tables, program, {}, diagnostics);
  std::vector<Term> args;
  for (const lang::Param& p : network.params) args.push_back(s.Of(scratch.Filled(0, s.Dims(p.type))));
  NetworkWeights weights{NetworkWeights::From::kCounted, network.name.text, nullptr, {}, 0, {}, {}};
  s.NetworkFrom(weights, &LayersOf(network), args, s.Dims(network.result), network.name.span);
  return weights.arrays;
}

std::int64_t Scope::WeightCount(const lang::NetworkDecl& network) {
  std::int64_t count = 0;
  for (const NetworkWeights::Array& a : WeightArrays(network)) count += a.count;
  return count;
}

std::vector<double> Scope::WeightBounds(const lang::NetworkDecl& network) {
  std::vector<double> bounds;
  for (const NetworkWeights::Array& a : WeightArrays(network)) {
    bounds.insert(bounds.end(), static_cast<std::size_t>(a.count), a.bound);
  }
  return bounds;
}

// ---- calls

Term Scope::CallNetwork(const lang::NetworkDecl& named, const lang::Call& call,
                        const std::vector<lang::IndexItem>& member, const lang::Expr& e) {
  const auto replaced = worlds.back().networks.find(named.name.text);
  const lang::NetworkDecl& network = replaced == worlds.back().networks.end() ? named : *replaced->second;
  const std::string& name = network.name.text;
  const lang::Expr& layers = LayersOf(network);
  if (call.args.size() != network.params.size())
    Refuse(lang::Code::kArgumentCount, e.span,
           fmt::format("`{}` takes {} arguments, {} are given", name, network.params.size(), call.args.size()));
  std::vector<Term> args;
  for (std::size_t k = 0; k < call.args.size(); ++k)
    args.push_back(Declared(Eval(*call.args[k].value), network.params[k].type, call.args[k].value->span));
  const Shape result = Dims(network.result);
  if (!call.weights.empty()) {
    std::vector<Term> parts;
    for (const lang::ExprPtr& w : call.weights) parts.push_back(Flat(Real(Eval(*w))));
    const Term given = Concat(std::move(parts), 0, call.weights[0]->span);
    return Network(name, &layers, args, result, call.weights[0]->span, &given);
  }
  NetworkWeights weights{NetworkWeights::From::kOwn, name, nullptr, {}, 0, {}, {}};
  if (member.size() != network.index.size())
    Refuse(lang::Code::kShapeMismatch, e.span,
           fmt::format("`{}` is a family of networks over {} indices, {} are given", name, network.index.size(),
                       member.size()));
  for (std::size_t k = 0; k < member.size(); ++k) {
    const lang::Binder& binder = network.index[k];
    const double lo = binder.lo ? Constant(*binder.lo, "the start of a range") : 0;
    weights.family.push_back(static_cast<std::int64_t>(Constant(*binder.hi, "the end of a range") - lo));
    if (member[k].kind != lang::IndexItem::Kind::kAt) Unsupported(e.span, "a range of networks");
    const Term at = Eval(*member[k].at);
    const auto known = TryConstant(*member[k].at);
    if (known && (*known < lo || *known >= lo + static_cast<double>(weights.family.back())))
      Refuse(lang::Code::kDomain, member[k].at->span,
             fmt::format("the index {} leaves the family of {} networks", *known, weights.family.back()));
    weights.member.push_back(lo == 0 ? at : Sub(at, Number(lo, Elem::kInt)));
  }
  return NetworkFrom(weights, &layers, args, result, e.span);
}

// ---- the network

Term Scope::NetworkFrom(NetworkWeights& weights, const lang::Expr* written, const std::vector<Term>& args,
                        const Shape& result, lang::Span at) {
  const lang::Span span = written ? written->span : at;
  const auto* call = written ? std::get_if<lang::Call>(&written->node) : nullptr;
  const auto* word = written ? std::get_if<lang::Name>(call ? &call->callee->node : &written->node) : nullptr;
  const std::string kind = !written ? "mlp" : word ? word->name.text : "";
  const auto row =
      std::find_if(kBuilders.begin(), kBuilders.end(), [&](const BuilderRow& k) { return kind == k.name; });
  if (row == kBuilders.end()) Unsupported(span, fmt::format("the builder `{}`", kind));
  Net net{*this, weights, kind, call, span, at};
  CheckSettings(net, *row);
  // What lang::Defaults says.
  if (!written) return Reshaped(net.Mlp(net.Joined(args), {256, 256}, "relu", Count(result)), result);
  const Term y = row->make(net, args, result);
  net.NeedsCount(y, result);
  return Reshaped(y, result);
}

Term Scope::Network(const std::string& name, const lang::Expr* written, const std::vector<Term>& args,
                    const Shape& result, lang::Span at, const Term* given) {
  NetworkWeights weights{given ? NetworkWeights::From::kGiven : NetworkWeights::From::kOwn, name, given, {}, 0, {}, {}};
  const Term y = NetworkFrom(weights, written, args, result, at);
  if (given && weights.count != Own(*given)[0])
    Refuse(lang::Code::kShapeMismatch, at,
           fmt::format("the network `{}` has {} weights, {} are given", name, weights.count, Own(*given)[0]),
           fmt::format("declare them as `real[weights({})]`", name));
  return y;
}

}  // namespace amo::compiler
