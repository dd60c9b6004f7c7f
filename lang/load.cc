// SPDX-License-Identifier: Apache-2.0
// Files to a parsed program: the user's file, what it uses, the standard library.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "lang/parser.h"
#include "lang/problem.h"
#include "stdlib/stdlib.h"

namespace amo::lang {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text{std::istreambuf_iterator<char>(in), {}};
  return in.bad() ? std::nullopt : std::optional(std::move(text));
}

class Loader {
 public:
  // `given`: texts by path, which are not looked for on the disk; may be null.
  Loader(Program& program, Diagnostics& diagnostics, const std::map<std::string, std::string>* given = nullptr)
      : program_(program), diagnostics_(diagnostics), given_(given) {}

  void Stdlib() {
    for (const stdlib::Text& text : stdlib::Texts()) {
      const std::string path = "<stdlib>/" + std::string(text.name);
      program_.files.push_back(ParseSource(program_.sources.Add(path, std::string(text.text))));
    }
  }

  // The files that a file uses come before it.
  void Add(const std::string& path, std::string text) {
    const std::string key = Key(path);
    open_.push_back(key);
    const std::uint32_t source = program_.sources.Add(path, std::move(text));
    File file = ParseSource(source);
    for (const Decl& decl : file.decls) {
      const auto* use = std::get_if<UseDecl>(&decl.node);
      if (use != nullptr && !decl.broken) Use(path, *use);
    }
    program_.files.push_back(std::move(file));
    open_.pop_back();
    done_.push_back(key);
  }

 private:
  static std::string Key(const std::string& path) {
    std::error_code error;
    const fs::path key = fs::weakly_canonical(path, error);
    return error ? fs::path(path).lexically_normal().string() : key.string();
  }

  File ParseSource(std::uint32_t source) { return Parse(program_.sources, source, program_.expr_count, diagnostics_); }

  void Use(const std::string& user, const UseDecl& use) {
    const std::string path = (fs::path(user).parent_path() / use.path).lexically_normal().string();
    const std::string key = Key(path);
    if (std::find(done_.begin(), done_.end(), key) != done_.end()) return;
    if (std::find(open_.begin(), open_.end(), key) != open_.end()) {
      diagnostics_.Error(Code::kCycle, use.path_span,
                         key == open_.back() ? fmt::format("`{}` uses itself", use.path)
                                             : fmt::format("`{}` uses this file in turn", use.path));
      return;
    }
    std::optional<std::string> text;
    if (given_ == nullptr) {
      text = ReadFile(path);
    } else if (const auto it = given_->find(path); it != given_->end()) {
      text = it->second;
    }
    if (!text) {
      diagnostics_.Error(Code::kFile, use.path_span, fmt::format("cannot read `{}`", path))
          .Help("a used file is looked for relative to the file that uses it");
      return;
    }
    Add(path, std::move(*text));
  }

  Program& program_;
  Diagnostics& diagnostics_;
  const std::map<std::string, std::string>* given_;
  std::vector<std::string> open_, done_;
};

}  // namespace

Program LoadText(const std::string& path, std::string text, Diagnostics& diagnostics) {
  Program program;
  Loader loader(program, diagnostics);
  loader.Stdlib();
  loader.Add(path, std::move(text));
  return program;
}

Program LoadTexts(const std::vector<std::pair<std::string, std::string>>& files, Diagnostics& diagnostics) {
  Program program;
  const std::map<std::string, std::string> given(files.begin(), files.end());
  Loader loader(program, diagnostics, &given);
  loader.Stdlib();
  if (!files.empty()) loader.Add(files.back().first, files.back().second);
  return program;
}

std::vector<std::pair<std::string, std::string>> TextsOf(const Program& program) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const File& file : program.files) {
    const Source& source = program.sources[file.source];
    if (!source.path.starts_with("<stdlib>/")) files.emplace_back(source.path, source.text);
  }
  return files;
}

Program Load(const std::string& path, Diagnostics& diagnostics) {
  if (std::optional<std::string> text = ReadFile(path)) return LoadText(path, std::move(*text), diagnostics);
  Program program;
  Loader(program, diagnostics).Stdlib();
  const std::uint32_t source = program.sources.Add(path, "");
  diagnostics.Error(Code::kFile, {0, 0, source}, fmt::format("cannot read `{}`", path));
  program.files.push_back({source, 1, {}});
  return program;
}

}  // namespace amo::lang
