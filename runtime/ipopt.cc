// SPDX-License-Identifier: Apache-2.0
// Ipopt (Wächter, Biegler 2006) as a reference: one instance after the other, on the same derivatives as our own
// methods.
#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#if __has_include(<coin-or/IpTNLP.hpp>)
#include <coin-or/IpIpoptApplication.hpp>
#include <coin-or/IpSolveStatistics.hpp>
#include <coin-or/IpTNLP.hpp>
#else  // Debian 12
#include <coin/IpIpoptApplication.hpp>
#include <coin/IpSolveStatistics.hpp>
#include <coin/IpTNLP.hpp>
#endif

#include "runtime/nlp_functions.h"
#include "runtime/solver.h"

namespace amo::runtime {
namespace {

using Ipopt::Index;
using Ipopt::Number;

class OneInstance : public Ipopt::TNLP {
 public:
  OneInstance(const NlpFunctions& functions, Values values, Vector start)
      : functions_(functions), nlp_(functions.nlp()), values_(std::move(values)), y(std::move(start)) {
    for (std::int64_t i = 0; i < nlp_.n; ++i) {
      for (const std::int32_t j : nlp_.hessian_pattern.entries[static_cast<std::size_t>(i)]) entries_ += j <= i;
    }
  }

  bool get_nlp_info(Index& n, Index& m, Index& jacobian, Index& hessian, IndexStyleEnum& style) override {
    n = static_cast<Index>(nlp_.n), m = static_cast<Index>(nlp_.m);
    jacobian = static_cast<Index>(nlp_.m > 0 ? nlp_.jacobian_pattern.Count() : 0);
    hessian = static_cast<Index>(entries_), style = C_STYLE;
    return true;
  }
  bool get_bounds_info(Index n, Number* lower, Number* upper, Index m, Number* row_lower, Number* row_upper) override {
    std::fill(lower, lower + n, -1e19), std::fill(upper, upper + n, 1e19);
    for (Index i = 0; i < m; ++i)
      row_lower[i] = nlp_.equal[static_cast<std::size_t>(i)] ? 0 : -1e19, row_upper[i] = 0;
    return true;
  }
  bool get_starting_point(Index n, bool, Number* x, bool, Number*, Number*, Index, bool, Number*) override {
    std::copy(y.data(), y.data() + n, x);
    return true;
  }
  bool eval_f(Index, const Number* x, bool fresh, Number& value) override {
    value = At(x, fresh).objective[0];
    return std::isfinite(value);
  }
  bool eval_grad_f(Index n, const Number* x, bool fresh, Number* gradient) override {
    const NlpFunctions::First& at = At(x, fresh);
    std::copy(at.gradient.data(), at.gradient.data() + n, gradient);
    return true;
  }
  bool eval_g(Index, const Number* x, bool fresh, Index m, Number* sides) override {
    const NlpFunctions::First& at = At(x, fresh);
    std::copy(at.sides.data(), at.sides.data() + m, sides);
    return true;
  }
  bool eval_jac_g(Index n, const Number* x, bool, Index m, Index, Index* rows, Index* columns,
                  Number* entries) override {
    if (entries) functions_.Jacobian(functions_.Jacobians(values_, Row(x, n)).data(), dense_);
    Index k = 0;
    for (Index i = 0; i < m; ++i) {
      for (const std::int32_t j : nlp_.jacobian_pattern.entries[static_cast<std::size_t>(i)]) {
        if (entries) entries[k] = dense_(i, j);
        else rows[k] = i, columns[k] = j;
        ++k;
      }
    }
    return true;
  }
  bool eval_h(Index n, const Number* x, bool, Number factor, Index m, const Number* dual, bool, Index, Index* rows,
              Index* columns, Number* entries) override {
    if (entries) {  // objective + dual'sides, times the factor
      const Matrix scaled = factor != 0 ? Matrix(Row(dual, m) / factor) : Row(dual, m);
      functions_.Hessian(functions_.Hessians(values_, Row(x, n), scaled).data(), dense_);
      if (factor != 0) dense_ *= factor;
    }
    Index k = 0;
    for (Index i = 0; i < n; ++i) {
      for (const std::int32_t j : nlp_.hessian_pattern.entries[static_cast<std::size_t>(i)]) {
        if (j > i) continue;
        if (entries) entries[k] = dense_(i, j);
        else rows[k] = i, columns[k] = j;
        ++k;
      }
    }
    return true;
  }
  void finalize_solution(Ipopt::SolverReturn, Index n, const Number* x, const Number*, const Number*, Index m,
                         const Number*, const Number* multipliers, Number, const Ipopt::IpoptData*,
                         Ipopt::IpoptCalculatedQuantities*) override {
    y = Eigen::Map<const Vector>(x, n);
    dual = Eigen::Map<const Vector>(multipliers, m);
  }

 private:
  static Matrix Row(const Number* from, Index n) { return Eigen::Map<const Matrix>(from, 1, n); }
  const NlpFunctions::First& At(const Number* x, bool fresh) {
    const auto n = static_cast<Index>(nlp_.n);
    if (fresh || at_.objective.size() == 0 || !std::equal(x, x + n, seen_.data())) {
      seen_ = Eigen::Map<const Vector>(x, n);
      at_ = functions_.AtPoints(values_, Row(x, n));
    }
    return at_;
  }

  const NlpFunctions& functions_;
  const compiler::Nlp& nlp_;
  Values values_;
  std::int64_t entries_ = 0;
  NlpFunctions::First at_;
  Vector seen_;
  Matrix dense_;

 public:
  Vector y, dual;
};

// Ipopt 3.14 also tells the violation of bounds.
template <class Statistics>
void Errors(Statistics& s, Number& dual, Number& constraint, Number& gap, Number& error) {
  if constexpr (requires(Number& bounds) { s.Infeasibilities(dual, constraint, bounds, gap, error); }) {
    Number bounds = 0;
    s.Infeasibilities(dual, constraint, bounds, gap, error);
  } else {
    s.Infeasibilities(dual, constraint, gap, error);
  }
}

SolveStatus StatusOf(Ipopt::ApplicationReturnStatus status) {
  switch (status) {
    case Ipopt::Solve_Succeeded: return SolveStatus::kSolved;
    case Ipopt::Maximum_Iterations_Exceeded: return SolveStatus::kStepLimit;
    case Ipopt::Infeasible_Problem_Detected: return SolveStatus::kInfeasible;
    case Ipopt::Diverging_Iterates: return SolveStatus::kUnbounded;
    case Ipopt::Invalid_Number_Detected: return SolveStatus::kNotFinite;
    default: return SolveStatus::kStalled;
  }
}

}  // namespace

SolveSummary IpoptReference(const Instances& instances, const at::Tensor& start, const SolveOptions& o) {
  const c10::NoGradGuard no_grad;
  const NlpFunctions functions(instances.problem());
  const std::int64_t n = functions.nlp().n, m = functions.nlp().m, batch = instances.batch();
  const at::Tensor begin = instances.Project(start).to(at::kDouble).contiguous();
  SolveSummary s;
  s.y = at::empty({batch, n}, at::TensorOptions(at::kDouble));
  s.multipliers = at::empty({batch, m}, at::TensorOptions(at::kDouble));
  s.residual = at::empty({batch}, at::TensorOptions(at::kDouble));
  Ipopt::SmartPtr<Ipopt::IpoptApplication> application = new Ipopt::IpoptApplication(false);
  application->Options()->SetIntegerValue("print_level", 0);
  application->Options()->SetStringValue("sb", "yes");
  application->Options()->SetNumericValue("tol", o.tolerance);
  application->Options()->SetIntegerValue("max_iter", static_cast<Index>(o.steps));
  application->Initialize();
  for (std::int64_t i = 0; i < batch; ++i) {
    const Instances one = instances.Select(at::arange(i, i + 1, at::TensorOptions(at::kLong)));
    const Vector from = Eigen::Map<const Vector>(begin.const_data_ptr<double>() + i * n, n);
    const Ipopt::SmartPtr<OneInstance> problem = new OneInstance(functions, one.values(), from);
    const Ipopt::ApplicationReturnStatus status = application->OptimizeTNLP(GetRawPtr(problem));
    Number dual = 0, gap = 0, error = INFINITY, constraint = 0;
    const Ipopt::SmartPtr<Ipopt::SolveStatistics> statistics = application->Statistics();
    if (IsValid(statistics)) Errors(*statistics, dual, constraint, gap, error);
    const bool there = problem->dual.size() == m;
    Eigen::Map<Vector>(s.y.mutable_data_ptr<double>() + i * n, n) = problem->y;
    Eigen::Map<Vector>(s.multipliers.mutable_data_ptr<double>() + i * m, m) = there ? problem->dual : Vector::Zero(m);
    s.residual.mutable_data_ptr<double>()[i] = error;
    s.status.push_back(StatusOf(status));
    s.iterations.push_back(IsValid(statistics) ? statistics->IterationCount() : 0);
  }
  const at::ScalarType dtype = instances.problem().dtype;
  s.y = s.y.to(dtype), s.multipliers = s.multipliers.to(dtype), s.residual = s.residual.to(dtype);
  s.objective = instances.Value(s.y);
  return s;
}

}  // namespace amo::runtime
