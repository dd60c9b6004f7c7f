#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times one of ProxQP and OSQP on the instances of examples/dc3 that `qp --answers` wrote: one core, answers compared.

ProxQP: one `init`, then `update` and `solve` for each instance, from scratch and from the previous result. OSQP: one
`setup`, then new bounds, warm. Tolerance 1e-6 on the residuals of both. What they call solved is checked: feasible,
multipliers of inequalities not negative, the objective that of ours to 1e-6.
"""
import json
import os
import statistics
import subprocess
import sys
import time

for name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[name + "_NUM_THREADS"] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
cache = os.environ.get("AMO_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "amo")
peers = os.path.join(cache, "peers")
sys.path.insert(0, peers)
prefix = os.path.join(peers, "cmeel.prefix", "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
sys.path.insert(1, prefix)  # proxsuite's wheel keeps its module there
missing = [p for p in ("numpy", "scipy", "proxsuite", "osqp")
           if not any(os.path.isdir(os.path.join(place, p)) for place in (peers, prefix))]
if missing:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "--root-user-action=ignore", "--target", peers] + missing, stdout=sys.stderr, check=True)
import numpy as np  # noqa: E402

data = np.load(sys.argv[1])
answers = np.load(sys.argv[2])
ours = json.load(open(sys.argv[3]))
q, p, A, G, h = (data[k] for k in ("q", "p", "A", "G", "h"))
X, best = answers["x"], answers["objective"]
n, k, m = len(q), len(A), len(G)
P = np.diag(q)
low = np.full(m, -1e20)


def report(name, times, y, lam):
    """Median and, over all instances, how many answers hold."""
    value = 0.5 * (y * y) @ q + y @ p
    worst = max(np.abs(y @ A.T - X).max(), (y @ G.T - h).max())
    negative = int((lam.min(axis=1) < -1e-9).sum()) if lam is not None else 0
    other = int((np.abs(value - best) > 1e-6 * (1 + np.abs(best))).sum())
    t = statistics.median(times)
    print("%-26s %9.1f us   amo is %6.1f times as fast in the batch, %5.1f one by one;  violation %.1e, "
          "%d with a negative multiplier, %d with another optimum" %
          (name, t * 1e6, t / ours["batch"], t / ours["single"], worst, negative, other))


def proxqp(warm):
    from proxsuite import proxqp
    qp = proxqp.dense.QP(n, k, m)
    qp.settings.eps_abs, qp.settings.eps_rel = 1e-6, 0
    qp.settings.max_iter, qp.settings.max_iter_in = 200, 200
    guess = proxqp.InitialGuess
    qp.settings.initial_guess = (
        guess.WARM_START_WITH_PREVIOUS_RESULT if warm else guess.EQUALITY_CONSTRAINED_INITIAL_GUESS)
    qp.init(P, p, A, X[0], G, low, h)
    times, y, lam = [], [], []
    for x in X:
        start = time.perf_counter()
        qp.update(b=x)
        qp.solve()
        times.append(time.perf_counter() - start)
        y.append(np.array(qp.results.x)), lam.append(np.array(qp.results.z))
    return times, np.array(y), np.array(lam)


def osqp_warm():
    import osqp
    from scipy import sparse
    solver = osqp.OSQP()
    rows = sparse.csc_matrix(np.vstack([A, G]))
    solver.setup(sparse.csc_matrix(P), p, rows, np.concatenate([X[0], low]), np.concatenate([X[0], h]), verbose=False,
                 eps_abs=1e-6, eps_rel=0, max_iter=100000, polishing=False)
    times, y, lam = [], [], []
    for x in X:
        start = time.perf_counter()
        solver.update(l=np.concatenate([x, low]), u=np.concatenate([x, h]))
        result = solver.solve()
        times.append(time.perf_counter() - start)
        y.append(result.x), lam.append(result.y[k:])
    return times, np.array(y), np.array(lam)


RUNS = {"proxqp": ("ProxQP", lambda: proxqp(False)), "proxqp-warm": ("ProxQP, from the previous", lambda: proxqp(True)),
        "osqp": ("OSQP, warm", osqp_warm)}
name, run = RUNS[sys.argv[4]]
try:
    report(name, *run())
except ImportError as e:
    print("%s: left out (%s)" % (name, e))
