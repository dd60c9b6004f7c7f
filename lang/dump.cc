// SPDX-License-Identifier: Apache-2.0
// Prints trees: one function for each node of ast.h.
#include "lang/dump.h"

#include <fmt/format.h>

#include <string_view>

namespace amo::lang {
namespace {

std::string_view Sign(UnaryOp op) {
  switch (op) {
    case UnaryOp::kNegate:
      return "-";
    case UnaryOp::kNot:
      return "not";
  }
  return "";
}

std::string_view Sign(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kElementMul:
      return ".*";
    case BinaryOp::kElementDiv:
      return "./";
    case BinaryOp::kPow:
      return "^";
    case BinaryOp::kElementPow:
      return ".^";
    case BinaryOp::kAnd:
      return "and";
    case BinaryOp::kOr:
      return "or";
  }
  return "";
}

std::string_view Sign(CompareOp op) {
  switch (op) {
    case CompareOp::kEq:
      return "==";
    case CompareOp::kNe:
      return "!=";
    case CompareOp::kLt:
      return "<";
    case CompareOp::kLe:
      return "<=";
    case CompareOp::kGt:
      return ">";
    case CompareOp::kGe:
      return ">=";
  }
  return "";
}

std::string_view Role(ValueDecl::Origin origin) {
  switch (origin) {
    case ValueDecl::Origin::kNone:
      return "none";
    case ValueDecl::Origin::kComputed:
      return "=";
    case ValueDecl::Origin::kDrawn:
      return "~";
    case ValueDecl::Origin::kRead:
      return "from";
  }
  return "";
}

std::string Joined(const std::vector<Ident>& names) {
  std::string out;
  for (const Ident& name : names) out += (out.empty() ? "" : ", ") + name.text;
  return out;
}

class Printer {
 public:
  std::string text;

  void Print(const File& file) {
    Line(fmt::format("file version {}", file.version));
    ++depth_;
    for (const Decl& decl : file.decls) Print(decl);
    --depth_;
  }

  void Print(const Decl& decl) {
    broken_ = decl.broken;
    std::visit([&](const auto& node) { Declaration(node); }, decl.node);
  }

  // `role` says what the node is to its parent: "lo", "if", a keyword argument's name …
  void Print(std::string_view role, const ExprPtr& e) {
    if (e != nullptr) Print(role, *e);
  }
  void Print(std::string_view role, const Expr& e) {
    role_ = role;
    std::visit([&](const auto& node) { Expression(node); }, e.node);
  }

 private:
  void Line(std::string_view line) {
    text.append(2 * depth_, ' ');
    if (!role_.empty()) text += role_ + ": ";
    role_.clear();
    text += line;
    text += '\n';
  }

  template <class Children>
  void Node(std::string_view line, Children children) {
    Line(line);
    ++depth_;
    children();
    --depth_;
  }

  // The first line of a declaration.
  template <class Children>
  void Head(std::string_view line, Children children) {
    Node(broken_ ? fmt::format("{} (broken)", line) : std::string(line), children);
  }

  // ---- expressions

  void Expression(const Number& n) { Line(fmt::format("number {}{}", n.value, n.is_int ? "" : " real")); }
  void Expression(const String& s) { Line(fmt::format("string \"{}\"", s.value)); }
  void Expression(const Boolean& b) { Line(b.value ? "true" : "false"); }
  void Expression(const Name& n) { Line("name " + n.name.text); }
  void Expression(const Member& m) {
    Node("member " + m.field.text, [&] { Print("", m.base); });
  }
  void Expression(const Index& index) {
    Node("index", [&] {
      Print("", index.base);
      for (const IndexItem& item : index.items) {
        switch (item.kind) {
          case IndexItem::Kind::kAt:
            Print("at", item.at);
            break;
          case IndexItem::Kind::kAll:
            Line("all");
            break;
          case IndexItem::Kind::kRange:
            Node("range", [&] {
              Print("lo", item.lo);
              Print("hi", item.hi);
            });
            break;
        }
      }
    });
  }
  void Expression(const Transpose& t) {
    Node("transpose", [&] { Print("", t.base); });
  }
  void Expression(const Call& call) {
    Node("call", [&] {
      Print("", call.callee);
      for (const Argument& a : call.args) {
        Print(a.keyword ? a.keyword->text : "", a.value);
        Print("second", a.second);
      }
      for (const ExprPtr& w : call.weights) Print("weights", w);
    });
  }
  void Expression(const BinderCall& call) {
    Node("call " + call.callee.text, [&] {
      Binders(call.binders);
      Print("if", call.condition);
      Print("", call.body);
    });
  }
  void Expression(const Array& array) {
    Node("array", [&] {
      for (const ExprPtr& item : array.items) Print("", item);
    });
  }
  void Expression(const Comprehension& c) {
    Node("comprehension", [&] {
      Binders(c.binders);
      Print("if", c.condition);
      Print("", c.body);
    });
  }
  void Expression(const Unary& u) {
    Node(Sign(u.op), [&] { Print("", u.operand); });
  }
  void Expression(const Binary& b) {
    Node(Sign(b.op), [&] {
      Print("", b.left);
      Print("", b.right);
    });
  }
  void Expression(const Compare& c) {
    Node("compare", [&] {
      Print("", c.first);
      for (const auto& [op, operand] : c.rest) Print(Sign(op), operand);
    });
  }
  void Expression(const If& i) {
    Node("if", [&] {
      Print("", i.condition);
      Print("then", i.then);
      Print("else", i.otherwise);
    });
  }
  void Expression(const Where& w) {
    Node("where", [&] {
      Print("", w.body);
      Definitions(w.definitions);
    });
  }
  void Expression(const Paren& p) {
    Node("paren", [&] { Print("", p.inner); });
  }

  // ---- parts

  void Binders(const std::vector<Binder>& binders) {
    for (const Binder& b : binders) {
      switch (b.kind) {
        case Binder::Kind::kIn:
          Node("in " + b.name.text, [&] {
            Print("lo", b.lo);
            Print("hi", b.hi);
          });
          break;
        case Binder::Kind::kDraw:
          Node("draw " + b.name.text, [&] {
            Type(b.type);
            Print("", b.value);
          });
          break;
        case Binder::Kind::kInit:
          Node("start " + b.name.text, [&] { Print("", b.value); });
          break;
      }
    }
  }

  void Definitions(const std::vector<Definition>& definitions) {
    for (const Definition& d : definitions) {
      Node("define " + d.name.text, [&] {
        Binders(d.index);
        Print("", d.value);
      });
    }
  }

  void Type(const std::optional<TypeExpr>& type) {
    if (type) Type(*type);
  }
  void Type(const TypeExpr& type) {
    Node("type " + type.name.text, [&] {
      for (const ExprPtr& dim : type.dims) Print("", dim);
    });
  }

  void Params(const std::vector<Param>& params) {
    for (const Param& p : params) {
      Node("param " + p.name.text, [&] { Type(p.type); });
    }
  }

  void Print(const Relation& relation) {
    Print("", relation.value);
    Print("in", relation.set);
  }

  void Print(const Stages& stages) {
    Print("", stages.builder);
    Definitions(stages.predictions);
    for (const Over& over : stages.over) {
      Node("over " + over.name.text, [&] {
        Type(over.type);
        Print("in", over.set);
        Print("from", over.from);
      });
    }
    for (const ExprPtr& refinement : stages.refinements) Print("then", refinement);
  }

  static std::string WithOwners(std::string_view keyword, const std::vector<Ident>& owners) {
    return owners.empty() ? std::string(keyword) : fmt::format("{} {}", keyword, Joined(owners));
  }

  // ---- declarations

  void Declaration(const ProblemDecl& d) {
    Head("problem " + d.name.text + (d.doc.empty() ? "" : " \"" + d.doc + "\""), [] {});
  }
  void Declaration(const VariantDecl& d) {
    Head("variant " + d.name.text, [] {});
  }
  void Declaration(const UseDecl& d) {
    Head("use \"" + d.path + "\"", [] {});
  }
  void Declaration(const DimDecl& d) {
    Head("dim " + d.name.text, [&] { Print("", d.value); });
  }
  void Declaration(const ValueDecl& d) {
    Head(fmt::format("{} {}", NameOf(d.kind), Joined(d.names)), [&] {
      Binders(d.index);
      Type(d.type);
      Print("in", d.set);
      Print(Role(d.origin), d.value);
    });
  }
  void Declaration(const NetworkDecl& d) {
    Head("network " + d.name.text, [&] {
      Binders(d.index);
      Params(d.params);
      Type(d.result);
      Print("=", d.body);
      Print("from", d.source);
    });
  }
  void Declaration(const FunctionDecl& d) {
    Head("function " + d.name.text, [&] {
      Params(d.params);
      Type(d.result);
      Print("=", d.body);
    });
  }
  void Declaration(const SetDecl& d) {
    Head("set " + d.name.text, [&] {
      Params(d.params);
      if (d.project) {
        Node("project " + d.project->argument.text, [&] { Print("", d.project->body); });
      }
    });
  }
  void Declaration(const LetDecl& d) {
    Head("let " + d.name.text, [&] {
      Binders(d.index);
      Type(d.type);
      Print("=", d.value);
    });
  }
  void Declaration(const ObjectiveDecl& d) {
    Head(d.maximize ? "maximize" : "minimize", [&] { Print("", d.value); });
  }
  void Declaration(const FindDecl& d) {
    Head("find", [&] { Print(d.relation); });
  }
  void Declaration(const SubjectDecl& d) {
    Head("subject to", [&] {
      for (const Constraint& c : d.constraints) {
        Node("constraint " + c.name.text, [&] {
          Binders(c.index);
          Print("if", c.condition);
          Print(c.relation);
        });
      }
    });
  }
  void Declaration(const UpdateDecl& d) {
    Head("update " + d.name.text, [&] {
      Binders(d.index);
      Type(d.type);
      Print("=", d.value);
      Print("from", d.from);
    });
  }
  void Declaration(const ModelDecl& d) {
    Head("model", [&] { Print(d.stages); });
  }
  void Declaration(const SolveDecl& d) {
    Head("solve", [&] { Print(d.stages); });
  }
  void Declaration(const LossDecl& d) {
    Head(WithOwners("loss", d.owners), [&] {
      Print("", d.value);
      Print("by", d.estimator);
    });
  }
  void Declaration(const TrainDecl& d) {
    Head(WithOwners("train", d.owners), [&] {
      for (const Setting& setting : d.settings) Print(setting.key.text, setting.value);
    });
  }
  void Declaration(const ReportDecl& d) {
    Head("report " + d.name.text, [&] { Print("", d.value); });
  }
  void Declaration(const NextDecl& d) {
    Head("next " + d.name.text, [&] {
      Print("=", d.value);
      Print("until", d.until);
    });
  }

  std::string role_;
  std::size_t depth_ = 0;
  bool broken_ = false;
};

}  // namespace

std::string Dump(const File& file) {
  Printer printer;
  printer.Print(file);
  return printer.text;
}

std::string Dump(const Decl& decl) {
  Printer printer;
  printer.Print(decl);
  return printer.text;
}

std::string Dump(const Expr& expr) {
  Printer printer;
  printer.Print("", expr);
  return printer.text;
}

}  // namespace amo::lang
