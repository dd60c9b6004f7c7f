// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TORCH_OPS_H_
#define AMO_RUNTIME_TORCH_OPS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "compiler/ir.h"

// One function for each class of operations, for TorchExecute alone. A value that varies by instance has the batch as
// its first axis; one that does not has no such axis, and LibTorch's broadcasting joins the two where shapes are equal.
namespace amo::runtime {

struct Operand {
  at::Tensor tensor;
  bool varies = false;

  std::int64_t lead() const { return varies ? 1 : 0; }  // where the IR's axis 0 is
};

struct Place {
  at::TensorOptions real;  // type of reals, and the device
  std::int64_t batch = 0;
};

using compiler::Function;
using compiler::Node;

at::Tensor ExecuteUnary(const Node& node, const Operand& x, const Place& place);
at::Tensor ExecuteBinary(const Function& function, const Node& node, const Operand& a, const Operand& b);
at::Tensor ExecuteSelect(const Operand& condition, const Operand& a, const Operand& b);
at::Tensor ExecuteShape(const Node& node, const std::vector<Operand>& in, const Place& place);
at::Tensor ExecuteReduce(const Node& node, const Operand& x, const Place& place);
at::Tensor ExecuteArg(const Node& node, const Operand& x);
at::Tensor ExecuteAlong(const Node& node, const Operand& x);
at::Tensor ExecuteDot(const Function& function, const Node& node, const Operand& a, const Operand& b,
                      const Place& place);
at::Tensor ExecuteGather(const Node& node, const Operand& x, const Operand& index, const Place& place);
at::Tensor ExecuteScatter(const Node& node, const Operand& index, const Operand& g, const Place& place);
at::Tensor ExecuteSolve(const Node& node, const Operand& a, const Operand& b, const Place& place);
at::Tensor ExecuteEigen(const Operand& a);

// A contraction that is a convolution (torch_convolution.cc): of which value, with which kernel.
struct Convolution {
  compiler::Value x, kernel;
  compiler::Windows windows;
};
std::optional<Convolution> FindConvolution(const Function& function, const Node& node, const std::vector<bool>& varies);
at::Tensor ExecuteConvolution(const Node& node, const compiler::Windows& windows, const Operand& x,
                              const Operand& kernel, const Place& place);

// The sizes of a value with this IR shape.
std::vector<std::int64_t> Sizes(bool varies, const compiler::Shape& shape, const Place& place);

// The options of a value with this element type.
at::TensorOptions Options(compiler::Elem elem, const Place& place);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TORCH_OPS_H_
