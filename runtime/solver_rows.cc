// SPDX-License-Identifier: Apache-2.0
// Rows of a batch: evaluation, projection and residuals of the open ones, closing and compaction.
#include "runtime/solver_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "compiler/ir.h"

namespace amo::runtime {
namespace {

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

double LargestEntry(const Row& r) { return r.size() ? r.lpNorm<Eigen::Infinity>() : 0; }

// A projection that returns each variable as it is: the program has none with a set.
bool IsIdentity(const compiler::Function& f) {
  return std::all_of(f.outputs.begin(), f.outputs.end(), [&](const compiler::Output& o) {
    const int input = f.FindInput(o.name);
    return input >= 0 && f.inputs[Z(input)].value == o.value;
  });
}

at::Tensor ToTensor(const std::vector<double>& v, const at::TensorOptions& type) {
  at::Tensor t = at::empty({static_cast<std::int64_t>(v.size())}, at::kDouble);
  std::copy(v.begin(), v.end(), t.mutable_data_ptr<double>());
  return t.to(type);
}

}  // namespace

RowBlock::RowBlock(std::int64_t count, std::int64_t n) : RowBlock(at::zeros({count, n}, at::kDouble)) {}

RowBlock::RowBlock(const at::Tensor& tensor)
    : tensor_(tensor.to(at::TensorOptions(at::kCPU).dtype(at::kDouble)).contiguous()),
      data_(tensor_.mutable_data_ptr<double>()),
      n_(tensor.size(1)) {}

SolverRows::SolverRows(const Instances& instances, const at::Tensor& start, const SolveOptions& options)
    : all_(instances), options_(options), n_(instances.size()), type_(start.options()) {
  const compiler::Program& p = instances.problem().program;
  const std::int64_t batch = instances.batch();
  grain_ = std::max<std::int64_t>(1, 16384 / (n_ + 1));
  has_sets_ = !p.projected.empty() || (p.project && !IsIdentity(*p.project));
  epsilon_ = start.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                : std::numeric_limits<float>::epsilon();
  for (const compiler::Named& v : p.variables) {
    const bool manifold = std::count(p.manifolds.begin(), p.manifolds.end(), v.name) > 0;
    on_manifold_.insert(on_manifold_.end(), Z(compiler::Count(v.type.shape)), manifold);
    curved_ = curved_ || manifold;
  }
  ids_.resize(Z(batch));
  std::iota(ids_.begin(), ids_.end(), 0);
  open_.assign(Z(batch), 1);
  status_.assign(Z(batch), SolveStatus::kStepLimit);
  fresh.assign(Z(batch), 1);
  iterations.assign(Z(batch), 0);
  idle_.assign(Z(batch), 0);
  f.assign(Z(batch), 0);
  residual.assign(Z(batch), std::numeric_limits<double>::infinity());
  best_f_ = best_residual_ = residual;
  largest_f_ = f;
  if (batch == 0) {
    y = g = RowBlock(0, n_);
    return;
  }
  trial = Project(RowBlock(start));
  Evaluate();
  y = RowBlock(trial.tensor().clone());
  g = RowBlock(trial_g.tensor().clone());
  f = trial_f;
  trial = RowBlock(batch, n_);  // the old one may be the caller's `start`
  for (std::int64_t i = 0; i < batch; ++i) {
    largest_f_[Z(i)] = std::abs(f[Z(i)]);
    if (!finite[Z(i)]) Close(i, SolveStatus::kNotFinite), residual[Z(i)] = std::numeric_limits<double>::quiet_NaN();
  }
}

bool SolverRows::Begin() {
  std::vector<std::int64_t> open;
  for (std::int64_t id : ids_) if (open_[Z(id)]) open.push_back(id);
  if (open.empty()) return false;
  if (2 * open.size() <= ids_.size()) {
    ids_ = std::move(open);
    selected_.emplace(all_.Select(at::tensor(ids_, at::kLong).to(type_.device())));
  }
  const std::int64_t count = static_cast<std::int64_t>(ids_.size());
  if (trial.tensor().size(0) != count) trial = RowBlock(count, n_);
  return true;
}

void SolverRows::Measure(std::int64_t patience) {
  if (!Any([&](std::int64_t id) { return fresh[Z(id)]; })) return;
  const RowBlock reduced = has_sets_ ? Reduced([](std::int64_t) { return 1.0; }) : g;
  ForEach([&](std::int64_t k, std::int64_t id) {
    if (!fresh[Z(id)]) return;
    fresh[Z(id)] = 0;
    residual[Z(id)] = LargestEntry(reduced[has_sets_ ? k : id]);
    if (residual[Z(id)] <= options_.tolerance) return Close(id, SolveStatus::kSolved);
    if (iterations[Z(id)] >= options_.steps) return Close(id, SolveStatus::kStepLimit);
    const bool lower = !std::isfinite(best_f_[Z(id)]) || residual[Z(id)] < 0.99 * best_residual_[Z(id)] ||
                       f[Z(id)] < best_f_[Z(id)] - 10 * epsilon_ * std::abs(best_f_[Z(id)]);
    best_f_[Z(id)] = std::min(best_f_[Z(id)], f[Z(id)]);
    best_residual_[Z(id)] = std::min(best_residual_[Z(id)], residual[Z(id)]);
    idle_[Z(id)] = lower ? 0 : idle_[Z(id)] + 1;
    if (idle_[Z(id)] > patience) Close(id, SolveStatus::kStalled);
  });
}

RowBlock SolverRows::Tangents() const {
  RowBlock rows = Current(g);
  TakeTangents(rows);
  return rows;
}

Eigen::VectorXd SolverRows::Along(std::int64_t id, const Row& reduced) const {
  Eigen::VectorXd along = g[id];
  for (std::int64_t i = 0; i < n_; ++i) if (on_manifold_[Z(i)]) along[i] = reduced[i];
  return along;
}

RowBlock SolverRows::Current(const RowBlock& by_id) const {
  RowBlock rows(static_cast<std::int64_t>(ids_.size()), n_);
  for (std::size_t k = 0; k < ids_.size(); ++k) rows[static_cast<std::int64_t>(k)] = by_id[ids_[k]];
  return rows;
}

void SolverRows::TakeTangents(RowBlock& block) const {
  if (!curved_) return;
  const RowBlock tangents(working().Tangent(ToProblem(Current(y)), ToProblem(Current(g))));
  ForEach([&](std::int64_t k, std::int64_t) {
    for (std::int64_t i = 0; i < n_; ++i) if (on_manifold_[Z(i)]) block[k][i] = tangents[k][i];
  });
}

at::Tensor SolverRows::ToProblem(const RowBlock& block) const { return block.tensor().to(type_); }

RowBlock SolverRows::Project(const RowBlock& block) const {
  const at::Tensor rounded = ToProblem(block);
  return RowBlock(has_sets_ ? working().Project(rounded) : rounded);
}

void SolverRows::Evaluate() {
  const at::Tensor point = ToProblem(trial);
  const Instances::Point at = working()(point);
  trial = RowBlock(point);
  trial_g = RowBlock(at.gradient);
  const RowBlock values(at.value.unsqueeze(1));
  const std::size_t count = ids_.size();
  trial_f.resize(count);
  finite.resize(count);
  for (std::size_t k = 0; k < count; ++k) {
    trial_f[k] = values[static_cast<std::int64_t>(k)][0];
    finite[k] = std::isfinite(trial_f[k]) && trial_g[static_cast<std::int64_t>(k)].allFinite();
  }
}

void SolverRows::Accept(std::int64_t k, std::int64_t id) {
  y[id] = trial[k];
  g[id] = trial_g[k];
  f[Z(id)] = trial_f[Z(k)];
  largest_f_[Z(id)] = std::max(largest_f_[Z(id)], std::abs(f[Z(id)]));
  fresh[Z(id)] = 1;
  ++iterations[Z(id)];
}

void SolverRows::Close(std::int64_t id, SolveStatus status) {
  open_[Z(id)] = 0;
  status_[Z(id)] = status;
}

SolveSummary SolverRows::Summary() const {
  return {ToProblem(y), ToTensor(f, type_), ToTensor(residual, type_), status_, iterations};
}

Recent::Recent(std::int64_t batch, std::int64_t memory)
    : memory_(std::max<std::int64_t>(1, memory)),
      values_(Z(batch * memory_), -std::numeric_limits<double>::infinity()),
      next_(Z(batch), 0) {}

void Recent::Reset(std::int64_t id, double f) {
  std::fill_n(values_.begin() + id * memory_, memory_, -std::numeric_limits<double>::infinity());
  next_[Z(id)] = 0;
  Add(id, f);
}

void Recent::Add(std::int64_t id, double f) { values_[Z(id * memory_ + next_[Z(id)]++ % memory_)] = f; }

double Recent::Largest(std::int64_t id) const {
  const auto first = values_.begin() + id * memory_;
  return *std::max_element(first, first + memory_);
}

double Backtracked(double alpha, double f0, double slope, double f1, bool finite) {
  if (!finite) return alpha / 2;
  const double parabola = -slope * alpha * alpha / (2 * (f1 - f0 - alpha * slope));
  return std::isfinite(parabola) ? std::clamp(parabola, 0.1 * alpha, 0.5 * alpha) : alpha / 2;
}

bool Vanishes(double largest_step, const Row& y, double epsilon) {
  return largest_step <= epsilon / 4 * std::max(LargestEntry(y), std::numeric_limits<double>::min());
}

}  // namespace amo::runtime
