// SPDX-License-Identifier: Apache-2.0
// The op table, types, the verifier, and what a whole function tells of its values.
#include "compiler/ir.h"

#include <algorithm>

namespace amo::compiler {
namespace {

struct Row {
  std::string_view text;
  int arity;
  OpClass kind;
};

constexpr Row kRows[] = {
#define AMO_OP(name, text, arity, kind) {text, arity, OpClass::k##kind},
#include "compiler/op.def"
#undef AMO_OP
};

}  // namespace

std::string_view OpText(Op op) { return kRows[static_cast<int>(op)].text; }
int OpArity(Op op) { return kRows[static_cast<int>(op)].arity; }
OpClass ClassOf(Op op) { return kRows[static_cast<int>(op)].kind; }

bool IsElementwise(Op op) {
  switch (ClassOf(op)) {
    case OpClass::kUnary:
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic:
    case OpClass::kSelect: return true;
    case OpClass::kLeaf:
    case OpClass::kShape:
    case OpClass::kReduce:
    case OpClass::kArg:
    case OpClass::kAlong:
    case OpClass::kContract:
    case OpClass::kIndex: return false;
  }
  return false;
}

std::int64_t Count(const Shape& shape) {
  std::int64_t n = 1;
  for (std::int64_t d : shape) n *= d;
  return n;
}

std::string ToString(const Type& type) {
  std::string s = type.elem == Elem::kReal ? "real" : type.elem == Elem::kInt ? "int" : "bool";
  if (type.shape.empty()) return s;
  s += '[';
  for (std::size_t i = 0; i < type.shape.size(); ++i) {
    if (i) s += ',';
    s += std::to_string(type.shape[i]);
  }
  return s + ']';
}

int Function::FindInput(std::string_view name) const {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

int Function::FindOutput(std::string_view name) const {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

std::vector<bool> VariesByInstance(const Function& function) {
  std::vector<bool> varies(function.nodes.size());
  for (std::size_t i = 0; i < function.nodes.size(); ++i) {
    const Node& n = function.nodes[i];
    if (n.op == Op::kInput) {
      varies[i] = function.inputs[static_cast<std::size_t>(n.attr[0])].role == Role::kInstance;
    }
    for (Value a : n.args) varies[i] = varies[i] || varies[static_cast<std::size_t>(a.index)];
  }
  return varies;
}

DotLabels LabelsOf(const Function& function, const Node& node) {
  const auto ra = static_cast<std::ptrdiff_t>(function.type(node.args[0]).shape.size());
  const auto rb = static_cast<std::ptrdiff_t>(function.type(node.args[1]).shape.size());
  const auto begin = node.attr.begin();
  return {{begin, begin + ra}, {begin + ra, begin + ra + rb}, {begin + ra + rb, node.attr.end()}};
}

std::string Verify(const Function& function) {
  for (std::size_t i = 0; i < function.nodes.size(); ++i) {
    const Node& n = function.nodes[i];
    const std::string at = "%" + std::to_string(i) + " " + std::string(OpText(n.op)) + ": ";
    std::vector<Type> args;
    for (Value a : n.args) {
      if (a.index < 0 || static_cast<std::size_t>(a.index) >= i) return at + "an argument does not stand before it";
      args.push_back(function.type(a));
    }
    if (OpArity(n.op) >= 0 && n.args.size() != static_cast<std::size_t>(OpArity(n.op))) {
      return at + "takes " + std::to_string(OpArity(n.op)) + " arguments";
    }
    if (n.op == Op::kInput) {
      if (n.attr.size() != 1 || n.attr[0] < 0 || static_cast<std::size_t>(n.attr[0]) >= function.inputs.size()) {
        return at + "names no input";
      }
      if (function.inputs[static_cast<std::size_t>(n.attr[0])].type != n.type) return at + "differs from its input";
      continue;
    }
    const Inferred inferred = Infer(n, args);
    if (!inferred.error.empty()) return at + inferred.error;
    if (inferred.type != n.type) return at + "has type " + ToString(n.type) + ", not " + ToString(inferred.type);
  }
  for (const Output& o : function.outputs) {
    if (o.value.index < 0 || static_cast<std::size_t>(o.value.index) >= function.nodes.size()) {
      return "output " + o.name + " names no value";
    }
  }
  return "";
}

}  // namespace amo::compiler
