// SPDX-License-Identifier: Apache-2.0
// Adam without a tensor operation: small models would spend their time between those.
#include "runtime/adam_step.h"

#include <cmath>

#include "compiler/check.h"
#include "runtime/parallel.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

// Loops over entries for the vectors that the machine has, chosen when the program is loaded; the build rule gives the
// optimizations without which GCC makes no vectors of them.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define AMO_WIDEST_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define AMO_WIDEST_VECTORS
#endif

template <class T>
struct Moves {
  T scale, beta1, beta2, shrink, rate, root, epsilon;
};

template <class T>
[[gnu::always_inline]] inline void MoveAll(const Moves<T>& s, const T* __restrict g, T* __restrict y, T* __restrict m,
                                           T* __restrict v, std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k) {
    const T d = s.scale * g[k];
    m[k] = s.beta1 * m[k] + (1 - s.beta1) * d;
    v[k] = s.beta2 * v[k] + (1 - s.beta2) * d * d;
    y[k] = s.shrink * y[k] - s.rate * m[k] / (std::sqrt(v[k]) * s.root + s.epsilon);
  }
}

AMO_WIDEST_VECTORS void Move(const Moves<double>& s, const double* g, double* y, double* m, double* v,
                             std::int64_t count) {
  MoveAll(s, g, y, m, v, count);
}

AMO_WIDEST_VECTORS void Move(const Moves<float>& s, const float* g, float* y, float* m, float* v, std::int64_t count) {
  MoveAll(s, g, y, m, v, count);
}

// In as many sums side by side as the widest vectors need.
template <class T>
[[gnu::always_inline]] inline double SquaresOf(const T* __restrict x, std::int64_t count) {
  constexpr int kSums = 32;
  double sums[kSums] = {}, total = 0;
  std::int64_t k = 0;
  for (; k + kSums <= count; k += kSums)
    for (int l = 0; l < kSums; ++l) sums[l] += static_cast<double>(x[k + l]) * static_cast<double>(x[k + l]);
  for (; k < count; ++k) total += static_cast<double>(x[k]) * static_cast<double>(x[k]);
  for (const double s : sums) total += s;
  return total;
}

AMO_WIDEST_VECTORS double Squares(const double* x, std::int64_t count) { return SquaresOf(x, count); }
AMO_WIDEST_VECTORS double Squares(const float* x, std::int64_t count) { return SquaresOf(x, count); }

template <class T>
void Step(const AdamSettings& s, const T* g, T* y, T* m, T* v, std::int64_t count) {
  constexpr double kEpsilon = 1e-8;
  const auto n = static_cast<double>(s.count);
  const double first = 1 - std::pow(s.beta1, n), second = 1 - std::pow(s.beta2, n);
  const Moves<T> moves{static_cast<T>(s.scale),
                       static_cast<T>(s.beta1),
                       static_cast<T>(s.beta2),
                       static_cast<T>(1 - s.rate * s.decay),
                       static_cast<T>(s.rate / first),
                       static_cast<T>(1 / std::sqrt(second)),
                       static_cast<T>(kEpsilon)};
  ParallelFor(0, count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    Move(moves, g + begin, y + begin, m + begin, v + begin, end - begin);
  });
}

}  // namespace

void AdamStep(const AdamSettings& s, const at::Tensor& gradient, at::Tensor& value, at::Tensor& mean,
              at::Tensor& square) {
  const at::Tensor g = gradient.contiguous();
  AMO_CHECK(value.is_contiguous() && mean.is_contiguous() && square.is_contiguous() && g.numel() == value.numel());
  const std::int64_t count = value.numel();
  if (value.scalar_type() == at::kDouble) {
    Step(s, g.const_data_ptr<double>(), value.mutable_data_ptr<double>(), mean.mutable_data_ptr<double>(),
         square.mutable_data_ptr<double>(), count);
  } else {
    Step(s, g.const_data_ptr<float>(), value.mutable_data_ptr<float>(), mean.mutable_data_ptr<float>(),
         square.mutable_data_ptr<float>(), count);
  }
  // What is kept for a value looks at its version.
  for (const at::Tensor* t : {&value, &mean, &square})
    if (!t->is_inference()) t->unsafeGetTensorImpl()->bump_version();
}

double SquaredNorm(const at::Tensor& x) {
  const at::Tensor c = x.contiguous();
  return c.scalar_type() == at::kDouble ? Squares(c.const_data_ptr<double>(), c.numel())
                                        : Squares(c.const_data_ptr<float>(), c.numel());
}

}  // namespace amo::runtime
