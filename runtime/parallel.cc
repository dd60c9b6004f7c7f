// SPDX-License-Identifier: Apache-2.0
// Loops on an arena of oneTBB.
#include "runtime/parallel.h"

#include <ATen/Parallel.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <memory>
#include <mutex>

namespace amo::runtime {
namespace {

struct Arena {
  std::mutex mutex;
  int threads = 0;
  std::shared_ptr<tbb::task_arena> arena;
};

Arena& Shared() {
  static auto& arena = *new Arena;  // never destroyed: threads may outlive main
  return arena;
}

std::shared_ptr<tbb::task_arena> Get() {
  Arena& shared = Shared();
  const std::lock_guard lock(shared.mutex);
  const int threads = std::max(1, at::get_num_threads());
  if (!shared.arena || shared.threads != threads) {
    shared.threads = threads;
    shared.arena = std::make_shared<tbb::task_arena>(threads);
  }
  return shared.arena;
}

}  // namespace

void SetThreads(int count) { at::set_num_threads(std::max(1, count)); }

int Threads() { return at::get_num_threads(); }

void ParallelFor(std::int64_t begin, std::int64_t end, std::int64_t grain,
                 const std::function<void(std::int64_t, std::int64_t)>& work) {
  if (end <= begin) return;
  if (end - begin <= grain || Threads() == 1) return work(begin, end);
  using Range = tbb::blocked_range<std::int64_t>;
  Get()->execute([&] {
    tbb::parallel_for(Range(begin, end, static_cast<std::size_t>(grain)),
                      [&](const Range& r) { work(r.begin(), r.end()); });
  });
}

}  // namespace amo::runtime
