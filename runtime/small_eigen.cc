// SPDX-License-Identifier: Apache-2.0
// Rotations of eight matrices at once: their entries lie side by side.
#include "runtime/small_eigen.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/parallel.h"

namespace amo::runtime {
namespace {

constexpr int kLanes = 8, kMostSweeps = 30;
constexpr std::size_t kMost = kMostSmallEigen * kMostSmallEigen;
// Entries of eight matrices: one vector, or several where those of the machine are shorter.
typedef double Lane __attribute__((vector_size(64), may_alias));

struct Matrices {
  Lane s[kMost], v[kMost];  // of s what is not below the diagonal
};

// [[c, -s], [s, c]] makes the entry p, q zero; both columns of a matrix.
[[gnu::always_inline]] inline void Turn(Lane& a, Lane& b, const Lane& c, const Lane& s) {
  const Lane x = a, y = b;
  a = c * x - s * y, b = s * x + c * y;
}

[[gnu::always_inline]] inline void Root(Lane& x) {
  alignas(64) double entries[kLanes];
  __builtin_memcpy(entries, &x, sizeof entries);
  for (int l = 0; l < kLanes; ++l) entries[l] = __builtin_sqrt(entries[l]);
  __builtin_memcpy(&x, entries, sizeof entries);
}

// For the vectors that the machine has, chosen when the program is loaded.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
void Sweeps(Matrices& m, int n) {
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    Lane off{}, all{};
    for (int i = 0; i < n; ++i) {
      all += m.s[i * (n + 1)] * m.s[i * (n + 1)];
      for (int j = i + 1; j < n; ++j) off += 2 * m.s[i * n + j] * m.s[i * n + j];
    }
    all += off;
    bool open = false;
    for (int l = 0; l < kLanes; ++l) open = open || off[l] > 1e-31 * all[l];
    if (!open) return;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) {
        Lane &pp = m.s[p * n + p], &qq = m.s[q * n + q], &pq = m.s[p * n + q];
        const auto none = pq == 0;
        const Lane one = pq * 0 + 1, theta = (qq - pp) / (2 * (none ? one : pq));
        Lane root = theta * theta + 1;
        Root(root);
        const Lane size = 1 / ((theta < 0 ? -theta : theta) + root);
        const Lane t = none ? one * 0 : theta < 0 ? -size : size;
        Lane c = t * t + 1;
        Root(c);
        c = 1 / c;
        const Lane s = t * c;
        pp -= t * pq, qq += t * pq, pq = one * 0;
        for (int k = 0; k < n; ++k) Turn(m.v[k * n + p], m.v[k * n + q], c, s);
        for (int k = 0; k < p; ++k) Turn(m.s[k * n + p], m.s[k * n + q], c, s);
        for (int k = p + 1; k < q; ++k) Turn(m.s[p * n + k], m.s[k * n + q], c, s);
        for (int k = q + 1; k < n; ++k) Turn(m.s[p * n + k], m.s[q * n + k], c, s);
      }
    }
  }
}

// In order, each vector with the sign that the operation asks for.
void Take(const Matrices& m, int n, int lane, double* out) {
  std::array<int, kMostSmallEigen> order;
  std::iota(order.begin(), order.begin() + n, 0);
  for (int k = 1; k < n; ++k) {  // few: by insertion, which is stable
    const int one = order[static_cast<std::size_t>(k)];
    int to = k;
    for (; to > 0 && m.s[one * n + one][lane] < m.s[order[static_cast<std::size_t>(to - 1)] * (n + 1)][lane]; --to)
      order[static_cast<std::size_t>(to)] = order[static_cast<std::size_t>(to - 1)];
    order[static_cast<std::size_t>(to)] = one;
  }
  for (int k = 0; k < n; ++k) {
    const int from = order[static_cast<std::size_t>(k)];
    out[k] = m.s[from * n + from][lane];
    double largest = 0, sign = 0;
    for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(m.v[i * n + from][lane]));
    for (int i = 0; i < n && sign == 0; ++i) {
      const double entry = m.v[i * n + from][lane];
      if (std::fabs(entry) >= 0.9 * largest) sign = entry < 0 ? -1 : 1;
    }
    for (int i = 0; i < n; ++i) out[(i + 1) * n + k] = sign * m.v[i * n + from][lane];
  }
}

}  // namespace

void SmallEigen(const double* a, std::int64_t batch, std::int64_t rows, double* out) {
  const int n = static_cast<int>(rows);
  const std::int64_t tiles = (batch + kLanes - 1) / kLanes;
  ParallelFor(0, tiles, 4, [&](std::int64_t begin, std::int64_t end) {
    Matrices m;
    for (std::int64_t tile = begin; tile < end; ++tile) {
      const int count = static_cast<int>(std::min<std::int64_t>(kLanes, batch - tile * kLanes));
      std::array<bool, kLanes> finite;
      for (int l = 0; l < kLanes; ++l) {  // lanes past the last matrix repeat it
        const double* from = a + (tile * kLanes + std::min(l, count - 1)) * n * n;
        finite[static_cast<std::size_t>(l)] = true;
        for (int i = 0; i < n; ++i)
          for (int j = 0; j < n; ++j) {
            const double entry = (from[i * n + j] + from[j * n + i]) / 2;
            m.s[i * n + j][l] = entry, m.v[i * n + j][l] = i == j;
            finite[static_cast<std::size_t>(l)] = finite[static_cast<std::size_t>(l)] && std::isfinite(entry);
          }
        if (!finite[static_cast<std::size_t>(l)]) for (int k = 0; k < n * n; ++k) m.s[k][l] = 0;
      }
      Sweeps(m, n);
      for (int l = 0; l < count; ++l) {
        double* to = out + (tile * kLanes + l) * (n + 1) * n;
        if (finite[static_cast<std::size_t>(l)]) Take(m, n, l, to);
        else std::fill_n(to, (n + 1) * n, std::numeric_limits<double>::quiet_NaN());
      }
    }
  });
}

}  // namespace amo::runtime
