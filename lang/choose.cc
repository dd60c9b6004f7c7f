// SPDX-License-Identifier: Apache-2.0
// Choose: which declarations count for one problem, after variants and overrides, and in which order.
#include <algorithm>

#include <fmt/format.h>

#include "lang/number.h"
#include "lang/order.h"
#include "lang/problem.h"

namespace amo::lang {
namespace {

// A stretch of declarations: what is shared, a problem's own, or a variant's.
struct Block {
  const Decl* head = nullptr;  // its `problem` or `variant` line
  std::vector<const Decl*> decls;
  std::vector<Block> variants;
};

std::string HeadName(const Block& b) {
  if (!b.head) return "";
  if (const auto* p = std::get_if<ProblemDecl>(&b.head->node)) return p->name.text;
  return std::get<VariantDecl>(b.head->node).name.text;
}

struct Blocks {
  Block shared;                 // of all files
  std::vector<Block> problems;  // of all files, the user's last
};

Blocks Split(const Program& program) {
  Blocks blocks;
  for (const File& file : program.files) {
    Block* problem = nullptr;
    Block* into = &blocks.shared;
    for (const Decl& d : file.decls) {
      if (std::holds_alternative<UseDecl>(d.node)) continue;
      if (std::holds_alternative<ProblemDecl>(d.node)) {
        blocks.problems.push_back({&d, {}, {}});
        problem = into = &blocks.problems.back();
      } else if (std::holds_alternative<VariantDecl>(d.node)) {
        if (!problem) {  // a file without a `problem` line is one problem
          blocks.problems.push_back({});
          problem = &blocks.problems.back();
          std::swap(problem->decls, blocks.shared.decls);
        }
        problem->variants.push_back({&d, {}, {}});
        into = &problem->variants.back();
      } else {
        into->decls.push_back(&d);
      }
    }
  }
  return blocks;
}

std::string Joined(const std::vector<Ident>& owners) {
  std::vector<std::string> names;
  for (const Ident& o : owners) names.push_back(o.text);
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

// Adds blocks one after the other to a problem; a later block's declarations replace, one block's may not repeat.
class Chooser {
 public:
  Chooser(Problem& problem, Diagnostics& diagnostics) : p_(problem), diagnostics_(diagnostics) {}

  void Add(const Block& block) {
    here_.clear();
    for (const Decl* d : block.decls) AddDecl(*d);
  }

 private:
  // False when this block has the name already.
  bool Once(const std::string& space, const std::string& name, Span at, const std::string& what) {
    const auto [it, fresh] = here_.emplace(space + "/" + name, at);
    if (fresh) return true;
    diagnostics_.Error(Code::kDuplicateName, at, fmt::format("{} is declared twice", what))
        .Label(it->second, "first declared here");
    return false;
  }

  void Put(std::map<std::string, const Decl*>& names, const std::string& space, const Ident& name, const Decl& d) {
    if (Once(space, name.text, name.span, fmt::format("`{}`", name.text))) names[name.text] = &d;
  }

  bool Part(const std::string& what, Span at) {
    const auto [it, fresh] = here_.emplace("part/" + what, at);
    if (fresh) return true;
    diagnostics_.Error(Code::kDuplicatePart, at, fmt::format("a problem has one {}", what))
        .Label(it->second, "the first one");
    return false;
  }

  void AddDecl(const Decl& d) {
    std::visit(Overload{
                   [](const ProblemDecl&) {},
                   [](const VariantDecl&) {},
                   [](const UseDecl&) {},
                   [&](const DimDecl& x) { Put(p_.names, "name", x.name, d); },
                   [&](const ValueDecl& x) { for (const Ident& n : x.names) Put(p_.names, "name", n, d); },
                   [&](const NetworkDecl& x) { Put(p_.names, "name", x.name, d); },
                   [&](const FunctionDecl& x) { Put(p_.names, "name", x.name, d); },
                   [&](const SetDecl& x) { Put(p_.sets, "set", x.name, d); },
                   [&](const LetDecl& x) { Put(p_.names, "name", x.name, d); },
                   [&](const ObjectiveDecl& x) {
                     if (Part("objective", d.keyword)) p_.objectives = {&x};
                   },
                   [&](const FindDecl& x) { p_.finds.push_back(&x); },
                   [&](const SubjectDecl& x) { for (const Constraint& c : x.constraints) AddConstraint(c); },
                   [&](const UpdateDecl& x) { AddUpdate(x, d); },
                   [&](const ModelDecl& x) { if (Part("model", d.keyword)) p_.model = &x.stages; },
                   [&](const SolveDecl& x) { if (Part("solve", d.keyword)) p_.solve = &x.stages; },
                   [&](const LossDecl& x) { AddLoss(x, d); },
                   [&](const TrainDecl& x) { AddTrain(x); },
                   [&](const ReportDecl& x) {
                     if (!Once("report", x.name.text, x.name.span, fmt::format("report `{}`", x.name.text))) return;
                     std::erase_if(p_.reports, [&](const ReportDecl* r) { return r->name.text == x.name.text; });
                     p_.reports.push_back(&x);
                   },
                   [&](const NextDecl& x) {
                     std::erase_if(p_.nexts, [&](const NextDecl* n) { return n->name.text == x.name.text; });
                     p_.nexts.push_back(&x);
                   },
               },
               d.node);
  }

  void AddConstraint(const Constraint& c) {
    if (!Once("constraint", c.name.text, c.name.span, fmt::format("constraint `{}`", c.name.text))) return;
    std::erase_if(p_.constraints, [&](const Constraint* k) { return k->name.text == c.name.text; });
    p_.constraints.push_back(&c);
  }

  void AddUpdate(const UpdateDecl& x, const Decl& d) {
    if (!Once("update", x.name.text, x.name.span, fmt::format("the update of `{}`", x.name.text))) return;
    std::erase_if(p_.updates, [&](const UpdateDecl* u) { return u->name.text == x.name.text; });
    p_.updates.push_back(&x);
    if (x.from) p_.names[x.name.text] = &d;
  }

  void AddLoss(const LossDecl& x, const Decl& d) {
    const std::string owners = Joined(x.owners);
    if (!Part(owners.empty() ? "loss without owner" : fmt::format("loss of `{}`", owners), d.keyword)) return;
    std::erase_if(p_.losses, [&](const LossDecl* l) { return Joined(l->owners) == owners; });
    p_.losses.push_back(&x);
  }

  void AddTrain(const TrainDecl& x) {
    std::vector<std::string> owners;
    for (const Ident& o : x.owners) owners.push_back(o.text);
    if (owners.empty()) owners.push_back("");
    for (const std::string& owner : owners) {
      std::vector<const Setting*>& settings = p_.train[owner];
      for (const Setting& s : x.settings) {
        std::erase_if(settings, [&](const Setting* t) { return t->key.text == s.key.text; });
        settings.push_back(&s);
      }
    }
  }

  Problem& p_;
  Diagnostics& diagnostics_;
  std::map<std::string, Span> here_;
};

std::vector<std::string> Names(const std::vector<Block>& blocks) {
  std::vector<std::string> names;
  for (const Block& b : blocks) names.push_back(HeadName(b));
  return names;
}

Span FileStart(const Program& program) {
  return {0, 0, program.files.empty() ? 0 : program.files.back().source};
}

void Unknown(Code code, Span at, const std::string& what, const std::string& name, const std::vector<std::string>& known,
             Diagnostics& diagnostics) {
  Diagnostic& d = diagnostics.Error(code, at, fmt::format("the file has no {} `{}`", what, name));
  const std::string near = Nearest(name, known);
  if (!near.empty()) d.Help(fmt::format("did you mean `{}`?", near));
  else if (!known.empty()) d.Help(fmt::format("it has {}", fmt::join(known, ", ")));
}

// Every dim and scalar const as a number, overrides first. What is no number stays out and is the checker's affair.
void EvaluateNumbers(const Program& program, Problem& p, Diagnostics& diagnostics) {
  std::map<std::string, const Expr*> waiting;
  for (const auto& [name, decl] : p.names) {
    if (const auto* dim = std::get_if<DimDecl>(&decl->node); dim && dim->value) waiting[name] = dim->value.get();
    const auto* value = std::get_if<ValueDecl>(&decl->node);
    if (value && value->kind == ValueKind::kConst && value->value && value->index.empty()) waiting[name] = value->value.get();
  }
  for (const Override& o : program.overrides) {
    if (!waiting.count(o.name)) {
      std::vector<std::string> known;
      for (const auto& [name, e] : waiting) known.push_back(name);
      Unknown(Code::kOverride, o.value ? o.value->span : FileStart(program), "dim or const", o.name, known, diagnostics);
    } else if (o.value) {
      waiting[o.name] = o.value.get();
    }
  }
  for (bool progress = true; progress;) {
    progress = false;
    for (auto it = waiting.begin(); it != waiting.end();) {
      if (const auto number = Evaluate(*it->second, p.numbers)) {
        p.numbers[it->first] = *number;
        it = waiting.erase(it);
        progress = true;
      } else {
        ++it;
      }
    }
  }
  for (const auto& [name, expr] : waiting) {
    if (std::holds_alternative<DimDecl>(p.names[name]->node)) {
      diagnostics.Error(Code::kTypeMismatch, expr->span, fmt::format("dim `{}` is not a number known at compile time", name))
          .Help("a dim is made of numbers, dims and scalar consts");
    }
  }
  for (const auto& [name, number] : p.numbers) {
    const auto* dim = std::get_if<DimDecl>(&p.names[name]->node);
    if (dim && (number < 0 || number != static_cast<double>(static_cast<std::int64_t>(number)))) {
      diagnostics.Error(Code::kDomain, dim->name.span, fmt::format("dim `{}` is {}, not a whole number", name, number));
    }
  }
}

}  // namespace

Problem Choose(const Program& program, const ProblemChoice& choice, Diagnostics& diagnostics) {
  Problem p;
  const Blocks blocks = Split(program);
  const Block* chosen = nullptr;
  for (const Block& b : blocks.problems) {
    if (choice.problem.empty() || HeadName(b) == choice.problem) chosen = &b;
  }
  if (!choice.problem.empty() && !chosen) {
    Unknown(Code::kOverride, FileStart(program), "problem", choice.problem, Names(blocks.problems), diagnostics);
  }
  Chooser chooser(p, diagnostics);
  chooser.Add(blocks.shared);
  if (chosen) {
    p.decl = chosen->head;
    p.name = HeadName(*chosen);
    if (chosen->head) p.doc = std::get<ProblemDecl>(chosen->head->node).doc;
    chooser.Add(*chosen);
    const Block* variant = nullptr;
    for (const Block& v : chosen->variants) if (HeadName(v) == choice.variant) variant = &v;
    if (variant) chooser.Add(*variant);
    else if (!choice.variant.empty()) {
      Unknown(Code::kOverride, FileStart(program), "variant", choice.variant, Names(chosen->variants), diagnostics);
    }
  }
  EvaluateNumbers(program, p, diagnostics);
  OrderValues(p, diagnostics);
  return p;
}

std::vector<std::string> ProblemNames(const Program& program) { return Names(Split(program).problems); }

std::vector<std::string> VariantNames(const Program& program, const std::string& problem) {
  const Blocks blocks = Split(program);
  for (const Block& b : blocks.problems) if (HeadName(b) == problem) return Names(b.variants);
  return {};
}

}  // namespace amo::lang
