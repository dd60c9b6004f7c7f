// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_RUNTIME_TABLES_H_
#define AMO_RUNTIME_TABLES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compiler/build.h"
#include "lang/problem.h"
#include "runtime/array.h"
#include "runtime/result.h"

// The tables that a problem reads: which they are, their arrays, how their rows are split, and whether they are what
// the file declares.
namespace amo::runtime {

// A file, or a registered data set.
struct Source {
  std::string name;         // as in compiler::Row::source: the text in quotes, or the data set's name
  bool registered = false;
  lang::Span span;          // where it is written first
  // The names that declarations give the array of a file that names none (.npy, IDX, .csv without names):
  // `context x : T from "points.npy"` asks for `x`. "" stands for the file's stem, as `data t from "x.npy"` has it.
  std::vector<std::string> asked;
};

// Every source of the chosen problem, each once. A name that is declared in the file (`data t from "t.npz"`,
// `hidden r from t`) stands for what it reads; simulators are none.
std::vector<Source> SourcesOf(const lang::Problem& problem);

// Rows [0, train_rows) are to train on, the next `validation_rows` to validate, the rest to test. A part without rows
// stands for all rows: a table of one or two rows has them all in the first.
// `rows` is the first extent that all fields with axes have; where they have different ones it is 0 until CheckRows.
struct TableData {
  std::map<std::string, Array> fields;
  std::int64_t rows = 0, train_rows = 0, validation_rows = 0;
};
using TableMap = std::map<std::string, TableData>;  // by source

// Reads every source; files are relative to `folder`. Reals that are not finite are an error.
Result<TableMap> ReadTables(const std::vector<Source>& sources, const std::string& folder);

// The type of one row by source and field, for Build. Registered sets: as registered. Files: as stored; all of it for a
// field without axes, which has no rows.
compiler::Tables TableTypes(const TableMap& tables);

// The first extent of every field that has axes, by "table/SOURCE/FIELD": with the type of a row, a whole field's type.
std::map<std::string, std::int64_t> TableRows(const TableMap& tables);

// The fields that the program draws from one table by row must have the same number of rows, at least one. Where other
// fields of the table have another number, this sets `rows` and the split.
Result<Done> CheckRows(const compiler::Program& program, TableMap& tables);

// Holds out the last rows of each table to test, as `train split = 0.2` says; nothing where the program does not.
void HoldOut(const compiler::Program& program, TableMap& tables);

// Every field that the program reads, whole or by row, must be there with the declared shape and entries: reals from
// numbers, ints from whole numbers, bools from bools or 0 and 1.
Result<Done> CheckDeclared(const compiler::Program& program, const TableMap& tables);

}  // namespace amo::runtime

#endif  // AMO_RUNTIME_TABLES_H_
