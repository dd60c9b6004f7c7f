// SPDX-License-Identifier: Apache-2.0
// A depth-first walk over what declarations refer to, in the order of the text. It keeps its own stack: a chain of
// declarations may be as long as the file.
#include "lang/order.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace amo::lang {
namespace {

// Nodes of the graph: "NAME", "set NAME", "report NAME", "objective".
class Orderer {
 public:
  Orderer(const Program& program, const Problem& problem, Diagnostics& diagnostics)
      : program_(program), problem_(problem), diagnostics_(diagnostics) {}

  std::vector<const Decl*> Run() {
    for (const File& file : program_.files) {
      for (const Decl& decl : file.decls) {
        if (IsOf(decl)) Visit(NodeOf(decl), decl.span);
      }
    }
    for (const ReportDecl* report : problem_.reports) Visit("report " + report->name.text, report->name.span);
    Visit("objective", {});
    return std::move(order_);
  }

 private:
  struct Edge {
    std::string node;
    Span used_at;
  };

  struct Step {
    std::string node;
    Span used_at;  // where the step before it uses it
    const Decl* decl = nullptr;
    std::vector<Edge> edges;
    std::size_t next = 0;
  };

  static std::string NodeOf(const Decl& decl) {
    return std::visit(Overload{
                          [](const DimDecl& d) { return d.name.text; },
                          [](const ValueDecl& d) { return d.names.empty() ? "" : d.names[0].text; },
                          [](const NetworkDecl& d) { return d.name.text; },
                          [](const FunctionDecl& d) { return d.name.text; },
                          [](const LetDecl& d) { return d.name.text; },
                          [](const SetDecl& d) { return "set " + d.name.text; },
                          [](const auto&) { return std::string(); },
                      },
                      decl.node);
  }

  bool IsOf(const Decl& decl) const {
    const std::string node = NodeOf(decl);
    if (node.empty()) return false;
    if (node.starts_with("set ")) {
      const auto set = problem_.sets.find(node.substr(4));
      return set != problem_.sets.end() && set->second == &decl;
    }
    const auto found = problem_.names.find(node);
    return found != problem_.names.end() && found->second == &decl;
  }

  const Decl* DeclOf(const std::string& node) const {
    const bool is_set = node.starts_with("set ");
    const auto& table = is_set ? problem_.sets : problem_.names;
    const auto found = table.find(is_set ? node.substr(4) : node);
    return found == table.end() ? nullptr : found->second;
  }

  void Visit(const std::string& node, Span used_at) {
    Enter(node, used_at);
    while (!path_.empty()) {
      Step& top = path_.back();
      if (top.next < top.edges.size()) {
        const Edge edge = top.edges[top.next++];
        Enter(edge.node, edge.used_at);
        continue;
      }
      done_.insert(top.node);
      open_.erase(top.node);
      if (top.decl != nullptr && !top.decl->broken) order_.push_back(top.decl);
      path_.pop_back();
    }
  }

  void Enter(const std::string& node, Span used_at) {
    const Decl* decl = DeclOf(node);
    const std::string key = decl == nullptr ? node : NodeOf(*decl);  // several names of one declaration are one node
    if (key.empty() || done_.contains(key)) return;
    Step step{key, used_at, decl, {}, 0};
    if (const auto open = open_.find(key); open != open_.end()) {
      path_.push_back(std::move(step));
      ReportCircle(open->second);
      path_.pop_back();
      return;
    }
    VisitNode(key, decl, [&](const Use& use) {
      const bool is_set = use.kind == Use::Kind::kSet;
      if (use.kind == Use::Kind::kConstraint) return;
      if (problem_.names.contains(use.name) || is_set) {
        step.edges.push_back({is_set ? "set " + use.name : use.name, use.span});
      } else if (use.name == "objective") {
        step.edges.push_back({"objective", use.span});
      } else if (key.starts_with("report ")) {
        step.edges.push_back({"report " + use.name, use.span});
      }
    });
    open_[key] = path_.size();
    path_.push_back(std::move(step));
  }

  void VisitNode(const std::string& key, const Decl* decl, const OnUse& on_use) const {
    if (key == "objective") {
      for (const ObjectiveDecl* objective : problem_.objectives) {
        if (objective->value != nullptr) VisitUses(*objective->value, on_use);
      }
    } else if (key.starts_with("report ")) {
      for (const ReportDecl* report : problem_.reports) {
        if (report->name.text == key.substr(7)) VisitUses(*report->value, on_use);
      }
    } else if (decl != nullptr && !decl->broken && !std::holds_alternative<UpdateDecl>(decl->node)) {
      if (const Expr* value = OverrideOf(key)) {
        VisitUses(*value, on_use);
      } else {
        VisitUses(*decl, on_use);
      }
    }
  }

  const Expr* OverrideOf(const std::string& name) const {
    const Expr* value = nullptr;
    for (const Override& o : program_.overrides) {
      if (o.name == name) value = o.value.get();
    }
    return value;
  }

  static std::string TextOf(const std::string& node) {
    return node.starts_with("report ") ? node.substr(7) : node.starts_with("set ") ? node.substr(4) : node;
  }

  void ReportCircle(std::size_t first) {
    const std::string start = TextOf(path_[first].node);
    std::string way = fmt::format("`{}`", start);
    for (std::size_t i = first + 1; i < path_.size(); ++i) way += fmt::format(" → `{}`", TextOf(path_[i].node));
    const bool direct = path_.size() == first + 2;
    Diagnostic& error = diagnostics_.Error(Code::kCycle, path_.back().used_at,
                                           direct ? fmt::format("`{}` is defined by itself", start)
                                                  : fmt::format("declarations depend on each other: {}", way));
    error.Under(direct ? "used in its own definition"
                       : fmt::format("`{}` uses `{}`", TextOf(path_[path_.size() - 2].node), start));
    for (std::size_t i = first + 1; i + 1 < path_.size(); ++i) {
      error.Label(path_[i].used_at, fmt::format("`{}` uses `{}`", TextOf(path_[i - 1].node), TextOf(path_[i].node)));
    }
  }

  const Program& program_;
  const Problem& problem_;
  Diagnostics& diagnostics_;
  std::vector<Step> path_;
  std::map<std::string, std::size_t> open_;  // the steps of the path, by node
  std::set<std::string> done_;
  std::vector<const Decl*> order_;
};

}  // namespace

std::vector<const Decl*> Order(const Program& program, const Problem& problem, Diagnostics& diagnostics) {
  return Orderer(program, problem, diagnostics).Run();
}

}  // namespace amo::lang
