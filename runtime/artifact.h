// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_ARTIFACT_H_
#define AMO_RUNTIME_ARTIFACT_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "runtime/array.h"
#include "runtime/result.h"

// A trained model in one file, `.amoz`: a zip of
//   manifest.json        {"format": 1, "amo": version, "problem": …, "variant": …, "overrides": [[NAME, EXPR], …],
//                        "sources": [{"path": …, "entry": …}, …], "entries": {entry: {"bytes": …, "sha256": …}, …}}
//   source/…             the program's texts
//   record.json          how it was trained
//   weights.safetensors  data.safetensors  state.safetensors (only in a checkpoint: what training needs to go on)
// A reader passes over entries and members it does not know; what an earlier reader must not pass over raises the
// format.
namespace amo::runtime {

struct Artifact {
  std::vector<std::pair<std::string, std::string>> sources;  // path, text; the main file last
  std::string problem, variant;
  std::vector<std::pair<std::string, std::string>> overrides;  // NAME, EXPR of --set
  std::string record;                                          // JSON
  std::vector<Array> weights, data, state;                     // names as CheckNames of safetensors.h allows
  std::string version;                                         // of the amo that wrote it
};

// Equal artifacts give equal files.
Result<Done> WriteArtifact(const std::string& path, const Artifact& artifact);

Result<Artifact> ReadArtifact(const std::string& path);

// The same of a file's content; `path` stands in messages.
Result<Artifact> ParseArtifact(std::vector<std::byte> bytes, const std::string& path);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_ARTIFACT_H_
