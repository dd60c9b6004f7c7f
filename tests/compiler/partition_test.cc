// SPDX-License-Identifier: Apache-2.0
// The parts of a function, one after the other, against the function: random functions with linear systems put between
// their nodes, weights, what is shared, outputs that are inputs; and what makes parts.
#include "compiler/partition.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>

#include "compiler/interpret.h"
#include "compiler/kernel.h"
#include "tests/compiler/random_function.h"

namespace amo::compiler {
namespace {

// x from (2 I) X = 2 x: the same numbers by way of a node that no kernel runs.
Value BySystem(Builder& b, Value x) {
  const Shape shape = b.shape(x);
  const std::int64_t n = Count(shape);
  const Value row = b.Broadcast(b.Iota(n), {0, -1}, {n, n}), column = b.Broadcast(b.Iota(n), {-1, 0}, {n, n});
  const Value a = b.Mul(b.ToReal(b.Binary(Op::kEq, row, column)), b.Filled(2, {n, n}));
  const Value twice = b.Mul(b.Reshape(x, {n, 1}), b.Filled(2, {n, 1}));
  return b.Reshape(b.Solve(a, twice), shape);
}

// The function with such a system behind about every fourth of its nodes.
Function WithSystems(const Function& f, std::mt19937_64& random) {
  Builder b(f.name);
  std::vector<Value> made;
  for (std::size_t i = 0; i < f.nodes.size(); ++i) {
    const Node& n = f.nodes[i];
    if (n.op == Op::kInput) {
      for (const Input& in : f.inputs)
        if (in.value.index == static_cast<std::int32_t>(i)) made.push_back(b.Input(in.name, in.role, in.type));
      continue;
    }
    std::vector<Value> args;
    for (Value a : n.args) args.push_back(made[static_cast<std::size_t>(a.index)]);
    Value v = b.Copy(n, std::move(args));
    if (n.type.elem == Elem::kReal && Count(n.type.shape) > 0 && random() % 4 == 0) v = BySystem(b, v);
    made.push_back(v);
  }
  for (const Output& o : f.outputs) b.Output(o.name, made[static_cast<std::size_t>(o.value.index)]);
  return b.Finish();
}

std::vector<Tensor> RunParts(const std::vector<Part>& parts, const Function& f, const std::vector<Tensor>& inputs) {
  std::map<std::string, Tensor> read, result;
  for (std::size_t k = 0; k < inputs.size(); ++k) read[f.inputs[k].name] = inputs[k];
  for (const Part& part : parts) {
    EXPECT_EQ(Verify(part.function), "");
    EXPECT_TRUE(!part.kernel || (Uncompilable(part.function).empty() && !MultipliesWeights(part.function)));
    std::vector<Tensor> in;
    for (const Input& x : part.function.inputs) in.push_back(read.at(x.name));
    const std::vector<Tensor> out = Interpret(part.function, in);
    for (std::size_t k = 0; k < out.size(); ++k) {
      const std::string& name = part.function.outputs[k].name;
      (f.FindOutput(name) < 0 ? read : result)[name] = out[k];
    }
  }
  std::vector<Tensor> all;
  for (const Output& o : f.outputs) all.push_back(result.at(o.name));
  return all;
}

void ExpectSame(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t k = 0; k < a.size(); ++k) {
    ASSERT_EQ(a[k].type.shape, b[k].type.shape);
    for (std::size_t i = 0; i < a[k].data.size(); ++i)
      EXPECT_TRUE(a[k].data[i] == b[k].data[i] || (std::isnan(a[k].data[i]) && std::isnan(b[k].data[i])));
  }
}

TEST(Partition, RandomFunctions) {
  std::mt19937_64 random(7);
  int several = 0;
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    const Function f = WithSystems(RandomFunction(seed, false), random);
    const std::vector<Part> parts = Partition(f, 1);
    if (parts.empty()) continue;
    several += parts.size() > 3;
    std::vector<Tensor> inputs;
    for (const Input& in : f.inputs) inputs.push_back(RandomTensor(in.type, random));
    SCOPED_TRACE(seed);
    ExpectSame(RunParts(parts, f, inputs), Interpret(f, inputs));
  }
  EXPECT_GT(several, 60);
}

// A layer, a system with a shared matrix, and an output with the name of an input.
TEST(Partition, WeightsAndShared) {
  Builder b("f");
  const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {3}});
  const Value w = b.Input("weight/net/0", Role::kShared, {Elem::kReal, {4, 3}});
  const Value s = b.Input("S", Role::kShared, {Elem::kReal, {4, 4}});
  const Value shared = b.Dot(s, s, {0, 1}, {0, 2}, {1, 2});
  const Value h = b.Unary(Op::kTanh, b.Dot(w, x, {0, 1}, {1}, {0}));
  const Value y = b.Reshape(b.Solve(shared, b.Reshape(h, {4, 1})), {4});
  b.Output("x", b.Slice(b.Unary(Op::kExp, y), {0}, {3}));
  b.Output("h", h);
  b.Output("same", x);
  const Function f = b.Finish();
  const std::vector<Part> parts = Partition(f, 1);
  ASSERT_FALSE(parts.empty());
  for (const Part& part : parts) {  // S'S once, not for each instance
    if (part.function.FindInput("S") < 0) continue;
    for (const Input& in : part.function.inputs) EXPECT_EQ(in.role, Role::kShared);
  }
  std::mt19937_64 random(1);
  std::vector<Tensor> inputs;
  for (const Input& in : f.inputs) inputs.push_back(RandomTensor(in.type, random));
  ExpectSame(RunParts(parts, f, inputs), Interpret(f, inputs));
}

// Some inputs move: what the others fix, then the rest, against the whole.
TEST(Hoist, RandomFunctions) {
  std::mt19937_64 random(11);
  int found = 0;
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    const Function f = WithSystems(RandomFunction(seed, false), random);
    std::set<std::string> moving;
    for (const Input& in : f.inputs) if (random() % 2) moving.insert(in.name);
    const std::optional<Hoisted> hoisted = Hoist(f, moving);
    if (!hoisted) continue;
    ++found;
    SCOPED_TRACE(seed);
    std::vector<Tensor> inputs;
    for (const Input& in : f.inputs) inputs.push_back(RandomTensor(in.type, random));
    std::vector<Part> parts;
    for (const Function& before : hoisted->before) {
      for (const std::string& name : moving) EXPECT_LT(before.FindInput(name), 0);
      parts.push_back({before, false});
    }
    parts.push_back({hoisted->rest, false});
    ExpectSame(RunParts(parts, f, inputs), Interpret(f, inputs));
  }
  EXPECT_GT(found, 40);
}

TEST(Partition, OnlyWhereItPays) {
  Builder b("f");
  const Value a = b.Input("A", Role::kInstance, {Elem::kReal, {2, 2}});
  const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {2, 1}});
  b.Output("y", b.Unary(Op::kExp, b.Solve(a, x)));
  const Function f = b.Finish();
  EXPECT_TRUE(Partition(f).empty());  // one call of LibTorch's is as good as a kernel
  EXPECT_EQ(Partition(f, 1).size(), 2u);
  EXPECT_TRUE(Partition(RandomFunction(3, true), 1).empty());  // one kernel
}

}  // namespace
}  // namespace amo::compiler
