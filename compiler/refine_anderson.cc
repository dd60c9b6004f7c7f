// SPDX-License-Identifier: Apache-2.0
// Anderson's mixing of a fixed-point iteration (Anderson 1965; Walker, Ni 2011): the next point is the combination of
// the last images whose residuals, so combined, are the shortest.
#include "compiler/refine.h"

#include <fmt/format.h>

namespace amo::compiler {
namespace {

constexpr double kMemory = 5, kMostMemory = 16;
constexpr double kRegular = 1e-10;  // of the Gram matrix's trace, added to its diagonal

// The solution of the small, positive definite system, entry by entry: its size is the memory, which is small and
// known, so that kernels hold it in registers.
std::vector<Term> SolveSmall(Scope& s, std::vector<std::vector<Term>> a, std::vector<Term> rhs) {
  const std::size_t m = rhs.size();
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = i + 1; j < m; ++j) {
      const Term factor = s.Div(a[j][i], a[i][i]);
      for (std::size_t k = i + 1; k < m; ++k) a[j][k] = s.Sub(a[j][k], s.Mul(factor, a[i][k]));
      rhs[j] = s.Sub(rhs[j], s.Mul(factor, rhs[i]));
    }
  }
  for (std::size_t i = m; i-- > 0;) {
    for (std::size_t k = i + 1; k < m; ++k) rhs[i] = s.Sub(rhs[i], s.Mul(a[i][k], rhs[k]));
    rhs[i] = s.Div(rhs[i], a[i][i]);
  }
  return rhs;
}

// The entry k of a vector.
Term At(Scope& s, const Term& v, std::vector<std::int64_t> starts) {
  return s.Of(s.b.Reshape(s.b.Slice(v.value, starts, Shape(starts.size(), 1)), {}));
}

}  // namespace

std::int64_t MemoryOf(Refine& r, const char* what) {
  const double memory = r.Number("memory", kMemory);
  if (memory < 1 || memory > kMostMemory)
    r.s.Refuse(lang::Code::kDomain, r.span(), fmt::format("a memory of {} {}", memory, what),
               fmt::format("from 1 to {}", kMostMemory));
  return static_cast<std::int64_t>(memory);
}

Term Shifted(Scope& s, const Term& first, const Term& rows) {
  Shape one = s.Own(first), rest = s.Own(rows);
  one.insert(one.begin(), 1);
  rest[0] -= 1;
  if (rest[0] == 0) return s.Reshaped(first, one);
  const std::vector<std::int64_t> starts(rest.size(), 0);
  return s.Of(s.b.Concat({s.b.Reshape(first.value, one), s.b.Slice(rows.value, starts, rest)}, 0));
}

void BeginAnderson(Refine& r) {
  for (const Named& v : r.moved()) {
    Shape rows = v.type.shape;
    rows.insert(rows.begin(), MemoryOf(r, "points"));
    for (const char* name : {"points/", "images/"}) r.Begin(name + v.name, r.s.Of(r.s.b.Filled(0, rows)));
  }
  r.Begin("count", r.s.Number(0));
}

void StepAnderson(Refine& r) {
  Scope& s = r.s;
  const std::int64_t m = MemoryOf(r, "points");
  const auto rate = r.Setting("rate"), written = r.Setting("relaxation");
  std::vector<Term> now, points, images;
  for (std::size_t k = 0; k < r.moved().size(); ++k) now.push_back(r.now(k));
  const std::vector<Term> image = r.FixedPointMap(now, rate ? *rate : s.Number(1e-2));
  Term gram = s.Of(s.b.Filled(0, {m, m}));
  for (std::size_t k = 0; k < now.size(); ++k) {
    const std::string& name = r.moved()[k].name;
    points.push_back(Shifted(s, now[k], r.State("points/" + name)));
    images.push_back(Shifted(s, image[k], r.State("images/" + name)));
    r.Next("points/" + name, points[k]);
    r.Next("images/" + name, images[k]);
    const Term flat = s.Reshaped(s.Sub(images[k], points[k]), {m, Count(r.moved()[k].type.shape)});
    gram = s.Add(gram, s.Contract(flat, flat, {0, 2}, {1, 2}, {0, 1}));
  }
  const Term count = s.Add(r.State("count"), s.Number(1));
  r.Next("count", count);
  Term trace = s.Number(1e-290);
  for (std::int64_t i = 0; i < m; ++i) trace = s.Add(trace, At(s, gram, {i, i}));
  // A row that no step has filled yet is left out of the combination.
  std::vector<Term> valid;
  for (std::int64_t i = 0; i < m; ++i)
    valid.push_back(s.Real(s.Binary(Op::kLt, s.Number(static_cast<double>(i)), count, r.span(), "<")));
  std::vector<std::vector<Term>> a(static_cast<std::size_t>(m), std::vector<Term>(static_cast<std::size_t>(m)));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < m; ++j) {
      const auto row = static_cast<std::size_t>(i), column = static_cast<std::size_t>(j);
      Term& entry = a[row][column];
      entry = s.Mul(s.Mul(valid[row], valid[column]), s.Div(At(s, gram, {i, j}), trace));
      if (i == j) entry = s.Add(entry, s.Add(s.Number(kRegular), s.Sub(s.Number(1), valid[row])));
    }
  }
  std::vector<Term> weight = SolveSmall(s, a, valid);
  Term sum = s.Number(0);
  for (const Term& w : weight) sum = s.Add(sum, w);
  std::vector<Value> parts;
  for (const Term& w : weight) parts.push_back(s.b.Reshape(s.Div(w, sum).value, {1}));
  const Term mix = s.Of(s.b.Concat(parts, 0));
  std::vector<Term> next;
  for (std::size_t k = 0; k < now.size(); ++k) {
    std::vector<std::int64_t> labels{0}, rest;
    for (std::size_t d = 0; d < r.moved()[k].type.shape.size(); ++d) {
      labels.push_back(static_cast<std::int64_t>(d) + 1);
      rest.push_back(static_cast<std::int64_t>(d) + 1);
    }
    Term combined = s.Contract(mix, images[k], {0}, labels, rest);
    if (written) {
      const Term before = s.Contract(mix, points[k], {0}, labels, rest);
      combined = s.Add(s.Mul(*written, combined), s.Mul(s.Sub(s.Number(1), *written), before));
    }
    next.push_back(combined);
  }
  r.Move(r.Project(std::move(next)));
}

}  // namespace amo::compiler
