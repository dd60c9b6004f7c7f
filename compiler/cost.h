// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_COST_H_
#define AMO_COMPILER_COST_H_

#include <array>
#include <cstdint>
#include <string_view>

#include "compiler/ir.h"
#include "compiler/kernel.h"

// What a kernel does for one instance, counted in its loops; what that costs on this machine, predicted from the
// measured speed of each kind of work; and what it really costs.
namespace amo::compiler {

enum class Work : std::uint8_t {
  kArithmetic,  // + - * comparisons, choices
  kDivision,    // / and square roots
  kFunction,    // exp, log, sin, …: polynomials
  kLibrary,     // pow, erf, atan2, …: calls by lane
  kMemory,      // entries read and written in the loops
  kTransfer,    // entries of the caller's arrays
};
inline constexpr std::size_t kWorks = 6;
std::string_view NameOf(Work work);

struct Cost {
  std::array<double, kWorks> each{};      // for each instance, by Work
  std::array<double, kWorks> prepared{};  // once for the data
  double operator[](Work work) const { return each[static_cast<std::size_t>(work)]; }
};

// The function's loops are counted as they run: what does not change within a loop counts once for it.
Cost CountCost(const Function& function);

// Nanoseconds of one unit of each kind of work per instance in a batch, on one core of this machine. Measured at the
// first call for a precision, in some 100 ms where the disk cache has no kernels for it yet.
const std::array<double, kWorks>& UnitTimes(Precision precision);

// Nanoseconds per instance in a batch on one core. A model of throughput: arithmetic and memory overlap, all else adds
// up; it knows nothing of waiting or of caches that are too small, so within a factor of two or so.
double PredictedTime(const Cost& cost, Precision precision);

// As many instances, at most `batch`, as have room in 256 MiB.
std::int64_t MeasurableBatch(const Cost& cost, const Kernel& kernel, std::int64_t batch);

// The same, measured with `batch` instances of random numbers; nanoseconds per instance, the least of some runs.
double MeasuredTime(const Function& function, const Kernel& kernel, std::int64_t batch);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_COST_H_
