// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TORCH_EXECUTE_H_
#define AMO_RUNTIME_TORCH_EXECUTE_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "compiler/ir.h"

// A function of the IR by LibTorch operations, a batch at once: the path for what kernels do not cover (networks, big
// contractions, devices), and differentiable by LibTorch to any order with the choices of compiler/derive.h at kinks.
namespace amo::runtime {

// Inputs in the order of function.inputs: [B, ...] for Role::kInstance, [...] for Role::kShared; reals of one floating
// type (the result has it; double where no input is real), ints int64, bools bool. Outputs in the order of
// function.outputs: [B, ...] where compiler::VariesByInstance holds, else [...]. A function without instance inputs
// ignores the batch.
std::vector<at::Tensor> TorchExecute(const compiler::Function& function, const std::vector<at::Tensor>& inputs);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TORCH_EXECUTE_H_
