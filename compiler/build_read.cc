// SPDX-License-Identifier: Apache-2.0
// Parameters and networks that start from files. A network's arrays are told by their order: of their layers first, as
// `0.weight`, `0.bias`, `2.weight` of PyTorch's state_dict stand, and inside a layer weights before biases.
#include <algorithm>
#include <cctype>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compiler/build_parts.h"

namespace amo::compiler {
namespace {

// Digits count as the numbers that they are: "2.weight" is before "10.weight".
bool NaturalLess(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::size_t i = 0, k = 0;
  while (i < a.size() && k < b.size()) {
    if (!digit(a[i]) || !digit(b[k])) {
      if (a[i] != b[k]) return a[i] < b[k];
      ++i, ++k;
      continue;
    }
    std::size_t end_a = i, end_b = k;
    while (end_a < a.size() && digit(a[end_a])) ++end_a;
    while (end_b < b.size() && digit(b[end_b])) ++end_b;
    const std::string x = a.substr(i, end_a - i), y = b.substr(k, end_b - k);
    if (x.size() != y.size() || x != y) return std::tuple(x.size(), x) < std::tuple(y.size(), y);
    i = end_a, k = end_b;
  }
  return a.size() - i < b.size() - k;
}

struct Place {
  std::string layer, name;
  int kind = 0;
};

Place PlaceOf(const std::string& field) {
  const std::size_t dot = field.rfind('.');
  Place place{dot == field.npos ? "" : field.substr(0, dot), dot == field.npos ? field : field.substr(dot + 1)};
  const auto has = [&](const char* part) { return place.name.find(part) != place.name.npos; };
  place.kind = (has("weight") ? 0 : has("bias") ? 3 : 6) + (has("_ih") ? 0 : has("_hh") ? 1 : 2);
  return place;
}

bool InOrder(const std::string& a, const std::string& b) {
  const Place x = PlaceOf(a), y = PlaceOf(b);
  if (x.layer != y.layer) return NaturalLess(x.layer, y.layer);
  if (x.kind != y.kind) return x.kind < y.kind;
  return NaturalLess(x.name, y.name);
}

// The file's arrays for this network: those under its name, `g.0.weight`, if there are any, else all.
std::vector<std::string> FieldsOf(const std::map<std::string, Type>& table, const std::string& network) {
  std::vector<std::string> all, own;
  for (const auto& [name, type] : table) {
    all.push_back(name);
    if (name.starts_with(network + ".")) own.push_back(name);
  }
  std::vector<std::string>& fields = own.empty() ? all : own;
  std::sort(fields.begin(), fields.end(), InOrder);
  return fields;
}

std::string ShapeText(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

void ReadNetwork(Scope& s, const lang::NetworkDecl& network) {
  const std::string& name = network.name.text;
  const auto* text = std::get_if<lang::String>(&network.source->node);
  if (!text) s.Unsupported(network.source->span, "a network from anything but a file");
  const auto table = s.tables.find(text->value);
  if (table == s.tables.end()) return;  // the file is not there: said where it is read
  std::vector<const Weight*> weights;
  for (const Weight& w : s.program.weights)
    if (w.input.starts_with("weight/" + name + "/")) weights.push_back(&w);
  if (weights.empty()) return;  // nothing calls it
  const std::vector<std::string> fields = FieldsOf(table->second, name);
  if (fields.size() != weights.size()) {
    s.Refuse(lang::Code::kShapeMismatch, network.source->span,
             fmt::format("`{}` holds {} arrays for `{}`, whose layers have {}", text->value, fields.size(), name,
                         weights.size()),
             fmt::format("it has `{}`", fmt::join(fields, "`, `")));
  }
  for (std::size_t k = 0; k < fields.size(); ++k) {
    const Shape& shape = weights[k]->type.shape;
    const Shape& row = table->second.at(fields[k]).shape;  // without the first axis, which the reader checks
    const bool fits = !shape.empty() && row == Shape(shape.begin() + 1, shape.end());
    if (!fits) {
      s.Refuse(lang::Code::kShapeMismatch, network.source->span,
               fmt::format("`{}` of `{}` has rows {}, and array {} of `{}` is {}", fields[k], text->value,
                           ShapeText(row), k, name, ShapeText(shape)),
               "arrays are taken layer by layer, weights before biases, as PyTorch's state_dict names them");
    }
    s.b.Output(weights[k]->input,
               s.b.Input(fmt::format("table/{}/{}", text->value, fields[k]), Role::kShared, weights[k]->type));
  }
}

}  // namespace

void BuildRead(Parts& parts) {
  Program& program = parts.program;
  std::vector<const lang::NetworkDecl*> networks;
  for (const auto& [name, decl] : parts.problem.names) {
    const auto* v = std::get_if<lang::ValueDecl>(&decl->node);
    const bool parameter =
        v && v->kind == lang::ValueKind::kParameter && v->origin == lang::ValueDecl::Origin::kRead;
    const auto* network = std::get_if<lang::NetworkDecl>(&decl->node);
    if (network && network->source) networks.push_back(network);
    if (parameter || (network && network->source)) program.read.push_back(name);
  }
  if (networks.empty()) return;
  program.weights_function = parts.Make("weights", {}, [&](Scope& s) {
    for (const lang::NetworkDecl* network : networks) ReadNetwork(s, *network);
    return !s.b.function().outputs.empty();
  });
}

}  // namespace amo::compiler
