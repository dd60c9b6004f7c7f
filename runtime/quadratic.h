// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_QUADRATIC_H_
#define AMO_RUNTIME_QUADRATIC_H_

#include <memory>
#include <string>
#include <vector>

#include "runtime/problem.h"
#include "runtime/qp.h"

// The linear rows of a problem (Program::cones) and its quadratic objective, as matrices; the projection onto the rows.
// What depends on data alone is factored once for a problem.
namespace amo::runtime {

// Of one problem; made by OpenProblem.
struct QuadraticState;
std::shared_ptr<QuadraticState> MakeQuadraticState(const compiler::Program& program);

// The objective is a quadratic function of the variables, and constraints and sets are linear rows. Whether it is a
// convex one its numbers say.
bool IsQuadraticProgram(const Problem& problem);

// The problem whose kinks are variables of their own (compiler::Lift), behind the problem's; null: there is none.
const Problem* LiftedOf(const Problem& problem);

// Points y [B, n] of the problem as points of the lifted one: each of its variables at the value that it stands for.
at::Tensor LiftPoints(const Problem& problem, const Values& values, const at::Tensor& y);

// The affine rows A y + b of Program::cones: A, one for all instances or one each; b [B, rows], the sides at zero; which
// of them are equations.
std::vector<Matrix> RowsOf(const Problem& problem, const Values& values, std::int64_t batch);
Matrix OffsetsOf(const Problem& problem, const Values& values, std::int64_t batch);
std::vector<char> EqualRows(const compiler::Program& program);

// Of an objective that is at most quadratic in real variables: one for all instances or one each.
std::vector<Matrix> HessiansOf(const Problem& problem, const Values& values, std::int64_t batch);

// Factors for the instances: one for all, or one each; of the projection onto the rows.
using FactorList = std::vector<std::shared_ptr<const QpFactors>>;
FactorList ProjectionFactors(const Problem& problem, const Values& values, std::int64_t batch);

// Of the program itself. `values`: all that objective and rows read beside the variables.
FactorList SolveFactors(const Problem& problem, const Values& values, std::int64_t batch);

// The same problems as vectors: objectives are 1/2 y'Py + q'y + constant.
struct QuadraticTerms {
  Matrix q, b;                // [B, n], [B, rows]
  std::vector<double> constant;
};
QuadraticTerms TermsOf(const Problem& problem, const Values& values, std::int64_t batch);

// SolveQp for each group of instances that shares its factors.
QpSolutions SolveAll(const FactorList& factors, const Matrix& q, const Matrix& b, const Matrix& multipliers,
                     const QpOptions& options);

// The nearest points to y [B, n] that keep all rows; an instance without one gets a point that fails by little. With
// derivatives by y, and by what the rows' right-hand sides depend on.
at::Tensor ProjectOntoRows(const Problem& problem, const Values& values, const at::Tensor& y);

// "balance[3]", "y in its set [2]": the name of a row of Program::cones.
std::string RowName(const compiler::Program& program, std::int64_t row);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_QUADRATIC_H_
