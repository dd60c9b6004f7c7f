// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_RUN_OPTIONS_H_
#define AMO_RUNTIME_CLI_RUN_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/answer.h"
#include "runtime/array.h"
#include "runtime/cli/front.h"
#include "runtime/evaluate.h"
#include "runtime/model.h"
#include "runtime/output_file.h"

// What the commands that run something share: threads, device, JSON; opening programs, models and contexts; the files
// of answers.
namespace amo::runtime::cli {

constexpr std::int64_t kMostInstances = 1000000000;  // of one call

struct RunChoice {
  std::optional<int> threads;  // else as many as the machine has cores
  std::string device = "cpu";
  bool json = false;
};

// --threads, --device and --json.
void AddRunOptions(CLI::App& app, RunChoice& choice);

// Sets threads and device; an exit code when they cannot be had.
std::optional<int> ApplyRunOptions(const CLI::App& app, const RunChoice& choice);

// Says one failure: as JSON ({"ok": false, "error": …}) or on standard error. Returns `code`.
int Fail(const RunChoice& run, const std::string& error, int code);

// The problem of a program file with its data, kOk; else everything has been said.
int OpenProblemFile(const ProgramChoice& choice, const RunChoice& run, Opened& opened, std::optional<Problem>& problem);

// Contexts from a file, checked; their number in `batch`.
Result<Values> ReadContextFile(const Problem& problem, const std::string& path, std::int64_t& batch);

// The files that a program is read from: its texts and its tables.
std::vector<std::string> FilesOf(const ProgramChoice& choice, const Opened& opened);

// Reserves a file to write, which is none of those that are read.
Result<OutputLock> ReserveOutput(const std::string& out, const std::vector<std::string>& read);

// A file of answers: [B, ...] for each variable, then objective, residual and violation_NAME, then `more`. A .npy holds
// the one variable and nothing else.
class AnswerFile {
 public:
  // What can be known to go wrong is told here, before the work. An empty `out`: nothing is written.
  static Result<AnswerFile> Reserve(const std::string& out, const Problem& problem,
                                    const std::vector<std::string>& read, const std::vector<std::string>& more = {});

  Result<Done> Write(const Values& answers, const Certificate& certificate, std::vector<Array> more = {}) const;

 private:
  std::string out_;
  std::vector<std::string> variables_;
  std::optional<OutputLock> lock_;
};

// Instances with an entry in their answer or certificate that is no finite number, ascending.
std::vector<std::int64_t> NotFiniteInstances(const Problem& problem, const Values& answers,
                                             const Certificate& certificate, std::int64_t batch);

nlohmann::ordered_json SpreadJson(const Spread& spread);
nlohmann::ordered_json CertificateJson(const Certificate& certificate);
std::string CertificateText(const Certificate& certificate);

// A time per instance in a unit that fits: "12.3 us".
std::string TimeText(double seconds);

// A number as people read it: six digits at most.
std::string NumberText(double value);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_RUN_OPTIONS_H_
