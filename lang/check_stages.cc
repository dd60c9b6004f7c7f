// SPDX-License-Identifier: Apache-2.0
// Models, solvers and networks: builders, layers, refinements, and the settings of all of them.
#include <fmt/format.h>

#include <algorithm>

#include "lang/checker.h"

namespace amo::lang {
namespace {

struct Callee {
  const Ident* name = nullptr;
  const Call* call = nullptr;
};

Callee CalleeOf(const Expr& expr) {
  if (const auto* name = std::get_if<Name>(&expr.node)) return {&name->name, nullptr};
  if (const auto* call = std::get_if<Call>(&expr.node)) {
    if (const auto* name = std::get_if<Name>(&call->callee->node)) return {&name->name, call};
  }
  return {};
}

const Argument* FindArgument(const Call* call, std::string_view keyword, std::size_t position) {
  if (call == nullptr) return nullptr;
  for (std::size_t i = 0; i < call->args.size(); ++i) {
    const Argument& argument = call->args[i];
    if (argument.keyword ? argument.keyword->text == keyword : i == position) return &argument;
  }
  return nullptr;
}

std::string ShapeOf(const std::vector<Dim>& dims) { return ShapeText({Elem::kReal, dims, false}); }

}  // namespace

const Builtin* Checker::FindPart(const Expr& expr, Space space) {
  const Callee callee = CalleeOf(expr);
  const std::string_view kind = SpaceText(space);
  if (callee.name == nullptr) {
    out_->Error(Code::kTypeMismatch, expr.span, fmt::format("{} is needed here, {} is none", kind, Quote(expr)));
    return nullptr;
  }
  const std::string& name = callee.name->text;
  if (const Builtin* builtin = FindBuiltin(space, name)) return builtin;
  const std::string_view what = kind.substr(kind.find(' ') + 1);
  Diagnostic& error =
      out_->Error(Code::kUnknownName, callee.name->span, fmt::format("no {} is called `{}`", what, name));
  std::vector<std::string> known = BuiltinNames(space);
  if (space == Space::kLayer) {
    for (std::string& activation : BuiltinNames(Space::kActivation)) known.push_back(std::move(activation));
  }
  const std::string near = Nearest(name, known);
  if (space == Space::kBuilder && FindBuiltin(Space::kRefinement, name) != nullptr) {
    error.Help(fmt::format("`{}` is a refinement: write `zeros then {}`", name, name));
  } else if (space == Space::kRefinement && FindBuiltin(Space::kBuilder, name) != nullptr) {
    error.Help(fmt::format("`{}` is a builder: it stands first, refinements follow `then`", name));
  } else if (space == Space::kBuilder && DeclOf(name) != nullptr) {
    error.Help(fmt::format("`{}` is {}: a prediction by a formula is `model y = {}`", name, KindOf(name),
                           Quote(expr) == "this" ? "…" : Quote(expr).substr(1, Quote(expr).size() - 2)));
  } else if (!near.empty()) {
    error.Help(fmt::format("did you mean `{}`?", near));
  } else if (known.size() <= 16) {
    error.Help(fmt::format("there are `{}`", fmt::join(known, "`, `")));
  }
  return nullptr;
}

// ---- settings

void Checker::CheckSetting(const Expr& value, const Parameter& param) {
  switch (param.accepts) {
    case Accepts::kNumber:
    case Accepts::kArray: {
      const Type type = InferNumber(value);
      if (param.accepts == Accepts::kNumber && !type.is_error() && !type.is_scalar()) {
        out_->Error(Code::kNotScalar, value.span,
                    fmt::format("`{}` is a single number, this has shape `{}`", param.name, ShapeText(type)));
      }
      CheckDomain(value, param);
      return;
    }
    case Accepts::kWhole: {
      const Type type = InferNumber(value);
      const std::optional<double> number = NumberOf(value);
      const bool is_whole =
          type.elem == Elem::kInt || (number && *number == static_cast<double>(static_cast<long long>(*number)));
      if (!type.is_error() && (!type.is_scalar() || !is_whole)) {
        out_->Error(Code::kTypeMismatch, value.span,
                    fmt::format("`{}` is a whole number, this is `{}`", param.name, ToString(type)));
        return;
      }
      CheckDomain(value, param);
      return;
    }
    case Accepts::kBool: {
      const Type type = InferValue(value);
      if (!type.is_error() && (type.elem != Elem::kBool || !type.is_scalar()))
        out_->Error(Code::kTypeMismatch, value.span,
                    fmt::format("`{}` is `true` or `false`, this is `{}`", param.name, ToString(type)));
      return;
    }
    case Accepts::kSizes: {
      const Type type = InferNumber(value);
      if (!type.is_error() && type.dims.size() != 1) {
        out_->Error(Code::kTypeMismatch, value.span,
                    fmt::format("`{}` is a list, this is `{}`", param.name, ToString(type)))
            .Help(fmt::format("write `{} = [64]`", param.name));
      }
      return;
    }
    case Accepts::kActivation:
      FindPart(value, Space::kActivation);
      return;
    case Accepts::kGradient:
      if (const Builtin* mode = FindPart(value, Space::kGradient)) CheckSettings(value, *mode);
      return;
    case Accepts::kNetwork: {
      const Expr* network = &value;
      if (const auto* index = std::get_if<Index>(&value.node)) {
        network = index->base.get();
        for (const IndexItem& item : index->items) {
          if (item.at != nullptr) InferWhole(*item.at, "the index of a network");
        }
      }
      const Callee callee = CalleeOf(*network);
      const Decl* decl = callee.name == nullptr ? nullptr : DeclOf(callee.name->text);
      if (callee.name != nullptr && callee.call == nullptr && decl == nullptr) {
        ReportUnknown(*callee.name);
      } else if (decl == nullptr || (!decl->broken && !std::holds_alternative<NetworkDecl>(decl->node))) {
        out_->Error(Code::kTypeMismatch, value.span, fmt::format("a network is needed here, {} is none", Quote(value)));
      }
      return;
    }
    case Accepts::kWord: {
      const std::vector<std::string> words =
          param.name == "split"        ? std::vector<std::string>{"none"}
          : param.name == "infeasible" ? std::vector<std::string>{"skip", "keep"}
          : param.name == "constraints" ? std::vector<std::string>{"penalty", "lagrangian"}
                                        : std::vector<std::string>{"cg", "anderson", "dense"};
      const Callee callee = CalleeOf(value);
      if (callee.name != nullptr && callee.call == nullptr &&
          std::find(words.begin(), words.end(), callee.name->text) != words.end())
        return;
      if (param.name == "split" && callee.name == nullptr) {
        InferNumber(value);
        CheckDomain(value, param);
        return;
      }
      out_->Error(Code::kUnknownName, value.span, fmt::format("`{}` knows no {}", param.name, Quote(value)))
          .Help(fmt::format("it is one of `{}`", fmt::join(words, "`, `")));
      return;
    }
    case Accepts::kAny:
      Infer(value);
      return;
  }
}

void Checker::CheckSettings(const Expr& expr, const Builtin& builtin) {
  const Call* call = CalleeOf(expr).call;
  std::size_t positional = 0;
  std::set<std::string> given;
  std::vector<std::string> known;
  for (const Parameter& param : builtin.params) known.emplace_back(param.name);
  for (std::size_t i = 0; call != nullptr && i < call->args.size(); ++i) {
    const Argument& argument = call->args[i];
    if (argument.keyword) {
      const std::string& key = argument.keyword->text;
      if (!given.insert(key).second)
        out_->Error(Code::kDuplicatePart, argument.keyword->span, fmt::format("`{}` is set twice", key));
      if (const Parameter* param = FindParameter(builtin.params, key)) {
        CheckSetting(*argument.value, *param);
        continue;
      }
      Diagnostic& error = out_->Error(Code::kUnknownKeyword, argument.keyword->span,
                                      fmt::format("`{}` has no setting `{}`", builtin.name, key));
      const std::string near = Nearest(key, known);
      error.Help(!near.empty()   ? fmt::format("did you mean `{}`?", near)
                 : known.empty() ? fmt::format("it has no settings at all")
                                 : fmt::format("its settings are `{}`", fmt::join(known, "`, `")));
      continue;
    }
    const bool takes = builtin.max_args < 0 || positional < static_cast<std::size_t>(builtin.max_args);
    if (takes) {
      if (positional < builtin.params.size()) {
        CheckSetting(*argument.value, builtin.params[positional]);
      } else {
        InferNumber(*argument.value);
      }
      ++positional;
      continue;
    }
    // `mlp(hidden [64])`: without its `=` a setting reads as an index.
    const Expr* value = argument.value.get();
    if (const auto* index = std::get_if<Index>(&value->node)) value = index->base.get();
    const auto* name = std::get_if<Name>(&value->node);
    if (name != nullptr && FindParameter(builtin.params, name->name.text) != nullptr) {
      const bool is_index = value != argument.value.get();
      const std::string_view rest =
          program_.sources.Text({value->span.end, argument.value->span.end, value->span.source});
      const std::size_t start = rest.find_first_not_of(' ');
      out_->Error(Code::kUnknownKeyword, argument.value->span,
                  fmt::format("the setting `{}` has no `=`", name->name.text))
          .Help(is_index ? fmt::format("write `{} = {}`", name->name.text,
                                       rest.substr(start == std::string_view::npos ? 0 : start))
                         : fmt::format("write `{} = …`", name->name.text));
      continue;
    }
    Diagnostic& error = out_->Error(Code::kArgumentCount, argument.value->span,
                                    builtin.max_args == 0 ? fmt::format("`{}` takes its settings by name", builtin.name)
                                                          : fmt::format("`{}` has no place for this", builtin.name));
    error.Help(known.empty() ? fmt::format("`{}`", builtin.usage)
                             : fmt::format("its settings are `{}`", fmt::join(known, "`, `")));
    return;
  }
  std::size_t present = positional;
  for (std::size_t i = positional; i < static_cast<std::size_t>(builtin.min_args) && i < builtin.params.size(); ++i) {
    if (given.contains(std::string(builtin.params[i].name))) ++present;
  }
  if (present < static_cast<std::size_t>(builtin.min_args)) {
    out_->Error(Code::kArgumentCount, expr.span,
                fmt::format("`{}` needs {} {}", builtin.name, builtin.min_args,
                            builtin.min_args == 1 ? "argument" : "arguments"))
        .Help(fmt::format("`{}`", builtin.usage));
  }
}

// ---- builders

void Checker::CheckBuilder(const Expr& builder, const std::vector<Dim>* input, const Type* output) {
  const Builtin* builtin = FindPart(builder, Space::kBuilder);
  if (builtin == nullptr) return;
  if (builtin->name != "chain") return CheckSettings(builder, *builtin);
  const Call* call = CalleeOf(builder).call;
  if (call == nullptr || call->args.empty()) {
    out_->Error(Code::kArgumentCount, builder.span, "a `chain` has at least one layer")
        .Help("`chain(dense(64), relu, dense(10))`");
    return;
  }
  CheckChain(*call, input, output, builder.span);
}

// The size of what enters a layer is followed as far as it is known; a chain gives exactly what its last layer gives.
void Checker::CheckChain(const Call& chain, const std::vector<Dim>* input, const Type* output, Span at) {
  std::optional<std::vector<Dim>> dims;
  if (input != nullptr) dims = *input;
  for (const Argument& argument : chain.args) {
    const Expr& layer = *argument.value;
    if (argument.keyword) {
      out_->Error(Code::kUnknownKeyword, argument.keyword->span, "`chain` takes layers, it has no settings");
      return;
    }
    const Callee callee = CalleeOf(layer);
    const bool is_activation = callee.name != nullptr && callee.call == nullptr &&
                               FindBuiltin(Space::kActivation, callee.name->text) != nullptr;
    if (is_activation) continue;
    const Builtin* builtin = FindPart(layer, Space::kLayer);
    if (builtin == nullptr) {
      dims = std::nullopt;
      continue;
    }
    CheckSettings(layer, *builtin);
    const std::size_t before = out_->all().size();
    if (dims) dims = ThroughLayer(*builtin, layer, std::move(*dims));
    if (out_->all().size() > before) return;
  }
  if (!dims || output == nullptr || output->is_error()) return;
  const bool is_number = output->is_scalar() && SameDim(Product(*dims), Fixed(1));
  if (is_number || SameDims(*dims, output->dims)) return;
  out_->Error(Code::kShapeMismatch, at,
              fmt::format("this chain gives `{}`, declared is `{}`", ShapeOf(*dims), ShapeText(*output)))
      .Help("a `chain` is exactly its layers: the last one gives the declared shape");
}

std::optional<std::vector<Dim>> Checker::ThroughLayer(const Builtin& layer, const Expr& expr, std::vector<Dim> dims) {
  const Call* call = CalleeOf(expr).call;
  const auto number = [&](std::string_view name, std::size_t position) -> std::optional<Dim> {
    const Argument* argument = FindArgument(call, name, position);
    return argument == nullptr ? std::nullopt : ToDim(*argument->value);
  };
  const auto wrong = [&](std::string_view wants) -> std::optional<std::vector<Dim>> {
    out_->Error(Code::kShapeMismatch, expr.span,
                fmt::format("`{}` takes {}, here comes `{}`", layer.name, wants, ShapeOf(dims)))
        .Help("`flatten` makes a vector, `reshape(c, h, w)` any other shape");
    return std::nullopt;
  };
  if (layer.name == "dense") {
    if (dims.size() > 1) return wrong("a vector");
    const std::optional<Dim> size = number("size", 0);
    return size ? std::optional(std::vector{*size}) : std::nullopt;
  }
  if (layer.name == "flatten") return std::vector{Product(dims)};
  if (layer.name == "reshape") {
    std::vector<Dim> to;
    for (const Argument& argument : call->args) {
      const std::optional<Dim> dim = ToDim(*argument.value);
      if (!dim) return std::nullopt;
      to.push_back(*dim);
    }
    if (SameDim(Product(dims), Product(to))) return to;
    out_->Error(Code::kShapeMismatch, expr.span,
                fmt::format("`reshape` keeps the number of entries: `{}` has {}, `{}` has {}", ShapeOf(dims),
                            CountText(Product(dims)), ShapeOf(to), CountText(Product(to))));
    return std::nullopt;
  }
  const std::size_t axes = layer.name == "conv1d" ? 1 : 2;
  if (dims.size() != axes + 1) return wrong(axes == 1 ? "channels and a length" : "channels, height and width");
  const bool is_pool = layer.name == "maxpool";
  const std::optional<Dim> size = number("size", is_pool ? 0 : 1);
  if (!size) return std::nullopt;
  const Dim stride = number("stride", 9).value_or(is_pool ? *size : Fixed(1));
  const Dim pad = number("pad", 9).value_or(Fixed(0));
  if (!is_pool) {
    const std::optional<Dim> channels = number("channels", 0);
    if (!channels) return std::nullopt;
    dims[0] = *channels;
  }
  for (std::size_t i = 1; i <= axes; ++i) {
    if (layer.name == "deconv") {  // (n - 1) stride - 2 pad + size
      dims[i] = (dims[i] - Fixed(1)) * stride - Fixed(2) * pad + *size;
      continue;
    }
    const Dim room = dims[i] + Fixed(2) * pad - *size;  // floor(room / stride) + 1
    if (room.value != kUnknownValue && room.value < 0) return wrong("at least as much as its size");
    if (IsFixed(stride) && FixedValue(stride) == 1) {
      dims[i] = room + Fixed(1);
    } else if (room.value != kUnknownValue && stride.value > 0) {
      dims[i] = Fixed(room.value / stride.value + 1);
    } else {
      return std::nullopt;
    }
  }
  return dims;
}

void Checker::CheckNetwork(const NetworkDecl& network, const Decl& decl) {
  const Signature* signature = SignatureOf(decl);
  if (signature == nullptr) return;
  Scope scope(*this, true);
  file_ = FileOf(decl.span);
  BindIndices(network.index);
  if (network.body != nullptr) {
    const bool one = signature->params.size() == 1 && !signature->params[0].is_error();
    const Callee callee = CalleeOf(*network.body);
    if (callee.name != nullptr && (callee.name->text == "zeros" || callee.name->text == "nearest")) {
      out_->Error(Code::kTypeMismatch, network.body->span,
                  fmt::format("`{}` is no network: it predicts for a model", callee.name->text));
    } else {
      CheckBuilder(*network.body, one ? &signature->params[0].dims : nullptr, &signature->result);
    }
  }
  if (network.source == nullptr || std::holds_alternative<String>(network.source->node)) return;
  if (FindPart(*network.source, Space::kSimulator) == nullptr) return;
}

// ---- model, solve

void Checker::CheckRefinement(const Expr& refinement) {
  const Builtin* builtin = FindPart(refinement, Space::kRefinement);
  if (builtin == nullptr) {
    if (const Call* call = CalleeOf(refinement).call) {
      for (const Argument& argument : call->args) {
        if (argument.keyword && argument.keyword->text != "gradient") Infer(*argument.value);
      }
    }
    return;
  }
  CheckSettings(refinement, *builtin);
}

void Checker::CheckStages(const Stages& stages, std::string_view what) {
  Scope scope(*this, true);
  if (stages.builder != nullptr) {
    const Callee callee = CalleeOf(*stages.builder);
    if (callee.name != nullptr && callee.name->text == "slow") {
      out_->Error(Code::kTypeMismatch, stages.builder->span,
                  "`slow` follows another network: it is the body of a `network`");
    } else {
      std::vector<const ValueDecl*> contexts, variables;
      for (const Decl* decl : problem_.values) {
        const auto* value = std::get_if<ValueDecl>(&decl->node);
        if (value != nullptr && value->kind == ValueKind::kContext) contexts.push_back(value);
        if (value != nullptr && value->kind == ValueKind::kVariable) variables.push_back(value);
      }
      // Of one context the shape is kept, several are one vector; the last layer gives all variables, one after
      // another.
      std::optional<std::vector<Dim>> input;
      if (contexts.size() == 1 && contexts[0]->names.size() == 1) {
        const Type type = TypeOf(contexts[0]->names[0].text);
        if (!type.is_error() && type.elem != Elem::kTable) input = type.dims;
      }
      Dim total = Fixed(0);
      bool is_known = true;
      for (const ValueDecl* variable : variables) {
        for (const Ident& name : variable->names) {
          const Type type = TypeOf(name.text);
          is_known = is_known && !type.is_error();
          if (is_known) total = total + Product(type.dims);
        }
      }
      Type output{Elem::kReal, {total}, false};
      if (variables.size() == 1 && variables[0]->names.size() == 1) output = TypeOf(variables[0]->names[0].text);
      CheckBuilder(*stages.builder, input ? &*input : nullptr, is_known ? &output : nullptr);
    }
  }
  for (const Over& over : stages.over) {
    const Type type = ToType(over.type);
    if (over.set != nullptr) CheckSet(*over.set, type, over.name.text, over.name.span);
    if (over.from != nullptr) Assign(*over.from, InferNumber(*over.from), type, true, over.name.text, over.type.span);
    locals_.push_back({over.name.text, over.name.span, type, std::nullopt, std::nullopt});
  }
  std::set<std::string> predicted;
  for (const Definition& prediction : stages.predictions) {
    const std::string& name = prediction.name.text;
    const ValueDecl* value = FindValue(name);
    Type got;
    {
      Scope inner(*this);
      const std::optional<std::vector<Dim>> outer = BindIndices(prediction.index);
      got = Family(outer, InferNumber(*prediction.value));
    }
    if (value == nullptr || value->kind != ValueKind::kVariable) {
      if (const Decl* decl = DeclOf(name); decl != nullptr && (decl->broken || problem_.twice.contains(name))) continue;
      if (DeclOf(name) == nullptr && !unknown_.insert({name, prediction.name.span.source}).second) continue;
      std::vector<std::string> variables;
      for (const Decl* decl : problem_.values) {
        const auto* v = std::get_if<ValueDecl>(&decl->node);
        if (v != nullptr && v->kind == ValueKind::kVariable) {
          for (const Ident& ident : v->names) variables.push_back(ident.text);
        }
      }
      Diagnostic& error = out_->Error(Code::kUnknownName, prediction.name.span,
                                      DeclOf(name) == nullptr
                                          ? fmt::format("no variable is called `{}`", name)
                                          : fmt::format("`{}` is {}: a {} gives variables", name, KindOf(name), what));
      const std::string near = Nearest(name, variables);
      if (!near.empty()) error.Help(fmt::format("did you mean `{}`?", near));
      continue;
    }
    if (!predicted.insert(name).second) {
      out_->Error(Code::kDuplicatePart, prediction.name.span, fmt::format("`{}` is predicted twice", name));
      continue;
    }
    Assign(*prediction.value, got, TypeOf(name), true, name, SpanOf(name));
  }
  if (!stages.predictions.empty() && predicted.size() == stages.predictions.size()) {
    for (const Decl* decl : problem_.values) {
      const auto* value = std::get_if<ValueDecl>(&decl->node);
      if (value == nullptr || value->kind != ValueKind::kVariable) continue;
      for (const Ident& name : value->names) {
        if (predicted.contains(name.text)) continue;
        out_->Error(Code::kMissingPart, stages.predictions[0].name.span,
                    fmt::format("this {} says nothing of the variable `{}`", what, name.text))
            .Label(name.span, "declared here")
            .Help(
                fmt::format("`{} {} = …, {} = …` gives all of them", what, stages.predictions[0].name.text, name.text));
      }
    }
  }
  for (const ExprPtr& refinement : stages.refinements) CheckRefinement(*refinement);
}

}  // namespace amo::lang
