// SPDX-License-Identifier: Apache-2.0
// The loop over a function's nodes: leaves, dispatch by class, and the release of values after their last use.
#include "runtime/torch_execute.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/check.h"
#include "runtime/torch_ops.h"

namespace amo::runtime {
namespace {

using compiler::Elem;
using compiler::Input;
using compiler::Op;
using compiler::OpClass;
using compiler::Role;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

Place PlaceOf(const Function& f, const std::vector<at::Tensor>& inputs) {
  Place place{at::TensorOptions().dtype(at::kDouble), 0};
  bool real = false, batch = false;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    if (k == 0) place.real = place.real.device(inputs[0].device());
    if (f.inputs[k].type.elem == Elem::kReal && !real) {
      place.real = place.real.dtype(inputs[k].scalar_type());
      real = true;
    }
    if (f.inputs[k].role == Role::kInstance && !batch) {
      AMO_CHECK(inputs[k].dim() > 0, "(input %s)", f.inputs[k].name.c_str());
      place.batch = inputs[k].size(0);
      batch = true;
    }
  }
  return place;
}

void CheckInput(const Input& input, const at::Tensor& tensor, const Place& place) {
  AMO_CHECK(tensor.sizes() == Sizes(input.role == Role::kInstance, input.type.shape, place), "(input %s)",
            input.name.c_str());
  AMO_CHECK(tensor.scalar_type() == c10::typeMetaToScalarType(Options(input.type.elem, place).dtype()), "(input %s)",
            input.name.c_str());
}

at::Tensor Leaf(const Function&, const Node& n, const std::vector<at::Tensor>& inputs, const Place& place) {
  if (n.op == Op::kInput) return inputs[Z(n.attr[0])];
  if (n.op == Op::kIota) return at::arange(n.attr[0], n.attr[0] + n.type.shape[0], Options(Elem::kInt, place));
  // A number past the range of single precision is infinite there; LibTorch refuses to say so.
  const bool narrow = n.type.elem == Elem::kReal && place.real.dtype() == at::kFloat;
  const double number = narrow && std::fabs(n.number) > std::numeric_limits<float>::max()
                            ? std::copysign(std::numeric_limits<double>::infinity(), n.number)
                            : n.number;
  return at::full({}, number, Options(n.type.elem, place));
}

std::vector<at::Tensor> Run(const Function& f, const std::vector<at::Tensor>& inputs, const std::vector<bool>& varies,
                            const Place& place);

// The steps one after the other; the ys are stacked along their first axis.
at::Tensor ExecuteScan(const Node& n, const std::vector<Operand>& in, const Place& place) {
  const compiler::ScanForm form = compiler::FormOf(n);
  const Function& body = *n.body;
  std::vector<bool> args;
  for (const Operand& x : in) args.push_back(x.varies);
  const std::vector<bool> inputs_vary = compiler::BodyVaries(n, args);
  const std::vector<bool> nodes_vary = compiler::VariesFrom(body, inputs_vary);
  const bool varies = std::count(args.begin(), args.end(), true) > 0;
  const auto widened = [&](at::Tensor x, bool has_batch, const compiler::Shape& shape) {
    return varies && !has_batch ? x.expand(Sizes(true, shape, place)) : x;
  };
  std::vector<at::Tensor> inputs(body.inputs.size());
  for (std::size_t k = 0; k < in.size(); ++k) {
    inputs[k] = k < form.carries ? widened(in[k].tensor, in[k].varies, body.inputs[k].type.shape) : in[k].tensor;
  }
  std::vector<std::vector<at::Tensor>> rows(form.ys, std::vector<at::Tensor>(Z(form.steps)));
  for (std::int64_t s = 0; s < form.steps; ++s) {
    const std::int64_t t = form.reverse ? form.steps - 1 - s : s;
    for (std::size_t k = form.carries; k < form.carries + form.xs; ++k) {
      inputs[k] = in[k].tensor.select(in[k].lead(), t);
    }
    if (form.index) inputs.back() = at::full({}, t, Options(Elem::kInt, place));
    std::vector<at::Tensor> outputs = Run(body, inputs, nodes_vary, place);
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      const compiler::Value v = body.outputs[k].value;
      outputs[k] = widened(outputs[k], nodes_vary[Z(v.index)], body.type(v).shape);
      (k < form.carries ? inputs[k] : rows[k - form.carries][Z(t)]) = outputs[k];
    }
  }
  std::vector<at::Tensor> parts;
  const std::vector<std::int64_t> offsets = compiler::ScanOffsets(n);
  for (std::size_t k = 0; k < form.carries + form.ys; ++k) {
    if (k >= form.carries && form.steps == 0) continue;
    const at::Tensor part = k < form.carries ? inputs[k] : at::stack(rows[k - form.carries], varies ? 1 : 0);
    parts.push_back(part.reshape(Sizes(varies, {offsets[k + 1] - offsets[k]}, place)));
  }
  if (parts.empty()) return at::full(Sizes(varies, {0}, place), 0, place.real);
  return at::cat(parts, varies ? 1 : 0);
}

at::Tensor Execute(const Function& f, const Node& n, const std::vector<Operand>& in,
                   const std::vector<at::Tensor>& inputs, const Place& place) {
  switch (compiler::ClassOf(n.op)) {
    case OpClass::kLeaf:
      return Leaf(f, n, inputs, place);
    case OpClass::kUnary:
      return ExecuteUnary(n, in[0], place);
    case OpClass::kBinary:
    case OpClass::kCompare:
    case OpClass::kLogic:
      return ExecuteBinary(f, n, in[0], in[1]);
    case OpClass::kSelect:
      return ExecuteSelect(in[0], in[1], in[2]);
    case OpClass::kShape:
      return ExecuteShape(n, in, place);
    case OpClass::kReduce:
      return ExecuteReduce(n, in[0], place);
    case OpClass::kArg:
      return ExecuteArg(n, in[0]);
    case OpClass::kAlong:
      return ExecuteAlong(n, in[0]);
    case OpClass::kContract:
      return ExecuteDot(f, n, in[0], in[1], place);
    case OpClass::kIndex:
      return n.op == Op::kGather ? ExecuteGather(n, in[0], in[1], place) : ExecuteScatter(n, in[0], in[1], place);
    case OpClass::kMatrix:
      return n.op == Op::kSolve ? ExecuteSolve(n, in[0], in[1], place) : ExecuteEigen(in[0]);
    case OpClass::kLoop:
      return ExecuteScan(n, in, place);
  }
  AMO_CHECK(false);
}

constexpr std::size_t kNever = 0, kAlways = static_cast<std::size_t>(-1);

// What a node reads; a convolution reads the array, not its windows.
std::vector<compiler::Value> Reads(const Node& n, const std::optional<Convolution>& convolution) {
  if (convolution) return {convolution->x, convolution->kernel};
  return n.args;
}

// The node that uses a value last; kAlways for outputs, kNever for what no output needs.
std::vector<std::size_t> LastUses(const Function& f, const std::vector<std::optional<Convolution>>& convolutions) {
  std::vector<std::size_t> last(f.nodes.size(), kNever);
  for (const compiler::Output& o : f.outputs) last[Z(o.value.index)] = kAlways;
  for (std::size_t i = f.nodes.size(); i-- > 0;) {
    if (last[i] == kNever) continue;
    for (compiler::Value a : Reads(f.nodes[i], convolutions[i])) {
      if (last[Z(a.index)] == kNever) last[Z(a.index)] = i;
    }
  }
  return last;
}

std::vector<at::Tensor> Run(const Function& f, const std::vector<at::Tensor>& inputs, const std::vector<bool>& varies,
                            const Place& place) {
  std::vector<std::optional<Convolution>> convolutions;
  for (const Node& n : f.nodes) convolutions.push_back(FindConvolution(f, n, varies));
  const std::vector<std::size_t> last = LastUses(f, convolutions);
  std::vector<at::Tensor> values(f.nodes.size());
  std::vector<Operand> in;
  for (std::size_t i = 0; i < f.nodes.size(); ++i) {
    if (last[i] == kNever) continue;
    const Node& n = f.nodes[i];
    in.clear();
    const std::vector<compiler::Value> reads = Reads(n, convolutions[i]);
    for (compiler::Value a : reads) in.push_back({values[Z(a.index)], varies[Z(a.index)]});
    values[i] = convolutions[i] ? ExecuteConvolution(n, convolutions[i]->windows, in[0], in[1], place)
                                : Execute(f, n, in, inputs, place);
    for (compiler::Value a : reads) {
      if (last[Z(a.index)] == i) values[Z(a.index)].reset();
    }
  }
  std::vector<at::Tensor> outputs;
  for (const compiler::Output& o : f.outputs) outputs.push_back(values[Z(o.value.index)]);
  return outputs;
}

}  // namespace

std::vector<std::int64_t> Sizes(bool varies, const compiler::Shape& shape, const Place& place) {
  std::vector<std::int64_t> sizes;
  if (varies) sizes.push_back(place.batch);
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return sizes;
}

at::TensorOptions Options(Elem elem, const Place& place) {
  switch (elem) {
    case Elem::kReal:
      return place.real;
    case Elem::kInt:
      return place.real.dtype(at::kLong);
    case Elem::kBool:
      return place.real.dtype(at::kBool);
  }
  AMO_CHECK(false);
}

std::vector<at::Tensor> TorchExecute(const Function& f, const std::vector<at::Tensor>& inputs) {
  AMO_CHECK(inputs.size() == f.inputs.size());
  const Place place = PlaceOf(f, inputs);
  for (std::size_t k = 0; k < inputs.size(); ++k) CheckInput(f.inputs[k], inputs[k], place);
  return Run(f, inputs, compiler::VariesByInstance(f), place);
}

}  // namespace amo::runtime
