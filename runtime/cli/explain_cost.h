// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_EXPLAIN_COST_H_
#define AMO_RUNTIME_CLI_EXPLAIN_COST_H_

#include <string>

#include "compiler/build.h"
#include "compiler/kernel.h"
#include "runtime/cli/front.h"

// What `amo explain --cost` tells: the work of the objective, its gradient and its Hessian-vector product for one
// instance, and their times on this machine.
namespace amo::runtime::cli {

nlohmann::ordered_json CostJson(const compiler::Program& program, compiler::Precision precision);
std::string CostText(const nlohmann::ordered_json& cost);

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_EXPLAIN_COST_H_
