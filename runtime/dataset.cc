// SPDX-License-Identifier: Apache-2.0
// The manifest, the folder of a set (fetched where it is missing), and its files to rows.
#include "runtime/dataset.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "compiler/check.h"
#include "runtime/read_array.h"

namespace amo::runtime {
namespace {

using Shape = std::vector<std::int64_t>;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string Home() {
  if (const std::string home = Variable("HOME"); !home.empty()) return home;
  const passwd* account = getpwuid(getuid());
  return account && account->pw_dir ? account->pw_dir : "";
}

std::string Join(const std::string& folder, const std::string& file) {
  return (std::filesystem::path(folder) / file).string();
}

// The first file of the set that is not in the folder.
std::optional<std::string> MissingFile(const Dataset& set, const std::string& folder) {
  std::error_code ignored;
  for (const DatasetField& field : set.fields) {
    for (const std::string& file : {field.train, field.test}) {
      if (!file.empty() && !std::filesystem::is_regular_file(Join(folder, file), ignored)) return file;
    }
  }
  return std::nullopt;
}

// What a program prints, without the line's end. No shell: paths may hold any character. Its stderr is ours.
Result<std::string> Run(const std::string& program, const std::string& argument) {
  const std::string command = fmt::format("`{} {}`", program, argument);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error{fmt::format("{} cannot be run: {}", command, std::strerror(errno))};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::string words[] = {program, argument};
  char* arguments[] = {words[0].data(), words[1].data(), nullptr};
  pid_t child = 0;
  const int failed = posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  char part[4096];
  while (failed == 0) {
    const ssize_t got = read(ends[0], part, sizeof part);
    if (got > 0) text.append(part, static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  close(ends[0]);
  if (failed != 0) return Error{fmt::format("{} cannot be run: {}", command, std::strerror(failed))};
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return Error{fmt::format("{} was ended by signal {}", command, WTERMSIG(status))};
  if (WEXITSTATUS(status) != 0) return Error{fmt::format("{} ended with code {}", command, WEXITSTATUS(status))};
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// The folder with all files of the set, fetched where it is not there.
Result<std::string> FindFolder(const Dataset& set) {
  std::string folder = DatasetFolder(set.name);
  std::optional<std::string> missing = MissingFile(set, folder);
  if (!missing) return folder;
  const std::string fetch = Variable("AMO_FETCH_DATA");
  if (fetch.empty()) {
    std::error_code ignored;
    const std::string advice = fmt::format("run `tools/fetch_data.py {}`", set.name);
    if (!std::filesystem::exists(folder, ignored)) {
      return Error{fmt::format("data set `{}` is not on this machine: {}", set.name, advice)};
    }
    return Error{fmt::format("data set `{}` lacks `{}` in `{}`: {}", set.name, *missing, folder, advice)};
  }
  Result<std::string> printed = Run(fetch, set.name);
  if (!printed) return Error{fmt::format("data set `{}` could not be fetched: {}", set.name, printed.message())};
  folder = *printed;
  missing = MissingFile(set, folder);
  if (missing) {
    return Error{fmt::format("data set `{}` could not be fetched: `{} {}` gave `{}`, which lacks `{}`", set.name, fetch,
                             set.name, folder, *missing)};
  }
  return folder;
}

// One field in one file, as [rows, the shape of one row]: images may be stored as [rows, 28, 28].
Result<Array> ReadField(const Dataset& set, const DatasetField& field, const std::string& path) {
  Result<std::vector<Array>> arrays = ReadArrays(path);
  if (!arrays) return Error{fmt::format("data set `{}`: {}", set.name, arrays.message())};
  const auto named = [&](const Array& array) { return array.name == field.name; };
  auto found = std::find_if(arrays->begin(), arrays->end(), named);
  if (found == arrays->end() && arrays->size() == 1) found = arrays->begin();  // IDX names no field
  if (found == arrays->end()) {
    return Error{fmt::format("data set `{}`: file `{}` has no field `{}`", set.name, path, field.name)};
  }
  const Shape& row = field.type.shape;
  const auto bad = [&] {
    return Error{fmt::format("data set `{}`: field `{}` of file `{}` is {}: expected rows of {}", set.name, field.name,
                             path, Describe(*found), ToString(field.type))};
  };
  if (found->shape.empty()) return bad();
  const Shape stored(found->shape.begin() + 1, found->shape.end());
  if (stored != row && (row.size() != 1 || compiler::Count(stored) != row[0])) return bad();
  const bool whole = found->dtype != DType::kFloat32 && found->dtype != DType::kFloat64;
  if (found->dtype == DType::kBool || (field.type.elem == compiler::Elem::kInt && !whole)) return bad();
  found->shape.resize(1);
  found->shape.insert(found->shape.end(), row.begin(), row.end());
  found->name = field.name;
  return std::move(*found);
}

// The rows of `more` after those of `array`.
Result<Done> Append(Array& array, const Array& more, const Dataset& set) {
  if (array.dtype != more.dtype) {
    return Error{fmt::format("data set `{}`: field `{}` is {} to train and {} to test", set.name, array.name,
                             NameOf(array.dtype), NameOf(more.dtype))};
  }
  array.data.insert(array.data.end(), more.data.begin(), more.data.end());
  array.shape[0] += more.shape[0];
  return Done{};
}

}  // namespace

std::vector<Dataset> Datasets() {
  const auto manifest = nlohmann::ordered_json::parse(DatasetsJson(), nullptr, /*allow_exceptions=*/false);
  AMO_CHECK(manifest.is_object());
  std::vector<Dataset> sets;
  for (const auto& [name, entry] : manifest.items()) {
    Dataset set{name, {}};
    for (const auto& [field_name, field] : entry.at("fields").items()) {
      const std::string type = field.at("type").get<std::string>();
      AMO_CHECK(type == "real" || type == "int", "(data set %s)", name.c_str());
      const compiler::Elem elem = type == "int" ? compiler::Elem::kInt : compiler::Elem::kReal;
      set.fields.push_back({field_name,
                            {elem, field.at("shape").get<Shape>()},
                            field.at(field.contains("all") ? "all" : "train").get<std::string>(),
                            field.value("test", "")});
    }
    sets.push_back(std::move(set));
  }
  return sets;
}

compiler::Tables RegisteredTypes() {
  compiler::Tables types;
  for (const Dataset& set : Datasets()) {
    for (const DatasetField& field : set.fields) types[set.name][field.name] = field.type;
  }
  return types;
}

std::string DatasetFolder(const std::string& name) {
  if (const std::string own = Variable("AMO_CACHE"); !own.empty()) return own + "/data/" + name;
  if (const std::string xdg = Variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/amo/data/" + name;
  return Home() + "/.cache/amo/data/" + name;
}

Result<DatasetRows> ReadDataset(const std::string& name) {
  const std::vector<Dataset> sets = Datasets();
  const auto set = std::find_if(sets.begin(), sets.end(), [&](const Dataset& s) { return s.name == name; });
  if (set == sets.end()) {
    std::vector<std::string> names;
    for (const Dataset& s : sets) names.push_back(fmt::format("`{}`", s.name));
    return Error{fmt::format("no data set is called `{}`: expected {}", name, fmt::join(names, " or "))};
  }
  const Result<std::string> folder = FindFolder(*set);
  if (!folder) return folder.error();
  DatasetRows rows;
  for (const DatasetField& field : set->fields) {
    Result<Array> array = ReadField(*set, field, Join(*folder, field.train));
    if (!array) return array.error();
    std::int64_t test_rows = 0;
    if (!field.test.empty()) {
      const Result<Array> test = ReadField(*set, field, Join(*folder, field.test));
      if (!test) return test.error();
      const Result<Done> appended = Append(*array, *test, *set);
      if (!appended) return appended.error();
      test_rows = test->shape[0];
    }
    const std::int64_t count = array->shape[0];
    if (rows.fields.empty()) rows.rows = count, rows.test_rows = test_rows;
    if (rows.rows != count || rows.test_rows != test_rows) {
      return Error{fmt::format("data set `{}`: field `{}` has {} rows, {} of them to test, and `{}` has {}, {} to test",
                               name, set->fields[0].name, rows.rows, rows.test_rows, field.name, count, test_rows)};
    }
    rows.fields[field.name] = std::move(*array);
  }
  return rows;
}

}  // namespace amo::runtime
