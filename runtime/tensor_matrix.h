// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TENSOR_MATRIX_H_
#define AMO_RUNTIME_TENSOR_MATRIX_H_

#include <algorithm>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "runtime/qp.h"

// LibTorch's tensors [B, n] of any real type as plain matrices of doubles, and back: copies.
namespace amo::runtime {

inline Matrix ToMatrix(const at::Tensor& t) {
  const at::Tensor c = t.detach().to(at::kDouble).contiguous();
  return Eigen::Map<const Matrix>(c.const_data_ptr<double>(), c.size(0), c.size(1));
}

inline at::Tensor ToTensor(const Matrix& m, at::ScalarType dtype) {
  at::Tensor t = at::empty({m.rows(), m.cols()}, at::TensorOptions(at::kDouble));
  std::copy(m.data(), m.data() + m.size(), t.mutable_data_ptr<double>());
  return t.to(dtype);
}

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TENSOR_MATRIX_H_
