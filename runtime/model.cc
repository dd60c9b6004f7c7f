// SPDX-License-Identifier: Apache-2.0
// Models to artifacts and back.
#include "runtime/model.h"

#include <filesystem>

#include <ATen/TensorOperators.h>

#include <fmt/format.h>

#include "runtime/context_law.h"
#include "runtime/tensor_array.h"

namespace amo::runtime {
namespace {

constexpr std::uint64_t kDataSeed = 11;

std::map<std::string, Table> TablesOf(const TableMap& data) {
  std::map<std::string, Table> tables;
  for (const auto& [source, table] : data) {
    Table& t = tables[source];
    t.train_rows = table.train_rows, t.validation_rows = table.validation_rows;
    for (const auto& [name, array] : table.fields) t.fields[name] = ToTensor(array);
  }
  return tables;
}

at::ScalarType DTypeOf(const compiler::Program& program) {
  return PrecisionOf(program) == 32 ? at::kFloat : at::kDouble;
}

// The state of training as arrays, exactly: numbers are kept as their bits.
std::vector<Array> StateArrays(const TrainState& s) {
  std::vector<Array> arrays;
  const auto add = [&](const char* prefix, const Values& values) {
    for (const auto& [name, t] : values) arrays.push_back(ToArray(prefix + name, t));
  };
  add("learned/", s.learned);
  add("moments/", s.moments);
  add("generators/", s.generators);
  arrays.push_back(MakeDoubles("numbers", {6},
                               {static_cast<double>(s.step), s.seconds, s.best, static_cast<double>(s.stale),
                                s.loss_sum, static_cast<double>(s.loss_count)}));
  std::vector<double> history;
  for (const Look& l : s.history) history.insert(history.end(), {static_cast<double>(l.step), l.loss, l.validation});
  arrays.push_back(MakeDoubles("history", {static_cast<std::int64_t>(s.history.size()), 3}, history));
  return arrays;
}

Result<TrainState> StateOf(const std::vector<Array>& arrays, const Values& best) {
  TrainState s;
  s.best_learned = best;
  bool numbers = false;
  for (const Array& a : arrays) {
    const std::size_t slash = a.name.find('/');
    const std::string kind = a.name.substr(0, slash), name = slash == a.name.npos ? "" : a.name.substr(slash + 1);
    if (kind == "learned") s.learned[name] = ToTensor(a);
    if (kind == "moments") s.moments[name] = ToTensor(a);
    if (kind == "generators") s.generators[name] = ToTensor(a);
    if (kind == "history" && a.dtype == DType::kFloat64) {
      const auto* p = a.as<double>();
      for (std::int64_t k = 0; k + 2 < Count(a); k += 3)
        s.history.push_back({static_cast<std::int64_t>(p[k]), p[k + 1], p[k + 2]});
    }
    if (kind == "numbers" && a.dtype == DType::kFloat64 && Count(a) == 6) {
      const auto* p = a.as<double>();
      s.step = static_cast<std::int64_t>(p[0]), s.seconds = p[1], s.best = p[2],
      s.stale = static_cast<std::int64_t>(p[3]);
      s.loss_sum = p[4], s.loss_count = static_cast<std::int64_t>(p[5]);
      numbers = true;
    }
  }
  if (!numbers || !s.generators.count("draws")) return Error{"its training state is not one that this release knows"};
  return s;
}

}  // namespace

std::string_view NameOf(TrainStatus status) {
  switch (status) {
    case TrainStatus::kDone: return "done";
    case TrainStatus::kEarly: return "early";
    case TrainStatus::kStopped: return "stopped";
    case TrainStatus::kDiverged: return "diverged";
    case TrainStatus::kNothingLearned: return "nothing learned";
    case TrainStatus::kInfeasible: return "infeasible";
    case TrainStatus::kFailed: return "failed";
  }
  return "";
}

Result<Problem> ProblemOf(const Opened& opened) {
  return OpenProblem(opened.built, TablesOf(opened.tables), DTypeOf(opened.built), kDataSeed);
}

Record RecordOf(const Model& model, const TrainState& s, const RecordOptions& o) {
  const std::string folder = std::filesystem::path(model.choice.file).parent_path().string();
  std::error_code ignored;
  Record r;
  r.folder = std::filesystem::absolute(folder.empty() ? "." : folder, ignored).string();
  r.types = TableTypes(model.opened->tables);
  r.digest = o.digest;
  r.status = NameOf(o.status);
  r.settings = o.settings, r.patience = o.patience;
  r.steps = s.step, r.seconds = s.seconds, r.best = s.best, r.threads = o.threads;
  r.history = s.history;
  return r;
}

Result<Done> SaveModel(const std::string& path, const Model& model, const TrainState& state, bool checkpoint) {
  Artifact a;
  a.sources = lang::TextsOf(model.opened->program);
  a.problem = model.choice.problem, a.variant = model.choice.variant;
  for (const std::string& set : model.choice.sets) a.overrides.push_back(SplitSet(set));
  a.record = ToJson(model.record);
  a.weights = ToArrays(state.best_learned);
  Values data = model.problem.shared;  // of a loaded model with what is known of its contexts
  if (!checkpoint && !data.count("law/distances")) data.merge(LearnContextLaw(model.problem));
  a.data = ToArrays(data);
  if (checkpoint) a.state = StateArrays(state);
  return WriteArtifact(path, a);
}

Result<Model> LoadModel(const std::string& path) {
  Result<Artifact> read = ReadArtifact(path);
  if (!read.ok()) return read.error();
  Result<Record> record = ParseRecord(read->record);
  if (!record.ok()) return Error{fmt::format("`record.json` in `{}` is malformed: {}", path, record.message())};
  Model m;
  m.record = std::move(*record);
  m.choice.texts = read->sources;
  m.choice.file = read->sources.empty() ? path : read->sources.back().first;
  m.choice.problem = read->problem, m.choice.variant = read->variant;
  for (const auto& [name, expr] : read->overrides) m.choice.sets.push_back(name + "=" + expr);
  m.choice.types = m.record.types;
  m.opened = std::make_shared<Opened>();
  if (Open(m.choice, Stage::kData, *m.opened) != OpenStatus::kOk) {
    std::string why = m.opened->error;
    for (const lang::Diagnostic& d : m.opened->diagnostics.Sorted()) {
      if (why.empty() && d.severity == lang::Severity::kError) why = d.message;
    }
    return Error{fmt::format("the program in `{}` is refused by this release: {}", path, why)};
  }
  Result<Problem> problem = OpenProblem(m.opened->built, ToTensors(read->data), DTypeOf(m.opened->built));
  if (!problem.ok()) return Error{fmt::format("`{}`: {}", path, problem.message())};
  m.problem = std::move(*problem);
  m.learned = ToTensors(read->weights);
  for (const compiler::Weight& w : m.problem.program.weights) {
    const auto it = m.learned.find(w.input);
    const bool fits = it != m.learned.end() && it->second.sizes() == at::IntArrayRef(w.type.shape) &&
                      it->second.scalar_type() == m.problem.dtype;
    if (!fits) return Error{fmt::format("`{}` has no array `{}` of the program's shape", path, w.input)};
  }
  m.is_checkpoint = !read->state.empty();
  if (m.is_checkpoint) {
    Result<TrainState> state = StateOf(read->state, m.learned);
    if (!state.ok()) return Error{fmt::format("`{}`: {}", path, state.message())};
    m.state = std::move(*state);
  }
  return m;
}

Result<Done> ReadModelTables(Model& m, const std::string& path, const std::string& folder) {
  const std::vector<Source> sources = SourcesOf(m.opened->problem);
  if (sources.empty() || !m.opened->tables.empty()) return Done{};
  std::vector<std::string> folders = {folder};
  if (folder.empty()) folders = {m.record.folder, std::filesystem::path(path).parent_path().string()};
  std::string first_error;
  for (const std::string& f : folders) {
    Result<TableMap> tables = ReadTables(sources, f);
    if (!tables.ok()) {
      if (first_error.empty()) first_error = tables.message();
      continue;
    }
    for (const Result<Done>& checked : {CheckDeclared(m.opened->built, *tables), CheckRows(m.opened->built, *tables)}) {
      if (!checked.ok()) return checked.error();
    }
    HoldOut(m.opened->built, *tables);
    m.problem.tables = TablesOf(*tables);
    m.opened->tables = std::move(*tables);
    return Done{};
  }
  return Error{first_error};
}

}  // namespace amo::runtime
