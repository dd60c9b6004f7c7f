// SPDX-License-Identifier: Apache-2.0
// Counting over the loop program, and clocks around small kernels.
#include "compiler/cost.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "compiler/lower.h"

namespace amo::compiler {
namespace {

std::size_t Index(Work work) { return static_cast<std::size_t>(work); }

Work WorkOf(Op op) {
  static constexpr Op kDivisions[] = {Op::kDiv, Op::kSqrt, Op::kMod};
  static constexpr Op kLibrary[] = {Op::kPow, Op::kErf, Op::kAtan2, Op::kAsin, Op::kAcos, Op::kAtan};
  static constexpr Op kFunctions[] = {Op::kExp,  Op::kLog,  Op::kExpm1, Op::kLog1p,   Op::kSin,     Op::kCos, Op::kTan,
                                      Op::kSinh, Op::kCosh, Op::kTanh,  Op::kSigmoid, Op::kSoftplus};
  const auto in = [&](const auto& list) { return std::find(std::begin(list), std::end(list), op) != std::end(list); };
  return in(kDivisions)   ? Work::kDivision
         : in(kLibrary)   ? Work::kLibrary
         : in(kFunctions) ? Work::kFunction
                          : Work::kArithmetic;
}

class Counter {
 public:
  explicit Counter(const LoopProgram& p) : p_(p) {}

  void Count(const std::vector<Step>& steps, const Shape& around, std::array<double, kWorks>& to) {
    for (const Step& s : steps) {
      Shape loops = around;
      loops.resize(static_cast<std::size_t>(s.level), 1);
      loops.insert(loops.end(), s.outer.begin(), s.outer.end());
      loops.insert(loops.end(), s.inner.begin(), s.inner.end());
      if (s.kind == StepKind::kFor) {
        Count(s.body, loops, to);
        continue;
      }
      seen_.clear();
      for (const Store& store : s.stores) {
        Visit(store.value, loops, to);
        VisitIndex(store.index, loops, to);
        const double all = Times(loops, static_cast<int>(loops.size()));
        const double written = s.kind == StepKind::kReduce || s.kind == StepKind::kArg
                                   ? Times(loops, s.level + static_cast<int>(s.outer.size())) : all;
        to[Index(Work::kMemory)] += written;
        if (s.kind != StepKind::kMap) to[Index(Work::kArithmetic)] += all;  // what accumulates
        if (s.kind == StepKind::kSort) to[Index(Work::kArithmetic)] += all * static_cast<double>(s.inner[0]);
      }
    }
  }

 private:
  static double Times(const Shape& loops, int depth) {
    double times = 1;
    for (int d = 0; d < depth && d < static_cast<int>(loops.size()); ++d)
      times *= static_cast<double>(loops[static_cast<std::size_t>(d)]);
    return times;
  }

  void Visit(std::int32_t e, const Shape& loops, std::array<double, kWorks>& to) {
    if (!seen_.insert(e).second) return;
    const Expr& x = p_.at(e);
    if (x.kind == ExprKind::kOp) to[Index(WorkOf(x.op))] += Times(loops, x.depth);
    if (x.kind == ExprKind::kLoad) {
      to[Index(Work::kMemory)] += Times(loops, x.depth);
      return VisitIndex(x.args[0], loops, to);
    }
    for (std::int32_t a : x.args) Visit(a, loops, to);
  }

  // Numbers of entries are free, but for what is loaded to find them.
  void VisitIndex(std::int32_t e, const Shape& loops, std::array<double, kWorks>& to) {
    const Expr& x = p_.at(e);
    if (x.kind == ExprKind::kLoad) return Visit(e, loops, to);
    for (std::int32_t a : x.args) VisitIndex(a, loops, to);
  }

  const LoopProgram& p_;
  std::set<std::int32_t> seen_;
};

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, Free>;
Memory Allocate(std::size_t bytes) { return Memory(std::aligned_alloc(64, (bytes + 64) / 64 * 64)); }

// Reals in (0.1, 0.9), where every function is at home; ints 0, bools false.
Memory Random(const Type& type, Precision precision, std::int64_t instances) {
  const auto count = static_cast<std::size_t>(Count(type.shape) * instances);
  const std::size_t bytes = count * static_cast<std::size_t>(EntryBytes(type.elem, precision));
  Memory memory = Allocate(bytes + 1);
  std::fill_n(static_cast<unsigned char*>(memory.get()), bytes, static_cast<unsigned char>(0));
  if (type.elem != Elem::kReal) return memory;
  std::uint64_t state = 1;
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const double x = 0.1 + 0.8 * static_cast<double>(state >> 11) / 9007199254740992.0;
    if (precision == Precision::kF64) static_cast<double*>(memory.get())[i] = x;
    else static_cast<float*>(memory.get())[i] = static_cast<float>(x);
  }
  return memory;
}

// x → something, entry by entry, so many times one after the other on four entries, then added up.
Function Chain(std::int64_t entries, int times, const std::function<Value(Builder&, Value)>& step) {
  Builder b("chain" + std::to_string(times));
  Value x = b.Input("x", Role::kInstance, {Elem::kReal, {entries}});
  for (int k = 0; k < times; ++k) x = step(b, x);
  b.Output("y", b.Reduce(Op::kReduceSum, x, {0}));
  return b.Finish();
}

std::array<double, kWorks> MeasureUnits(Precision precision) {
  const KernelOptions options{.precision = precision, .lanes = 0, .cache_folder = KernelCacheFolder()};
  constexpr std::int64_t kEntries = 64, kBatch = 256;
  const auto time = [&](const Function& f) { return MeasuredTime(f, Compile(f, options), kBatch); };
  const auto unit = [&](int times, const std::function<Value(Builder&, Value)>& step) {
    const double more = time(Chain(kEntries, 2 * times, step)), less = time(Chain(kEntries, times, step));
    return std::max(0.0, more - less) / static_cast<double>(kEntries * times);
  };
  const auto number = [](Builder& b, double v) { return b.Filled(v, {kEntries}); };
  std::array<double, kWorks> units{};
  // A product and a sum are two.
  units[Index(Work::kArithmetic)] =
      unit(16, [&](Builder& b, Value x) { return b.Add(b.Mul(x, number(b, 0.7)), number(b, 0.1)); }) / 2;
  units[Index(Work::kDivision)] = unit(4, [&](Builder& b, Value x) { return b.Div(number(b, 0.4), x); });
  units[Index(Work::kFunction)] =
      unit(2, [&](Builder& b, Value x) { return b.Unary(Op::kSin, b.Unary(Op::kExp, b.Neg(x))); }) / 2;
  units[Index(Work::kLibrary)] = unit(2, [&](Builder& b, Value x) { return b.Unary(Op::kAtan, x); });
  const double moved = time(Chain(kEntries, 0, {}));  // brings in and adds up
  units[Index(Work::kMemory)] = units[Index(Work::kArithmetic)];
  units[Index(Work::kTransfer)] =
      std::max(0.0, moved / static_cast<double>(kEntries) - 2 * units[Index(Work::kArithmetic)]);
  return units;
}

}  // namespace

std::string_view NameOf(Work work) {
  switch (work) {
    case Work::kArithmetic:
      return "arithmetic";
    case Work::kDivision:
      return "divisions";
    case Work::kFunction:
      return "functions";
    case Work::kLibrary:
      return "library";
    case Work::kMemory:
      return "memory";
    case Work::kTransfer:
      return "transfer";
  }
  return "";
}

Cost CountCost(const Function& function) {
  const LoopProgram program = Lower(function);
  Cost cost;
  Counter counter(program);
  counter.Count(program.instance, {}, cost.each);
  counter.Count(program.shared, {}, cost.prepared);
  for (const Input& in : function.inputs) {
    if (in.role == Role::kInstance) cost.each[Index(Work::kTransfer)] += static_cast<double>(Count(in.type.shape));
  }
  for (const Output& o : function.outputs) {
    cost.each[Index(Work::kTransfer)] += static_cast<double>(Count(function.type(o.value).shape));
  }
  return cost;
}

const std::array<double, kWorks>& UnitTimes(Precision precision) {
  static const std::array<double, kWorks> f64 = MeasureUnits(Precision::kF64);
  if (precision == Precision::kF64) return f64;
  static const std::array<double, kWorks> f32 = MeasureUnits(Precision::kF32);
  return f32;
}

double PredictedTime(const Cost& cost, Precision precision) {
  const std::array<double, kWorks>& units = UnitTimes(precision);
  const auto time = [&](Work work) { return cost[work] * units[Index(work)]; };
  return std::max(time(Work::kArithmetic), time(Work::kMemory)) + time(Work::kDivision) + time(Work::kFunction) +
         time(Work::kLibrary) + time(Work::kTransfer);
}

std::int64_t MeasurableBatch(const Cost& cost, const Kernel& kernel, std::int64_t batch) {
  constexpr double kMostBytes = 1 << 28;
  const double each =
      std::max(1.0, cost[Work::kTransfer] * static_cast<double>(EntryBytes(Elem::kReal, kernel.precision)));
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(kMostBytes / each), 1, batch);
}

double MeasuredTime(const Function& f, const Kernel& kernel, std::int64_t batch) {
  std::vector<Memory> memory;
  std::vector<Argument> in, out;
  for (const Input& i : f.inputs) {
    const bool shared = i.role == Role::kShared;
    memory.push_back(Random(i.type, kernel.precision, shared ? 1 : batch));
    in.push_back({memory.back().get(), shared ? 0 : Count(i.type.shape)});
  }
  for (const Output& o : f.outputs) {
    const Type& type = f.type(o.value);
    memory.push_back(Random(type, kernel.precision, batch));
    out.push_back({memory.back().get(), Count(type.shape)});
  }
  const Memory shared = Allocate(kernel.shared_bytes), scratch = Allocate(kernel.scratch_bytes);
  kernel.prepare(in.data(), shared.get());
  using Clock = std::chrono::steady_clock;
  const auto run = [&](int times) {
    const auto begin = Clock::now();
    for (int k = 0; k < times; ++k) kernel.run(in.data(), out.data(), 0, batch, shared.get(), scratch.get());
    return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
  };
  // As many calls as last a millisecond, ten times over.
  constexpr double kLong = 1e6;
  constexpr int kRuns = 10, kMostTimes = 1 << 16;
  int times = 1;
  while (run(times) < kLong && times < kMostTimes) times *= 2;
  double least = INFINITY;
  for (int k = 0; k < kRuns; ++k) least = std::min(least, run(times));
  return least / times / static_cast<double>(batch);
}

}  // namespace amo::compiler
