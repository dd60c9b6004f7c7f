// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_BATCH_SUM_H_
#define AMO_COMPILER_BATCH_SUM_H_

#include <string>
#include <vector>

#include "compiler/ir.h"

// Outputs that are wanted as sums over the batch: the derivatives of a loss by what is shared.
namespace amo::compiler {

struct BatchSum {
  // One part of the sums: an output of `each`, added up over the batch; or two, contracted by `labels` and over the
  // batch, which is one matrix product.
  struct Part {
    std::string a, b;  // b: "" where a alone is added up
    DotLabels labels;
  };
  Function each;  // by instance: the outputs that stay, then "factor/K" for what the parts need
  std::vector<Part> parts;
  Function after;  // inputs: "part/K", shared, and the shared inputs of the function that it needs → the summed outputs
};

// `f` with its outputs whose names begin with `prefix` summed over the batch.
BatchSum SumOverBatch(const Function& f, const std::string& prefix);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_BATCH_SUM_H_
