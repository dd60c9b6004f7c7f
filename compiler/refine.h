// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_REFINE_H_
#define AMO_COMPILER_REFINE_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/build_parts.h"

// Refinements that are formulas: one step as a function of what is moved, the method's own states, the contexts and
// what is learned. Such a step runs on every executor, has derivatives like any other function, and goes on for as
// many steps as are asked for. One method is one row of the table in refine.cc and one file.
namespace amo::compiler {

// What a method's `begin` and `step` are written in. Values that are moved are the variables, or, for a model that
// searches `over` others, those.
// Values of what is moved and of the method's states, where a step is written out among other expressions.
struct RefineValues {
  const std::map<std::string, Term>& now;
  std::map<std::string, Term> next;
};

class Refine {
 public:
  // `begin`: the function of the states before the first step is built, else that of a step. `values`: read and set
  // instead of inputs and outputs; may be null.
  Refine(Parts& parts, Scope& scope, const lang::Stages& stages, const lang::Expr& written, Refinement& out,
         std::string prefix, bool begin, RefineValues* values = nullptr);

  Scope& s;
  const std::vector<Named>& moved() const { return moved_; }
  const Term& now(std::size_t k) const { return now_[k]; }

  // The setting as a value: a number, an expression of what a step may see, or `learned(start)`.
  std::optional<Term> Setting(const std::string& key);
  double Number(const std::string& key, double otherwise);  // known when the file is compiled
  bool Flag(const std::string& key);
  lang::Span span() const { return written_.span; }

  // The quantity that is minimized where the moved values are `at`. Scalar, under the loops of `at`.
  Term Objective(const std::vector<Term>& at);
  struct Slope {
    Term value;
    std::vector<Term> by;  // each of the moved values
  };
  // Constants for derivatives where the file says `first_order` and `constant` is true.
  Slope Gradient(const std::vector<Term>& at, bool constant = true);
  bool FirstOrder() const { return out_.passage == Passage::kFirstOrder; }
  Term Project(std::size_t k, const Term& y);        // onto its set
  std::vector<Term> Project(std::vector<Term> y);
  const lang::Expr* SetOf(std::size_t k) const;      // null where it is free
  bool IsBox(std::size_t k) const;                   // it is free, or each entry has bounds of its own

  // The method's own state: `Begin` gives it its start, State reads it, Next sets it one step on.
  void Begin(const std::string& name, const Term& start);
  Term State(const std::string& name);
  void Next(const std::string& name, const Term& value);
  void Move(const std::vector<Term>& next);          // the moved values one step on
  void BeginAgain();                                 // the state that Again sets
  void Again(const Term& rejected);                  // a bool: nothing moves now, and the next step tries another one
  // A draw of a standard normal for each step, with `count` leading entries as loop `loop`.
  Term Noise(std::size_t k, int loop);
  std::string StateName(const std::string& name) const { return prefix_ + "/" + name; }

  // What `iterate` and `anderson` repeat: the fixed point of `find`, the file's `update`, else a gradient step; with
  // `descent` that in any case.
  std::vector<Term> FixedPointMap(const std::vector<Term>& at, const Term& rate, bool descent = false);

  void Finish();  // keeps what has settled (`tol`), goes back where the objective would rise (`safeguard`); outputs

 private:
  std::vector<Term> Predicted(const std::vector<Term>& at);  // the variables of a model that searches `over` others
  Term Read(const std::string& name, const Type& type);
  void Write(const std::string& name, const Term& value);

  Parts& parts_;
  const lang::Stages& stages_;
  const lang::Expr& written_;
  Refinement& out_;
  std::string prefix_;
  bool begin_;
  RefineValues* values_;
  std::vector<Named> moved_;
  std::vector<Term> now_, next_;
  std::map<std::string, Term> next_states_;
  std::vector<std::string> begun_;
};

// Reads what stands after `then`. Refused where it is none that runs; reported then.
Refinement ReadRefinement(Parts& parts, const lang::Stages& stages, const lang::Expr& written, bool is_model,
                          std::size_t place);

// How a written refinement that is a formula begins and steps; {null, null} where it is none.
struct Method {
  void (*begin)(Refine&) = nullptr;
  void (*step)(Refine&) = nullptr;
};
Method MethodOf(const lang::Expr& written);

// Variables and states that the file's `update`s, or its fixed points, move: one step on (build_stages.cc).
std::map<std::string, Term> UpdatedValues(Parts& parts, Scope& s);

// T where `find` says that the variable is T; null where it does not.
const lang::Expr* FixedPointOf(const lang::Problem& problem, const std::string& variable);

// The predictions that a model writes, one for each variable, not projected; `over` values are locals of the scope.
std::vector<Term> Predictions(Parts& parts, Scope& s, const lang::Stages* written, bool is_model);

// The methods, one file each.
void BeginNothing(Refine&);
void StepGradient(Refine&);           // refine_descent.cc
void StepRiemannian(Refine&);
void BeginMomentum(Refine&);
void StepMomentum(Refine&);
void BeginAdam(Refine&);
void StepAdam(Refine&);
void BeginProximal(Refine&);          // refine_proximal.cc
void StepProximal(Refine&);
void BeginCem(Refine&);               // refine_cem.cc
void StepCem(Refine&);
void StepComplete(Refine&);           // refine_feasible.cc
void BeginCorrect(Refine&);
void StepCorrect(Refine&);
void BeginAnderson(Refine&);          // refine_anderson.cc
void StepAnderson(Refine&);
void StepNewton(Refine&);             // refine_newton.cc
void BeginIlqr(Refine&);              // refine_ilqr.cc
void StepIlqr(Refine&);
void BeginLbfgs(Refine&);
void StepLbfgs(Refine&);

// The setting `memory`, from 1 to 16 of `what`, 5 where it is not written (refine_anderson.cc).
std::int64_t MemoryOf(Refine& r, const char* what);

// `first` before all but the last of `rows` (refine_anderson.cc).
Term Shifted(Scope& s, const Term& first, const Term& rows);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_REFINE_H_
