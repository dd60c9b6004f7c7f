// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_FAULTS_H_
#define AMO_RUNTIME_CLI_FAULTS_H_

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "runtime/fault.h"

// What commands say of instances whose numbers are not finite: which expression of the program began it.
namespace amo::runtime::cli {

// Of the first `most` of `instances`, as far as five seconds go: an interpreter looks.
std::vector<NotFinite> FaultsOf(const std::vector<std::int64_t>& instances, std::size_t most,
                                const std::function<std::optional<NotFinite>(std::int64_t)>& find);

nlohmann::ordered_json FaultsJson(const std::vector<NotFinite>& faults, const lang::Sources& sources);

// How many are not finite, and a line for each fault; "" where there is none.
std::string FaultsText(std::size_t not_finite, const std::vector<NotFinite>& faults, const lang::Sources& sources);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_FAULTS_H_
