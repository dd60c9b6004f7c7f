// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TRUST_H_
#define AMO_RUNTIME_TRUST_H_

#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/answer.h"

// Predictions that are trusted as far as their certificates go: predict, certify, refine from the prediction, solve
// from the beginning. Each answer says where it came from and whether it keeps the tolerance.
namespace amo::runtime {

enum class TrustStage : std::uint8_t { kPredicted, kRefined, kSolved };
std::string_view NameOf(TrustStage stage);  // "predicted", "refined", "solved"

struct TrustOptions {
  double tolerance = 1e-4;   // on Shortfall
  double budget = INFINITY;  // seconds for refining and solving, of all instances together; checked between parts
  std::int64_t part = 256;   // instances that are refined or solved at once
  std::uint64_t seed = 0;
};

struct Trusted {
  Values answer;                   // [B, ...] by variable
  Certificate certificate;
  std::vector<TrustStage> stage;   // by instance
  std::vector<char> within;        // the certificate keeps the tolerance
  double seconds = 0;              // of everything
};

// By how much an answer's certificate falls short, by instance: the largest violation of a constraint; and, whichever
// is known and smaller, the residual or the bound of the gap relative to 1 + |objective|. Infinite where it is not
// finite.
std::vector<double> Shortfall(const Certificate& certificate, std::int64_t batch);

// `values`: contexts, what is learned, randoms. A better answer replaces a worse one only.
Trusted PredictTrusted(const Problem& problem, const Values& values, std::int64_t batch, const TrustOptions& options);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TRUST_H_
