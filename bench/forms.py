# SPDX-License-Identifier: Apache-2.0
"""Each peer's ways to run one case: generators of functions of the batch's size, which give (ms to compile, the
results, a function that runs so many times). `case` is peers.Case, `f` the module formulas.
"""
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from types import SimpleNamespace

FLAGS = ["-O3", "-march=native", "-fPIC", "-shared", "-w"]


def repeated(call):
    def run(times):
        for _ in range(times):
            call()
    return run


def derived(case, formula, xp, grads, jvp):
    """The function of one instance's inputs by name → the outputs in the order of the file."""
    names = [k for k in case.inputs if "/" not in k]
    fields = namedtuple("Fields", names)  # TorchDynamo knows named tuples

    def value(variables, others):
        return formula(xp, fields(*[variables[k] if k in variables else others[k] for k in names]))

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

    # Not unrolled: XLA then computes the states again and again, for a thousand times the time.
    def scan(step, cost, s, us):
        def body(s, u):
            return tuple(step(s, u)), cost(s)
        last, costs = jax.lax.scan(body, tuple(s), us)
        return last, costs.sum()

    xp = SimpleNamespace(scan=scan, sin=jnp.sin, cos=jnp.cos, abs=jnp.abs, arctan2=jnp.arctan2, permute=jnp.transpose,
                         arange=jnp.arange, logsumexp=jax.nn.logsumexp,
                         norm=lambda x, axis: jnp.linalg.norm(x, axis=axis),
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
    xp = SimpleNamespace(scan=f.unrolled, sin=torch.sin, cos=torch.cos, abs=torch.abs, arctan2=torch.arctan2, permute=torch.permute,
                         logsumexp=torch.logsumexp, norm=lambda x, axis: (x * x).sum(axis).sqrt(),
                         eye=lambda n, like: torch.eye(n, dtype=like.dtype),
                         one_hot=lambda x, n, like: (x[..., None] == torch.arange(n)).to(like.dtype))
    axes = ({k: None if k in f.SHARED else 0 for k in case.inputs},)
    grads = lambda value: lambda *a: torch.func.grad_and_value(value)(*a)[::-1]
    for formula in f.WRITTEN.get(case.base, [])[:1]:
        def form(size):
            inputs = {k: torch.from_numpy(a) for k, a in case.batch(size).items()}
            torch._dynamo.reset()
            one = derived(case, formula, xp, grads, torch.func.jvp)
            # fullgraph: an error where a part would be left to eager.
            run = torch.compile(lambda inputs: torch.vmap(one, in_dims=axes)(inputs), dynamic=False, fullgraph=True)
            start = time.perf_counter()
            with torch.no_grad():
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
            command = ["gcc"] + FLAGS + ["-o", folder + "/peer.so", folder + "/loop.c", "-lm"]
            subprocess.run(command, check=True, timeout=120)
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
