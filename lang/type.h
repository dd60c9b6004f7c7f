// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_TYPE_H_
#define AMO_LANG_TYPE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

// Types of the language: an element and named dims. Shapes are per instance: the batch is never written.
namespace amo::lang {

enum class Elem { kError, kReal, kInt, kBool, kTable, kFunction };

// A dim is a polynomial over dim names with rational coefficients, normalized: two different names never match, even
// with equal values; a number matches a dim of that value.
struct Dim {
  std::map<std::vector<std::string>, double> terms;  // sorted names of a monomial → coefficient; {} → the constant
  std::int64_t value = 0;                            // its value in this problem
};

struct Type {
  Elem elem = Elem::kError;
  std::vector<Dim> dims;
  bool row = false;  // x' of a vector: exists only inside a product
  bool is_error() const { return elem == Elem::kError; }
  bool is_scalar() const { return dims.empty(); }
};

bool SameDim(const Dim& a, const Dim& b);
std::string ToString(const Dim& dim);    // "n + 1"
std::string ToString(const Type& type);  // "real[n, m]"

}  // namespace amo::lang

#endif  // AMO_LANG_TYPE_H_
