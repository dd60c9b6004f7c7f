// SPDX-License-Identifier: Apache-2.0
// The op table, types, the verifier, and what a whole function tells of its values.
#include "compiler/ir.h"

#include <algorithm>
#include <bit>

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
    case OpClass::kIndex:
    case OpClass::kMatrix:
    case OpClass::kLoop: return false;
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
  std::vector<bool> inputs;
  for (const Input& in : function.inputs) inputs.push_back(in.role == Role::kInstance);
  return VariesFrom(function, inputs);
}

std::vector<bool> BodyVaries(const Node& scan, const std::vector<bool>& args) {
  const ScanForm form = FormOf(scan);
  std::vector<bool> inputs = args;
  const bool any = std::count(args.begin(), args.end(), true) > 0;
  std::fill(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(form.carries), any);
  if (form.index) inputs.push_back(false);
  return inputs;
}

bool SameFunction(const Function& a, const Function& b) {
  const auto same_node = [](const Node& x, const Node& y) {
    const bool bodies = !x.body == !y.body && (x.body == y.body || SameFunction(*x.body, *y.body));
    return bodies && x.op == y.op && x.type == y.type && x.args == y.args && x.attr == y.attr &&
           std::bit_cast<std::uint64_t>(x.number) == std::bit_cast<std::uint64_t>(y.number);
  };
  const auto same_input = [](const Input& x, const Input& y) {
    return x.role == y.role && x.type == y.type && x.value == y.value;
  };
  const auto same_output = [](const Output& x, const Output& y) { return x.value == y.value; };
  return std::equal(a.nodes.begin(), a.nodes.end(), b.nodes.begin(), b.nodes.end(), same_node) &&
         std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), b.inputs.end(), same_input) &&
         std::equal(a.outputs.begin(), a.outputs.end(), b.outputs.begin(), b.outputs.end(), same_output);
}

Windows WindowsOf(const Node& n) { return {n.attr[0], n.attr[1], n.attr[2], n.attr[3]}; }

ScanForm FormOf(const Node& scan) {
  const auto& a = scan.attr;
  return {a[0],      static_cast<std::size_t>(a[1]), static_cast<std::size_t>(a[2]), static_cast<std::size_t>(a[3]),
          a[4] != 0, a[5] != 0};
}

std::vector<std::int64_t> ScanOffsets(const Node& scan) {
  const ScanForm form = FormOf(scan);
  std::vector<std::int64_t> offsets{0};
  for (std::size_t k = 0; k < form.carries + form.ys; ++k) {
    const std::int64_t one = Count(scan.body->type(scan.body->outputs[k].value).shape);
    offsets.push_back(offsets.back() + (k < form.carries ? one : form.steps * one));
  }
  return offsets;
}

std::vector<bool> VariesFrom(const Function& function, const std::vector<bool>& inputs) {
  std::vector<bool> varies(function.nodes.size());
  for (std::size_t i = 0; i < function.nodes.size(); ++i) {
    const Node& n = function.nodes[i];
    if (n.op == Op::kInput) varies[i] = inputs[static_cast<std::size_t>(n.attr[0])];
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
