// SPDX-License-Identifier: Apache-2.0
// Which declarations of a program count: its shared ones, those of the chosen problem, those of its variant; then the
// numbers of dims and consts, and the order of what is computed.
#include "lang/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "lang/builtins.h"
#include "lang/evaluate.h"
#include "lang/order.h"

namespace amo::lang {
namespace {

// A stretch of a file: what is shared, a problem's own part, or one of its variants.
struct Section {
  const File* file;
  const Decl* problem = nullptr;  // null: shared, or the file has no `problem`
  const Decl* variant = nullptr;
  std::vector<const Decl*> decls;
};

std::vector<Section> SectionsOf(const File& file) {
  std::vector<Section> sections{{&file, nullptr, nullptr, {}}};
  for (const Decl& decl : file.decls) {
    if (std::holds_alternative<ProblemDecl>(decl.node)) {
      sections.push_back({&file, &decl, nullptr, {}});
    } else if (std::holds_alternative<VariantDecl>(decl.node)) {
      sections.push_back({&file, sections.back().problem, &decl, {}});
    } else {
      sections.back().decls.push_back(&decl);
    }
  }
  return sections;
}

const Ident& NameOfProblem(const Decl& decl) { return std::get<ProblemDecl>(decl.node).name; }
const Ident& NameOfVariant(const Decl& decl) { return std::get<VariantDecl>(decl.node).name; }

bool IsStdlib(const Sources& sources, Span span) { return sources[span.source].path.starts_with("<stdlib>/"); }

std::vector<Ident> DeclaredNames(const Decl& decl) {
  return std::visit(Overload{
                        [](const DimDecl& d) { return std::vector{d.name}; },
                        [](const ValueDecl& d) { return d.names; },
                        [](const NetworkDecl& d) { return std::vector{d.name}; },
                        [](const FunctionDecl& d) { return std::vector{d.name}; },
                        [](const LetDecl& d) { return std::vector{d.name}; },
                        [](const auto&) { return std::vector<Ident>{}; },
                    },
                    decl.node);
}

bool IsConstOrDim(const Decl& decl) {
  const auto* value = std::get_if<ValueDecl>(&decl.node);
  return std::holds_alternative<DimDecl>(decl.node) || (value != nullptr && value->kind == ValueKind::kConst);
}

// What another file gives: its shared declarations that have names, not the parts of a problem.
bool IsShared(const Decl& decl) {
  if (const auto* value = std::get_if<ValueDecl>(&decl.node)) {
    return value->kind == ValueKind::kConst || value->kind == ValueKind::kData || value->kind == ValueKind::kParameter;
  }
  return std::holds_alternative<DimDecl>(decl.node) || std::holds_alternative<NetworkDecl>(decl.node) ||
         std::holds_alternative<FunctionDecl>(decl.node) || std::holds_alternative<SetDecl>(decl.node) ||
         std::holds_alternative<LetDecl>(decl.node);
}

std::set<std::string> OwnerSet(const std::vector<Ident>& owners) {
  std::set<std::string> names;
  for (const Ident& owner : owners) names.insert(owner.text);
  return names;
}

// Mistakes that may have swallowed declarations.
bool IsAboutText(const Diagnostic& d) {
  return d.code == Code::kSyntax || d.code == Code::kNesting || d.code == Code::kEncoding || d.code == Code::kFile;
}

class Chooser {
 public:
  Chooser(const Program& program, Diagnostics& diagnostics) : program_(program), diagnostics_(diagnostics) {}

  Problem Choose(const ProblemChoice& choice, bool is_called) {
    problem_.program = &program_;
    for (const File& file : program_.files) {
      for (Section& section : SectionsOf(file)) sections_.push_back(std::move(section));
    }
    if (!is_called) CheckSectionNames();
    const Section* own = FindOwn(choice.problem);
    problem_.source = program_.files.back().source;
    problem_.broken = own == nullptr || std::any_of(diagnostics_.all().begin(), diagnostics_.all().end(), IsAboutText);
    if (own == nullptr) return std::move(problem_);
    problem_.source = own->file->source;
    if (own->problem != nullptr) {
      problem_.decl = own->problem;
      problem_.name = NameOfProblem(*own->problem).text;
      problem_.doc = std::get<ProblemDecl>(own->problem->node).doc;
    }
    for (const Section& section : sections_) {
      if (section.problem != nullptr || section.variant != nullptr || &section == own) continue;
      for (const Decl* decl : section.decls) {
        if (section.file == own->file || IsShared(*decl)) Add(*decl, false);
      }
      if (section.file == own->file) break;  // later files are seen by none before them
    }
    for (const Decl* decl : own->decls) Add(*decl, false);
    if (!choice.variant.empty()) AddVariant(*own, choice.variant);
    for (const UpdateDecl* update : problem_.updates) AddState(*update);
    const std::vector<const Decl*> order = Order(program_, problem_, diagnostics_);
    for (const Decl* decl : order) {
      const bool is_value =
          std::holds_alternative<ValueDecl>(decl->node) || std::holds_alternative<LetDecl>(decl->node);
      if (is_value) problem_.values.push_back(decl);
    }
    SetNumbers(order, is_called);
    return std::move(problem_);
  }

 private:
  void CheckSectionNames() {
    std::map<std::string, Span> problems;
    std::map<std::pair<const Decl*, std::string>, Span> variants;
    const auto check = [&](auto& known, auto key, const Ident& name, std::string_view kind) {
      const auto [first, is_new] = known.try_emplace(std::move(key), name.span);
      if (is_new || name.text.empty()) return;
      diagnostics_.Error(Code::kDuplicateName, name.span, fmt::format("the {} `{}` is declared twice", kind, name.text))
          .Label(first->second, "first declared here");
    };
    for (const Section& section : sections_) {
      if (section.variant != nullptr) {
        const Ident& name = NameOfVariant(*section.variant);
        check(variants, std::pair(section.problem, name.text), name, "variant");
        if (section.problem == nullptr && HasProblem(*section.file)) {
          diagnostics_
              .Error(Code::kMissingPart, name.span, fmt::format("the variant `{}` belongs to no problem", name.text))
              .Help("a variant stands after the declarations of its `problem`");
        }
      } else if (section.problem != nullptr) {
        const Ident& name = NameOfProblem(*section.problem);
        check(problems, name.text, name, "problem");
      }
    }
  }

  bool HasProblem(const File& file) const {
    return std::any_of(sections_.begin(), sections_.end(),
                       [&](const Section& s) { return s.file == &file && s.problem != nullptr; });
  }

  Span StartOfFile() const { return {0, 0, program_.files.back().source}; }

  const Section* FindOwn(const std::string& name) {
    const Section* found = nullptr;
    const File* main_file = &program_.files.back();
    for (const Section& section : sections_) {
      if (section.variant != nullptr) continue;
      if (name.empty() ? section.file == main_file
                       : section.problem != nullptr && NameOfProblem(*section.problem).text == name)
        found = &section;
    }
    if (found == nullptr) {
      Diagnostic& error =
          diagnostics_.Error(Code::kOverride, StartOfFile(), fmt::format("no problem is called `{}`", name));
      Suggest(error, name, ProblemNames(program_), "problems");
    }
    return found;
  }

  static void Suggest(Diagnostic& error, const std::string& name, const std::vector<std::string>& known,
                      std::string_view kind) {
    const std::string near = Nearest(name, known);
    if (!near.empty()) {
      error.Help(fmt::format("did you mean `{}`?", near));
    } else if (!known.empty()) {
      std::string list;
      for (const std::string& k : known) list += (list.empty() ? "`" : ", `") + k + "`";
      error.Help(fmt::format("its {} are {}", kind, list));
    }
  }

  void AddVariant(const Section& own, const std::string& name) {
    for (const Section& section : sections_) {
      if (section.file != own.file || section.problem != own.problem || section.variant == nullptr) continue;
      if (NameOfVariant(*section.variant).text != name) continue;
      in_variant_ = true;
      base_objective_ = last_objective_;
      train_keys_.clear();
      parts_.clear();
      for (const Decl* decl : section.decls) Add(*decl, true);
      return;
    }
    Diagnostic& error =
        diagnostics_.Error(Code::kOverride, StartOfFile(), fmt::format("no variant is called `{}`", name));
    Suggest(error, name, VariantNames(program_, problem_.name), "variants");
  }

  // ---- one declaration

  void Add(const Decl& decl, bool is_variant) {
    if (decl.broken && !IsStdlib(program_.sources, decl.span)) problem_.broken = true;
    for (const Ident& name : DeclaredNames(decl)) AddName(name, decl, is_variant);
    std::visit(Overload{
                   [](const ProblemDecl&) {},
                   [](const VariantDecl&) {},
                   [](const UseDecl&) {},
                   [](const DimDecl&) {},
                   [](const ValueDecl&) {},
                   [](const NetworkDecl&) {},
                   [](const FunctionDecl&) {},
                   [](const LetDecl&) {},
                   [&](const SetDecl& d) { AddSet(d.name, decl); },
                   [&](const ObjectiveDecl& d) { AddObjective(d, decl); },
                   [&](const FindDecl& d) {
                     if (!decl.broken) problem_.finds.push_back(&d);
                   },
                   [&](const SubjectDecl& d) { AddConstraints(d, decl); },
                   [&](const UpdateDecl& d) { AddUpdate(d, decl); },
                   [&](const ModelDecl& d) { SetStages(problem_.model, d.stages, decl, "model"); },
                   [&](const SolveDecl& d) { SetStages(problem_.solve, d.stages, decl, "solve"); },
                   [&](const LossDecl& d) { AddLoss(d, decl, is_variant); },
                   [&](const TrainDecl& d) { AddTrain(d, decl); },
                   [&](const ReportDecl& d) { AddReport(d, decl); },
                   [&](const NextDecl& d) { AddNext(d, decl); },
               },
               decl.node);
  }

  void AddName(const Ident& name, const Decl& decl, bool is_variant) {
    if (name.text.empty()) return;
    if (IsClosedName(name.text)) {
      const bool is_function = FindBuiltin(Space::kFunction, name.text) != nullptr;
      diagnostics_.Error(Code::kDuplicateName, name.span,
                         fmt::format("`{}` is {} of the language: choose another name", name.text,
                                     is_function ? "a function" : "a name"));
      return;
    }
    const auto [at, is_new] = problem_.names.try_emplace(name.text, &decl);
    spans_.try_emplace(name.text, name.span);
    if (is_new) return;
    if (is_variant && IsConstOrDim(decl) && IsConstOrDim(*at->second) &&
        decl.node.index() == at->second->node.index()) {
      at->second = &decl;
      return;
    }
    problem_.twice.insert(name.text);
    problem_.broken = true;
    Diagnostic& error =
        diagnostics_.Error(Code::kDuplicateName, name.span, fmt::format("`{}` is declared twice", name.text))
            .Label(spans_.at(name.text), "first declared here");
    if (is_variant) error.Help("a variant replaces a `const`, `dim`, `model`, `solve`, `loss`, `update` or `train`");
  }

  void AddSet(const Ident& name, const Decl& decl) {
    if (name.text.empty()) return;
    const auto [at, is_new] = problem_.sets.try_emplace(name.text, &decl);
    if (IsStdlib(program_.sources, decl.span)) problem_.library_sets.insert(name.text);
    else problem_.library_sets.erase(name.text);
    if (is_new) return;
    // A file's own set hides one of the standard library.
    if (!IsStdlib(program_.sources, at->second->span)) {
      diagnostics_.Error(Code::kDuplicateName, name.span, fmt::format("the set `{}` is declared twice", name.text))
          .Label(std::get<SetDecl>(at->second->node).name.span, "first declared here");
    }
    at->second = &decl;
  }

  void AddObjective(const ObjectiveDecl& objective, const Decl& decl) {
    if (last_objective_ != nullptr) {
      Diagnostic& error =
          diagnostics_.Error(Code::kDuplicatePart, decl.keyword, "a problem has one objective, this is a second")
              .Label(last_objective_->keyword, "the first one");
      if (base_objective_ != nullptr) {
        error.Help("a variant cannot replace the objective; a `const` in it can switch between two terms");
      } else {
        error.Help("add the two, or state each in a `problem` of its own; what trains the model is a `loss`");
      }
      return;
    }
    last_objective_ = &decl;
    problem_.objectives.push_back(&objective);
  }

  void AddConstraints(const SubjectDecl& subject, const Decl& decl) {
    for (const Constraint& constraint : subject.constraints) {
      const auto [first, is_new] = constraints_.try_emplace(constraint.name.text, constraint.name.span);
      if (!is_new) {
        diagnostics_
            .Error(Code::kDuplicateName, constraint.name.span,
                   fmt::format("the constraint `{}` is declared twice", constraint.name.text))
            .Label(first->second, "first declared here");
      } else if (!decl.broken) {
        problem_.constraints.push_back(&constraint);
      }
    }
  }

  bool IsFirst(std::string_view kind, const std::string& name, Span span) {
    const auto [first, is_new] = parts_.try_emplace({std::string(kind), name}, span);
    if (is_new) return true;
    const std::string what = name.empty() ? fmt::format("`{}`", kind) : fmt::format("`{} {}`", kind, name);
    diagnostics_
        .Error(Code::kDuplicatePart, span,
               fmt::format("a {} has one {}, this is a second", in_variant_ ? "variant" : "problem", what))
        .Label(first->second, "the first one");
    return false;
  }

  void AddUpdate(const UpdateDecl& update, const Decl& decl) {
    if (update.name.text.empty() || !IsFirst("update", update.name.text, update.name.span)) return;
    if (decl.broken) {
      problem_.names.try_emplace(update.name.text, &decl);
      return;
    }
    const auto same = std::find_if(problem_.updates.begin(), problem_.updates.end(),
                                   [&](const UpdateDecl* u) { return u->name.text == update.name.text; });
    if (same != problem_.updates.end()) {
      *same = &update;
    } else {
      problem_.updates.push_back(&update);
    }
    update_decls_[update.name.text] = &decl;
  }

  // An update is of a variable, or it declares a state.
  void AddState(const UpdateDecl& update) {
    const Ident& name = update.name;
    const auto found = problem_.names.find(name.text);
    if (found == problem_.names.end()) {
      AddName(name, *update_decls_.at(name.text), false);
      return;
    }
    const auto* value = std::get_if<ValueDecl>(&found->second->node);
    if (found->second->broken || (value != nullptr && value->kind == ValueKind::kVariable)) return;
    diagnostics_
        .Error(Code::kDuplicateName, name.span,
               fmt::format("`update` is for a variable or declares a state, and `{}` is something else", name.text))
        .Label(spans_.at(name.text), "declared here");
  }

  void SetStages(const Stages*& place, const Stages& stages, const Decl& decl, std::string_view kind) {
    if (!IsFirst(kind, "", decl.keyword)) return;
    place = decl.broken ? nullptr : &stages;
  }

  void AddLoss(const LossDecl& loss, const Decl& decl, bool is_variant) {
    if (decl.broken) return;
    const std::set<std::string> owners = OwnerSet(loss.owners);
    for (const LossDecl*& other : problem_.losses) {
      if (OwnerSet(other->owners) != owners) continue;
      const bool from_base = is_variant && !new_losses_.contains(other);
      if (from_base) {
        other = &loss;
        new_losses_.insert(&loss);
        return;
      }
      if (owners.empty()) {
        diagnostics_.Error(Code::kDuplicatePart, decl.keyword, "a second loss for everything that no loss names")
            .Help("name what this loss moves: `loss NAME: …`");
      } else {
        diagnostics_.Error(Code::kOwner, loss.owners[0].span, fmt::format("`{}` has two losses", loss.owners[0].text))
            .Label(other->owners[0].span, "the first one");
      }
      return;
    }
    if (is_variant) new_losses_.insert(&loss);
    problem_.losses.push_back(&loss);
  }

  void AddTrain(const TrainDecl& train, const Decl& decl) {
    if (decl.broken) return;
    std::vector<std::string> owners;
    for (const Ident& owner : train.owners) owners.push_back(owner.text);
    if (owners.empty()) owners.emplace_back();
    for (const Setting& setting : train.settings) {
      for (const std::string& owner : owners) {
        const auto [first, is_new] = train_keys_.try_emplace({owner, setting.key.text}, setting.key.span);
        if (is_new) {
          problem_.train[owner].push_back(&setting);
        } else {
          diagnostics_.Error(Code::kDuplicatePart, setting.key.span, fmt::format("`{}` is set twice", setting.key.text))
              .Label(first->second, "first set here");
        }
      }
    }
  }

  void AddReport(const ReportDecl& report, const Decl& decl) {
    const auto [first, is_new] = reports_.try_emplace(report.name.text, report.name.span);
    if (!is_new) {
      diagnostics_
          .Error(Code::kDuplicateName, report.name.span,
                 fmt::format("the report `{}` is declared twice", report.name.text))
          .Label(first->second, "first declared here");
    } else if (!decl.broken) {
      problem_.reports.push_back(&report);
    }
  }

  void AddNext(const NextDecl& next, const Decl& decl) {
    if (next.name.text.empty() || !IsFirst("next", next.name.text, next.name.span)) return;
    for (const NextDecl*& other : problem_.nexts) {
      if (other->name.text == next.name.text) {  // only a variant comes here
        other = &next;
        return;
      }
    }
    if (!decl.broken) problem_.nexts.push_back(&next);
  }

  // ---- numbers

  const Expr* OverrideOf(const std::string& name) const {
    const Expr* value = nullptr;
    for (const Override& o : program_.overrides) {
      if (o.name == name) value = o.value.get();
    }
    return value;
  }

  void SetNumbers(const std::vector<const Decl*>& order, bool is_called) {
    for (const Override& o : program_.overrides) {
      const auto found = problem_.names.find(o.name);
      if (o.value == nullptr || (found != problem_.names.end() && IsConstOrDim(*found->second)) || is_called) continue;
      std::vector<std::string> known;
      for (const auto& [name, decl] : problem_.names) {
        if (IsConstOrDim(*decl)) known.push_back(name);
      }
      Diagnostic& error =
          diagnostics_.Error(Code::kOverride, o.value->span,
                             fmt::format("`--set {}`: {}", o.name,
                                         found == problem_.names.end() ? "the problem has no such name"
                                                                       : "only a `dim` or `const` is set"));
      Suggest(error, o.name, known, "dims and consts");
    }
    for (const Decl* decl : order) {
      if (!IsConstOrDim(*decl)) continue;
      for (const Ident& name : DeclaredNames(*decl)) {
        if (problem_.names.at(name.text) != decl) continue;
        const std::optional<double> number = NumberOf(name.text);
        if (CheckNumber(name.text, *decl, number) && number) problem_.numbers[name.text] = *number;
      }
    }
  }

  static const Expr* ValueOf(const Decl& decl) {
    if (const auto* dim = std::get_if<DimDecl>(&decl.node)) return dim->value.get();
    const auto* value = std::get_if<ValueDecl>(&decl.node);
    if (value == nullptr || value->kind != ValueKind::kConst || !value->index.empty()) return nullptr;
    if (value->origin != ValueDecl::Origin::kComputed || (value->type && !value->type->dims.empty())) return nullptr;
    return value->value.get();
  }

  std::optional<double> NumberOf(const std::string& name) {
    const auto known = numbers_.find(name);
    if (known != numbers_.end()) return known->second;
    const auto found = problem_.names.find(name);
    if (found == problem_.names.end() || !IsConstOrDim(*found->second)) return std::nullopt;
    numbers_[name] = std::nullopt;  // a circle, reported by Order, ends here
    const Expr* own = ValueOf(*found->second);
    const Expr* expr = OverrideOf(name);
    if (expr == nullptr) expr = own;
    if (own != nullptr && expr != nullptr) {
      numbers_[name] = Evaluate(*expr, [this](const std::string& other) { return NumberOf(other); });
    }
    return numbers_[name];
  }

  // False for a dim without a value that a dim may have.
  bool CheckNumber(const std::string& name, const Decl& decl, std::optional<double> number) {
    const Expr* expr = OverrideOf(name);
    const bool is_dim = std::holds_alternative<DimDecl>(decl.node);
    if (expr != nullptr && !number) {
      diagnostics_.Error(
          Code::kOverride, expr->span,
          fmt::format("`--set {}` needs a single number, for a `{}` that is one", name, is_dim ? "dim" : "const"));
      return false;
    }
    if (!is_dim) return true;
    if (expr == nullptr) expr = std::get<DimDecl>(decl.node).value.get();
    if (number && *number >= 1 && *number <= 1e12 && *number == std::floor(*number)) return true;
    if (number) {
      diagnostics_.Error(Code::kDomain, expr->span, fmt::format("the dim `{}` is {}", name, *number))
          .Help("a dim is a whole number from 1 to 1e12");
    } else if (problem_.names.contains(name) && DependsOnNumbersOnly(*expr)) {
      diagnostics_.Error(Code::kTypeMismatch, expr->span, fmt::format("the dim `{}` is not known as a number", name))
          .Help("a dim is made of numbers, other dims, and consts that are numbers");
    }
    return false;
  }

  // False where a name in it is unknown or broken: that is reported elsewhere.
  bool DependsOnNumbersOnly(const Expr& expr) const {
    bool good = true;
    VisitUses(expr, [&](const Use& use) {
      const auto found = problem_.names.find(use.name);
      const bool is_builtin = IsClosedName(use.name);
      if (found == problem_.names.end() ? !is_builtin : found->second->broken) good = false;
      if (found != problem_.names.end() && IsConstOrDim(*found->second))
        good = good && problem_.numbers.contains(use.name);
    });
    return good;
  }

  const Program& program_;
  Diagnostics& diagnostics_;
  std::vector<Section> sections_;
  Problem problem_;
  std::map<std::string, Span> spans_, constraints_, reports_;
  std::map<std::pair<std::string, std::string>, Span> parts_, train_keys_;
  std::map<std::string, const Decl*> update_decls_;
  std::set<const LossDecl*> new_losses_;
  std::map<std::string, std::optional<double>> numbers_;
  const Decl* last_objective_ = nullptr;
  const Decl* base_objective_ = nullptr;
  bool in_variant_ = false;
};

}  // namespace

Problem Choose(const Program& program, const ProblemChoice& choice, Diagnostics& diagnostics) {
  return Chooser(program, diagnostics).Choose(choice, false);
}

Problem ChooseCalled(const Program& program, const std::string& name, Diagnostics& diagnostics) {
  return Chooser(program, diagnostics).Choose({name, ""}, true);
}

std::vector<std::string> ProblemNames(const Program& program) {
  std::vector<std::string> names;
  for (const File& file : program.files) {
    for (const Decl& decl : file.decls) {
      if (std::holds_alternative<ProblemDecl>(decl.node)) names.push_back(NameOfProblem(decl).text);
    }
  }
  return names;
}

std::vector<std::string> VariantNames(const Program& program, const std::string& problem) {
  std::vector<std::string> names;
  for (const File& file : program.files) {
    for (const Section& section : SectionsOf(file)) {
      const std::string owner = section.problem == nullptr ? "" : NameOfProblem(*section.problem).text;
      const bool is_main = !problem.empty() || &file == &program.files.back();
      if (section.variant != nullptr && owner == problem && is_main)
        names.push_back(NameOfVariant(*section.variant).text);
    }
  }
  return names;
}

}  // namespace amo::lang
