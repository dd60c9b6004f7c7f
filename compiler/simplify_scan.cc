// SPDX-License-Identifier: Apache-2.0
// A scan is made again with what it needs; its old value is put together from the parts of the new one, where slices
// find them again.
#include "compiler/simplify_scan.h"

#include <algorithm>
#include <memory>

#include "compiler/derive.h"
#include "compiler/simplify.h"

namespace amo::compiler {
namespace {

std::size_t Z(std::int64_t i) { return static_cast<std::size_t>(i); }

using Starts = std::vector<std::int64_t>;

// A sum of values that lie beside each other: what reverse mode makes of a value read in parts.
bool InParts(const Builder& b, Value v) {
  const Node& n = b.node(v);
  if (n.op == Op::kAdd) return InParts(b, n.args[0]) && InParts(b, n.args[1]);
  return n.op == Op::kPad || n.op == Op::kConcat;
}

// What the body of a scan has for one of its inputs.
struct Source {
  enum class Kind { kCarry, kRow, kConstant, kNumber, kAlias, kNone } kind = Kind::kNone;
  Value arg;              // of the scan; kCarry, kRow, kConstant
  double number = 0;      // kNumber
  std::size_t alias = 0;  // kAlias: the input that is the same
};

class Rewriting {
 public:
  Rewriting(Builder& b, const Node& scan, const std::vector<Value>& args, const std::vector<bool>& read)
      : b_(b), form_(FormOf(scan)), body_(Simplify(*scan.body)), args_(args), source_(body_.inputs.size()) {
    FindNeeded(read);
    FindSources();
  }

  bool Changes() const {
    if (form_.index && !live_[body_.inputs.size() - 1]) return true;
    for (std::size_t k = 0; k < args_.size(); ++k) {
      const Source::Kind plain = k < form_.carries               ? Source::Kind::kCarry
                                 : k < form_.carries + form_.xs ? Source::Kind::kRow
                                                                : Source::Kind::kConstant;
      if (source_[k].kind != plain) return true;
    }
    for (std::size_t k = 0; k < body_.outputs.size(); ++k) {
      if (!needed_[k] || same_[k] != k) return true;
    }
    return false;
  }

  const Function& body() const { return body_; }

  // The value of the old scan.
  Value Make() {
    Builder inner(body_.name);
    std::vector<Value> inputs(body_.inputs.size()), args;
    ScanForm form = form_;
    form.carries = form.xs = form.ys = 0;
    for (const Source::Kind kind : {Source::Kind::kCarry, Source::Kind::kRow, Source::Kind::kConstant}) {
      for (std::size_t k = 0; k < args_.size(); ++k) {
        if (source_[k].kind != kind) continue;
        inputs[k] = inner.Input(body_.inputs[k].name, Role::kInstance, body_.inputs[k].type);
        args.push_back(source_[k].arg);
        if (kind == Source::Kind::kCarry) ++form.carries;
        if (kind == Source::Kind::kRow) ++form.xs;
      }
    }
    form.index = form_.index && live_[body_.inputs.size() - 1];
    if (form.index) inputs.back() = inner.Input(body_.inputs.back().name, Role::kInstance, body_.inputs.back().type);
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      const Type& type = body_.inputs[k].type;
      const Source& s = source_[k];
      if (s.kind == Source::Kind::kAlias) inputs[k] = inputs[s.alias];
      // What nothing needs is zero.
      if (inputs[k].index < 0) inputs[k] = inner.Fill(inner.Number(s.number, type.elem), type.shape);
    }
    const std::vector<Value> values = Inline(inner, body_, inputs);
    std::vector<std::size_t> part(body_.outputs.size());
    std::size_t parts = 0;
    for (std::size_t k = 0; k < part.size(); ++k) {
      if (!needed_[k] || same_[k] < k) continue;
      inner.Output(body_.outputs[k].name, values[Z(body_.outputs[k].value.index)]);
      part[k] = parts++;
      if (k >= form_.carries) ++form.ys;
    }
    Value v;
    Node made{};
    if (parts > 0) {
      v = b_.Scan(form, std::make_shared<const Function>(Simplify(inner.Finish())), args);
      made = b_.node(v);
    }
    std::vector<Value> flat;
    for (std::size_t k = 0; k < part.size(); ++k) {
      const std::int64_t rows = IsCarry(k) ? 1 : form_.steps;
      const std::int64_t count = Count(body_.type(body_.outputs[k].value).shape) * rows;
      if (stays_[k] && k < form_.carries) flat.push_back(b_.Reshape(args_[k], {count}));
      else if (!needed_[k]) flat.push_back(b_.Filled(0, {count}));
      else flat.push_back(b_.Reshape(b_.ScanPart(made, v, part[same_[k]]), {count}));
    }
    return b_.Concat(std::move(flat), 0);
  }

 private:
  bool IsCarry(std::size_t k) const { return k < form_.carries; }

  // needed_: outputs of the body; live_: its inputs; stays_: carries that no step changes.
  void FindNeeded(const std::vector<bool>& read) {
    const std::size_t outs = body_.outputs.size();
    needed_ = read;
    stays_.assign(outs, false);
    same_.resize(outs);
    for (std::size_t k = 0; k < outs; ++k) {
      same_[k] = k;
      if (IsCarry(k)) stays_[k] = body_.outputs[k].value == body_.inputs[k].value;
      if (stays_[k]) needed_[k] = false;
      for (std::size_t j = form_.carries; !IsCarry(k) && needed_[k] && j < k; ++j) {
        if (needed_[j] && same_[j] == j && body_.outputs[j].value == body_.outputs[k].value) same_[k] = j;
      }
    }
    for (bool again = true; again;) {
      again = false;
      std::vector<bool> reached(body_.nodes.size());
      for (std::size_t k = 0; k < outs; ++k) {
        if (needed_[k]) reached[Z(body_.outputs[k].value.index)] = true;
      }
      for (std::size_t i = body_.nodes.size(); i-- > 0;) {
        if (reached[i]) for (Value a : body_.nodes[i].args) reached[Z(a.index)] = true;
      }
      live_.clear();
      for (const Input& in : body_.inputs) live_.push_back(reached[Z(in.value.index)]);
      for (std::size_t k = 0; k < form_.carries; ++k) {
        if (live_[k] && !needed_[k] && !stays_[k]) needed_[k] = again = true;
      }
    }
  }

  void FindSources() {
    for (std::size_t k = 0; k < args_.size(); ++k) {
      Source& s = source_[k];
      if (IsCarry(k) && !stays_[k]) {
        if (needed_[k]) s = {Source::Kind::kCarry, args_[k]};
        continue;
      }
      if (!live_[k]) continue;
      const bool row = !IsCarry(k) && k < form_.carries + form_.xs;
      s = {row ? Source::Kind::kRow : Source::Kind::kConstant, args_[k]};
      const Node n = b_.node(args_[k]);
      if (const auto number = Everywhere(b_, args_[k])) {
        s = {Source::Kind::kNumber, {}, *number};
        continue;
      }
      if (row && n.op == Op::kBroadcast && n.attr[0] < 0) {  // the same in all rows
        const Shape shape(n.type.shape.begin() + 1, n.type.shape.end());
        s = {Source::Kind::kConstant, b_.Broadcast(n.args[0], {n.attr.begin() + 1, n.attr.end()}, shape)};
      }
      for (std::size_t j = 0; j < k; ++j) {
        const bool twice = source_[j].kind == s.kind && source_[j].arg == s.arg && s.kind != Source::Kind::kAlias;
        if (twice && body_.inputs[j].type == body_.inputs[k].type) {
          s = {Source::Kind::kAlias, {}, 0, j};
          break;
        }
      }
    }
  }

  Builder& b_;
  const ScanForm form_;
  const Function body_;
  const std::vector<Value>& args_;
  std::vector<Source> source_;
  std::vector<bool> needed_, live_, stays_;
  std::vector<std::size_t> same_;  // of the ys: the first that is the same
};

}  // namespace

std::vector<bool> PartsRead(const Function& f, std::size_t i, const std::vector<bool>& live) {
  const std::vector<std::int64_t> offsets = ScanOffsets(f.nodes[i]);
  std::vector<bool> read(offsets.size() - 1);
  const Value v{static_cast<std::int32_t>(i)};
  bool all = std::any_of(f.outputs.begin(), f.outputs.end(), [&](const Output& o) { return o.value == v; });
  for (std::size_t j = i + 1; j < f.nodes.size(); ++j) {
    const Node& n = f.nodes[j];
    if (!live[j] || !std::count(n.args.begin(), n.args.end(), v)) continue;
    if (n.op != Op::kSlice) all = true;
    for (std::size_t k = 0; n.op == Op::kSlice && k < read.size(); ++k) {
      if (n.attr[0] < offsets[k + 1] && n.attr[0] + n.type.shape[0] > offsets[k]) read[k] = true;
    }
  }
  return all ? std::vector<bool>(read.size(), true) : read;
}

Value SimplifyScan(Builder& b, const Node& scan, const std::vector<Value>& args, const std::vector<bool>& read) {
  if (FormOf(scan).steps == 0) {
    std::vector<Value> flat;
    for (std::size_t k = 0; k < FormOf(scan).carries; ++k) {
      flat.push_back(b.Reshape(args[k], {Count(b.shape(args[k]))}));
    }
    return flat.empty() ? b.Filled(0, {0}) : b.Concat(std::move(flat), 0);
  }
  Rewriting rewriting(b, scan, args, read);
  if (rewriting.Changes()) return rewriting.Make();
  Node same = scan;
  if (!SameFunction(rewriting.body(), *scan.body)) same.body = std::make_shared<const Function>(rewriting.body());
  return b.Copy(same, args);
}

Value Narrow(Builder& b, Value x, const Starts& starts, const Shape& shape) {
  const Node n = b.node(x);
  if (shape == n.type.shape) return x;
  Starts at = starts;
  if (n.op == Op::kSlice) {
    for (std::size_t d = 0; d < at.size(); ++d) at[d] += n.attr[d];
    return Narrow(b, n.args[0], at, shape);
  }
  if (n.op == Op::kPad) {
    const Shape inner = b.shape(n.args[0]);
    bool inside = true;
    for (std::size_t d = 0; d < at.size(); ++d) {
      at[d] -= n.attr[d];
      if (at[d] >= inner[d] || at[d] + shape[d] <= 0) return b.Fill(b.Number(0, n.type.elem), shape);
      inside = inside && at[d] >= 0 && at[d] + shape[d] <= inner[d];
    }
    if (inside) return Narrow(b, n.args[0], at, shape);
  }
  if (n.op == Op::kConcat) {
    const std::size_t axis = Z(n.attr[0]);
    for (Value part : n.args) {
      const std::int64_t extent = b.shape(part)[axis];
      if (at[axis] >= 0 && at[axis] + shape[axis] <= extent) return Narrow(b, part, at, shape);
      at[axis] -= extent;
    }
  }
  if (n.op == Op::kAdd && InParts(b, x)) {
    const Value left = Narrow(b, n.args[0], starts, shape);
    return b.Add(left, Narrow(b, n.args[1], starts, shape));
  }
  return b.Slice(x, starts, shape);
}

}  // namespace amo::compiler
