// SPDX-License-Identifier: Apache-2.0
// Networks as expressions: a builder becomes layers whose weights are shared inputs, so that a network runs on every
// executor like any other function.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/scope.h"

namespace amo::compiler {
namespace {

struct Activation {
  const char* name;
  Op op;
};
constexpr Activation kActivations[] = {{"tanh", Op::kTanh}, {"sigmoid", Op::kSigmoid}, {"softplus", Op::kSoftplus}};

}  // namespace

Term Scope::Network(const std::string& name, const lang::Expr* written, const std::vector<Term>& args,
                    const Shape& result, lang::Span at) {
  const lang::Span span = written ? written->span : at;
  const auto* call = written ? std::get_if<lang::Call>(&written->node) : nullptr;
  const auto* word = written ? std::get_if<lang::Name>(call ? &call->callee->node : &written->node) : nullptr;
  const std::string kind = !written ? "mlp" : word ? word->name.text : "";
  if (kind != "mlp" && kind != "linear") Unsupported(span, fmt::format("the builder `{}`", kind));
  std::vector<std::int64_t> widths;
  if (!written) widths = {256, 256};  // what lang::Defaults says
  std::string activation = "relu";
  if (call) {
    for (const lang::Argument& a : call->args) {
      const std::string key = a.keyword ? a.keyword->text : "";
      if (key == "hidden" && kind == "mlp") {
        const auto* list = std::get_if<lang::Array>(&a.value->node);
        if (!list)
          Refuse(lang::Code::kTypeMismatch, a.value->span, "`hidden` is a list of widths, as in `hidden = [64, 64]`");
        for (const lang::ExprPtr& w : list->items) widths.push_back(static_cast<std::int64_t>(Constant(*w, "a width")));
      } else if (key == "activation" && kind == "mlp") {
        if (const auto* n = std::get_if<lang::Name>(&a.value->node)) activation = n->name.text;
      } else {
        Refuse(lang::Code::kUnknownKeyword, a.keyword ? a.keyword->span : a.value->span,
               fmt::format("`{}` has no setting `{}`", kind, key), "`mlp` knows hidden and activation");
      }
    }
  }
  widths.push_back(Count(result));
  std::vector<Term> flat;
  for (const Term& t : args) flat.push_back(Flat(Real(t)));
  Term h = Concat(std::move(flat), 0, at);
  for (std::size_t layer = 0; layer < widths.size(); ++layer) {
    const std::int64_t in = Own(h)[0], out = widths[layer];
    const auto weight = [&](int k, Shape shape, double bound) {
      const std::string input = fmt::format("weight/{}/{}", name, 2 * layer + static_cast<std::size_t>(k));
      const bool known = std::any_of(program.weights.begin(), program.weights.end(),
                                     [&](const Weight& w) { return w.input == input; });
      if (!known) program.weights.push_back({input, {Elem::kReal, shape}, bound});
      const int have = b.function().FindInput(input);
      return Of(have >= 0 ? b.function().inputs[static_cast<std::size_t>(have)].value
                          : b.Input(input, Role::kShared, {Elem::kReal, shape}));
    };
    // Uniform in ±1 / sqrt(fan in), as LibTorch's linear layer starts.
    const double bound = 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(in, 1)));
    const Term matrix = weight(0, {out, in}, bound),
               offset = weight(1, {out}, bound);  // in this order, by every compiler
    h = Add(Contract(h, matrix, {0}, {1, 0}, {1}), offset);
    if (layer + 1 == widths.size()) break;
    const auto* row = std::find_if(std::begin(kActivations), std::end(kActivations),
                                   [&](const Activation& a) { return activation == a.name; });
    if (row != std::end(kActivations)) h = Unary(row->op, h);
    else if (activation == "relu") h = Binary(Op::kMax, h, Number(0), at, "relu");
    else if (activation == "elu") {  // exp is taken of what is not positive only
      const Term low = Binary(Op::kMin, h, Number(0), at, "min");
      h = Add(Binary(Op::kMax, h, Number(0), at, "max"), Unary(Op::kExpm1, low));
    } else {
      Unsupported(span, fmt::format("the activation `{}`", activation));
    }
  }
  return Reshaped(h, result);
}

}  // namespace amo::compiler
