// SPDX-License-Identifier: Apache-2.0
// The table of methods and the words of their results.
#include "runtime/solver.h"

#include <algorithm>
#include <array>

namespace amo::runtime {
namespace {

constexpr std::string_view kSearched[] = {"tol", "steps", "memory"};
constexpr std::string_view kRated[] = {"tol", "steps", "rate"};
constexpr std::string_view kMomentum[] = {"tol", "steps", "rate", "momentum"};

constexpr std::array kMethods = {
    MethodRow{"projected_gradient", ProjectedGradient, kSearched, true},
    MethodRow{"lbfgs", Lbfgs, kSearched, true},
    MethodRow{"riemannian_gradient", RiemannianGradient, kSearched, true},
    MethodRow{"adam", Adam, kMomentum, true},
    MethodRow{"gradient", GradientDescent, kRated, true},
};

}  // namespace

std::string_view NameOf(SolveStatus status) {
  switch (status) {
    case SolveStatus::kSolved: return "solved";
    case SolveStatus::kStepLimit: return "step limit";
    case SolveStatus::kStalled: return "stalled";
    case SolveStatus::kNotFinite: return "not finite";
  }
  return "";
}

std::span<const MethodRow> Methods() { return kMethods; }

const MethodRow* FindMethod(std::string_view name) {
  const auto it = std::find_if(kMethods.begin(), kMethods.end(), [&](const MethodRow& m) { return m.name == name; });
  return it == kMethods.end() ? nullptr : &*it;
}

}  // namespace amo::runtime
