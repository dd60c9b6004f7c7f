// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_CHECKER_H_
#define AMO_LANG_CHECKER_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lang/builtins.h"
#include "lang/check.h"
#include "lang/uses.h"

// The state of one check, private to check*.cc. A file for each kind of thing checked: check_name (what names stand
// for), check_expr, check_operator, check_binder (expressions), check_call, check_builtin (calls), check_set (sets and
// distributions), check_stages (models, networks, settings), check_decl (declarations), check_time (when and why),
// check_owner (who moves what).
namespace amo::lang {

// The whole numbers that an index takes; both ends belong to it.
struct Interval {
  double lo = 0, hi = 0;
};

struct Local {
  std::string name;
  Span span;
  Type type;
  std::optional<Dim> symbol;      // of an index: how it stands in the length of a slice
  std::optional<Interval> range;  // of an index, where it is known
};

struct Signature {
  std::vector<Type> params;
  Type result;
  std::set<std::string> generics;
};

// What an expression rests on: the declared values and networks it reaches, each with where this expression does so.
using Roots = std::map<std::string, Span>;

struct CalledProblem {
  Problem problem;
  Checked checked;
};

class Checker {
 public:
  Checker(const Program& program, const Problem& problem, Diagnostics& out, Checked& checked);
  void Run();

 private:
  // A stretch of checking with its own names: locals go when it ends. `fresh` hides all names of the outside
  // and reports what it finds, whoever asked.
  class Scope {
   public:
    explicit Scope(Checker& checker, bool fresh = false);
    ~Scope();
    Scope(const Scope&) = delete;

   private:
    Checker& checker_;
    std::vector<Local> locals_;
    std::set<std::string> generics_;
    std::size_t file_;
    bool in_report_;
    Diagnostics* out_;
  };

  // ---- check_name.cc
  const Local* FindLocal(const std::string& name) const;
  const Decl* DeclOf(const std::string& name) const;  // null: unknown here
  const ValueDecl* FindValue(const std::string& name) const;
  bool IsProblem(const std::string& name) const;
  Span SpanOf(const std::string& name) const;  // where a name is declared
  std::size_t FileOf(Span span) const;
  bool IsStdlib(Span span) const;
  Type TypeOf(const std::string& name);
  Type TypeOfValue(const Decl& decl, const ValueDecl& value);
  Type TypeOfLet(const LetDecl& let);
  Type TypeOfState(const UpdateDecl& update);
  const Signature* SignatureOf(const Decl& decl);  // null: in error
  Dim WeightsOf(const std::string& network) const;
  std::optional<Dim> ToDim(const Expr& expr) const;
  std::optional<Dim> DimOf(const Expr& expr);  // reports
  std::optional<double> NumberOf(const Expr& expr) const;
  std::optional<Interval> IntervalOf(const Expr& expr) const;
  Type ToType(const TypeExpr& type);
  std::set<std::string> GenericsOf(const std::vector<Param>& params, const TypeExpr* result);
  void WarnOfLoneGenerics(const std::vector<Param>& params, const TypeExpr* result);
  std::string Quote(const Expr& expr) const;  // its text in backticks, or "this"
  std::string_view KindOf(const std::string& name) const;
  void ReportUnknown(const Ident& name);
  const DataSet* TableOf(const Expr& expr) const;

  // ---- check_expr.cc
  Type Infer(const Expr& expr);
  Type InferValue(const Expr& expr);   // a number, a truth or an array of them; the rest is reported
  Type InferNumber(const Expr& expr);  // no bool
  Type AsValue(const Expr& expr, Type type);
  Type AsNumber(const Expr& expr, Type type);
  Type InferWhole(const Expr& expr, std::string_view what);
  void Condition(const Expr& expr, std::string_view what);
  void Guard(const Expr& condition);
  Type InferName(const Name& node, const Expr& expr);
  Type InferMember(const Member& node, const Expr& expr);
  Type InferIndex(const Index& node, const Expr& expr);
  void CheckBounds(const Expr& at, const Dim& dim, const Index& node);
  std::optional<Dim> CheckSlice(const IndexItem& item, const Dim& dim, const Index& node);
  Type InferArray(const Array& node, const Expr& expr);
  Type InferIf(const If& node, const Expr& expr);
  Type InferWhere(const Where& node);
  void Define(const Definition& definition);
  // Whether `got`, the type of `value`, can stand where `want` is declared; `fill`: a scalar may fill an array.
  bool Assign(const Expr& value, const Type& got, const Type& want, bool fill, const std::string& name, Span declared);
  void LabelOrigin(Diagnostic& diagnostic, const Expr& expr, const Type& type);

  // ---- check_operator.cc
  Type InferTranspose(const Transpose& node, const Expr& expr);
  Type InferUnary(const Unary& node, const Expr& expr);
  Type InferBinary(const Binary& node, const Expr& expr);
  Type InferProduct(const Binary& node, const Expr& expr, const Type& a, const Type& b);
  Type InferCompare(const Compare& node, const Expr& expr);
  bool CheckChain(const Compare& node);
  // The shape of an elementwise combination; none when they do not combine.
  static std::optional<Type> Combine(const Type& a, const Type& b);
  static Elem JoinElem(Elem a, Elem b);

  // ---- check_binder.cc
  bool Bind(const Binder& binder, std::vector<Dim>* lengths);
  std::optional<std::vector<Dim>> BindIndices(const std::vector<Binder>& binders);
  static Type Family(const std::optional<std::vector<Dim>>& outer, const Type& element);
  Type InferComprehension(const Comprehension& node, const Expr& expr);
  Type InferBinderCall(const BinderCall& node, const Expr& expr);
  Type InferScan(const BinderCall& node, const Expr& expr);

  // ---- check_call.cc
  Type InferCall(const Call& node, const Expr& expr);
  Type CallFunction(const Call& node, const Expr& expr, const Ident& name, const Decl& decl);
  Type CallReplaced(const Call& node, const Expr& expr, const std::string& name, const Type& type);
  void CheckReplacement(const Argument& argument, const Expr& expr);
  Type CallOfValue(const Call& node, const Ident& name);
  Type CallProblem(const Call& node, const Expr& expr, const Ident& name, const Ident* field);
  CalledProblem* Called(const std::string& name);
  Type Import(const Type& type, const CalledProblem& called) const;
  bool Unify(const Dim& pattern, const Dim& actual, const std::set<std::string>& generics,
             std::map<std::string, Dim>& bound) const;
  bool Unify(const Type& pattern, const Type& actual, const std::set<std::string>& generics,
             std::map<std::string, Dim>& bound) const;
  Type Bound(const Type& type, const Signature& signature, const std::map<std::string, Dim>& bound) const;
  void ReportCount(const Call& node, const Expr& expr, std::string_view usage, int min_args, int max_args);
  bool StartsLine(Span span) const;
  static Span OpeningOf(const Call& node, const Expr& expr);

  // ---- check_builtin.cc
  Type CallBuiltin(const Call& node, const Expr& expr, const Builtin& builtin);
  Type CallElementwise(const Call& node, const Builtin& builtin);
  Type CallReduction(const Call& node, const Builtin& builtin);
  Type CallLinear(const Call& node, const Builtin& builtin);
  Type CallShape(const Call& node, const Builtin& builtin);
  Type CallBlock(const Call& node);
  Type CallConvolution(const Call& node, const Builtin& builtin);
  Type CallDensity(const Call& node, const Builtin& builtin);
  Type CallSpecial(const Call& node, const Expr& expr, const Builtin& builtin);
  Type CallGrad(const Call& node);
  Type InferArgument(const Call& node, std::size_t i, int rank, const Builtin& builtin);  // of that rank; -1: any
  bool IsSquare(const Type& type, const Expr& expr, const Builtin& builtin);
  bool Agree(const Dim& a, const Dim& b, const Call& node, const Builtin& builtin, std::string_view what);

  // ---- check_set.cc
  void CheckProduct(const Expr& set, const Type& of, const std::string& name, Span declared);
  void CheckSet(const Expr& set, const Type& of, const std::string& name, Span declared);
  void CheckKnownSet(const Expr& set, const Builtin& builtin, const Type& of, const std::string& name);
  void CheckOwnSet(const Expr& set, const Decl& decl, const Type& of, const std::string& name);
  const Type* ElementOf(const Decl& set);  // what a set's `project` takes; null: in error
  void CheckInit(const Expr& distribution, const Call& call, const Type* declared, Span at, Type& shape);
  void CheckParameters(const Expr& distribution, const Call& call, const Builtin& builtin, const Type* declared,
                       Type& shape);
  Type CheckDistribution(const Expr& distribution, const Type* declared, Span at);
  void CheckRange(std::optional<double> lo, std::optional<double> hi, std::string_view name, Span at);
  void CheckDomain(const Expr& value, const Parameter& param);

  // ---- check_stages.cc
  void CheckNetwork(const NetworkDecl& network, const Decl& decl);
  void CheckStages(const Stages& stages, std::string_view what);
  void CheckBuilder(const Expr& builder, const std::vector<Dim>* input, const Type* output);
  void CheckChain(const Call& chain, const std::vector<Dim>* input, const Type* output, Span at);
  std::optional<std::vector<Dim>> ThroughLayer(const Builtin& layer, const Expr& expr, std::vector<Dim> dims);
  void CheckRefinement(const Expr& refinement);
  void CheckSettings(const Expr& expr, const Builtin& builtin);
  void CheckSetting(const Expr& value, const Parameter& param);
  const Builtin* FindPart(const Expr& expr, Space space);  // reports unknown ones

  // ---- check_decl.cc
  void SetDim(const DimDecl& dim);
  void CheckDecl(const Decl& decl);
  void CheckObjective(const ObjectiveDecl& objective);
  void CheckFind(const FindDecl& find);
  void CheckConstraint(const Constraint& constraint);
  void CheckRelation(const Relation& relation, const std::string& name, Span at);
  void CheckUpdate(const UpdateDecl& update);
  void CheckLoss(const LossDecl& loss);
  void CheckTrain(const std::string& owner, const std::vector<const Setting*>& settings);
  void CheckReport(const ReportDecl& report);
  void CheckNext(const NextDecl& next);
  void CheckSource(const ValueDecl& value);
  void CheckParts();
  void CheckScalar(const Expr& expr, std::string_view what);
  Span SpanOfProblem() const;

  // ---- check_time.cc
  void CheckTimes();
  void CheckTimeOf(const Decl& decl);
  void CheckVariablesUsed();
  void CheckDeployment();
  void CheckOwners();
  bool CheckOwner(const Ident& owner, std::string_view what);
  void CheckMoves(const LossDecl& loss);
  bool ModelLearns();
  bool IsLearned(const std::string& name) const;
  void CheckUnused();
  const Roots& RootsOf(const std::string& name);
  Roots RootsOf(const std::function<void(const OnUse&)>& visit);
  void AddRoots(const Use& use, Roots& roots);
  void CheckLatest(const Roots& roots, int latest, const std::string& what, Span declared, std::string help);
  int TimeOf(const std::string& root) const;
  std::set<std::string> LearnedReached();
  bool HasNext() const { return !problem_.nexts.empty(); }

  const Program& program_;
  const Problem& problem_;
  Diagnostics* const main_out_;
  Diagnostics* out_;  // main_out_, or nowhere during a first look
  Checked& checked_;
  std::vector<const Decl*> order_;   // each uses only earlier ones
  std::map<std::string, Dim> dims_;  // of the problem's dims
  std::map<std::string, Span> spans_;
  std::map<std::string, std::size_t> called_before_;
  std::vector<Local> locals_;
  std::set<std::string> generics_;
  std::size_t file_ = 0;  // whose names are seen: those of this file and of earlier ones
  bool in_report_ = false;
  int next_symbol_ = 0;
  int looks_ = 0;                                            // first looks within one another
  std::set<std::string> open_;                               // names whose type is being found
  std::set<std::pair<std::string, std::uint32_t>> unknown_;  // reported, by name and file
  std::map<const Decl*, std::unique_ptr<Signature>> signatures_;
  std::map<const Decl*, std::unique_ptr<Type>> set_elements_;
  // Shared by the checkers of problems that call one another.
  using CalledProblems = std::map<std::string, std::unique_ptr<CalledProblem>>;
  std::shared_ptr<CalledProblems> called_ = std::make_shared<CalledProblems>();
  int depth_ = 0;  // of calls between problems
  std::map<std::string, Roots> roots_;
  std::set<std::string> roots_open_;
};

}  // namespace amo::lang

#endif  // AMO_LANG_CHECKER_H_
