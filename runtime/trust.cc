// SPDX-License-Identifier: Apache-2.0
// The stages, on the instances that are still open.
#include "runtime/trust.h"

#include <algorithm>
#include <chrono>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "runtime/instances.h"
#include "runtime/predictor.h"
#include "runtime/quadratic.h"
#include "runtime/reference.h"

namespace amo::runtime {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

Values With(Values values, const Values& more) {
  for (const auto& [name, t] : more) values[name] = t;
  return values;
}

at::Tensor Ids(const std::vector<std::int64_t>& rows) {
  at::Tensor t = at::empty({static_cast<std::int64_t>(rows.size())}, at::TensorOptions(at::kLong));
  std::copy(rows.begin(), rows.end(), t.mutable_data_ptr<std::int64_t>());
  return t;
}

// The rows of `from` become rows `ids` of `to`; what is not there in `to` stays away.
void Put(const std::optional<at::Tensor>& from, const at::Tensor& ids, std::optional<at::Tensor>& to) {
  if (from && to) to->index_copy_(0, ids, from->to(to->scalar_type()));
}

}  // namespace

std::string_view NameOf(TrustStage stage) {
  switch (stage) {
    case TrustStage::kPredicted: return "predicted";
    case TrustStage::kRefined: return "refined";
    case TrustStage::kSolved: return "solved";
  }
  return "";
}

std::vector<double> Shortfall(const Certificate& c, std::int64_t batch) {
  std::vector<double> worst(static_cast<std::size_t>(batch), 0), optimal(static_cast<std::size_t>(batch), INFINITY);
  const auto each = [&](const at::Tensor& t, const auto& fn) {
    const at::Tensor plain = t.to(at::kDouble).contiguous();
    for (std::size_t i = 0; i < worst.size(); ++i) fn(i, plain.const_data_ptr<double>()[i]);
  };
  const auto nan_is_worst = [](double v) { return std::isnan(v) ? INFINITY : v; };
  for (const auto& [name, v] : c.violations)
    each(v, [&](std::size_t i, double x) { worst[i] = std::max(worst[i], nan_is_worst(x)); });
  if (c.residual) each(*c.residual, [&](std::size_t i, double x) { optimal[i] = nan_is_worst(x); });
  if (c.gap && c.objective) {
    const at::Tensor relative = *c.gap / (1 + c.objective->abs());
    each(relative, [&](std::size_t i, double x) { optimal[i] = std::min(optimal[i], std::max(0.0, nan_is_worst(x))); });
  }
  for (std::size_t i = 0; i < worst.size(); ++i)
    if (c.residual || c.gap) worst[i] = std::max(worst[i], optimal[i]);
  return worst;
}

Trusted PredictTrusted(const Problem& p, const Values& values, std::int64_t batch, const TrustOptions& o) {
  const c10::NoGradGuard no_grad;
  const auto begun = Clock::now();
  Trusted out;
  out.answer = RunModel(p, values, batch).answer;
  for (const compiler::Named& v : p.program.variables) out.answer[v.name] = out.answer.at(v.name).clone();
  out.certificate = Certify(p, With(values, out.answer), batch);
  out.stage.assign(static_cast<std::size_t>(batch), TrustStage::kPredicted);
  std::vector<double> shortfall = Shortfall(out.certificate, batch);
  const bool solves = CanSolve(p);
  const Instances all(p, values, batch);
  // A quadratic program is solved at once, from anywhere.
  const bool refines = !IsQuadraticProgram(p);
  const auto started = Clock::now();
  for (const TrustStage stage : {TrustStage::kRefined, TrustStage::kSolved}) {
    if (!solves || (stage == TrustStage::kRefined && !refines)) continue;
    std::vector<std::int64_t> open;
    for (std::int64_t i = 0; i < batch; ++i)
      if (!(shortfall[static_cast<std::size_t>(i)] <= o.tolerance)) open.push_back(i);
    for (std::size_t from = 0; from < open.size() && Seconds(started) < o.budget;) {
      const std::size_t count = std::min(static_cast<std::size_t>(o.part), open.size() - from);
      const std::vector<std::int64_t> rows(open.begin() + static_cast<std::ptrdiff_t>(from),
                                           open.begin() + static_cast<std::ptrdiff_t>(from + count));
      from += count;
      const at::Tensor ids = Ids(rows);
      const Values mine = all.Select(ids).values();
      Values start;
      for (const compiler::Named& v : p.program.variables) start[v.name] = out.answer.at(v.name).index_select(0, ids);
      ReferenceOptions reference;
      reference.seed = o.seed, reference.tolerance = o.tolerance / 10;
      const auto size = static_cast<std::int64_t>(count);
      const ReferenceSummary s =
          SolveReference(p, mine, size, reference, stage == TrustStage::kRefined ? &start : nullptr);
      Certificate c = Certify(p, With(mine, s.variables), size);
      const std::vector<double> now = Shortfall(c, size);
      std::vector<std::int64_t> better, places;
      for (std::size_t k = 0; k < count; ++k) {
        if (!(now[k] < shortfall[static_cast<std::size_t>(rows[k])])) continue;
        better.push_back(rows[k]), places.push_back(static_cast<std::int64_t>(k));
        shortfall[static_cast<std::size_t>(rows[k])] = now[k];
        out.stage[static_cast<std::size_t>(rows[k])] = stage;
      }
      const at::Tensor to = Ids(better), at = Ids(places);
      const auto some = [&](const at::Tensor& t) { return std::optional<at::Tensor>(t.index_select(0, at)); };
      for (const compiler::Named& v : p.program.variables)
        out.answer[v.name].index_copy_(0, to, s.variables.at(v.name).index_select(0, at));
      if (c.objective) Put(some(*c.objective), to, out.certificate.objective);
      if (c.residual) Put(some(*c.residual), to, out.certificate.residual);
      if (c.gap) Put(some(*c.gap), to, out.certificate.gap);
      for (const auto& [name, v] : c.violations)
        out.certificate.violations.at(name).index_copy_(0, to, v.index_select(0, at));
    }
  }
  for (const double s : shortfall) out.within.push_back(s <= o.tolerance);
  out.seconds = Seconds(begun);
  return out;
}

}  // namespace amo::runtime
