#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times JAX, CasADi's C, NumPy and, with --torch, torch.compile on the inputs that `kernels --inputs FOLDER` wrote.

The packages are installed once, by pip, into the folder peers/ of amo's cache; what cannot be had is left out. Every
result is compared with ours (1e-9 in f64, 1e-4 in f32, relative to 1 + |ours|) before it is timed.
"""
import argparse
import glob
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
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
        with open(os.path.join(HERE, "..", "tools", "get_libtorch.py")) as tool:
            version = re.search(r'VERSION = "(.*)"', tool.read()).group(1)
        wanted["torch"] = "torch==%s+cpu" % version
    missing = [p for m, p in wanted.items() if not os.path.isdir(os.path.join(cache, "peers", m))]
    if missing:
        print("installing", *missing, "into", os.path.join(cache, "peers"), file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip += ["--root-user-action=ignore", "--target", os.path.join(cache, "peers")]
        subprocess.run(pip + missing, stdout=sys.stderr)


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
    import forms as write
    peers = {"jax": write.jax_forms, "casadi": write.casadi_forms, "numpy": write.numpy_forms}
    peers.update({"compile": write.torch_forms} if options.torch else {})
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
        row = {"kernel": case.name, "precision": case.precision, "threads": options.threads,
               "compile_ms": {}, "batch": {}}
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
