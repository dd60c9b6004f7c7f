// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_SOLVER_ROWS_H_
#define AMO_RUNTIME_SOLVER_ROWS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>
#include <Eigen/Core>

#include "runtime/parallel.h"
#include "runtime/solver.h"

// What the line-search methods share. An instance's state is a row of plain doubles, under its number in the batch. In
// each round every open instance proposes one trial point and all of them are evaluated in one call, so that nobody
// waits for another's line search. Instances that are done leave the evaluated batch once they are half of it.
namespace amo::runtime {

using Row = Eigen::Map<Eigen::VectorXd>;

// Contiguous doubles in the CPU's memory, one row of n for each k.
class RowBlock {
 public:
  RowBlock() = default;
  RowBlock(std::int64_t count, std::int64_t n);       // zeros
  explicit RowBlock(const at::Tensor& tensor);        // [K, n], shared where it is such a block already

  Row operator[](std::int64_t k) const { return Row(data_ + k * n_, n_); }
  const at::Tensor& tensor() const { return tensor_; }

 private:
  at::Tensor tensor_;
  double* data_ = nullptr;
  std::int64_t n_ = 0;
};

class SolverRows {
 public:
  // Projects the start and evaluates it. Instances that are not finite there are closed.
  SolverRows(const Instances& instances, const at::Tensor& start, const SolveOptions& options);

  std::int64_t n() const { return n_; }
  std::int64_t batch() const { return static_cast<std::int64_t>(f.size()); }
  bool has_sets() const { return has_sets_; }  // some variable has a set, so that projections do something
  bool curved() const { return curved_; }      // some variable's set is a manifold
  double epsilon() const { return epsilon_; }  // of the problem's precision

  // What rounding may change an instance's objective by: its terms are taken to be as large as it has been so far.
  double Noise(std::int64_t id) const { return 10 * epsilon_ * largest_f_[static_cast<std::size_t>(id)]; }

  // By instance: the point, its gradient, objective and residual, and the steps that were taken to it.
  RowBlock y, g;
  std::vector<double> f, residual;
  std::vector<std::int64_t> iterations;
  std::vector<char> fresh;  // `y` was accepted after the last call of Measure

  // By place k in the evaluated batch.
  RowBlock trial, trial_g;
  std::vector<double> trial_f;
  std::vector<char> finite;  // the trial's objective and gradient are

  // Starts a round; false when all instances are closed. The blocks by k have no values afterwards.
  bool Begin();

  // fn(k, id) for each open instance; several at once on several threads.
  template <typename Fn>
  void ForEach(const Fn& fn) const {
    ParallelFor(0, static_cast<std::int64_t>(ids_.size()), grain_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        const std::int64_t id = ids_[static_cast<std::size_t>(k)];
        if (open_[static_cast<std::size_t>(id)]) fn(k, id);
      }
    });
  }

  // Whether fn(id) holds for an open instance.
  template <typename Fn>
  bool Any(const Fn& fn) const {
    for (const std::int64_t id : ids_) if (open_[static_cast<std::size_t>(id)] && fn(id)) return true;
    return false;
  }

  // Residuals of fresh instances; closes those that are solved, have no steps left, or have seen neither a lower
  // objective nor a lower residual than before in `patience` steps.
  void Measure(std::int64_t patience);

  // By k, at the current points: y - P(y - t g) over t, with t = step(id) <= 1; of variables on manifolds the tangent
  // part of g. This is g itself where there are no sets, and inside a face the part of g along the face.
  template <typename Step>
  RowBlock Reduced(const Step& step) const {
    if (!has_sets_) return Current(g);
    RowBlock moved = Projected([&](std::int64_t id, Row to) { to = y[id] - step(id) * g[id]; });
    ForEach([&](std::int64_t k, std::int64_t id) { moved[k] = (y[id] - moved[k]) / step(id); });
    TakeTangents(moved);
    return moved;
  }

  // By k: g, but of variables on manifolds its tangent part.
  RowBlock Tangents() const;

  // g at an instance's point, with the entries of `reduced` for variables on manifolds.
  Eigen::VectorXd Along(std::int64_t id, const Row& reduced) const;

  // By k: P of what fill(id, row) writes.
  template <typename Fill>
  RowBlock Projected(const Fill& fill) const {
    RowBlock to(static_cast<std::int64_t>(ids_.size()), n_);
    ForEach([&](std::int64_t k, std::int64_t id) { fill(id, to[k]); });
    return Project(to);
  }

  // The objective and its gradient at `trial`, after rounding it to the problem's precision.
  void Evaluate();

  // The trial becomes the instance's point: one step more.
  void Accept(std::int64_t k, std::int64_t id);
  void Close(std::int64_t id, SolveStatus status);

  SolveSummary Summary() const;

 private:
  const Instances& working() const { return selected_ ? *selected_ : all_; }
  at::Tensor ToProblem(const RowBlock& block) const;
  RowBlock Project(const RowBlock& block) const;
  RowBlock Current(const RowBlock& by_id) const;  // the rows of the evaluated batch
  void TakeTangents(RowBlock& block) const;

  const Instances& all_;
  std::optional<Instances> selected_;
  SolveOptions options_;
  std::int64_t n_ = 0, grain_ = 1;
  bool has_sets_ = false, curved_ = false;
  double epsilon_ = 0;
  at::TensorOptions type_;          // of the problem's tensors
  std::vector<std::int64_t> ids_;   // [K] the instance of each row of the evaluated batch
  std::vector<char> open_;          // by instance
  std::vector<SolveStatus> status_;
  std::vector<double> largest_f_;   // of absolute values
  std::vector<double> best_f_, best_residual_;
  std::vector<std::int64_t> idle_;  // steps since either was lowered
  std::vector<char> on_manifold_;   // [n]
};

// The largest of the last objectives of each instance, for nonmonotone line searches.
class Recent {
 public:
  Recent(std::int64_t batch, std::int64_t memory);
  void Reset(std::int64_t id, double f);
  void Add(std::int64_t id, double f);
  double Largest(std::int64_t id) const;

 private:
  std::int64_t memory_;
  std::vector<double> values_;  // [B, memory]
  std::vector<std::int64_t> next_;
};

// The minimum of the parabola with f(0), f'(0) and f(alpha), kept within a tenth and half of alpha; half where the
// trial was not finite.
double Backtracked(double alpha, double f0, double slope, double f1, bool finite);

// Whether a step changes no entry of y in this precision.
bool Vanishes(double largest_step, const Row& y, double epsilon);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_SOLVER_ROWS_H_
