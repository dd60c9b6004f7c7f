// SPDX-License-Identifier: Apache-2.0
// The stages in their order.
#include "runtime/open.h"

#include <filesystem>

#include <fmt/format.h>

#include "lang/parser.h"
#include "runtime/dataset.h"
#include "runtime/text_file.h"

namespace amo::runtime {
namespace {

// Adds one `--set NAME=EXPR`; false when it has another form. Mistakes inside EXPR are diagnostics.
bool AddOverride(const std::string& text, Opened& opened) {
  const auto [left, right] = SplitSet(text);
  if (left.empty()) return false;
  const auto parse = [&](const std::string& path, std::string part, lang::Diagnostics& diagnostics) {
    return lang::ParseExpr(opened.program.sources, opened.program.sources.Add(path, std::move(part)),
                           opened.program.expr_count, diagnostics);
  };
  lang::Diagnostics about_name;
  const lang::ExprPtr name = parse("--set", left, about_name);
  if (name == nullptr || about_name.has_errors() || !std::holds_alternative<lang::Name>(name->node)) return false;
  const std::string& ident = std::get<lang::Name>(name->node).name.text;
  lang::ExprPtr value = parse("--set " + ident, right, opened.diagnostics);
  if (value != nullptr) opened.program.overrides.push_back({ident, std::move(value)});
  return true;
}

// The diagnostics of Build; `lenient`: what is left out is a warning.
void Adopt(const lang::Diagnostics& about_build, bool lenient, lang::Diagnostics& diagnostics) {
  for (const lang::Diagnostic& d : about_build.all()) {
    const bool left_out = lenient && (d.code == lang::Code::kUnsupported || d.code == lang::Code::kFile);
    const bool is_warning = left_out || d.severity == lang::Severity::kWarning;
    lang::Diagnostic& copy =
        is_warning ? diagnostics.Warning(d.code, d.span, d.message) : diagnostics.Error(d.code, d.span, d.message);
    copy.label = d.label;
    copy.labels = d.labels;
    copy.help = d.help;
  }
}

}  // namespace

std::pair<std::string, std::string> SplitSet(const std::string& text) {
  const std::size_t equal = text.find('=');
  if (equal == std::string::npos || text.find_first_not_of(" \t", equal + 1) == std::string::npos) return {};
  return {text.substr(0, equal), text.substr(equal + 1)};
}

OpenStatus Open(const ProgramChoice& choice, Stage last, Opened& opened) {
  if (choice.texts.empty()) {
    opened.error = WhyUnreadable(choice.file);
    if (opened.error.empty() && choice.file.ends_with(".amoz")) {
      opened.error =
          fmt::format("`{}` is a trained model, not a program: `amo eval` and `amo predict` take it", choice.file);
    }
    if (!opened.error.empty()) return OpenStatus::kFiles;
    opened.program = lang::Load(choice.file, opened.diagnostics);
  } else {
    opened.program = lang::LoadTexts(choice.texts, opened.diagnostics);
  }
  for (const std::string& set : choice.sets) {
    if (AddOverride(set, opened)) continue;
    opened.error = fmt::format("`--set {}` is not of the form `--set NAME=EXPR`", set);
    return OpenStatus::kUsage;
  }
  const auto status = [&] { return opened.diagnostics.has_errors() ? OpenStatus::kProgramErrors : OpenStatus::kOk; };
  if (last == Stage::kLoad) return status();
  opened.problem = lang::Choose(opened.program, {choice.problem, choice.variant}, opened.diagnostics);
  if (last == Stage::kChoose) return status();
  opened.checked = lang::Check(opened.program, opened.problem, opened.diagnostics);
  if (last == Stage::kCheck || opened.diagnostics.has_errors()) return status();
  compiler::Tables types = RegisteredTypes();
  const bool strict = last == Stage::kData, read = strict && !choice.types;
  if (choice.types) for (const auto& [source, fields] : *choice.types) types[source] = fields;
  if (read) {
    const std::string main = choice.texts.empty() ? choice.file : choice.texts.back().first;
    const std::string folder =
        choice.folder.empty() ? std::filesystem::path(main).parent_path().string() : choice.folder;
    Result<TableMap> tables = ReadTables(SourcesOf(opened.problem), folder);
    if (!tables.ok()) {
      opened.error = tables.message();
      return OpenStatus::kFiles;
    }
    opened.tables = std::move(*tables);
    for (auto& [source, fields] : TableTypes(opened.tables)) types[source] = fields;
  }
  lang::Diagnostics about_build;
  opened.built = compiler::Build(opened.program, opened.problem, types, about_build);
  Adopt(about_build, !strict, opened.diagnostics);
  if (!read || opened.diagnostics.has_errors()) return status();
  for (const Result<Done>& checked :
       {CheckDeclared(opened.built, opened.tables), CheckRows(opened.built, opened.tables)}) {
    if (checked.ok()) continue;
    opened.error = checked.message();
    return OpenStatus::kFiles;
  }
  HoldOut(opened.built, opened.tables);
  return status();
}

}  // namespace amo::runtime
