// SPDX-License-Identifier: Apache-2.0
// Faults as lines and as JSON.
#include "runtime/cli/faults.h"

#include <fmt/format.h>

#include <chrono>

namespace amo::runtime::cli {

std::vector<NotFinite> FaultsOf(const std::vector<std::int64_t>& instances, std::size_t most,
                                const std::function<std::optional<NotFinite>(std::int64_t)>& find) {
  constexpr std::chrono::seconds kLongest(5);
  const auto begun = std::chrono::steady_clock::now();
  std::vector<NotFinite> faults;
  for (std::size_t k = 0; k < instances.size() && k < most && std::chrono::steady_clock::now() - begun < kLongest; ++k)
    if (auto found = find(instances[k])) faults.push_back(std::move(*found));
  return faults;
}

nlohmann::ordered_json FaultsJson(const std::vector<NotFinite>& faults, const lang::Sources& sources) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const NotFinite& n : faults) {
    nlohmann::ordered_json one = {{"instance", n.instance}, {"where", n.where}, {"how", n.fault.how},
                                  {"value", fmt::format("{}", n.fault.value)}, {"entry", n.fault.entry}};
    if (!n.fault.input && !(n.fault.span == lang::Span{})) {
      const lang::Position at = sources.At(n.fault.span.source, n.fault.span.begin);
      one["expression"] = std::string(sources.Text(n.fault.span));
      one["file"] = sources[n.fault.span.source].path, one["line"] = at.line, one["column"] = at.column;
    }
    all.push_back(std::move(one));
  }
  return all;
}

std::string FaultsText(std::size_t not_finite, const std::vector<NotFinite>& faults, const lang::Sources& sources) {
  if (not_finite == 0) return "";
  std::string text = fmt::format("  {:<24}{:>12}\n", "not finite, left out", not_finite);
  for (const NotFinite& n : faults) text += "  " + ToText(n, sources) + "\n";
  return text;
}

}  // namespace amo::runtime::cli
