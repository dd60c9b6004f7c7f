# SPDX-License-Identifier: Apache-2.0
# `amo solve`, `eval` and `predict` as a user meets them: answers, files in and out, bad input; and wrong use of all.
import csv
import fcntl
import hashlib
import json
import math
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
import unittest
import zipfile

from run_case import (AMO, BOX, ENV, ERRORS, FILES, INTERNAL, OK, PLAIN, TWO, USAGE, Run, Trained, content, npy,
                      read_npy, read_npz, setUpModule)


class Help(Run):
    def test_every_command_has_help_with_an_example(self):
        overview = self.expect(OK, "--help").stdout
        for command, what in [("solve", "FILE"), ("train", "FILE"), ("eval", "MODEL"), ("predict", "MODEL")]:
            self.assertRegex(overview, rf"(?m)^  {command} +\w")
            text = self.expect(OK, command, "--help", out=rf"Usage: amo {command} .*{what}").stdout
            self.assertRegex(text, rf"Example:\n  amo {command} \w+\.amoz? ")
            self.assertEqual(text, self.expect(OK, "help", command).stdout)
            for option in ["--threads", "--device", "--json"]:
                self.assertIn(option, text)

    def test_wrong_use(self):
        self.file("box.amo", BOX)
        calls = [(["train"], "FILE is required"), (["eval"], "MODEL is required"), (["predict", "m.amoz"], "--context"),
                 (["train", "box.amo", "--resum"], "did you mean `--resume`"),
                 (["solve", "box.amo", "x"], "unexpected argument `x`"),
                 (["train", "box.amo", "--resume", "--restart"], "--resume excludes --restart"),
                 (["solve", "box.amo", "--context", "c.npz", "-n", "3"], "excludes"),
                 (["solve", "box.amo", "-n", "0"], "between 1 and"), (["eval", "m.amoz", "-n", "-5"], "between 1 and"),
                 (["solve", "box.amo", "-n", "many"], "--instances"),
                 (["solve", "box.amo", "-n", "1" + "0" * 30], "--instances"),
                 (["train", "box.amo", "--seed", "-2"], "`--seed` is at least 0"),
                 (["train", "box.amo", "--steps", "-2"], "`--steps` is at least 0"),
                 (["train", "box.amo", "--patience", "-1"], "`--patience` is at least 0"),
                 (["train", "box.amo", "--checkpoint", "nan"], "`--checkpoint` is at least 0"),
                 (["solve", "box.amo", "--tolerance", "0"], "`--tolerance` is above 0"),
                 (["train", "box.amo", "--set", "n"], "NAME=EXPR")]
        for threads in ["0", "-1", "1025", "two"]:
            calls.append((["train", "box.amo", "--threads", threads], "--threads"))
        for command in ["train", "solve", "eval", "predict"]:
            more = ["--context", "c.npz"] if command == "predict" else []
            calls.append(([command, "box.amo", "--device", "cuda", *more], "--device cuda.*knows `cpu` only"))
        self.expect_each([(USAGE, args, err) for args, err in calls])
        self.assertEqual(self.listing(), ["box.amo"])

    def test_programs_with_errors(self):
        cases = {"unknown.amo": (BOX.replace("y - p", "y - q"), r"error\[unknown-name\].*`q`"),
                 "dims.amo": (BOX.replace("dim n = 3", "dim n = 3\ndim m = 3").replace("p : real[n]", "p : real[m]"),
                              r"error\[shape-mismatch\].*\n.*dims\.amo:7:16"),
                 "unused.amo": (PLAIN.replace("y - p", "p") + "model mlp(hidden = [4])\n",
                                r"error\[unused-variable\].*`y`"),
                 "vector.amo": (BOX.replace("sumsq(y - p)", "y - p"), r"error\[not-scalar\]"),
                 "later.amo": (BOX.replace("mlp(hidden = [8])", "mlp(hidden = [8]) then admm(rho = 2)"),
                               r"error\[unsupported\].*`rho` of `admm`.*\n.*later\.amo:9:35"),
                 "syntax.amo": ("amo 1\ndim n = (3\n", r"error\[syntax\]")}
        for name, (text, _) in cases.items():
            self.file(name, text)
        self.expect_each([(ERRORS, ["train", name], err) for name, (_, err) in cases.items()])
        self.expect_each([(ERRORS, ["solve", name], err) for name, (_, err) in cases.items() if name != "later.amo"])
        found = self.answer("train", "dims.amo", code=ERRORS)
        self.assertFalse(found["ok"])
        self.assertEqual(found["diagnostics"][0]["severity"], "error")
        self.expect(FILES, "train", "none.amo", err="cannot read `none.amo`: No such file")
        self.assertEqual(self.listing(), sorted(cases))


class Eval(Trained):
    def test_text(self):
        text = self.expect(OK, "eval", "box.amoz", "-n", "20", "--threads", "1").stdout
        for part in [r"^20 test instances, 1 thread\n", r"\n  gap to the solver +[0-9.e+-]+ ", r"\n  residual, model ",
                     r"\n  violation cap, model ", r"solver +qp: 20 solved",
                     r"\n  time per instance, warm ",
                     r"\n  reports\n    err +[0-9.e-]+\n    half +0\.5\n$"]:
            self.assertRegex(text, part)

    def test_json(self):
        found = self.answer("eval", "box.amoz", "-n", "20", "--seed", "3")
        self.assertEqual((found["ok"], found["error"], found["model"], found["instances"]), (True, "", "box.amoz", 20))
        self.assertEqual(sorted(found["reports"]), ["err", "half"])
        self.assertEqual(found["reports"]["half"], 0.5)
        self.assertEqual(found["solver"]["status"], {"solved": 20})
        self.assertEqual(sorted(found["violations"]), ["cap"])
        for spread in [found["gap"], found["residual"]["model"], found["violations"]["cap"]["solver"]]:
            self.assertEqual(sorted(spread), ["max", "mean", "median", "p95"])
        self.assertGreaterEqual(found["gap"]["mean"], -1e-9)
        self.assertAlmostEqual(found["gap"]["mean"], found["objective"]["model"] - found["objective"]["solver"])
        self.assertGreater(found["seconds_per_instance"]["solver"]["batch_n"], 0)
        self.assertEqual(self.answer("eval", "box.amoz", "-n", "20", "--seed", "3")["gap"], found["gap"])
        self.assertNotEqual(self.answer("eval", "box.amoz", "-n", "20", "--seed", "4")["gap"], found["gap"])
        self.assertEqual(self.answer("eval", "box.amoz", "-n", "1")["instances"], 1)

    def test_without_the_solver(self):
        self.file("plain.amo", PLAIN + "model mlp(hidden = [4])\ntrain steps = 5\n")
        self.expect(OK, "train", "plain.amo")
        found = self.answer("eval", "plain.amoz", "--no-solver", "-n", "7")
        for part in ["residual", "objective", "seconds_per_instance"]:
            self.assertIsNone(found[part]["solver"])
        self.assertEqual((found["gap"], found["solver"]["status"]), (None, {}))
        self.assertGreater(found["objective"]["model"], 0)
        self.expect(OK, "eval", "plain.amoz", "--no-solver", "-n", "7", out="^7 test instances")


class Answers(Trained):
    def test_predict(self):
        text = self.expect(OK, "predict", "box.amoz", "--context", self.good, "-o", "y.npz").stdout
        for part in [r"^2 answers in ", r"\n  objective ", r"\n  residual ", r"\n  violation cap ",
                     r"\ny\.npz: written\n$"]:
            self.assertRegex(text, part)
        found = read_npz(self.path("y.npz"))
        self.assertEqual(list(found), ["y", "objective", "residual", "gap", "violation_cap", "in_distribution"])
        self.assertEqual([found[k][0] for k in found], [(2, 3), (2,), (2,), (2,), (2,), (2,)])
        self.assertTrue(all(0 <= share <= 1 for share in found["in_distribution"][1]))
        y, contexts = found["y"][1], [0.1, 0.2, 0.3, 2, -1, 0.4]
        self.assertTrue(all(0 <= v <= 0.5 for v in y))
        for i in range(2):
            value = sum((y[3 * i + k] - contexts[3 * i + k]) ** 2 for k in range(3))
            self.assertAlmostEqual(found["objective"][1][i], value)
        self.assertEqual(found["violation_cap"][1], [0, 0])
        answer = self.answer("predict", "box.amoz", "--context", self.good)
        self.assertEqual((answer["ok"], answer["model"], answer["instances"], answer["not_finite"], answer["output"]),
                         (True, "box.amoz", 2, 0, ""))
        self.assertEqual(sorted(answer["certificate"]), ["gap", "objective", "residual", "violations"])
        self.assertAlmostEqual(answer["certificate"]["objective"]["mean"], sum(found["objective"][1]) / 2)

    def test_trust(self):
        """Answers whose certificate falls short are solved, as far as the budget goes, and say so."""
        options = ["predict", "box.amoz", "--context", self.good, "--tolerance", "1e-9"]
        found = self.answer(*options, "-o", "t.npz")
        self.assertEqual((found["trust"]["within"], found["trust"]["above"]), (2, 0))
        self.assertEqual(sum(found["trust"]["stages"].values()), 2)
        arrays = read_npz(self.path("t.npz"))
        self.assertEqual(arrays["within"], ((2,), [1, 1]))
        self.assertEqual(sorted(set(arrays["stage"][1]) - {0, 1, 2}), [])
        for value, exact in zip(arrays["y"][1], [0.1, 0.2, 0.3, 0.5, 0, 0.4]):
            self.assertAlmostEqual(value, exact, 8)
        none = self.answer(*options, "--budget", "0s")["trust"]
        self.assertEqual(none["stages"]["predicted"], 2)
        self.expect(OK, *options, out="above the tolerance +0")
        self.expect(USAGE, *options, "--budget", "soon", err="is no time")
        self.expect(USAGE, *options[:4], "--budget", "1s", err="goes with `--tolerance`")

    def test_infeasible_instances_are_explained(self):
        self.file("plan.amo", "amo 1\nproblem plan\ncontext t : real ~ uniform(0, 1)\nvariable y : real[2] in box(0, 1)\n"
                  "minimize sumsq(y)\nsubject to\n  total: sum(y) == t\n")
        t = self.npz("t.npz", t=npy([1, 3], (2,)))
        self.expect(OK, "solve", "plan.amo", "--context", t, out="instance 1 is infeasible: `total`, `the set of y")
        found = self.answer("solve", "plan.amo", "--context", t)
        self.assertEqual(found["status"], {"infeasible": 1, "solved": 1})
        self.assertEqual([(r["instance"], len(r["parts"])) for r in found["reasons"]], [(1, 3)])

    def test_every_kind_of_output(self):
        self.expect_each([(OK, ["predict", "box.amoz", "--context", self.good, "-o", f"y.{e}"], "^")
                          for e in ["npz", "csv", "npy", "safetensors"]])
        y = read_npz(self.path("y.npz"))["y"][1]
        with open(self.path("y.csv"), newline="", encoding="utf-8") as f:
            rows = list(csv.reader(f))
        self.assertEqual(rows[0], ["y_0", "y_1", "y_2", "objective", "residual", "gap", "violation_cap",
                                   "in_distribution"])
        self.assertEqual([float(v) for row in rows[1:] for v in row[:3]], y)
        self.assertEqual(read_npy(content(self.path("y.npy"))), ((2, 3), y))
        tensors = content(self.path("y.safetensors"))
        head = json.loads(tensors[8:8 + struct.unpack("<Q", tensors[:8])[0]])
        names = sorted(k for k in head if k != "__metadata__")
        self.assertEqual(names, ["gap", "in_distribution", "objective", "residual", "violation_cap", "y"])

    def test_solve(self):
        text = self.expect(OK, "solve", "box.amo", "--context", self.good, "-o", "s.npz").stdout
        self.assertRegex(text, r"^2 instances by qp, .*\n  solved +2\n  iterations ")
        found = read_npz(self.path("s.npz"))
        self.assertEqual(list(found), ["y", "objective", "residual", "gap", "violation_cap", "status", "iterations"])
        self.assertEqual(found["status"], ((2,), [0, 0]))
        for value, exact in zip(found["y"][1], [0.1, 0.2, 0.3, 0.5, 0, 0.4]):
            self.assertAlmostEqual(value, exact, 5)
        self.expect(OK, "solve", "box.amo", "--context", self.good, "-o", "s.npy")
        self.assertEqual(read_npy(content(self.path("s.npy"))), found["y"])
        drawn = self.answer("solve", "box.amo", "-n", "7")
        self.assertEqual((drawn["ok"], drawn["problem"], drawn["instances"]), (True, "box", 7))
        self.assertEqual(drawn["status"], {"solved": 7})
        again, other = [self.answer("solve", "box.amo", "-n", "7", "--seed", seed) for seed in ["1", "2"]]
        self.assertEqual(drawn["certificate"], again["certificate"])
        self.assertNotEqual(drawn["certificate"], other["certificate"])
        self.file("loss.amo", PLAIN.replace("minimize sumsq", "model mlp(hidden = [4])\nloss sumsq"))
        self.expect(ERRORS, "solve", "loss.amo", err="there is nothing to solve: the program has no objective")

    def test_solve_of_a_model(self):
        text = PLAIN.replace("variable y", "parameter w : real = 0.5\nvariable y").replace("y - p", "y - w * p")
        self.file("learns.amo", text + "loss objective\ntrain steps = 20, batch = 4, rate = 1e-2\nmodel mlp(hidden = [4])\n")
        refused = self.answer("solve", "learns.amo", code=ERRORS)
        self.assertIn("solving reads `w`, which training learns", refused["error"])
        self.expect(OK, "train", "learns.amo")
        self.npz("w.npz", p=npy([1, 2, 4], (1, 3)))
        self.expect(OK, "solve", "learns.amoz", "--context", "w.npz", "-o", "y.npy")
        y = read_npy(content(self.path("y.npy")))[1]
        self.assertNotEqual(y[0], 0.5)
        self.assertAlmostEqual(y[2], 4 * y[0], places=6)
        self.expect(OK, "solve", "learns.amoz", "-n", "3", out="3 instances by qp")
        self.expect(USAGE, "solve", "learns.amoz", "--set", "n=4", err="go to `amo train`")
        self.expect(FILES, "solve", "none.amoz", err="none.amoz")

    def test_contexts(self):
        half = self.npz("half.npz", p=npy([1, 2, 3], (1, 3), "<f4"))
        whole = self.npz("whole.npz", p=npy([1, 2, 3], (1, 3), "<i8"))
        table = self.file("p.csv", "p_0,p_1,p_2\n1,2,3\n")
        plain = self.bytes("any.npy", npy([1, 2, 3], (1, 3)))
        answers = []
        for path in [half, whole, table, plain]:
            self.expect(OK, "predict", "box.amoz", "--context", path, "-o", "y.npz")
            answers.append(read_npz(self.path("y.npz")))
        self.assertTrue(all(a == answers[0] for a in answers))

    def test_no_instances(self):
        none = self.npz("none.npz", p=npy([], (0, 3)))
        for command in [["predict", "box.amoz"], ["solve", "box.amo"]]:
            found = self.answer(*command, "--context", none, "-o", "y.npz")
            self.assertEqual((found["instances"], found["certificate"]["objective"]["mean"]), (0, None))
            self.assertEqual(read_npz(self.path("y.npz"))["y"], ((0, 3), []))

    def test_bad_contexts(self):
        six = [1, 2, 3, 4, 5, 6]
        self.npz("nan.npz", p=npy([1, 2, 3, 4, math.nan, 6], (2, 3)))
        self.npz("inf.npz", p=npy([1, 2, 3, 4, 5, -math.inf], (2, 3)))
        self.npz("shape.npz", p=npy(six + six[:2], (2, 4)))
        self.npz("flat.npz", p=npy(six[:3], (3,)))
        self.npz("bool.npz", p=npy([1] * 6, (2, 3), "|b1"))
        self.npz("complex.npz", p=npy(six, (1, 3), "<c16"))
        self.npz("other.npz", q=npy(six, (2, 3)), r=npy(six, (2, 3)))
        self.npz("short.npz", p=npy(six[:5], (2, 3)))
        self.bytes("cut.npz", content(self.good)[:100])
        self.bytes("text.npz", b"no zip")
        self.file("words.csv", "p_0,p_1,p_2\n1,two,3\n")
        cases = {"nan.npz": r"file `nan.npz`: field `p`, instance 1, entry 1 is nan",
                 "inf.npz": "field `p`, instance 1, entry 2 is -inf",
                 "shape.npz": r"field `p` is float64\[2,4\], expected a batch of `p\[3\]`: \[B, 3\]",
                 "flat.npz": r"is float64\[3\], expected",
                 "bool.npz": "field `p` holds bools, expected numbers",
                 "complex.npz": "field `p` of file `complex.npz` .*<c16",
                 "other.npz": "the context `p` is missing; it has `q`, `r`",
                 "short.npz": "field `p` of file `short.npz` is truncated",
                 "cut.npz": "file `cut.npz` is not a whole .npz", "text.npz": "file `text.npz` is not a whole .npz",
                 "words.csv": "`two` in line 2, column `p_1`", "none.npz": "file `none.npz` does not exist", ".": "`.`"}
        calls = [(["predict", "box.amoz"], name) for name in cases]
        calls += [(["solve", "box.amo"], name) for name in ["nan.npz", "other.npz", "none.npz"]]  # one border for both
        self.expect_each([(FILES, [*c, "--context", name, "-o", f"{c[0]}-{name}.npz"],
                           r"^amo: [^\n]*" + cases[name] + r"[^\n]*\n$") for c, name in calls])
        told = self.answer("predict", "box.amoz", "--context", "nan.npz", code=FILES)
        self.assertEqual((told["ok"], sorted(told)), (False, ["error", "ok"]))
        self.assertIn("instance 1, entry 1 is nan", told["error"])
        self.assertEqual([name for name in self.listing() if name.startswith(("solve-", "predict-"))], [])

    def test_batches_that_differ(self):
        self.file("two.amo", TWO)
        self.expect(OK, "train", "two.amo", "--steps", "5")
        self.npz("differ.npz", p=npy([1] * 6, (2, 3)), s=npy([1, 2, 3], (3,)))
        self.npz("half.npz", p=npy([1] * 6, (2, 3)))
        for command in ["predict", "two.amoz"], ["solve", "two.amo"]:
            self.expect(FILES, *command, "--context", "differ.npz", err="field `.` has . instances, `.` has .")
            self.expect(FILES, *command, "--context", "half.npz", err="the context `s` is missing; it has `p`")

    def test_answers_that_are_not_finite(self):
        huge = self.npz("huge.npz", p=npy([1e200, 2, 3, 4, 5, 6], (2, 3)))
        found = self.answer("predict", "box.amoz", "--context", huge)
        self.assertEqual((found["instances"], found["not_finite"]), (2, 1))
        self.expect(OK, "solve", "box.amo", "--context", huge, out=r"\n  not finite, left out +1\n")
        fault = found["faults"][0]
        self.assertEqual((fault["instance"], fault["value"], fault["file"]), (0, "inf", "box.amo"))
        self.file("logs.amo", PLAIN.replace("minimize", "minimize sum(i in n: log(p[i])) +"))
        made = self.npz("below.npz", p=npy([1, 2, 3, 4, -5, 6], (2, 3)))
        self.expect(OK, "solve", "logs.amo", "--context", made,
                    out=r"\n  instance 1: `log\(p\[i\]\)` in the objective is nan: log\(-5\) in entry \[1\] \(logs\.amo:\d+:\d+\)\n")

    def test_derivatives_of_solutions(self):
        text = self.expect(OK, "solve", "box.amo", "-n", "20", "--derivatives", "-o", "d.npz").stdout
        self.assertRegex(text, r"\n  derivatives trusted +\d+\n")
        arrays = read_npz(self.path("d.npz"))
        self.assertEqual(arrays["d_y_d_p"][0], (20, 3, 3))
        for name in ["d.csv", "d.npy"]:
            self.expect(FILES, "solve", "box.amo", "--derivatives", "-o", name,
                        err="derivatives go to a .npz or .safetensors file")
        self.file("kinks.amo", PLAIN.replace("minimize", "minimize sum(i in n: abs(y[i])) +"))
        self.expect(ERRORS, "solve", "kinks.amo", "--derivatives",
                    err="there are no derivatives of the solutions: the objective or a constraint has kinks")

    def test_too_much(self):
        self.file("plain.amo", PLAIN)
        self.expect(INTERNAL, "solve", "plain.amo", "--set", "n=1000000", "-n", "1000000000", out="^$",
                    err="^amo: out of memory: fewer instances, or a smaller batch, need less\n$")

    def test_outputs_that_cannot_be(self):
        self.file("matrix.amo", BOX.replace("[n]", "[n, n]").replace(" in box(0, 1)", ""))
        self.file("twins.amo", PLAIN.replace("minimize", "variable z : real[n]\nminimize sumsq(z) +"))
        self.file("status.amo", PLAIN.replace("y", "status"))
        old = content(self.good)
        self.expect_each([
            (FILES, ["solve", "matrix.amo", "-o", "y.csv"],
             r"cannot write `y\.csv`: a \.csv file holds numbers and vectors; the variable `y` has rank 2"),
            (FILES, ["solve", "twins.amo", "-o", "y.npy"],
             r"a \.npy file holds one array, and the program has 2 variables"),
            (FILES, ["solve", "status.amo", "-o", "y.npz"], "two arrays would be called `status`"),
            (FILES, ["predict", "box.amoz", "--context", "good.npz", "-o", "good.npz"],
             "cannot write `good.npz`: it is read by the same run"),
            (FILES, ["predict", "box.amoz", "--context", "good.npz", "-o", "no/y.npz"], "no such folder `no`"),
        ])
        self.assertEqual(content(self.good), old)

    def test_models_that_are_none(self):
        whole = content(self.path("box.amoz"))
        for share in [1, 50, 99]:
            self.bytes(f"cut{share}.amoz", whole[:len(whole) * share // 100])
        self.bytes("empty.amoz", b"")
        self.bytes("text.amoz", b"words\n")
        with zipfile.ZipFile(self.path("box.amoz")) as z:
            entries = {name: z.read(name) for name in z.namelist()}

        def repack(name, **changed):
            with zipfile.ZipFile(self.path(name), "w") as z:
                for entry, data in {**entries, **changed}.items():
                    if data is not None:
                        z.writestr(entry, data)

        def forge(name, entry, data):  # with right hashes
            manifest = json.loads(entries["manifest.json"])
            manifest["entries"][entry] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            repack(name, **{entry: data, "manifest.json": json.dumps(manifest).encode()})

        forge("record.amoz", "record.json", b'{"settings": {"seed": "x"}}')
        forge("tables.amoz", "record.json", b'{"tables": {"a": {"b": 3}}}')
        forge("other.amoz", "source/box.amo", BOX.replace("[8]", "[9]").encode())
        forge("program.amoz", "source/box.amo", BOX.replace("y - p", "y - q").encode())
        repack("turned.amoz", **{"weights.safetensors": entries["weights.safetensors"][:-1] + b"\1"})
        repack("lacking.amoz", **{"weights.safetensors": None})
        repack("later.amoz", **{"manifest.json": entries["manifest.json"].replace(b'"format": 1', b'"format": 2')})
        repack("broken.amoz", **{"manifest.json": b"{"})
        cases = {"none.amoz": "file `none.amoz` does not exist", "empty.amoz": "is empty: expected a trained model",
                 "text.amoz": "is a text, not a trained model", "cut1.amoz": "is truncated or damaged",
                 "cut50.amoz": "is truncated or damaged", "cut99.amoz": "is truncated or damaged",
                 "turned.amoz": "`weights.safetensors` in `turned.amoz` is damaged",
                 "lacking.amoz": "`weights.safetensors` in `lacking.amoz` is missing",
                 "later.amoz": "was written by a later release",
                 "broken.amoz": "`manifest.json` in `broken.amoz` is malformed",
                 "record.amoz": "`record.json` in `record.amoz` is malformed",
                 "tables.amoz": "`record.json` in `tables.amoz` is malformed",
                 "other.amoz": "`other.amoz` has no array `weight/model/0` of the program's shape",
                 "program.amoz": "the program in `program.amoz` is refused by this release: ",
                 "good.npz": "is a zip archive, but not an amo model",
                 "box.amo": "is a program, not a trained model: `amo train` makes one",
                 ".": "is a folder, not a trained model"}
        calls = [(["predict", name, "--context", self.good], name) for name in cases]
        calls += [(["eval", name, "-n", "2"], name) for name in ["cut50.amoz", "record.amoz"]]
        self.expect_each([(FILES, command, r"^amo: [^\n]*" + cases[name] + r"[^\n]*\n$") for command, name in calls])
        self.assertIn("damaged", self.answer("predict", "turned.amoz", "--context", self.good, code=FILES)["error"])
        self.assertIn(self.run_amo("train", "box.amoz").returncode, [ERRORS, FILES])
        self.assertEqual(content(self.path("box.amoz")), whole)

    def test_no_model(self):
        self.file("none.amo", PLAIN + "model mlp(hidden = [4])\ntrain steps = 2\nvariant bare\n  model zeros\n")
        self.expect(OK, "train", "none.amo", "--variant", "bare", "-o", "bare.amoz",
                    out="nothing in the program is learned")
        self.expect(OK, "predict", "bare.amoz", "--context", self.good, out="^2 answers")
        self.expect(ERRORS, "train", "none.amo", "--variant", "bear", err="bear(.|\n)*bare")


class Streams(Trained):
    def test_progress_on_a_terminal(self):
        def on_terminal(columns, *args):
            master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            process = subprocess.Popen([AMO, "train", "box.amo", "--steps", "2000", *args], stdout=subprocess.PIPE,
                                       stderr=slave, env={**ENV, "TERM": "xterm"}, cwd=self.folder)
            os.close(slave)
            text = b""
            try:
                while part := os.read(master, 4096):
                    text += part
            except OSError:  # the other end is closed
                pass
            os.close(master)
            out = process.communicate(timeout=60)[0]
            self.assertEqual(process.returncode, OK)
            return text.decode(), out.decode()

        bar, out = on_terminal(80)
        self.assertRegex(bar, "\r\x1b\\[Ktraining █+ 100 %, loss .*\n$")
        self.assertRegex(out, r"^box\.amoz: 2000 steps")
        for line in on_terminal(30)[0].split("\r"):
            self.assertLess(len(line.replace("\x1b[K", "").strip()), 30)
        bar, out = on_terminal(80, "--json")
        self.assertEqual(bar, "")
        self.assertTrue(json.loads(out)["ok"])

    def test_reader_that_leaves(self):
        for args, made in [(["train", "box.amo", "-o", "new.amoz"], "new.amoz"),
                           (["predict", "box.amoz", "--context", self.good, "-o", "y.npz"], "y.npz")]:
            process = subprocess.Popen([AMO, *args], env=ENV, cwd=self.folder, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)
            process.stdout.close()
            self.assertEqual(process.wait(timeout=60), -signal.SIGPIPE)
            self.assertTrue(zipfile.is_zipfile(self.path(made)))
            self.assertFalse(os.path.exists(self.path(made + ".lock")))

    def test_full_standard_output(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([AMO, "predict", "box.amoz", "--context", self.good], env=ENV, cwd=self.folder,
                                    stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, FILES)
        self.assertIn("cannot write to standard output: No space left", result.stderr)


if __name__ == "__main__":
    unittest.main()
