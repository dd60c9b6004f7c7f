// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_SUM_PARTS_H_
#define AMO_COMPILER_SUM_PARTS_H_

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "compiler/ir.h"

// A value that is summed over a loop (the instances of a batch, the steps of a scan), taken apart: what the loop has to
// give, and what follows from the sums. The adjoint of a weight is a sum of outer products; a loop that gives their
// factors leaves one matrix product, and never holds a matrix for each round.
namespace amo::compiler {

// `a` is summed; with `b`, the contraction of both by `labels`.
struct SumPart {
  Value a, b;
  DotLabels labels;
};

class SumParts {
 public:
  // `varies`: which nodes of `f` differ between rounds.
  SumParts(Function f, std::vector<bool> varies) : f_(std::move(f)), varies_(std::move(varies)) {}

  // Whether factors take less room than the value.
  bool Splits(Value v);
  // Takes `v` apart; parts that are there already are used again.
  void Take(Value v);
  const std::vector<SumPart>& parts() const { return parts_; }

  // The sum of a value that was taken, from `sums` of all parts, in `to`. `outside`: what does not vary, by node, where
  // it is known in `to`; it grows. Inputs of `f` that are not there become inputs of `to`.
  Value Rebuild(Builder& to, Value v, const std::vector<Value>& sums, std::map<std::int32_t, Value>& outside);

 private:
  bool Varies(Value v) const { return varies_[static_cast<std::size_t>(v.index)]; }
  bool IsFactored(const Node& n) const;
  bool IsLinear(const Node& n) const;  // in those of its arguments that vary
  Value Outside(Builder& to, Value v, std::map<std::int32_t, Value>& outside) const;

  Function f_;
  std::vector<bool> varies_;
  std::map<std::int32_t, bool> splits_;
  std::map<std::int32_t, std::size_t> places_;  // of a value among the parts
  std::set<std::int32_t> taken_;                // inner values, once each
  std::map<std::int32_t, Value> rebuilt_;       // their sums, in the one builder that Rebuild is called with
  std::vector<SumPart> parts_;
};

}  // namespace amo::compiler

#endif  // AMO_COMPILER_SUM_PARTS_H_
