// SPDX-License-Identifier: Apache-2.0
// `network Qt(…) = slow(Q, tau = 0.005)`: a network with the layers of another, whose weights follow that one's.
#include <algorithm>

#include <fmt/format.h>

#include "compiler/build_parts.h"

namespace amo::compiler {
namespace {

// What stands in `slow(…)`; null where the network is written in another way.
const lang::Call* AsSlow(const lang::NetworkDecl& network) {
  const auto* call = network.body ? std::get_if<lang::Call>(&network.body->node) : nullptr;
  const auto* word = call ? std::get_if<lang::Name>(&call->callee->node) : nullptr;
  return word && word->name.text == "slow" ? call : nullptr;
}

// The network that is followed: by its name, or a family member by member, `slow(Q[i])` in `network Qt[i in 2]`.
const lang::NetworkDecl& Followed(Scope& s, const lang::NetworkDecl& network, const lang::Call& slow) {
  const lang::Expr* e = nullptr;
  for (const lang::Argument& a : slow.args) if (!a.keyword || a.keyword->text == "network") e = a.value.get();
  const auto* index = e ? std::get_if<lang::Index>(&e->node) : nullptr;
  const auto* word = e ? std::get_if<lang::Name>(index ? &index->base->node : &e->node) : nullptr;
  const lang::NetworkDecl* other = word ? s.FindNetwork(word->name.text) : nullptr;
  const lang::Span at = e ? e->span : network.name.span;
  if (!other) s.Refuse(lang::Code::kTypeMismatch, at, "`slow` follows a network of the file");
  bool member_by_member = other->index.size() == network.index.size() &&
                          network.index.size() == (index ? index->items.size() : 0);
  for (std::size_t k = 0; member_by_member && k < network.index.size(); ++k) {
    const lang::Expr* item = index->items[k].at.get();
    const auto* i = item ? std::get_if<lang::Name>(&item->node) : nullptr;
    const auto start = [&](const lang::Binder& b) { return b.lo ? s.Constant(*b.lo, "the start of a range") : 0; };
    const auto end = [&](const lang::Binder& b) { return s.Constant(*b.hi, "the end of a range"); };
    member_by_member = i && i->name.text == network.index[k].name.text &&
                       start(network.index[k]) == start(other->index[k]) &&
                       end(network.index[k]) == end(other->index[k]);
  }
  if (!member_by_member)
    s.Refuse(lang::Code::kShapeMismatch, at,
             fmt::format("`{}` does not follow `{}` member by member", network.name.text, other->name.text),
             "as in `network Qt[i in 2](…) = slow(Q[i])`, over the same range");
  return *other;
}

}  // namespace

const lang::Expr& Scope::LayersOf(const lang::NetworkDecl& network) {
  const lang::NetworkDecl* at = &network;
  std::vector<const lang::NetworkDecl*> seen;
  while (const lang::Call* slow = AsSlow(*at)) {
    if (std::count(seen.begin(), seen.end(), at))
      Refuse(lang::Code::kDomain, network.name.span, fmt::format("`{}` follows itself", network.name.text));
    seen.push_back(at);
    at = &Followed(*this, *at, *slow);
  }
  if (!at->body) RefuseBodiless(*at);
  return *at->body;
}

void BuildSlow(Parts& parts) {
  for (const auto& [name, decl] : parts.problem.names) {
    const auto* network = std::get_if<lang::NetworkDecl>(&decl->node);
    const lang::Call* slow = network ? AsSlow(*network) : nullptr;
    if (!slow) continue;
    const auto has_weights = [&](const std::string& of) {
      return std::any_of(parts.program.weights.begin(), parts.program.weights.end(),
                         [&](const Weight& w) { return w.input.starts_with("weight/" + of + "/"); });
    };
    if (!has_weights(name)) continue;  // nothing calls it
    parts.Make("slow", {}, [&](Scope& s) {
      SlowNetwork out{name, Followed(s, *network, *slow).name.text};
      if (!has_weights(out.follows))
        s.Refuse(lang::Code::kMissingPart, network->name.span,
                 fmt::format("`{}` follows `{}`, whose weights nothing uses", name, out.follows));
      const auto arrays = [&](const std::string& of) {
        std::vector<Shape> shapes;
        for (const Weight& w : parts.program.weights)
          if (w.input.starts_with("weight/" + of + "/")) shapes.push_back(w.type.shape);
        return shapes;
      };
      if (arrays(name) != arrays(out.follows))
        s.Refuse(lang::Code::kShapeMismatch, network->name.span,
                 fmt::format("`{}` follows `{}`, whose weights have other shapes", name, out.follows),
                 "both take arguments of the same types and give the same");
      for (const lang::Argument& a : slow->args) {
        if (a.keyword && a.keyword->text == "tau") out.tau = s.Constant(*a.value, "the setting `tau`");
      }
      parts.program.slow.push_back(std::move(out));
      return true;
    });
  }
  // One that follows a slow one comes after it; none follows itself (LayersOf).
  std::vector<SlowNetwork>& all = parts.program.slow;
  std::vector<SlowNetwork> ordered;
  while (!all.empty()) {
    const auto first = std::find_if(all.begin(), all.end(), [&](const SlowNetwork& x) {
      return std::none_of(all.begin(), all.end(), [&](const SlowNetwork& y) { return y.name == x.follows; });
    });
    ordered.push_back(*first);
    all.erase(first);
  }
  all = std::move(ordered);
}

}  // namespace amo::compiler
