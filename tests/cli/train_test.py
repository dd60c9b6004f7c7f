# SPDX-License-Identifier: Apache-2.0
# `amo train` as a user meets it: models, seeds, checkpoints, interruptions, data files, disks that are full.
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import zipfile

from run_case import (AMO, BOX, DIVERGED, ENV, ERRORS, FILES, LONG, OK, PLAIN, STOPPED, Run, content, npy,
                      read_npy, setUpModule, weights)


class Train(Run):
    def test_a_model(self):
        self.file("box.amo", BOX)
        self.expect(OK, "train", "box.amo", out=r"^box\.amoz: 200 steps in .+, validation [0-9.e-]+\n$")
        self.assertEqual(self.listing(), ["box.amo", "box.amoz"])
        with zipfile.ZipFile(self.path("box.amoz")) as z:
            self.assertEqual(z.read("source/box.amo").decode(), BOX)
        with tempfile.TemporaryDirectory() as other:  # the default output stands in the current folder
            self.expect(OK, "train", self.path("box.amo"), "--steps", "3", cwd=other, out="3 steps")
            self.assertEqual(os.listdir(other), ["box.amoz"])
        self.expect(OK, "train", "box.amo", "--set", "n=5", "--steps", "0", "-o", "five.amoz", out="0 steps")
        five = self.npz("five.npz", p=npy([0.5] * 5, (1, 5)))
        self.assertEqual(self.answer("predict", "five.amoz", "--context", five)["instances"], 1)

    def test_json_and_seeds(self):
        self.file("box.amo", BOX)
        runs = [self.answer("train", "box.amo", "--threads", "1", "--seed", seed, "-o", name)
                for seed, name in [("7", "a.amoz"), ("7", "b.amoz"), ("8", "c.amoz")]]
        first = runs[0]
        expected = {"file": "box.amo", "problem": "box", "variant": "", "ok": True, "error": "", "diagnostics": [],
                    "status": "done", "output": "a.amoz", "steps": 200}
        self.assertEqual({k: first[k] for k in expected}, expected)
        self.assertGreater(first["seconds"], 0)
        self.assertEqual([h["step"] for h in first["history"]][:3], [0, 2, 4])
        self.assertLess(first["validation"], first["history"][0]["validation"])
        self.assertEqual(first["history"], runs[1]["history"])
        self.assertEqual(weights(self.path("a.amoz")), weights(self.path("b.amoz")))
        self.assertNotEqual(first["history"], runs[2]["history"])

    def test_patience(self):
        self.file("box.amo", LONG.replace("rate = 1e-2", "rate = 1e-30"))
        early = self.answer("train", "box.amo", "--patience", "3")
        self.assertTrue(early["ok"])
        self.assertEqual(early["status"], "early")
        self.assertLess(early["steps"], 100000)

    def test_nothing_learned(self):
        self.file("zeros.amo", BOX.replace("mlp(hidden = [8])", "zeros"))
        self.expect(OK, "train", "zeros.amo", out="nothing in the program is learned")
        found = self.answer("train", "zeros.amo")
        self.assertEqual((found["ok"], found["status"], found["error"], found["steps"], found["validation"]),
                         (True, "nothing learned", "", 0, None))
        context = self.npz("c.npz", p=npy([1, 2, 3], (1, 3)))
        self.expect(OK, "predict", "zeros.amoz", "--context", context, "-o", "y.npy")
        self.assertEqual(read_npy(content(self.path("y.npy"))), ((1, 3), [0, 0, 0]))
        self.expect(OK, "eval", "zeros.amoz", "-n", "5", out="gap to the solver")

    def test_divergence(self):
        self.file("wild.amo", PLAIN.replace("sumsq(y - p)", "sum(i in n: (y[i] - p[i])^4)") +
                  "model mlp(hidden = [4])\ntrain rate = 1e60, steps = 50\n")
        self.expect(DIVERGED, "train", "wild.amo", out="^$", err=r"amo: the loss is (inf|nan|-nan) at step \d+")
        old = self.bytes("wild.amoz", b"a model that was finished")
        wild = self.answer("train", "wild.amo", code=DIVERGED)
        self.assertEqual((wild["ok"], wild["status"]), (False, "diverged"))
        self.assertIn("the loss is", wild["error"])
        self.assertEqual(content(old), b"a model that was finished")

    def test_outputs_that_cannot_be_written(self):
        self.file("box.amo", BOX)
        os.mkdir(self.path("folder"))
        self.expect_each([
            (FILES, ["train", "box.amo", "-o", "none/box.amoz"], "cannot write `none/box.amoz`: no such folder `none`"),
            (FILES, ["train", "box.amo", "-o", "folder"], "cannot write `folder`: it is a folder"),
            (FILES, ["train", "box.amo", "-o", "box.amo"], "cannot write `box.amo`: it is read by the same run"),
            (FILES, ["train", "box.amo", "-o", "/dev/full", "--steps", "3"], "cannot write `/dev/full`: No space left"),
            (FILES, ["solve", "box.amo", "-o", "none/y.npz"], "no such folder `none`"),
            (FILES, ["solve", "box.amo", "-o", "y.txt"],
             "cannot write `y.txt`: its ending is not known: expected one of .npz"),
        ])
        self.assertIn("no such folder", self.answer("train", "box.amo", "-o", "none/x.amoz", code=FILES)["error"])
        self.assertEqual(self.listing(), ["box.amo", "folder"])
        self.assertEqual(self.read(self.path("box.amo")), BOX)

    def test_full_disk(self):
        self.file("box.amo", BOX)
        self.expect(OK, "train", "box.amo", "--steps", "5")
        old = content(self.path("box.amoz"))

        def small():  # files end at 4096 bytes, as on a full disk
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        self.expect(FILES, "train", "box.amo", preexec_fn=small, out="^$",
                    err="amo: cannot write `box.amoz`: File too large")
        failed = self.answer("train", "box.amo", "--checkpoint", "0", code=FILES, preexec_fn=small)
        self.assertEqual((failed["ok"], failed["status"]), (False, "failed"))
        self.assertIn("cannot write `box.amoz.checkpoint`: File too large", failed["error"])
        self.assertEqual(content(self.path("box.amoz")), old)
        self.assertEqual(self.listing(), ["box.amo", "box.amoz"])


class Checkpoints(Run):
    def train(self, *more):
        return ["train", "long.amo", "--threads", "1", "--checkpoint", "0.05", *more]

    def setUp(self):
        super().setUp()
        self.file("long.amo", LONG)
        self.model, self.checkpoint = self.path("long.amoz"), self.path("long.amoz.checkpoint")

    def begin(self, *more):
        process = self.start(*self.train(*more))
        self.until(lambda: os.path.exists(self.checkpoint), process)
        return process

    def test_killed_and_resumed(self):
        options = ["--steps", "40000", "--patience", "90"]  # what a run began with need not be said again
        whole = self.answer("train", "long.amo", "--threads", "1", "-o", "whole.amoz", *options)
        before = 0
        for more in [options, ["--resume"]]:
            process = self.start(*self.train(*more))
            self.until(lambda: os.path.exists(self.checkpoint) and os.stat(self.checkpoint).st_mtime_ns != before,
                       process)
            wait = random.uniform(0, 0.2)
            time.sleep(wait)
            process.kill()
            self.assertEqual(process.wait(timeout=60), -signal.SIGKILL, f"it ended before the kill, after {wait} s")
            before = os.stat(self.checkpoint).st_mtime_ns
            with zipfile.ZipFile(self.checkpoint) as z:
                self.assertIsNone(z.testzip())
            self.assertFalse(os.path.exists(self.model))
        resumed = self.answer(*self.train("--resume"))
        self.assertEqual(weights(self.model), weights(self.path("whole.amoz")))
        self.assertEqual(resumed["history"], whole["history"])
        self.assertEqual([name for name in self.listing() if not name.endswith(".part")],
                         ["long.amo", "long.amoz", "whole.amoz"])

    def test_stopped_and_resumed(self):
        self.bytes("long.amoz", b"a model that was finished")
        process = self.begin()
        # While it runs nobody else writes its file, and reading goes on.
        holder = rf"amo: another run \(process {process.pid}\) is writing `long.amoz`"
        self.expect(FILES, *self.train(), err=holder)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (STOPPED, ""))
        self.assertRegex(err, r"amo: stopped at step \d+ of 100000; `long.amoz.checkpoint` holds the run, "
                              r"`--resume` goes on\n$")
        self.assertEqual(content(self.model), b"a model that was finished")
        self.assertEqual(self.listing(), ["long.amo", "long.amoz", "long.amoz.checkpoint"])

        kept = content(self.checkpoint)
        refused = [([], "holds a run that was not finished: `--resume` goes on with it, `--restart` begins again"),
                   (["--resume", "--seed", "9"],
                    "cannot resume from `long.amoz.checkpoint`: it was begun with the seed 0"),
                   (["--resume", "--set", "n=4"], "cannot resume from .*: it was begun with other `--set`")]
        for more, why in refused:
            self.expect(FILES, *self.train(*more), err=why)
        self.file("long.amo", LONG.replace("hidden = [8]", "hidden = [9]"))
        self.expect(FILES, *self.train("--resume"), err="the program has changed since; `--restart` begins again")
        self.file("long.amo", LONG)
        # A checkpoint is a model too.
        self.expect(OK, "eval", self.checkpoint, "-n", "5", out="gap to the solver")
        self.assertEqual(content(self.checkpoint), kept)

        self.expect(OK, *self.train("--resume"), out="100000 steps")
        resumed = weights(self.model)
        self.assertFalse(os.path.exists(self.checkpoint))
        self.expect(OK, *self.train())
        self.assertEqual(weights(self.model), resumed)

    def test_terminated_and_restarted(self):
        process = self.begin("--json")
        process.terminate()
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (STOPPED, ""))
        stopped = json.loads(out)
        self.assertEqual((stopped["ok"], stopped["status"]), (False, "stopped"))
        self.assertIn("`--resume` goes on", stopped["error"])
        self.expect(OK, *self.train("--restart", "--steps", "4"), out="4 steps")
        self.assertEqual(self.listing(), ["long.amo", "long.amoz"])

    def test_a_job_in_the_background_is_not_stopped(self):
        def ignore():  # as a shell does without job control
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        process = subprocess.Popen([AMO, *self.train()], env=ENV, cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, preexec_fn=ignore)
        self.until(lambda: os.path.exists(self.checkpoint), process)
        process.send_signal(signal.SIGINT)
        self.assertRegex(process.communicate(timeout=60)[0], b"100000 steps")
        self.assertEqual(process.returncode, OK)

    def test_checkpoints_that_are_none(self):
        self.expect(FILES, *self.train("--resume"), err="there is no checkpoint `long.amoz.checkpoint` to resume from")
        self.expect(OK, *self.train("--steps", "3"))
        os.rename(self.model, self.checkpoint)
        self.expect(FILES, *self.train("--resume"), err="`long.amoz.checkpoint` is a finished model, not a checkpoint")
        whole = content(self.checkpoint)
        self.bytes("long.amoz.checkpoint", whole[:len(whole) // 2])
        self.expect(FILES, *self.train("--resume"), err="`long.amoz.checkpoint` is truncated or damaged")
        self.assertEqual(content(self.checkpoint), whole[:len(whole) // 2])

    def test_data_that_changed(self):
        self.file("long.amo", LONG.replace("context p : real[n] ~ normal(0, 1)", 'context p : real[n] from "p.npy"'))
        self.bytes("p.npy", npy([0.01 * k for k in range(300)], (100, 3)))
        process = self.begin()
        process.terminate()
        self.assertEqual(process.wait(timeout=60), STOPPED)
        self.bytes("p.npy", npy([0.02 * k for k in range(300)], (100, 3)))
        self.expect(FILES, *self.train("--resume"), err="the data files have changed since")
        self.bytes("p.npy", npy([0.01 * k for k in range(300)], (100, 3)))
        self.expect(OK, *self.train("--resume"))


class Data(Run):
    TEXT = BOX.replace("context p : real[n] ~ normal(0, 1)",
                       'data a : real[n] from "a.npy"\ncontext p : real[n] from "p.npz"').replace("y - p", "y - p - a")

    def setUp(self):
        super().setUp()
        self.file("data.amo", self.TEXT)
        self.bytes("a.npy", npy([0.1, 0.2, 0.3], (3,)))
        self.npz("p.npz", p=npy([0.1 * k for k in range(30)], (10, 3)))

    def test_files_that_move(self):
        os.mkdir(self.path("sub"))
        for name in ["data.amo", "a.npy", "p.npz"]:
            os.rename(self.path(name), self.path(f"sub/{name}"))
        self.expect(OK, "train", "sub/data.amo", "--steps", "5")
        found = self.answer("eval", "data.amoz", "-n", "4")
        os.rename(self.path("sub"), self.path("gone"))
        # A prediction asks for no tables; evaluation draws from them.
        context = self.npz("c.npz", p=npy([1, 2, 3], (1, 3)))
        self.expect(OK, "predict", "data.amoz", "--context", context)
        self.expect(FILES, "eval", "data.amoz", "-n", "4", err=r"(a\.npy|p\.npz)` does not exist")
        self.expect(FILES, "eval", "data.amoz", "-n", "4", "--data", "none", err="does not exist")
        self.assertEqual(self.answer("eval", "data.amoz", "-n", "4", "--data", "gone")["gap"], found["gap"])

    def test_bad_files(self):
        good = content(self.path("a.npy"))
        cases = [(good[:-4], r"`.*a\.npy` is truncated"), (b"", r"a\.npy"),
                 (npy([1, 2], (2,)), r"`a` is float64\[2\]: declared"),
                 (npy([1, math.nan, 3], (3,)), r"a\.npy` has an entry that is not finite: row 1 of field `a` is nan"),
                 (npy([1, 1, 0], (3,), "|b1"), "bools are no numbers"), (None, r"file `a\.npy` does not exist")]
        for data, why in cases:
            os.remove(self.path("a.npy")) if data is None else self.bytes("a.npy", data)
            self.expect(FILES, "train", "data.amo", out="^$", err=r"^amo: [^\n]*" + why)
        self.assertIn("a.npy", self.answer("solve", "data.amo", code=FILES)["error"])
        self.bytes("a.npy", good)
        self.npz("p.npz", q=npy([1, 2, 3], (1, 3)))
        self.expect(FILES, "train", "data.amo", err="the table `p.npz` has no field `p`: it has `q`")
        self.assertEqual(self.listing(), ["a.npy", "data.amo", "p.npz"])

    def test_output_over_input(self):
        self.expect(FILES, "train", "data.amo", "-o", "a.npy", err="it is read by the same run")
        self.expect(FILES, "solve", "data.amo", "-o", "p.npz", err="it is read by the same run")

    def test_registered_set(self):
        text = PLAIN.replace("dim n = 3\n", "dim n = 64\n").replace("context p", "hidden r from digits\ncontext p")
        self.file("digits.amo", text.replace("p : real[n] ~ normal(0, 1)", "p : real[n] = r.image / 16") +
                  "model mlp(hidden = [4])\ntrain steps = 5\n")
        self.expect(FILES, "train", "digits.amo",
                    err="data set `digits` is not on this machine: run `tools/fetch_data.py digits`")
        folder = os.path.join(ENV["AMO_CACHE"], "data", "digits")
        os.makedirs(folder)
        self.addCleanup(shutil.rmtree, folder)
        made = self.npz("digits.npz", image=npy([k % 17 for k in range(640)], (10, 64)),
                        label=npy(list(range(10)), (10,), "<i8"))
        shutil.copyfile(made, os.path.join(folder, "digits.npz"))
        self.expect(OK, "train", "digits.amo", out="5 steps")
        self.expect(OK, "eval", "digits.amoz", "-n", "3", out="gap to the solver")
        self.bytes("digits.npz", content(made)[:-30])
        shutil.copyfile(made, os.path.join(folder, "digits.npz"))
        self.expect(FILES, "train", "digits.amo", err="data set `digits`: ")


if __name__ == "__main__":
    unittest.main()
