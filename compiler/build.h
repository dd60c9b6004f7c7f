// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_BUILD_H_
#define AMO_COMPILER_BUILD_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/curvature.h"
#include "compiler/ir.h"
#include "lang/problem.h"

// A checked problem as IR functions. Inputs and outputs are matched by name:
//   NAME                a data value or parameter (shared), a context, hidden value, variable or state (per instance)
//   table/SOURCE/FIELD  a whole field of a table (shared)
//   row/NAME/FIELD      the field of the row that the table draw NAME took (per instance)
//   draw/NAME           the base draw behind a `~` (see Draw); shared for data and parameters, per instance otherwise
//   weight/NET/K        the K-th weight array of a network (shared)
//   trained             the number of updates so far (shared)
// What is the result of a run is an input too; the runtime runs first and evaluates then:
//   solved/NAME         the variable NAME as the reference solver has it (per instance)
//   trace/K             see Trace (per instance)
//   expect/K            the mean of Program::expects[K] over the test split (shared)
//   report/NAME         another report's value (shared)
// What this release cannot compile is reported at its span as Code::kUnsupported, and the part is left out.
namespace amo::compiler {

// A base draw: what the runtime samples; everything else about a distribution is an expression in the function.
struct Draw {
  enum class Base { kNormal, kUniform, kExponential, kGamma } base = Base::kNormal;
  double shape = 1;     // of kGamma
  std::string input;    // "draw/NAME"
  Type type;            // real[...]
  bool random = false;  // of a `random`: drawn at each evaluation, not once per file or instance
  bool stepwise = false;  // of one method's steps, which alone reads it
};

// What `model nearest` remembers of N instances of training that the reference solver has solved, as weights that no
// loss moves: the contexts, flat, times a scale for each entry; half of their squared norms; the scale; the solutions,
// flat. A prediction is the solution of the instance whose contexts are nearest.
namespace nearest {
constexpr const char* kContexts = "weight/model.nearest/contexts";    // real[N, contexts]
constexpr const char* kNorms = "weight/model.nearest/norms";          // real[N]
constexpr const char* kScale = "weight/model.nearest/scale";          // real[contexts]
constexpr const char* kSolutions = "weight/model.nearest/solutions";  // real[N, variables]
constexpr const char* kOwner = "model.nearest";
}  // namespace nearest

struct Weight {
  std::string input;  // "weight/NET/K"
  Type type;
  double bound = 0;   // its start: start + uniform(-bound, bound), 1 / sqrt(fan in) as LibTorch's linear layer
  double start = 0;
};

// A network whose weights follow those of another: after each step of training they move by `tau` of the way
// (Lillicrap et al. 2016).
struct SlowNetwork {
  std::string name, follows;
  double tau = 0.005;
};

struct Row {
  std::string name, source, field;  // draw, its table, the field
  std::string input;                // "row/NAME/FIELD"
};

struct Named {
  std::string name;
  Type type;
};

// What is known of tables when a file is compiled: the type of one row's field, by source (as written after `from`, or
// a registered data set's name) and field.
using Tables = std::map<std::string, std::map<std::string, Type>>;

// How derivatives pass the steps of a refinement: through all of them; through the last `through`; with the gradient
// inside each step as a constant (Finn et al. 2017); by the implicit function theorem at where they end; by the answers
// to starts beside the stage's own (Berthet et al. 2020); as if they did nothing; not at all.
enum class Passage : std::uint8_t { kUnroll, kTruncated, kFirstOrder, kImplicit, kPerturbed, kStraightThrough, kNone };

// A refinement of a model, or a method of the reference solver. Where it is a formula `step` is one step: what is moved
// and the method's states one step on, from these, the contexts, what is learned, the draws of the step and "step", the
// number of steps of this refinement so far. It ends with the projection onto the sets, but for the rows of
// Program::projected. `start`: the states before the first step.
struct Refinement {
  std::string name;
  std::map<std::string, double> settings;  // those that are numbers known when the file is compiled
  lang::Span span;
  std::optional<Function> step = {}, start = {};
  std::vector<Named> states = {};
  Passage passage = Passage::kUnroll;
  std::optional<Function> map = {};        // of kImplicit: what is moved → the same; its fixed point is the answer
  std::int64_t through = 0;                // steps of kTruncated; steps of the linear solver of kImplicit, 0: its own
  std::string inner = {};                  // of kImplicit: "cg", "anderson", "dense"
  double inner_tolerance = 0;
  std::string again = {};                  // a state that is not 0 where a step that moves nothing is no end
  double sigma = 0.1;                      // of kPerturbed: the deviation of the starts
  std::int64_t samples = 16;               // and how many there are
};

// The steps that a refinement takes where the file does not say how many.
constexpr std::int64_t kRefinementSteps = 10;
std::int64_t StepsOf(const Refinement& refinement);

// What `model` and `solve` say: a prediction, then refinements.
struct Stages {
  bool written = false;             // the file says so; else what stands here was chosen
  std::optional<Function> predict;  // contexts and what is learned (solve: hidden values too) → each variable
  std::vector<Refinement> refinements;
  // Of a model that searches `over` others: `predict` reads them, and refinements move them instead of the variables.
  std::vector<Named> latents;
  std::optional<Function> latent_start;  // contexts and what is learned → each of them, in its set
};

// A value after refinement steps, NAME(step = t): `value` at the variables and states after `first`, `first` + 1, …
// steps of one run of the model. With an axis it is the run's history [count, ...], as a binder over t reads it.
struct Trace {
  std::string input;  // "trace/K"
  Function value;     // → "value"
  std::int64_t first = 0, count = 1;
  bool axis = false;
};

// How the gradient of a loss is had: by derivatives; by those of the loss smoothed over the answer, or over what is
// learned, each estimated from values at random points.
enum class Estimator : std::uint8_t { kBackprop, kSmoothing, kEvolution, kScore };

struct Loss {
  std::vector<std::string> owners;  // networks, parameters, "model"; empty: everything learned that no other loss names
  Function value;                   // → "loss", per instance
  bool objective = false;           // it is the minimized objective at the answer, and nothing else
  lang::Span span;
  Estimator by = Estimator::kBackprop;
  double sigma = 0.1;                // the deviation of the points
  std::int64_t samples = 16;         // how many, in pairs
};

// The keys of `train`. Unset ones: the runtime's defaults, which lang::Defaults prints.
struct Settings {
  std::map<std::string, double> numbers;  // steps epochs batch clip decay beta1 beta2 seed precision updates
  std::optional<Function> rate;           // → "rate", a scalar of `trained`
  bool split = true;                      // false: `split = none`
  double test_share = 0;                  // `split = 0.2`: of the rows of each table; 0: the default
  bool lagrangian = false;                // `constraints = lagrangian`: multipliers beside the penalty
  bool skip_infeasible = false;           // `infeasible = skip`: draws without a feasible point are left out
};

// Rows of the constraints and sets of a program: one comparison of a constraint, or one part of a variable's set. They
// hold where each entry of `output` is zero, or is not positive.
enum class Cone : std::uint8_t { kZero, kNegative };
struct ConeRows {
  std::string name;    // of the constraint or of the variable
  bool set = false;    // it is a variable's set
  Cone cone = Cone::kNegative;
  std::int64_t count = 0;
  std::string output;  // of Program::sides
  bool affine = false;
};

// What the objective, or one comparison of a constraint, is as a function of the variables.
struct Classified {
  std::string name;  // of the constraint
  Curvature curvature;
  lang::Span by;     // the source expression that makes it so; empty where there is none
};

// The projection onto sets and linear constraints r(y) = J y + r0 in cones, at once (compiler/conic.h). Inputs beside
// those of the program, each named "conic/…": "jacobian" real[rows, n] and "offset" real[rows], which `at` gives;
// "multipliers" real[rows] of the constraints; "inverse" real[rows, rows] of `matrix`; "y" real[n] and "r" real[rows].
struct ConicProjection {
  std::int64_t rows = 0;
  std::string kind;  // "second-order cone", "semidefinite", "exponential cone", else "convex": of the hardest set
  std::vector<std::pair<std::string, std::int64_t>> constraints;  // in their order, with the rows of each
  Function at;       // → "conic/jacobian", "conic/offset"
  Function left;     // → "left" real[rows], zero for the multipliers of the nearest point
  Function matrix;   // → "matrix" real[rows, rows], a generalized derivative of `left` by the multipliers
  Function nearest;  // → "conic/y" in the sets, "conic/r" in the cones
  Function point;    // → the variables, one Newton step on
};

// What the entries of points can be whose variables are in their sets: all of them convex ones. Of polyhedra the rows
// say it.
constexpr double kNoBound = 1e300;
struct RangeBlock {
  enum class Kind : std::uint8_t { kPsd, kNorm } kind;  // a matrix of `size` rows; an entry that bounds a norm, first
  std::int64_t at, size;                                // from this entry of all variables on
};
struct ConvexRegion {
  Function ranges;  // → "ranges/lo", "ranges/hi" real[n], over the entries of all variables
  std::vector<RangeBlock> blocks;
};

struct Program {
  std::string name;
  std::vector<Named> data, parameters, contexts, hidden, variables, states;
  std::vector<std::string> manifolds;  // variables whose set is a smooth surface: sphere, stiefel
  std::vector<std::string> discrete;   // variables whose set is one of separate points: binary, permutation, …
  std::vector<Draw> draws;
  std::vector<Row> rows;
  std::vector<Weight> weights;
  bool maximize = false;
  std::optional<Function> data_function;    // tables and draws → every data value
  std::optional<Function> start_function;   // data and draws → every parameter's start
  std::optional<Function> weights_function; // tables → every weight of a network that is read from a file
  std::vector<std::string> read;            // parameters and networks from files: fixed unless a loss names them
  std::vector<SlowNetwork> slow;            // no loss moves them
  std::optional<std::int64_t> nearest;      // of `model nearest`: how many solved instances it remembers; see Nearest
  std::optional<Function> sample_function;  // data, rows and draws → every context and hidden value
  std::optional<Function> objective;        // → "objective", the quantity that is minimized
  std::optional<Function> equations;        // of `find`: → "sides", left less right, flat
  bool fixed_point = false;                 // of which one side is a variable, for every variable
  std::optional<Function> project;          // variables and contexts → the variables, in their sets
  std::optional<Function> state_function;   // contexts and what is learned → each state before the first step
  std::optional<Function> update;           // → each variable and state that has an `update`, one step on
  std::vector<Function> constraints;        // each → the amounts by which it fails, flat; named after the constraint
  std::vector<std::string> kept;            // constraints that `project` keeps
  std::optional<ConicProjection> conic;     // where sets that are no polyhedra stand beside linear constraints
  std::optional<ConvexRegion> region;
  std::vector<std::string> projected;  // those that the projection onto the affine ones of `cones`, all at once, keeps
  bool corrected = false;                   // predictions are moved towards the others: runtime/correct.h
  // Where there are others: objective + penalty / 2 * the squared distances of their sides, moved by multiplier /
  // penalty, from their cones; and what the multipliers become (the augmented Lagrangian: Hestenes 1969, Powell 1969;
  // for cones Shapiro, Sun 2004). Inputs beside the objective's: "multiplier/NAME" real[amounts] and "penalty", per
  // instance.
  std::optional<Function> lagrangian;       // → "lagrangian"
  std::optional<Function> multipliers;      // → "multiplier/NAME" for each of them
  std::optional<Function> sides;            // → each of `cones`, flat, in their order
  std::optional<Function> affine;           // the same of those that are affine in the variables
  std::vector<ConeRows> cones;
  std::vector<Classified> classes;          // the objective, then the comparisons of all constraints
  bool rows_whole = false;                  // `cones` are all that constraints and sets demand
  Stages model, solve;
  std::vector<Loss> losses;
  std::map<std::string, Settings> train;    // by owner, "" for all
  std::vector<Trace> traces;
  std::vector<Function> expects;            // → "value", per instance
  std::vector<Function> reports;            // → "report"; named after the report; an earlier one uses no later one
};

// Whether a projection keeps the constraint, so that every prediction does.
bool IsKept(const Program& program, const std::string& constraint);

// Every function of a program under the name and role that `explain` and `dump` show.
struct NamedFunction {
  std::string name, role;
  const Function* function;
};
std::vector<NamedFunction> FunctionsOf(const Program& program);

Program Build(const lang::Program& program, const lang::Problem& problem, const Tables& tables,
              lang::Diagnostics& diagnostics);

}  // namespace amo::compiler

#endif  // AMO_COMPILER_BUILD_H_
