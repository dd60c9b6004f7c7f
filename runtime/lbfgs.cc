// SPDX-License-Identifier: Apache-2.0
// L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5), every instance with its own pairs
// and search.
//
// Without sets: a weak Wolfe search by bracketing with cubic interpolation, so that every pair has
// positive curvature. Where rounding hides the decrease of f, the approximate Wolfe test of Hager and
// Zhang (SIAM J. Optim. 16(1), 2005), which judges by slopes, takes over.
//
// With sets: in place of the gradient stands r = (y - P(y - t g)) / t, t the scale of the last pair and
// at most 1. Inside a face of a polyhedron r is the gradient along the face and pairs are differences
// along it, so that once the face is found this is L-BFGS on the face; on a manifold r is the part of the
// gradient along it. Trials are P(y + alpha d) with Armijo's test along the chord. Where -H r does not
// descend, or no trial along it is taken, the pairs are dropped and the direction is that of the projected
// gradient, whose chord always descends. Pairs without positive curvature are skipped.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <c10/core/GradMode.h>

#include "runtime/solver_rows.h"

namespace amo::runtime {
namespace {

constexpr double kSufficient = 1e-4, kCurvature = 0.9, kLeastCurvature = 1e-10;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kTries = 40, kExpansions = 12;
constexpr std::int64_t kPatience = 20;

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

// A point of a line search.
struct Probe {
  double alpha = 0, f = 0, slope = 0;
};

struct Search {
  double alpha = 0;
  Probe lo, hi;             // lo: decreases enough and still falls; hi: beyond a minimum, alpha is inf at first
  int tries = 0, expansions = 0;
  bool settle = false;      // take the next finite trial: `lo`, when the bracket cannot be narrowed
  bool aim = true;          // a direction has to be computed
  bool paired = false;      // the last step is a pair to be
  std::int64_t pairs = 0, next = 0;
  double scale = 0;         // of H before the pairs, s'y / y'y; 0: not known yet
};

// The minimum of the cubic through two points with slopes, not too near either; the middle where there is none.
double Between(const Probe& a, const Probe& b) {
  const double width = b.alpha - a.alpha, middle = a.alpha + width / 2;
  const double d1 = a.slope + b.slope - 3 * (b.f - a.f) / width, under = d1 * d1 - a.slope * b.slope;
  if (!(under >= 0)) return middle;
  const double d2 = std::sqrt(under), at = b.alpha - width * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
  return std::isfinite(at) ? std::clamp(at, a.alpha + 0.1 * width, b.alpha - 0.1 * width) : middle;
}

// Where the slopes of two points lead to zero, at least twice and at most ten times as far.
double Beyond(const Probe& a, const Probe& b) {
  const double at = b.alpha + (b.alpha - a.alpha) * b.slope / (a.slope - b.slope);
  return at > b.alpha ? std::clamp(at, 2 * b.alpha, 10 * b.alpha) : 4 * b.alpha;
}

class LbfgsRun {
 public:
  LbfgsRun(const Instances& instances, const at::Tensor& start, const SolveOptions& o)
      : rows_(instances, start, o),
        memory_(std::max<std::int64_t>(1, o.memory)),
        search_(Z(rows_.batch())),
        direction_(rows_.batch(), rows_.n()),
        reduced_(rows_.batch(), rows_.n()),
        along_(rows_.curved() ? rows_.batch() : 0, rows_.n()),
        steps_(rows_.batch() * memory_, rows_.n()),
        changes_(rows_.batch() * memory_, rows_.n()),
        inverse_(Z(rows_.batch() * memory_)),
        weight_(Z(rows_.batch() * memory_)) {}

  SolveSummary Run() {
    while (rows_.Begin()) {
      rows_.Measure(kPatience);
      Aim();
      if (rows_.has_sets()) {
        rows_.trial = rows_.Projected([&](std::int64_t id, Row to) { Step(id, to); });
      } else {
        rows_.ForEach([&](std::int64_t k, std::int64_t id) { Step(id, rows_.trial[k]); });
      }
      rows_.Evaluate();
      rows_.ForEach([&](std::int64_t k, std::int64_t id) {
        if (rows_.has_sets()) JudgeChord(k, id);
        else JudgeLine(k, id);
      });
    }
    return rows_.Summary();
  }

 private:
  void Step(std::int64_t id, Row to) const { to = rows_.y[id] + search_[Z(id)].alpha * direction_[id]; }

  // Directions of the instances that took a step.
  void Aim() {
    if (!rows_.Any([&](std::int64_t id) { return search_[Z(id)].aim; })) return;
    const auto t = [&](std::int64_t id) {
      const double scale = search_[Z(id)].scale;
      return scale > 0 ? std::min(1.0, scale) : 1.0;
    };
    const RowBlock reduced = rows_.has_sets() ? rows_.Reduced(t) : RowBlock();
    rows_.ForEach([&](std::int64_t k, std::int64_t id) {
      Search& s = search_[Z(id)];
      if (!s.aim) return;
      s.aim = false;
      const Row r = rows_.has_sets() ? reduced[k] : rows_.g[id];
      if (s.paired) AddPair(id, r);
      reduced_[id] = r;
      if (rows_.curved()) along_[id] = rows_.Along(id, r);
      const double slope = s.pairs > 0 ? QuasiNewton(id) : 0;
      if (slope < 0) Begin(s, 1, rows_.f[Z(id)], slope);
      else Steepest(id);
    });
  }

  Row Along(std::int64_t id) const { return rows_.curved() ? along_[id] : rows_.g[id]; }

  static void Begin(Search& s, double alpha, double f, double slope) {
    s.alpha = alpha;
    s.lo = {0, f, slope};
    s.hi = {kInfinity, 0, 0};
    s.tries = s.expansions = 0;
    s.settle = s.paired = false;
  }

  // The pair is s = y1 - y, which already stands in its place, and the change of r.
  void AddPair(std::int64_t id, const Row& r) {
    Search& s = search_[Z(id)];
    const std::int64_t at = id * memory_ + s.next;
    changes_[at] = r - reduced_[id];
    const double product = steps_[at].dot(changes_[at]), square = changes_[at].squaredNorm();
    if (!(product > kLeastCurvature * std::sqrt(steps_[at].squaredNorm() * square))) {
      s.pairs = std::min(s.pairs, memory_ - 1);  // its place was the oldest pair's
      return;
    }
    inverse_[Z(at)] = 1 / product;
    s.scale = product / square;
    s.next = (s.next + 1) % memory_;
    s.pairs = std::min(s.pairs + 1, memory_);
  }

  // direction = -H r by the two-loop recursion; its slope.
  double QuasiNewton(std::int64_t id) {
    const Search& s = search_[Z(id)];
    const auto place = [&](std::int64_t back) { return id * memory_ + (s.next - back + memory_) % memory_; };
    Row d = direction_[id];
    d = -reduced_[id];
    for (std::int64_t back = 1; back <= s.pairs; ++back) {
      const std::int64_t at = place(back);
      weight_[Z(at)] = inverse_[Z(at)] * steps_[at].dot(d);
      d -= weight_[Z(at)] * changes_[at];
    }
    d *= s.scale;
    for (std::int64_t back = s.pairs; back >= 1; --back) {
      const std::int64_t at = place(back);
      d += (weight_[Z(at)] - inverse_[Z(at)] * changes_[at].dot(d)) * steps_[at];
    }
    return d.dot(Along(id));
  }

  // Without pairs: along -g, at first by a length of at most 1.
  void Steepest(std::int64_t id) {
    Search& s = search_[Z(id)];
    s.pairs = 0;
    direction_[id] = -Along(id);
    const double square = direction_[id].squaredNorm(), first = std::min(1.0, 1 / std::sqrt(square));
    Begin(s, s.scale > 0 ? s.scale : first, rows_.f[Z(id)], -square);
  }

  void Accept(std::int64_t k, std::int64_t id) {
    Search& s = search_[Z(id)];
    steps_[id * memory_ + s.next] = rows_.trial[k] - rows_.y[id];
    s.paired = s.aim = true;
    rows_.Accept(k, id);
  }

  // No step along the direction is taken: once more along the projected gradient, else there is none.
  void Fail(std::int64_t id) {
    if (search_[Z(id)].pairs > 0) Steepest(id);
    else rows_.Close(id, SolveStatus::kStalled);
  }

  // Whether f1 is f up to rounding and the slopes speak for the step (Hager and Zhang, equation 4.1).
  bool Approximately(std::int64_t id, double f1, double slope, double slope1) const {
    return f1 <= rows_.f[Z(id)] + rows_.Noise(id) && slope1 <= (2 * kSufficient - 1) * slope;
  }

  // P(y + alpha d): Armijo along the chord, else a shorter alpha.
  void JudgeChord(std::int64_t k, std::int64_t id) {
    Search& s = search_[Z(id)];
    const bool finite = rows_.finite[Z(k)];
    const double f = rows_.f[Z(id)], f1 = rows_.trial_f[Z(k)];
    const Row g = Along(id);
    const auto chord = rows_.trial[k] - rows_.y[id];
    double slope = chord.dot(g), slope1 = chord.dot(rows_.trial_g[k]);
    // Across a face g may be large, and its product with a chord in the face is then the rounding of y only; r has no
    // such part. On a manifold the chord leaves the surface, and its slope at the far end says nothing.
    const bool rounding = std::abs(slope) <= 8 * rows_.epsilon() * rows_.y[id].cwiseAbs().dot(g.cwiseAbs());
    if (rounding) slope = chord.dot(reduced_[id]);
    if (rounding || rows_.curved()) slope1 = 0;
    const double length = chord.lpNorm<Eigen::Infinity>();
    if (!(slope < 0) || ++s.tries > kTries || Vanishes(length, rows_.y[id], rows_.epsilon())) return Fail(id);
    const bool lower = finite && f1 <= f + kSufficient * slope;
    if (lower || (finite && Approximately(id, f1, slope, slope1))) return Accept(k, id);
    s.alpha *= Backtracked(1, f, slope, f1, finite);
  }

  // y + alpha d: Wolfe's conditions, else a narrower bracket.
  void JudgeLine(std::int64_t k, std::int64_t id) {
    Search& s = search_[Z(id)];
    const double f = rows_.f[Z(id)], slope = direction_[id].dot(rows_.g[id]);
    if (!rows_.finite[Z(k)]) {
      if (s.settle) return Fail(id);
      s.hi = {s.alpha, kInfinity, kInfinity};
      s.alpha = s.lo.alpha + (s.alpha - s.lo.alpha) / 2;
    } else {
      const Probe at{s.alpha, rows_.trial_f[Z(k)], direction_[id].dot(rows_.trial_g[k])};
      const bool close = Approximately(id, at.f, slope, at.slope);
      const bool lower = at.f <= f + kSufficient * at.alpha * slope || close;
      if (s.settle || (lower && at.slope >= kCurvature * slope)) return Accept(k, id);
      if (lower && s.expansions == kExpansions) return Accept(k, id);
      const Probe before = s.lo;
      (lower ? s.lo : s.hi) = at;
      if (std::isfinite(s.hi.alpha)) {
        s.alpha = std::isfinite(s.hi.f) ? Between(s.lo, s.hi) : s.lo.alpha + (s.hi.alpha - s.lo.alpha) / 2;
      } else {
        ++s.expansions;
        s.alpha = Beyond(before, at);
      }
    }
    const double width = std::isfinite(s.hi.alpha) ? s.hi.alpha - s.lo.alpha : kInfinity;
    const double largest = direction_[id].lpNorm<Eigen::Infinity>();
    if (++s.tries < kTries && !Vanishes(width * largest, rows_.y[id], rows_.epsilon())) return;
    if (s.lo.alpha == 0) return Fail(id);
    s.alpha = s.lo.alpha;
    s.settle = true;
  }

  SolverRows rows_;
  std::int64_t memory_;
  std::vector<Search> search_;
  RowBlock direction_, reduced_;          // [B, n]: d, and r at y
  RowBlock along_;                        // [B, n], where there are manifolds: g, on them its part along them
  RowBlock steps_, changes_;              // [B * memory, n]: the pairs
  std::vector<double> inverse_, weight_;  // [B * memory]: 1 / s'y, and the first loop's coefficients
};

}  // namespace

SolveSummary Lbfgs(const Instances& instances, const at::Tensor& start, const SolveOptions& o) {
  const c10::NoGradGuard no_grad;
  return LbfgsRun(instances, start, o).Run();
}

}  // namespace amo::runtime
