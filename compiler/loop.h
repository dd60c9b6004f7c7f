// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_LOOP_H_
#define AMO_COMPILER_LOOP_H_

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "compiler/ir.h"

// The loop program between IR and machine code: buffers, scalar expressions over loop variables, and steps, each one
// nest of loops with constant trip counts. It says nothing of lanes; an expression only knows whether it varies by
// instance.
namespace amo::compiler {

enum class ExprKind : std::uint8_t {
  kConst,     // number
  kVar,       // a loop variable: lo = its depth (1 is outermost), hi = its trip count
  kOp,        // op(args)
  kLoad,      // buffer lo at entry args[0], which may vary by instance
  kIndexAdd,  // args[0] + args[1]
  kIndexMul,  // args[0] * lo
  kIndexDiv,  // args[0] / lo, both positive
  kIndexMod,  // args[0] % lo, both positive
  kClamp,     // args[0] clamped to lo .. hi
  kInRange    // lo <= args[0] < hi
};

struct Expr {
  ExprKind kind;
  Op op = Op::kNumber;
  Elem elem = Elem::kReal;
  std::vector<std::int32_t> args;
  std::int64_t lo = 0, hi = 0;
  double number = 0;
  // What follows from the above.
  bool varies = false;
  int depth = 0;                         // the deepest loop variable in it
  std::int64_t least = 0, greatest = 0;  // the values that an index can have; least > greatest: not known
};

// Of the caller; written once for each call; written for each instance, though a step in a loop there may write what
// does not vary.
enum class Place : std::uint8_t { kInput, kShared, kInstance };

struct Buffer {
  Place place;
  Elem elem;
  std::int64_t count;
  bool varies;
  int input = -1;  // kInput
  std::string name;
  std::int64_t first = -1, last = -1;  // the steps that write it first and read it last
};

struct Store {
  int buffer;
  std::int32_t index;
  std::int32_t value;
};

enum class StepKind : std::uint8_t {
  kMap,      // for outer: stores
  kReduce,   // for outer: acc = identity; for inner: acc = op(acc, value); store
  kArg,      // the same; the stored value is the position of the greatest or least along the one inner axis
  kScan,     // for outer: acc = 0; for inner: acc += value; store
  kScatter,  // for outer: buffer[index] += value
  kSort,     // for outer: sorts inner[0] entries of keys from `index`, and of the positions in `second` (-1: none)
  kFor       // for inner[0], with `reverse` from the last to the first: the steps of `body`, one level deeper
};

struct Step {
  StepKind kind;
  Op op;
  bool varies;
  Shape outer, inner;
  std::vector<Store> stores;  // one, but for kMap
  int second = -1;
  int level = 0;              // how many kFor are around it: its loop variables begin at level + 1
  std::vector<Step> body = {};  // kFor
  bool reverse = false;
};

class LoopProgram {
 public:
  std::vector<Expr> exprs;
  std::vector<Buffer> buffers;
  std::vector<Step> shared, instance;  // once for each call; once for each instance
  std::vector<int> inputs, outputs;    // buffers

  const Expr& at(std::int32_t e) const { return exprs[static_cast<std::size_t>(e)]; }

  std::int32_t Const(double number, Elem elem);
  std::int32_t Var(int depth, std::int64_t count);  // the constant 0 where it runs once
  std::int32_t Apply(Op op, Elem elem, std::vector<std::int32_t> args);
  std::int32_t Load(int buffer, std::int32_t index);
  std::int32_t IndexAdd(std::int32_t a, std::int32_t b);
  std::int32_t IndexAdd(std::int32_t a, std::int64_t b) { return IndexAdd(a, Const(double(b), Elem::kInt)); }
  std::int32_t IndexMul(std::int32_t a, std::int64_t by);
  std::int32_t IndexDiv(std::int32_t a, std::int64_t by);
  std::int32_t IndexMod(std::int32_t a, std::int64_t by);
  std::int32_t Clamp(std::int32_t a, std::int64_t lo, std::int64_t hi);
  std::int32_t InRange(std::int32_t a, std::int64_t lo, std::int64_t hi);

 private:
  std::int32_t Put(Expr expr);
  void SplitBy(std::int32_t a, std::int64_t by, std::int32_t& multiple, std::int32_t& rest);
  using Key = std::tuple<ExprKind, Op, Elem, std::vector<std::int32_t>, std::int64_t, std::int64_t, std::uint64_t>;
  std::map<Key, std::int32_t> known_;
};

std::string ToString(const LoopProgram& program);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_LOOP_H_
