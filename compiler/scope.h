// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_SCOPE_H_
#define AMO_COMPILER_SCOPE_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "compiler/ir.h"
#include "lang/problem.h"

// The state of building one function from expressions. A binder is not unrolled: its index becomes a leading axis of
// every value that depends on it, and the binder's reduction removes the axis again.
namespace amo::compiler {

// A value under the binders that are open: its first axes are the loops `axes` (ids, ascending), the rest its own
// shape.
struct Term {
  Value value;
  std::vector<int> axes;
  bool row = false;       // x' of a vector
  int index_axis = -1;    // the value is exactly the index of this loop plus `index_offset`: then indexing is a view
  std::int64_t index_offset = 0;
};

// Where a network's weights come from, in the order in which its layers ask for them.
struct NetworkWeights {
  enum class From : std::uint8_t { kOwn, kGiven, kCounted } from = From::kOwn;
  std::string name;             // own: the inputs weight/NAME/K
  const Term* given = nullptr;  // given: a vector that holds all of them, one after the other
  struct Array {
    std::int64_t count;
    double bound;               // its start: uniform(-bound, bound)
  };
  std::vector<Array> arrays;    // what was asked for
  std::int64_t count = 0;       // all entries of `arrays`
  // Own ones of a family, NAME[i in n]: each array holds those of all members, of which `member` is called.
  Shape family;
  std::vector<Term> member;
};

// A factor of a product of sets, and what of a value has to lie in it.
struct SetPart {
  const lang::Expr* set;
  Term value;
};

// Thrown after a diagnostic was reported; caught where a part of the problem is built.
struct Refused {};

// The inner call when `e` is NAME(x), parentheses apart, else null: densities fuse sigmoid and softmax into the stable
// form.
const lang::Expr* Inside(const lang::Expr& e, const char* name);

struct Plan;

class Scope {
 public:
  using Kinds = std::vector<lang::ValueKind>;
  // `inputs`: the kinds of values that are inputs of this function; all others are computed or drawn here.
  Scope(Builder& builder, const lang::Problem& problem, const Tables& tables, Program& program, Kinds inputs,
        lang::Diagnostics& diagnostics);

  // The scope of a problem that `caller` calls, in the same function and under its loops. `called` has to stay.
  Scope(Scope& caller, const lang::Problem& called);

  Builder& b;
  const lang::Problem& problem;
  const Tables& tables;
  Program& program;
  lang::Diagnostics& diagnostics;

  // ---- expressions (build_expr.cc)
  Term Eval(const lang::Expr& e);
  Term EvalNamed(const std::string& name, lang::Span at);
  Term Objective(lang::Span at);                                  // the quantity that is minimized
  Term Family(const std::vector<lang::Binder>& index, const lang::Expr& body);  // [index: body]
  Shape Dims(const lang::TypeExpr& type);
  Shape Dims(const lang::ValueDecl& v);                           // its index first; requires a type
  Elem ElemOf(const lang::TypeExpr& type);
  double Constant(const lang::Expr& e, const std::string& what);  // a number known at compile time
  std::optional<double> TryConstant(const lang::Expr& e);
  Term Declared(Term t, const lang::TypeExpr& type, lang::Span at);  // fills scalars, converts, checks the shape
  Term Declared(Term t, const lang::ValueDecl& v, lang::Span at);

  // ---- calls (build_call.cc, build_matrix.cc), networks (build_network.cc), draws and sets (build_draw.cc)
  Term Call(const lang::Call& call, const lang::Expr& e);
  std::optional<Term> Builtin(const std::string& name, const lang::Call& call, const lang::Expr& e);
  std::optional<Term> MatrixBuiltin(const std::string& name, const lang::Call& call, const lang::Expr& e);
  Term Reduction(const lang::BinderCall& call, const lang::Expr& e);
  Term Scan(const lang::BinderCall& call, const lang::Expr& e);  // build_scan.cc
  Term Grad(const lang::Call& call, const lang::Expr& e);        // build_grad.cc
  Term Apply(const lang::FunctionDecl& f, const lang::Call& call, const lang::Expr& e);
  Term CallNetwork(const lang::NetworkDecl& network, const lang::Call& call,
                   const std::vector<lang::IndexItem>& member, const lang::Expr& e);
  // builder: null for the default model; given: the weights, where they are no inputs of the function.
  Term Network(const std::string& name, const lang::Expr* builder, const std::vector<Term>& args, const Shape& result,
               lang::Span at, const Term* given = nullptr);
  Term NetworkFrom(NetworkWeights& weights, const lang::Expr* builder, const std::vector<Term>& args,
                   const Shape& result, lang::Span at);
  Term WeightOf(NetworkWeights& weights, const Shape& shape, double bound, lang::Span at);  // the next array
  [[noreturn]] void RefuseBodiless(const lang::NetworkDecl& network);
  const lang::Expr& LayersOf(const lang::NetworkDecl& network);  // its builder, or that of what it follows
  std::vector<NetworkWeights::Array> WeightArrays(const lang::NetworkDecl& network);
  std::int64_t WeightCount(const lang::NetworkDecl& network);         // weights(NETWORK)
  std::vector<double> WeightBounds(const lang::NetworkDecl& network);  // of each entry: init(NETWORK)
  const lang::NetworkDecl* FindNetwork(const std::string& name) const;  // null: it is none
  // conv1d, conv2d, maxpool (build_convolution.cc)
  std::optional<Term> ConvolutionBuiltin(const std::string& name, const lang::Call& call, const lang::Expr& e);
  Term Convolved(const Term& x, const Term& kernel, std::int64_t stride, std::int64_t pad, lang::Span at);
  Term Shifts(const Term& x, std::int64_t count, std::int64_t length, lang::Span at);
  Term Deconvolved(const Term& x, const Term& kernel, std::int64_t stride, std::int64_t pad, lang::Span at);
  Term MaxPooled(const Term& x, std::int64_t size, std::int64_t stride, lang::Span at);
  // `axes`: the loops over which each element is a draw of its own.
  Term Draw(const lang::Expr& distribution, const Shape& shape, const std::string& name, Role role,
            const std::vector<int>& axes, bool random);
  Term Project(const lang::Expr& set, Term v);
  std::vector<SetPart> Factors(const lang::Expr& set, const Term& v);  // of a product; a plain set with all of v
  struct Set {
    const lang::SetDecl* decl;
    std::vector<Term> args;  // in the order of its parameters
  };
  Set SetOf(const lang::Expr& set);
  Term ProjectOnto(const Set& set, const Term& v);

  // ---- constraints and the results of runs (build_result.cc)
  // The amounts by which it fails, flat; `shifted`: of its sides moved by "multiplier/NAME" over "penalty", and with
  // the signs of equations.
  Term Amounts(const lang::Constraint& c, bool shifted = false);
  // All that constraints and sets demand, one vector each: entries of `negative` are <= 0, of `equal` 0. A set that is
  // no polyhedron is left out. build_constraint.cc
  struct Demands {
    Term negative, equal;
  };
  Demands AllDemands();
  Term Violation(const std::string& name, lang::Span at);            // its norm; "": the sum over all constraints
  Term Solved(const std::string& name, lang::Span at);
  Term Regression(lang::Span at);
  Term EquationSides();                                              // of all `find`: left less right, flat
  Term Residual(lang::Span at);
  Term Traced(const std::string& name, const lang::Expr& step);      // NAME(step = t)
  Term Expect(const lang::Expr& e);
  // The logarithms of the probabilities of discrete draws, which have no derivative of their own; where they are asked
  // for, as a loss does.
  std::vector<Term>* log_probabilities = nullptr;
  Term WithScores(const Term& loss);  // build_score.cc
  // Sets variables and states to what the model gives where contexts or networks are replaced, after all its steps or
  // after `step`, for the innermost world (build_elsewhere.cc). Of losses and reports.
  void RunElsewhere(lang::Span at, const Term* step);
  bool IsElsewhere(lang::Span at);  // whether something that the model reads is replaced
  const Plan* plan = nullptr;  // once it is made
  bool results = false;    // a run's results may be used: in losses, and inside `expect`
  bool in_report = false;  // `expect` and other reports may be used
  bool at_start = false;   // of a state: NAME(step = 0) is NAME at the prediction
  bool in_step = false;    // `step`, the number of steps so far, is an input

  // ---- terms (build_term.cc)
  Term Of(Value v) const { return {v, {}, false, -1, 0}; }
  Term Number(double v, Elem elem = Elem::kReal) { return Of(b.Number(v, elem)); }
  Shape Own(const Term& t) const;                                  // its shape without loop axes
  Elem Type(const Term& t) const { return b.type(t.value).elem; }
  Term Real(Term t);
  Term Widen(const Term& t, const std::vector<int>& axes, const Shape& own);  // repeats along missing axes and shape
  Term Unary(Op op, const Term& x);
  Term Binary(Op op, const Term& x, const Term& y, lang::Span at, const std::string& text);
  Term Select(const Term& c, const Term& x, const Term& y, lang::Span at);
  Term Multiply(const Term& x, const Term& y, lang::Span at);
  Term Transposed(const Term& x, lang::Span at);
  Term Contract(const Term& x, const Term& y, const std::vector<std::int64_t>& lx, const std::vector<std::int64_t>& ly,
                const std::vector<std::int64_t>& lo);              // labels of the own axes
  Term ReduceOwn(Op op, const Term& x, std::vector<std::int64_t> own_axes);
  Term ReduceAll(Op op, const Term& x);
  Term Reshaped(const Term& x, Shape own);
  Term Spread(const Term& x, std::vector<std::int64_t> map, Shape own);  // broadcast of the own axes
  Term Index(const Term& x, const std::vector<lang::IndexItem>& items, lang::Span at);
  Term GatherOne(const Term& x, std::size_t dim, const Term& index);  // along that own axis
  Term Concat(std::vector<Term> parts, std::int64_t axis, lang::Span at);
  Term Flat(const Term& x);
  std::vector<Term> Cut(const Term& flat, const std::vector<Shape>& shapes);  // a vector's parts, one after the other
  Term Add(const Term& x, const Term& y) { return Binary(Op::kAdd, x, y, {}, "+"); }
  Term Sub(const Term& x, const Term& y) { return Binary(Op::kSub, x, y, {}, "-"); }
  Term Mul(const Term& x, const Term& y) { return Binary(Op::kMul, x, y, {}, ".*"); }
  Term Div(const Term& x, const Term& y) { return Binary(Op::kDiv, x, y, {}, "/"); }
  Term Norm(const Term& x, lang::Span at);
  Term LogSumExp(const Term& x, std::vector<std::int64_t> own_axes);
  Term LogSoftmax(const Term& x);                                  // along the last axis
  Term XLogX(const Term& x, lang::Span at);                        // 0 at 0
  Term LogGamma(const Term& x, lang::Span at);                     // log |gamma(x)|
  Term Identity(std::int64_t n);
  Term LinearSolution(const Term& a, const Term& right);           // build_matrix.cc
  Term Cholesky(const Term& a);                                    // L of L L' = a
  // Of f, a vector of `rows` entries, by the vector `at`: real[rows, n] (build_grad.cc).
  Term Jacobian(const Term& at, std::int64_t rows, const std::function<Term(const Term&)>& f);
  // x - d, or x - d / 2, x - d / 4, … of so many, where the single number f is least (build_grad.cc).
  Term Descended(const Term& x, const Term& d, std::int64_t halvings, const std::function<Term(const Term&)>& f);
  Term Spectral(const lang::Name& f, const Term& a, const lang::Expr& e);  // build_spectral.cc
  // `start` after as many steps; a step keeps shape and loops (build_scan.cc).
  Term Repeated(const Term& start, std::int64_t steps, const std::function<Term(const Term&)>& step);
  // The same, with `start` and what stands after each step: one more own axis, the first. A step knows its number.
  Term History(const Term& start, std::int64_t steps, const std::function<Term(const Term&, const Term&)>& step);

  // While `ilqr` evaluates its objective: the scan whose states `moved` drives, taken apart (refine_ilqr.cc).
  struct Dynamics {
    std::string name;           // of the variable that is moved
    Value moved;                // its value
    std::optional<Term> given;  // what stands for the states; else they are what they are
    Term states;                // [H + 1, ..]
    std::int64_t steps = 0, found = 0;
    std::function<Term(const Term& z, const Term& t, const Term& moved)> step;
  };
  Dynamics* dynamics = nullptr;

  // ---- loops and names
  struct Loop {
    int id;
    std::int64_t extent;
  };
  // Each binds its name in the innermost frame. A draw opens no loop: it varies with all that are open.
  std::optional<int> OpenLoop(const lang::Binder& binder);
  void OpenLoops(const std::vector<lang::Binder>& binders, std::vector<int>& ids);
  int OpenRange(std::int64_t extent);  // a loop that no binder names
  Term Counter(int id) { return {b.Iota(Extent(id), 0), {id}, false, id, 0}; }
  void CloseLoops(std::size_t count) { open_.resize(open_.size() - count); }  // the innermost ones
  Term InputOnce(const std::string& name, Role role, compiler::Type type);    // a new input, or the one of that name
  std::int64_t Extent(int id) const { return loops_.at(id); }

  struct Frame {
    std::map<std::string, Term> locals;
    std::map<std::string, double> numbers;  // generic dims of a signature
    bool opaque = false;                    // a function's frame: outer locals are not seen
  };
  std::vector<Frame> frames;
  // Values of globals under the replacements of the innermost NAME(k = E).
  struct World {
    std::map<std::string, Term> replaced, memo;
    std::map<std::string, const lang::NetworkDecl*> networks = {};  // what a network's name stands for
  };
  std::vector<World> worlds;

  [[noreturn]] void Refuse(lang::Code code, lang::Span at, std::string message, std::string help = "");
  [[noreturn]] void Unsupported(lang::Span at, std::string what);

 private:
  Term ProjectPart(const lang::Expr& set, Term v);  // of a set that is no product
  Term Global(const std::string& name, const lang::Decl& decl, lang::Span at);
  Term ValueOf(const std::string& name, const lang::ValueDecl& v, lang::Span at);
  Term Field(const lang::Member& m, const lang::Expr& e);
  Term Shaped(const Term& t, const Shape& own, lang::Span at);
  Term ClosedFamily(Term t, const std::vector<int>& loops);
  Term FromOutside(const std::string& name, lang::Span at);  // seen from no local
  Term Called(const lang::Member& m, const lang::Call& call, const lang::Expr& e);  // build_called.cc
  Term Solution(const lang::Problem& called, const std::string& variable, lang::Span at);
  Term DiagonalOf(const Term& x);  // build_matrix.cc
  Term Determinant(const Term& a, lang::Span at);
  Term ColumnOf(const Term& a, std::int64_t k);
  Term RowOf(const Term& a, std::int64_t k);
  Term Quantile(const Term& v, const Term& level, lang::Span at);
  Term CategoricalLogpdf(const Term& x, const Term& logs, lang::Span at);
  Term Eigenvalues(const Term& eigen);  // build_spectral.cc
  Term Eigenvectors(const Term& eigen);
  Term Opened(const lang::BinderCall& call, const Term& states, std::int64_t steps, double lo);  // build_scan.cc
  Term AllStates(Value scan, const std::vector<int>& axes, const Shape& own);  // build_scan.cc
  void DrawForSteps(const lang::Binder& binder, std::int64_t steps, const Term& t);

  Kinds inputs_;
  Scope* caller_ = nullptr;  // of a called problem: what both problems declare has its value there
  std::vector<int> open_;  // the loops around what is evaluated
  std::map<std::string, std::string> traced_names_;
  std::map<int, std::int64_t> loops_;
  int next_loop_ = 0;
};

}  // namespace amo::compiler

#endif  // AMO_COMPILER_SCOPE_H_
