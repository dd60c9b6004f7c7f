// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CLI_REPORT_PAGE_H_
#define AMO_RUNTIME_CLI_REPORT_PAGE_H_

#include <string>
#include <string_view>
#include <vector>

#include "runtime/cli/comparison.h"

// Evaluations as one page that needs nothing beside itself: the table, and as plots the training, the gap against steps
// and time, and the gaps of the instances.
namespace amo::runtime::cli {

std::string ReportPage(const std::string& problem, const std::string& doc, const std::vector<Evaluated>& all);

// Embedded: the page without its data, and Chart.js (MIT licence), which draws.
std::string_view ReportTemplate();
std::string_view ChartScript();

}  // namespace amo::runtime::cli

#endif  // AMO_RUNTIME_CLI_REPORT_PAGE_H_
