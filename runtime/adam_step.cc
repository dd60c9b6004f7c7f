// SPDX-License-Identifier: Apache-2.0
// Adam without a tensor operation: small models would spend their time between those.
#include "runtime/adam_step.h"

#include <cmath>

#include "compiler/check.h"
#include "runtime/parallel.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

template <class T>
void Step(const AdamSettings& s, const T* g, T* y, T* m, T* v, std::int64_t count) {
  constexpr double kEpsilon = 1e-8;
  const auto n = static_cast<double>(s.count);
  const double first = 1 - std::pow(s.beta1, n), second = 1 - std::pow(s.beta2, n);
  const T scale = static_cast<T>(s.scale), beta1 = static_cast<T>(s.beta1), beta2 = static_cast<T>(s.beta2);
  const T shrink = static_cast<T>(1 - s.rate * s.decay), rate = static_cast<T>(s.rate / first);
  const T root = static_cast<T>(1 / std::sqrt(second)), epsilon = static_cast<T>(kEpsilon);
  ParallelFor(0, count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      const T d = scale * g[k];
      m[k] = beta1 * m[k] + (1 - beta1) * d;
      v[k] = beta2 * v[k] + (1 - beta2) * d * d;
      y[k] = shrink * y[k] - rate * m[k] / (std::sqrt(v[k]) * root + epsilon);
    }
  });
}

template <class T>
double Squares(const T* x, std::int64_t count) {
  double sum = 0;
  for (std::int64_t k = 0; k < count; ++k) sum += static_cast<double>(x[k]) * static_cast<double>(x[k]);
  return sum;
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
