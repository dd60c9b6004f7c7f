// SPDX-License-Identifier: Apache-2.0
// Pieces of functions. In Partition kernels and LibTorch take turns, and each node runs in the first turn of its kind
// that has all that it reads.
#include "compiler/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

#include "compiler/kernel.h"

namespace amo::compiler {
namespace {

std::size_t Z(std::int32_t i) { return static_cast<std::size_t>(i); }

// Where a node runs: turn after turn, in each first the kernels, and what is shared before what varies.
struct Place {
  int turn = 0;
  bool torch = false, varies = false;
  auto Key() const { return std::tuple(turn, torch, varies); }
  bool operator<(const Place& other) const { return Key() < other.Key(); }
  bool operator==(const Place& other) const { return Key() == other.Key(); }
};

// Which values are computed from weights of networks, and are the same for all instances.
std::vector<bool> Weights(const Function& f, const std::vector<bool>& varies) {
  std::vector<bool> weights(f.nodes.size());
  for (const Input& in : f.inputs) weights[Z(in.value.index)] = in.name.starts_with("weight/");
  for (std::size_t i = 0; i < f.nodes.size(); ++i)
    for (Value a : f.nodes[i].args) if (!varies[i] && weights[Z(a.index)]) weights[i] = true;
  return weights;
}

bool Multiplies(const Node& n, const std::vector<bool>& weights) {
  return (n.op == Op::kDot || n.body) &&
         std::any_of(n.args.begin(), n.args.end(), [&](Value a) { return weights[Z(a.index)]; });
}

// A function of the values `outputs` of another. Values for which `given` has a name are inputs of it.
Function Carve(const Function& f, const std::string& name, const std::vector<Output>& outputs,
               const std::vector<bool>& varies, const std::function<std::string(std::int32_t)>& given) {
  Builder b(name);
  std::vector<std::optional<Value>> made(f.nodes.size());
  const auto make = [&](const auto& self, std::int32_t i) -> Value {
    if (made[Z(i)]) return *made[Z(i)];
    const Node& n = f.nodes[Z(i)];
    b.At(n.span);
    if (const std::string input = given(i); !input.empty())
      return *(made[Z(i)] = b.Input(input, varies[Z(i)] ? Role::kInstance : Role::kShared, n.type));
    if (n.op == Op::kInput) {
      const auto in = std::find_if(f.inputs.begin(), f.inputs.end(),
                                   [&](const Input& x) { return x.value.index == i; });
      return *(made[Z(i)] = b.Input(in->name, in->role, in->type));
    }
    std::vector<Value> args;
    for (Value a : n.args) args.push_back(self(self, a.index));
    b.At(n.span);
    return *(made[Z(i)] = b.Copy(n, std::move(args)));
  };
  for (const Output& o : outputs) b.Output(o.name, make(make, o.value.index));
  return b.Finish();
}

constexpr std::int64_t kDear = 4096;  // products that are worth a call of their own

bool IsDear(const Function& f, const Node& n) {
  if (n.body || ClassOf(n.op) == OpClass::kMatrix) return true;
  if (n.op != Op::kDot) return false;
  const DotLabels labels = LabelsOf(f, n);
  std::map<std::int64_t, std::int64_t> sizes;
  for (std::size_t k = 0; k < labels.a.size(); ++k) sizes[labels.a[k]] = f.type(n.args[0]).shape[k];
  for (std::size_t k = 0; k < labels.b.size(); ++k) sizes[labels.b[k]] = f.type(n.args[1]).shape[k];
  std::int64_t products = 1;
  for (const auto& [label, size] : sizes) products *= size;
  return products >= kDear;
}

class Partitioner {
 public:
  explicit Partitioner(const Function& f)
      : f_(f), varies_(VariesByInstance(f)), weights_(Weights(f, varies_)), live_(f.nodes.size()),
        out_(f.nodes.size()), repeated_(f.nodes.size()), passed_(f.nodes.size()), for_kernel_(f.nodes.size()),
        for_torch_(f.nodes.size()), place_(f.nodes.size()) {
    MarkLive();
    for (std::size_t i = 0; i < f_.nodes.size(); ++i) PlaceNode(i);
  }

  std::vector<Part> Parts(int worth) {
    std::set<Place> places;
    for (std::size_t i = 0; i < f_.nodes.size(); ++i) if (live_[i] && !repeated_[i]) places.insert(place_[i]);
    if (std::none_of(places.begin(), places.end(), [&](const Place& p) { return !p.torch && Worth(p, worth); }))
      return {};
    for (const Place& p : places) MarkPassed(p);
    std::vector<Part> parts;
    for (const Place& p : places) parts.push_back(Build(p, parts.size()));
    return parts;
  }

 private:
  void MarkLive() {
    for (const Output& o : f_.outputs) live_[Z(o.value.index)] = out_[Z(o.value.index)] = true;
    for (std::size_t i = f_.nodes.size(); i-- > 0;)
      if (live_[i]) for (Value a : f_.nodes[i].args) live_[Z(a.index)] = true;
  }

  static bool Rearranges(Op op) {
    return op == Op::kBroadcast || op == Op::kReshape || op == Op::kSlice || op == Op::kStop;
  }

  bool ForTorch(const Node& n) const {
    if (ClassOf(n.op) == OpClass::kMatrix || n.op == Op::kUnfold || n.op == Op::kFold) return true;
    if (n.op == Op::kCumSum && n.type.elem == Elem::kBool) return true;
    if (Multiplies(n, weights_) || (n.body && !Uncompilable(*n.body).empty())) return true;
    return n.op == Op::kDot &&  // a convolution
           std::any_of(n.args.begin(), n.args.end(), [&](Value a) { return f_.node(a).op == Op::kUnfold; });
  }

  void PlaceNode(std::size_t i) {
    const Node& n = f_.nodes[i];
    repeated_[i] = !out_[i] && (ClassOf(n.op) == OpClass::kLeaf || Rearranges(n.op));
    int kernel = 0, torch = 0;  // the first turn in which all arguments are there
    for (Value a : n.args) {
      kernel = std::max(kernel, for_kernel_[Z(a.index)]);
      torch = std::max(torch, for_torch_[Z(a.index)]);
    }
    if (repeated_[i]) {
      for_kernel_[i] = kernel, for_torch_[i] = torch;
    } else if (ForTorch(n)) {
      for_torch_[i] = torch, for_kernel_[i] = torch + 1;
      place_[i] = {torch, true, varies_[i]};
    } else {
      for_torch_[i] = for_kernel_[i] = kernel;
      place_[i] = {kernel, false, varies_[i]};
    }
  }

  bool Worth(const Place& p, int least) const {
    int count = 0;
    for (std::size_t i = 0; i < f_.nodes.size(); ++i) {
      if (!live_[i] || repeated_[i] || !(place_[i] == p)) continue;
      if (f_.nodes[i].op == Op::kDot || f_.nodes[i].body) return true;
      ++count;
    }
    return count >= least;
  }

  // The values of other parts that one reads.
  void MarkPassed(const Place& p) {
    std::vector<bool> seen(f_.nodes.size());
    std::vector<std::int32_t> open;
    for (std::size_t i = 0; i < f_.nodes.size(); ++i)
      if (live_[i] && !repeated_[i] && place_[i] == p) open.push_back(static_cast<std::int32_t>(i));
    while (!open.empty()) {
      const std::int32_t i = open.back();
      open.pop_back();
      for (Value a : f_.nodes[Z(i)].args) {
        if (seen[Z(a.index)]) continue;
        seen[Z(a.index)] = true;
        if (repeated_[Z(a.index)]) open.push_back(a.index);
        else if (!(place_[Z(a.index)] == p)) passed_[Z(a.index)] = true;
      }
    }
  }

  Part Build(const Place& p, std::size_t number) const {
    std::vector<Output> outputs;
    for (std::size_t i = 0; i < f_.nodes.size(); ++i) {
      if (!live_[i] || repeated_[i] || !(place_[i] == p)) continue;
      const auto index = static_cast<std::int32_t>(i);
      if (passed_[i]) outputs.push_back({Passed(index), {index}});
      for (const Output& o : f_.outputs) if (o.value.index == index) outputs.push_back(o);
    }
    const auto given = [&](std::int32_t i) {
      return repeated_[Z(i)] || place_[Z(i)] == p ? std::string() : Passed(i);
    };
    return {Carve(f_, fmt::format("{}/{}", f_.name, number), outputs, varies_, given), !p.torch};
  }

  static std::string Passed(std::int32_t i) { return fmt::format("part/{}", i); }

  const Function& f_;
  std::vector<bool> varies_, weights_, live_, out_, repeated_, passed_;
  std::vector<int> for_kernel_, for_torch_;  // the first turn in which a value is there
  std::vector<Place> place_;                 // of those that are not repeated
};

}  // namespace

bool MultipliesWeights(const Function& function) {
  const std::vector<bool> weights = Weights(function, VariesByInstance(function));
  return std::any_of(function.nodes.begin(), function.nodes.end(),
                     [&](const Node& n) { return Multiplies(n, weights); });
}

std::optional<Hoisted> Hoist(const Function& f, const std::set<std::string>& moving) {
  const std::vector<bool> varies = VariesByInstance(f);
  std::vector<bool> moves(f.nodes.size()), dear(f.nodes.size()), fixed(f.nodes.size());
  for (const Input& in : f.inputs) moves[Z(in.value.index)] = moving.count(in.name) > 0;
  for (std::size_t i = 0; i < f.nodes.size(); ++i) {
    const Node& n = f.nodes[i];
    dear[i] = IsDear(f, n);
    for (Value a : n.args) {
      if (moves[Z(a.index)]) moves[i] = true;
      if (dear[Z(a.index)]) dear[i] = true;
    }
  }
  const auto fix = [&](Value v) { if (!moves[Z(v.index)] && dear[Z(v.index)]) fixed[Z(v.index)] = true; };
  for (std::size_t i = 0; i < f.nodes.size(); ++i) if (moves[i]) for (Value a : f.nodes[i].args) fix(a);
  for (const Output& o : f.outputs) fix(o.value);
  const auto name = [](std::int32_t i) { return fmt::format("fixed/{}", i); };
  const auto is_fixed = [&](std::int32_t i) { return fixed[Z(i)] ? name(i) : std::string(); };
  const auto nothing = [](std::int32_t) { return std::string(); };
  Hoisted result;
  for (const bool instance : {false, true}) {
    std::vector<Output> outputs;
    for (std::size_t i = 0; i < f.nodes.size(); ++i) {
      const auto index = static_cast<std::int32_t>(i);
      if (fixed[i] && varies[i] == instance) outputs.push_back({name(index), {index}});
    }
    if (outputs.empty()) continue;
    const char* which = instance ? "before" : "shared";
    result.before.push_back(Carve(f, fmt::format("{}/{}", f.name, which), outputs, varies, nothing));
  }
  if (result.before.empty()) return std::nullopt;
  result.rest = Carve(f, f.name + "/rest", f.outputs, varies, is_fixed);
  return result;
}

std::vector<Part> Partition(const Function& function, int worth) {
  if (Uncompilable(function).empty()) return {};
  return Partitioner(function).Parts(worth);
}

}  // namespace amo::compiler
