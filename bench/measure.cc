// SPDX-License-Identifier: Apache-2.0
// Samples of a call's time, and the core's own rate of fused multiply-adds.
#include "bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace amo::bench {
namespace {

using Clock = std::chrono::steady_clock;

double Nanoseconds(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

// 12 independent sums: a latency of 4 cycles on 2 units needs 8, and 16 registers hold them and the two factors.
// The compiler contracts a * b + c on its own (GCC's default), and the loop cannot be left out: its result is used.
constexpr int kSums = 12;
constexpr std::int64_t kRounds = 1 << 16;

template <class Vector, class Scalar>
[[gnu::always_inline]] inline double Rounds(Scalar factor) {
  Vector sum[kSums], a, b;
  for (std::size_t l = 0; l < sizeof(Vector) / sizeof(Scalar); ++l) a[l] = factor, b[l] = Scalar(1) - factor;
#pragma GCC unroll 16
  for (int k = 0; k < kSums; ++k) sum[k] = b * static_cast<Scalar>(k);
  for (std::int64_t r = 0; r < kRounds; ++r) {
#pragma GCC unroll 16
    for (int k = 0; k < kSums; ++k) sum[k] = sum[k] * a + b;
  }
  double total = 0;
#pragma GCC unroll 16
  for (int k = 0; k < kSums; ++k) {
    for (std::size_t l = 0; l < sizeof(Vector) / sizeof(Scalar); ++l) total += static_cast<double>(sum[k][l]);
  }
  return total;
}

template <class Scalar, int kBytes>
struct Wide {
  typedef Scalar Type __attribute__((vector_size(kBytes)));
};

#if defined(__x86_64__)
template <class Scalar>
[[gnu::target("avx512f,fma")]] double Rounds64(Scalar factor) {
  return Rounds<typename Wide<Scalar, 64>::Type>(factor);
}
template <class Scalar>
[[gnu::target("avx2,fma")]] double Rounds32(Scalar factor) {
  return Rounds<typename Wide<Scalar, 32>::Type>(factor);
}
#endif
template <class Scalar>
double Rounds16(Scalar factor) {
  return Rounds<typename Wide<Scalar, 16>::Type>(factor);
}

template <class Scalar>
double Peak() {
  double (*rounds)(Scalar) = Rounds16<Scalar>;
  double width = 16;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    rounds = Rounds64<Scalar>, width = 64;
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    rounds = Rounds32<Scalar>, width = 32;
  }
#endif
  double best = 0;
  volatile double kept = 0;
  for (int i = 0; i < 100; ++i) {
    const Clock::time_point start = Clock::now();
    kept = kept + rounds(static_cast<Scalar>(0.999));
    best = std::max(best, 2.0 * kSums * kRounds * width / sizeof(Scalar) / Nanoseconds(start));
  }
  return best;
}

}  // namespace

Times Measure(const std::function<void()>& run, double batch, double seconds) {
  run();
  Clock::time_point start = Clock::now();
  run();
  const auto calls = static_cast<std::int64_t>(std::clamp(2e4 / std::max(Nanoseconds(start), 1.0), 1.0, 1e4));
  const auto sample = [&] {
    const Clock::time_point begin = Clock::now();
    for (std::int64_t i = 0; i < calls; ++i) run();
    return Nanoseconds(begin) / static_cast<double>(calls) / batch;
  };
  std::vector<double> ns;
  for (start = Clock::now(); Nanoseconds(start) < 0.2e9 * seconds;) sample();
  for (start = Clock::now(); ns.size() < 5 || Nanoseconds(start) < 1e9 * seconds;) ns.push_back(sample());
  std::sort(ns.begin(), ns.end());
  return {ns.front(), ns[ns.size() / 2]};
}

double PeakDouble() { return Peak<double>(); }
double PeakFloat() { return Peak<float>(); }

}  // namespace amo::bench
