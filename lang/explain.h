// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_EXPLAIN_H_
#define AMO_LANG_EXPLAIN_H_

#include <string>

#include "lang/check.h"

// What a program means, for people: dims with their values, every name with its type and when it is known, what the
// file leaves out, and what each loss moves.
namespace amo::lang {

// What is chosen where a file says nothing, in the file's own words: pasted into it, it changes nothing.
struct Defaults {
  std::string model = "mlp(hidden = [256, 256])";
  std::string loss = "objective";
  std::string train = "steps = 1000, batch = 256, rate = 1e-3";
};

// Requires a problem without errors.
std::string Explain(const Program& program, const Problem& problem, const Checked& checked,
                    const Defaults& defaults = {});

}  // namespace amo::lang

#endif  // AMO_LANG_EXPLAIN_H_
