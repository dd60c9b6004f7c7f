// SPDX-License-Identifier: Apache-2.0
// Fuzz target of the IR. For any bytes: a text is refused with a message, or it is a function that is printed and read
// back the same, stays valid when it is simplified and derived, and is lowered to loops where it can be; where it is
// small, simplifying does not change what the interpreter says of it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/lower.h"
#include "compiler/simplify.h"
#include "compiler/text.h"

namespace {

using namespace amo::compiler;

// What a run may cost: entries of all nodes, once for every step of the scans around them.
constexpr double kMostEntries = 1e6;

double EntriesOf(const Function& f) {
  double entries = 0;
  for (const Node& n : f.nodes) {
    entries += std::max<double>(1, static_cast<double>(Count(n.type.shape)));
    if (n.body) entries += static_cast<double>(std::max<std::int64_t>(1, FormOf(n).steps)) * EntriesOf(*n.body);
  }
  return entries;
}

// Functions of matrices and windows do not become loops.
bool BecomesLoops(const Function& f) {
  return std::none_of(f.nodes.begin(), f.nodes.end(), [](const Node& n) {
    return ClassOf(n.op) == OpClass::kMatrix || n.op == Op::kUnfold || n.op == Op::kFold || (n.body && !BecomesLoops(*n.body));
  });
}

void Require(bool holds) {
  if (!holds) std::abort();
}

std::vector<Tensor> Inputs(const Function& f) {
  std::mt19937_64 random(1);
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs) {
    Tensor t{in.type, {}};
    for (std::int64_t i = 0; i < Count(in.type.shape); ++i) {
      const double x = static_cast<double>(random() % 1000) / 500 - 1;
      t.data.push_back(in.type.elem == Elem::kReal ? x : in.type.elem == Elem::kInt ? std::floor(3 * x) : x > 0);
    }
    inputs.push_back(std::move(t));
  }
  return inputs;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ParsedFunction parsed = ParseFunction({reinterpret_cast<const char*>(data), size});
  if (!parsed.error.empty()) return 0;
  const Function& f = parsed.function;
  Require(Verify(f).empty());
  const ParsedFunction again = ParseFunction(Print(f));
  Require(again.error.empty() && Print(again.function) == Print(f));
  if (EntriesOf(f) > kMostEntries) return 0;
  const Function simple = Simplify(f);
  Require(Verify(simple).empty());
  const std::vector<Tensor> inputs = Inputs(f);
  const std::vector<Tensor> before = Interpret(f, inputs), after = Interpret(simple, inputs);
  Require(before.size() == after.size());
  for (std::size_t k = 0; k < before.size(); ++k) Require(before[k].type == after[k].type);
  if (BecomesLoops(simple)) Lower(simple);
  std::vector<int> wrt;
  for (std::size_t k = 0; k < f.inputs.size(); ++k) {
    if (f.inputs[k].type.elem == Elem::kReal) wrt.push_back(static_cast<int>(k));
  }
  const Function slope = Simplify(Vjp(simple, wrt));
  Require(Verify(slope).empty());
  if (BecomesLoops(slope)) Lower(slope);
  return 0;
}
