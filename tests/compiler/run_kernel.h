// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_TESTS_COMPILER_RUN_KERNEL_H_
#define AMO_TESTS_COMPILER_RUN_KERNEL_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "compiler/interpret.h"
#include "compiler/kernel.h"

// Calls a kernel with tensors: packs them in its precision, and unpacks the outputs.
namespace amo::compiler {

using Batch = std::vector<std::vector<Tensor>>;  // [instance][input or output]

inline std::size_t BytesOf(Elem elem, Precision p) {
  return elem == Elem::kInt ? 8 : elem == Elem::kBool ? 1 : p == Precision::kF64 ? 8 : 4;
}

inline void PutEntry(unsigned char* at, Elem elem, Precision p, double v) {
  const auto put = [&](auto x) { std::memcpy(at, &x, sizeof x); };
  if (elem == Elem::kInt) return put(static_cast<std::int64_t>(v));
  if (elem == Elem::kBool) return put(static_cast<std::uint8_t>(v != 0));
  p == Precision::kF64 ? put(v) : put(static_cast<float>(v));
}

inline double GetEntry(const unsigned char* at, Elem elem, Precision p) {
  const auto get = [&](auto x) {
    std::memcpy(&x, at, sizeof x);
    return static_cast<double>(x);
  };
  if (elem == Elem::kInt) return get(std::int64_t{});
  if (elem == Elem::kBool) return get(std::uint8_t{});
  return p == Precision::kF64 ? get(double{}) : get(float{});
}

// Instances outside begin .. end stay zero. Shared inputs come from the first instance.
inline Batch RunKernel(const Function& f, const Kernel& kernel, const Batch& inputs, std::int64_t begin,
                       std::int64_t end) {
  const std::size_t batch = inputs.size();
  std::vector<std::vector<unsigned char>> memory;
  std::vector<Argument> in, out;
  for (std::size_t k = 0; k < f.inputs.size(); ++k) {
    const Input& input = f.inputs[k];
    const auto count = static_cast<std::size_t>(Count(input.type.shape));
    const std::size_t bytes = BytesOf(input.type.elem, kernel.precision);
    const bool shared = input.role == Role::kShared;
    memory.emplace_back(count * bytes * (shared ? 1 : batch) + 1);
    for (std::size_t b = 0; b < (shared ? std::min<std::size_t>(1, batch) : batch); ++b) {
      for (std::size_t i = 0; i < count; ++i) {
        PutEntry(memory.back().data() + (b * count + i) * bytes, input.type.elem, kernel.precision,
                 inputs[b][k].data[i]);
      }
    }
    in.push_back({memory.back().data(), shared ? 0 : static_cast<std::int64_t>(count)});
  }
  const std::size_t first_output = memory.size();
  for (const Output& o : f.outputs) {
    const Type& type = f.type(o.value);
    const auto count = static_cast<std::size_t>(Count(type.shape));
    memory.emplace_back(count * BytesOf(type.elem, kernel.precision) * batch + 1);
    out.push_back({memory.back().data(), static_cast<std::int64_t>(count)});
  }
  // Nothing behind the scratch or behind an output may change.
  constexpr unsigned char kGuard = 0xa5;
  std::vector<unsigned char> shared(kernel.shared_bytes + 1024, kGuard), scratch(kernel.scratch_bytes + 1024, kGuard);
  const auto align = [](std::vector<unsigned char>& v) {
    return v.data() + (64 - reinterpret_cast<std::uintptr_t>(v.data()) % 64) % 64;
  };
  unsigned char *prepared = align(shared), *aligned = align(scratch);
  for (std::size_t k = first_output; k < memory.size(); ++k) memory[k].back() = kGuard;
  kernel.prepare(in.data(), prepared);
  const std::vector<unsigned char> before = shared;
  kernel.run(in.data(), out.data(), begin, end, prepared, aligned);
  EXPECT_EQ(shared, before) << "shared memory is read only";
  for (unsigned char* p = prepared + kernel.shared_bytes; p != shared.data() + shared.size(); ++p) {
    EXPECT_EQ(*p, kGuard) << "behind the shared memory";
  }
  for (unsigned char* p = aligned + kernel.scratch_bytes; p != scratch.data() + scratch.size(); ++p) {
    EXPECT_EQ(*p, kGuard) << "behind the scratch";
  }
  for (std::size_t k = first_output; k < memory.size(); ++k) EXPECT_EQ(memory[k].back(), kGuard) << "behind an output";
  Batch results(batch);
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t k = 0; k < f.outputs.size(); ++k) {
      const Type& type = f.type(f.outputs[k].value);
      const auto count = static_cast<std::size_t>(Count(type.shape));
      const std::size_t bytes = BytesOf(type.elem, kernel.precision);
      Tensor t{type, std::vector<double>(count)};
      for (std::size_t i = 0; i < count; ++i) {
        t.data[i] = GetEntry(memory[first_output + k].data() + (b * count + i) * bytes, type.elem, kernel.precision);
      }
      results[b].push_back(std::move(t));
    }
  }
  return results;
}

}  // namespace amo::compiler

#endif  // AMO_TESTS_COMPILER_RUN_KERNEL_H_
