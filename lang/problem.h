// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_LANG_PROBLEM_H_
#define AMO_LANG_PROBLEM_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lang/ast.h"
#include "lang/diagnostic.h"

// One problem, chosen: the declarations that count after `use`, `problem`, `variant` and `--set` have been applied.
// This is what the checker checks and the compiler reads.
namespace amo::lang {

struct Override {  // --set NAME=EXPR
  std::string name;
  ExprPtr value;
};

// The parsed files of one run: the standard library first, then used files, then the user's file last.
struct Program {
  Sources sources;
  std::vector<File> files;
  ExprId expr_count = 0;
  std::vector<Override> overrides;
};

struct Problem {
  std::string name, doc;
  const Program* program = nullptr;          // where it was chosen from
  const Decl* decl = nullptr;                // its `problem` line; null when the file has none
  std::uint32_t source = 0;                  // the text it stands in
  bool broken = false;                       // the text has syntax errors: declarations may be missing
  std::map<std::string, const Decl*> names;  // dims, values, lets, functions, networks, updates' extra states
  std::set<std::string> twice;               // names declared twice: what they stand for is not known
  std::map<std::string, const Decl*> sets;   // after `in`
  std::set<std::string> library_sets;        // those of them that are the standard library's
  std::map<std::string, double> numbers;     // every dim and scalar const, evaluated, overrides applied
  std::vector<const Decl*> values;           // ValueDecl and LetDecl in an order in which each uses only earlier ones
  std::vector<const ObjectiveDecl*> objectives;  // at most one after checking
  std::vector<const FindDecl*> finds;
  std::vector<const Constraint*> constraints;
  std::vector<const UpdateDecl*> updates;
  const Stages* model = nullptr;  // null: nothing written
  const Stages* solve = nullptr;
  std::vector<const LossDecl*> losses;
  std::map<std::string, std::vector<const Setting*>> train;  // by owner, "" for the file's own; later keys win
  std::vector<const ReportDecl*> reports;
  std::vector<const NextDecl*> nexts;
};

struct ProblemChoice {
  std::string problem;  // "": the last one
  std::string variant;  // "": none
};

// Reads `path`, the files it uses and the standard library.
// A file that cannot be read is a diagnostic; the program then holds what could be read.
Program Load(const std::string& path, Diagnostics& diagnostics);

// The same for a text that is not, or not yet, in a file.
Program LoadText(const std::string& path, std::string text, Diagnostics& diagnostics);

// The same from texts alone, the main file last: `use` finds those, and nothing on the disk. TextsOf gives them.
Program LoadTexts(const std::vector<std::pair<std::string, std::string>>& files, Diagnostics& diagnostics);
std::vector<std::pair<std::string, std::string>> TextsOf(const Program& program);

// The chosen problem of a program. Reports unknown problems and variants, duplicate names, cycles, two objectives,
// overrides that name nothing. The result refers into `program`.
Problem Choose(const Program& program, const ProblemChoice& choice, Diagnostics& diagnostics);

// A problem that the chosen one calls: as it stands, without a variant, and `--set` may name nothing of it.
Problem ChooseCalled(const Program& program, const std::string& name, Diagnostics& diagnostics);

// Every problem's and variant's name, in order; for `explain`, completion and "did you mean".
std::vector<std::string> ProblemNames(const Program& program);
std::vector<std::string> VariantNames(const Program& program, const std::string& problem);

}  // namespace amo::lang

#endif  // AMO_LANG_PROBLEM_H_
