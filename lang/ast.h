// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_AST_H_
#define AMO_LANG_AST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lang/source.h"

// The syntax tree: one to one with the text, never changed after parsing. What analysis finds about an expression
// stands in vectors indexed by ExprId.
namespace amo::lang {

using ExprId = std::uint32_t;  // dense over all files of one run

struct Ident {
  std::string text;  // normalized: one code point for each Greek letter
  Span span;
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

// ---- parts of expressions

struct TypeExpr {  // real   int[line]   real[weights(net)]
  Ident name;
  std::vector<ExprPtr> dims;
  Span span;
};

// i in n    i in 0..n    s in SET-like    e : real[k] ~ normal(0, 1)    z = s0
struct Binder {
  enum class Kind { kIn, kDraw, kInit };
  Kind kind;
  Ident name;
  ExprPtr lo;                    // kIn: may be null (then 0)
  ExprPtr hi;                    // kIn: the end (exclusive), or the dim
  std::optional<TypeExpr> type;  // kDraw
  ExprPtr value;                 // kDraw: the distribution; kInit: the start
};

struct Definition {  // the parts of `where`, and of `model u = …, v = …`
  Ident name;
  std::vector<Binder> index;
  ExprPtr value;
};

struct Argument {
  std::optional<Ident> keyword;
  ExprPtr value;
  ExprPtr second;  // of a pair `a: b`, else null
};

struct IndexItem {
  enum class Kind { kAt, kRange, kAll };
  Kind kind;
  ExprPtr at, lo, hi;  // kAt: at; kRange: lo and hi, each may be null
  Span span;
};

// ---- expressions

enum class UnaryOp { kNegate, kNot };
enum class BinaryOp { kAdd, kSub, kMul, kDiv, kMod, kElementMul, kElementDiv, kPow, kElementPow, kAnd, kOr };
enum class CompareOp { kEq, kNe, kLt, kLe, kGt, kGe };

struct Number { double value; bool is_int; };  // is_int: written without point and exponent
struct String { std::string value; };
struct Boolean { bool value; };
struct Name { Ident name; };
struct Member { ExprPtr base; Ident field; };
struct Index { ExprPtr base; std::vector<IndexItem> items; };
struct Transpose { ExprPtr base; };
struct Call {                        // callee: a Name, an Index of a Name, or a Member of a Name
  ExprPtr callee;
  std::vector<Argument> args;
  std::vector<ExprPtr> weights;      // net(t; w)
};
struct BinderCall {                  // sum(i in n if c: e), scan(z = s0, t in H: e)
  Ident callee;
  std::vector<Binder> binders;
  ExprPtr condition;                 // may be null
  ExprPtr body;
};
struct Array { std::vector<ExprPtr> items; };
struct Comprehension { std::vector<Binder> binders; ExprPtr condition, body; };
struct Unary { UnaryOp op; ExprPtr operand; };
struct Binary { BinaryOp op; Span op_span; ExprPtr left, right; };
struct Compare { ExprPtr first; std::vector<std::pair<CompareOp, ExprPtr>> rest; };  // chains: l <= x <= u
struct If { ExprPtr condition, then, otherwise; };
struct Where { ExprPtr body; std::vector<Definition> definitions; };
struct Paren { ExprPtr inner; };  // kept: `amo fmt` prints it, and (a)' differs from a' in no other way

struct Expr {
  ExprId id = 0;
  Span span;
  std::variant<Number, String, Boolean, Name, Member, Index, Transpose, Call, BinderCall, Array, Comprehension, Unary,
               Binary, Compare, If, Where, Paren>
      node;
};

// ---- declarations

struct Relation {  // l <= A * y <= u    A * y + b in second_order_cone
  ExprPtr value;   // a Compare, or any expression when `set` is present
  ExprPtr set;     // may be null
};

struct Setting {
  Ident key;
  ExprPtr value;
};

struct ProblemDecl { Ident name; std::string doc; };
struct VariantDecl { Ident name; };
struct UseDecl { std::string path; Span path_span; };
struct DimDecl { Ident name; ExprPtr value; };

enum class ValueKind { kConst, kData, kParameter, kHidden, kContext, kVariable, kRandom };
// One declaration may name several values: `variable mu, logvar : real[k] in box(-5, 2)`.
struct ValueDecl {
  ValueKind kind;
  std::vector<Ident> names;
  std::vector<Binder> index;            // let-like families: `data d[i in n] : real = …`
  std::optional<TypeExpr> type;
  ExprPtr set;                          // after `in`; may be null
  enum class Origin { kNone, kComputed, kDrawn, kRead } origin = Origin::kNone;
  ExprPtr value;                        // = EXPR, ~ DIST, or from SOURCE: a String, Name, Member or Call
};

std::string_view NameOf(ValueKind kind);            // its keyword
std::string_view NameOf(ValueDecl::Origin origin);  // "computed", "drawn", "read"; "" for none
struct Param { Ident name; TypeExpr type; };
struct NetworkDecl {
  Ident name;
  std::vector<Binder> index;
  std::vector<Param> params;
  TypeExpr result;
  ExprPtr body;    // the builder; null when only `from` is given
  ExprPtr source;  // after `from`; may be null
};
struct FunctionDecl { Ident name; std::vector<Param> params; std::optional<TypeExpr> result; ExprPtr body; };
struct ProjectRule { Ident argument; ExprPtr body; };
struct SetDecl { Ident name; std::vector<Param> params; std::optional<ProjectRule> project; };
struct LetDecl { Ident name; std::vector<Binder> index; std::optional<TypeExpr> type; ExprPtr value; };
struct ObjectiveDecl { bool maximize; ExprPtr value; };
struct FindDecl { Relation relation; };
struct Constraint { Ident name; std::vector<Binder> index; ExprPtr condition; Relation relation; Span span; };
struct SubjectDecl { std::vector<Constraint> constraints; };
struct UpdateDecl {
  Ident name;
  std::vector<Binder> index;
  std::optional<TypeExpr> type;
  ExprPtr value, from;
};                                                              // from: may be null
struct Over { Ident name; TypeExpr type; ExprPtr set, from; };  // over z : T in SET from EXPR; set and from may be null
// model BUILDER(...) then …      model NAME = EXPR, … over … then …
struct Stages {
  ExprPtr builder;                      // a Name or a Call; null when `predictions` is used
  std::vector<Definition> predictions;
  std::vector<Over> over;
  std::vector<ExprPtr> refinements;     // each a Name or a Call
};
struct ModelDecl { Stages stages; };
struct SolveDecl { Stages stages; };
struct LossDecl { std::vector<Ident> owners; ExprPtr value, estimator; };  // estimator: after `by`; may be null
struct TrainDecl { std::vector<Ident> owners; std::vector<Setting> settings; };
struct ReportDecl { Ident name; ExprPtr value; };
struct NextDecl { Ident name; ExprPtr value, until; };  // until: may be null

using DeclNode = std::variant<ProblemDecl, VariantDecl, UseDecl, DimDecl, ValueDecl, NetworkDecl, FunctionDecl, SetDecl,
                              LetDecl, ObjectiveDecl, FindDecl, SubjectDecl, UpdateDecl, ModelDecl, SolveDecl, LossDecl,
                              TrainDecl, ReportDecl, NextDecl>;

struct Decl {
  Span span;     // from the keyword to the end
  Span keyword;
  bool broken = false;  // a syntax error stands inside: its names are declared, the rest is unknown
  DeclNode node;
};

struct File {
  std::uint32_t source = 0;
  int version = 1;            // the first line `amo 1`
  std::vector<Decl> decls;    // in the order of the text
};

template <class... Fs>
struct Overload : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overload(Fs...) -> Overload<Fs...>;

}  // namespace amo::lang

#endif  // AMO_LANG_AST_H_
