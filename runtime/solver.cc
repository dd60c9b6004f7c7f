// SPDX-License-Identifier: Apache-2.0
// The table of methods and the words of their results.
#include "runtime/solver.h"

#include <algorithm>
#include <array>
#include <type_traits>

namespace amo::runtime {
namespace {

constexpr std::array kMethods = {
    MethodRow{"projected_gradient", ProjectedGradient},
    MethodRow{"lbfgs", Lbfgs},
    MethodRow{"riemannian_gradient", RiemannianGradient},
    MethodRow{"adam", Adam},
    MethodRow{"gradient", GradientDescent},
    MethodRow{"qp", QuadraticProgram, true},
    MethodRow{"admm", QuadraticProgram, true},
    MethodRow{"interior_point", InteriorPoint, false, true},
    MethodRow{"ipopt", IpoptReference, false, true},
    MethodRow{"newton", Newton, false, true},
};

}  // namespace

std::string_view NameOf(SolveStatus status) {
  switch (status) {
    case SolveStatus::kSolved: return "solved";
    case SolveStatus::kStepLimit: return "step limit";
    case SolveStatus::kStalled: return "stalled";
    case SolveStatus::kNotFinite: return "not finite";
    case SolveStatus::kInfeasible: return "infeasible";
    case SolveStatus::kUnbounded: return "unbounded";
  }
  return "";
}

SolveOptions OptionsOf(const compiler::Refinement& refinement, const SolveOptions& defaults) {
  SolveOptions options = defaults;
  const auto read = [&](const char* key, auto& value) {
    const auto it = refinement.settings.find(key);
    if (it != refinement.settings.end()) value = static_cast<std::remove_reference_t<decltype(value)>>(it->second);
  };
  read("tol", options.tolerance);
  read("steps", options.steps);
  read("rate", options.rate);
  read("memory", options.memory);
  return options;
}

std::span<const MethodRow> Methods() { return kMethods; }

const MethodRow* FindMethod(std::string_view name) {
  const auto it = std::find_if(kMethods.begin(), kMethods.end(), [&](const MethodRow& m) { return m.name == name; });
  return it == kMethods.end() ? nullptr : &*it;
}

}  // namespace amo::runtime
