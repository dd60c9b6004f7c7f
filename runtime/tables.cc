// SPDX-License-Identifier: Apache-2.0
// Sources from declarations, files to tables with their splits, and tables against what the program reads.
#include "runtime/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string_view>

#include "compiler/check.h"
#include "runtime/dataset.h"
#include "runtime/file.h"
#include "runtime/read_array.h"

namespace amo::runtime {
namespace {

using compiler::Elem;
using Shape = std::vector<std::int64_t>;

// ---- sources

// What an expression after `from` reads, through the tables that names stand for.
std::optional<Source> Resolve(const lang::Problem& problem, const lang::Expr* from) {
  constexpr int kDeepest = 64;  // names of names; a cycle is reported elsewhere
  for (int depth = 0; from != nullptr && depth < kDeepest; ++depth) {
    while (const auto* member = std::get_if<lang::Member>(&from->node)) from = member->base.get();
    if (const auto* text = std::get_if<lang::String>(&from->node)) return Source{text->value, false, from->span, {}};
    const auto* name = std::get_if<lang::Name>(&from->node);
    if (name == nullptr) return std::nullopt;
    const auto declared = problem.names.find(name->name.text);
    if (declared == problem.names.end()) return Source{name->name.text, true, from->span, {}};
    const auto* value = std::get_if<lang::ValueDecl>(&declared->second->node);
    if (value == nullptr || value->origin != lang::ValueDecl::Origin::kRead) return std::nullopt;
    from = value->value.get();
  }
  return std::nullopt;
}

// ---- reading

// Whether the arrays of a file have no names of their own: their one array is called as the program asks.
bool IsUnnamed(const std::string& path, const std::vector<Array>& arrays) {
  const std::string ending = std::filesystem::path(path).extension().string();
  if (ending == ".npz" || ending == ".safetensors" || arrays.size() != 1) return false;
  return ending != ".csv" || arrays[0].shape.size() == 2;  // a .csv with names gives columns [rows]
}

// What holds out 10 % each for validation and test.
void Split(TableData& table, std::int64_t rows) {
  const std::int64_t held_out = rows < 3 ? 0 : std::max<std::int64_t>(1, (rows + 5) / 10);
  table.rows = rows;
  table.validation_rows = held_out;
  table.train_rows = rows - 2 * held_out;
}

// The last 5 % of the rows before the set's own test rows are for validation, at most 5000.
void SplitBeforeTest(TableData& table, std::int64_t rows, std::int64_t test_rows) {
  constexpr std::int64_t kMost = 5000;
  const std::int64_t before = rows - test_rows;
  table.rows = rows;
  table.validation_rows = std::max<std::int64_t>(0, std::min({(before + 19) / 20, kMost, before - 1}));
  table.train_rows = before - table.validation_rows;
}

std::optional<std::int64_t> CommonRows(const std::map<std::string, Array>& fields) {
  std::optional<std::int64_t> rows;
  for (const auto& [name, array] : fields) {
    if (array.shape.empty()) continue;
    if (rows && *rows != array.shape[0]) return std::nullopt;
    rows = array.shape[0];
  }
  return rows;
}

Result<TableData> ReadFile(const Source& source, const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / source.name).string();
  Result<std::vector<Array>> arrays = ReadArrays(path);
  if (!arrays) return arrays.error();
  TableData table;
  if (IsUnnamed(path, *arrays)) {
    const std::size_t names = std::max<std::size_t>(1, source.asked.size());
    arrays->resize(names, arrays->front());
    for (std::size_t k = 0; k < names; ++k) {
      const std::string asked = source.asked.empty() ? "" : source.asked[k];
      (*arrays)[k].name = asked.empty() ? Stem(path) : asked;
    }
  }
  for (Array& array : *arrays) {
    if (const std::optional<NonFinite> found = FirstNonFinite(array)) {
      return Error{fmt::format("file `{}` has an entry that is not finite: {}", path, Describe(*found, array))};
    }
    const std::string name = array.name;
    table.fields[name] = std::move(array);
  }
  if (const std::optional<std::int64_t> rows = CommonRows(table.fields)) Split(table, *rows);
  return table;
}

Result<TableData> ReadRegistered(const Source& source) {
  Result<DatasetRows> read = ReadDataset(source.name);
  if (!read) return read.error();
  TableData table;
  table.fields = std::move(read->fields);
  for (const auto& [name, array] : table.fields) {
    if (const std::optional<NonFinite> found = FirstNonFinite(array)) {
      return Error{
          fmt::format("data set `{}` has an entry that is not finite: {}", source.name, Describe(*found, array))};
    }
  }
  if (read->test_rows > 0) {
    SplitBeforeTest(table, read->rows, read->test_rows);
  } else {
    Split(table, read->rows);
  }
  return table;
}

Elem ElemOf(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return Elem::kBool;
    case DType::kUint8:
    case DType::kInt32:
    case DType::kInt64:
      return Elem::kInt;
    case DType::kFloat32:
    case DType::kFloat64:
      return Elem::kReal;
  }
  AMO_CHECK(false);
}

// ---- against the program

struct Field {
  const TableData* table;
  const Array* array;
};

Result<Field> FindField(const TableMap& tables, const std::string& source, const std::string& field) {
  const auto table = tables.find(source);
  if (table == tables.end()) return Error{fmt::format("the table `{}` was not read", source)};
  const auto array = table->second.fields.find(field);
  if (array != table->second.fields.end()) return Field{&table->second, &array->second};
  std::vector<std::string> known;
  for (const auto& [name, value] : table->second.fields) known.push_back(fmt::format("`{}`", name));
  return Error{fmt::format("the table `{}` has no field `{}`: {}", source, field,
                           known.empty() ? "it is empty" : fmt::format("it has {}", fmt::join(known, ", ")))};
}

// Why an entry cannot be of the declared type, or null.
const char* Unfit(double value, Elem elem) {
  switch (elem) {
    case Elem::kReal:
      return nullptr;
    case Elem::kInt:
      if (value != std::floor(value)) return "no whole number";
      return std::abs(value) > 9007199254740992.0 ? "beyond 2^53, where ints are not exact" : nullptr;
    case Elem::kBool:
      return value == 0 || value == 1 ? nullptr : "neither 0 nor 1";
  }
  AMO_CHECK(false);
}

Result<Done> CheckEntries(const Array& array, const std::string& source, const compiler::Type& declared) {
  const std::string where = fmt::format("the table `{}`: field `{}` is {}", source, array.name, Describe(array));
  const bool is_bool = array.dtype == DType::kBool;
  if (is_bool && declared.elem != Elem::kBool) {
    return Error{fmt::format("{}, and bools are no numbers: declared {}", where, ToString(declared))};
  }
  if (declared.elem == Elem::kReal || is_bool) return Done{};
  const std::vector<double> values = ToDoubles(array);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const char* why = Unfit(values[i], declared.elem);
    if (why == nullptr) continue;
    const std::size_t rows = array.shape.empty() ? 1 : static_cast<std::size_t>(array.shape[0]);
    const std::size_t row_size = values.size() / rows;
    const NonFinite at{static_cast<std::int64_t>(i / row_size), static_cast<std::int64_t>(i % row_size), values[i]};
    return Error{
        fmt::format("the table `{}`: {}, {}: declared {}", source, Describe(at, array), why, ToString(declared))};
  }
  return Done{};
}

Result<Done> CheckWhole(const TableMap& tables, const std::string& source, const std::string& field,
                        const compiler::Type& declared) {
  const Result<Field> found = FindField(tables, source, field);
  if (!found) return found.error();
  if (found->array->shape != declared.shape) {
    return Error{fmt::format("the table `{}`: field `{}` is {}: declared {}", source, field, Describe(*found->array),
                             ToString(declared))};
  }
  return CheckEntries(*found->array, source, declared);
}

Result<Done> CheckRow(const TableMap& tables, const compiler::Row& row, const compiler::Type& declared) {
  const Result<Field> found = FindField(tables, row.source, row.field);
  if (!found) return found.error();
  const Array& array = *found->array;
  if (array.shape.empty() || !std::equal(array.shape.begin() + 1, array.shape.end(), declared.shape.begin(),
                                         declared.shape.end())) {
    return Error{fmt::format("the table `{}`: field `{}` is {}: rows of it are declared {}", row.source, row.field,
                             Describe(array), ToString(declared))};
  }
  return CheckEntries(array, row.source, declared);
}

}  // namespace

std::vector<Source> SourcesOf(const lang::Problem& problem) {
  std::vector<Source> sources;
  const auto ask = [](Source& source, const std::string& name) {
    if (!std::count(source.asked.begin(), source.asked.end(), name)) source.asked.push_back(name);
  };
  for (const lang::Decl* decl : problem.values) {
    const auto* value = std::get_if<lang::ValueDecl>(&decl->node);
    if (value == nullptr || decl->broken || value->origin != lang::ValueDecl::Origin::kRead) continue;
    const std::optional<Source> resolved = Resolve(problem, value->value.get());
    if (!resolved) continue;
    auto known = std::find_if(sources.begin(), sources.end(), [&](const Source& s) {
      return s.name == resolved->name && s.registered == resolved->registered;
    });
    if (known == sources.end()) known = sources.insert(sources.end(), *resolved);
    const bool direct = value->type && std::holds_alternative<lang::String>(value->value->node);
    if (!direct) {
      ask(*known, "");
      continue;
    }
    for (const lang::Ident& name : value->names) ask(*known, name.text);
  }
  for (const auto& [name, decl] : problem.names) {
    const auto* network = std::get_if<lang::NetworkDecl>(&decl->node);
    const auto* text = network && network->source ? std::get_if<lang::String>(&network->source->node) : nullptr;
    if (!text || decl->broken) continue;
    auto known = std::find_if(sources.begin(), sources.end(), [&](const Source& s) { return s.name == text->value; });
    if (known == sources.end())
      known = sources.insert(sources.end(), Source{text->value, false, network->source->span, {}});
    ask(*known, name);
  }
  return sources;
}

Result<TableMap> ReadTables(const std::vector<Source>& sources, const std::string& folder) {
  TableMap tables;
  for (const Source& source : sources) {
    Result<TableData> table = source.registered ? ReadRegistered(source) : ReadFile(source, folder);
    if (!table) return table.error();
    tables[source.name] = std::move(*table);
  }
  return tables;
}

compiler::Tables TableTypes(const TableMap& tables) {
  const compiler::Tables registered = RegisteredTypes();
  compiler::Tables types;
  for (const auto& [source, table] : tables) {
    std::map<std::string, compiler::Type>& fields = types[source];
    const auto known = registered.find(source);
    if (known != registered.end()) {
      fields = known->second;
      continue;
    }
    for (const auto& [name, array] : table.fields) {
      const auto first = array.shape.begin() + (array.shape.empty() ? 0 : 1);
      fields[name] = {ElemOf(array.dtype), compiler::Shape(first, array.shape.end())};
    }
  }
  return types;
}

std::map<std::string, std::int64_t> TableRows(const TableMap& tables) {
  std::map<std::string, std::int64_t> rows;
  for (const auto& [source, table] : tables) {
    for (const auto& [name, array] : table.fields) {
      if (!array.shape.empty()) rows[fmt::format("table/{}/{}", source, name)] = array.shape[0];
    }
  }
  return rows;
}

void HoldOut(const compiler::Program& program, TableMap& tables) {
  const auto all = program.train.find("");
  if (all == program.train.end() || all->second.test_share == 0) return;
  for (auto& [source, table] : tables) {
    const auto test = static_cast<std::int64_t>(std::llround(all->second.test_share * static_cast<double>(table.rows)));
    if (table.rows >= 3) SplitBeforeTest(table, table.rows, std::clamp<std::int64_t>(test, 1, table.rows - 2));
  }
}

Result<Done> CheckRows(const compiler::Program& program, TableMap& tables) {
  std::map<std::string, const Array*> drawn;  // by table: the first field of it that is drawn by row
  for (const compiler::Row& row : program.rows) {
    const Result<Field> found = FindField(tables, row.source, row.field);
    if (!found) return found.error();
    const Array& array = *found->array;
    if (array.shape.empty()) {
      return Error{fmt::format("the table `{}`: field `{}` is {}, which has no rows to draw", row.source, row.field,
                               Describe(array))};
    }
    if (array.shape[0] == 0) {
      return Error{fmt::format("the table `{}`: field `{}` is {}: expected at least one row", row.source, row.field,
                               Describe(array))};
    }
    const Array*& first = drawn[row.source];
    if (first == nullptr) first = &array;
    if (first->shape[0] != array.shape[0]) {
      return Error{fmt::format(
          "the table `{}`: field `{}` has {} rows and field `{}` has {}; fields that are drawn by row have as many",
          row.source, first->name, first->shape[0], array.name, array.shape[0])};
    }
  }
  for (const auto& [source, array] : drawn) {
    TableData& table = tables.at(source);
    if (table.rows != array->shape[0]) Split(table, array->shape[0]);
  }
  return Done{};
}

Result<Done> CheckDeclared(const compiler::Program& program, const TableMap& tables) {
  constexpr std::string_view kWhole = "table/";
  for (const auto* function : {&program.data_function, &program.start_function, &program.weights_function,
                               &program.sample_function}) {
    if (!*function) continue;
    for (const compiler::Input& input : (*function)->inputs) {
      if (input.name.starts_with(kWhole)) {  // a source is a path and may hold slashes, a field is a name
        const std::size_t slash = input.name.rfind('/');
        const Result<Done> whole = CheckWhole(tables, input.name.substr(kWhole.size(), slash - kWhole.size()),
                                              input.name.substr(slash + 1), input.type);
        if (!whole) return whole;
      }
      const auto row = std::find_if(program.rows.begin(), program.rows.end(),
                                    [&](const compiler::Row& r) { return r.input == input.name; });
      if (row == program.rows.end()) continue;
      const Result<Done> drawn = CheckRow(tables, *row, input.type);
      if (!drawn) return drawn;
    }
  }
  return Done{};
}

}  // namespace amo::runtime
