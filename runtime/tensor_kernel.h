// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TENSOR_KERNEL_H_
#define AMO_RUNTIME_TENSOR_KERNEL_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "compiler/ir.h"
#include "compiler/kernel.h"

// A compiled function on LibTorch's tensors, without derivatives.
namespace amo::runtime {

class TensorKernel {
 public:
  // Compiled here for many instances, and at the first call with one instance for that.
  TensorKernel(compiler::Function function, const compiler::KernelOptions& options);

  // Inputs as for TorchExecute, with reals of the kernel's precision, on the CPU. An input is read where it lies, by
  // address and distance between instances; one whose entries are not row-major within an instance is copied first.
  // What depends on shared inputs alone is kept until one of them is another tensor or has been written through
  // LibTorch. Outputs: [B, ...] for every output where the function has instance inputs, else [...]. Thread-safe.
  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& inputs) const;

  const compiler::Function& function() const;
  const compiler::Kernel& many() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TENSOR_KERNEL_H_
