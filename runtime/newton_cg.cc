// SPDX-License-Identifier: Apache-2.0
// Newton's method without a matrix: steps by conjugate gradients on products with the Hessian, as exact as the gradient
// is small (Steihaug 1983; Nocedal, Wright 2006, algorithm 7.1), and a line search of halvings. For problems without
// constraints that are too large for a dense Hessian. All instances step side by side, each until it has converged.
#include <algorithm>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include "compiler/derive.h"
#include "compiler/simplify.h"
#include "runtime/solver.h"

namespace amo::runtime {
namespace {

constexpr int kMostProducts = 500, kHalvings = 40;
constexpr double kArmijo = 1e-4;

at::Tensor Along(const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(1, true); }

class Hessian {
 public:
  explicit Hessian(const Instances& instances) : instances_(instances) {
    const compiler::Function& f = *instances.problem().program.objective;
    std::vector<int> wrt;
    for (const compiler::Named& v : instances.problem().program.variables)
      if (const int k = f.FindInput(v.name); k >= 0) wrt.push_back(k);
    product_ = compiler::Simplify(compiler::HessianVector(f, wrt));
    product_.name = "newton_cg product";
  }

  at::Tensor operator()(const at::Tensor& y, const at::Tensor& v) const {
    Values all = instances_.values(), out;
    for (const auto& [name, t] : instances_.Split(y)) all[name] = t;
    for (const auto& [name, t] : instances_.Split(v)) all["tangent/" + name] = t;
    const Values products = Evaluate(instances_.problem(), product_, all);
    for (const compiler::Named& n : instances_.problem().program.variables) {
      const auto it = products.find("h/" + n.name);
      const at::Tensor& like = all.at(n.name);
      out[n.name] = it == products.end() ? at::zeros_like(like) : AlongBatch(it->second, n.type.shape, y.size(0));
    }
    return instances_.Join(out);
  }

 private:
  const Instances& instances_;
  compiler::Function product_;
};

// Directions of descent, [B, n]: towards the solution of H d = -g, or as far as the curvature is positive.
at::Tensor Directions(const Hessian& hessian, const at::Tensor& y, const at::Tensor& g) {
  at::Tensor d = at::zeros_like(g), r = -g, p = r, rr = Along(r, r);
  const at::Tensor size = rr.sqrt(), wanted = at::where(size < 0.25, size, at::full_like(size, 0.25)).sqrt() * size;
  at::Tensor open = size.gt(0);
  const std::int64_t most = std::min<std::int64_t>(g.size(1), kMostProducts);
  for (std::int64_t k = 0; k < most && open.any().item<bool>(); ++k) {
    const at::Tensor hp = hessian(y, p), curvature = Along(p, hp);
    const at::Tensor curved = curvature.gt(1e-14 * Along(p, p));
    if (k == 0) d = at::where(curved, d, -g);  // the steepest descent
    open = open.logical_and(curved);
    const at::Tensor step = at::where(open, rr / curvature, at::zeros_like(rr));
    d = d + step * p, r = r - step * hp;
    const at::Tensor next = Along(r, r);
    open = open.logical_and(next.sqrt().gt(wanted));
    p = at::where(open, r + next / rr * p, p), rr = at::where(open, next, rr);
  }
  return d;
}

}  // namespace

SolveSummary NewtonCg(const Instances& instances, const at::Tensor& start, const SolveOptions& o) {
  const c10::NoGradGuard no_grad;
  const Hessian hessian(instances);
  const auto batch = static_cast<std::size_t>(instances.batch());
  SolveSummary s;
  s.y = start.contiguous();
  s.status.assign(batch, SolveStatus::kStepLimit), s.iterations.assign(batch, 0);
  Instances::Point at = instances(s.y);
  at::Tensor open = at::isfinite(at.value).unsqueeze(1);
  const auto close = [&](const at::Tensor& which, SolveStatus status) {
    const at::Tensor mine = which.logical_and(open).contiguous();
    for (std::size_t i = 0; i < batch; ++i) if (mine.const_data_ptr<bool>()[i]) s.status[i] = status;
    open = open.logical_and(which.logical_not());
  };
  for (std::size_t i = 0; i < batch; ++i)
    if (!open[static_cast<std::int64_t>(i)].item<bool>()) s.status[i] = SolveStatus::kNotFinite;
  for (std::int64_t k = 0; k < o.steps; ++k) {
    close(at.gradient.abs().amax(1, true).le(o.tolerance), SolveStatus::kSolved);
    if (!open.any().item<bool>()) break;
    const at::Tensor d = at::where(open, Directions(hessian, s.y, at.gradient), at::zeros_like(s.y));
    const at::Tensor slope = Along(d, at.gradient), value = at.value.unsqueeze(1);
    const at::Tensor rounding = 1e-14 * (1 + value.abs());
    at::Tensor step = at::ones_like(slope), searching = open, y = s.y;
    for (int h = 0; h < kHalvings && searching.any().item<bool>(); ++h) {
      const at::Tensor trial = s.y + step * d, reached = instances.Value(trial).unsqueeze(1);
      const at::Tensor good = reached.le(value + kArmijo * step * slope + rounding).logical_and(searching);
      y = at::where(good, trial, y);
      searching = searching.logical_and(good.logical_not());
      step = at::where(searching, step / 2, step);
    }
    const at::Tensor moving = open.contiguous();
    for (std::size_t i = 0; i < batch; ++i) s.iterations[i] += moving.const_data_ptr<bool>()[i];
    close(searching, SolveStatus::kStalled);
    s.y = y.contiguous();
    at = instances(s.y);
  }
  close(at.gradient.abs().amax(1, true).le(o.tolerance), SolveStatus::kSolved);
  s.objective = at.value, s.residual = at.gradient.abs().amax(1);
  return s;
}

SolveSummary Newton(const Instances& instances, const at::Tensor& start, const SolveOptions& options) {
  constexpr std::int64_t kMostDense = 200;
  const compiler::Program& p = instances.problem().program;
  const bool free = p.cones.empty() && p.projected.empty() && !p.conic && instances.problem().kernel;
  return free && instances.size() > kMostDense ? NewtonCg(instances, start, options)
                                               : InteriorPoint(instances, start, options);
}

}  // namespace amo::runtime
