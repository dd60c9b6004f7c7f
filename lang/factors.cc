// SPDX-License-Identifier: Apache-2.0
// From the expression of a set to its factors.
#include "lang/factors.h"

namespace amo::lang {
namespace {

void Collect(const Expr& e, std::vector<SetFactor>& factors) {
  if (const auto* paren = std::get_if<Paren>(&e.node)) return Collect(*paren->inner, factors);
  if (const auto* product = std::get_if<Binary>(&e.node); product != nullptr && product->op == BinaryOp::kMul) {
    Collect(*product->left, factors);
    Collect(*product->right, factors);
    return;
  }
  const auto* index = std::get_if<Index>(&e.node);
  if (index != nullptr && index->items.size() == 1 && index->items[0].kind == IndexItem::Kind::kAt)
    return factors.push_back({index->base.get(), index->items[0].at.get()});
  factors.push_back({&e, nullptr});
}

}  // namespace

std::vector<SetFactor> FactorsOf(const Expr& set) {
  std::vector<SetFactor> factors;
  Collect(set, factors);
  return factors;
}

bool IsProduct(const Expr& set) {
  const std::vector<SetFactor> factors = FactorsOf(set);
  return factors.size() > 1 || factors[0].size != nullptr;
}

}  // namespace amo::lang
