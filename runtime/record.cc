// SPDX-License-Identifier: Apache-2.0
// Records to JSON and back.
#include "runtime/record.h"

#include <cmath>

#include <nlohmann/json.hpp>

namespace amo::runtime {
namespace {

using Json = nlohmann::ordered_json;

Json TypesJson(const compiler::Tables& types) {
  Json json = Json::object();
  for (const auto& [source, fields] : types) {
    for (const auto& [field, type] : fields) {
      json[source][field] = {{"elem", static_cast<int>(type.elem)}, {"shape", type.shape}};
    }
  }
  return json;
}

compiler::Tables TypesOf(const Json& json) {
  compiler::Tables types;
  for (const auto& [source, fields] : json.items()) {
    for (const auto& [field, type] : fields.items()) {
      const int elem = type.value("elem", 0);
      if (elem < 0 || elem > static_cast<int>(compiler::Elem::kBool)) continue;
      types[source][field] = {static_cast<compiler::Elem>(elem), type.value("shape", compiler::Shape{})};
    }
  }
  return types;
}

// JSON has no infinities and NaNs: they are null there.
double NumberOf(const Json& json) { return json.is_null() ? NAN : json.get<double>(); }

}  // namespace

std::string ToJson(const Record& r) {
  const TrainSettings& s = r.settings;
  Json json = {{"folder", r.folder},   {"tables", TypesJson(r.types)}, {"digest", r.digest}, {"status", r.status},
               {"steps", r.steps},     {"seconds", r.seconds},         {"best", r.best},     {"threads", r.threads}};
  json["settings"] = {{"steps", s.steps}, {"batch", s.batch},         {"rate", s.rate},   {"clip", s.clip},
                      {"decay", s.decay}, {"seed", s.seed},           {"split", s.split}, {"precision", s.precision},
                      {"skip_infeasible", s.skip_infeasible}, {"lagrangian", s.lagrangian},
                      {"patience", r.patience}};
  json["history"] = Json::array();
  for (const Look& l : r.history) json["history"].push_back({l.step, l.loss, l.validation});
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

Result<Record> ParseRecord(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    if (!json.is_object()) return Error{"it is no object"};
    Record r;
    TrainSettings& s = r.settings;
    r.folder = json.value("folder", r.folder);
    r.types = TypesOf(json.value("tables", Json::object()));
    r.digest = json.value("digest", r.digest);
    r.status = json.value("status", r.status);
    r.steps = json.value("steps", r.steps);
    r.seconds = json.value("seconds", r.seconds);
    if (json.contains("best")) r.best = NumberOf(json["best"]);
    r.threads = json.value("threads", r.threads);
    const Json settings = json.value("settings", Json::object());
    s.steps = settings.value("steps", s.steps), s.batch = settings.value("batch", s.batch);
    s.rate = settings.value("rate", s.rate), s.clip = settings.value("clip", s.clip);
    s.decay = settings.value("decay", s.decay), s.seed = settings.value("seed", s.seed);
    s.split = settings.value("split", s.split), s.precision = settings.value("precision", s.precision);
    s.lagrangian = settings.value("lagrangian", s.lagrangian);
    s.skip_infeasible = settings.value("skip_infeasible", s.skip_infeasible);
    r.patience = settings.value("patience", r.patience);
    for (const Json& look : json.value("history", Json::array())) {
      r.history.push_back({look.at(0).get<std::int64_t>(), NumberOf(look.at(1)), NumberOf(look.at(2))});
    }
    return r;
  } catch (const Json::exception& e) {
    return Error{e.what()};
  }
}

}  // namespace amo::runtime
