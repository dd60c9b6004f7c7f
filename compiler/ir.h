// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_IR_H_
#define AMO_COMPILER_IR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "lang/source.h"

// The intermediate representation: a Function is a flat list of nodes that refer backwards only. Values are tensors of
// static shape per instance, row-major; the batch is never written.
//
// Semantics, which the interpreter (interpret.h), the kernels and the LibTorch executor obey alike:
//   Elementwise operations (Unary, Binary, Compare, Logic, Select) take operands of one shape; nothing broadcasts by
//   itself. Reals follow IEEE 754: nothing is reassociated, 0 * x is not 0, NaN travels. min and max give NaN when
//   either side is NaN. Bools are 0 and 1; ints are exact up to 2^53. `div` and `pow` give reals; `mod` is the
//   remainder with the sign of the divisor; `sign(0)` is 0; `softplus(x)` is log(1 + exp(x)) without overflow.
//   `select(c, a, b)` is a where c holds, else b; only the taken side receives a derivative.
//   Leaf       input {k}            the k-th input
//              number {} value      a scalar constant
//              iota {start}         [n] ints start, start + 1, …
//   broadcast {axes}                output axis d reads input axis axes[d], or repeats along it where axes[d] is -1;
//   every
//                                   input axis appears exactly once: a transposition is one too
//   reshape                         the same entries in row-major order
//   slice {starts}                  out[i] = x[starts + i]
//   pad {starts}                    zeros, with x at `starts`; the adjoint of slice
//   concat {axis}                   its arguments one after the other along the axis
//   unfold {kh, kw, stride, pad}    x [L.., h, w] → [L.., kh, kw, oh, ow]: out[.., a, b, i, j] is
//                                   x[.., i * stride + a - pad, j * stride + b - pad], 0 outside of x;
//                                   oh = (h + 2 pad - kh) / stride + 1, rounded down, ow alike. No kernel runs it
//   fold {kh, kw, stride, pad, h, w}  [L.., kh, kw, oh, ow] → [L.., h, w]: sums; the adjoint of unfold
//   reduce_* {axes}                 removes the (sorted) axes; over nothing: 0, 1, -inf, inf
//   argmax, argmin                  [.., n] → [..] int, the first of equals
//   cumsum, sort, argsort           along the last axis; sort ascends and is stable
//   dot {labels}                    one label for each axis of a, then of b, then of the result: the sum of products
//   over
//                                   every label that the result lacks; a result label stands in at least one operand
//   gather {lead}                   x [L.., D, T..], index [L.., S..] → [L.., S.., T..]: entry index of axis `lead`; an
//   index
//                                   outside 0..D-1 is clamped to it
//   scatter {lead, D}               index [L.., S..], g [L.., S.., T..] → [L.., D, T..]: sums; the adjoint of gather
//   solve                           A [L.., n, n], B [L.., n, k] → X [L.., n, k] with A X = B; where A is singular,
//                                   entries that are no finite numbers
//   eigen                           A [L.., n, n] → [L.., n + 1, n], of S = (A + A') / 2: in row 0 the eigenvalues,
//                                   which ascend, below it the orthonormal eigenvectors as columns. In each of them the
//                                   first entry of at least 0.9 times the largest absolute value is positive. NaN where
//                                   an entry of S is not finite
//   stop                            its argument; a constant for derivatives
//   scan {H, carries, xs, ys, reverse, index}
//                                   H steps of the node's body, a function that sees nothing but its inputs. Arguments:
//                                   the carries before the first step; xs, each [H, ..]; constants, the same for all
//                                   steps. Inputs of the body: the carries, row t of each xs, the constants, and with
//                                   `index` the step t as an int. Its outputs: the next carries, then row t of each of
//                                   the ys. With `reverse` t runs from H-1 down to 0; xs and ys are indexed by t alike.
//                                   Carries and ys are real. The value is real[N]: the last carries, flat, one after
//                                   the other, then each of the ys, flat. Roles of a body's inputs say nothing: all
//                                   carries vary by instance where any argument does, xs and constants where theirs
//                                   does.
namespace amo::compiler {

enum class Op : std::uint8_t {
#define AMO_OP(name, text, arity, kind) k##name,
#include "compiler/op.def"
#undef AMO_OP
};

enum class OpClass : std::uint8_t {
  kLeaf, kUnary, kBinary, kCompare, kLogic, kSelect, kShape, kReduce, kArg, kAlong, kContract, kIndex,
  kMatrix, kLoop
};

std::string_view OpText(Op op);
int OpArity(Op op);  // -1: any number
OpClass ClassOf(Op op);
bool IsElementwise(Op op);

enum class Elem : std::uint8_t { kReal, kInt, kBool };

using Shape = std::vector<std::int64_t>;

struct Type {
  Elem elem = Elem::kReal;
  Shape shape;
  bool operator==(const Type&) const = default;
};
std::int64_t Count(const Shape& shape);       // the number of entries; 1 for a scalar
std::string ToString(const Type& type);       // "real[3,4]"

struct Value {
  std::int32_t index = -1;
  bool operator==(const Value&) const = default;
};

struct Function;

struct Node {
  Op op;
  Type type;
  std::vector<Value> args;
  std::vector<std::int64_t> attr;  // by operation, see above
  double number = 0;               // kNumber
  lang::Span span;                 // the source expression, for messages
  std::shared_ptr<const Function> body = nullptr;  // kScan
};

// How often an input changes: with every instance of a batch, or not at all within one call.
enum class Role : std::uint8_t { kInstance, kShared };

struct Input {
  std::string name;
  Role role = Role::kInstance;
  Type type;
  Value value;
};

struct Output {
  std::string name;
  Value value;
};

struct Function {
  std::string name;
  std::vector<Node> nodes;
  std::vector<Input> inputs;
  std::vector<Output> outputs;

  const Node& node(Value v) const { return nodes[static_cast<std::size_t>(v.index)]; }
  const Type& type(Value v) const { return node(v).type; }
  int FindInput(std::string_view name) const;   // its index, or -1
  int FindOutput(std::string_view name) const;
};

// Which values differ between instances: true for everything that reaches an instance input.
std::vector<bool> VariesByInstance(const Function& function);
// The same, where `inputs` says which inputs differ; and what it says for the body of a scan with such arguments.
std::vector<bool> VariesFrom(const Function& function, const std::vector<bool>& inputs);
std::vector<bool> BodyVaries(const Node& scan, const std::vector<bool>& args);

// Whether two functions compute the same in the same way: equal up to names and spans.
bool SameFunction(const Function& a, const Function& b);

// The attributes of a scan, by name; and where each part of its value begins: carries, then ys, then the end.
struct ScanForm {
  std::int64_t steps = 0;
  std::size_t carries = 0, xs = 0, ys = 0;
  bool reverse = false, index = false;
};
ScanForm FormOf(const Node& scan);
std::vector<std::int64_t> ScanOffsets(const Node& scan);

// The windows that unfold and fold slide over the last two axes; `Count` of them along an axis of n entries.
struct Windows {
  std::int64_t kh = 1, kw = 1, stride = 1, pad = 0;
  std::int64_t Count(std::int64_t n, std::int64_t k) const {
    return n + 2 * pad < k ? 0 : (n + 2 * pad - k) / stride + 1;
  }
};
Windows WindowsOf(const Node& node);

// Makes a Function. Every method infers and checks the type (a wrong one is our bug and aborts) and returns the old
// value where the same node exists, so common subexpressions vanish by themselves.
class Builder {
 public:
  explicit Builder(std::string name);

  Value Input(std::string name, Role role, Type type);
  void Output(std::string name, Value value);
  Function Finish();

  // The span that new nodes carry, until it is set again.
  void At(lang::Span span) { span_ = span; }
  const Type& type(Value v) const { return function_.type(v); }
  const Shape& shape(Value v) const { return type(v).shape; }
  const Node& node(Value v) const { return function_.node(v); }
  const Function& function() const { return function_; }

  Value Number(double value, Elem elem = Elem::kReal);
  Value Iota(std::int64_t count, std::int64_t start = 0);
  Value Unary(Op op, Value x);
  Value Binary(Op op, Value a, Value b);
  Value Select(Value condition, Value a, Value b);
  Value Broadcast(Value x, std::vector<std::int64_t> axes, Shape shape);
  Value Fill(Value scalar, Shape shape);                          // a scalar repeated
  Value Filled(double value, Shape shape) { return Fill(Number(value), shape); }  // by value: `shape` may be a node's
  Value Transpose(Value x, const std::vector<std::int64_t>& axes);
  Value Reshape(Value x, Shape shape);
  Value Slice(Value x, std::vector<std::int64_t> starts, Shape shape);
  Value Pad(Value x, std::vector<std::int64_t> starts, Shape shape);
  Value Concat(std::vector<Value> parts, std::int64_t axis);
  Value Unfold(Value x, const Windows& windows);
  Value Fold(Value x, const Windows& windows, std::int64_t h, std::int64_t w);
  Value Reduce(Op op, Value x, std::vector<std::int64_t> axes);
  Value Arg(Op op, Value x);
  Value Along(Op op, Value x);
  Value Dot(Value a, Value b, const std::vector<std::int64_t>& la, const std::vector<std::int64_t>& lb,
            const std::vector<std::int64_t>& lo);
  Value Gather(Value x, Value index, std::int64_t lead);
  Value Scatter(Value index, Value g, std::int64_t lead, std::int64_t count);
  Value Solve(Value a, Value b);
  Value Eigen(Value a);
  Value Scan(const ScanForm& form, std::shared_ptr<const Function> body, std::vector<Value> args);
  // Part k of a scan's value, or of anything laid out like it: the last carries, then the ys, each [H, ..].
  Value ScanPart(const Node& scan, Value v, std::size_t k);
  // A leaf that is no input of the function: what stands for a state while the body of a scan is built among the nodes
  // around it. Nothing that an output needs may reach it when the function is finished.
  Value Placeholder(Type type);

  Value Add(Value a, Value b) { return Binary(Op::kAdd, a, b); }
  Value Sub(Value a, Value b) { return Binary(Op::kSub, a, b); }
  Value Mul(Value a, Value b) { return Binary(Op::kMul, a, b); }
  Value Div(Value a, Value b) { return Binary(Op::kDiv, a, b); }
  Value Neg(Value a) { return Unary(Op::kNeg, a); }
  Value ToReal(Value x);  // x itself where it is real already

  // Any node with arguments of this function: what passes that rewrite use. The type is inferred again.
  Value Copy(const Node& node, std::vector<Value> args);

 private:
  Value Put(Node node);
  Function function_;
  lang::Span span_;
  using Key = std::tuple<Op, std::vector<std::int32_t>, std::vector<std::int64_t>, std::uint64_t, Elem, Shape,
                         const Function*>;
  std::map<Key, std::int32_t> known_;
  std::vector<std::shared_ptr<const Function>> bodies_;  // each once
  std::int64_t placeholders_ = 0;
};

// The labels of a `dot` node's operands and result.
struct DotLabels {
  std::vector<std::int64_t> a, b, out;
};
DotLabels LabelsOf(const Function& function, const Node& node);

// The type that an operation gives, or "" / what is wrong with its arguments.
struct Inferred {
  Type type;
  std::string error;
};
Inferred Infer(const Node& node, const std::vector<Type>& args);

// What is wrong with a function (a forward reference, a type that does not follow), or "".
std::string Verify(const Function& function);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_IR_H_
