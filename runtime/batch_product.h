// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_BATCH_PRODUCT_H_
#define AMO_RUNTIME_BATCH_PRODUCT_H_

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "compiler/ir.h"
#include "compiler/kernel.h"
#include "runtime/tensor_kernel.h"

// Sums over a batch of products of two factors: the gradients of weight matrices. A kernel for the batch at hand, where
// LibTorch's general product would copy its operands first.
namespace amo::runtime {

class BatchProduct {
 public:
  // `labels` of the factors' own axes, as in a `dot`.
  BatchProduct(compiler::DotLabels labels, const compiler::KernelOptions& options);

  // a, b [B, ...] → the contraction over the batch too. Not for several threads at once; compiles where B is another
  // one than before.
  at::Tensor operator()(const at::Tensor& a, const at::Tensor& b);

 private:
  compiler::DotLabels labels_;
  compiler::KernelOptions options_;
  std::optional<TensorKernel> kernel_;
  std::int64_t rows_ = -1;  // of the batch, for each thread: what the kernel is for
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_BATCH_PRODUCT_H_
