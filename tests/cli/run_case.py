# SPDX-License-Identifier: Apache-2.0
# What the tests of `amo solve`, `train`, `eval` and `predict` share: programs, arrays written and read by hand, calls.
import ast
import concurrent.futures
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time
import unittest
import zipfile

from cli_test import AMO, ERRORS, FILES, OK, USAGE, Cli

INTERNAL, STOPPED, DIVERGED = 4, 5, 6

BOX = """amo 1
problem box "The nearest point of a box, under a cap."
dim n = 3
context p : real[n] ~ normal(0, 1)
variable y : real[n] in box(0, 1)
minimize sumsq(y - p)
subject to
  cap: y <= 0.5
model mlp(hidden = [8])
train steps = 200, batch = 16, rate = 1e-2
report err = expect(sumsq(y - solved(y)))
report half = 0.5
"""
LONG = BOX.replace("steps = 200", "steps = 100000")
TWO = BOX.replace("context p", "context s : real ~ normal(0, 1)\ncontext p").replace("y - p", "y - s * p")
PLAIN = """amo 1
problem plain
dim n = 3
context p : real[n] ~ normal(0, 1)
variable y : real[n]
minimize sumsq(y - p)
"""

ENV = dict(os.environ)


def setUpModule():
    # A cache of its own: kernels are compiled here, and data sets are those that a case makes.
    folder = tempfile.mkdtemp()
    unittest.addModuleCleanup(shutil.rmtree, folder)
    ENV["AMO_CACHE"] = folder
    ENV["OMP_NUM_THREADS"] = "1"  # several calls run at once
    ENV.pop("AMO_FETCH_DATA", None)


def npy(values, shape, descr="<f8"):
    code = {"<f8": "d", "<f4": "f", "<i8": "q", "|b1": "B", "<c16": "d"}[descr]
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(shape)}, }}".encode()
    head += b" " * (63 - (len(head) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(values)}{code}", *values)


def read_npy(data):
    size = struct.unpack("<H", data[8:10])[0]
    head = ast.literal_eval(data[10:10 + size].decode())
    code = {"<f8": "d", "<f4": "f", "<i8": "q"}[head["descr"]]
    return head["shape"], list(struct.unpack(f"<{math.prod(head['shape'])}{code}", data[10 + size:]))


def read_npz(path):
    with zipfile.ZipFile(path) as z:
        return {name[:-4]: read_npy(z.read(name)) for name in z.namelist()}


def weights(path):
    with zipfile.ZipFile(path) as z:
        return z.read("weights.safetensors")


def content(path):
    return pathlib.Path(path).read_bytes()


class Run(Cli):
    def run_amo(self, *args, **options):
        options.setdefault("env", ENV)
        options.setdefault("cwd", self.folder)
        return super().run_amo(*args, **options)

    # Progress goes to standard error, but for --json, where nothing does.
    def expect(self, code, *args, err=None, **options):
        if err is None:
            err = "^$" if "--json" in args else "^"
        return super().expect(code, *args, err=err, **options)

    # The same for several calls at once: starting takes most of their time.
    def expect_each(self, calls):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(self.expect, code, *args, err=err) for code, args, err in calls]:
                done.result()

    def answer(self, *args, code=OK, **options):
        return json.loads(self.expect(code, *args, "--json", **options).stdout)

    def start(self, *args):
        process = subprocess.Popen([AMO, *args], env=ENV, cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def npz(self, name, **fields):
        with zipfile.ZipFile(self.path(name), "w") as z:
            for field, data in fields.items():
                z.writestr(field + ".npy", data)
        return self.path(name)

    def bytes(self, name, data):
        pathlib.Path(self.path(name)).write_bytes(data)
        return self.path(name)

    def listing(self):
        return sorted(os.listdir(self.folder))

    def until(self, true, process):
        for _ in range(6000):
            if true():
                return
            self.assertIsNone(process.poll(), "it ended too early")
            time.sleep(0.005)
        self.fail("nothing happens")


class Trained(Run):
    """With a model `box.amoz` that was trained once."""

    @classmethod
    def setUpClass(cls):
        cls.source = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.source)
        pathlib.Path(cls.source, "box.amo").write_text(BOX, encoding="utf-8")
        command = [AMO, "train", "box.amo", "--threads", "1"]
        subprocess.run(command, env=ENV, cwd=cls.source, capture_output=True, check=True)

    def setUp(self):
        super().setUp()
        for name in ["box.amo", "box.amoz"]:
            shutil.copyfile(os.path.join(self.source, name), self.path(name))
        self.good = self.npz("good.npz", p=npy([0.1, 0.2, 0.3, 2, -1, 0.4], (2, 3)))
