// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_CONTEXT_LAW_H_
#define AMO_RUNTIME_CONTEXT_LAW_H_

#include <optional>

#include "runtime/problem.h"

// What contexts a model was trained on, in a few numbers that its file keeps: a prediction for a context that is unlike
// them is told from others.
namespace amo::runtime {

// "law/mean" [d] and "law/whiten" ([d, d], or [d] where d is large) of 1,024 training draws of all contexts, one after
// the other, and "law/distances" [1024], their squared distances from the mean in these units, ascending. Nothing where
// the problem has no contexts, a table that it draws from is not there, or an instance has more than 20,000 entries.
Values LearnContextLaw(const Problem& problem);

// [batch]: the share of the training draws that are at least as far from their mean as the context is: near 1 in the
// middle, 0 beyond all of them. Nothing where `law` holds no such numbers.
std::optional<at::Tensor> InDistribution(const Problem& problem, const Values& law, const Values& values,
                                         std::int64_t batch);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_CONTEXT_LAW_H_
