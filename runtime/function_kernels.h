// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_FUNCTION_KERNELS_H_
#define AMO_RUNTIME_FUNCTION_KERNELS_H_

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compiler/ir.h"
#include "compiler/kernel.h"
#include "compiler/partition.h"
#include "runtime/kernel_gradient.h"
#include "runtime/tensor_kernel.h"

// The kernels of one program's functions, compiled when they are first asked for. Functions are known by their names,
// which are unique in a program.
namespace amo::runtime {

class FunctionKernels {
 public:
  explicit FunctionKernels(compiler::Precision precision) : precision_(precision) {}

  // Null where the function cannot be compiled, or multiplies weights of a network.
  const TensorKernel* Find(const compiler::Function& function);

  // The same under autograd, with derivatives by the inputs `wrt`.
  const KernelGradient* FindGradient(const compiler::Function& function, const std::vector<int>& wrt);

  // The parts of a function that has no kernel as a whole; empty where LibTorch runs all of it.
  const std::vector<compiler::Part>& FindParts(const compiler::Function& function);

  // A step without what stays while `moving` change (compiler::Hoist); null where there is nothing of that kind.
  const compiler::Hoisted* FindHoisted(const compiler::Function& step, const std::set<std::string>& moving);

 private:
  compiler::Precision precision_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<TensorKernel>> kernels_;
  std::map<std::string, std::unique_ptr<KernelGradient>> gradients_;
  std::map<std::string, std::vector<compiler::Part>> parts_;
  std::map<std::string, std::optional<compiler::Hoisted>> hoisted_;
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_FUNCTION_KERNELS_H_
