// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_KERNEL_FUNCTION_H_
#define AMO_RUNTIME_KERNEL_FUNCTION_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiler/ir.h"
#include "compiler/kernel.h"

// Compiled objectives under LibTorch's autograd: the forward pass runs one kernel for value and gradient,
// differentiation of a gradient runs the kernel of the Hessian-vector product, and further derivatives go through
// TorchExecute, so every order is there.
namespace amo::runtime {

// A function whose first output is a real scalar. Thread-safe; each kernel is compiled at its first use.
class KernelObjective {
 public:
  // `wrt`: the real inputs whose derivatives may be asked for; a gradient by any other is an error of the caller's.
  KernelObjective(const compiler::Function& function, std::vector<int> wrt, const compiler::KernelOptions& options);

  // The value for each instance: [B], or [] where the function has no instance inputs. Differentiable by `wrt`.
  at::Tensor operator()(const std::vector<at::Tensor>& inputs) const;

  // "value" and "d/NAME" for each of `wrt`, by one kernel; nothing is recorded.
  std::map<std::string, at::Tensor> ValueAndGradient(const std::vector<at::Tensor>& inputs) const;

  struct State;

 private:
  std::shared_ptr<const State> state_;
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_KERNEL_FUNCTION_H_
