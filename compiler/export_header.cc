// SPDX-License-Identifier: Apache-2.0
// Names for C, and the header.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <set>

#include "compiler/export.h"

namespace amo::compiler {
namespace {

// Keywords of C and C++, macros of common headers and of GNU's dialects, and the names that the header itself gives to
// arguments.
constexpr std::string_view kTaken[] = {"EOF",
                                       "I",
                                       "NAN",
                                       "NULL",
                                       "TRUE",
                                       "FALSE",
                                       "alignas",
                                       "alignof",
                                       "and",
                                       "and_eq",
                                       "asm",
                                       "assert",
                                       "atomic",
                                       "auto",
                                       "begin",
                                       "bitand",
                                       "bitor",
                                       "bool",
                                       "break",
                                       "case",
                                       "catch",
                                       "char",
                                       "char16_t",
                                       "char32_t",
                                       "char8_t",
                                       "class",
                                       "co_await",
                                       "co_return",
                                       "co_yield",
                                       "compl",
                                       "complex",
                                       "concept",
                                       "const",
                                       "const_cast",
                                       "consteval",
                                       "constexpr",
                                       "constinit",
                                       "continue",
                                       "decltype",
                                       "default",
                                       "delete",
                                       "do",
                                       "double",
                                       "dynamic_cast",
                                       "else",
                                       "end",
                                       "enum",
                                       "errno",
                                       "explicit",
                                       "export",
                                       "extern",
                                       "false",
                                       "float",
                                       "for",
                                       "friend",
                                       "goto",
                                       "if",
                                       "imaginary",
                                       "inline",
                                       "int",
                                       "int64_t",
                                       "linux",
                                       "long",
                                       "mutable",
                                       "namespace",
                                       "new",
                                       "noexcept",
                                       "noreturn",
                                       "not",
                                       "not_eq",
                                       "nullptr",
                                       "operator",
                                       "or",
                                       "or_eq",
                                       "private",
                                       "protected",
                                       "public",
                                       "register",
                                       "reinterpret_cast",
                                       "requires",
                                       "restrict",
                                       "return",
                                       "scratch",
                                       "shared",
                                       "short",
                                       "signed",
                                       "size_t",
                                       "sizeof",
                                       "static",
                                       "static_assert",
                                       "static_cast",
                                       "stderr",
                                       "stdin",
                                       "stdout",
                                       "struct",
                                       "switch",
                                       "template",
                                       "this",
                                       "thread_local",
                                       "throw",
                                       "true",
                                       "try",
                                       "typedef",
                                       "typeid",
                                       "typename",
                                       "typeof",
                                       "uint8_t",
                                       "union",
                                       "unix",
                                       "unsigned",
                                       "using",
                                       "virtual",
                                       "void",
                                       "volatile",
                                       "wchar_t",
                                       "while",
                                       "xor",
                                       "xor_eq"};

// The code point at `at`, which moves behind it. Bytes that are no UTF-8 count as they are.
unsigned CodePoint(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(at++);
  const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
  unsigned code = more == 3 ? first & 0x07 : more == 2 ? first & 0x0F : more == 1 ? first & 0x1F : first;
  for (int k = 0; k < more && at < text.size() && (byte(at) & 0xC0) == 0x80; ++k) {
    code = code << 6 | (byte(at++) & 0x3F);
  }
  return code;
}

// A comment cannot end early.
std::string InComment(std::string text) {
  for (std::size_t at = 0; (at = text.find("*/", at)) != std::string::npos;) text.insert(at + 1, " ");
  return text;
}

std::string Indented(const std::string& text) {
  std::string out;
  for (const char c : InComment(text)) {
    if (!out.empty() && out.back() == '\n') out += c == '\n' ? " *" : " * ";
    out += c;
  }
  return out;
}

std::string_view CType(Elem elem, Precision precision) {
  switch (elem) {
    case Elem::kReal:
      return precision == Precision::kF64 ? "double" : "float";
    case Elem::kInt:
      return "int64_t";
    case Elem::kBool:
      return "uint8_t";
  }
  return "";
}

std::string Dimensions(const Shape& shape) {
  std::string text;
  for (const std::int64_t n : shape) text += fmt::format("[{}]", n);
  return text;
}

std::string Table(const std::vector<ExportArgument>& arguments, Precision precision) {
  std::size_t width = 0, type_width = 0;
  const auto type_of = [&](const ExportArgument& a) {
    return fmt::format("{}{}", CType(a.type.elem, precision), Dimensions(a.type.shape));
  };
  for (const ExportArgument& a : arguments) {
    width = std::max(width, a.c_name.size());
    type_width = std::max(type_width, type_of(a).size());
  }
  std::string text;
  for (const ExportArgument& a : arguments) {
    std::string line = fmt::format(" *   {:<{}}  {:<{}}", a.c_name, width, type_of(a), type_width);
    line += a.written ? "  written" : a.shared ? "  shared" : "";
    if (a.name != a.c_name) line += fmt::format("  {}", InComment(a.name));
    while (line.back() == ' ') line.pop_back();
    text += line + "\n";
  }
  return text;
}

// A declaration, broken where it gets long.
std::string Declaration(const std::string& symbol, const std::vector<ExportArgument>& arguments, Precision precision,
                        bool batch, const std::vector<std::string>& memory) {
  constexpr std::size_t kWidth = 110;
  std::vector<std::string> parts;
  for (const ExportArgument& a : arguments) {
    std::string part = fmt::format("{}{} *{}", a.written ? "" : "const ", CType(a.type.elem, precision), a.c_name);
    if (batch && !a.shared) part += fmt::format(", int64_t {}_stride", a.c_name);
    parts.push_back(std::move(part));
  }
  if (batch) parts.push_back("int64_t begin, int64_t end");
  parts.insert(parts.end(), memory.begin(), memory.end());
  const std::string head = fmt::format("void {}(", symbol);
  std::string text = head;
  std::size_t column = head.size();
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const std::string part = parts[k] + (k + 1 < parts.size() ? "," : ");");
    if (k > 0 && column + part.size() + 1 > kWidth) {
      text += "\n    ";
      column = 4;
    } else if (k > 0) {
      text += " ";
      ++column;
    }
    text += part;
    column += part.size();
  }
  return text + "\n";
}

std::string Upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

constexpr const char* kConventions =
    " *\n"
    " * Arrays are row-major. `shared` arrays are the same for all instances of a call; no array that is written may\n"
    " * overlap another one. Bools are 0 and 1. Nothing is allocated or kept between calls, so calls on different\n"
    " * threads need nothing but a scratch each: NAME_scratch_bytes bytes of any alignment, with any content.\n"
    " *\n"
    " * NAME works on one instance. NAME_batch works on instances begin, ..., end - 1, several at once: instance b\n"
    " * of x begins at x + b * x_stride, in entries; a stride of 0 gives all instances the same input.\n"
    " *\n"
    " * Where NAME_prepare stands, it computes what depends on shared arrays alone, once, into `shared` of\n"
    " * NAME_shared_bytes bytes; NAME_prepared and NAME_batch_prepared then do without that work for as long as these\n"
    " * arrays do not change. Threads may share it.\n";

}  // namespace

std::string CName(std::string_view name) {
  std::string text;
  for (std::size_t at = 0; at < name.size();) {
    const unsigned code = CodePoint(name, at);
    const bool plain = code < 0x80 && (std::isalnum(static_cast<int>(code)) || code == '_');
    text += plain ? std::string(1, static_cast<char>(code)) : code < 0x80 ? "_" : fmt::format("u{:04x}", code);
  }
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) text = "n" + text;
  if (std::find(std::begin(kTaken), std::end(kTaken), text) != std::end(kTaken)) text += "_";
  return text;
}

std::vector<ExportArgument> ArgumentsOf(const Function& function) {
  std::vector<ExportArgument> all;
  std::set<std::string> used;
  const auto add = [&](const std::string& name, const Type& type, bool shared, bool written) {
    std::string c_name = CName(name);
    if (written && used.contains(c_name)) c_name += "_out";
    while (used.contains(c_name) || used.contains(c_name + "_stride")) c_name += "_";
    used.insert({c_name, c_name + "_stride"});
    all.push_back({name, c_name, type, shared, written});
  };
  for (const Input& i : function.inputs) add(i.name, i.type, i.role == Role::kShared, false);
  for (const Output& o : function.outputs) add(o.name, function.type(o.value), false, true);
  return all;
}

std::string ExportHeader(const std::vector<ExportFunction>& functions, const std::vector<ExportedFunction>& exported,
                         const ExportOptions& options) {
  const std::string guard = fmt::format("AMO_EXPORT_{}_H_", Upper(CName(options.name)));
  std::string text = fmt::format("/* {}\n{} */\n#ifndef {}\n#define {}\n\n#include <stddef.h>\n#include <stdint.h>\n\n",
                                 Indented(options.about), kConventions, guard, guard);
  text += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n";
  for (std::size_t k = 0; k < functions.size(); ++k) {
    const ExportFunction& f = functions[k];
    const std::vector<ExportArgument> arguments = ArgumentsOf(f.function);
    text += fmt::format("\n/* {}\n{} */\n", Indented(f.about), Table(arguments, options.precision));
    text += fmt::format("#define {}_scratch_bytes ((size_t){})\n", f.symbol, exported[k].one.scratch_bytes);
    text += Declaration(f.symbol, arguments, options.precision, false, {"void *scratch"});
    text += fmt::format("#define {}_batch_scratch_bytes ((size_t){})\n", f.symbol, exported[k].batch.scratch_bytes);
    text += Declaration(f.symbol + "_batch", arguments, options.precision, true, {"void *scratch"});
    if (exported[k].one.shared_bytes == 0) continue;
    std::vector<ExportArgument> shared;
    for (const ExportArgument& a : arguments) {
      if (a.shared) shared.push_back(a);
    }
    text += fmt::format("#define {}_shared_bytes ((size_t){})\n", f.symbol, exported[k].one.shared_bytes);
    text += Declaration(f.symbol + "_prepare", shared, options.precision, false, {"void *shared"});
    const std::vector<std::string> both{"const void *shared", "void *scratch"};
    text += Declaration(f.symbol + "_prepared", arguments, options.precision, false, both);
    text += Declaration(f.symbol + "_batch_prepared", arguments, options.precision, true, both);
  }
  text += fmt::format("\n#ifdef __cplusplus\n}}  /* extern \"C\" */\n#endif\n\n#endif  /* {} */\n", guard);
  return text;
}

}  // namespace amo::compiler
