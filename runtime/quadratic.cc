// SPDX-License-Identifier: Apache-2.0
// Matrices and vectors of rows and objectives, by derivatives of their functions at zero.
#include "runtime/quadratic.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fmt/format.h>

#include "compiler/check.h"
#include "compiler/classify.h"
#include "compiler/derive.h"
#include "compiler/lift.h"
#include "compiler/simplify.h"
#include "runtime/linear_map.h"
#include "runtime/parallel.h"
#include "runtime/tensor_matrix.h"

namespace amo::runtime {

using compiler::Function;

struct QuadraticState {
  std::optional<Function> gradient, hessian;    // of a quadratic objective; its outputs "d/..", "h/.."
  std::optional<Function> rows;                 // the tangents of the sides
  std::mutex mutex;
  FactorList solve, project;                    // where they are fixed
  std::once_flag lifting;
  std::unique_ptr<Problem> lifted;
};

namespace {

std::vector<int> Variables(const compiler::Program& p, const Function& f) {
  std::vector<int> wrt;
  for (const compiler::Named& v : p.variables) if (const int k = f.FindInput(v.name); k >= 0) wrt.push_back(k);
  return wrt;
}

// Only the outputs with this prefix; for variables without one, zeros, so that all of them are there in order.
Function Only(const compiler::Program& p, Function f, const std::string& prefix) {
  compiler::Builder b(f.name);
  std::vector<compiler::Value> inputs;
  for (const compiler::Input& in : f.inputs) inputs.push_back(b.Input(in.name, in.role, in.type));
  const std::vector<compiler::Value> values = compiler::Inline(b, f, inputs);
  for (const compiler::Named& v : p.variables) {
    const int k = f.FindOutput(prefix + v.name);
    b.Output(prefix + v.name,
             k < 0 ? b.Filled(0, v.type.shape)
                   : values[static_cast<std::size_t>(f.outputs[static_cast<std::size_t>(k)].value.index)]);
  }
  return compiler::Simplify(b.Finish());
}

Values AtZero(const Problem& p, const Values& values, std::int64_t batch) {
  Values all = values;
  for (const compiler::Named& v : p.program.variables) {
    std::vector<std::int64_t> sizes{batch};
    sizes.insert(sizes.end(), v.type.shape.begin(), v.type.shape.end());
    all[v.name] = at::zeros(sizes, at::TensorOptions(p.dtype));
  }
  return all;
}

at::Tensor Offsets(const Problem& p, const Values& values, std::int64_t batch) {
  if (!p.program.affine) return at::zeros({batch, 0}, at::TensorOptions(p.dtype));
  const Values sides = Evaluate(p, *p.program.affine, AtZero(p, values, batch));
  std::vector<at::Tensor> parts;
  for (const compiler::ConeRows& rows : p.program.cones)
    if (rows.affine) parts.push_back(AlongBatch(sides.at(rows.output), {rows.count}, batch));
  return at::cat(parts, 1);
}

FactorList MakeFactors(const Problem& p, const Values& values, std::int64_t batch, bool objective) {
  const QuadraticState& s = *p.quadratic;
  const std::int64_t n = p.VariableSize();
  std::vector<Matrix> P{Matrix::Identity(n, n)}, A{Matrix::Zero(0, n)};
  if (objective) P = MatricesOf(p, *s.hessian, values, batch);
  if (s.rows) A = MatricesOf(p, *s.rows, values, batch);
  const std::vector<char> equal = EqualRows(p.program);
  FactorList list;
  for (std::size_t k = 0; k < std::max(P.size(), A.size()); ++k)
    list.push_back(std::make_shared<QpFactors>(P[P.size() == 1 ? 0 : k], A[A.size() == 1 ? 0 : k], equal));
  return list;
}

FactorList Factors(const Problem& p, const Values& values, std::int64_t batch, bool objective) {
  QuadraticState& s = *p.quadratic;
  const bool fixed = (!objective || IsFixed(p, *s.hessian)) && (!s.rows || IsFixed(p, *s.rows));
  if (!fixed) return MakeFactors(p, values, batch, objective);
  const std::lock_guard lock(s.mutex);
  FactorList& list = objective ? s.solve : s.project;
  if (list.empty()) list = MakeFactors(p, values, 1, objective);
  return list;
}

struct Holder : torch::CustomClassHolder {
  FactorList factors;
  Matrix multipliers;
};

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Nearest : torch::autograd::Function<Nearest> {
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<Holder>& holder, const at::Tensor& y,
                            const at::Tensor& offsets) {
    QpSolutions s = SolveAll(holder->factors, -ToMatrix(y), ToMatrix(offsets), Matrix(), {});
    holder->multipliers = std::move(s.multipliers);
    context->saved_data["holder"] = c10::IValue::make_capsule(holder);
    return ToTensor(s.y, y.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& given) {
    const auto holder = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["holder"].toCapsule());
    const Matrix dy = ToMatrix(given[0]);
    Matrix q(dy.rows(), dy.cols()), b(dy.rows(), holder->multipliers.cols());
    const std::int64_t each = holder->factors.size() == 1 ? dy.rows() : 1;
    for (std::int64_t k = 0; k < dy.rows(); k += each) {
      const QpFactors& f = *holder->factors[holder->factors.size() == 1 ? 0 : static_cast<std::size_t>(k)];
      const QpAdjoint adjoint =
          DifferentiateQp(f, holder->multipliers.middleRows(k, each), dy.middleRows(k, each));
      q.middleRows(k, each) = adjoint.q, b.middleRows(k, each) = adjoint.b;
    }
    return {at::Tensor(), ToTensor(-q, given[0].scalar_type()), ToTensor(b, given[0].scalar_type())};
  }
};

}  // namespace

std::vector<char> EqualRows(const compiler::Program& p) {
  std::vector<char> equal;
  for (const compiler::ConeRows& rows : p.cones)
    if (rows.affine)
      equal.insert(equal.end(), static_cast<std::size_t>(rows.count), rows.cone == compiler::Cone::kZero);
  return equal;
}

std::vector<Matrix> RowsOf(const Problem& p, const Values& values, std::int64_t batch) {
  if (!p.quadratic->rows) return {Matrix::Zero(0, p.VariableSize())};
  return MatricesOf(p, *p.quadratic->rows, values, batch);
}

Matrix OffsetsOf(const Problem& p, const Values& values, std::int64_t batch) {
  return ToMatrix(Offsets(p, values, batch));
}

std::vector<Matrix> HessiansOf(const Problem& p, const Values& values, std::int64_t batch) {
  return MatricesOf(p, *p.quadratic->hessian, values, batch);
}

FactorList ProjectionFactors(const Problem& p, const Values& values, std::int64_t batch) {
  return Factors(p, values, batch, false);
}

std::shared_ptr<QuadraticState> MakeQuadraticState(const compiler::Program& p) {
  auto s = std::make_shared<QuadraticState>();
  if (p.affine) s->rows = compiler::Simplify(compiler::Jvp(*p.affine, Variables(p, *p.affine)));
  const bool real = std::all_of(p.variables.begin(), p.variables.end(),
                                [](const auto& v) { return v.type.elem == compiler::Elem::kReal; });
  if (!p.objective || p.classes.empty() || p.classes[0].curvature.degree > compiler::Degree::kQuadratic || !real)
    return s;
  const std::vector<int> wrt = Variables(p, *p.objective);
  s->gradient = Only(p, compiler::Gradient(*p.objective, wrt), "d/");
  s->hessian = Only(p, compiler::HessianVector(*p.objective, wrt), "h/");
  s->gradient->name = "gradient at zero", s->hessian->name = "hessian";
  return s;
}

bool IsQuadraticProgram(const Problem& p) { return compiler::IsQuadraticProgram(p.program); }

const Problem* LiftedOf(const Problem& p) {
  QuadraticState& s = *p.quadratic;
  std::call_once(s.lifting, [&] {
    std::optional<compiler::Program> program = compiler::Lift(p.program);
    if (!program) return;
    Result<Problem> lifted = OpenProblem(std::move(*program), p.shared, p.dtype);
    if (lifted.ok()) s.lifted = std::make_unique<Problem>(std::move(*lifted));
  });
  return s.lifted.get();
}

at::Tensor LiftPoints(const Problem& p, const Values& values, const at::Tensor& y) {
  const c10::NoGradGuard no_grad;
  const Problem& lifted = *LiftedOf(p);
  const std::int64_t batch = y.size(0), n = y.size(1), more = lifted.VariableSize() - n;
  const FactorList factors = Factors(lifted, values, batch, false);
  const Matrix b = ToMatrix(Offsets(lifted, values, batch)), at = ToMatrix(y);
  Matrix out(batch, n + more);
  out.leftCols(n) = at;
  out.rightCols(more).setConstant(-INFINITY);
  for (std::int64_t i = 0; i < batch; ++i) {
    const Matrix& A = factors[factors.size() == 1 ? 0 : static_cast<std::size_t>(i)]->A;
    for (Eigen::Index row = 0; row < A.rows(); ++row) {
      for (Eigen::Index j = n; j < n + more; ++j) {  // a'y + b - t <= 0
        if (A(row, j) != 0) out(i, j) = std::max(out(i, j), A.row(row).head(n).dot(at.row(i)) + b(i, row));
      }
    }
  }
  return ToTensor(out, y.scalar_type());
}

FactorList SolveFactors(const Problem& p, const Values& values, std::int64_t batch) {
  return Factors(p, values, batch, true);
}

QuadraticTerms TermsOf(const Problem& p, const Values& values, std::int64_t batch) {
  const c10::NoGradGuard no_grad;
  QuadraticTerms terms;
  const Values zero = AtZero(p, values, batch);
  const Values gradient = Evaluate(p, *p.quadratic->gradient, zero);
  std::vector<at::Tensor> parts;
  for (const compiler::Named& v : p.program.variables) {
    const at::Tensor& t = gradient.at("d/" + v.name);
    parts.push_back(AlongBatch(t, v.type.shape, batch).reshape({batch, compiler::Count(v.type.shape)}));
  }
  terms.q = ToMatrix(at::cat(parts, 1));
  terms.b = ToMatrix(Offsets(p, values, batch));
  const at::Tensor constant = Objective(p, zero, batch).to(at::kDouble).contiguous();
  terms.constant.assign(constant.const_data_ptr<double>(), constant.const_data_ptr<double>() + batch);
  return terms;
}

QpSolutions SolveAll(const FactorList& factors, const Matrix& q, const Matrix& b, const Matrix& multipliers,
                     const QpOptions& options) {
  if (factors.size() == 1) return SolveQp(*factors[0], q, b, multipliers, options);
  QpSolutions all;
  all.y.resize(q.rows(), q.cols()), all.directions.resize(q.rows(), q.cols());
  all.multipliers.resize(b.rows(), b.cols()), all.certificates.resize(b.rows(), b.cols());
  all.status.resize(static_cast<std::size_t>(q.rows())), all.iterations.resize(static_cast<std::size_t>(q.rows()));
  ParallelFor(0, q.rows(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      const auto at = static_cast<std::size_t>(k);
      const Matrix warm = multipliers.rows() ? Matrix(multipliers.row(k)) : Matrix();
      const QpSolutions one = SolveQp(*factors[at], q.row(k), b.row(k), warm, options);
      all.y.row(k) = one.y, all.directions.row(k) = one.directions;
      all.multipliers.row(k) = one.multipliers, all.certificates.row(k) = one.certificates;
      all.status[at] = one.status[0], all.iterations[at] = one.iterations[0];
    }
  });
  return all;
}

at::Tensor ProjectOntoRows(const Problem& p, const Values& values, const at::Tensor& y) {
  if (y.size(0) == 0) return y;
  auto holder = c10::make_intrusive<Holder>();
  holder->factors = Factors(p, values, y.size(0), false);
  return Nearest::apply(holder, y, Offsets(p, values, y.size(0)));
}

std::string RowName(const compiler::Program& p, std::int64_t row) {
  for (const compiler::ConeRows& rows : p.cones) {
    if (row >= rows.count) {
      row -= rows.count;
      continue;
    }
    const std::string name = rows.set ? fmt::format("the set of {}", rows.name) : rows.name;
    return rows.count == 1 ? name : fmt::format("{}[{}]", name, row);
  }
  return "";
}

}  // namespace amo::runtime
