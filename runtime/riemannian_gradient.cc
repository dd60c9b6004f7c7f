// SPDX-License-Identifier: Apache-2.0
// Gradient descent on manifolds with Barzilai and Borwein's step length and a nonmonotone search (Wen and Yin, Math.
// Program. 142, 2013, in simple form): y + = P(y - lambda v), v the part of the gradient along the manifold and the
// projection the retraction. Variables whose set is no manifold move by the whole gradient, projected.
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
  int tries = 0;
  bool aim = true;         // `along` has to be computed
  bool stepped = false;    // `moved` is the last step
  bool restarted = false;  // the last search failed and was begun again with a short step
};

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

SolveSummary RiemannianGradient(const Instances& instances, const at::Tensor& start, const SolveOptions& o) {
  const c10::NoGradGuard no_grad;
  SolverRows rows(instances, start, o);
  std::vector<Search> search(Z(rows.batch()));
  Recent recent(rows.batch(), o.memory);
  const std::int64_t patience = 20 + 5 * std::max<std::int64_t>(o.memory, 1);
  for (std::int64_t id = 0; id < rows.batch(); ++id) recent.Reset(id, rows.f[Z(id)]);
  const RowBlock along(rows.batch(), rows.n()), moved(rows.batch(), rows.n());  // v at y; the step to y

  while (rows.Begin()) {
    rows.Measure(patience);
    if (rows.Any([&](std::int64_t id) { return search[Z(id)].aim; })) {
      const RowBlock tangents = rows.Tangents();
      rows.ForEach([&](std::int64_t k, std::int64_t id) {
        Search& s = search[Z(id)];
        if (!s.aim) return;
        if (s.stepped) {
          const double curvature = std::abs(moved[id].dot(tangents[k] - along[id]));
          const double spectral = curvature > 0 ? moved[id].squaredNorm() / curvature : 10 * s.lambda;
          s.lambda = std::clamp(spectral, kSmallest, kLargest);
        }
        if (s.lambda == 0) s.lambda = std::min(1.0, 1 / rows.residual[Z(id)]);
        along[id] = tangents[k];
        s.aim = s.stepped = false;
        s.tries = 0;
      });
    }
    rows.trial = rows.Projected([&](std::int64_t id, Row to) { to = rows.y[id] - search[Z(id)].lambda * along[id]; });
    rows.Evaluate();
    rows.ForEach([&](std::int64_t k, std::int64_t id) {
      Search& s = search[Z(id)];
      const auto step = rows.trial[k] - rows.y[id];
      const double f = rows.f[Z(id)], f1 = rows.trial_f[Z(k)], bar = recent.Largest(id), slope = step.dot(along[id]);
      if (rows.finite[Z(k)] && f1 <= bar + kSufficient * slope + rows.Noise(id)) {
        moved[id] = step;
        s.aim = s.stepped = true;
        s.restarted = false;
        rows.Accept(k, id);
        recent.Add(id, f1);
        return;
      }
      if (++s.tries < kTries && !Vanishes(step.lpNorm<Eigen::Infinity>(), rows.y[id], rows.epsilon())) {
        s.lambda *= Backtracked(1, f, slope, f1, rows.finite[Z(k)]);
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
