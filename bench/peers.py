#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times JAX, CasADi's C, NumPy and, with --torch, torch.compile on the inputs that `kernels --inputs FOLDER` wrote.

The packages are installed once, by pip, into the folder peers/ of amo's cache; what cannot be had is left out. Every
result is compared with ours (1e-9 in f64, 1e-4 in f32, relative to 1 + |ours|) before it is timed.
"""
import argparse
import ctypes
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = ["-O3", "-march=native", "-fPIC", "-shared", "-w"]
MOST = 1 << 25  # entries of an array: as kernels.cc


def settings(threads):
    """Before anything is imported: threads, 64 bit numbers, processors; NumPy's BLAS chooses its own kernels."""
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        os.environ[name + "_NUM_THREADS"] = str(threads)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ.update(JAX_ENABLE_X64="1", JAX_PLATFORMS="cpu", TF_CPP_MIN_LOG_LEVEL="2")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def install(torch):
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = os.environ.get("AMO_CACHE") or os.path.join(home, "amo")
    sys.path.insert(0, os.path.join(cache, "peers"))
    wanted = {"jax": "jax", "casadi": "casadi", "numpy": "numpy"}
    if torch:
        sys.path.insert(0, os.path.join(HERE, "..", "tools"))
        from get_libtorch import VERSION
        wanted["torch"] = "torch==%s+cpu" % VERSION
    missing = [p for m, p in wanted.items() if not os.path.isdir(os.path.join(cache, "peers", m))]
    if missing:
        print("installing", *missing, "into", os.path.join(cache, "peers"), file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        subprocess.run(pip + ["--target", os.path.join(cache, "peers")] + missing, stdout=sys.stderr)


def measure(run, batch, seconds):
    """ns per instance, minimum and median of samples of 0.1 ms or one call."""
    run(1)
    calls = 1
    while True:  # a call from Python into C takes a microsecond itself
        start = time.perf_counter_ns()
        run(calls)
        if time.perf_counter_ns() - start > 1e5:
            break
        calls *= 2
    samples, begin = [], time.perf_counter()
    while len(samples) < 5 or time.perf_counter() - begin < 1.2 * seconds:
        start = time.perf_counter_ns()
        run(calls)
        samples.append((time.perf_counter_ns() - start) / calls / batch)
        if time.perf_counter() - begin < 0.2 * seconds:
            samples.clear()  # warm-up
    return [min(samples), statistics.median(samples)]


def repeated(call):
    def run(times):
        for _ in range(times):
            call()
    return run


class Case:
    """One kernel: what the file has."""

    def __init__(self, np, path):
        self.np = np
        self.name, bits, _ = os.path.basename(path).rsplit(".", 2)
        self.precision = int(bits)
        arrays = dict(np.load(path))
        self.outputs = {k[4:]: a for k, a in arrays.items() if k.startswith("out/")}
        self.inputs = {k: a for k, a in arrays.items() if not k.startswith("out/")}
        self.product = self.name.endswith(".hvp")
        self.base = self.name.removesuffix(".hvp")
        self.variables = [k.split("/", 1)[1] for k in self.outputs if "/" in k]

    def batch(self, size):
        f = sys.modules["formulas"]
        tile = lambda a: self.np.take(a, self.np.arange(size) % len(a), axis=0)
        return {k: a if k in f.SHARED else tile(a) for k, a in self.inputs.items()}

    def check(self, peer, results, size):
        for (name, ours), theirs in zip(self.outputs.items(), results):
            n, theirs = min(size, len(ours)), self.np.asarray(theirs)
            off = self.np.abs(theirs.reshape(size, *ours.shape[1:])[:n] - ours[:n]) / (1 + self.np.abs(ours[:n]))
            if not off.max() < (1e-9 if self.precision == 64 else 1e-4):
                raise SystemExit("%s, %s: `%s` differs from ours by %g" % (self.name, peer, name, off.max()))


def derived(case, formula, xp, grads, jvp):
    """The function of one instance's inputs by name → the outputs in the order of the file."""
    def value(variables, others):
        return formula(xp, SimpleNamespace(**variables, **others))

    def run(inputs):
        variables = {k: inputs[k] for k in case.variables}
        others = {k: a for k, a in inputs.items() if k not in variables and "/" not in k}
        if not case.product:
            f, g = grads(value)(variables, others)
            return [f] + [g[k] for k in case.variables]
        tangents = {k: inputs["tangent/" + k] for k in case.variables}
        h = jvp(lambda v: grads(value)(v, others)[1], (variables,), (tangents,))[1]
        return [h[k] for k in case.variables]
    return run


def jax_forms(case, f):
    import jax
    import jax.numpy as jnp
    xp = SimpleNamespace(sin=jnp.sin, cos=jnp.cos, abs=jnp.abs, arctan2=jnp.arctan2, permute=jnp.transpose, arange=jnp.arange,
                         logsumexp=jax.nn.logsumexp, norm=lambda x, axis: jnp.linalg.norm(x, axis=axis),
                         eye=lambda n, like: jnp.eye(n, dtype=like.dtype),
                         one_hot=lambda x, n, like: jax.nn.one_hot(x, n, dtype=like.dtype))
    axes = ({k: None if k in f.SHARED else 0 for k in case.inputs},)
    for formula in f.WRITTEN.get(case.base, []):
        one = derived(case, formula, xp, jax.value_and_grad, jax.jvp)

        def form(size):
            inputs = {k: jnp.asarray(a) for k, a in case.batch(size).items()}
            run = jax.vmap(one, in_axes=axes)
            if case.base in f.CHUNKED and size > 1024:
                def run(inputs):
                    shared = {k: a for k, a in inputs.items() if k in f.SHARED}
                    rest = {k: a for k, a in inputs.items() if k not in f.SHARED}
                    return jax.lax.map(lambda row: one({**row, **shared}), rest, batch_size=1024)
            start = time.perf_counter()
            run = jax.jit(run)
            run.lower(inputs).compile()
            ms = 1e3 * (time.perf_counter() - start)
            return ms, run(inputs), repeated(lambda: jax.block_until_ready(run(inputs)))
        yield form


def torch_forms(case, f):
    import torch
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    xp = SimpleNamespace(sin=torch.sin, cos=torch.cos, abs=torch.abs, arctan2=torch.arctan2, permute=torch.permute,
                         logsumexp=torch.logsumexp, norm=lambda x, axis: (x * x).sum(axis).sqrt(),
                         eye=lambda n, like: torch.eye(n, dtype=like.dtype),
                         one_hot=lambda x, n, like: (x[..., None] == torch.arange(n)).to(like.dtype))
    axes = ({k: None if k in f.SHARED else 0 for k in case.inputs},)
    grads = lambda value: lambda *a: torch.func.grad_and_value(value)(*a)[::-1]
    for formula in f.WRITTEN.get(case.base, [])[:1]:
        def form(size):
            inputs = {k: torch.from_numpy(a) for k, a in case.batch(size).items()}
            torch._dynamo.reset()
            run = torch.compile(torch.vmap(derived(case, formula, xp, grads, torch.func.jvp), in_dims=axes), dynamic=False)
            start = time.perf_counter()
            results = run(inputs)
            return 1e3 * (time.perf_counter() - start), results, repeated(lambda: run(inputs))
        yield form


def casadi_forms(case, f):
    import casadi as ca
    for formula, kinds in f.CASADI.get(case.base, []):
        for kind in kinds:
            library = casadi_library(case, f, ca, formula, getattr(ca, kind))
            if library:
                yield lambda size: casadi_form(case, f, size, *library)


def casadi_library(case, f, ca, formula, kind):
    """Function.generate's C with a loop over instances behind it, by gcc: (the loop, ms to compile), or None."""
    symbols = {}
    for name, a in case.inputs.items():
        shape = a.shape if name in f.SHARED else a.shape[:0:-1] or (1,)
        symbols[name] = kind.sym(name.replace("/", "_"), *(shape if len(shape) < 3 else (int(a[0].size),)))
    y = [symbols[k] for k in case.variables]
    value = formula(ca, SimpleNamespace(**{k: s for k, s in symbols.items() if "/" not in k}))
    flat = ca.vertcat(*[ca.vec(s) for s in y])
    outputs = [value] + [ca.gradient(value, s) for s in y]
    if case.product:
        outputs = [ca.jtimes(outputs[1], y[0], symbols["tangent/" + case.variables[0]])]
    function = ca.Function("peer", list(symbols.values()), outputs, {"cse": True})
    real = "double" if case.precision == 64 else "float"
    with tempfile.TemporaryDirectory() as folder:
        here = os.getcwd()
        os.chdir(folder)  # generate writes to the current folder only
        start = time.perf_counter()
        function.generate("peer.c", {"casadi_real": real})
        with open("loop.c", "w") as out:
            out.write(LOOP % dict(real=real, inputs=len(symbols), outputs=len(outputs), arg=function.sz_arg() + 1,
                                  res=function.sz_res() + 1, iw=function.sz_iw() + 1, w=function.sz_w() + 1))
        os.chdir(here)
        try:
            subprocess.run(["gcc"] + FLAGS + ["-o", folder + "/peer.so", folder + "/loop.c", "-lm"], check=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as e:
            print("  casadi: gcc:", type(e).__name__, file=sys.stderr)
            return None
        return ctypes.CDLL(folder + "/peer.so").loop, 1e3 * (time.perf_counter() - start)


LOOP = """
#include "peer.c"
static const %(real)s* arg[%(arg)d];
static %(real)s* res[%(res)d];
static casadi_int iw[%(iw)d];
static %(real)s w[%(w)d];
void loop(const %(real)s** in, const long* in_step, %(real)s** out, const long* out_step, long batch, long times) {
  for (long t = 0; t < times; ++t) {
    for (long b = 0; b < batch; ++b) {
      for (int k = 0; k < %(inputs)d; ++k) arg[k] = in[k] + b * in_step[k];
      for (int k = 0; k < %(outputs)d; ++k) res[k] = out[k] + b * out_step[k];
      peer(arg, res, iw, w, 0);
    }
  }
}
"""


def casadi_form(case, f, size, loop, ms):
    np = case.np
    real = np.float64 if case.precision == 64 else np.float32
    inputs = case.batch(size)
    # Shared matrices column by column, everything else as it lies.
    held = [np.ascontiguousarray(a.T if k in f.SHARED else a, dtype=real) for k, a in inputs.items()]
    results = [np.zeros((size,) + a.shape[1:], dtype=real) for a in case.outputs.values()]
    pointers = lambda arrays: (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays])
    longs = lambda values: (ctypes.c_long * len(values))(*values)
    arguments = (pointers(held), longs([0 if k in f.SHARED else a[0].size for k, a in zip(inputs, held)]),
                 pointers(results), longs([a[0].size for a in results]), ctypes.c_long(size))
    run = lambda times: loop(*arguments, ctypes.c_long(times))
    run.keep = held, results  # the pointers do not
    run(1)
    return ms, results, run


def numpy_forms(case, f):
    if case.name in f.NUMPY or (not case.product and case.base in f.NUMPY):
        def form(size):
            v = SimpleNamespace(**{k.split("/")[0]: a for k, a in case.batch(size).items()})
            run = lambda: f.NUMPY[case.name](case.np, v)
            return 0.0, run(), repeated(run)
        yield form


def versions():
    found = {"python": platform.python_version()}
    for name in ("jax", "casadi", "numpy", "torch"):
        if name in sys.modules:
            found[name] = sys.modules[name].__version__
    try:
        found["gcc"] = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    except OSError:
        pass
    return found


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("--inputs", default=os.path.join(tempfile.gettempdir(), "amo-bench"),
                       help="the folder of `kernels --inputs`")
    parse.add_argument("--json", help="writes all figures to this file")
    parse.add_argument("--kernel", action="append", help="which; else all")
    parse.add_argument("--batch", type=int, nargs="*", default=[1, 64, 1024, 16384])
    parse.add_argument("--precision", type=int, choices=(32, 64), default=64)
    parse.add_argument("--threads", type=int, default=1)
    parse.add_argument("--seconds", type=float, default=0.3, help="spent on each figure")
    parse.add_argument("--torch", action="store_true", help="torch.compile too: 200 MB, and it compiles for minutes")
    options = parse.parse_args()
    settings(options.threads)
    install(options.torch)
    sys.path.insert(0, HERE)
    import formulas
    peers = {"jax": jax_forms, "casadi": casadi_forms, "numpy": numpy_forms}
    peers.update({"compile": torch_forms} if options.torch else {})
    try:
        import numpy
    except ImportError:
        sys.exit("NumPy is not here and cannot be installed: no peers")
    for module, peer in (("jax", "jax"), ("casadi", "casadi"), ("torch", "compile")):
        try:
            if peer in peers:
                __import__(module)
        except ImportError as e:
            print("without %s: %s" % (peer, e), file=sys.stderr)
            del peers[peer]
    if options.threads > 1:
        peers.pop("casadi", None)  # its loop is one thread's
    results = []
    for path in sorted(glob.glob(os.path.join(options.inputs, "*.%d.npz" % options.precision))):
        case = Case(numpy, path)
        if options.kernel and case.name not in options.kernel:
            continue
        entries = sum(case.inputs[k][0].size for k in case.variables)
        row = {"kernel": case.name, "precision": case.precision, "threads": options.threads, "compile_ms": {}, "batch": {}}
        print("%s, f%d" % (case.name, case.precision))
        for peer, forms in peers.items():
            for form in forms(case, formulas):
                for size in options.batch:
                    if size * entries > MOST:
                        continue
                    ms, values, run = form(size)
                    case.check(peer, values, size)
                    del values
                    times = measure(run, size, options.seconds)
                    best = row["batch"].setdefault(str(size), {})
                    if peer not in best or times[1] < best[peer][1]:  # the faster of several ways to write it
                        best[peer] = times
                        row["compile_ms"][peer] = ms
                    print("  %6d %s %.1f" % (size, peer, times[1]), flush=True)
                    del run
        results.append(row)
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"versions": versions(), "rows": results}, out, indent=1)


if __name__ == "__main__":
    main()
