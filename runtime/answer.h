// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_ANSWER_H_
#define AMO_RUNTIME_ANSWER_H_

#include <optional>
#include <string>
#include <vector>

#include "runtime/array.h"
#include "runtime/certificate_level.h"
#include "runtime/problem.h"

// Answers with certificates: what every prediction and every solution leaves with; and the contexts that they are asked
// for.
namespace amo::runtime {

// How good an answer is, by instance. What cannot be told without values that were not given (a hidden label in the
// objective) is left out.
struct Certificate {
  std::optional<at::Tensor> objective;  // [B]: the minimized quantity
  std::optional<at::Tensor> residual;   // [B]: see Instances::Residual
  std::optional<at::Tensor> gap;        // [B]: the objective is above the optimum by no more; of convex problems
  Values violations;                    // [B] by constraint: the Euclidean norm of the amounts by which it fails
};

// `values` hold contexts, the answer's variables, what is learned, and hidden values where they are known.
Certificate Certify(const Problem& problem, const Values& values, std::int64_t batch,
                    CertificateLevel level = CertificateLevel::kFull);

// The contexts of a batch from named arrays [B, ...]: all there, of the declared shape, numbers, finite, one B. The
// message names the field and the instance. `where` begins it: "file `x.npz`". `hidden` values are taken where they are
// given. A problem with one context takes an array of any name.
Result<Values> ReadContexts(const Problem& problem, const std::vector<Array>& arrays, const std::string& where);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_ANSWER_H_
