// SPDX-License-Identifier: Apache-2.0
// Copies between arrays and tensors.
#include "runtime/tensor_array.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "compiler/check.h"

namespace amo::runtime {
namespace {

at::ScalarType TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kBool: return at::kBool;
    case DType::kUint8: return at::kByte;
    case DType::kInt32: return at::kInt;
    case DType::kInt64: return at::kLong;
    case DType::kFloat32: return at::kFloat;
    case DType::kFloat64: return at::kDouble;
  }
  AMO_CHECK(false);
}

DType TypeOf(at::ScalarType type) {
  if (type == at::kBool) return DType::kBool;
  if (type == at::kByte) return DType::kUint8;
  if (type == at::kInt) return DType::kInt32;
  if (type == at::kLong) return DType::kInt64;
  if (type == at::kFloat) return DType::kFloat32;
  AMO_CHECK(type == at::kDouble);
  return DType::kFloat64;
}

}  // namespace

at::Tensor ToTensor(const Array& array) {
  at::Tensor t = at::empty(array.shape, at::TensorOptions(TypeOf(array.dtype)));
  AMO_CHECK(t.nbytes() == array.data.size(), "(%s)", array.name.c_str());
  if (!array.data.empty()) std::memcpy(t.mutable_data_ptr(), array.data.data(), array.data.size());
  return t;
}

Array ToArray(std::string name, const at::Tensor& tensor) {
  const at::Tensor t = tensor.detach().contiguous();
  Array array = MakeArray(std::move(name), TypeOf(t.scalar_type()), t.sizes().vec());
  if (!array.data.empty()) std::memcpy(array.data.data(), t.const_data_ptr(), array.data.size());
  return array;
}

std::map<std::string, at::Tensor> ToTensors(const std::vector<Array>& arrays) {
  std::map<std::string, at::Tensor> tensors;
  for (const Array& a : arrays) tensors[a.name] = ToTensor(a);
  return tensors;
}

std::vector<Array> ToArrays(const std::map<std::string, at::Tensor>& tensors) {
  std::vector<Array> arrays;
  for (const auto& [name, t] : tensors) arrays.push_back(ToArray(name, t));
  return arrays;
}

}  // namespace amo::runtime
