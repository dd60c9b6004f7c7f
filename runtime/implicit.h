// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_IMPLICIT_H_
#define AMO_RUNTIME_IMPLICIT_H_

#include <cstdint>
#include <functional>
#include <string>

#include <ATen/core/Tensor.h>

// The derivative of a fixed point without the steps that led to it: y = T(y, θ) gives dy = (I - J)⁻¹ ∂T/∂θ dθ with
// J = ∂T/∂y (the implicit function theorem; Bai, Kolter, Koltun 2019; Rajeswaran et al. 2019). Memory does not grow with
// the number of steps.
namespace amo::runtime {

struct ImplicitOptions {
  std::string solver = "anderson";  // of the linear system: "cg" where I - J is symmetric and positive definite,
                                    // "anderson" (minimal residuals), "dense"
  std::int64_t steps = 0;           // of the solver; 0: 50
  double tolerance = 0;             // on the relative residual; 0: 1e-10
};

// `map`: T, [B, n] → [B, n], one instance after the other independent. `y`: where the steps ended, [B, n]. The value of
// the result is y; a gradient that arrives at it goes on into what `map` reads.
at::Tensor AtFixedPoint(const std::function<at::Tensor(const at::Tensor&)>& map, const at::Tensor& y,
                        const ImplicitOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_IMPLICIT_H_
