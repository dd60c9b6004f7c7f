// SPDX-License-Identifier: Apache-2.0
// Writes sphere8.npz: eight contexts from LibTorch's seeds 8, 9, 2, 31, 4, 20, 16, 7. For each, four normal vectors
// brought to the sphere, then four uniform numbers times 0.7.   make_contexts PATH
#include <cstdio>

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>

#include "runtime/npz.h"
#include "runtime/tensor_array.h"

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: make_contexts PATH\n"), 2;
  std::vector<at::Tensor> z, alpha;
  for (const std::uint64_t seed : {8, 9, 2, 31, 4, 20, 16, 7}) {
    at::manual_seed(seed);
    const at::Tensor v = at::randn({4, 3}, at::TensorOptions(at::kFloat));
    z.push_back((v / v.norm(2, {1}, true)).to(at::kDouble));
    alpha.push_back((0.7 * at::rand({4}, at::TensorOptions(at::kFloat))).to(at::kDouble));
  }
  const auto written = amo::runtime::WriteNpz(
      argv[1], {amo::runtime::ToArray("z", at::stack(z)), amo::runtime::ToArray("alpha", at::stack(alpha))});
  if (!written.ok()) return std::fprintf(stderr, "%s\n", written.message().c_str()), 3;
}
