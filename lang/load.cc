// SPDX-License-Identifier: Apache-2.0
// Load: the standard library, the files that are used, and the user's file, parsed in that order.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <fmt/format.h>

#include "lang/parser.h"
#include "lang/problem.h"
#include "stdlib/stdlib.h"

namespace amo::lang {
namespace {

std::optional<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) return std::nullopt;
  return text;
}

// Parses `path` after the files that it uses; `known` holds every path that was begun, so a circle of uses ends.
void LoadFile(const std::string& path, std::string text, Program& program, std::set<std::string>& known,
              Diagnostics& diagnostics) {
  const std::uint32_t source = program.sources.Add(path, std::move(text));
  File file = Parse(program.sources, source, program.expr_count, diagnostics);
  for (const Decl& d : file.decls) {
    const auto* use = std::get_if<UseDecl>(&d.node);
    if (!use || d.broken) continue;
    const std::string used = (std::filesystem::path(path).parent_path() / use->path).lexically_normal().string();
    if (!known.insert(used).second) continue;
    std::optional<std::string> inner = ReadFile(used);
    if (!inner) {
      diagnostics.Error(Code::kFile, use->path_span, fmt::format("`{}` cannot be read", use->path))
          .Help(fmt::format("the path is relative to this file: {}", used));
      continue;
    }
    LoadFile(used, std::move(*inner), program, known, diagnostics);
  }
  program.files.push_back(std::move(file));
}

}  // namespace

Program Load(const std::string& path, Diagnostics& diagnostics) {
  Program program;
  const standard_library::Texts texts = standard_library::All();
  for (std::size_t i = 0; i < texts.count; ++i) {
    const std::uint32_t source =
        program.sources.Add(fmt::format("<stdlib>/{}", texts.first[i].name), std::string(texts.first[i].text));
    program.files.push_back(Parse(program.sources, source, program.expr_count, diagnostics));
  }
  std::optional<std::string> text = ReadFile(path);
  if (!text) {
    const std::uint32_t source = program.sources.Add(path, "");
    diagnostics.Error(Code::kFile, {0, 0, source}, fmt::format("`{}` cannot be read", path));
    return program;
  }
  std::set<std::string> known{std::filesystem::path(path).lexically_normal().string()};
  LoadFile(path, std::move(*text), program, known, diagnostics);
  return program;
}

}  // namespace amo::lang
