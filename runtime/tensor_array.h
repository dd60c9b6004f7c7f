// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TENSOR_ARRAY_H_
#define AMO_RUNTIME_TENSOR_ARRAY_H_

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "runtime/array.h"

// Arrays of files and LibTorch's tensors, one to the other; entries are copied.
namespace amo::runtime {

at::Tensor ToTensor(const Array& array);
Array ToArray(std::string name, const at::Tensor& tensor);

std::map<std::string, at::Tensor> ToTensors(const std::vector<Array>& arrays);
std::vector<Array> ToArrays(const std::map<std::string, at::Tensor>& tensors);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TENSOR_ARRAY_H_
