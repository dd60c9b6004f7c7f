// SPDX-License-Identifier: Apache-2.0
// Dims as normalized polynomials, and types as text.
#include "lang/type.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace amo::lang {
namespace {

using Monomial = std::vector<std::string>;

void AddTerm(Dim& dim, const Monomial& monomial, double coefficient) {
  const auto at = dim.terms.try_emplace(monomial, 0.0).first;
  at->second += coefficient;
  if (at->second == 0) dim.terms.erase(at);
}

Monomial Times(const Monomial& a, const Monomial& b) {
  Monomial product;
  std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(product));
  return product;
}

constexpr std::size_t kMaxTerms = 256;

// The value of a sum or product of known values; unknown where it does not fit.
template <class Op>
std::int64_t Combined(const Dim& a, const Dim& b, Op overflows) {
  std::int64_t value = 0;
  const bool known = a.value != kUnknownValue && b.value != kUnknownValue;
  return known && !overflows(a.value, b.value, &value) ? value : kUnknownValue;
}

// A polynomial that has grown out of all proportion stands for its value alone.
Dim Bounded(Dim dim) {
  if (IsFixed(dim)) return Fixed(FixedValue(dim));
  if (dim.terms.size() <= kMaxTerms) return dim;
  return dim.value == kUnknownValue ? Named("…", kUnknownValue) : Fixed(dim.value);
}

bool BothKnown(const Dim& a, const Dim& b) { return a.value != kUnknownValue && b.value != kUnknownValue; }

std::string TermText(const Monomial& monomial, double coefficient) {
  if (monomial.empty()) return fmt::format("{}", coefficient);
  std::string text;
  if (coefficient != 1) text = fmt::format("{} * ", coefficient);
  for (std::size_t i = 0; i < monomial.size(); ++i) text += (i == 0 ? "" : " * ") + monomial[i];
  return text;
}

}  // namespace

Type Scalar(Elem elem) { return {elem, {}, false}; }

Type ArrayOf(std::vector<Dim> outer, const Type& element) {
  outer.insert(outer.end(), element.dims.begin(), element.dims.end());
  return {element.elem, std::move(outer), false};
}

Dim Fixed(std::int64_t value) {
  Dim dim;
  if (value != 0) dim.terms[{}] = static_cast<double>(value);
  dim.value = value;
  return dim;
}

Dim Named(const std::string& name, std::int64_t value) { return {{{{name}, 1.0}}, value, {}}; }

Dim operator+(const Dim& a, const Dim& b) {
  Dim sum{a.terms, 0, {}};
  for (const auto& [monomial, coefficient] : b.terms) AddTerm(sum, monomial, coefficient);
  sum.value = Combined(a, b, [](auto x, auto y, auto* z) { return __builtin_add_overflow(x, y, z); });
  return Bounded(std::move(sum));
}

Dim operator-(const Dim& a, const Dim& b) {
  Dim difference{a.terms, 0, {}};
  for (const auto& [monomial, coefficient] : b.terms) AddTerm(difference, monomial, -coefficient);
  difference.value = Combined(a, b, [](auto x, auto y, auto* z) { return __builtin_sub_overflow(x, y, z); });
  return Bounded(std::move(difference));
}

Dim operator*(const Dim& a, const Dim& b) {
  Dim product;
  for (const auto& [m, c] : a.terms) {
    for (const auto& [n, d] : b.terms) AddTerm(product, Times(m, n), c * d);
  }
  product.value = Combined(a, b, [](auto x, auto y, auto* z) { return __builtin_mul_overflow(x, y, z); });
  return Bounded(std::move(product));
}

std::optional<Dim> Divide(const Dim& a, const Dim& b) {
  if (!IsFixed(b) || FixedValue(b) == 0) return std::nullopt;
  const std::int64_t divisor = FixedValue(b);
  Dim quotient{a.terms, kUnknownValue, {}};
  for (auto& [monomial, coefficient] : quotient.terms) coefficient /= static_cast<double>(divisor);
  if (a.value != kUnknownValue) {
    if (a.value % divisor != 0) return std::nullopt;
    quotient.value = a.value / divisor;
  }
  return quotient;
}

bool IsFixed(const Dim& dim) {
  return dim.terms.empty() || (dim.terms.size() == 1 && dim.terms.begin()->first.empty());
}

std::int64_t FixedValue(const Dim& dim) {
  const double number = dim.terms.empty() ? 0 : dim.terms.begin()->second;
  return std::abs(number) < 1e15 ? static_cast<std::int64_t>(std::llround(number)) : kUnknownValue;
}

bool Mentions(const Dim& dim, const std::string& name) {
  return std::any_of(dim.terms.begin(), dim.terms.end(), [&](const auto& term) {
    return std::find(term.first.begin(), term.first.end(), name) != term.first.end();
  });
}

Dim Replace(const Dim& dim, const std::map<std::string, Dim>& by) {
  bool changes = false;
  for (const auto& term : by) changes = changes || Mentions(dim, term.first);
  if (!changes) return dim;
  Dim result = Fixed(0);
  for (const auto& [monomial, coefficient] : dim.terms) {
    Dim product;
    product.terms[{}] = coefficient;
    product.value = 1;  // every factor is known or the whole is not; the coefficient is put right below
    bool known = true;
    double value = coefficient;
    for (const std::string& name : monomial) {
      const auto found = by.find(name);
      const Dim factor = found == by.end() ? Named(name, kUnknownValue) : found->second;
      known = known && factor.value != kUnknownValue;
      value *= static_cast<double>(factor.value);
      Dim next;
      for (const auto& [m, c] : product.terms) {
        for (const auto& [n, d] : factor.terms) AddTerm(next, Times(m, n), c * d);
      }
      product = next;
    }
    for (const auto& [m, c] : product.terms) AddTerm(result, m, c);
    known = known && result.value != kUnknownValue && std::abs(value) < 1e15;
    result.value = known ? result.value + std::llround(value) : kUnknownValue;
  }
  return Bounded(std::move(result));
}

Dim Product(const std::vector<Dim>& dims) {
  if (dims.size() == 1) return dims[0];
  Dim product = Fixed(1);
  for (const Dim& dim : dims) product = product * dim;
  return product;
}

bool SameDim(const Dim& a, const Dim& b) {
  if (a.terms == b.terms) return true;
  const bool one_is_number = IsFixed(a) || IsFixed(b);
  return one_is_number && BothKnown(a, b) && a.value == b.value;
}

bool SameDims(const std::vector<Dim>& a, const std::vector<Dim>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), SameDim);
}

std::string ToString(Elem elem) {
  switch (elem) {
    case Elem::kError:
      return "unknown";
    case Elem::kReal:
      return "real";
    case Elem::kInt:
      return "int";
    case Elem::kBool:
      return "bool";
    case Elem::kTable:
      return "table";
    case Elem::kFunction:
      return "function";
  }
  return "";
}

std::string ToString(const Dim& dim) {
  if (!dim.label.empty()) return dim.label;
  // Names first, the number last, as people write them.
  std::string text;
  const auto append = [&](const Monomial& monomial, double coefficient) {
    if (text.empty()) {
      text = TermText(monomial, coefficient);
    } else {
      text += (coefficient < 0 ? " - " : " + ") + TermText(monomial, std::abs(coefficient));
    }
  };
  for (const bool positive : {true, false}) {
    for (const auto& [monomial, coefficient] : dim.terms) {
      if (!monomial.empty() && (coefficient > 0) == positive) append(monomial, coefficient);
    }
  }
  if (const auto number = dim.terms.find({}); number != dim.terms.end()) append({}, number->second);
  return text.empty() ? "0" : text;
}

std::string CountText(const Dim& dim) {
  return IsFixed(dim) || dim.value == kUnknownValue ? ToString(dim) : fmt::format("{} = {}", ToString(dim), dim.value);
}

std::string ShapeText(const Type& type) {
  std::string text = "[";
  for (std::size_t i = 0; i < type.dims.size(); ++i) text += (i == 0 ? "" : ", ") + ToString(type.dims[i]);
  return text + "]" + (type.row ? "'" : "");
}

std::string ToString(const Type& type) { return ToString(type.elem) + (type.dims.empty() ? "" : ShapeText(type)); }

}  // namespace amo::lang
