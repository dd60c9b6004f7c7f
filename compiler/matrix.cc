// SPDX-License-Identifier: Apache-2.0
// Elimination with partial pivoting, and Jacobi's cyclic rotations (Golub and Van Loan, Matrix Computations, 8.5).
#include "compiler/matrix.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace amo::compiler {
namespace {

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

// Rotates rows and columns p and q so that entry (p, q) becomes 0. |tan| <= 1 keeps what was done before.
void Rotate(std::vector<double>& s, std::vector<double>& v, std::int64_t n, std::int64_t p, std::int64_t q) {
  const double off = s[Z(p * n + q)];
  if (off == 0) return;
  const double half = (s[Z(q * n + q)] - s[Z(p * n + p)]) / (2 * off);
  const double tangent = (half < 0 ? -1 : 1) / (std::fabs(half) + std::hypot(1, half));
  const double cosine = 1 / std::hypot(1, tangent), sine = tangent * cosine;
  const auto turn = [&](double& x, double& y) {
    const double old = x;
    x = cosine * old - sine * y;
    y = sine * old + cosine * y;
  };
  for (std::int64_t i = 0; i < n; ++i) turn(s[Z(i * n + p)], s[Z(i * n + q)]);
  for (std::int64_t i = 0; i < n; ++i) turn(s[Z(p * n + i)], s[Z(q * n + i)]);
  for (std::int64_t i = 0; i < n; ++i) turn(v[Z(i * n + p)], v[Z(i * n + q)]);
  s[Z(p * n + q)] = s[Z(q * n + p)] = 0;
}

}  // namespace

void SolveLinear(const double* a, const double* b, std::int64_t n, std::int64_t k, double* x) {
  std::vector<double> m(a, a + n * n);
  std::copy(b, b + n * k, x);
  for (std::int64_t c = 0; c < n; ++c) {
    std::int64_t pivot = c;
    for (std::int64_t r = c + 1; r < n; ++r) {
      if (std::fabs(m[Z(r * n + c)]) > std::fabs(m[Z(pivot * n + c)])) pivot = r;
    }
    if (pivot != c) {
      std::swap_ranges(m.begin() + c * n, m.begin() + (c + 1) * n, m.begin() + pivot * n);
      std::swap_ranges(x + c * k, x + (c + 1) * k, x + pivot * k);
    }
    for (std::int64_t r = c + 1; r < n; ++r) {
      const double factor = m[Z(r * n + c)] / m[Z(c * n + c)];
      for (std::int64_t j = c; j < n; ++j) m[Z(r * n + j)] -= factor * m[Z(c * n + j)];
      for (std::int64_t j = 0; j < k; ++j) x[r * k + j] -= factor * x[c * k + j];
    }
  }
  for (std::int64_t r = n; r-- > 0;) {
    for (std::int64_t j = 0; j < k; ++j) {
      for (std::int64_t c = r + 1; c < n; ++c) x[r * k + j] -= m[Z(r * n + c)] * x[c * k + j];
      x[r * k + j] /= m[Z(r * n + r)];
    }
  }
}

void SymmetricEigen(const double* a, std::int64_t n, double* out) {
  std::vector<double> s(Z(n * n)), v(Z(n * n));
  bool finite = true;
  double total = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    v[Z(i * n + i)] = 1;
    for (std::int64_t j = 0; j < n; ++j) {
      s[Z(i * n + j)] = (a[i * n + j] + a[j * n + i]) / 2;
      finite = finite && std::isfinite(s[Z(i * n + j)]);
      total = std::hypot(total, s[Z(i * n + j)]);
    }
  }
  if (!finite) {
    std::fill_n(out, (n + 1) * n, std::numeric_limits<double>::quiet_NaN());
    return;
  }
  constexpr int kMostSweeps = 60;  // convergence is quadratic: ten are many
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    double off = 0;
    for (std::int64_t p = 0; p < n; ++p) {
      for (std::int64_t q = p + 1; q < n; ++q) off = std::hypot(off, s[Z(p * n + q)]);
    }
    if (off <= 1e-17 * total) break;
    for (std::int64_t p = 0; p < n; ++p) {
      for (std::int64_t q = p + 1; q < n; ++q) Rotate(s, v, n, p, q);
    }
  }
  std::vector<std::int64_t> order(Z(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t i, std::int64_t j) { return s[Z(i * n + i)] < s[Z(j * n + j)]; });
  for (std::int64_t k = 0; k < n; ++k) {
    const std::int64_t from = order[Z(k)];
    out[k] = s[Z(from * n + from)];
    double largest = 0, sign = 0;
    for (std::int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(v[Z(i * n + from)]));
    for (std::int64_t i = 0; i < n; ++i) {
      const double entry = v[Z(i * n + from)];
      if (sign == 0 && std::fabs(entry) >= 0.9 * largest) sign = entry < 0 ? -1 : 1;
    }
    for (std::int64_t i = 0; i < n; ++i) out[(i + 1) * n + k] = sign * v[Z(i * n + from)];
  }
}

}  // namespace amo::compiler
