// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_BENCH_MEASURE_H_
#define AMO_BENCH_MEASURE_H_

#include <functional>

// How the benchmarks measure time. A sample is as many calls as take 20 microseconds at least; samples are taken for a
// given time after a warm-up, so what disturbs some of them shows as the distance of median and minimum.
namespace amo::bench {

struct Times {
  double least = 0, median = 0;  // ns per instance
};

Times Measure(const std::function<void()>& run, double batch, double seconds);

// Gflop/s of one core in fused multiply-adds of the widest vectors, with enough of them in flight: what the kernels'
// rate is compared with.
double PeakDouble();
double PeakFloat();

}  // namespace amo::bench

#endif  // AMO_BENCH_MEASURE_H_
