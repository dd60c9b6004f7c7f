// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_SIMPLIFY_SCAN_H_
#define AMO_COMPILER_SIMPLIFY_SCAN_H_

#include <optional>
#include <vector>

#include "compiler/ir.h"

// What the simplifier does to scans and to the parts of their values.
namespace amo::compiler {

// The number that a value holds in every entry, if it is one.
std::optional<double> Everywhere(const Builder& builder, Value v);

// Which parts of a scan's value (carries, then ys) are read in f; node i is a scan.
std::vector<bool> PartsRead(const Function& f, std::size_t i, const std::vector<bool>& live);

// The scan with its body simplified; without carries, xs, ys and constants that nothing reads, that stay as they are or
// that stand there twice. Entries of parts that are not read are zeros then.
Value SimplifyScan(Builder& builder, const Node& scan, const std::vector<Value>& args, const std::vector<bool>& read);

// slice(x): through slices, pads, concatenations and their sums, to what it really reads.
Value Narrow(Builder& builder, Value x, const std::vector<std::int64_t>& starts, const Shape& shape);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_SIMPLIFY_SCAN_H_
