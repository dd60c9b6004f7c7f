// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_OPEN_H_
#define AMO_RUNTIME_OPEN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/build.h"
#include "lang/check.h"
#include "lang/diagnostic.h"
#include "lang/problem.h"
#include "runtime/tables.h"

// From a file and options to a program, as far as somebody needs it: what all commands and the embedding share.
namespace amo::runtime {

struct ProgramChoice {
  std::string file, problem, variant;
  std::vector<std::string> sets;  // NAME=EXPR
  // The texts where they are not on the disk, the main file last (an artifact has them); `file` is then the name that
  // messages give. Empty: read from the disk.
  std::vector<std::pair<std::string, std::string>> texts;
  std::string folder;  // where tables are looked for; "": that of the main file
  // What is known of the tables already (an artifact has it): with kData they then are not read.
  std::optional<compiler::Tables> types;
};

enum class Stage : std::uint8_t { kLoad, kChoose, kCheck, kBuild, kData };

enum class OpenStatus : std::uint8_t {
  kOk,
  kProgramErrors,  // `diagnostics` has errors; the stages that could still tell something have run
  kUsage,          // `error` says what is wrong with the options
  kFiles,          // `error` says which file cannot be read
};

struct Opened {
  std::string error;  // what is wrong with the options or a file, beside all diagnostics
  lang::Program program;
  lang::Diagnostics diagnostics;
  lang::Problem problem;     // refers into `program`
  lang::Checked checked;
  TableMap tables;           // after kData
  compiler::Program built;
};

// Runs the stages up to `last`. Up to kBuild tables are not opened, and what a correct program has and this release
// cannot build is a warning: the rest can be shown. With kData everything that the program reads is read, and what
// cannot be built is an error.
OpenStatus Open(const ProgramChoice& choice, Stage last, Opened& opened);

// "NAME=EXPR" in its two parts; both empty where the text has another form.
std::pair<std::string, std::string> SplitSet(const std::string& text);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_OPEN_H_
