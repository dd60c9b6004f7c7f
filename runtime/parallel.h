// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_PARALLEL_H_
#define AMO_RUNTIME_PARALLEL_H_

#include <cstdint>
#include <functional>

// Our loops over instances on oneTBB's work-stealing threads: a thread without work sleeps, so a busy machine slows
// them down and does not stall them. LibTorch's own operations use its OpenMP; both are bounded by SetThreads.
namespace amo::runtime {

void SetThreads(int count);  // at least 1; of the whole process
int Threads();               // else as many as LibTorch has

// work(begin, end) over parts of [begin, end) of at least `grain`, on several threads where that is worth it.
void ParallelFor(std::int64_t begin, std::int64_t end, std::int64_t grain,
                 const std::function<void(std::int64_t, std::int64_t)>& work);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_PARALLEL_H_
