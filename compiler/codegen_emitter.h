// SPDX-License-Identifier: Apache-2.0
#ifndef AMO_COMPILER_CODEGEN_EMITTER_H_
#define AMO_COMPILER_CODEGEN_EMITTER_H_

#include <llvm/IR/IRBuilder.h>

#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "compiler/codegen.h"
#include "compiler/vector_math.h"

// The state of one emission. What does not vary by instance is a scalar, everything else a vector of `lanes`; in the
// form for one instance (lanes = 1) vectors run along an axis of the problem instead, where one fits.
namespace amo::compiler {

using Values = std::vector<llvm::Value*>;

class Emitter {
 public:
  Emitter(llvm::Module& module, const LoopProgram& program, Precision precision, int lanes, int native_width,
          const ScratchPlan& plan);
  void Run();

 private:
  // Functions (codegen.cc).
  void Begin(const char* symbol, const std::vector<llvm::Type*>& types);
  void ReadArguments(unsigned which, std::size_t count, Values& data, Values& stride);
  void SetBases(llvm::Value* shared, llvm::Value* scratch);
  void EmitPrepare();
  void EmitKernel();

  // Loops (codegen.cc). A body gets the counter and the carried values, and gives the next ones.
  using Body = std::function<Values(llvm::Value*, const Values&)>;
  Values Loop(llvm::Value* begin, llvm::Value* end, std::int64_t step, const Values& carried, const Body& body,
              bool unroll = true);
  using Inner = std::function<Values(const Values&)>;
  Values Nest(const Shape& shape, std::size_t axis, int depth, const Values& carried, const Inner& body);
  void Enter(int depth, llvm::Value* counter);
  void Hoist(int depth);
  void HoistFrom(std::int32_t e, int depth);
  void EmitStep(const Step& step);
  void EmitReduce(const Step& step);
  void EmitArg(const Step& step);
  void EmitScan(const Step& step);
  void EmitFor(const Step& step);
  void EmitScatter(const Step& step);
  void EmitSort(const Step& step);
  llvm::Value* Combine(Op op, Elem elem, llvm::Value* acc, llvm::Value* value);
  llvm::Value* Identity(Op op, Elem elem, bool varies);
  bool IsCheap(std::int32_t root);
  int CopiesOf(const Step& step);
  bool Splits(const Step& step);
  void EmitSplit(const Step& step);

  // Vectors along an axis, in the form for one instance (codegen_row.cc).
  using Wide = std::function<Values(const Values&)>;
  bool EmitInVectors(const Step& step);
  void EmitAlongOutputs(const Step& step, int depth, unsigned width);
  void EmitAlongSum(const Step& step, int depth, unsigned width);
  std::int64_t WideLoop(int depth, unsigned width, int copies, std::int64_t begin, std::int64_t end, Values& acc,
                        const Wide& body);
  Values InCopies(const std::function<llvm::Value*(std::size_t)>& value);
  llvm::Value* Across(Op op, llvm::Value* vector, unsigned width);
  unsigned WidthAlong(const Step& step, int depth, bool stored);
  std::optional<std::int64_t> StrideOf(std::int32_t e, int depth);
  std::optional<std::int64_t> FindStride(std::int32_t e, int depth);
  bool DependsOn(std::int32_t e, int depth);
  bool GoesInVectors(std::int32_t e, int depth, bool gather);
  bool FindInVectors(std::int32_t e, int depth, bool gather);
  bool IsSlow(std::int32_t e);

  // Matrix products in the form for one instance (codegen_block.cc).
  struct Product {
    int row_axis;                    // of Step::outer; the columns are its last
    int row_depth, column_depth;
    int rows;                        // of a block
    unsigned width;                  // of vectors, along the columns or along the sum
    bool along_sum;
  };
  struct Block {
    llvm::Value *row, *column;       // where it begins
    int rows, columns;               // columns in vectors, where these run along them
    unsigned width;
  };
  std::optional<Product> FindProduct(const Step& step);
  bool ReadsBeside(std::int32_t e, int depth);
  void EmitProduct(const Step& step, const Product& product);
  void EmitBlock(const Step& step, const Product& product, const Block& block);
  void StoreSums(const Step& step, const Values& sums);
  Values SumsInVectors(const Step& step, int outer, unsigned width);
  bool FindSlow(std::int32_t e);

  // Between rows in the caller's memory and tiles (codegen_tile.cc).
  void TileIn(llvm::Value* tile, llvm::Value* last);
  void TileInOne(std::size_t input, llvm::Value* tile, llvm::Value* last);
  void TileOut(llvm::Value* tile, llvm::Value* valid);
  void TileOutOne(std::size_t output, llvm::Value* tile, llvm::Value* valid);
  void TileOutRows(std::size_t output, llvm::Value* tile, llvm::Value* valid, std::int64_t first);
  bool Transposes(const Buffer& b) const;
  Values Transpose(Values rows);
  llvm::Function* TileHelper(bool in);

  // Expressions (codegen_expr.cc).
  llvm::Value* Eval(std::int32_t e);
  llvm::Value* EvalVarying(std::int32_t e, bool varies);
  llvm::Value* Compute(const Expr& e);
  llvm::Value* Apply(const Expr& e);
  llvm::Value* Unary(Op op, Elem from, llvm::Value* x);
  llvm::Value* Binary(Op op, Elem elem, llvm::Value* x, llvm::Value* y);
  llvm::Value* IntMod(llvm::Value* x, llvm::Value* y);
  llvm::Value* Splat(llvm::Value* v);
  llvm::Value* Like(llvm::Value* v, llvm::Value* other);  // splatted where the other one is a vector
  bool IsVector(llvm::Value* v) const { return v->getType()->isVectorTy(); }

  // Memory (codegen_expr.cc).
  llvm::Type* ScalarType(Elem elem);
  llvm::Type* MemoryType(Elem elem);
  bool InLanes(const Buffer& b) const { return b.varies && lanes_ > 1; }
  llvm::Value* Address(int buffer, llvm::Value* index);
  llvm::Value* Load(int buffer, llvm::Value* index, std::int64_t stride = 0);
  void StoreTo(int buffer, llvm::Value* index, llvm::Value* value);
  std::int64_t EntryBytes(Elem elem);

  llvm::Module& module_;
  llvm::LLVMContext& context_;
  llvm::IRBuilder<> b_;
  const LoopProgram& p_;
  const ScratchPlan& plan_;
  bool f64_;
  unsigned lanes_;
  unsigned native_width_;          // entries of a machine's vector
  unsigned width_;                 // of the vectors that are made now
  int wide_depth_ = -1;            // the loop variable that the vectors run along, in the form for one instance
  llvm::Type* real_;
  std::vector<char> direct_;  // by output: written where it belongs
  llvm::Function* function_ = nullptr;
  Values base_;  // of each buffer
  Values input_data_, input_stride_, output_data_, output_stride_;

  // Loop variables by depth, and the values of expressions by the deepest loop variable in them; both for each copy of
  // a jammed loop. Levels above the jammed one belong to copy 0.
  static constexpr int kMostCopies = 16, kParts = 4;
  struct Copy {
    Values vars;
    std::vector<std::unordered_map<std::int32_t, llvm::Value*>> memo;
  };
  Copy copies_[kMostCopies];
  int copy_ = 0;
  int copies_used_ = 1;
  int jam_depth_ = 1 << 20;
  std::vector<std::int32_t> roots_;  // the step's expressions
  std::unordered_set<std::int32_t> hoisted_;

  // By expression and depth (codegen_row.cc).
  using Key = std::pair<std::int32_t, int>;
  std::map<Key, std::optional<std::int64_t>> strides_;
  std::map<Key, bool> depends_, goes_, slow_;
};

}  // namespace amo::compiler

#endif  // AMO_COMPILER_CODEGEN_EMITTER_H_
