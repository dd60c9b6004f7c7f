// SPDX-License-Identifier: Apache-2.0
// Printing and parsing of the IR's text form.
#include "compiler/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

namespace amo::compiler {
namespace {

std::string Ref(Value v) { return fmt::format("%{}", v.index); }

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t from = line.find_first_not_of(' ');
    if (from == line.npos) return words;
    const std::size_t to = std::min(line.find(' ', from), line.size());
    words.push_back(line.substr(from, to - from));
    line.remove_prefix(to);
  }
}

template <class T>
std::optional<T> ToNumber(std::string_view s) {
  T value{};
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc{} || end != s.data() + s.size()) return std::nullopt;
  return value;
}

// "1,2,3" → its numbers; an empty text is an empty list.
std::optional<std::vector<std::int64_t>> ToList(std::string_view s) {
  std::vector<std::int64_t> list;
  while (!s.empty()) {
    const std::size_t comma = std::min(s.find(','), s.size());
    const auto value = ToNumber<std::int64_t>(s.substr(0, comma));
    if (!value) return std::nullopt;
    list.push_back(*value);
    s.remove_prefix(std::min(comma + 1, s.size()));
  }
  return list;
}

std::optional<Type> ToType(std::string_view s) {
  Type type;
  const std::size_t bracket = std::min(s.find('['), s.size());
  const std::string_view elem = s.substr(0, bracket);
  if (elem == "int") type.elem = Elem::kInt;
  else if (elem == "bool") type.elem = Elem::kBool;
  else if (elem != "real") return std::nullopt;
  if (bracket == s.size()) return type;
  if (s.back() != ']') return std::nullopt;
  const auto shape = ToList(s.substr(bracket + 1, s.size() - bracket - 2));
  if (!shape || shape->empty()) return std::nullopt;
  for (std::int64_t d : *shape) {
    if (d < 0 || d > (std::int64_t{1} << 40)) return std::nullopt;
  }
  type.shape = *shape;
  return type;
}

std::optional<Op> ToOp(std::string_view text) {
#define AMO_OP(name, spelling, arity, kind) \
  if (text == spelling) return Op::k##name;
#include "compiler/op.def"
#undef AMO_OP
  return std::nullopt;
}

std::optional<Value> ToRef(std::string_view word, std::size_t count) {
  if (word.empty() || word[0] != '%') return std::nullopt;
  const auto index = ToNumber<std::int32_t>(word.substr(1));
  if (!index || *index < 0 || static_cast<std::size_t>(*index) >= count) return std::nullopt;
  return Value{*index};
}

// One line into `f`; "" or what is wrong.
std::string ParseLine(std::string_view line, Function& f) {
  const std::vector<std::string_view> w = Words(line);
  if (w.empty()) return "";
  if (w[0] == "function" && w.size() == 2) {
    f.name = w[1];
    return "";
  }
  if (w[0] == "output" && w.size() == 3) {
    const auto value = ToRef(w[2], f.nodes.size());
    if (!value) return "an output names no value";
    f.outputs.push_back({std::string(w[1]), *value});
    return "";
  }
  if (w.size() < 5 || w[0] != fmt::format("%{}", f.nodes.size()) || w[1] != "=") return "expected the next node";
  const auto op = ToOp(w[2]);
  const auto type = ToType(w.back());
  if (!op) return fmt::format("`{}` is no operation", w[2]);
  if (!type) return "a node ends with `: TYPE`";
  Node n{*op, *type, {}, {}, 0, {}};
  std::size_t k = 3;
  if (*op == Op::kInput) {
    if (w.size() != 7 || w[4] != ":" || (w[5] != "instance" && w[5] != "shared")) return "an input is NAME : ROLE TYPE";
    n.attr = {static_cast<std::int64_t>(f.inputs.size())};
    const Role role = w[5] == "shared" ? Role::kShared : Role::kInstance;
    f.inputs.push_back({std::string(w[3]), role, *type, {static_cast<std::int32_t>(f.nodes.size())}});
    f.nodes.push_back(std::move(n));
    return "";
  }
  if (*op == Op::kNumber) {
    const auto number = ToNumber<double>(w[k++]);
    if (!number) return "a number is expected";
    n.number = *number;
  }
  for (; k < w.size() && w[k][0] == '%'; ++k) {
    const auto value = ToRef(w[k], f.nodes.size());
    if (!value) return "an argument does not stand before it";
    n.args.push_back(*value);
  }
  if (k < w.size() && w[k].front() == '{' && w[k].back() == '}' && w[k].size() > 1) {
    const auto list = ToList(w[k].substr(1, w[k].size() - 2));
    if (!list) return "attributes are {INT,INT,…}";
    n.attr = *list;
    ++k;
  }
  if (k + 2 != w.size() || w[k] != ":") return "a node ends with `: TYPE`";
  f.nodes.push_back(std::move(n));
  return "";
}

void Print(const Function& f, const std::string& indent, std::string& out) {
  out += fmt::format("{}function {}\n", indent, f.name);
  for (std::size_t i = 0; i < f.nodes.size(); ++i) {
    const Node& n = f.nodes[i];
    out += fmt::format("{}  %{} = {}", indent, i, OpText(n.op));
    if (n.op == Op::kInput) {
      const Input& in = f.inputs[static_cast<std::size_t>(n.attr[0])];
      out += fmt::format(" {} : {} {}\n", in.name, in.role == Role::kShared ? "shared" : "instance", ToString(n.type));
      continue;
    }
    if (n.op == Op::kNumber) out += fmt::format(" {}", n.number);
    for (Value a : n.args) out += " " + Ref(a);
    if (!n.attr.empty()) out += fmt::format(" {{{}}}", fmt::join(n.attr, ","));
    out += fmt::format(" : {}\n", ToString(n.type));
    if (!n.body) continue;
    Print(*n.body, indent + "    ", out);
    out += indent + "    end\n";
  }
  for (const Output& o : f.outputs) out += fmt::format("{}  output {} {}\n", indent, o.name, Ref(o.value));
}

}  // namespace

std::string Print(const Function& f) {
  std::string out;
  Print(f, "", out);
  return out;
}

ParsedFunction ParseFunction(std::string_view text) {
  std::vector<Function> open(1);  // the function and the bodies that have begun
  int line = 0;
  while (!text.empty()) {
    ++line;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view now = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::vector<std::string_view> words = Words(now);
    std::vector<Node>& nodes = open.back().nodes;
    const bool scan = !nodes.empty() && nodes.back().op == Op::kScan && !nodes.back().body;
    if (scan && !words.empty() && words[0] == "function") {
      open.emplace_back();
    } else if (scan && !words.empty()) {
      return {{}, fmt::format("line {}: a scan is followed by its body", line)};
    } else if (words.size() == 1 && words[0] == "end" && open.size() > 1) {
      auto body = std::make_shared<const Function>(std::move(open.back()));
      open.pop_back();
      open.back().nodes.back().body = std::move(body);
      continue;
    }
    const std::string error = ParseLine(now, open.back());
    if (!error.empty()) return {{}, fmt::format("line {}: {}", line, error)};
  }
  if (open.size() > 1) return {{}, "a body does not end"};
  const std::string error = Verify(open[0]);
  if (!error.empty()) return {{}, error};
  return {std::move(open[0]), ""};
}

}  // namespace amo::compiler
