// SPDX-License-Identifier: Apache-2.0
// From a text to a trained model: gaps against the solver; what a seed fixes; a run that is interrupted and goes on.
#include "runtime/train.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "runtime/answer.h"
#include "runtime/predictor.h"
#include "runtime/reference.h"
#include "tests/runtime/make_problem.h"

namespace amo::runtime {
namespace {

Values Draw(const Problem& p, std::int64_t n, std::uint64_t seed) {
  at::Generator g = at::make_generator<at::CPUGeneratorImpl>(seed);
  Values x = Sample(p, n, Split::kTest, g);
  x.merge(DrawRandoms(p, n, g));
  return x;
}

// The mean objective of the model's answers, and of the solver's.
struct Means {
  double model, solver;
  Values answer;
};
Means Compare(const Problem& p, const TrainSummary& t, std::int64_t n) {
  Values all = Draw(p, n, 99);
  for (const auto& [name, v] : t.state.best_learned) all[name] = v;
  const ReferenceSummary s = SolveReference(p, all, n);
  for (const SolveStatus status : s.status) EXPECT_EQ(status, SolveStatus::kSolved);
  const c10::NoGradGuard no_grad;
  Means m{0, s.objective.mean().item<double>(), RunModel(p, all, n).answer};
  for (const auto& [name, v] : m.answer) all[name] = v;
  m.model = Objective(p, all, n).mean().item<double>();
  return m;
}

TrainSummary Learn(const Problem& p, std::int64_t steps, std::int64_t batch, double rate, std::uint64_t seed) {
  TrainOptions o;
  o.settings.steps = steps, o.settings.batch = batch, o.settings.rate = rate, o.settings.seed = seed;
  return Train(p, o);
}

constexpr char kBoxQp[] = R"(
dim n = 10
data     B : real[n, n] ~ normal(0, 1)
data     Q : real[n, n] = B' * B / n + 0.1 * eye(n)
context  p : real[n] ~ normal(0, 1)
variable y : real[n] in box(0, 1)
minimize 0.5 * y' * Q * y + p' * y
model mlp(hidden = [64])
)";

TEST(Train, ABoxQpNearsTheSolver) {
  const Problem p = MakeProblem(kBoxQp);
  const TrainSummary t = Learn(p, 1500, 128, 3e-3, 5);
  ASSERT_EQ(t.status, TrainStatus::kDone);
  const Means m = Compare(p, t, 256);
  EXPECT_GE(m.model - m.solver, -1e-9);
  EXPECT_LT(m.model - m.solver, 0.05 * -m.solver);
  EXPECT_GE(m.answer.at("y").min().item<double>(), 0);
  EXPECT_LE(m.answer.at("y").max().item<double>(), 1);
}

// Labels from the solver instead of the objective; the answer is the same kind.
TEST(Train, RegressionNearsTheSolver) {
  const Problem p = MakeProblem(std::string(kBoxQp) + "loss regression\n");
  const TrainSummary t = Learn(p, 1500, 128, 3e-3, 5);
  ASSERT_EQ(t.status, TrainStatus::kDone);
  const Means m = Compare(p, t, 256);
  EXPECT_LT(m.model - m.solver, 0.08 * -m.solver);
}

// Refinement steps take part in training, and lower the objective of the answer.
TEST(Train, ThroughGradientSteps) {
  const std::string text(kBoxQp);
  const Problem p = MakeProblem(text.substr(0, text.find("model")) +
                                "model mlp(hidden = [32]) then gradient(steps = 5, rate = 0.3)\n");
  const TrainSummary t = Learn(p, 300, 64, 3e-3, 5);
  ASSERT_EQ(t.status, TrainStatus::kDone);
  Values all = Draw(p, 128, 99);
  for (const auto& [name, v] : t.state.best_learned) all[name] = v;
  const ModelRun run = RunModel(p, all, 128);
  Values before = all, after = all;
  before["y"] = run.projected.at("y"), after["y"] = run.answer.at("y");
  EXPECT_LT(Objective(p, after, 128).mean().item<double>(), Objective(p, before, 128).mean().item<double>());
  const Means m = Compare(p, t, 128);
  EXPECT_LT(m.model - m.solver, 0.05 * -m.solver);
}

// Two losses, two owners: each moves its own. `b` follows the mean of x under its loss, the model follows x - b.
TEST(Train, EachLossMovesWhatItOwns) {
  const Problem p = MakeProblem(R"(
context x : real ~ normal(3, 0.1)
parameter b : real = 0
variable y : real
minimize (y - (x - stop(b)))^2
model linear
loss b: (x - b)^2
loss model: objective
)");
  const TrainSummary t = Learn(p, 1500, 64, 1e-2, 1);
  ASSERT_EQ(t.status, TrainStatus::kDone);
  EXPECT_NEAR(t.state.best_learned.at("b").item<double>(), 3, 0.1);
  EXPECT_NEAR(t.state.best_learned.at("trained").item<double>(), 1500, 0);
}

// One side of a game: the dual of transport from N(0, 1) to N(0, 9), whose potential is 3 x^2 / 2. Its loss is 0 at the
// solution and below 0 before it, so that the last weights are the model, and not those of the least loss.
TEST(Train, ALossThatHoldsStopDoesNotJudge) {
  const Problem p = MakeProblem(R"(
hidden a : real ~ normal(0, 1)
context y : real ~ normal(0, 3)
parameter la : real = 0
function pot(x : real) -> real = exp(la) * x^2 / 2
variable x : real
minimize pot(x) - x * y
model x = y / exp(la)
loss la: pot(a) - pot(stop(x))
)");
  const TrainSummary t = Learn(p, 1500, 64, 1e-2, 1);
  ASSERT_EQ(t.status, TrainStatus::kDone);
  EXPECT_NEAR(std::exp(t.state.best_learned.at("la").item<double>()), 3, 0.5);
  EXPECT_LT(t.state.history.front().validation, t.state.best);
}

// A random in the objective: the minimizer of E (y - x - e)^2 is x.
TEST(Train, RandomsAreDrawnAnew) {
  const Problem p = MakeProblem(R"(
context x : real ~ uniform(-1, 1)
variable y : real
random e : real ~ normal(0, 0.5)
minimize (y - x - e)^2
model linear
)");
  const TrainSummary t = Learn(p, 1500, 128, 1e-2, 1);
  Values all = Draw(p, 64, 9);
  for (const auto& [name, v] : t.state.best_learned) all[name] = v;
  EXPECT_LT((RunModel(p, all, 64).answer.at("y") - all.at("x")).abs().max().item<double>(), 0.1);
}

TEST(Train, SameSeedSameLosses) {
  const Problem p = MakeProblem(
      "context x : real[3] ~ normal(0, 1)\nvariable y : real[3] in simplex\nminimize sumsq(y - x)\nmodel mlp(hidden = "
      "[16])\n");
  const TrainSummary a = Learn(p, 40, 32, 1e-3, 1), b = Learn(p, 40, 32, 1e-3, 1), c = Learn(p, 40, 32, 1e-3, 2);
  ASSERT_EQ(a.state.history.size(), 41u);
  for (std::size_t i = 1; i < a.state.history.size(); ++i) EXPECT_EQ(a.state.history[i].loss, b.state.history[i].loss);
  EXPECT_NE(a.state.history[1].loss, c.state.history[1].loss);
  EXPECT_LT(a.state.best, a.state.history[0].validation);
}

// Stopped in the middle and continued: the same weights, bit for bit, as without a stop.
TEST(Train, GoesOnExactly) {
  const Problem p = MakeProblem(
      "context x : real[3] ~ normal(0, 1)\nvariable y : real[3] in simplex\nminimize sumsq(y - x)\n"
      "model mlp(hidden = [16])\ntrain rate = 1e-2 / (1 + trained)\n");
  TrainOptions o;
  o.settings.steps = 60, o.settings.batch = 16, o.settings.seed = 4;
  const TrainSummary whole = Train(p, o);
  std::atomic<bool> stop{false};
  TrainOptions half = o;
  half.stop = &stop;
  half.progress = [&](const TrainProgress& q) { stop = q.step == 23; };
  const TrainSummary first = Train(p, half);
  ASSERT_EQ(first.status, TrainStatus::kStopped);
  EXPECT_EQ(first.state.step, 23);
  TrainOptions rest = o;
  rest.resume = &first.state;
  const TrainSummary second = Train(p, rest);
  ASSERT_EQ(second.status, TrainStatus::kDone);
  for (const auto& [name, w] : whole.state.learned) EXPECT_TRUE(w.equal(second.state.learned.at(name))) << name;
  for (const auto& [name, w] : whole.state.best_learned)
    EXPECT_TRUE(w.equal(second.state.best_learned.at(name))) << name;
  ASSERT_EQ(whole.state.history.size(), second.state.history.size());
  for (std::size_t i = 0; i < whole.state.history.size(); ++i)
    EXPECT_EQ(whole.state.history[i].validation, second.state.history[i].validation);
}

TEST(Train, EndsEarlyWithoutBetterLooks) {
  const Problem p =
      MakeProblem("context x : real ~ normal(0, 1)\nvariable y : real\nminimize (y - x)^2\nmodel linear\n");
  TrainOptions o;
  o.settings.steps = 20000, o.settings.batch = 32, o.settings.rate = 0.3, o.patience = 5;
  const TrainSummary t = Train(p, o);
  EXPECT_EQ(t.status, TrainStatus::kEarly);
  EXPECT_LT(t.state.step, 20000);
}

TEST(Train, SaysThatItDiverged) {
  const Problem p =
      MakeProblem("context x : real ~ normal(0, 1)\nvariable y : real\nminimize exp(y * y) - x\nmodel linear\n");
  const TrainSummary t = Learn(p, 50, 16, 1e3, 1);
  EXPECT_EQ(t.status, TrainStatus::kDiverged);
  EXPECT_NE(t.message.find("smaller rate"), std::string::npos) << t.message;
}

TEST(Train, NothingToLearn) {
  const Problem p =
      MakeProblem("context x : real ~ normal(0, 1)\nvariable y : real\nminimize (y - x)^2\nmodel zeros\n");
  EXPECT_EQ(Learn(p, 5, 4, 1e-3, 1).status, TrainStatus::kNothingLearned);
}

// Values after steps: y(step = t) of a contraction y <- y / 2 + x, against the closed form.
TEST(Run, TracesFollowTheIteration) {
  const Problem p = MakeProblem(R"(
context x : real ~ normal(0, 1)
variable y : real
minimize (y - 2 * x)^2
update y = y / 2 + x
model y = 4 then iterate(steps = 3)
let far = abs(y - 2 * x)
report late = expect(sum(t in 1..5: far(step = t)))
report third = expect(y(step = 3))
)");
  ASSERT_EQ(p.program.traces.size(), 2u);
  const Values all = Draw(p, 7, 3);
  RunOptions o;
  for (const compiler::Trace& t : p.program.traces) o.traces.push_back(&t);
  const ModelRun run = RunModel(p, all, 7, o);
  const at::Tensor x = all.at("x"), far = (4 - 2 * x).abs();
  const at::Tensor history = run.traces.at(p.program.traces[0].input);
  ASSERT_EQ(history.sizes(), (at::IntArrayRef{7, 4}));
  for (int t = 1; t < 5; ++t)
    EXPECT_LT((history.select(1, t - 1) - far / std::pow(2, t)).abs().max().item<double>(), 1e-12);
  EXPECT_LT((run.answer.at("y") - (2 * x + (4 - 2 * x) / 8)).abs().max().item<double>(), 1e-12);
  EXPECT_LT((run.traces.at(p.program.traces[1].input) - run.answer.at("y")).abs().max().item<double>(), 1e-12);
}

// What a person hands in is named where it is wrong.
TEST(Contexts, AreCheckedAtTheBorder) {
  const Problem p = MakeProblem(
      "context a : real[2] ~ normal(0, 1)\ncontext b : real ~ normal(0, 1)\nvariable y : real\nminimize (y - b)^2 + "
      "a[0]\n");
  const Array b = MakeDoubles("b", {3}, {1, 2, 3});
  const auto message = [&](Array a) {
    const Result<Values> r = ReadContexts(p, {std::move(a), b}, "file `c.npz`");
    return r.ok() ? std::string("ok") : r.message();
  };
  EXPECT_EQ(message(MakeDoubles("a", {3, 2}, {1, 2, 3, 4, 5, 6})), "ok");
  EXPECT_EQ(message(MakeDoubles("a", {3, 2}, {1, 2, 3, NAN, 5, 6})),
            "file `c.npz`: field `a`, instance 1, entry 1 is nan");
  EXPECT_EQ(message(MakeDoubles("a", {3, 3}, std::vector<double>(9, 1))),
            "file `c.npz`: field `a` is float64[3,3], expected a batch of `a[2]`: [B, 2]");
  EXPECT_EQ(message(MakeDoubles("a", {2, 2}, {1, 2, 3, 4})), "file `c.npz`: field `b` has 3 instances, `a` has 2");
  EXPECT_EQ(message(MakeDoubles("c", {3, 2}, {1, 2, 3, 4, 5, 6})),
            "file `c.npz`: the context `a` is missing; it has `c`, `b`");
}

}  // namespace
}  // namespace amo::runtime
