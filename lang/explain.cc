// SPDX-License-Identifier: Apache-2.0
// A checked problem as text: one line for each name, in the order in which things are known.
#include "lang/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace amo::lang {
namespace {

struct Line {
  std::string kind, name, type, note;
};

std::string_view TimeText(ValueKind kind) {
  switch (kind) {
    case ValueKind::kConst:
      return "once, when the file is compiled";
    case ValueKind::kData:
      return "once per file";
    case ValueKind::kParameter:
      return "learned";
    case ValueKind::kHidden:
      return "once per instance, hidden from the model";
    case ValueKind::kContext:
      return "once per instance, shown to the model";
    case ValueKind::kVariable:
      return "what is optimized";
    case ValueKind::kRandom:
      return "once per evaluation";
  }
  return "";
}

class Explainer {
 public:
  Explainer(const Program& program, const Problem& problem, const Checked& checked, const Defaults& defaults)
      : program_(program), problem_(problem), checked_(checked), defaults_(defaults) {}

  std::string Run() {
    text_ = problem_.name.empty() ? "problem without a name\n" : fmt::format("problem {}\n", problem_.name);
    if (!problem_.doc.empty()) text_ += fmt::format("  {}\n", problem_.doc);
    Numbers();
    Values();
    LeftOut();
    Losses();
    return text_;
  }

 private:
  std::string Source(Span span) const {
    // One line, as `amo fmt` would join it.
    std::string joined;
    for (const char c : program_.sources.Text(span)) {
      const bool is_space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
      if (!is_space)
        joined += c;
      else if (!joined.empty() && joined.back() != ' ')
        joined += ' ';
    }
    return joined;
  }

  void Table(std::string_view title, const std::vector<Line>& lines) {
    if (lines.empty()) return;
    std::size_t kind = 0, name = 0, type = 0;
    for (const Line& line : lines) {
      kind = std::max(kind, line.kind.size());
      name = std::max(name, line.name.size());
      type = std::max(type, line.type.size());
    }
    text_ += fmt::format("\n{}\n", title);
    for (const Line& line : lines) {
      std::string row =
          fmt::format("  {:<{}}  {:<{}}  {:<{}}  {}", line.kind, kind, line.name, name, line.type, type, line.note);
      row.erase(row.find_last_not_of(' ') + 1);
      text_ += row + "\n";
    }
  }

  void Numbers() {
    std::vector<Line> lines;
    for (const auto& [name, number] : problem_.numbers) {
      const bool is_dim = std::holds_alternative<DimDecl>(problem_.names.at(name)->node);
      lines.push_back({is_dim ? "dim" : "const", name, fmt::format("= {}", number), ""});
    }
    Table("dims and consts", lines);
  }

  std::string TypeText(const std::string& name) const {
    const auto type = checked_.values.find(name);
    if (type == checked_.values.end() || type->second.is_error()) return "known when the table is read";
    return ToString(type->second);
  }

  void Values() {
    constexpr std::array kOrder = {ValueKind::kConst,   ValueKind::kData,     ValueKind::kParameter, ValueKind::kHidden,
                                   ValueKind::kContext, ValueKind::kVariable, ValueKind::kRandom};
    std::vector<Line> lines;
    for (const ValueKind kind : kOrder) {
      for (const Decl* decl : problem_.values) {
        const auto* value = std::get_if<ValueDecl>(&decl->node);
        if (value == nullptr || value->kind != kind) continue;
        for (const Ident& name : value->names) {
          if (problem_.numbers.contains(name.text)) continue;
          const std::string origin(NameOf(value->origin));
          std::string note = kind == ValueKind::kParameter ? fmt::format("learned, its start {}", origin)
                             : origin.empty()              ? std::string(TimeText(kind))
                                                           : fmt::format("{} {}", origin, TimeText(kind));
          if (value->set != nullptr) note += ", in " + Source(value->set->span);
          lines.push_back({std::string(NameOf(kind)), name.text, TypeText(name.text), note});
        }
      }
    }
    for (const Decl* decl : problem_.values) {
      if (const auto* let = std::get_if<LetDecl>(&decl->node))
        lines.push_back({"let", let->name.text, TypeText(let->name.text), "computed when needed"});
    }
    for (const UpdateDecl* update : problem_.updates) {
      lines.push_back({"update", update->name.text, TypeText(update->name.text), "once per refinement step"});
    }
    for (const auto& [name, decl] : problem_.names) {
      if (const auto* network = std::get_if<NetworkDecl>(&decl->node)) {
        const auto* call = network->body == nullptr ? nullptr : std::get_if<Call>(&network->body->node);
        const auto* builder = call == nullptr ? nullptr : std::get_if<Name>(&call->callee->node);
        const bool is_slow = builder != nullptr && builder->name.text == "slow";
        lines.push_back({"network", name, Source(network->result.span),
                         network->source != nullptr ? "read, frozen unless a loss names it"
                         : is_slow                  ? "follows: " + Source(network->body->span)
                                                    : "learned"});
      }
    }
    Table("names", lines);
  }

  void LeftOut() {
    std::vector<Line> lines;
    if (problem_.model == nullptr) lines.push_back({"model", defaults_.model, "", ""});
    if (problem_.losses.empty()) lines.push_back({"loss", defaults_.loss, "", ""});
    if (!problem_.train.contains("")) lines.push_back({"train", defaults_.train, "", ""});
    Table("left out of the file, and chosen", lines);
  }

  void Losses() {
    std::vector<Line> lines;
    for (std::size_t i = 0; i < checked_.moves.size(); ++i) {
      const LossDecl* loss = i < problem_.losses.size() ? problem_.losses[i] : nullptr;
      const std::string value = loss == nullptr ? defaults_.loss : Source(loss->value->span);
      const std::string through =
          loss != nullptr && loss->estimator != nullptr ? Source(loss->estimator->span) : "backprop";
      std::string what = fmt::format("{}", fmt::join(checked_.moves[i], ", "));
      lines.push_back({"loss", value.size() > 60 ? value.substr(0, 57) + "…" : value,
                       checked_.moves[i].empty() ? "moves nothing" : fmt::format("moves {} by {}", what, through), ""});
    }
    Table("what moves", lines);
  }

  const Program& program_;
  const Problem& problem_;
  const Checked& checked_;
  const Defaults& defaults_;
  std::string text_;
};

}  // namespace

std::string Explain(const Program& program, const Problem& problem, const Checked& checked, const Defaults& defaults) {
  return Explainer(program, problem, checked, defaults).Run();
}

}  // namespace amo::lang
