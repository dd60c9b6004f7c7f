// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_BENCH_EAGER_H_
#define AMO_BENCH_EAGER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

// The benchmark's objectives in LibTorch eager, batched as an expert would write them; autograd gives the gradient.
namespace amo::bench {

using Values = std::map<std::string, at::Tensor>;

struct Eager {
  const char* kernel;
  std::int64_t most;               // instances at once; more would need gigabytes for intermediates
  at::Tensor (*value)(const Values&);  // [B]
};

const Eager* FindEager(std::string_view kernel);  // null where it is not written

}  // namespace amo::bench

#endif  // AMO_BENCH_EAGER_H_
