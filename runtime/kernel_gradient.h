// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_KERNEL_GRADIENT_H_
#define AMO_RUNTIME_KERNEL_GRADIENT_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "compiler/ir.h"
#include "compiler/kernel.h"

// A function with any outputs under LibTorch's autograd: forward by its kernel, backward by the kernel of its
// vector-Jacobian product; derivatives of that in turn go through TorchExecute. What KernelObjective is for objectives.
namespace amo::runtime {

class KernelGradient {
 public:
  // The function has instance inputs, and both it and its products compile (see Compilable). `wrt`: the real inputs
  // whose derivatives may be asked for.
  KernelGradient(const compiler::Function& function, std::vector<int> wrt, const compiler::KernelOptions& options);

  // Whether a function can be run so.
  static bool Compilable(const compiler::Function& function, const std::vector<int>& wrt);

  // [B, ...] for each output.
  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& inputs) const;

  struct State;

 private:
  std::shared_ptr<const State> state_;
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_KERNEL_GRADIENT_H_
