// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_EVALUATION_TEXT_H_
#define AMO_RUNTIME_CLI_EVALUATION_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/evaluate.h"

// What `amo eval` says of one model.
namespace amo::runtime::cli {

nlohmann::ordered_json EvaluationJson(const Evaluation& evaluation, const Problem& problem, const std::string& model);
std::string EvaluationText(const Evaluation& evaluation);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_EVALUATION_TEXT_H_
