// SPDX-License-Identifier: Apache-2.0
// Linearized projections, instance by instance, on batched derivatives.
#include "runtime/correct.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "runtime/nlp_functions.h"
#include "runtime/parallel.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {
namespace {

constexpr int kSteps = 20;  // and shortened ones
constexpr double kFeasible = 1e-10;

double Violation(const compiler::Nlp& nlp, const Eigen::RowVectorXd& sides) {
  double worst = 0;
  for (Eigen::Index i = 0; i < sides.size(); ++i) {
    const double amount = nlp.equal[static_cast<std::size_t>(i)] ? std::abs(sides[i]) : sides[i];
    if (!(amount <= worst)) worst = amount;  // NaN stays
  }
  return worst;
}

struct Holder : torch::CustomClassHolder {
  const Problem* problem = nullptr;
  Values values;
  std::vector<std::unique_ptr<QpFactors>> factors;  // of the last step of each instance
  Matrix active;                                    // multipliers of all steps, largest of each
};

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Steps : torch::autograd::Function<Steps> {
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<Holder>& holder,
                            const at::Tensor& from) {
    const Problem& p = *holder->problem;
    const NlpFunctions functions(p);
    const compiler::Nlp& nlp = functions.nlp();
    Matrix y = ToMatrix(from);
    const std::int64_t batch = y.rows();
    holder->factors.resize(static_cast<std::size_t>(batch));
    holder->active = Matrix::Zero(batch, nlp.m);
    std::vector<char> open(static_cast<std::size_t>(batch), 1), shortened(static_cast<std::size_t>(batch), 0);
    std::vector<double> reached(static_cast<std::size_t>(batch), INFINITY);
    Matrix last = y;  // the point that was reached, from which the step at hand was taken
    for (int step = 0; step <= kSteps; ++step) {
      const Matrix sides = functions.AtPoints(holder->values, y).sides;
      bool any = false;
      for (std::int64_t i = 0; i < batch; ++i) {
        char& mine = open[static_cast<std::size_t>(i)];
        const double violation = Violation(nlp, sides.row(i));
        double& best = reached[static_cast<std::size_t>(i)];
        shortened[static_cast<std::size_t>(i)] = 0;
        if (mine && step > 0 && !(violation < best)) {  // too far: half of it, by the same linearization
          const Eigen::RowVectorXd half = (y.row(i) - last.row(i)) / 2;
          mine = step + 1 < kSteps && half.cwiseAbs().maxCoeff() > 1e-12;
          y.row(i) = last.row(i);
          if (mine) y.row(i) += half;
          shortened[static_cast<std::size_t>(i)] = 1;
          any = any || mine;
          continue;
        }
        if (mine) best = violation, last.row(i) = y.row(i);
        // The first step is taken in any case: its factors give the derivative.
        mine = mine && std::isfinite(violation) && (step == 0 || violation > kFeasible);
        any = any || mine;
      }
      if (!any || step == kSteps) break;
      const Matrix jacobians = functions.Jacobians(holder->values, y);
      ParallelFor(0, batch, 4, [&](std::int64_t begin, std::int64_t end) {
        Matrix J;
        for (std::int64_t i = begin; i < end; ++i) {
          if (!open[static_cast<std::size_t>(i)] || shortened[static_cast<std::size_t>(i)]) continue;
          functions.Jacobian(jacobians.row(i).data(), J);
          auto f = std::make_unique<QpFactors>(Matrix::Identity(nlp.n, nlp.n), J, nlp.equal);
          const QpSolutions s = SolveQp(*f, Matrix::Zero(1, nlp.n), sides.row(i), Matrix());
          if (!s.y.allFinite()) {
            open[static_cast<std::size_t>(i)] = 0;
            continue;
          }
          y.row(i) += s.y;
          holder->active.row(i) = holder->active.row(i).cwiseAbs().cwiseMax(s.multipliers.cwiseAbs());
          holder->factors[static_cast<std::size_t>(i)] = std::move(f);
        }
      });
    }
    context->saved_data["holder"] = c10::IValue::make_capsule(holder);
    return ToTensor(y, from.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const auto holder = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["holder"].toCapsule());
    const Matrix dy = ToMatrix(given[0]);
    Matrix out = dy;
    ParallelFor(0, dy.rows(), 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto& f = holder->factors[static_cast<std::size_t>(i)];
        if (f) out.row(i) = -DifferentiateQp(*f, holder->active.row(i), dy.row(i)).q;
      }
    });
    return {at::Tensor(), ToTensor(out, given[0].scalar_type())};
  }
};

}  // namespace

at::Tensor Correct(const Problem& problem, const Values& values, const at::Tensor& y) {
  if (y.size(0) == 0) return y;
  auto holder = c10::make_intrusive<Holder>();
  holder->problem = &problem;
  for (const auto& [name, t] : values) holder->values[name] = t.detach();
  return Steps::apply(holder, y);
}

}  // namespace amo::runtime
