# SPDX-License-Identifier: Apache-2.0
# `amo export --kernels`: what it writes is compiled and linked by gcc as a user would, and run against closed forms,
# central differences and libm.
import json
import os
import pathlib
import platform
import re
import subprocess
import unittest

from cli_test import ERRORS, FILES, OK, PROGRAMS, USAGE, Cli

X86 = platform.machine() == "x86_64"
# What an object may ask for: C11's <math.h> and <string.h>.
LIBC = {"memcpy", "memset", "memmove"}
LIBM = {name + end for end in ["", "f"] for name in
        "acos asin atan atan2 cos erf exp exp2 expm1 fma fmod lgamma log log10 log1p log2 pow sin tan tanh".split()}

# Each function of vector math, alone; names that C and the header would not take.
FUNCTIONS = """amo 1
problem functions "What is computed with: */ each function alone."
dim n = 9
context  λ : real[n] ~ normal(0, 1)
context  scratch : real ~ normal(0, 1)
variable double : real[n]
minimize sum(i in n: λ[i] * sin(double[i])) + scratch
subject to
  exps: exp(double) == 0
  logs: log(double) == 0
  expm1s: expm1(double) == 0
  log1ps: log1p(double) == 0
  tanhs: tanh(double) == 0
  sins: sin(double) == 0
  coss: cos(double) == 0
  erfs: erf(double) == 0
  arctans: arctan(double) == 0
  floors: 1.0 * floor(double) == 0
  powers: abs(double) .^ λ == 0
"""

C_HEAD = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int faults = 0;
static void same(const char *what, double got, double want, double tolerance) {
  if (got == want || (got != got && want != want) || fabs(got - want) <= tolerance) return;
  if (++faults < 20) printf("%s: %.17g, not %.17g\n", what, got, want);
}
static unsigned long long state = 1;
static double draw(void) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (double)(state >> 11) / 4503599627370496.0 - 1;
}
static void *room(size_t bytes) { return (char *)malloc(bytes + 8) + 3; }  /* of no alignment at all */
"""

BOX_QP = C_HEAD + r"""
#include "box_qp.h"
enum { N = 20, BATCH = 21, P = N + 3, Y = N + 1 };
static double Q[N * N], p[BATCH * P], y[BATCH * Y], t[BATCH * N];
static double value[BATCH], d[BATCH * Y], h[BATCH * N], moved[BATCH * N];
static double objective(const double *at, const double *p) {
  double sum = 0;
  for (int i = 0; i < N; ++i) {
    sum += p[i] * at[i];
    for (int j = 0; j < N; ++j) sum += 0.5 * at[i] * Q[i * N + j] * at[j];
  }
  return sum;
}
int main(void) {
  for (int k = 0; k < N * N; ++k) Q[k] = draw();
  for (int k = 0; k < BATCH * P; ++k) p[k] = draw();
  for (int k = 0; k < BATCH * Y; ++k) y[k] = 2 * draw();
  for (int k = 0; k < BATCH * N; ++k) t[k] = draw();
  void *scratch = room(box_qp_gradient_scratch_bytes);
  double f, g[N], at[N];
  box_qp_gradient(Q, p, y, &f, g, scratch);
  same("value", f, objective(y, p), 1e-12);
  memcpy(at, y, sizeof at);
  for (int i = 0; i < N; ++i) {
    double slope = p[i];
    for (int j = 0; j < N; ++j) slope += 0.5 * (Q[i * N + j] + Q[j * N + i]) * y[j];
    same("gradient", g[i], slope, 1e-12);
    double high, low;
    at[i] = y[i] + 1e-4;
    box_qp_objective(Q, p, at, &high, room(box_qp_objective_scratch_bytes));
    at[i] = y[i] - 1e-4;
    box_qp_objective(Q, p, at, &low, room(box_qp_objective_scratch_bytes));
    at[i] = y[i];
    same("central difference", g[i], (high - low) / 2e-4, 1e-8);
  }
  /* The same with what depends on Q alone prepared, once for both forms. */
  void *shared = room(box_qp_gradient_shared_bytes);
  double again[N];
  box_qp_gradient_prepare(Q, shared);
  box_qp_gradient_prepared(Q, p, y, &value[0], again, shared, scratch);
  same("prepared value", value[0], f, 0);
  for (int i = 0; i < N; ++i) same("prepared gradient", again[i], g[i], 0);
  scratch = room(box_qp_gradient_batch_scratch_bytes);
  box_qp_gradient_batch_prepared(Q, p, P, y, Y, value, 1, d, Y, 0, BATCH, shared, scratch);
  for (int b = 0; b < BATCH; ++b) same("prepared batch", value[b], objective(y + b * Y, p + b * P), 1e-12);
  /* Instances 2 to 19, with space between rows; the others stay as they are. */
  memset(value, 0, sizeof value);
  memset(d, 0, sizeof d);
  scratch = room(box_qp_hessian_batch_scratch_bytes);
  box_qp_hessian_batch(Q, p, P, y, Y, t, N, value, 1, d, Y, h, N, 2, BATCH - 1, scratch);
  for (int b = 0; b < BATCH; ++b) {
    const int in = b >= 2 && b < BATCH - 1;
    same("batch value", value[b], in ? objective(y + b * Y, p + b * P) : 0, 1e-12);
    for (int i = 0; i < N; ++i) {
      double slope = p[b * P + i], curve = 0;
      for (int j = 0; j < N; ++j) {
        slope += 0.5 * (Q[i * N + j] + Q[j * N + i]) * y[b * Y + j];
        curve += 0.5 * (Q[i * N + j] + Q[j * N + i]) * t[b * N + j];
      }
      same("batch gradient", d[b * Y + i], in ? slope : 0, 1e-12);
      same("batch Hessian", h[b * N + i], in ? curve : 0, 1e-12);
    }
    same("space between rows", d[b * Y + N], 0, 0);
  }
  /* One point for all instances, by a stride of 0; an empty range does nothing. */
  box_qp_objective_batch(Q, p, P, y, 0, value, 1, 0, BATCH, room(box_qp_objective_batch_scratch_bytes));
  for (int b = 0; b < BATCH; ++b) same("stride 0", value[b], objective(y, p + b * P), 1e-12);
  box_qp_objective_batch(Q, p, P, y, Y, value, 1, 5, 5, room(box_qp_objective_batch_scratch_bytes));
  same("empty range", value[5], objective(y, p + 5 * P), 1e-12);
  box_qp_project_batch(y, Y, moved, N, 0, BATCH, room(box_qp_project_batch_scratch_bytes));
  for (int b = 0; b < BATCH; ++b) {
    for (int i = 0; i < N; ++i) same("project", moved[b * N + i], fmin(fmax(y[b * Y + i], 0), 1), 0);
  }
  return faults > 0;
}
"""

ROSENBROCK = C_HEAD + r"""
#include "rosenbrock.h"
#include "single.h"
int main(void) {
  void *scratch = room(rosenbrock_gradient_scratch_bytes), *single = room(single_gradient_scratch_bytes);
  for (int round = 0; round < 50; ++round) {
    double a = 1 + 0.5 * draw(), b = 20 + 10 * draw(), y[4], f, g[4], want[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4; ++i) y[i] = draw();
    double sum = (a - y[0]) * (a - y[0]);
    want[0] = -2 * (a - y[0]);
    for (int i = 0; i < 3; ++i) {
      double e = y[i + 1] - y[i] * y[i];
      sum += b * e * e;
      want[i + 1] += 2 * b * e;
      want[i] -= 4 * b * e * y[i];
    }
    rosenbrock_gradient(&a, &b, y, &f, g, scratch);
    same("value", f, sum, 1e-11);
    for (int i = 0; i < 4; ++i) same("gradient", g[i], want[i], 1e-11);
    float fa = (float)a, fb = (float)b, fy[4], ff, fg[4];
    for (int i = 0; i < 4; ++i) fy[i] = (float)y[i];
    single_gradient(&fa, &fb, fy, &ff, fg, single);
    same("float value", ff, sum, 2e-4);
    for (int i = 0; i < 4; ++i) same("float gradient", fg[i], want[i], 2e-4);
    for (int i = 0; i < 4; ++i) {
      double high, low, at = y[i];
      y[i] = at + 1e-5;
      rosenbrock_objective(&a, &b, y, &high, room(rosenbrock_objective_scratch_bytes));
      y[i] = at - 1e-5;
      rosenbrock_objective(&a, &b, y, &low, room(rosenbrock_objective_scratch_bytes));
      y[i] = at;
      same("central difference", g[i], (high - low) / 2e-5, 1e-6);
    }
  }
  return faults > 0;
}
"""

# Every function over its range, in both forms, within a few units in the last place of what libm gives in double. What
# is exported is by how much `f(x) == 0` fails: the absolute value.
MATH = C_HEAD + r"""
#include "functions.h"
enum { N = 9, BATCH = 13 };
typedef REAL real;
static real x[BATCH * N], w[BATCH * N], out[BATCH * N];
static double power;
static double raise(double v) { return pow(fabs(v), power); }
static double ulp(double v) {
  const int digits = sizeof(real) == 8 ? 52 : 23;
  int e;
  if (!isfinite(v)) return 0;
  frexp(v, &e);
  return ldexp(1, (e < -120 ? -120 : e) - 1 - digits);
}
#define CHECK(name, f, draw_one, ulps) do { \
  for (int round = 0; round < 400; ++round) { \
    for (int k = 0; k < BATCH * N; ++k) x[k] = (real)(draw_one); \
    for (int form = 0; form < 2; ++form) { \
      memset(out, 0, sizeof out); \
      if (form) functions_constraint_##name##_batch(x, N, out, N, 0, BATCH, \
                                                    room(functions_constraint_##name##_batch_scratch_bytes)); \
      else functions_constraint_##name(x, out, room(functions_constraint_##name##_scratch_bytes)); \
      for (int k = 0; k < (form ? BATCH * N : N); ++k) { \
        const double want = fabs((double)(real)f((double)x[k])); \
        same(#name, out[k], want, (ulps) * ulp(want)); \
      } \
    } \
  } \
} while (0)
int main(void) {
  CHECK(exps, exp, 60 * draw(), 3);
  CHECK(logs, log, exp(60 * draw()), 3);
  CHECK(expm1s, expm1, 3 * draw(), 4);
  CHECK(log1ps, log1p, 0.99 * draw(), 4);
  CHECK(tanhs, tanh, 5 * draw(), 4);
  CHECK(sins, sin, 3 * draw(), 3);
  CHECK(sins, sin, 9e3 * draw(), 3);
  CHECK(coss, cos, 9e3 * draw(), 3);
  CHECK(sins, sin, 9e5 * draw(), 3);
  CHECK(sins, sin, 3e8 * draw(), 3);
  CHECK(coss, cos, 1.5 * draw(), 3);
  CHECK(erfs, erf, 2 * draw(), 3);
  CHECK(arctans, atan, 9 * draw(), 3);
  CHECK(floors, floor, 9 * draw(), 0);
  CHECK(floors, floor, 1e14 * draw(), 0);
  for (int k = 0; k < BATCH * N; ++k) x[k] = (real)(3 * draw()), w[k] = (real)(2 * draw());
  void *scratch = room(functions_constraint_powers_batch_scratch_bytes);
  functions_constraint_powers_batch(w, N, x, N, out, N, 0, BATCH, scratch);
  for (int k = 0; k < BATCH * N; ++k) {
    power = (double)w[k];
    const double want = raise((double)x[k]);
    same("powers", out[k], want, 3 * ulp(want));
  }
  const real special[N] = {0, (real)-0.0, INFINITY, -INFINITY, NAN, 1, -1, (real)1e30, (real)-1e30};
  functions_constraint_exps(special, out, room(functions_constraint_exps_scratch_bytes));
  for (int k = 0; k < N; ++k) same("exp", out[k], (double)(real)exp((double)special[k]), 1e-15);
  functions_constraint_floors(special, out, room(functions_constraint_floors_scratch_bytes));
  same("floor", out[0] + out[1], 0, 0);
  same("floor", out[5], 1, 0);
  same("floor", out[6], 1, 0);
  return faults > 0;
}
"""


def runs_here(target):
    if target == "native":
        return True
    if not X86 or target == "aarch64":
        return False
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        flags = set(re.search(r"flags\s*: (.*)", f.read()).group(1).split())
    return {"x86-64": set(), "x86-64-v2": {"sse4_2"}, "x86-64-v3": {"avx2", "fma"},
            "x86-64-v4": {"avx512f", "avx512dq", "avx512vl", "avx512bw", "avx512cd"}}[target] <= flags


class Export(Cli):
    def tool(self, *words):
        result = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=self.folder)
        self.assertEqual(result.returncode, 0, f"{' '.join(words)}\n{result.stdout}{result.stderr}")
        return result.stdout

    def export(self, program, *options, err=None):
        return self.expect(OK, "export", "--kernels", str(program), "-o", self.path("out"), *options, err=err).stdout

    def build_and_run(self, text, *objects, options=()):
        self.file("main.c", text)
        self.tool("gcc", "-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-Iout", *options, "main.c",
                  *objects, "-o", "main", "-lm")
        self.tool("./main")

    def undefined(self, name):
        return {line.split()[-1] for line in self.tool("nm", "-u", name).splitlines()}

    def test_value_gradient_and_hessian_on_every_target_of_this_machine(self):
        for target in ["native", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]:
            with self.subTest(target):
                out = self.export(PROGRAMS / "box_qp.amo", "--target", target)
                self.assertEqual(out, f"{self.path('out/box_qp.o')}\n{self.path('out/box_qp.h')}\n")
                self.assertLessEqual(self.undefined("out/box_qp.o"), LIBC)
                if runs_here(target):
                    self.build_and_run(BOX_QP, "out/box_qp.o")

    def test_double_and_float_in_one_program(self):
        self.export(PROGRAMS / "rosenbrock.amo")
        self.export(PROGRAMS / "rosenbrock.amo", "--f32", "--name", "single", "--function", "gradient")
        self.build_and_run(ROSENBROCK, "out/rosenbrock.o", "out/single.o")
        self.assertEqual(re.findall(r" T (\w+)", self.tool("nm", "out/single.o")),
                         ["single_gradient", "single_gradient_batch"])

    def test_functions_by_libm_or_as_good(self):
        program = self.file("functions.amo", FUNCTIONS)
        for target in ["native", "x86-64", "x86-64-v2"]:
            for real, options in [("double", ()), ("float", ("--f32",))]:
                if not runs_here(target):
                    continue
                with self.subTest(target=target, real=real):
                    self.export(program, "--target", target, *options, err="unsupported")
                    self.assertLessEqual(self.undefined("out/functions.o"), LIBC | LIBM)
                    self.build_and_run(MATH, "out/functions.o", options=["-DREAL=" + real])

    def test_names_fit_c_and_cpp(self):
        self.export(self.file("functions.amo", FUNCTIONS), err="unsupported")
        self.assertRegex(self.read(self.path("out/functions.h")),
                         r"functions_objective\(const double \*u03bb, const double \*scratch_, "
                         r"const double \*double_,\s+double \*objective, void \*scratch\);")
        for words in [("gcc", "-std=c11", "-x", "c"), ("g++", "-std=c++20", "-x", "c++")]:
            self.tool(*words, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-include", "out/functions.h", os.devnull)

    def test_a_program_in_cpp_links(self):
        self.export(PROGRAMS / "rosenbrock.amo")
        self.file("main.cc", '#include "rosenbrock.h"\n#include <vector>\nint main() {\n'
                  "  double a = 1, b = 10, y[4] = {1, 1, 1, 1}, f = 7;\n"
                  "  std::vector<char> scratch(rosenbrock_objective_scratch_bytes);\n"
                  "  rosenbrock_objective(&a, &b, y, &f, scratch.data());\n  return f != 0;\n}\n")
        self.tool("g++", "-Iout", "main.cc", "out/rosenbrock.o", "-o", "main")
        self.tool("./main")

    def test_objects_go_into_shared_libraries(self):
        self.export(self.file("functions.amo", FUNCTIONS), err="unsupported")
        self.tool("gcc", "-shared", "-fPIC", "-Wl,-z,text,-z,defs", "out/functions.o", "-o", "lib.so", "-lm")
        self.assertNotIn("TEXTREL", self.tool("readelf", "-d", "lib.so"))
        self.assertRegex(self.tool("readelf", "-lW", "lib.so"), r"GNU_STACK .* RW ")
        # No state: nothing that is written to, and nothing that a loader would have to fill in.
        self.assertNotRegex(self.tool("nm", "out/functions.o"), r"(?m) [BbDdCc] ")

    def test_arm(self):
        for program, name in [(PROGRAMS / "box_qp.amo", "box_qp"), (self.file("f.amo", FUNCTIONS), "functions")]:
            for options in [(), ("--f32",)]:
                self.export(program, "--target", "aarch64", *options, err="unsupported|^$")
                head = self.tool("readelf", "-h", f"out/{name}.o")
                self.assertRegex(head, r"Machine: +AArch64")
                self.assertRegex(head, r"Type: +REL")
                self.assertLessEqual(self.undefined(f"out/{name}.o"), LIBC | LIBM)

    def test_json_tells_what_was_written(self):
        told = json.loads(self.export(PROGRAMS / "box_qp.amo", "--target", "x86-64-v3", "--json"))
        self.assertTrue(told["ok"])
        self.assertEqual([f["name"] for f in told["functions"]],
                         ["objective", "gradient", "hessian", "project", "predict"])
        self.assertEqual((told["target"], told["precision"], told["functions"][0]["lanes"]), ("x86-64-v3", "f64", 4))
        header = self.read(told["header"])
        for f in told["functions"]:
            self.assertIn(f"#define {f['symbol']}_scratch_bytes ((size_t){f['scratch_bytes']})", header)
            self.assertIn(f"#define {f['symbol']}_batch_scratch_bytes ((size_t){f['batch_scratch_bytes']})", header)
        self.assertEqual(told["functions"][0]["inputs"][0],
                         {"name": "Q", "c_name": "Q", "type": "real[20,20]", "per": "batch"})
        self.assertEqual([a["name"] for a in told["functions"][0]["inputs"]], ["Q", "p", "y"])

    def test_the_same_program_gives_the_same_bytes(self):
        texts = []
        for _ in range(2):
            self.export(PROGRAMS / "rosenbrock.amo")
            texts.append([pathlib.Path(self.path("out/rosenbrock" + end)).read_bytes() for end in [".o", ".h"]])
        self.assertEqual(texts[0], texts[1])
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["rosenbrock.h", "rosenbrock.o"])

    def test_wrong_use(self):
        program, out = str(PROGRAMS / "box_qp.amo"), self.path("out")
        self.expect(USAGE, "export", program, "-o", out, err="--kernels")
        self.expect(USAGE, "export", "--kernels", program, err="-o FOLDER")
        self.expect(USAGE, "export", "--kernels", program, "-o", out, "--target", "z80", err="unknown target .*aarch64")
        self.expect(USAGE, "export", "--kernels", program, "-o", out, "--name", "a-b", err="no name in C")
        self.expect(ERRORS, "export", "--kernels", program, "-o", out, "--function", "gradeint", err="mean `gradient`")
        self.expect(ERRORS, "export", "--kernels", self.file("bad.amo", "amo 1\nminimize x\n"), "-o", out, err="error")
        result = self.expect(ERRORS, "export", "--kernels", program, "-o", out, "--function", "q", "--json")
        told = json.loads(result.stdout)
        self.assertIn("its functions: objective, gradient", told["error"])
        self.assertFalse(os.path.exists(out))

    def test_folders_that_cannot_be_made(self):
        program = str(PROGRAMS / "box_qp.amo")
        self.expect(FILES, "export", "--kernels", program, "-o", self.file("taken", ""), err="cannot")
        os.makedirs(self.path("out/box_qp.o"))
        self.expect(FILES, "export", "--kernels", program, "-o", self.path("out"), err="it is a folder")
        self.expect(OK, "export", "--kernels", program, "-o", self.path("new/deep"), out="deep/box_qp.h")


if __name__ == "__main__":
    unittest.main()
