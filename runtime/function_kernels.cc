// SPDX-License-Identifier: Apache-2.0
// Kernels made at their first use.
#include "runtime/function_kernels.h"

#include <algorithm>

namespace amo::runtime {

namespace {

// The product of a kernel gives the derivative by what is shared for each instance: more than this is left to LibTorch,
// where it is one matrix product.
constexpr std::int64_t kMostShared = 1 << 13;

bool HasLargeShared(const compiler::Function& function, const std::vector<int>& wrt) {
  std::int64_t count = 0;
  for (const int k : wrt) {
    const compiler::Input& in = function.inputs[static_cast<std::size_t>(k)];
    if (in.role == compiler::Role::kShared) count += compiler::Count(in.type.shape);
  }
  return count > kMostShared;
}

}  // namespace

const TensorKernel* FunctionKernels::Find(const compiler::Function& function) {
  const std::lock_guard lock(mutex_);
  const auto known = kernels_.find(function.name);
  if (known != kernels_.end()) return known->second.get();
  std::unique_ptr<TensorKernel>& kernel = kernels_[function.name];
  if (!compiler::MultipliesWeights(function) && compiler::Uncompilable(function).empty()) {
    const compiler::KernelOptions options{.precision = precision_, .cache_folder = compiler::KernelCacheFolder()};
    kernel = std::make_unique<TensorKernel>(function, options);
  }
  return kernel.get();
}

const KernelGradient* FunctionKernels::FindGradient(const compiler::Function& function, const std::vector<int>& wrt) {
  const std::lock_guard lock(mutex_);
  std::string key = function.name;
  for (const int k : wrt) key += " " + std::to_string(k);
  const auto known = gradients_.find(key);
  if (known != gradients_.end()) return known->second.get();
  std::unique_ptr<KernelGradient>& gradient = gradients_[key];
  if (!compiler::MultipliesWeights(function) && !HasLargeShared(function, wrt) &&
      KernelGradient::Compilable(function, wrt)) {
    const compiler::KernelOptions options{.precision = precision_, .cache_folder = compiler::KernelCacheFolder()};
    gradient = std::make_unique<KernelGradient>(function, wrt, options);
  }
  return gradient.get();
}

const std::vector<compiler::Part>& FunctionKernels::FindParts(const compiler::Function& function) {
  const std::lock_guard lock(mutex_);
  const auto [it, fresh] = parts_.try_emplace(function.name);
  if (fresh) it->second = compiler::Partition(function);
  return it->second;
}

const compiler::Hoisted* FunctionKernels::FindHoisted(const compiler::Function& step,
                                                      const std::set<std::string>& moving) {
  const std::lock_guard lock(mutex_);
  const auto [it, fresh] = hoisted_.try_emplace(step.name);
  if (fresh) it->second = compiler::Hoist(step, moving);
  return it->second ? &*it->second : nullptr;
}

}  // namespace amo::runtime
