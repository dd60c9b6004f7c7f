// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_LOSSES_H_
#define AMO_RUNTIME_LOSSES_H_

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Generator.h>

#include "runtime/problem.h"
#include "runtime/train.h"

// The losses of a program on a batch, and the gradient of each by what it moves.
namespace amo::runtime {

// A loss with what it moves, what it needs from a run of the model, and how it is stepped.
struct Task {
  const compiler::Loss* loss;
  std::vector<std::string> moves;              // learned values, by input name
  std::vector<const compiler::Trace*> traces;
  bool answer = false;                         // it reads variables or states
  double clip, decay, beta1 = 0.9, beta2 = 0.999;
  double updates = 1;                          // gradient steps for each step of the training; below 1: every 1/u-th
  const compiler::Function* rate = nullptr;    // null: the default
};

// One task for each loss that moves something.
std::vector<Task> TasksOf(const compiler::Program& program, const Values& learned, const TrainSettings& settings);

// The rate after `trained` steps.
double RateOf(const Problem& problem, const Task& task, std::int64_t trained, double otherwise);

// Everything a batch needs beside what is learned: contexts, hidden values, randoms, labels.
struct Batch {
  Values values;
  std::int64_t size = 0;
};

struct LossValue {
  at::Tensor plain, training;  // the mean over the batch; what training minimizes
};

// One for each task, by one run of the model. `penalty`: on the squared violation of what no projection keeps. `draws`:
// of what each step draws; null: a fixed seed.
std::vector<LossValue> LossesOf(const Problem& problem, const std::vector<const Task*>& tasks, const Batch& batch,
                                const Values& learned, double penalty, at::Generator* draws);

struct LossGradients {
  std::vector<LossValue> values;                   // by task
  std::vector<std::vector<at::Tensor>> gradients;  // by task and by Task::moves; undefined where nothing arrives
};

// By derivatives, or as Loss::by says:
//   smoothing  E L(y + sigma e) for the answer y: the mean of (L(y + sigma e) - L(y - sigma e)) / (2 sigma) e arrives
//              at y, and goes on by derivatives
//   evolution  E L(θ + sigma e) for what is learned, the same way, without any derivative (Salimans et al. 2017,
//              antithetic); every point sees the same batch and the same draws
LossGradients GradientsOf(const Problem& problem, const std::vector<const Task*>& tasks, const Batch& batch,
                          const Values& learned, double penalty, at::Generator& draws);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_LOSSES_H_
