// SPDX-License-Identifier: Apache-2.0
// Implicit differentiation: one linear system per instance, solved in the backward pass from products with Jᵀ alone.
#include "runtime/implicit.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "compiler/check.h"

namespace amo::runtime {
namespace {

constexpr std::int64_t kSteps = 50;
constexpr double kTolerance = 1e-10;

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Product = std::function<at::Tensor(const at::Tensor&)>;

struct Holder : torch::CustomClassHolder {
  at::Tensor leaf, image;  // y and T(y), recorded by y alone
  ImplicitOptions options;
};

at::Tensor Inner(const at::Tensor& a, const at::Tensor& b) { return a.mul(b).sum(1, true); }

// a / b where b is not zero, else 0: an instance that is done does not move.
at::Tensor Over(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor open = b.abs().gt(1e-300);
  return at::where(open, a / at::where(open, b, at::ones_like(b)), at::zeros_like(a));
}

at::Tensor ConjugateGradients(const Product& a, const at::Tensor& b, std::int64_t steps, double tolerance) {
  at::Tensor x = at::zeros_like(b), r = b, p = b, rr = Inner(r, r);
  const at::Tensor bound = rr * (tolerance * tolerance);
  for (std::int64_t k = 0; k < steps && rr.gt(bound).any().item<bool>(); ++k) {
    const at::Tensor ap = a(p), alpha = Over(rr, Inner(p, ap));
    x = x + alpha * p;
    r = r - alpha * ap;
    const at::Tensor next = Inner(r, r);
    p = r + Over(next, rr) * p;
    rr = next;
  }
  return x;
}

// Generalized conjugate residuals (Eisenstat, Elman, Schultz 1983): the shortest residual over all directions so far,
// which is what Anderson's mixing with full memory does to a linear iteration.
at::Tensor MinimalResiduals(const Product& a, const at::Tensor& b, std::int64_t steps, double tolerance) {
  at::Tensor x = at::zeros_like(b), r = b;
  const at::Tensor bound = Inner(b, b) * (tolerance * tolerance);
  std::vector<at::Tensor> directions, images;
  for (std::int64_t k = 0; k < steps && Inner(r, r).gt(bound).any().item<bool>(); ++k) {
    at::Tensor p = r, ap = a(r);
    for (std::size_t i = 0; i < images.size(); ++i) {
      const at::Tensor beta = Over(Inner(ap, images[i]), Inner(images[i], images[i]));
      p = p - beta * directions[i];
      ap = ap - beta * images[i];
    }
    const at::Tensor alpha = Over(Inner(r, ap), Inner(ap, ap));
    x = x + alpha * p;
    r = r - alpha * ap;
    directions.push_back(p), images.push_back(ap);
  }
  return x;
}

at::Tensor Dense(const Product& a, const at::Tensor& b) {
  const std::int64_t n = b.size(1);
  const at::Tensor unit = at::eye(n, b.options());
  std::vector<at::Tensor> columns;
  for (std::int64_t k = 0; k < n; ++k) columns.push_back(a(unit[k].expand_as(b).contiguous()));
  return at::linalg_solve(at::stack(columns, 2), b.unsqueeze(2)).squeeze(2);
}

struct FixedPoint : torch::autograd::Function<FixedPoint> {
  // `image`: T(y) as what it reads sees it; its value is not used.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& image, const at::Tensor& y,
                            const c10::intrusive_ptr<Holder>& holder) {
    (void)image;
    context->saved_data["holder"] = c10::IValue::make_capsule(holder);
    return y.clone();
  }

  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const auto h = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["holder"].toCapsule());
    const Product system = [&](const at::Tensor& v) {  // (I - Jᵀ) v
      const at::AutoGradMode record(true);
      const at::Tensor product = torch::autograd::grad({h->image}, {h->leaf}, {v}, true, false, true)[0];
      return product.defined() ? v - product.detach() : v;
    };
    const at::NoGradGuard no_grad;
    const at::Tensor g = given[0].contiguous();
    const std::int64_t steps = h->options.steps > 0 ? h->options.steps : kSteps;
    const double tolerance = h->options.tolerance > 0 ? h->options.tolerance : kTolerance;
    at::Tensor u;
    if (h->options.solver == "cg") u = ConjugateGradients(system, g, steps, tolerance);
    else if (h->options.solver == "dense") u = Dense(system, g);
    else u = MinimalResiduals(system, g, steps, tolerance);
    return {u, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor AtFixedPoint(const std::function<at::Tensor(const at::Tensor&)>& map, const at::Tensor& y,
                        const ImplicitOptions& options) {
  const at::Tensor fixed = y.detach();
  const at::Tensor image = map(fixed);
  if (!image.requires_grad()) return fixed;
  const auto holder = c10::make_intrusive<Holder>();
  holder->options = options;
  holder->leaf = fixed.clone().requires_grad_(true);
  holder->image = map(holder->leaf);
  return FixedPoint::apply(image, fixed, holder);
}

}  // namespace amo::runtime
