// SPDX-License-Identifier: Apache-2.0
// Golden cases: for every NAME.amo under this folder, whose first line says `# amo: COMMAND`, the output of the
// command must be what NAME.expected holds. `--update` or AMO_UPDATE_CASES=1 rewrites the expected files.
//
//   bazel run //tests/cases:cases_test -- --update
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "lang/check.h"
#include "lang/dump.h"
#include "lang/explain.h"
#include "lang/format.h"
#include "lang/parser.h"
#include "lang/render.h"

namespace {

namespace fs = std::filesystem;
using namespace amo::lang;

constexpr std::string_view kFolder = "tests/cases";

// ---- the commands, each from the text of a case to its output

struct Parsed {
  Sources sources;
  Diagnostics diagnostics;
  File file;
};

Parsed ParseCase(const std::string& name, const std::string& text) {
  Parsed parsed;
  const std::uint32_t source = parsed.sources.Add(name, text);
  ExprId next_id = 0;
  parsed.file = Parse(parsed.sources, source, next_id, parsed.diagnostics);
  return parsed;
}

struct Checks {
  Program program;
  Diagnostics diagnostics;
  Problem problem;
  Checked checked;
};

Checks CheckCase(const std::string& name, const std::string& text) {
  Checks result;
  result.program = LoadText(name, text, result.diagnostics);
  result.problem = Choose(result.program, {}, result.diagnostics);
  result.checked = amo::lang::Check(result.program, result.problem, result.diagnostics);
  return result;
}

std::string Check(const std::string& name, const std::string& text) {
  const Checks checks = CheckCase(name, text);
  return Render(checks.program.sources, checks.diagnostics);
}

std::string CheckCompact(const std::string& name, const std::string& text) {
  const Checks checks = CheckCase(name, text);
  return RenderCompact(checks.program.sources, checks.diagnostics);
}

std::string CheckJson(const std::string& name, const std::string& text) {
  const Checks checks = CheckCase(name, text);
  return RenderJson(checks.program.sources, checks.diagnostics);
}

std::string ExplainCase(const std::string& name, const std::string& text) {
  const Checks checks = CheckCase(name, text);
  if (checks.diagnostics.has_errors()) return Render(checks.program.sources, checks.diagnostics);
  return Explain(checks.program, checks.problem, checks.checked);
}

// Every name with its type, then the diagnostics.
std::string DumpTypes(const std::string& name, const std::string& text) {
  const Checks checks = CheckCase(name, text);
  std::string out;
  for (const auto& [value, type] : checks.checked.values) out += fmt::format("{} : {}\n", value, ToString(type));
  return out + Render(checks.program.sources, checks.diagnostics);
}

std::string DumpAst(const std::string& name, const std::string& text) {
  const Parsed parsed = ParseCase(name, text);
  return Dump(parsed.file) + Render(parsed.sources, parsed.diagnostics);
}

std::string Fmt(const std::string& name, const std::string& text) {
  Sources sources;
  return Format(sources, sources.Add(name, text));
}

using Command = std::string (*)(const std::string& name, const std::string& text);
const std::map<std::string, Command> kCommands = {
    {"check", Check}, {"check --compact", CheckCompact}, {"check --json", CheckJson}, {"dump --ast", DumpAst},
    {"dump --types", DumpTypes}, {"explain", ExplainCase}, {"fmt", Fmt},
};

// ---- files

std::optional<std::string> Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// What is only in `expected` with `-`, what is only in `actual` with `+`.
std::string Diff(const std::string& expected, const std::string& actual) {
  const std::vector<std::string> a = Lines(expected), b = Lines(actual);
  std::vector<std::vector<std::size_t>> common(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = a.size(); i-- > 0;) {
    for (std::size_t j = b.size(); j-- > 0;) {
      common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string out;
  for (std::size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      out += "  " + a[i++] + "\n";
      ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      out += "- " + a[i++] + "\n";
    } else {
      out += "+ " + b[j++] + "\n";
    }
  }
  return out;
}

// True when the case holds (or its expected file was rewritten).
bool Run(const fs::path& path, bool update) {
  const std::string text = *Read(path);
  const std::string first = text.substr(0, text.find('\n'));
  constexpr std::string_view kMark = "# amo: ";
  const auto command = first.starts_with(kMark) ? kCommands.find(first.substr(kMark.size())) : kCommands.end();
  if (command == kCommands.end()) {
    fmt::print("{}: the first line is not `{}COMMAND` of a known command\n", path.string(), kMark);
    return false;
  }
  const std::string actual = command->second(path.filename().string(), text);
  const fs::path expected_path = fs::path(path).replace_extension(".expected");
  const std::optional<std::string> expected = Read(expected_path);
  if (expected == actual) return true;
  if (update) {
    std::ofstream(expected_path, std::ios::binary) << actual;
    fmt::print("{}: updated\n", expected_path.string());
    return true;
  }
  fmt::print("FAILED {}: `{}` gives (+) something else than {} (-)\n{}", path.string(), first.substr(kMark.size()),
             expected ? "expected" : "a missing .expected file", Diff(expected.value_or(""), actual));
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const bool update = std::getenv("AMO_UPDATE_CASES") != nullptr ||
                      std::any_of(argv + 1, argv + argc, [](std::string_view arg) { return arg == "--update"; });
  // `bazel run` names the source tree; what a test sees must not be written.
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace != nullptr) fs::current_path(workspace);
  std::vector<fs::path> cases;
  for (const auto& entry : fs::recursive_directory_iterator(kFolder)) {
    if (entry.path().extension() == ".amo") cases.push_back(entry.path());
  }
  std::sort(cases.begin(), cases.end());
  std::size_t failed = 0;
  for (const fs::path& path : cases) failed += !Run(path, update);
  fmt::print("{} cases, {} failed\n", cases.size(), failed);
  if (failed > 0) fmt::print("To accept what the commands give: bazel run //tests/cases:cases_test -- --update\n");
  return failed == 0 && !cases.empty() ? 0 : 1;
}
