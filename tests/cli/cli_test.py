# SPDX-License-Identifier: Apache-2.0
# The command line program as a user meets it: every command on good and bad input, exit codes, streams, files.
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

AMO = os.environ["AMO"]
PROGRAMS = pathlib.Path(os.environ["PROGRAMS"])
OK, ERRORS, USAGE, FILES = 0, 1, 2, 3

GOOD = """amo 1
problem ridge "Least squares with a weight."
dim n = 3
context b : real[n] ~ normal(0, 1)
variable x : real[n]
minimize sum(i in n: (x[i] - b[i])^2)
"""
SYNTAX_ERROR = "amo 1\ndim n = (3\nvariable x : real[n]\nminimize sum(x)\n"
TWICE = GOOD + "variable x : real[n]\n"  # line 7
UNTIDY = "amo 1\ndim   n=3 # three\n# what is sought\nvariable x:real[n]\nminimize sum(x.*x)\n"


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def read(self, path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def run_amo(self, *args, **options):
        return subprocess.run([AMO, *args], capture_output=True, text=True, timeout=60, **options)

    def expect(self, code, *args, out=None, err=None, **options):
        result = self.run_amo(*args, **options)
        shown = f"amo {' '.join(args)}\n--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}"
        self.assertEqual(result.returncode, code, shown)
        if out is not None:
            self.assertRegex(result.stdout, out, shown)
        if err is not None:
            self.assertRegex(result.stderr, err, shown)
        if code == OK and err is None:
            self.assertEqual(result.stderr, "", shown)
        return result


class Overview(Cli):
    def test_help_lists_every_command(self):
        text = self.expect(OK, "--help").stdout
        for command in ["check", "fmt", "explain", "dump"]:
            self.assertRegex(text, rf"(?m)^  {command} +\w")
        self.assertEqual(text, self.run_amo("-h").stdout)
        self.assertEqual(text, self.run_amo("help").stdout)

    def test_every_command_has_help_with_an_example(self):
        for command in ["check", "fmt", "explain", "dump"]:
            text = self.expect(OK, command, "--help", out=rf"Usage: amo {command} .*FILE").stdout
            self.assertRegex(text, rf"Example:\n  amo {command} ")
            self.assertEqual(text, self.run_amo("help", command).stdout)

    def test_version(self):
        self.expect(OK, "--version", out=r"^amo \d+\.\d+\.\d+\n$")

    def test_nothing_to_do(self):
        self.assertEqual(self.expect(USAGE, err="Usage:").stdout, "")

    def test_unknown_command(self):
        self.expect(USAGE, "chekc", err="unknown command `chekc`; did you mean `check`")
        self.expect(USAGE, "xyzzyx", err="amo --help")
        self.expect(USAGE, "help", "chekc", err="did you mean `check`")
        self.expect(USAGE, "--versoin", err="unknown option `--versoin`; did you mean `--version`")

    def test_unknown_option(self):
        good = self.file("good.amo", GOOD)
        self.expect(USAGE, "check", good, "--jsno", err="unknown option `--jsno`; did you mean `--json`")
        self.expect(USAGE, "check", "--varient=v", good, err="did you mean `--variant`")
        self.expect(USAGE, "check", "--compct", err="did you mean `--compact`")
        self.expect(USAGE, "fmt", good, "--zzzzzz", err="unknown option `--zzzzzz`\n")
        self.assertEqual(self.read(good), GOOD)

    def test_wrong_use(self):
        good = self.file("good.amo", GOOD)
        for args in [["check"], ["fmt"], ["dump", good], ["explain"], ["check", good, "--problem"]]:
            self.expect(USAGE, *args, err=rf"^amo {args[0]}: .+\n`amo {args[0]} --help` shows the use\n$")
        self.expect(USAGE, "check", good, good, err="unexpected argument")
        self.expect(USAGE, "dump", good, "--ast", "--ir", err="amo dump: ")
        self.expect(USAGE, "fmt", "--check", "--stdout", good, err="--stdout")


class Check(Cli):
    def test_good(self):
        good = self.file("good.amo", GOOD)
        self.expect(OK, "check", good, out=f"^{re.escape(good)}: ok, problem ridge\n$")

    def test_set(self):
        good = self.file("good.amo", GOOD)
        self.expect(OK, "check", good, "--set", "n=100")
        self.expect(OK, "check", "--set", "n = 2 + 2", good)
        self.expect(ERRORS, "check", good, "--set", "m=100", err="--set m`")
        self.expect(ERRORS, "check", good, "--set", "n=(1", err="--set n:1:")
        for wrong in ["n", "=3", "n=", "2=3", "n+1=3"]:
            self.expect(USAGE, "check", good, "--set", wrong, err="NAME=EXPR")

    def test_problem_and_variant(self):
        good = self.file("good.amo", GOOD + "\nvariant capped\n  subject to\n    cap: x <= 1\n")
        self.expect(OK, "check", good, "--problem", "ridge", "--variant", "capped", out="problem ridge, variant capped")
        self.expect(ERRORS, "check", good, "--problem", "rigde", err="rigde(.|\n)*ridge")
        self.expect(ERRORS, "check", good, "--variant", "cappde", err="cappde(.|\n)*capped")

    def test_errors_go_to_standard_error_with_the_source(self):
        bad = self.file("bad.amo", TWICE)
        result = self.expect(ERRORS, "check", bad, err=r"error\[duplicate-name\].*`x`")
        self.assertEqual(result.stdout, "")
        self.assertIn("bad.amo:7:", result.stderr)
        self.assertIn(" 7 | variable x : real[n]", result.stderr)
        self.assertIn("1 error", result.stderr)
        self.assertNotIn("\x1b", result.stderr)
        self.expect(ERRORS, "check", self.file("syntax.amo", SYNTAX_ERROR), err=r"error\[syntax\]")

    def test_compact(self):
        bad = self.file("bad.amo", TWICE)
        self.expect(ERRORS, "check", bad, "--compact", err=r"^\S+bad\.amo:7:\d+: error: .+ \[duplicate-name\]\n$")

    def test_json(self):
        good = json.loads(self.expect(OK, "check", self.file("good.amo", GOOD), "--json").stdout)
        self.assertEqual((good["ok"], good["problem"], good["error"], good["diagnostics"]), (True, "ridge", "", []))
        result = self.expect(ERRORS, "check", self.file("bad.amo", TWICE), "--json", err="^$")
        bad = json.loads(result.stdout)
        self.assertFalse(bad["ok"])
        self.assertEqual([d["code"] for d in bad["diagnostics"]], ["duplicate-name"])
        self.assertEqual(bad["diagnostics"][0]["line"], 7)
        missing = json.loads(self.expect(FILES, "check", self.path("none.amo"), "--json", err="^$").stdout)
        self.assertIn("none.amo", missing["error"])

    def test_files_that_cannot_be_read(self):
        self.expect(FILES, "check", self.path("none.amo"), err="cannot read `.*none.amo`: No such file")
        self.expect(FILES, "check", self.folder, err="it is a directory")
        self.expect(FILES, "check", "/proc/self/mem", err="cannot read")  # opens, but cannot be read, even by root
        if os.geteuid() != 0:
            locked = self.file("locked.amo", GOOD)
            os.chmod(locked, 0)
            self.expect(FILES, "check", locked, err="Permission denied")

    def test_hostile_bytes(self):
        path = self.path("bytes.amo")
        for text in [b"", b"\0", b"\xff\xfe", b"amo 1\ndim \xc3 = 3\n"]:
            pathlib.Path(path).write_bytes(text)
            self.assertIn(self.run_amo("check", path).returncode, [OK, ERRORS])
            result = subprocess.run([AMO, "check", path, "--json", "--set", b"\xff=1"], capture_output=True, timeout=60)
            json.loads(result.stdout)
            self.assertEqual(result.returncode, USAGE)

    def test_colors_on_a_terminal_only(self):
        bad = self.file("bad.amo", TWICE)

        def on_terminal(**env):
            master, slave = pty.openpty()
            environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
            process = subprocess.Popen([AMO, "check", bad], stderr=slave, env={**environment, **env})
            os.close(slave)
            text = b""
            try:
                while part := os.read(master, 4096):
                    text += part
            except OSError:  # the other end is closed
                pass
            os.close(master)
            self.assertEqual(process.wait(timeout=60), ERRORS)
            return text

        self.assertIn(b"\x1b[", on_terminal(TERM="xterm"))
        self.assertNotIn(b"\x1b[", on_terminal(TERM="xterm", NO_COLOR="1"))
        self.assertNotIn(b"\x1b[", on_terminal(TERM="dumb"))

    def test_starts_fast_and_without_torch(self):
        good = self.file("good.amo", GOOD)
        times = []  # processor time: the machine may be busy
        for _ in range(10):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.expect(OK, "check", good)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        self.assertLess(min(times), 0.05)
        libraries = subprocess.run(["ldd", AMO], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("torch", libraries)


class Fmt(Cli):
    def test_in_place(self):
        path = self.file("a.amo", UNTIDY)
        os.chmod(path, 0o640)
        self.expect(OK, "fmt", path, out=r"a\.amo: changed\n$")
        text = self.read(path)
        self.assertNotEqual(text, UNTIDY)
        self.assertIn("# three", text)
        self.assertIn("# what is sought", text)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        self.assertEqual(os.listdir(self.folder), ["a.amo"])
        before = os.stat(path).st_ino
        self.expect(OK, "fmt", path, out="^$")
        self.assertEqual((self.read(path), os.stat(path).st_ino), (text, before))

    def test_check(self):
        path = self.file("a.amo", UNTIDY)
        self.expect(ERRORS, "fmt", "--check", path, out=r"a\.amo: would change\n$")
        self.assertEqual(self.read(path), UNTIDY)
        self.run_amo("fmt", path)
        self.expect(OK, "fmt", "--check", path, out="^$")

    def test_stdout_and_stdin_agree(self):
        path = self.file("a.amo", UNTIDY)
        shown = self.expect(OK, "fmt", "--stdout", path).stdout
        self.assertEqual(self.expect(OK, "fmt", "-", input=UNTIDY).stdout, shown)
        self.assertEqual(self.read(path), UNTIDY)
        self.expect(ERRORS, "fmt", "--check", "-", input=UNTIDY)
        self.expect(OK, "fmt", "--check", "-", input=shown)
        self.expect(ERRORS, "fmt", "-", input=SYNTAX_ERROR, out="^$", err="<standard input>:2:")
        self.expect(USAGE, "fmt", "-", "-", input=UNTIDY)

    def test_several_files_one_of_them_bad(self):
        bad, untidy = self.file("bad.amo", SYNTAX_ERROR), self.file("untidy.amo", UNTIDY)
        self.expect(ERRORS, "fmt", bad, untidy, out="untidy.amo: changed", err=r"error\[syntax\]")
        self.assertEqual(self.read(bad), SYNTAX_ERROR)
        self.assertNotEqual(self.read(untidy), UNTIDY)
        self.expect(FILES, "fmt", self.path("none.amo"), bad, err="No such file")
        self.expect(FILES, "fmt", self.folder, err="it is a directory")

    def test_link_stays_a_link(self):
        target, link = self.file("a.amo", UNTIDY), self.path("link.amo")
        os.symlink("a.amo", link)
        self.expect(OK, "fmt", link)
        self.assertTrue(os.path.islink(link))
        self.assertNotEqual(self.read(target), UNTIDY)

    def test_a_file_that_cannot_be_replaced(self):
        read, write = os.pipe()
        os.write(write, UNTIDY.encode())
        os.close(write)
        self.expect(FILES, "fmt", f"/dev/fd/{read}", err="cannot write", pass_fds=[read])
        os.close(read)
        if os.geteuid() != 0:
            path = self.file("a.amo", UNTIDY)
            os.chmod(path, 0o444)
            self.expect(FILES, "fmt", path, err="Permission denied")
            self.assertEqual(self.read(path), UNTIDY)

    def test_json(self):
        bad, untidy = self.file("bad.amo", SYNTAX_ERROR), self.file("untidy.amo", UNTIDY)
        files = json.loads(self.expect(ERRORS, "fmt", "--check", "--json", bad, untidy, err="^$").stdout)
        self.assertEqual([(f["file"], f["changed"]) for f in files], [(bad, False), (untidy, True)])
        self.assertEqual(files[0]["diagnostics"][0]["code"], "syntax")

    def test_programs_keep_their_meaning(self):
        programs = sorted(PROGRAMS.glob("*.amo"))
        for program in programs:
            shutil.copyfile(program, self.path(program.name))  # all: some use others
        for program in programs:
            copy = self.path(program.name)
            before = self.expect(OK, "dump", "--ast", str(program)).stdout
            self.expect(OK, "fmt", copy)
            self.assertEqual(self.expect(OK, "dump", "--ast", copy).stdout, before)


class Explain(Cli):
    def test_code(self):
        self.expect(OK, "explain", "shape-mismatch", out="must agree in shape")
        answer = json.loads(self.expect(OK, "explain", "cycle", "--json").stdout)
        self.assertEqual(answer["code"], "cycle")
        self.expect(USAGE, "explain", "shape-mismach", err="did you mean `shape-mismatch`")
        self.expect(FILES, "explain", "none.amo", err="No such file")

    def test_codes(self):
        listed = self.expect(OK, "explain", "--codes").stdout.splitlines()
        codes = json.loads(self.expect(OK, "explain", "--codes", "--json").stdout)
        self.assertEqual([line.split()[0] for line in listed], [c["code"] for c in codes])
        self.assertIn("syntax", [c["code"] for c in codes])
        for code in codes:
            self.expect(OK, "explain", code["code"], out=re.escape(code["explanation"]))

    def test_program(self):
        good = self.file("good.amo", GOOD)
        text = self.expect(OK, "explain", good, "--set", "n=7").stdout
        self.assertRegex(text, r"^problem ridge\n  Least squares with a weight\.\n")
        self.assertRegex(text, r"(?m)^  dim +n += 7$")
        self.assertRegex(text, r"(?m)^  context +b +real\[n\] +drawn")
        self.assertRegex(text, r"(?m)^  variable +x +real\[n\]")
        self.assertRegex(text, r"(?m)^  objective, \d+ nodes$")
        answer = json.loads(self.expect(OK, "explain", good, "--set", "n=7", "--json").stdout)
        self.assertEqual(answer["numbers"]["n"], 7)
        self.assertEqual(answer["objective"], "minimize")
        objective = next(f for f in answer["functions"] if f["role"] == "objective")
        self.assertIn({"name": "x", "type": "real[7]", "per": "instance"}, objective["inputs"])
        self.assertEqual(objective["outputs"], [{"name": "objective", "type": "real"}])

    def test_cost(self):
        file = self.file("quad.amo", "amo 1\nproblem quad\ndim n = 8\ndata A : real[n, n] ~ normal(0, 1)\n"
                         "context x : real[n] ~ normal(0, 1)\nvariable y : real[n]\nminimize y' * A * y + sum(exp(x .* y))\n")
        for flags in [[], ["--f32"]]:
            cost = json.loads(self.expect(OK, "explain", file, "--cost", "--json", *flags).stdout)["cost"]
            self.assertEqual([row["name"] for row in cost[:3]], ["objective", "gradient", "hessian"])
            gradient = cost[1]
            self.assertEqual(gradient["work"]["functions"], 8)
            self.assertEqual(gradient["prepared"]["arithmetic"], 64)
            self.assertGreaterEqual(gradient["work"]["arithmetic"], 2 * 64)
            self.assertLess(gradient["work"]["arithmetic"], 4 * 64)
            self.assertEqual(gradient["bytes"], (8 + 8 + 1 + 8) * (4 if flags else 8))
            for row in cost:
                for key in ["predicted_ns", "measured_ns", "measured_one_ns"]:
                    self.assertGreater(row[key], 0)
        self.expect(OK, "explain", file, "--cost", out=r"gradient +\d+ +0 +8 ")
        self.expect(USAGE, "explain", file, "--f32", err="--cost")
        # What would not fit the memory 1,024 times is measured with fewer instances.
        cost = json.loads(self.expect(OK, "explain", file, "--set", "n=400", "--cost", "--json").stdout)["cost"]
        self.assertEqual(cost[0]["batch"], 1024)
        large = self.file("large.amo", "amo 1\nproblem large\ncontext x : real[2000000] ~ normal(0, 1)\n"
                          "variable y : real[2000000]\nminimize sumsq(y - x)\n")
        cost = json.loads(self.expect(OK, "explain", large, "--cost", "--json").stdout)["cost"]
        self.assertLess(cost[0]["batch"], 20)

    def test_what_cannot_be_built_is_left_out(self):
        rows = 'data rows from "none.npz"\nhidden r from rows\n'
        text = GOOD.replace("context", rows + "context").replace("~ normal(0, 1)", "= r.b")
        result = self.expect(OK, "explain", self.file("table.amo", text), err=r"warning\[file\](.|\n)*1 warning")
        self.assertRegex(result.stdout, r"(?m)^  context +b ")

    def test_bad_program(self):
        self.expect(ERRORS, "explain", self.file("bad.amo", TWICE), out="^$", err=r"error\[duplicate-name\]")


class Dump(Cli):
    def test_each_step(self):
        good = self.file("good.amo", GOOD)
        for step, part in [("ast", "problem ridge"), ("types", r"(?m)^x : real\[n\]$"), ("ir", "function .*\n  %0 = "),
                           ("gradient", "output d/x"), ("hessian", "output h/x"), ("loops", "."), ("llvm", "define "),
                           ("asm", "ret")]:
            text = self.expect(OK, "dump", good, f"--{step}", out=part).stdout
            answer = json.loads(self.expect(OK, "dump", good, f"--{step}", "--json").stdout)
            self.assertEqual(answer["step"], step)
            self.assertEqual("\n".join(s["text"] for s in answer["sections"]), text)

    def test_function(self):
        good = self.file("good.amo", GOOD)
        text = self.expect(OK, "dump", good, "--ir", "--function", "objective", out="output objective").stdout
        self.assertEqual(text.count("function "), 1)
        self.assertNotEqual(self.expect(OK, "dump", good, "--gradient", "--raw").stdout,
                            self.expect(OK, "dump", good, "--gradient").stdout)
        self.expect(ERRORS, "dump", good, "--ir", "--function", "nothing", err="no function `nothing`.*objective")
        self.expect(USAGE, "dump", good, "--llvm", "--lanes", "-1", err="amo dump: ")

    def test_no_objective(self):
        text = "amo 1\nproblem p\ncontext c : real ~ normal(0, 1)\nvariable z : real\nfind z == 0.5 * z + c\n"
        fixed_point = self.file("p.amo", text)
        self.expect(ERRORS, "dump", fixed_point, "--gradient", err="no such function")

    def test_broken_programs(self):
        syntax = self.file("syntax.amo", SYNTAX_ERROR)
        self.expect(ERRORS, "dump", syntax, "--ast", out="variable x", err=r"error\[syntax\]")
        self.expect(ERRORS, "dump", syntax, "--ir", out="^$", err=r"error\[syntax\]")


class Streams(Cli):
    def test_broken_pipe_is_quiet(self):
        # Python ignores the signal, and children inherit that.
        self.assertEqual(signal.getsignal(signal.SIGPIPE), signal.SIG_IGN)
        big = self.file("big.amo", GOOD + "".join(f"let v{i} = {i} * b\n" for i in range(5000)))
        process = subprocess.Popen([AMO, "dump", "--ast", big], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(10)
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()
        self.assertEqual(process.wait(timeout=60), -signal.SIGPIPE)

    def test_full_disk(self):
        good = self.file("good.amo", GOOD)
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([AMO, "check", good], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, FILES)
        self.assertIn("cannot write to standard output: No space left", result.stderr)

    def test_closed_output(self):
        good = self.file("good.amo", GOOD)
        command = f"'{AMO}' check '{good}' >&-"
        result = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, FILES)


if __name__ == "__main__":
    unittest.main()
