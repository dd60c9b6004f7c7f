// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_INFEASIBLE_H_
#define AMO_RUNTIME_INFEASIBLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/reference.h"

// Why instances have no answer, in the words of the program.
namespace amo::runtime {

struct Reason {
  std::int64_t instance = 0;
  bool unbounded = false;
  // Infeasible: rows that contradict each other, none of which could be left out: "balance[3]". Unbounded: the entries
  // that move, with their slopes: "y[2] +1".
  std::vector<std::string> parts;
};

// Of the first `most` infeasible or unbounded instances: by the solver's certificates where it gave them, else by what
// holds at the answer, a point that fails the constraints by least.
std::vector<Reason> ReasonsOf(const Problem& problem, const Values& values, std::int64_t batch,
                              const ReferenceSummary& summary, std::size_t most);

std::string ToText(const Reason& reason);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_INFEASIBLE_H_
