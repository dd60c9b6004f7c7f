// SPDX-License-Identifier: Apache-2.0
// Writing and reading of `.amoz`. Nothing that a file says of itself is believed before its hash has been found right.
#include "runtime/artifact.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>

#include "runtime/digest.h"
#include "runtime/file.h"
#include "runtime/output_file.h"
#include "runtime/safetensors.h"
#include "runtime/zip_archive.h"

namespace amo::runtime {
namespace {

using Bytes = std::vector<std::byte>;
using Json = nlohmann::json;

constexpr std::uint64_t kFormat = 1;
constexpr std::string_view kMagic = "PK\3\4";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kRecord = "record.json";
constexpr const char* kWeights = "weights.safetensors";
constexpr const char* kData = "data.safetensors";
constexpr const char* kState = "state.safetensors";
// We store entries as they are, but a model that was zipped anew may be deflated: beyond the file's own size that much.
constexpr std::size_t kInflated = std::size_t{64} << 20;

Bytes ToBytes(std::string_view text) {
  Bytes bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string_view ToText(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// `source/` and the path, without what could leave the folder where somebody unpacks it.
std::string SourceEntry(const std::string& path, std::size_t index, const std::set<std::string>& taken) {
  std::string relative;
  for (const std::filesystem::path& part : std::filesystem::path(path)) {
    std::string name = part.string();
    for (char& c : name) {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) || std::strchr("-_.+ ", c);
      if (!plain) c = c == '/' ? '/' : '_';
    }
    if (name.empty() || name == "/" || name == "." || name == "..") continue;
    relative += (relative.empty() ? "" : "/") + name;
  }
  std::string entry = "source/" + relative;
  while (relative.empty() || taken.contains(entry)) {
    relative = fmt::format("{}/{}", index, relative.empty() ? "unnamed" : relative);
    entry = "source/" + relative;
  }
  return entry;
}

// Reads members of a manifest; the first that is missing or of another type is kept in `bad`.
struct Reader {
  std::string bad;

  const Json* Get(const Json& from, const char* key, Json::value_t type) {
    if (from.is_object()) {
      const auto at = from.find(key);
      if (at != from.end() && at->type() == type) return &*at;
    }
    if (bad.empty()) bad = fmt::format("`{}` is missing or is no {}", key, Json(type).type_name());
    return nullptr;
  }
  std::string Text(const Json& from, const char* key) {
    const Json* text = Get(from, key, Json::value_t::string);
    return text ? text->get<std::string>() : "";
  }
  Json List(const Json& from, const char* key) {
    const Json* list = Get(from, key, Json::value_t::array);
    return list ? *list : Json::array();
  }
};

bool IsPairOfTexts(const Json& json) {
  return json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string();
}

// What a file that is no zip looks like.
Error NotAModel(const std::string& path, const Bytes& bytes) {
  const std::string_view text = ToText(bytes);
  if (text.empty()) return Error{fmt::format("`{}` is empty: expected a trained model", path)};
  if (kMagic.starts_with(text.substr(0, kMagic.size()))) {
    return Error{fmt::format(
        "`{}` is truncated or damaged: the zip archive's list of entries, at its end, cannot be read", path)};
  }
  const bool is_text = std::none_of(text.begin(), text.end(), [](unsigned char c) {
    return c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f';
  });
  if (is_text && path.ends_with(".amo")) {
    return Error{fmt::format("`{}` is a program, not a trained model: `amo train` makes one", path)};
  }
  return Error{
      fmt::format("`{}` is {}, not a trained model", path, is_text ? "a text" : "neither a zip archive nor a text")};
}

}  // namespace

Result<Done> WriteArtifact(const std::string& path, const Artifact& artifact) {
  std::vector<ZipEntry> entries;
  Json sources = Json::array(), overrides = Json::array(), listed = Json::object();
  std::set<std::string> taken;
  for (const auto& [source, text] : artifact.sources) {
    const std::string entry = SourceEntry(source, taken.size(), taken);
    taken.insert(entry);
    entries.push_back({entry, ToBytes(text), ""});
    sources.push_back({{"path", source}, {"entry", entry}});
  }
  for (const auto& [name, expr] : artifact.overrides) overrides.push_back(Json::array({name, expr}));
  entries.push_back({kRecord, ToBytes(artifact.record), ""});

  struct Part {
    const char* entry;
    const std::vector<Array>* arrays;
  };
  for (const Part& part :
       {Part{kWeights, &artifact.weights}, Part{kData, &artifact.data}, Part{kState, &artifact.state}}) {
    if (part.entry == kState && artifact.state.empty()) continue;
    if (const Result<Done> allowed = CheckNames(*part.arrays); !allowed) {
      return Error{fmt::format("cannot write `{}`: `{}`: {}", path, part.entry, allowed.message())};
    }
    entries.push_back({part.entry, PrintSafetensors(*part.arrays), ""});
  }
  for (const ZipEntry& e : entries) listed[e.name] = {{"bytes", e.bytes.size()}, {"sha256", Sha256(e.bytes)}};

  const Json manifest = {{"format", kFormat},
                         {"amo", artifact.version},
                         {"problem", artifact.problem},
                         {"variant", artifact.variant},
                         {"overrides", overrides},
                         {"sources", sources},
                         {"entries", listed}};
  const std::string text = manifest.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  entries.insert(entries.begin(), {kManifest, ToBytes(text), ""});
  const Result<Bytes> bytes = PrintZip(entries);
  if (!bytes) return Error{fmt::format("cannot write `{}`: {}", path, bytes.message())};
  return WriteFile(path, *bytes);
}

Result<Artifact> ReadArtifact(const std::string& path) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code))
    return Error{fmt::format("`{}` is a folder, not a trained model", path)};
  Result<Bytes> bytes = ReadBytes(path);
  if (!bytes) return bytes.error();
  return ParseArtifact(std::move(*bytes), path);
}

Result<Artifact> ParseArtifact(Bytes bytes, const std::string& path) {
  if (bytes.empty()) return NotAModel(path, bytes);  // to libzip an archive without entries
  Result<std::vector<ZipEntry>> parsed = ParseZip(bytes, bytes.size() + kInflated);
  if (!parsed) return NotAModel(path, bytes);
  bytes = {};  // models can be large
  std::vector<ZipEntry>& entries = *parsed;
  std::map<std::string_view, ZipEntry*> by_name;
  for (ZipEntry& e : entries) by_name.emplace(e.name, &e);
  const auto damaged = [&](std::string_view entry) {
    return Error{fmt::format("`{}` in `{}` is damaged", entry, path)};
  };
  const auto malformed = [&](std::string_view what) {
    return Error{fmt::format("`{}` in `{}` is malformed: {}", kManifest, path, what)};
  };

  // The manifest, the format first: a later one may say anything else differently.
  if (!by_name.contains(kManifest)) {
    return Error{fmt::format("`{}` is a zip archive, but not an amo model: it has no `{}`", path, kManifest)};
  }
  if (!by_name[kManifest]->damage.empty()) return damaged(kManifest);
  const Json manifest = Json::parse(ToText(by_name[kManifest]->bytes), nullptr, false);
  if (!manifest.is_object()) return malformed("it is no JSON object");
  const auto format = manifest.find("format");
  if (format == manifest.end() || !format->is_number_unsigned() || *format == 0)
    return malformed("`format` is no number");
  if (format->get<std::uint64_t>() > kFormat) {
    const std::string version = Reader{}.Text(manifest, "amo");
    return Error{fmt::format("`{}` was written by a later release{}{}: it has format {}, this one reads up to {}", path,
                             version.empty() ? "" : ", amo ", version, format->get<std::uint64_t>(), kFormat)};
  }
  Reader reader;
  Artifact artifact;
  artifact.version = reader.Text(manifest, "amo");
  artifact.problem = reader.Text(manifest, "problem");
  artifact.variant = reader.Text(manifest, "variant");
  for (const Json& pair : reader.List(manifest, "overrides")) {
    if (!IsPairOfTexts(pair)) return malformed("`overrides` is no list of pairs of texts");
    artifact.overrides.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
  }
  std::vector<std::string> source_entries;
  std::set<std::string> taken;
  for (const Json& source : reader.List(manifest, "sources")) {
    artifact.sources.emplace_back(reader.Text(source, "path"), "");
    source_entries.push_back(reader.Text(source, "entry"));
    // One text, named many times, could grow without end.
    if (!taken.insert(source_entries.back()).second) return malformed("`sources` has an entry twice");
  }
  const Json* listed = reader.Get(manifest, "entries", Json::value_t::object);
  if (!reader.bad.empty()) return malformed(reader.bad);

  // Every entry that the manifest names, by length and hash.
  std::vector<std::string> needed = source_entries;
  needed.insert(needed.end(), {kRecord, kWeights, kData});
  for (const std::string& entry : needed) {
    if (!listed->contains(entry)) return malformed(fmt::format("`entries` has no `{}`", entry));
  }
  for (const auto& [entry, what] : listed->items()) {
    const Json* length = reader.Get(what, "bytes", Json::value_t::number_unsigned);
    const std::string hash = reader.Text(what, "sha256");
    if (!reader.bad.empty()) return malformed(fmt::format("in the entry `{}`, {}", entry, reader.bad));
    const auto found = by_name.find(entry);
    if (found == by_name.end()) return Error{fmt::format("`{}` in `{}` is missing", entry, path)};
    const ZipEntry& e = *found->second;
    if (!e.damage.empty() || *length != e.bytes.size() || hash != Sha256(e.bytes)) return damaged(entry);
  }

  for (std::size_t k = 0; k < source_entries.size(); ++k) {
    artifact.sources[k].second = ToText(by_name[source_entries[k]]->bytes);
  }
  artifact.record = ToText(by_name[kRecord]->bytes);
  struct Part {
    const char* entry;
    std::vector<Array>* arrays;
  };
  for (const Part& part :
       {Part{kWeights, &artifact.weights}, Part{kData, &artifact.data}, Part{kState, &artifact.state}}) {
    if (!listed->contains(part.entry)) continue;
    Bytes& bytes = by_name[part.entry]->bytes;
    Result<std::vector<Array>> arrays = ParseSafetensors(bytes, fmt::format("`{}` in `{}`", part.entry, path));
    if (!arrays) return arrays.error();
    *part.arrays = std::move(*arrays);
    bytes = {};
  }
  return artifact;
}

}  // namespace amo::runtime
