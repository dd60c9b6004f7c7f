// SPDX-License-Identifier: Apache-2.0
// TorchExecute against the interpreter, instance by instance: every operation, random programs, batches 0, 1 and 5, and
// first and second derivatives by LibTorch against compiler::Gradient and compiler::HessianVector.
#include "runtime/torch_execute.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "compiler/derive.h"
#include "compiler/interpret.h"
#include "compiler/text.h"

namespace amo::runtime {
namespace {

using compiler::Builder;
using compiler::Elem;
using compiler::Function;
using compiler::Op;
using compiler::Role;
using compiler::Shape;
using compiler::Tensor;
using compiler::Type;
using compiler::Value;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

// x is %0 : real[3], M is %1 : shared real[3,4], i is %2 : int[2], b is %3 : bool[3], X is %4 : real[2,3,4], k is
// %5 : shared int[2,2]. The nodes of a body count from %6; the last one is the output.
struct Case {
  const char* body;
  bool derivatives = true;  // compared too
};

// Three times the unit matrix, as %13.
#define AMO_EYE                                                                                                        \
  "iota {0} : int[3]\nbroadcast %6 {0,-1} : int[3,3]\nbroadcast %6 {-1,0} : int[3,3]\neq %7 %8 : bool[3,3]\n"          \
  "real %9 : real[3,3]\nnumber 3 : real\nbroadcast %11 {-1,-1} : real[3,3]\nmul %10 %12 : real[3,3]\n"

const Case kCases[] = {
    {"neg %0 : real[3]"},
    {"exp %0 : real[3]"},
    {"expm1 %0 : real[3]"},
    {"abs %0 : real[3]"},
    {"sign %0 : real[3]"},
    {"floor %0 : real[3]"},
    {"sin %0 : real[3]"},
    {"cos %0 : real[3]"},
    {"tan %0 : real[3]"},
    {"asin %0 : real[3]"},
    {"acos %0 : real[3]"},
    {"atan %0 : real[3]"},
    {"sinh %0 : real[3]"},
    {"cosh %0 : real[3]"},
    {"tanh %0 : real[3]"},
    {"sigmoid %0 : real[3]"},
    {"softplus %0 : real[3]"},
    {"erf %0 : real[3]"},
    {"stop %0 : real[3]"},
    {"exp %0 : real[3]\nlog %6 : real[3]"},
    {"exp %0 : real[3]\nsqrt %6 : real[3]"},
    {"exp %0 : real[3]\nlog1p %6 : real[3]"},
    {"not %3 : bool[3]"},
    {"real %3 : real[3]"},
    {"real %2 : real[2]"},
    {"int %0 : int[3]"},
    {"neg %2 : int[2]"},
    {"abs %2 : int[2]"},
    {"sign %2 : int[2]"},
    {"add %0 %0 : real[3]"},
    {"sin %0 : real[3]\nsub %0 %6 : real[3]"},
    {"sin %0 : real[3]\nmul %0 %6 : real[3]"},
    {"exp %0 : real[3]\ndiv %0 %6 : real[3]"},
    {"exp %0 : real[3]\nmod %0 %6 : real[3]"},
    {"exp %0 : real[3]\npow %6 %0 : real[3]"},
    {"number 3 : real\nbroadcast %6 {-1} : real[3]\npow %0 %7 : real[3]"},
    {"sin %0 : real[3]\npow %0 %6 : real[3]", false},
    {"neg %0 : real[3]\nmax %0 %6 : real[3]"},
    {"neg %0 : real[3]\nmin %0 %6 : real[3]"},
    {"max %0 %0 : real[3]"},
    {"cos %0 : real[3]\natan2 %0 %6 : real[3]"},
    {"neg %2 : int[2]\nadd %2 %6 : int[2]\nsub %7 %2 : int[2]\nmul %8 %2 : int[2]"},
    {"number 3 : int\nbroadcast %6 {-1} : int[2]\nmod %2 %7 : int[2]\nmax %2 %7 : int[2]\nmin %9 %8 : int[2]"},
    {"sin %0 : real[3]\neq %0 %6 : bool[3]"},
    {"sin %0 : real[3]\nne %0 %6 : bool[3]"},
    {"sin %0 : real[3]\nlt %0 %6 : bool[3]\nor %7 %3 : bool[3]"},
    {"sin %0 : real[3]\nle %0 %6 : bool[3]\nand %7 %3 : bool[3]"},
    {"sin %0 : real[3]\nselect %3 %0 %6 : real[3]"},
    {"number 2 : real\nbroadcast %6 {-1} : real[3]\nselect %3 %7 %0 : real[3]"},
    {"broadcast %1 {-1,1,0} : real[2,4,3]\nbroadcast %4 {0,2,1} : real[2,4,3]\nmul %6 %7 : real[2,4,3]"},
    {"broadcast %0 {-1,0,-1} : real[2,3,4]\nmul %6 %4 : real[2,3,4]"},
    {"reshape %4 : real[4,6]\nsin %6 : real[4,6]"},
    {"slice %4 {1,0,2} : real[1,3,2]\nsin %6 : real[1,3,2]"},
    {"pad %4 {1,0,2} : real[3,4,7]\nsin %6 : real[3,4,7]"},
    {"concat %4 %4 {1} : real[2,6,4]\nsin %6 : real[2,6,4]"},
    {"broadcast %0 {0,-1} : real[3,1]\nconcat %6 %1 %6 {1} : real[3,6]\nsin %7 : real[3,6]"},
    {"reduce_sum %4 {0,2} : real[3]"},
    {"reduce_sum %0 {} : real[3]"},
    {"reduce_sum %2 {0} : int"},
    {"reduce_prod %4 {1} : real[2,4]"},
    {"reduce_prod %4 {0,2} : real[3]"},
    {"reduce_prod %2 {0} : int"},
    {"reduce_max %4 {0,1} : real[4]"},
    {"reduce_min %4 {2} : real[2,3]"},
    {"sign %0 : real[3]\nabs %6 : real[3]\nmul %7 %0 : real[3]\nreduce_max %8 {0} : real"},
    {"reduce_max %3 {0} : bool"},
    {"reduce_min %3 {0} : bool"},
    {"reduce_max %2 {0} : int"},
    {"reduce_min %1 {1} : real[3]"},
    {"number 1 : real\nbroadcast %6 {-1} : real[3]\nmul %7 %0 : real[3]\nconcat %0 %8 {0} : real[6]\nreduce_max %9 {0} "
     ": real"},
    {"slice %0 {0} : real[0]\nreduce_max %6 {0} : real", false},
    {"slice %0 {0} : real[0]\nreduce_prod %6 {0} : real"},
    {"slice %0 {0} : real[0]\nreduce_sum %6 {0} : real"},
    {"argmax %4 : int[2,3]"},
    {"argmin %1 : int[3]"},
    {"argmax %3 : int"},
    {"argmin %2 : int"},
    {"cumsum %4 : real[2,3,4]\nsin %6 : real[2,3,4]", false},
    {"cumsum %2 : int[2]"},
    {"sort %4 : real[2,3,4]\nmul %6 %4 : real[2,3,4]"},
    {"argsort %4 : int[2,3,4]"},
    {"concat %3 %3 {0} : bool[6]\nargsort %6 : int[6]"},
    {"sort %2 : int[2]"},
    {"dot %0 %1 {0,0,1,1} : real[4]"},
    {"dot %1 %0 {0,1,0,1} : real[4]"},
    {"dot %0 %1 {0,1,2,0,1} : real[3,3]"},
    {"dot %0 %1 {0,1,2,2,0} : real[4,3]"},
    {"dot %4 %1 {0,1,2,1,2,0} : real[2]"},
    {"dot %4 %1 {0,1,2,3,2,3,0,1} : real[3,2,3]"},
    {"dot %4 %4 {0,1,2,0,3,2,1,3,0} : real[3,3,2]"},
    {"dot %4 %4 {0,1,2,0,1,2} : real"},
    {"dot %4 %0 {0,1,2,1,2,1} : real[4,3]"},
    {"dot %1 %1 {0,1,2,1,2,0} : real[3,3]"},
    {"dot %4 %1 {0,1,2,1,3,0,2,3} : real[2,4,4]"},
    {"number 2 : real\ndot %6 %0 {0,0} : real[3]"},
    {"slice %0 {0} : real[0]\nslice %1 {0,0} : real[0,4]\ndot %6 %7 {0,0,1,1} : real[4]"},
    {"gather %0 %2 {0} : real[2]"},
    {"gather %1 %2 {0} : real[2,4]\nsin %6 : real[2,4]"},
    {"gather %4 %2 {1} : real[2,4]"},
    {"gather %4 %5 {0} : real[2,2,3,4]"},
    {"gather %4 %5 {1} : real[2,2,4]\nsin %6 : real[2,2,4]"},
    {"gather %1 %5 {0} : real[2,2,4]"},
    {"reduce_sum %4 {2} : real[2,3]\ngather %6 %5 {1} : real[2,2]\nsin %7 : real[2,2]"},
    {"gather %0 %5 {0} : real[2,2]"},
    {"slice %1 {0,0} : real[2,4]\ngather %6 %2 {1} : real[2]"},
    {"gather %3 %2 {0} : bool[2]"},
    {"gather %5 %2 {0} : int[2,2]"},
    {"slice %0 {0} : real[0]\ngather %6 %2 {0} : real[2]", false},
    {"slice %0 {0} : real[2]\nscatter %2 %6 {0,5} : real[5]\nsin %7 : real[5]"},
    {"scatter %2 %4 {0,3} : real[3,3,4]\nsin %6 : real[3,3,4]"},
    {"scatter %2 %4 {1,3} : real[2,3,3,4]\nsin %6 : real[2,3,3,4]"},
    {"slice %1 {0,0} : real[2,4]\nscatter %2 %6 {0,3} : real[3,4]"},
    {"slice %1 {0,0} : real[2,2]\nscatter %5 %6 {1,3} : real[2,3]"},
    {"slice %4 {0,0,0} : real[2,2,4]\nscatter %5 %6 {1,3} : real[2,3,4]\nsin %7 : real[2,3,4]"},
    {"unfold %4 {2,3,1,1} : real[2,2,3,4,4]\nsin %6 : real[2,2,3,4,4]"},
    {"unfold %4 {2,2,2,0} : real[2,2,2,1,2]\nsin %6 : real[2,2,2,1,2]\nfold %7 {2,2,2,0,3,4} : real[2,3,4]"},
    {"unfold %1 {2,2,2,1} : real[2,2,2,3]\nsin %6 : real[2,2,2,3]\nfold %7 {2,2,2,1,3,4} : real[3,4]"},
    {"unfold %4 {4,1,1,0} : real[2,4,1,0,4]", false},
    // Convolutions, the kernel on either side, and one for each instance; and windows that something else reads too.
    {"unfold %4 {2,1,1,0} : real[2,2,1,2,4]\nreshape %1 : real[3,2,2,1]\n"
     "dot %6 %7 {0,1,2,3,4,5,0,1,2,5,3,4} : real[3,2,4]\nsin %8 : real[3,2,4]"},
    {"unfold %4 {2,1,2,1} : real[2,2,1,2,3]\nreshape %1 : real[3,2,2,1]\n"
     "dot %7 %6 {5,0,1,2,0,1,2,3,4,5,3,4} : real[3,2,3]\nsin %8 : real[3,2,3]"},
    {"unfold %4 {2,2,1,0} : real[2,2,2,2,3]\nreshape %4 : real[3,2,2,2]\n"
     "dot %6 %7 {0,1,2,3,4,5,0,1,2,5,3,4} : real[3,2,3]\nsin %8 : real[3,2,3]"},
    {"unfold %4 {2,1,1,0} : real[2,2,1,2,4]\nreshape %1 : real[3,2,2,1]\n"
     "dot %6 %7 {0,1,2,3,4,5,0,1,2,5,3,4} : real[3,2,4]\nreduce_sum %6 {0,1,2} : real[2,4]\n"
     "dot %8 %9 {0,1,2,1,2,0} : real[3]"},
    {"iota {4} : int[3]\nreal %6 : real[3]\nmul %7 %0 : real[3]"},
    {"scan %0 %1 {3,1,1,1,0,0} : real[15]\nfunction s\n%0 = input z : instance real[3]\n%1 = input row : instance "
     "real[4]\n"
     "%2 = dot %0 %1 {0,1,0,1} : real[3,4]\n%3 = sin %2 : real[3,4]\n%4 = reduce_sum %3 {1} : real[3]\n"
     "%5 = reduce_sum %3 {0} : real[4]\noutput z %4\noutput y %5\nend"},
    {"scan %0 %4 %1 {2,1,1,1,1,1} : real[9]\nfunction s\n%0 = input z : instance real[3]\n"
     "%1 = input X : instance real[3,4]\n%2 = input M : instance real[3,4]\n%3 = input t : instance int\n"
     "%4 = mul %1 %2 : real[3,4]\n%5 = reduce_sum %4 {1} : real[3]\n%6 = add %5 %0 : real[3]\n%7 = real %3 : real\n"
     "%8 = broadcast %7 {-1} : real[3]\n%9 = add %8 %6 : real[3]\n%10 = sin %9 : real[3]\noutput z %10\noutput y "
     "%0\nend"},
    {"reduce_sum %1 {1} : real[3]\nscan %6 %0 %2 {2,1,0,1,0,1} : real[5]\nfunction s\n%0 = input z : instance real[3]\n"
     "%1 = input c : instance real[3]\n%2 = input i : instance int[2]\n%3 = input t : instance int\n"
     "%4 = gather %2 %3 {0} : int\n%5 = gather %1 %4 {0} : real\n%6 = number 0.5 : real\n"
     "%7 = broadcast %6 {-1} : real[3]\noutput z %7\noutput y %5\nend"},
    {"scan %0 {0,1,0,1,0,0} : real[3]\nfunction s\n%0 = input z : instance real[3]\n%1 = sin %0 : real[3]\n"
     "output z %1\noutput y %1\nend"},
    // Matrices with a strong diagonal: by instance and shared, with right sides of either kind; then eigenvalues apart.
    {AMO_EYE "slice %4 {0,0,0} : real[2,3,3]\nbroadcast %13 {-1,0,1} : real[2,3,3]\nadd %14 %15 : real[2,3,3]\n"
     "solve %16 %4 : real[2,3,4]"},
    {AMO_EYE "slice %1 {0,0} : real[3,3]\nadd %13 %14 : real[3,3]\nbroadcast %0 {0,-1} : real[3,2]\n"
     "solve %15 %16 : real[3,2]"},
    {AMO_EYE "slice %1 {0,0} : real[3,3]\nadd %13 %14 : real[3,3]\nbroadcast %15 {-1,0,1} : real[2,3,3]\n"
     "solve %16 %4 : real[2,3,4]"},
    {AMO_EYE "slice %1 {0,0} : real[3,3]\nadd %13 %14 : real[3,3]\nsolve %15 %1 : real[3,4]"},
    {AMO_EYE "broadcast %0 {0,-1} : real[3,3]\nadd %13 %14 : real[3,3]\nsolve %15 %1 : real[3,4]"},
    {AMO_EYE "slice %4 {0,0,0} : real[2,3,3]\nbroadcast %13 {-1,0,1} : real[2,3,3]\nreal %7 : real[3,3]\n"
     "broadcast %16 {-1,0,1} : real[2,3,3]\nmul %15 %17 : real[2,3,3]\nadd %14 %18 : real[2,3,3]\n"
     "eigen %19 : real[2,4,3]"},
    {AMO_EYE "slice %1 {0,0} : real[3,3]\nreal %7 : real[3,3]\nmul %13 %15 : real[3,3]\nadd %14 %16 : real[3,3]\n"
     "eigen %17 : real[4,3]"},
    {"iota {1} : int[2]"},
    {"mul %1 %1 : real[3,4]"},
};

std::string Head() {
  return "function f\n%0 = input x : instance real[3]\n%1 = input M : shared real[3,4]\n%2 = input i : instance "
         "int[2]\n"
         "%3 = input b : instance bool[3]\n%4 = input X : instance real[2,3,4]\n%5 = input k : shared int[2,2]\n";
}

Function Parse(const std::string& body) {
  std::string text = Head();
  int next = 6;
  for (std::size_t from = 0; from < body.size();) {
    const std::size_t end = std::min(body.find('\n', from), body.size());
    const std::string line = body.substr(from, end - from);
    const bool inside =
        !line.empty() && (line[0] == '%' || line == "end" || line.find("output ") == 0 || line.find("function ") == 0);
    text +=
        inside ? line + "\n" : "%" + std::to_string(next++) + " = " + line + "\n";  // the body of a scan has its own
    from = end + 1;
  }
  compiler::ParsedFunction p = compiler::ParseFunction(text + "output y %" + std::to_string(next - 1) + "\n");
  EXPECT_EQ(p.error, "") << text;
  return p.function;
}

// One array for each input, the instances' entries one after the other.
using Batch = std::vector<std::vector<double>>;

Batch Draw(const Function& f, std::int64_t instances, unsigned seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> real(-0.9, 0.9);
  std::uniform_int_distribution<int> integer(-1, 4), coin(0, 1);
  Batch batch;
  for (const compiler::Input& in : f.inputs) {
    const std::int64_t count = compiler::Count(in.type.shape) * (in.role == Role::kShared ? 1 : instances);
    batch.emplace_back();
    for (std::int64_t i = 0; i < count; ++i) {
      batch.back().push_back(in.type.elem == Elem::kReal  ? real(random)
                             : in.type.elem == Elem::kInt ? integer(random)
                                                          : coin(random));
    }
  }
  return batch;
}

at::Tensor ToTorch(const std::vector<double>& data, bool batched, std::int64_t instances, const Type& type) {
  std::vector<std::int64_t> sizes = type.shape;
  if (batched) sizes.insert(sizes.begin(), instances);
  const at::Tensor t = at::from_blob(const_cast<double*>(data.data()), sizes, at::kDouble).clone();
  return type.elem == Elem::kReal ? t : t.to(type.elem == Elem::kInt ? at::kLong : at::kBool);
}

std::vector<at::Tensor> ToTorch(const Function& f, const Batch& batch, std::int64_t instances) {
  std::vector<at::Tensor> tensors;
  for (std::size_t k = 0; k < batch.size(); ++k) {
    tensors.push_back(ToTorch(batch[k], f.inputs[k].role == Role::kInstance, instances, f.inputs[k].type));
  }
  return tensors;
}

std::vector<Tensor> Instance(const Function& f, const Batch& batch, std::int64_t b) {
  std::vector<Tensor> inputs;
  for (std::size_t k = 0; k < f.inputs.size(); ++k) {
    const std::int64_t count = compiler::Count(f.inputs[k].type.shape);
    const auto from = batch[k].begin() + (f.inputs[k].role == Role::kShared ? 0 : b * count);
    inputs.push_back({f.inputs[k].type, {from, from + count}});
  }
  return inputs;
}

std::vector<double> Entries(const at::Tensor& t) {
  const at::Tensor flat = t.detach().to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

void ExpectNear(const double* actual, const std::vector<double>& expected, double tolerance, const std::string& what) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(actual[i])) << what << " entry " << i;
    } else if (std::isinf(expected[i])) {
      EXPECT_EQ(actual[i], expected[i]) << what << " entry " << i;
    } else {
      EXPECT_NEAR(actual[i], expected[i], tolerance * (1 + std::abs(expected[i]))) << what << " entry " << i;
    }
  }
}

void ExpectSame(const Function& f, const Batch& batch, std::int64_t instances, const std::string& what) {
  const std::vector<at::Tensor> actual = TorchExecute(f, ToTorch(f, batch, instances));
  const std::vector<bool> varies = compiler::VariesByInstance(f);
  ASSERT_EQ(actual.size(), f.outputs.size());
  for (std::size_t k = 0; k < actual.size(); ++k) {
    const Type& type = f.type(f.outputs[k].value);
    const bool batched = varies[static_cast<std::size_t>(f.outputs[k].value.index)];
    std::vector<std::int64_t> sizes = type.shape;
    if (batched) sizes.insert(sizes.begin(), instances);
    EXPECT_EQ(actual[k].sizes().vec(), sizes) << what;
    EXPECT_EQ(actual[k].scalar_type(), type.elem == Elem::kReal  ? at::kDouble
                                       : type.elem == Elem::kInt ? at::kLong
                                                                 : at::kBool)
        << what;
  }
  for (std::int64_t b = 0; b < instances; ++b) {
    const std::vector<Tensor> expected = compiler::Interpret(f, Instance(f, batch, b));
    for (std::size_t k = 0; k < actual.size(); ++k) {
      const bool batched = varies[static_cast<std::size_t>(f.outputs[k].value.index)];
      const std::vector<double> entries = Entries(batched ? actual[k][b] : actual[k]);
      ASSERT_EQ(entries.size(), expected[k].data.size()) << what;
      ExpectNear(entries.data(), expected[k].data, 1e-12, what);
    }
  }
}

// The sum of y (y + 0.3) over the entries of f's output, made real, plus a term that makes every real input matter.
Function Scalar(const Function& f) {
  Builder b("scalar");
  std::vector<Value> inputs;
  for (const compiler::Input& in : f.inputs) inputs.push_back(b.Input(in.name, in.role, in.type));
  const Value y = b.ToReal(compiler::Inline(b, f, inputs)[static_cast<std::size_t>(f.outputs[0].value.index)]);
  const auto total = [&](Value v) {
    std::vector<std::int64_t> all(b.shape(v).size());
    for (std::size_t d = 0; d < all.size(); ++d) all[d] = static_cast<std::int64_t>(d);
    return b.Reduce(Op::kReduceSum, v, all);
  };
  Value sum = total(b.Mul(y, b.Add(y, b.Filled(0.3, b.shape(y)))));
  for (Value in : inputs) {
    if (b.type(in).elem == Elem::kReal) sum = b.Add(sum, total(b.Mul(in, in)));
  }
  b.Output("value", sum);
  return b.Finish();
}

// `reference` is the function itself, or another that gives the same values by other operations.
void ExpectSameDerivatives(const Function& body, const Function& reference, const Batch& batch, std::int64_t instances,
                           const std::string& what) {
  const Function f = Scalar(body);
  std::vector<int> wrt;
  for (std::size_t k = 0; k < f.inputs.size(); ++k) {
    if (f.inputs[k].type.elem == Elem::kReal) wrt.push_back(static_cast<int>(k));
  }
  const Function judge = compiler::HessianVector(Scalar(reference), wrt);
  // The directions, by instance where the input is, in one more batch.
  Batch all = batch;
  const Batch directions = Draw(f, instances, 77);
  for (int w : wrt) all.push_back(directions[static_cast<std::size_t>(w)]);

  std::vector<at::Tensor> inputs = ToTorch(f, batch, instances), leaves;
  for (int w : wrt) leaves.push_back(inputs[static_cast<std::size_t>(w)].requires_grad_(true));
  const at::Tensor value = TorchExecute(f, inputs)[0].sum();
  const auto first = torch::autograd::grad({value}, leaves, {}, true, true);
  at::Tensor along;
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    const auto w = static_cast<std::size_t>(wrt[k]);
    const at::Tensor v = ToTorch(directions[w], f.inputs[w].role == Role::kInstance, instances, f.inputs[w].type);
    const at::Tensor part = at::mul(first[k], v).sum();
    along = along.defined() ? along.add(part) : part;
  }
  const auto second = torch::autograd::grad({along}, leaves, {}, true);

  // Derivatives by a shared input are sums over the instances.
  std::vector<std::vector<double>> d(wrt.size()), h(wrt.size());
  for (std::int64_t b = 0; b < instances; ++b) {
    const std::vector<Tensor> out = compiler::Interpret(judge, Instance(judge, all, b));
    for (std::size_t k = 0; k < wrt.size(); ++k) {
      for (auto [to, from] : {std::pair{&d, &out[1 + k].data}, std::pair{&h, &out[1 + wrt.size() + k].data}}) {
        std::vector<double>& sum = (*to)[k];
        if (f.inputs[static_cast<std::size_t>(wrt[k])].role == Role::kInstance || b == 0) {
          sum.insert(sum.end(), from->begin(), from->end());
        } else {
          for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += (*from)[i];
        }
      }
    }
  }
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    const std::string name = what + " by " + f.inputs[static_cast<std::size_t>(wrt[k])].name;
    ExpectNear(Entries(first[k]).data(), d[k], 1e-10, "gradient of " + name);
    ExpectNear(Entries(second[k]).data(), h[k], 1e-9, "Hessian of " + name);
  }
}

void ExpectSameDerivatives(const Function& body, const Batch& batch, std::int64_t instances, const std::string& what) {
  ExpectSameDerivatives(body, body, batch, instances, what);
}

TEST(TorchExecute, EveryOperationEqualsTheInterpreter) {
  std::vector<bool> seen(100);
  for (const Case& c : kCases) {
    const Function f = Parse(c.body);
    for (const compiler::Node& n : f.nodes) seen[static_cast<std::size_t>(n.op)] = true;
    for (std::int64_t instances : {0, 1, 5}) ExpectSame(f, Draw(f, instances, 3), instances, c.body);
  }
#define AMO_OP(name, text, arity, kind) EXPECT_TRUE(seen[static_cast<std::size_t>(Op::k##name)]) << text;
#include "compiler/op.def"
#undef AMO_OP
}

TEST(TorchExecute, DerivativesEqualThoseOfTheCompiler) {
  for (const Case& c : kCases) {
    if (!c.derivatives) continue;
    SCOPED_TRACE(c.body);
    const Function f = Parse(c.body);
    for (std::int64_t instances : {1, 5}) ExpectSameDerivatives(f, Draw(f, instances, 5), instances, c.body);
  }
}

// A cumulative sum is the product with a matrix of ones where column <= row.
TEST(TorchExecute, CumSumHasTheDerivativesOfATriangularProduct) {
  const Function sum = Parse("cumsum %4 : real[2,3,4]\nsin %6 : real[2,3,4]");
  const Function product = Parse(
      "iota {0} : int[4]\nbroadcast %6 {0,-1} : int[4,4]\nbroadcast %6 {-1,0} : int[4,4]\n"
      "le %8 %7 : bool[4,4]\nreal %9 : real[4,4]\ndot %4 %10 {0,1,2,3,2,0,1,3} : real[2,3,4]\n"
      "sin %11 : real[2,3,4]");
  for (std::int64_t instances : {1, 5})
    ExpectSameDerivatives(sum, product, Draw(sum, instances, 5), instances, "cumsum");
}

// One real input x : real[4] with chosen entries.
void ExpectSameAt(const std::string& body, const std::vector<double>& x, bool derivatives) {
  compiler::ParsedFunction p = compiler::ParseFunction("function f\n%0 = input x : instance real[4]\n" + body);
  ASSERT_EQ(p.error, "") << body;
  const auto instances = static_cast<std::int64_t>(x.size() / 4);
  ExpectSame(p.function, {x}, instances, body);
  if (derivatives) ExpectSameDerivatives(p.function, {x}, instances, body);
}

TEST(TorchExecute, KinksHaveTheDerivativesOfTheCompiler) {
  const std::vector<double> kinks{0, -1, 1, 1, 0.5, 0.5, 0.5, 0.5, 2, 0, 0, 2};
  for (const char* op : {"abs", "sign", "softplus", "sigmoid"}) {
    ExpectSameAt(std::string("%1 = ") + op + " %0 : real[4]\noutput y %1\n", kinks, true);
  }
  ExpectSameAt("%1 = abs %0 : real[4]\n%2 = max %0 %1 : real[4]\noutput y %2\n", kinks, true);
  ExpectSameAt("%1 = abs %0 : real[4]\n%2 = min %1 %0 : real[4]\noutput y %2\n", kinks, true);
  ExpectSameAt("%1 = reduce_max %0 {0} : real\noutput y %1\n", kinks, true);
  ExpectSameAt("%1 = reduce_min %0 {0} : real\noutput y %1\n", kinks, true);
  ExpectSameAt(
      "%1 = sort %0 : real[4]\n%2 = iota {1} : int[4]\n%3 = real %2 : real[4]\n%4 = mul %1 %3 : real[4]\noutput y %4\n",
      kinks, true);
}

TEST(TorchExecute, ExtremeNumbersTravel) {
  const std::vector<double> extreme{kNaN, kInf, -kInf, 0, 800, -800, 50, -50, 1, kNaN, 3, 3};
  for (const char* op : {"sign", "abs", "softplus", "sigmoid", "tanh", "exp", "log", "sqrt", "floor", "atan", "erf"}) {
    ExpectSameAt(std::string("%1 = ") + op + " %0 : real[4]\noutput y %1\n", extreme, false);
  }
  for (const char* op : {"max", "min", "div", "mul", "mod", "lt", "eq", "ne"}) {
    const std::string type = std::string(op).size() == 2 ? "bool[4]" : "real[4]";
    ExpectSameAt("%1 = sin %0 : real[4]\n%2 = " + std::string(op) + " %0 %1 : " + type + "\n%3 = " + op +
                     " %1 %0 : " + type + "\noutput y %2\noutput z %3\n",
                 extreme, false);
  }
  for (const char* op :
       {"reduce_max {0} : real", "reduce_min {0} : real", "argmax : int", "argmin : int", "reduce_prod {0} : real"}) {
    const std::string text = op;
    const std::size_t space = text.find(' ');
    ExpectSameAt("%1 = " + text.substr(0, space) + " %0" + text.substr(space) + "\noutput y %1\n", extreme, false);
  }
  ExpectSameAt("%1 = softplus %0 : real[4]\noutput y %1\n", {800, -800, 50, -50, 20.5, 19.5, -0.0, 1e-300}, true);
}

TEST(TorchExecute, ThirdDerivativeOfSoftplus) {
  const Function f =
      compiler::ParseFunction("function f\n%0 = input x : instance real[4]\n%1 = softplus %0 : real[4]\noutput y %1\n")
          .function;
  const std::vector<double> at{0, 0.7, -2, 30};
  const at::Tensor x = ToTorch(at, true, 1, {Elem::kReal, {4}}).requires_grad_(true);
  at::Tensor y = TorchExecute(f, {x})[0];
  for (int order = 0; order < 3; ++order) y = torch::autograd::grad({y.sum()}, {x}, {}, true, true)[0];
  const std::vector<double> third = Entries(y);
  for (std::size_t i = 0; i < at.size(); ++i) {
    const double s = 1 / (1 + std::exp(-at[i]));
    EXPECT_NEAR(third[i], s * (1 - s) * (1 - 2 * s), 1e-12);
  }
}

TEST(TorchExecute, SinglePrecisionStaysSingle) {
  const Function f =
      Parse("dot %0 %1 {0,0,1,1} : real[4]\nnumber 2 : real\nbroadcast %7 {-1} : real[4]\nmul %6 %8 : real[4]");
  const Batch batch = Draw(f, 5, 9);
  std::vector<at::Tensor> inputs = ToTorch(f, batch, 5);
  const at::Tensor wide = TorchExecute(f, inputs)[0];
  for (at::Tensor& t : inputs) t = t.is_floating_point() ? t.to(at::kFloat) : t;
  const at::Tensor narrow = TorchExecute(f, inputs)[0];
  EXPECT_EQ(narrow.scalar_type(), at::kFloat);
  EXPECT_LT(narrow.to(at::kDouble).sub(wide).abs().max().item<double>(), 1e-5);
}

// 1e308 is how `logsumexp` asks whether a number is finite.
TEST(TorchExecute, NumbersPastSinglePrecisionAreInfinite) {
  const Function f = Parse("number 1e308 : real\nneg %6 : real\nadd %6 %7 : real\nnumber 1e308 : real");
  std::vector<at::Tensor> inputs = ToTorch(f, Draw(f, 1, 9), 1);
  EXPECT_EQ(TorchExecute(f, inputs)[0].item<double>(), 1e308);
  for (at::Tensor& t : inputs) t = t.is_floating_point() ? t.to(at::kFloat) : t;
  EXPECT_EQ(TorchExecute(f, inputs)[0].item<double>(), kInf);
}

TEST(TorchExecute, BroadcastCopiesNothing) {
  const Function f = Parse("broadcast %0 {-1,0,-1} : real[7,3,9]");
  const std::vector<at::Tensor> inputs = ToTorch(f, Draw(f, 5, 1), 5);
  EXPECT_EQ(TorchExecute(f, inputs)[0].const_data_ptr(), inputs[0].const_data_ptr());
}

// Programs of random operations on values of three shapes, all smooth.
Function RandomFunction(unsigned seed) {
  std::mt19937 random(seed);
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  Builder b("random");
  const Value x = b.Input("x", Role::kInstance, {Elem::kReal, {3}}),
              m = b.Input("M", Role::kShared, {Elem::kReal, {3, 4}});
  const Value i = b.Input("i", Role::kInstance, {Elem::kInt, {2}}), w = b.Input("w", Role::kShared, {Elem::kReal, {3}});
  std::vector<Value> threes{x, w}, tables{m};
  for (int step = 0; step < 25; ++step) {
    const Value p = threes[pick(threes.size())], q = threes[pick(threes.size())], t = tables[pick(tables.size())];
    switch (pick(14)) {
      case 0:
        threes.push_back(b.Unary(Op::kTanh, b.Add(p, q)));
        break;
      case 1:
        threes.push_back(b.Mul(b.Unary(Op::kSin, p), q));
        break;
      case 2:
        threes.push_back(b.Div(p, b.Add(b.Mul(q, q), b.Filled(1, {3}))));
        break;
      case 3:
        threes.push_back(b.Binary(Op::kMax, p, q));
        break;
      case 4:
        threes.push_back(b.Select(b.Binary(Op::kLt, p, q), b.Neg(p), q));
        break;
      case 5:
        threes.push_back(b.Reduce(Op::kReduceSum, t, {1}));
        break;
      case 6:
        threes.push_back(b.Unary(Op::kTanh, b.Reduce(pick(2) ? Op::kReduceMax : Op::kReduceMin, t, {1})));
        break;
      case 7:
        threes.push_back(b.Scatter(i, b.Gather(p, i, 0), 0, 3));
        break;
      case 8:
        tables.push_back(b.Unary(Op::kTanh, b.Mul(t, b.Broadcast(p, {0, -1}, {3, 4}))));
        break;
      case 9:
        tables.push_back(b.Along(Op::kSort, b.Unary(Op::kSigmoid, t)));
        break;
      case 10:
        tables.push_back(
            b.Unary(Op::kTanh, b.Dot(b.Dot(t, m, {0, 1}, {2, 1}, {0, 2}), tables[0], {0, 1}, {1, 2}, {0, 2})));
        break;
      case 11:
        tables.push_back(b.Concat({b.Slice(t, {0, 1}, {3, 2}), b.Pad(b.Reshape(p, {3, 1}), {0, 1}, {3, 2})}, 1));
        break;
      case 12:
        tables.push_back(b.Transpose(b.Reshape(t, {4, 3}), {1, 0}));
        break;
      default:
        threes.push_back(b.Along(Op::kSort, b.Unary(Op::kSoftplus, p)));
        break;
    }
  }
  b.Output("y", b.Concat({threes.back(), b.Reshape(tables.back(), {12}), threes[pick(threes.size())]}, 0));
  b.Output("z", tables[pick(tables.size())]);
  return b.Finish();
}

TEST(TorchExecute, RandomProgramsEqualTheInterpreter) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    const Function f = RandomFunction(seed);
    ASSERT_EQ(compiler::Verify(f), "");
    const std::string what = compiler::Print(f);
    for (std::int64_t instances : {0, 1, 5}) ExpectSame(f, Draw(f, instances, seed), instances, what);
    ExpectSameDerivatives(f, Draw(f, 5, seed), 5, what);
  }
}

}  // namespace
}  // namespace amo::runtime
