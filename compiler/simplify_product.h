// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_SIMPLIFY_PRODUCT_H_
#define AMO_COMPILER_SIMPLIFY_PRODUCT_H_

#include <optional>
#include <vector>

#include "compiler/ir.h"

// What the simplifier does to contractions and to sums of multiples. All rules hold up to rounding.
namespace amo::compiler {

// p + q or p - q (`op`) where both, or q and a term of p, are multiples of one value: one multiple of it.
std::optional<Value> CollectMultiples(Builder& builder, Op op, Value p, Value q);

// c * (d * x) → (c d) * x, for numbers c and d; and -(d * x) → (-d) * x.
std::optional<Value> MergeMultiples(Builder& builder, Value p, Value q);
std::optional<Value> NegateMultiple(Builder& builder, Value v);

// Scalars come out of contractions; a contraction with a scalar is none. y' A y with a shared A is y' (A + A') y / 2,
// so that its gradient needs one product with a matrix instead of two, and that matrix is made once.
std::optional<Value> SimplifyDot(Builder& builder, const Node& dot, const std::vector<Value>& args);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_SIMPLIFY_PRODUCT_H_
