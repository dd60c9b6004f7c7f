// SPDX-License-Identifier: Apache-2.0
// The spectral projected gradient method, SPG2 of Birgin, Martinez and Raydan (SIAM J. Optim. 10(4), 2000): a step
// along d = P(y - lambda g) - y with Barzilai and Borwein's lambda, accepted when f is below the largest of the last
// `memory` objectives. A manifold is not convex and the line leaves it: problems with one go by riemannian_gradient.cc,
// where lambda itself is reduced and every trial is a projection, which is the paper's SPG1.
#include <algorithm>
#include <cmath>
#include <vector>

#include <c10/core/GradMode.h>

#include "runtime/solver_rows.h"

namespace amo::runtime {
namespace {

constexpr double kSufficient = 1e-4, kSmallest = 1e-10, kLargest = 1e10;
constexpr int kTries = 60;

struct Search {
  double lambda = 0;  // 0: min(1, 1 / residual)
  double alpha = 1, slope = 0;
  int tries = 0;
  bool aim = true;         // `target` has to be computed
  bool restarted = false;  // the last search failed and was begun again with a short step
};

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

SolveSummary ProjectedGradient(const Instances& instances, const at::Tensor& start, const SolveOptions& o) {
  if (!instances.problem().program.manifolds.empty()) return RiemannianGradient(instances, start, o);
  const c10::NoGradGuard no_grad;
  SolverRows rows(instances, start, o);
  std::vector<Search> search(Z(rows.batch()));
  Recent recent(rows.batch(), o.memory);
  for (std::int64_t id = 0; id < rows.batch(); ++id) recent.Reset(id, rows.f[Z(id)]);
  const RowBlock target(rows.batch(), rows.n());  // P(y - lambda g), by instance
  const bool iterative = instances.problem().program.conic.has_value();
  const std::int64_t patience = 20 + 5 * std::max<std::int64_t>(o.memory, 1);

  while (rows.Begin()) {
    rows.Measure(patience);
    RowBlock aimed;
    if (rows.Any([&](std::int64_t id) { return search[Z(id)].aim; })) {
      aimed = rows.Projected([&](std::int64_t id, Row to) {
        Search& s = search[Z(id)];
        if (s.lambda == 0) s.lambda = std::min(1.0, 1 / rows.residual[Z(id)]);
        to = rows.y[id] - s.lambda * rows.g[id];
      });
    }
    rows.ForEach([&](std::int64_t k, std::int64_t id) {
      Search& s = search[Z(id)];
      if (s.aim) {
        target[id] = aimed[k];
        s.slope = (target[id] - rows.y[id]).dot(rows.g[id]);
        s.alpha = 1;
        s.aim = false;
      }
      if (s.alpha == 1) rows.trial[k] = target[id];  // exactly in the set
      else rows.trial[k] = rows.y[id] + s.alpha * (target[id] - rows.y[id]);
    });
    rows.Evaluate();
    rows.ForEach([&](std::int64_t k, std::int64_t id) {
      Search& s = search[Z(id)];
      const double f = rows.f[Z(id)], f1 = rows.trial_f[Z(k)], bar = recent.Largest(id);
      const auto moved = rows.trial[k] - rows.y[id];
      // Near the end rounding hides the decrease of f. A step that it may hide is taken too, when the slopes at both of
      // its ends speak for it (Hager and Zhang, SIAM J. Optim. 16(1), 2005, equation 4.1).
      const double relaxed = 10 * rows.epsilon() * std::abs(bar);
      const bool lower = f1 <= bar + kSufficient * s.alpha * s.slope + relaxed;
      const auto falls = [&] {
        return moved.dot(rows.trial_g[k]) <= (2 * kSufficient - 1) * s.alpha * s.slope && f1 <= bar + rows.Noise(id);
      };
      if (rows.finite[Z(k)] && (lower || falls())) {
        const double length = moved.squaredNorm(), curvature = moved.dot(rows.trial_g[k] - rows.g[id]);
        const double spectral = curvature > 0 ? length / curvature : 10 * s.lambda;
        // From a point that is far from all sets an iterative projection comes back with few digits.
        const double far = 1e3 * (1 + rows.y[id].lpNorm<Eigen::Infinity>());
        const double most = iterative ? far / std::max(rows.g[id].lpNorm<Eigen::Infinity>(), 1e-12) : kLargest;
        s = {.lambda = std::clamp(spectral, kSmallest, std::max(most, kSmallest))};
        rows.Accept(k, id);
        recent.Add(id, f1);
        return;
      }
      const double largest = (target[id] - rows.y[id]).lpNorm<Eigen::Infinity>();
      if (++s.tries < kTries && !Vanishes(s.alpha * largest, rows.y[id], rows.epsilon())) {
        s.alpha = Backtracked(s.alpha, f, s.slope, f1, rows.finite[Z(k)]);
      } else if (!s.restarted) {
        s = {.restarted = true};
        recent.Reset(id, f);
      } else {
        rows.Close(id, SolveStatus::kStalled);
      }
    });
  }
  return rows.Summary();
}

}  // namespace amo::runtime
