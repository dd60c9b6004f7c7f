// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_TYPE_H_
#define AMO_LANG_TYPE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

// Types of the language: an element and named dims. Shapes are per instance: the batch is never written.
namespace amo::lang {

enum class Elem { kError, kReal, kInt, kBool, kTable, kFunction };

// A dim is a polynomial over dim names with rational coefficients, normalized: two different names never match, even
// with equal values; a number matches a dim of that value.
struct Dim {
  std::map<std::vector<std::string>, double> terms;  // sorted names of a monomial → coefficient; {} → the constant
  std::int64_t value = 0;                            // its value in this problem, or kUnknownValue
  std::string label = {};                            // the dim's own name where it is made of others; for messages
};

// The value of a dim that a problem does not fix: a generic one, `weights(net)`.
inline constexpr std::int64_t kUnknownValue = -1;

struct Type {
  Elem elem = Elem::kError;
  std::vector<Dim> dims;
  bool row = false;  // x' of a vector: exists only inside a product
  bool is_error() const { return elem == Elem::kError; }
  bool is_scalar() const { return dims.empty(); }
};

Type Scalar(Elem elem);
Type ArrayOf(std::vector<Dim> outer, const Type& element);  // outer dims before the element's own

Dim Fixed(std::int64_t value);
Dim Named(const std::string& name, std::int64_t value);
Dim operator+(const Dim& a, const Dim& b);
Dim operator-(const Dim& a, const Dim& b);
Dim operator*(const Dim& a, const Dim& b);
std::optional<Dim> Divide(const Dim& a, const Dim& b);  // by a number other than 0; none otherwise
bool IsFixed(const Dim& dim);                           // a number, no names
std::int64_t FixedValue(const Dim& dim);                // requires IsFixed
bool Mentions(const Dim& dim, const std::string& name);
Dim Replace(const Dim& dim, const std::map<std::string, Dim>& by);
Dim Product(const std::vector<Dim>& dims);

bool SameDim(const Dim& a, const Dim& b);
bool SameDims(const std::vector<Dim>& a, const std::vector<Dim>& b);
std::string ToString(Elem elem);          // "real"
std::string ToString(const Dim& dim);     // "n + 1"
std::string CountText(const Dim& dim);    // "n = 5"; "5"
std::string ShapeText(const Type& type);  // "[n, m]"; "[]" for a scalar
std::string ToString(const Type& type);   // "real[n, m]"

}  // namespace amo::lang

#endif  // AMO_LANG_TYPE_H_
