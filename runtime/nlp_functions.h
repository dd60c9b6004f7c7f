// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_NLP_FUNCTIONS_H_
#define AMO_RUNTIME_NLP_FUNCTIONS_H_

#include <memory>

#include "compiler/nlp.h"
#include "runtime/problem.h"
#include "runtime/qp.h"

// The functions of compiler::Nlp on batches of instances, as kernels, with their results as plain matrices.
namespace amo::runtime {

// Of one problem, compiled at the first use; kept by the problem.
struct NlpState;
std::shared_ptr<NlpState> MakeNlpState();

class NlpFunctions {
 public:
  explicit NlpFunctions(const Problem& problem);

  const compiler::Nlp& nlp() const;

  struct First {
    Vector objective;        // [B]
    Matrix sides, gradient;  // [B, m], [B, n]
  };
  // At y [B, n] of the instances whose values these are.
  First AtPoints(const Values& values, const Matrix& y) const;
  // Compressed by colours, one instance a row: [B, colours * m], [B, colours * n] at multipliers `dual` [B, m].
  Matrix Jacobians(const Values& values, const Matrix& y) const;
  Matrix Hessians(const Values& values, const Matrix& y, const Matrix& dual) const;

  // The dense matrices of one row of these.
  void Jacobian(const double* compressed, Matrix& to) const;
  void Hessian(const double* compressed, Matrix& to) const;

 private:
  const Problem& problem_;
  const NlpState& state_;
};

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_NLP_FUNCTIONS_H_
