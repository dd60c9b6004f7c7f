# SPDX-License-Identifier: Apache-2.0
# `amo eval` of several models: what is trained, what is kept, the table, and the page as a browser draws it.
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from run_case import BOX, DIVERGED, FILES, OK, USAGE, Run, setUpModule  # noqa: F401

VARIANTS = BOX.replace("steps = 200", "steps = 40") + """
variant polished
  model mlp(hidden = [8]) then projected_gradient(steps = 4)
variant cold
  model zeros
"""
BROWSER = next((b for b in map(shutil.which, ["chromium", "chromium-browser", "google-chrome"]) if b), None)


class Eval(Run):
    def setUp(self):
        super().setUp()
        self.file("box.amo", VARIANTS)

    def test_variants_and_seeds(self):
        found = self.answer("eval", "box.amo", "--variants", "all", "--seeds", "3", "-n", "20", "--threads", "1")
        self.assertEqual([(e["variant"], e["seed"]) for e in found["evaluations"]],
                         [(v, s) for v in ("box", "polished", "cold") for s in (1, 2, 3)])
        self.assertEqual(len(os.listdir(self.path("box.models"))), 9)
        rows = {row["name"]: row for row in found["table"]}
        gap, errors = rows["gap, mean"]["variants"], rows["err"]["variants"]
        self.assertLess(gap["polished"]["mean"], gap["box"]["mean"])
        self.assertLess(errors["box"]["mean"], errors["cold"]["mean"])
        self.assertLess(gap["cold"]["half_width"], 1e-12)  # nothing of it is learned: every seed gives the same
        self.assertEqual(rows["half"]["variants"]["box"], {"mean": 0.5, "half_width": 0.0, "seeds": 3})
        self.assertEqual(rows["time, batch 1"]["unit"], "s")
        # The interval by hand: Student's t with two degrees of freedom.
        values = [e["gap"]["mean"] for e in found["evaluations"] if e["variant"] == "box"]
        mean = sum(values) / 3
        deviation = (sum((v - mean) ** 2 for v in values) / 2) ** 0.5
        self.assertAlmostEqual(gap["box"]["mean"], mean, places=12)
        self.assertAlmostEqual(gap["box"]["half_width"], 4.303 * deviation / 3 ** 0.5, places=12)

    def test_models_are_kept(self):
        text = self.expect(OK, "eval", "box.amo", "--variants", "cold,box,cold", "-n", "5").stdout
        self.assertRegex(text, r"(?m)^ +cold +box$")
        self.assertEqual(sorted(os.listdir(self.path("box.models"))), ["box.amoz", "cold.amoz"])
        made = os.stat(self.path("box.models/box.amoz")).st_mtime_ns
        self.expect(OK, "eval", "box.amo", "-n", "5", out="gap to the solver")  # one model: as of a model's file
        self.assertEqual(os.stat(self.path("box.models/box.amoz")).st_mtime_ns, made)
        # Another program, another number of steps: trained again.
        self.expect(OK, "eval", "box.amo", "--steps", "3", "-n", "5")
        again = os.stat(self.path("box.models/box.amoz")).st_mtime_ns
        self.assertGreater(again, made)
        self.file("box.amo", VARIANTS.replace("in box(0, 1)", "in box(0, 2)"))
        self.expect(OK, "eval", "box.amo", "--steps", "3", "-n", "5")
        self.assertGreater(os.stat(self.path("box.models/box.amoz")).st_mtime_ns, again)

    def test_curves(self):
        self.file("box.amo", VARIANTS.replace("subject to\n  cap: y <= 0.5\n", "solve zeros then adam(steps = 300)\n"))
        call = ["eval", "box.amo", "-n", "20", "--threads", "1"]
        polished = self.answer(*call, "--variants", "polished", "--curves")
        model = polished["curves"]["model"]
        self.assertEqual((model[0]["steps"], model[-1]["steps"]), (0, 4))
        self.assertAlmostEqual(model[-1]["objective"], polished["objective"]["model"], places=6)
        self.assertLess(model[-1]["objective"], model[0]["objective"])
        self.assertIsNone(polished["solver_reaches"])  # these steps end at the minimum, which adam does not
        bare = self.answer(*call, "--curves")
        solver, own, reached = bare["curves"]["solver"], bare["objective"]["model"], bare["solver_reaches"]
        self.assertEqual([p["steps"] for p in solver], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300])
        self.assertLessEqual(reached["objective"], own + 1e-12)
        for point in solver:
            if point["steps"] < reached["steps"]:
                self.assertGreater(point["objective"], own)
        self.assertNotIn("curves", self.answer(*call))

    def test_starts(self):
        solve = "solve zeros then projected_gradient(tol = 1e-9)\n"
        self.file("box.amo", VARIANTS.replace("subject to\n  cap: y <= 0.5\n", solve))
        call = ["eval", "box.amo", "-n", "20", "--threads", "1", "--starts"]
        found = self.answer(*call)["starts"]
        self.assertEqual(list(found), ["zeros", "mean", "nearest", "previous", "model"])
        for start in found.values():
            self.assertEqual(start["solved"], 20)
            self.assertGreater(start["seconds_per_instance"], 0)
            self.assertLess(start["iterations"]["max"], 50)
        self.assertIn("the solver from", self.expect(OK, *call).stdout)

    def test_files_side_by_side(self):
        self.expect(OK, "train", "box.amo", "-o", "a.amoz")
        self.expect(OK, "train", "box.amo", "--variant", "cold", "-o", "b.amoz")
        text = self.expect(OK, "eval", "a.amoz", "b.amoz", "-n", "5").stdout
        self.assertRegex(text, r"(?m)^ +box +cold$")
        self.assertNotIn("±", text)
        # One variant with one seed, trained for longer: no second run of the same.
        self.expect(OK, "train", "box.amo", "--steps", "5", "-o", "c.amoz")
        text = self.expect(OK, "eval", "a.amoz", "c.amoz", "-n", "5").stdout
        self.assertRegex(text, r"(?m)^ +a\.amoz +c\.amoz$")
        self.assertNotIn("±", text)

    def test_wrong_use(self):
        self.expect(OK, "train", "box.amo", "--steps", "0", "-o", "a.amoz")
        self.expect_each([
            (USAGE, ["eval", "a.amoz", "box.amo"], "a program stands alone"),
            (USAGE, ["eval", "a.amoz", "--seeds", "2"], "`--seeds` belongs to a program"),
            (USAGE, ["eval", "box.amo", "--seeds", "0"], "between 1 and 1000"),
            (USAGE, ["eval", "box.amo", "--variants", "warm"], "no `warm`; there are `box`, `polished`, `cold`"),
            (FILES, ["eval", "a.amoz", "missing.amoz"], "missing.amoz"),
            (FILES, ["eval", "a.amoz", "--report", "none/r.html"], "none/r.html"),
        ])

    def test_a_variant_that_diverges_leaves_the_others(self):
        self.file("box.amo", VARIANTS + "variant wild\n  loss objective / (trained - trained)\n")
        done = self.expect(DIVERGED, "eval", "box.amo", "--variants", "wild,box", "-n", "5", err="loss is")
        self.assertIn("gap to the solver", done.stdout)

    @unittest.skipUnless(BROWSER, "no Chromium on this machine")
    def test_the_page_in_a_browser(self):
        self.expect(OK, "eval", "box.amo", "--variants", "all", "--seeds", "2", "-n", "30", "--threads", "1",
                    "--report", "r.html")
        page = pathlib.Path(self.path("r.html")).read_text(encoding="utf-8")
        self.assertNotRegex(page, r"(src|href)\s*=\s*[\"']?(https?:)?//")  # it needs nothing beside itself
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--user-data-dir=" + home, "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom",
                 "file://" + self.path("r.html")],
                env={**os.environ, "HOME": home}, capture_output=True, text=True, timeout=120)
        drawn = re.search(r'<body data-plots="(\d+)" data-blank="(\d+)">', done.stdout)
        self.assertTrue(drawn, done.stderr[-2000:])
        self.assertEqual(drawn.groups(), ("4", "0"))
        self.assertNotIn("Uncaught", done.stderr)
        for text in ("<h1>box</h1>", "The nearest point of a box, under a cap.", "<th>polished</th>", "gap, mean",
                     "Gap against time", "30 test instances"):
            self.assertIn(text, done.stdout)


if __name__ == "__main__":
    unittest.main()
